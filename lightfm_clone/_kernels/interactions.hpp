// The stored interactions in the shape training wants them: packed words (interface.hpp), shuffled
// anew every epoch; what is checked of them, and what follows from them.
// Compiled once, at the baseline level: none of this is arithmetic.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstdint>

#include "interface.hpp"
#include "prefetch.hpp"
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
constexpr int MAX_CLASSES = 256;  // a class is a byte
constexpr int64_t CHUNK = 65536;  // interactions whose buckets come from one random stream
constexpr uint64_t SCATTER_SEED = 0x5851F42D4C957F2Dull, BUCKET_SEED = 0x14057B7EF767814Full;

inline int bucket_bits(int64_t n) {
    int bits = 0;
    while (bits < MAX_BUCKET_BITS && (n >> bits) > BUCKET_SIZE) ++bits;
    return bits;
}

// How many interactions of chunks [first, last) fall into each bucket. Where there is but one bucket,
// there is but one chunk.
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

// One interaction as a value that moves in one piece.
template <int WORDS>
struct Packed {
    uint32_t word[WORDS];
};

template <int WORDS>
inline void scatter_packed(const Packed<WORDS>* interactions, int64_t n, int64_t first,
                           int64_t last, int bits, uint64_t seed, int64_t* next,
                           Packed<WORDS>* order) {
    if (bits == 0) {
        memcpy(order, interactions, sizeof(Packed<WORDS>) * n);
        return;
    }
    for (int64_t chunk = first; chunk < last; ++chunk) {
        Rng rng(seed ^ SCATTER_SEED, static_cast<uint64_t>(chunk));
        const int64_t end = std::min(n, (chunk + 1) * CHUNK);
        for (int64_t i = chunk * CHUNK; i < end; ++i)
            order[next[rng.next() >> (64 - bits)]++] = interactions[i];
    }
}

// Calls `use` with a packed interaction of the given number of words.
template <class Use>
inline void with_words(int words, Use use) {
    switch (words) {
        case 2: return use(Packed<2>());
        case 3: return use(Packed<3>());
        default: return use(Packed<MAX_WORDS>());
    }
}

// Copies interactions of chunks [first, last) to the places `next` of their buckets.
inline void scatter(const uint32_t* interactions, int words, int64_t n, int64_t first, int64_t last,
                    int bits, uint64_t seed, int64_t* next, uint32_t* order) {
    with_words(words, [=](auto packed) {
        using P = decltype(packed);
        scatter_packed(reinterpret_cast<const P*>(interactions), n, first, last, bits, seed, next,
                       reinterpret_cast<P*>(order));
    });
}

// Fisher-Yates.
template <int WORDS>
inline void shuffle_packed(Packed<WORDS>* order, int64_t n, Rng rng) {
    for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[rng.bounded(i + 1)]);
}

inline void shuffle_bucket(uint32_t* order, int words, int64_t n, int64_t bucket, uint64_t seed) {
    const Rng rng(seed ^ BUCKET_SEED, static_cast<uint64_t>(bucket));
    with_words(words, [=](auto packed) {
        shuffle_packed(reinterpret_cast<decltype(packed)*>(order), n, rng);
    });
}

// Sorts a window of the order by its items' classes, keeping the order within each class, and adds
// to begins[0 .. n_classes) where in the window each class begins. `buffer` is for a copy.
template <int WORDS>
inline void partition_packed(Packed<WORDS>* order, int64_t n, const uint8_t* classes, int n_classes,
                             int64_t* begins, Packed<WORDS>* buffer) {
    int64_t next[MAX_CLASSES] = {};
    for (int64_t i = 0; i < n; ++i) ++next[classes[order[i].word[1]]];
    int64_t begin = 0;
    for (int c = 0; c < n_classes; ++c) {
        const int64_t size = next[c];
        next[c] = begin;
        begins[c] += begin;
        begin += size;
    }
    memcpy(buffer, order, sizeof(Packed<WORDS>) * n);
    for (int64_t i = 0; i < n; ++i) order[next[classes[buffer[i].word[1]]]++] = buffer[i];
}

inline void partition_window(uint32_t* order, int words, int64_t n, const uint8_t* classes,
                             int n_classes, int64_t* begins, uint32_t* buffer) {
    with_words(words, [=](auto packed) {
        using P = decltype(packed);
        partition_packed(reinterpret_cast<P*>(order), n, classes, n_classes, begins,
                         reinterpret_cast<P*>(buffer));
    });
}

// ---- shuffling for the caller -----------------------------------------------------------------

// How many steps ahead memory is asked for: enough for all reads a core can have outstanding.
constexpr int64_t STEPS_AHEAD = 32;

// Swaps i and partners[i] <= i, from the last i down to `end`.
inline void swap_down(const int32_t* partners, int64_t n, int64_t end, int32_t* order) {
    for (int64_t i = n - 1; i >= end; --i) {
        if (i >= STEPS_AHEAD) prefetch(order + partners[i - STEPS_AHEAD]);
        std::swap(order[i], order[partners[i]]);
    }
}

template <class T>
inline void gather(const T* from, const int32_t* order, int64_t n, T* to) {
    for (int64_t i = 0; i < n; ++i) {
        if (i + STEPS_AHEAD < n) prefetch(from + order[i + STEPS_AHEAD]);
        to[i] = from[order[i]];
    }
}

// ---- the law of BPR's negatives ----------------------------------------------------------------

// Fills the alias table of items that are drawn as often as `counts` says (Vose, "A linear algorithm
// for generating random numbers with a given distribution", IEEE TSE 1991). `shares` and `stack` are
// room for n numbers.
inline void fill_alias_table(const int64_t* counts, int64_t n, double total, double* shares,
                             int32_t* stack, AliasColumn* table) {
    // Two stacks: from the left the columns with room for another item, from the right the items
    // with more than a column.
    int64_t n_small = 0, large = n;
    for (int64_t i = 0; i < n; ++i) {
        shares[i] = static_cast<double>(counts[i]) * static_cast<double>(n) / total;
        stack[shares[i] < 1.0 ? n_small++ : --large] = static_cast<int32_t>(i);
    }
    while (n_small > 0 && large < n) {
        const int32_t small = stack[--n_small], other = stack[large++];
        table[small] = {static_cast<uint32_t>(shares[small] * 4294967296.0), other};
        shares[other] -= 1.0 - shares[small];
        stack[shares[other] < 1.0 ? n_small++ : --large] = other;
    }
    // What is left is a whole column, but for rounding.
    for (const int32_t* left = stack; left < stack + n_small; ++left) table[*left] = {0, *left};
    for (; large < n; ++large) table[stack[large]] = {0, stack[large]};
}

// ---- the known items --------------------------------------------------------------------------

// Whether the lists of users [first, last) hold items of [0, n_items), sorted and distinct.
inline bool are_sorted(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                       int64_t n_items) {
    for (int64_t user = first; user < last; ++user) {
        int64_t before = -1;
        for (int64_t i = indptr[user]; i < indptr[user + 1]; ++i) {
            if (items[i] <= before || items[i] >= n_items) return false;
            before = items[i];
        }
    }
    return true;
}

}  // namespace
}  // namespace lfm
