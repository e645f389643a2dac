// Scores and ranks of many items at once.
//
// Items are packed component-major in panels of PANEL, so that the scores of a panel grow side by
// side in registers, for USERS_AT_ONCE users at a time. Every score is the same chain of
// multiply-adds, component 0 to d - 1, then the item's bias, then the user's, wherever the item
// stands: equal items tie exactly, which a library's matrix product does not promise. What a history
// adds follows in the same chain, so a score of one item alone has the bits that it has among all.
#pragma once

#include "interface.hpp"
#include "prefetch.hpp"
#include "products.hpp"
#include "vec.hpp"

namespace lfm {
namespace {

// Panel p holds items [16 p, 16 p + 16): per component 16 values, then the 16 biases. Items beyond
// the last score NaN, which is never >= anything.
inline void pack_panels(const Representations& items, int32_t n_items, int32_t no_components,
                        float* panels) {
    for (int64_t first = 0; first < n_items; first += PANEL) {
        for (int32_t c = 0; c <= no_components; ++c) {
            for (int64_t i = first; i < first + PANEL; ++i) {
                if (i >= n_items) *panels++ = NAN;
                else if (c < no_components) *panels++ = items.vectors[i * no_components + c];
                else *panels++ = items.biases[i];
            }
        }
    }
}

// scores[u * tile + i] of `n_panels` panels for N_USERS users.
template <int N_USERS>
inline void score_tile(const float* const* user_vectors, const float* user_biases,
                       const float* panels, int n_panels, int32_t no_components, int32_t tile,
                       float* scores) {
    for (int p = 0; p < n_panels; ++p) {
        PanelSums<N_USERS> product(user_vectors, 1, panels, PANEL, no_components);
        panels += int64_t{PANEL} * no_components;
        for (int v = 0; v < product.VECTORS; ++v) {
            const Vec biases = Vec::load(panels + v * Vec::N);
            for (int u = 0; u < N_USERS; ++u)
                (product.sums[u][v] + biases + Vec::all(user_biases[u]))
                    .store(scores + u * tile + p * PANEL + v * Vec::N);
        }
        panels += PANEL;
    }
}

// The score that score_tile gives one item.
inline float score_one(const float* user_vector, float user_bias, const float* panels, int32_t item,
                       int32_t no_components) {
    const float* column =
        panels + static_cast<int64_t>(item / PANEL) * PANEL * (no_components + 1) + item % PANEL;
    float sum = 0.0f;
    for (int32_t c = 0; c < no_components; ++c, column += PANEL)
        sum = multiply_add(user_vector[c], *column, sum);
    return sum + *column + user_bias;
}

// Adds what a user's history says of items to their scores; `matrix` is B by the item that speaks,
// or a tile of it, and scores[i] is of its column i. Rows are short and of any length, and a branch
// that is guessed wrongly at the end of each would throw away the additions that wait for memory
// behind it. So products and places are first copied, whole vectors at a time, one row behind the
// other; then one loop adds a thousand or two.
template <class Pointer, class Index>
inline void spread(const Influence& influence, int64_t user, const SparseOf<Pointer, Index>& matrix,
                   float* scores) {
    constexpr int AHEAD = 8, FAR_AHEAD = 24;  // rows that are asked for early, and where they begin
    constexpr int AT_ONCE = 2048;
    float products[AT_ONCE + Vec::N];
    Index places[AT_ONCE + Vec::N];
    int n = 0;
    const auto add = [&] {
        for (int i = 0; i < n; ++i) scores[places[i]] += products[i];
        n = 0;
    };
    const Sparse& histories = influence.histories;
    const int64_t n_entries = matrix.indptr[influence.n_rows];
    const int64_t last = histories.indptr[user + 1];
    for (int64_t e = histories.indptr[user]; e < last; ++e) {
        if (e + FAR_AHEAD < last)
            prefetch_to_read(matrix.indptr + histories.indices[e + FAR_AHEAD]);
        if (e + AHEAD < last) {
            const int64_t next = matrix.indptr[histories.indices[e + AHEAD]];
            prefetch_to_read(matrix.indices + next);
            prefetch_to_read(matrix.values + next);
            prefetch_to_read(matrix.values + next + 16);
        }
        const float weight = histories.values[e];
        int64_t at = matrix.indptr[histories.indices[e]];
        const int64_t end = matrix.indptr[histories.indices[e] + 1];
        while (at < end) {
            const int count = static_cast<int>(end - at < AT_ONCE - n ? end - at : AT_ONCE - n);
            if (at + count + Vec::N <= n_entries) {
                // What is copied beyond `count` is overwritten by the next row, or not read.
                for (int i = 0; i < count; i += Vec::N) {
                    (Vec::all(weight) * Vec::load(matrix.values + at + i)).store(products + n + i);
                    memcpy(places + n + i, matrix.indices + at + i, Vec::N * sizeof(Index));
                }
            } else {
                for (int i = 0; i < count; ++i) {
                    products[n + i] = weight * matrix.values[at + i];
                    places[n + i] = matrix.indices[at + i];
                }
            }
            n += count;
            at += count;
            if (n == AT_ONCE) add();
        }
    }
    add();
}

// Lays a user's history out over `dense`, or makes that zeros again.
template <bool ZEROS>
inline void lay_out(const Influence& influence, int64_t user) {
    const Sparse& histories = influence.histories;
    for (int64_t e = histories.indptr[user]; e < histories.indptr[user + 1]; ++e)
        influence.dense[histories.indices[e]] = ZEROS ? 0.0f : histories.values[e];
}

// A score and what the history in `dense` adds to it. An item that is not in the history adds 0,
// which changes no bit: the sum is that of `spread`.
inline float with_influence(const Influence& influence, int64_t item, float score) {
    const Sparse& columns = influence.columns;
    for (int64_t at = columns.indptr[item]; at < columns.indptr[item + 1]; ++at)
        score += influence.dense[columns.indices[at]] * columns.values[at];
    return score;
}

// counts[t] += how many of the scores, at most 2^24, are >= targets[t]; n_scores is a multiple of
// Vec::N.
inline void count_at_least(const float* scores, int n_scores, const float* targets,
                           int64_t n_targets, int32_t* counts) {
    constexpr int AT_ONCE = 4;  // sums that grow independently of each other
    for (int64_t first = 0; first < n_targets; first += AT_ONCE) {
        Vec target[AT_ONCE], sums[AT_ONCE];
        for (int t = 0; t < AT_ONCE; ++t) {
            target[t] = Vec::all(first + t < n_targets ? targets[first + t] : INFINITY);
            sums[t] = Vec::all(0.0f);
        }
        for (int i = 0; i < n_scores; i += Vec::N) {
            const Vec score = Vec::load(scores + i);
            for (int t = 0; t < AT_ONCE; ++t) score.count_at_least(target[t], sums[t]);
        }
        for (int t = 0; t < AT_ONCE && first + t < n_targets; ++t)
            counts[first + t] += static_cast<int32_t>(sums[t].sum());
    }
}

// ranks[e] for the test entries e of users user_ids[0 .. n): how many other items score at least
// as high, items in the user's train row left out. Rows of train are sorted. Items are scored
// a tile at a time, so scores never leave the cache; a train item's score is struck out as -infinity
// before counting. in_train[e] says whether the entry is in the train row. `scratch` holds a tile
// for each of USERS_AT_ONCE users.
inline void rank_users(const Representations& users, const Influence& influence,
                       const float* panels, int32_t n_items, int32_t no_components,
                       const int32_t* user_ids, int32_t n, const int64_t* test_indptr,
                       const int32_t* test_indices, const int64_t* train_indptr,
                       const int32_t* train_indices, float* scratch, float* targets, int32_t* ranks,
                       uint8_t* in_train) {
    const int64_t panel_floats = static_cast<int64_t>(PANEL) * (no_components + 1);
    const float* vectors[USERS_AT_ONCE];
    float biases[USERS_AT_ONCE];
    int64_t train_at[USERS_AT_ONCE];
    const bool fused = influence.histories.indptr;
    const int32_t size = tile_size(influence, n_items);
    for (int32_t first = 0; first < n; first += USERS_AT_ONCE) {
        const int32_t n_users = n - first < USERS_AT_ONCE ? n - first : USERS_AT_ONCE;
        for (int32_t u = 0; u < USERS_AT_ONCE; ++u) {
            // A short group is filled up with its last user.
            const int32_t user = user_ids[first + (u < n_users ? u : n_users - 1)];
            vectors[u] = users.vectors + static_cast<int64_t>(user) * no_components;
            biases[u] = users.biases[user];
            train_at[u] = train_indptr[user];
        }
        for (int32_t u = 0; u < n_users; ++u) {
            const int32_t user = user_ids[first + u];
            if (fused) lay_out<false>(influence, user);
            for (int64_t e = test_indptr[user]; e < test_indptr[user + 1]; ++e) {
                targets[e] =
                    score_one(vectors[u], biases[u], panels, test_indices[e], no_components);
                if (fused) targets[e] = with_influence(influence, test_indices[e], targets[e]);
                ranks[e] = 0;
            }
            if (fused) lay_out<true>(influence, user);
        }
        for (int32_t tile = 0; tile < n_items; tile += size) {
            const int32_t tile_end = n_items - tile < size ? n_items : tile + size;
            const int n_panels = (tile_end - tile + PANEL - 1) / PANEL;
            score_tile<USERS_AT_ONCE>(vectors, biases, panels + tile / PANEL * panel_floats,
                                      n_panels, no_components, size, scratch);
            for (int32_t u = 0; u < n_users; ++u) {
                const int32_t user = user_ids[first + u];
                float* scores = scratch + u * size;
                if (fused) spread(influence, user, influence.tiles[tile / size], scores);
                for (;
                     train_at[u] < train_indptr[user + 1] && train_indices[train_at[u]] < tile_end;
                     ++train_at[u])
                    scores[train_indices[train_at[u]] - tile] = -INFINITY;
                count_at_least(scores, n_panels * PANEL, targets + test_indptr[user],
                               test_indptr[user + 1] - test_indptr[user],
                               ranks + test_indptr[user]);
            }
        }
        for (int32_t u = 0; u < n_users; ++u) {
            const int32_t user = user_ids[first + u];
            for (int64_t e = test_indptr[user]; e < test_indptr[user + 1]; ++e) {
                int64_t low = train_indptr[user], high = train_indptr[user + 1];
                while (low < high) {
                    const int64_t middle = low + (high - low) / 2;
                    if (train_indices[middle] < test_indices[e]) low = middle + 1;
                    else high = middle;
                }
                in_train[e] = low < train_indptr[user + 1] && train_indices[low] == test_indices[e];
                // One for itself, unless it was struck out (or is NaN, and nothing's equal).
                if (!in_train[e] && ranks[e] > 0) --ranks[e];
            }
        }
    }
}

// ---- top-N -------------------------------------------------------------------------------------
//
// A user's best k so far are a heap in their row of the results, the worst of them at its root: an
// item enters if it scores above the root. Items come by rising id, so of equal ones the first stay.

inline bool is_worse(float score, int32_t id, float than_score, int32_t than_id) {
    return score < than_score || (score == than_score && id > than_id);
}

// Lets the entry at `at` sink to its place among the first `size`.
inline void sink(int32_t* ids, float* scores, int32_t at, int32_t size) {
    const int32_t id = ids[at];
    const float score = scores[at];
    for (;;) {
        int64_t child = 2 * static_cast<int64_t>(at) + 1;
        if (child >= size) break;
        if (child + 1 < size &&
            is_worse(scores[child + 1], ids[child + 1], scores[child], ids[child]))
            ++child;
        if (!is_worse(scores[child], ids[child], score, id)) break;
        ids[at] = ids[child];
        scores[at] = scores[child];
        at = static_cast<int32_t>(child);
    }
    ids[at] = id;
    scores[at] = score;
}

struct Best {
    int32_t* ids;
    float* scores;
    int32_t k;
    int32_t size;

