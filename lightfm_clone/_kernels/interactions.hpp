// The stored interactions in the shape training wants them: packed words (interface.hpp), shuffled
// anew every epoch, and the sorted distinct items of each user with their filter (known.hpp).
// Compiled once, at the baseline level: none of this is arithmetic.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstdint>

#include "known.hpp"
#include "random.hpp"

namespace lfm {
namespace {

// ---- the order of an epoch ------------------------------------------------------------------
//
// A uniform shuffle in two passes (Rao, Sankhya 1961; Sandelius, JRSS B 1962): every interaction
// is thrown into a random bucket, then each bucket, small enough for the cache, is shuffled.
// Reading the caller's order and writing the epoch's, it needs no copy in between.

constexpr int64_t BUCKET_SIZE = 16384;
constexpr int MAX_BUCKET_BITS = 16;
constexpr int64_t CHUNK = 65536;  // interactions whose buckets come from one random stream
constexpr uint64_t SCATTER_SEED = 0x5851F42D4C957F2Dull, BUCKET_SEED = 0x14057B7EF767814Full;

inline int bucket_bits(int64_t n) {
    int bits = 0;
    while (bits < MAX_BUCKET_BITS && (n >> bits) > BUCKET_SIZE) ++bits;
    return bits;
}

// How many interactions of chunks [first, last) fall into each bucket.
inline void count_buckets(int64_t n, int64_t first, int64_t last, int bits, uint64_t seed,
                          int64_t* counts) {
    memset(counts, 0, sizeof(int64_t) << bits);
    if (bits == 0) {
        counts[0] = n;
        return;
    }
    for (int64_t chunk = first; chunk < last; ++chunk) {
        Rng rng(seed ^ SCATTER_SEED, static_cast<uint64_t>(chunk));
        const int64_t end = std::min(n, (chunk + 1) * CHUNK);
        for (int64_t i = chunk * CHUNK; i < end; ++i) ++counts[rng.next() >> (64 - bits)];
    }
}

// Copies interactions of chunks [first, last) to the places `next` of their buckets.
inline void scatter(const uint32_t* interactions, int words, int64_t n, int64_t first, int64_t last,
                    int bits, uint64_t seed, int64_t* next, uint32_t* order) {
    if (bits == 0) {
        memcpy(order, interactions, sizeof(uint32_t) * words * n);
        return;
    }
    for (int64_t chunk = first; chunk < last; ++chunk) {
        Rng rng(seed ^ SCATTER_SEED, static_cast<uint64_t>(chunk));
        const int64_t end = std::min(n, (chunk + 1) * CHUNK);
        for (int64_t i = chunk * CHUNK; i < end; ++i) {
            const int64_t to = next[rng.next() >> (64 - bits)]++;
            for (int w = 0; w < words; ++w) order[to * words + w] = interactions[i * words + w];
        }
    }
}

// Fisher-Yates.
inline void shuffle_bucket(uint32_t* order, int words, int64_t n, int64_t bucket, uint64_t seed) {
    Rng rng(seed ^ BUCKET_SEED, static_cast<uint64_t>(bucket));
    for (int64_t i = n - 1; i > 0; --i) {
        const int64_t j = rng.bounded(i + 1);
        for (int w = 0; w < words; ++w) std::swap(order[i * words + w], order[j * words + w]);
    }
}

// ---- the known items --------------------------------------------------------------------------

// Sorts the items of one user and drops repeats; returns how many are left.
inline int64_t sort_distinct(int32_t* items, int64_t n) {
    std::sort(items, items + n);
    return std::unique(items, items + n) - items;
}

inline void fill_filter(const int64_t* indptr, const int32_t* items, int64_t user,
                        uint64_t* filter) {
    const int64_t begin = filter_begin(indptr, user);
    const int64_t n_words = filter_begin(indptr, user + 1) - begin;
    memset(filter + begin, 0, sizeof(uint64_t) * n_words);
    for (int64_t i = indptr[user]; i < indptr[user + 1]; ++i) {
        const FilterKey key(items[i]);
        filter[begin + key.word(n_words)] |= key.bits();
    }
}

}  // namespace
}  // namespace lfm
