// Is this item among the user's known items? A Bloom filter answers almost every "no" with one
// memory access, a binary search in the sorted list settles the rest.
//
// The filter of user u is the words [begin(u), begin(u + 1)) with begin(u) = 13 indptr[u] / 64 + u:
// about 13 bits an item and at least one word, and its place follows from indptr alone. An item
// sets three bits of one word (a blocked Bloom filter: Putze, Sanders and Singler, "Cache-, hash-
// and space-efficient Bloom filters", 2007).
#pragma once

#include <cstdint>

#include "interface.hpp"

namespace lfm {
namespace {

constexpr int64_t FILTER_BITS_PER_ITEM = 13;

inline int64_t filter_begin(const int64_t* indptr, int64_t user) {
    return indptr[user] * FILTER_BITS_PER_ITEM / 64 + user;
}

struct FilterKey {
    uint64_t hash;
    explicit FilterKey(int32_t item) : hash(static_cast<uint64_t>(item) * 0x9E3779B97F4A7C15ull) {
        hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
    }
    int64_t word(int64_t n_words) const {
        return static_cast<int64_t>(((hash >> 32) * static_cast<uint64_t>(n_words)) >> 32);
    }
    uint64_t bits() const {
        return 1ull << (hash & 63) | 1ull << (hash >> 6 & 63) | 1ull << (hash >> 12 & 63);
    }
};

inline int64_t n_known(const Known& known, int32_t user) {
    return known.indptr[user + 1] - known.indptr[user];
}

inline bool is_known(const Known& known, int32_t user, int32_t item) {
    const int64_t begin = filter_begin(known.indptr, user);
    const FilterKey key(item);
    const uint64_t bits = key.bits();
    const uint64_t word =
        known.filter[begin + key.word(filter_begin(known.indptr, user + 1) - begin)];
    if ((word & bits) != bits) return false;
    int64_t low = known.indptr[user], high = known.indptr[user + 1];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (known.items[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low < known.indptr[user + 1] && known.items[low] == item;
}

}  // namespace
}  // namespace lfm
