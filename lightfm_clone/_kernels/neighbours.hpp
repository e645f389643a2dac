// Neighbours of items: sums over the users whom two items share, the items where these are largest,
// and the systems of equations for their weights.
//
// G = X^T D X, of interactions X and a weight D of each user, is never whole in memory. A row of it
// is the sum of the lists of all users of an item, in a dense row that each thread has. What is
// needed of the row is taken out, and the next one is made in its place. Compiled at the baseline
// level: nearly all of the time goes into additions at places that no vector could hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "prefetch.hpp"

namespace lfm {

// The interactions as users have them, and as items do.
struct Histories {
    const int64_t* indptr;  // of users
    const int32_t* items;   // sorted and distinct for each user
    const float* values;    // null when all are 1
    const float* user_weights;
    const int64_t* item_indptr;
    const int32_t* users;   // of each item, in their order
    const int32_t* places;  // of the item in the list of that user
    int64_t n_items;
};

// Counts the users of each item, for the lists of the users [first, last).
inline void count_users(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                        int64_t* counts) {
    for (int64_t i = indptr[first]; i < indptr[last]; ++i) ++counts[items[i]];
}

// Lists the users [first, last) with their items. `next` has for each item where its next user
// goes. Adds to `additions` what the row of an item takes, whole or up to the diagonal.
inline void list_users(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                       bool whole, int64_t* next, int32_t* users, int32_t* places,
                       int64_t* additions) {
    for (int64_t user = first; user < last; ++user) {
        const int64_t size = indptr[user + 1] - indptr[user];
        for (int64_t place = 0; place < size; ++place) {
            const int32_t item = items[indptr[user] + place];
            users[next[item]] = static_cast<int32_t>(user);
            places[next[item]++] = static_cast<int32_t>(place);
            additions[item] += whole ? size : place + 1;
        }
    }
}

// Room for a row of G, all zeros but between make() and clear().
class GramRow {
  public:
    GramRow(const Histories& x, bool whole) : x(x), whole(whole), sums(x.n_items) {}

    // Makes row `item`, whole or up to the diagonal. Every sum goes over the users in their order.
    void make(int32_t item) {
        float* const out = sums.data();
        const int32_t* const items = x.items;
        const float* const values = x.values;
        int64_t n = 0;
        each_list(item, [&](int64_t begin, int64_t end, float weight) {
            n += end - begin;
            for (int64_t i = begin; i < end; ++i)
                out[items[i]] += values ? weight * values[i] : weight;
        });
        n_additions = n;
    }

    float operator[](int32_t item) const { return sums[item]; }

    // Where the lists of the users are so short that it pays to go over them once more instead of
    // over all items.
    bool is_sparse() const { return n_additions * 8 < x.n_items; }

    // Calls use(item) with the items that may have a sum other than 0; some of them more than once.
    // To be called where is_sparse().
    template <class Use>
    void each_filled(int32_t item, Use use) const {
        each_list(item, [&](int64_t begin, int64_t end, float) {
            for (int64_t i = begin; i < end; ++i) use(x.items[i]);
        });
    }

    void clear(int32_t item) {
        if (is_sparse()) each_filled(item, [this](int32_t other) { sums[other] = 0.0f; });
        else std::fill(sums.begin(), sums.end(), 0.0f);
    }

    void clear_one(int32_t item) { sums[item] = 0.0f; }

  private:
    static constexpr int64_t LISTS_AHEAD = 8;

    const Histories& x;
    const bool whole;
    std::vector<float> sums;
    int64_t n_additions = 0;

    // Calls use(begin, end, weight) with the list of each user of the item, whole or up to it.
    template <class Use>
    void each_list(int32_t item, Use use) const {
        const int64_t last = x.item_indptr[item + 1];
        for (int64_t at = x.item_indptr[item]; at < last; ++at) {
            if (at + LISTS_AHEAD < last)
                prefetch_to_read(x.items + x.indptr[x.users[at + LISTS_AHEAD]]);
            const int32_t user = x.users[at];
            const int64_t begin = x.indptr[user], own = begin + x.places[at];
            const float value = x.values ? x.values[own] : 1.0f;
            use(begin, whole ? x.indptr[user + 1] : own + 1, x.user_weights[user] * value);
        }
    }
};

// ---- the nearest items ------------------------------------------------------------------------

class NearestItems {
  public:
    NearestItems(const Histories& x, const float* scales, int64_t k, int threads)
        : x(x), scales(scales), k(k), threads(threads, Room(x)) {
        for (Room& room : this->threads) room.found.reserve(std::min(2 * k, x.n_items));
    }

    // Writes the k items with the largest similarity above 0, sorted; the rest is item -1 with 0.
    void find(int thread, int32_t item, int32_t* neighbours, float* similarities) {
        Room& room = threads[thread];
        room.found.clear();
        room.least = std::numeric_limits<float>::denorm_min();
        room.row.make(item);
        room.row.clear_one(item);
        if (room.row.is_sparse())
            room.row.each_filled(item, [&](int32_t other) {
                offer(room, other, similarity(room, item, other));
                room.row.clear_one(other);
            });
        else find_in_all(room, item);
        room.row.clear(item);
        keep_best(room);
        std::sort(room.found.begin(), room.found.end(),
                  [](const Found& a, const Found& b) { return a.item < b.item; });
        const int64_t n = static_cast<int64_t>(room.found.size());
        for (int64_t i = 0; i < k; ++i) {
            neighbours[i] = i < n ? room.found[i].item : -1;
            similarities[i] = i < n ? room.found[i].similarity : 0.0f;
        }
    }

  private:
    struct Found {
        float similarity;
        int32_t item;
    };

    // What a thread has to itself.
    struct Room {
        explicit Room(const Histories& x) : row(x, true) {}

