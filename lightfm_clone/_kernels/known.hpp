// Is this item among the user's known items? A filter answers almost every "no" with one memory
// access, a binary search in the sorted list settles the rest.
//
// The filter of user u is the words [begin(u), begin(u + 1)) with begin(u) = 13 indptr[u] / 64 + u:
// about 13 bits an item and at least one word, and its place follows from indptr alone. Where that
// is room for a bit for each item of the model, as with users who know much of a small catalogue,
// it is just that, and nothing is left to settle. Elsewhere an item sets three bits of one word (a
// blocked Bloom filter: Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom
// filters", 2007).
#pragma once

#include <string.h>

#include <cstdint>

#include "interface.hpp"

namespace lfm {
namespace {

constexpr int64_t FILTER_BITS_PER_ITEM = 13;

inline int64_t filter_begin(const int64_t* indptr, int64_t user) {
    return indptr[user] * FILTER_BITS_PER_ITEM / 64 + user;
}

// Where an item is in the filter of a user, and its bits there.
struct FilterKey {
    bool exact;
    int64_t word;
    uint64_t bits;

    FilterKey(int64_t n_words, int64_t n_items, int32_t item) : exact(n_words * 64 >= n_items) {
        if (exact) {
            word = item / 64;
            bits = 1ull << (item & 63);
            return;
        }
        uint64_t hash = static_cast<uint64_t>(item) * 0x9E3779B97F4A7C15ull;
        hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
        word = static_cast<int64_t>(((hash >> 32) * static_cast<uint64_t>(n_words)) >> 32);
        bits = 1ull << (hash & 63) | 1ull << (hash >> 6 & 63) | 1ull << (hash >> 12 & 63);
    }
};

// Fills the filters of the users [first, last).
inline void fill_filters(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                         int64_t n_items, uint64_t* filter) {
    for (int64_t user = first; user < last; ++user) {
        const int64_t begin = filter_begin(indptr, user);
        const int64_t n_words = filter_begin(indptr, user + 1) - begin;
        memset(filter + begin, 0, sizeof(uint64_t) * n_words);
        for (int64_t i = indptr[user]; i < indptr[user + 1]; ++i) {
            const FilterKey key(n_words, n_items, items[i]);
            filter[begin + key.word] |= key.bits;
        }
    }
}

inline int64_t n_known(const Known& known, int32_t user) {
    return known.indptr[user + 1] - known.indptr[user];
}

inline FilterKey filter_key(const Known& known, int32_t user, int32_t item) {
    const int64_t* indptr = known.indptr;
    return {filter_begin(indptr, user + 1) - filter_begin(indptr, user), known.n_items, item};
}

// The word of the filter that says whether the user may know the item.
inline const uint64_t* filter_word(const Known& known, int32_t user, const FilterKey& key) {
    return known.filter + filter_begin(known.indptr, user) + key.word;
}

inline bool is_known(const Known& known, int32_t user, int32_t item) {
    const FilterKey key = filter_key(known, user, item);
    if ((*filter_word(known, user, key) & key.bits) != key.bits) return false;
    if (key.exact) return true;
    // The last item that is not above this one. No branch depends on the items: nothing could
    // predict it.
    const int32_t* at = known.items + known.indptr[user];
    for (int64_t size = n_known(known, user); size > 1;) {
        const int64_t half = size / 2;
        at += at[half] <= item ? half : 0;
        size -= half;
    }
    return *at == item;
}

}  // namespace
}  // namespace lfm