    float threshold() const { return size == k ? scores[0] : -INFINITY; }

    // Whether an item belongs to the best, in whatever order they come.
    bool has_place_for(int32_t id, float score) const {
        return size < k ? score > -INFINITY : is_worse(scores[0], ids[0], score, id);
    }

    void add(int32_t id, float score) {
        if (size < k) {
            ids[size] = id;
            scores[size++] = score;
            if (size == k)
                for (int32_t at = k / 2 - 1; at >= 0; --at) sink(ids, scores, at, k);
        } else {
            ids[0] = id;
            scores[0] = score;
            sink(ids, scores, 0, k);
        }
    }

    // Best first; what is missing to k is item -1 with a score of -infinity.
    void sort() {
        for (int32_t at = size / 2 - 1; size < k && at >= 0; --at) sink(ids, scores, at, size);
        for (int32_t last = size - 1; last > 0; --last) {
            const int32_t id = ids[last];
            const float score = scores[last];
            ids[last] = ids[0];
            scores[last] = scores[0];
            ids[0] = id;
            scores[0] = score;
            sink(ids, scores, 0, last);
        }
        for (; size < k; ++size) {
            ids[size] = -1;
            scores[size] = -INFINITY;
        }
    }
};

// Adds those of n_scores scores of items first, first + 1, ... that belong to the best.
inline void add_best(const float* scores, int n_scores, int32_t first, Best* best) {
    float threshold = best->threshold();
    for (int i = 0; i < n_scores; i += Vec::N) {
        if (!Vec::load(scores + i).any_above(Vec::all(threshold))) continue;
        for (int j = i; j < i + Vec::N; ++j) {
            if (scores[j] > threshold) {
                best->add(first + j, scores[j]);
                threshold = best->threshold();
            }
        }
    }
}

// A score from an item's vector as it lies in memory.
inline float score_row(const float* user_vector, float user_bias, const Representations& items,
                       int64_t item, int32_t no_components) {
    return dot_product(user_vector, items.vectors + item * no_components, no_components) +
           items.biases[item] + user_bias;
}

// scores[i] of n items for one user, those that `item(i)` gives, each as score_row makes it.
template <class Item>
inline void score_items(const float* user_vector, float user_bias, const Representations& items,
                        Item item, int64_t n, int32_t no_components, float* scores) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float* vectors[4];
        for (int r = 0; r < 4; ++r) vectors[r] = items.vectors + item(i + r) * no_components;
        float products[4];
        four_products(user_vector, vectors, no_components, products);
        for (int r = 0; r < 4; ++r)
            scores[i + r] = products[r] + items.biases[item(i + r)] + user_bias;
    }
    for (; i < n; ++i) scores[i] = score_row(user_vector, user_bias, items, item(i), no_components);
}

