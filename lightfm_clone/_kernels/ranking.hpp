// Scores and ranks of many items at once.
//
// Items are packed component-major in panels of PANEL, so that the scores of a panel grow side by
// side in registers, for USERS_AT_ONCE users at a time. Every score is the same chain of
// multiply-adds, component 0 to d - 1, then the item's bias, then the user's, wherever the item
// stands: equal items tie exactly, which a library's matrix product does not promise.
#pragma once

#include "interface.hpp"
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

// scores[u * TILE + i] of `n_panels` panels for N_USERS users.
template <int N_USERS>
inline void score_tile(const float* const* user_vectors, const float* user_biases,
                       const float* panels, int n_panels, int32_t no_components, float* scores) {
    constexpr int VECTORS = PANEL / Vec::N;
    for (int p = 0; p < n_panels; ++p) {
        Vec sums[N_USERS][VECTORS];
        for (int u = 0; u < N_USERS; ++u)
            for (int v = 0; v < VECTORS; ++v) sums[u][v] = Vec::all(0.0f);
        for (int32_t c = 0; c < no_components; ++c, panels += PANEL) {
            // Users outside: with both item vectors loaded, one more register is enough.
            Vec items[VECTORS];
            for (int v = 0; v < VECTORS; ++v) items[v] = Vec::load(panels + v * Vec::N);
            for (int u = 0; u < N_USERS; ++u) {
                const Vec user = Vec::all(user_vectors[u][c]);
                for (int v = 0; v < VECTORS; ++v)
                    sums[u][v] = multiply_add(user, items[v], sums[u][v]);
            }
        }
        for (int v = 0; v < VECTORS; ++v) {
            const Vec biases = Vec::load(panels + v * Vec::N);
            for (int u = 0; u < N_USERS; ++u)
                (sums[u][v] + biases + Vec::all(user_biases[u]))
                    .store(scores + u * TILE + p * PANEL + v * Vec::N);
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

// counts[t] += how many of the scores are >= targets[t]; n_scores is a multiple of Vec::N.
inline void count_at_least(const float* scores, int n_scores, const float* targets,
                           int64_t n_targets, float* counts) {
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
            counts[first + t] += sums[t].sum();
    }
}

// ranks[e] for the test entries e of users user_ids[0 .. n): how many other items score at least
// as high, items in the user's train row left out. Rows of train are sorted. Items are scored
// TILE at a time, so scores never leave the cache; a train item's score is struck out as -infinity
// before counting. in_train[e] says whether the entry is in the train row. `scratch` holds
// USERS_AT_ONCE * TILE floats.
inline void rank_users(const Representations& users, const float* panels, int32_t n_items,
                       int32_t no_components, const int32_t* user_ids, int32_t n,
                       const int64_t* test_indptr, const int32_t* test_indices,
                       const int64_t* train_indptr, const int32_t* train_indices, float* scratch,
                       float* targets, float* ranks, uint8_t* in_train) {
    const int64_t panel_floats = static_cast<int64_t>(PANEL) * (no_components + 1);
    const float* vectors[USERS_AT_ONCE];
    float biases[USERS_AT_ONCE];
    int64_t train_at[USERS_AT_ONCE];
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
            for (int64_t e = test_indptr[user]; e < test_indptr[user + 1]; ++e) {
                targets[e] = score_one(vectors[u], biases[u], panels, test_indices[e],
                                       no_components);
                ranks[e] = 0.0f;
            }
        }
        for (int32_t tile = 0; tile < n_items; tile += TILE) {
            const int32_t tile_end = n_items - tile < TILE ? n_items : tile + TILE;
            const int n_panels = (tile_end - tile + PANEL - 1) / PANEL;
            score_tile<USERS_AT_ONCE>(vectors, biases, panels + tile / PANEL * panel_floats,
                                      n_panels, no_components, scratch);
            for (int32_t u = 0; u < n_users; ++u) {
                const int32_t user = user_ids[first + u];
                float* scores = scratch + u * TILE;
                for (; train_at[u] < train_indptr[user + 1] &&
                       train_indices[train_at[u]] < tile_end;
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
                if (!in_train[e] && ranks[e] > 0.0f) ranks[e] -= 1.0f;
            }
        }
    }
}

}  // namespace
}  // namespace lfm