        GramRow row;
        std::vector<Found> found;  // the best k so far and, unsorted, some that may be better
        float least;               // what is less is not among the best
    };

    static constexpr int32_t ITEMS_AT_ONCE = 64;

    const Histories& x;
    const float* const scales;
    const int64_t k;
    std::vector<Room> threads;

    float similarity(const Room& room, int32_t item, int32_t other) const {
        return room.row[other] * scales[other] * scales[item];
    }

    void find_in_all(Room& room, int32_t item) const {
        const int32_t n_items = static_cast<int32_t>(x.n_items);
        for (int32_t first = 0; first < n_items; first += ITEMS_AT_ONCE) {
            const int32_t n = std::min(ITEMS_AT_ONCE, n_items - first);
            float found[ITEMS_AT_ONCE];
            int any = 0;
            for (int32_t i = 0; i < n; ++i) {
                found[i] = similarity(room, item, first + i);
                any |= found[i] >= room.least;
            }
            for (int32_t i = 0; any && i < n; ++i) offer(room, first + i, found[i]);
        }
    }

    void offer(Room& room, int32_t item, float similarity) const {
        if (!(similarity >= room.least)) return;
        room.found.push_back({similarity, item});
        if (static_cast<int64_t>(room.found.size()) == 2 * k) {
            keep_best(room);
            room.least = room.found[k - 1].similarity;
        }
    }

    // Leaves no more than k, the worst of them last.
    void keep_best(Room& room) const {
        if (static_cast<int64_t>(room.found.size()) <= k) return;
        std::nth_element(room.found.begin(), room.found.begin() + k - 1, room.found.end(),
                         [](const Found& a, const Found& b) {
                             return a.similarity > b.similarity ||
                                    (a.similarity == b.similarity && a.item < b.item);
                         });
        room.found.resize(k);
    }
};

// ---- the systems for their weights --------------------------------------------------------------

// Whether the lists of the items [first, last) have, of k places each, items of [0, n_items),
// sorted, distinct and without the item itself, and behind them nothing but -1. Writes how many
// each has.
inline bool are_neighbours(const int32_t* neighbours, int64_t k, int64_t first, int64_t last,
                           int64_t n_items, int64_t* counts) {
    for (int64_t item = first; item < last; ++item) {
        const int32_t* const list = neighbours + item * k;
        int64_t n = 0, before = -1;
        for (; n < k && list[n] != -1; before = list[n++])
            if (list[n] <= before || list[n] >= n_items || list[n] == item) return false;
        counts[item] = n;
        for (; n < k; ++n)
            if (list[n] != -1) return false;
    }
    return true;
}

// The systems of the items [first, last). Each has a triangle of G for its neighbours and, where
// its weights will be, a right-hand side. Row a of G has what both need of a and the items before
// it, so half a row is enough.
class RidgeSystems {
  public:
    // counts: how many neighbours an item has. begins: where its triangle is, less begins[first].
    RidgeSystems(const Histories& x, const int32_t* neighbours, int64_t k, const int64_t* counts,
                 const int64_t* begins, int threads)
        : x(x), neighbours(neighbours), k(k), counts(counts), begins(begins),
          places_of(x.n_items + 1), rows(threads, GramRow(x, false)) {}

    // Turns to the items [first, last). Their triangles will be in `triangles`.
    void turn_to(int64_t first_item, int64_t last_item, float* room) {
        first = first_item;
        last = last_item;
        triangles = room;
        // Sorted by counting: the places in the lists of these items where an item occurs.
        std::fill(places_of.begin(), places_of.end(), 0);
        each_place([this](int64_t place) { ++places_of[neighbours[place] + 1]; });
        for (int64_t a = 0; a < x.n_items; ++a) places_of[a + 1] += places_of[a];
        places.resize(places_of[x.n_items]);
        each_place([this](int64_t place) { places[places_of[neighbours[place]]++] = place; });
        for (int64_t a = x.n_items; a > 0; --a) places_of[a] = places_of[a - 1];
        places_of[0] = 0;
    }

    // Whether anything of row a is needed.
    bool needs(int64_t a) const {
        return places_of[a] < places_of[a + 1] || (first <= a && a < last && counts[a]);
    }

    // Makes row a and copies what is needed of it.
    void copy_row(int thread, int32_t a, float* weights) {
        GramRow& row = rows[thread];
        row.make(a);
        for (int64_t i = places_of[a]; i < places_of[a + 1]; ++i) {
            const int64_t item = places[i] / k, place = places[i] % k;
            const int32_t* const list = neighbours + item * k;
            float* const out = triangles + begins[item] - begins[first] + place * (place + 1) / 2;
            for (int64_t j = 0; j <= place; ++j) out[j] = row[list[j]];
            if (item < a) weights[places[i]] = row[static_cast<int32_t>(item)];
        }
        if (first <= a && a < last)
            for (int64_t i = a * k; i < a * k + counts[a] && neighbours[i] < a; ++i)
                weights[i] = row[neighbours[i]];
        row.clear(a);
    }

  private:
    const Histories& x;
    const int32_t* const neighbours;
    const int64_t k;
    const int64_t* const counts;
    const int64_t* const begins;
    int64_t first = 0, last = 0;
    float* triangles = nullptr;
    std::vector<int64_t> places_of;  // of item a: places[places_of[a] .. places_of[a + 1])
    std::vector<int64_t> places;     // item * k + place in its list
    std::vector<GramRow> rows;       // one for each thread

    template <class Use>
    void each_place(Use use) const {
        for (int64_t item = first; item < last; ++item)
            for (int64_t i = item * k; i < item * k + counts[item]; ++i) use(i);
    }
};

}  // namespace lfm