// out[i] += what the history of user_ids[i] adds to the score of item_ids[i]. Where a user's pairs
// follow each other, the history is laid out once for all of them.
inline void add_influence(const Influence& influence, const int32_t* user_ids,
                          const int32_t* item_ids, int64_t n, float* out) {
    for (int64_t i = 0; i < n;) {
        const int32_t user = user_ids[i];
        lay_out<false>(influence, user);
        for (; i < n && user_ids[i] == user; ++i)
            out[i] = with_influence(influence, item_ids[i], out[i]);
        lay_out<true>(influence, user);
    }
}

// The scores of items first to end - 1 for one user, and NaN up to a whole vector.
inline void score_rows(const float* user_vector, float user_bias, const Representations& items,
                       int32_t first, int32_t end, int32_t no_components, float* scores) {
    score_items(
        user_vector, user_bias, items, [=](int64_t i) { return first + i; }, end - first,
        no_components, scores);
    for (int32_t i = end - first; i % Vec::N; ++i) scores[i] = NAN;
}

// The k best items of n <= USERS_IN_BLOCK users, best first, without the items
// excluded[begins[u] .. ends[u]), which are sorted. `panels` may be null: for a few users packing
// them would cost more than it saves. A tile of panels stays in the cache while all users go over
// it. `scratch` holds a tile for each of USERS_AT_ONCE users; without panels for n at most.
inline void top_items(const Representations& users, const Influence& influence, int32_t n,
                      const Representations& items, const float* panels, int32_t n_items,
                      int32_t no_components, const int64_t* begins, const int64_t* ends,
                      const int32_t* excluded, int32_t k, float* scratch, int32_t* ids,
                      float* scores) {
    const int64_t panel_floats = static_cast<int64_t>(PANEL) * (no_components + 1);
    Best best[USERS_IN_BLOCK];
    int64_t excluded_at[USERS_IN_BLOCK];
    const bool fused = influence.histories.indptr;
    const int32_t size = tile_size(influence, n_items);
    for (int32_t u = 0; u < n; ++u) {
        best[u] = {ids + int64_t{u} * k, scores + int64_t{u} * k, k, 0};
        excluded_at[u] = begins[u];
    }
    for (int32_t tile = 0; tile < n_items; tile += size) {
        const int32_t tile_end = n_items - tile < size ? n_items : tile + size;
        const int n_panels = (tile_end - tile + PANEL - 1) / PANEL;
        const int n_scores =
            panels ? n_panels * PANEL : (tile_end - tile + Vec::N - 1) / Vec::N * Vec::N;
        for (int32_t first = 0; first < n; first += USERS_AT_ONCE) {
            const int32_t n_users = n - first < USERS_AT_ONCE ? n - first : USERS_AT_ONCE;
            const float* vectors[USERS_AT_ONCE];
            float biases[USERS_AT_ONCE];
            for (int32_t u = 0; u < USERS_AT_ONCE; ++u) {
                const int64_t user = first + (u < n_users ? u : n_users - 1);
                vectors[u] = users.vectors + user * no_components;
                biases[u] = users.biases[user];
            }
            if (panels)
                score_tile<USERS_AT_ONCE>(vectors, biases, panels + tile / PANEL * panel_floats,
                                          n_panels, no_components, size, scratch);
            else
                for (int32_t at = tile; at < tile_end; at += TILE)
                    for (int32_t u = 0; u < n_users; ++u)
                        score_rows(vectors[u], biases[u], items, at,
                                   tile_end - at < TILE ? tile_end : at + TILE, no_components,
                                   scratch + int64_t{u} * size + (at - tile));
            for (int32_t u = 0; u < n_users; ++u) {
                float* tile_scores = scratch + int64_t{u} * size;
                if (fused && panels)
                    spread(influence, first + u, influence.tiles[tile / size], tile_scores);
                else if (fused) spread(influence, first + u, influence.rows, tile_scores);
                int64_t& at = excluded_at[first + u];
                for (; at < ends[first + u] && excluded[at] < tile_end; ++at)
                    tile_scores[excluded[at] - tile] = -INFINITY;
                add_best(tile_scores, n_scores, tile, &best[first + u]);
            }
        }
    }
    for (int32_t u = 0; u < n; ++u) best[u].sort();
}

}  // namespace
}  // namespace lfm
