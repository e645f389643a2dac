// What the compiled core and the kernels of every instruction level share: plain data, no code.
//
// Layout of the parameters of one side (users or items) during a fit
// -----------------------------------------------------------------
// Feature f owns one row of `parts * lanes` floats, aligned to 64 bytes:
//
//     [ x (lanes) | G (lanes, not for sgd) | M (lanes, adadelta only) ]
//
// x are the embedding's components, G the accumulated squared gradients, M the accumulated squared
// steps; `lanes` is no_components rounded up to 16 floats, one cache line. Where that leaves
// padding, the bias lives in lane `no_components` of each part, so that it costs no memory access
// of its own; where no_components is a multiple of 16, the biases lie in a second, dense array of
// `bias_stride` floats each: [ x ], [ x, G ] or [ x, G, M, 0 ]. Padding lanes hold x = 0, G = infinity,
// M = 0, and their gradients are 0, so no loop needs a mask.
#pragma once

#include <cstdint>

namespace lfm {

// The lists of losses (losses.hpp) and schedules (schedules.hpp).
enum Loss { LOGISTIC, BPR, WARP, WARP_KOS, MSE, SOFTMAX, N_LOSSES };
constexpr const char* LOSS_NAMES[N_LOSSES] = {"logistic", "bpr", "warp",
                                              "warp-kos", "mse", "softmax"};
constexpr bool DRAWS_NEGATIVES[N_LOSSES] = {false, true, true, true, false, true};
enum Schedule { ADAGRAD, ADADELTA, SGD, N_SCHEDULES };
constexpr const char* SCHEDULE_NAMES[N_SCHEDULES] = {"adagrad", "adadelta", "sgd"};

// CSR features of the users or the items. Without `indptr` it is the identity: row i is feature i.
// Row i has the entries [indptr[parts * i], indptr[parts * (i + 1)]). Where there are 2 parts, those
// from indptr[2 * i + 1] on are its identities, which can be left out.
// Row i has the rare features rare[rare_indptr[i] .. rare_indptr[i + 1]): those whose parameters are
// not in the cache anyway.
struct FeatureMatrix {
    const int64_t* indptr;
    int64_t parts;
    const int32_t* indices;
    const float* data;
    const int64_t* rare_indptr;
    const int32_t* rare;
};

struct Side {
    float* rows;
    float* biases;  // null when the bias lives in the row
    int64_t row_stride;
    int64_t bias_stride;
    FeatureMatrix features;
    double alpha;
    int64_t n_frozen;  // the first so many features are read, but never updated
};

// The distinct items each user is known to have interacted with, sorted, and a filter over them
// (known.hpp).
struct Known {
    const int64_t* indptr;
    const int32_t* items;
    const uint64_t* filter;
    int64_t n_items;  // of the model
};

// The L2 scales of the two sides (step.hpp). Threads read them when a block starts and multiply
// their own growth in when it ends; `full` asks every thread to stop at its next example. While
// threads run, all of it is read and written by atomic.hpp.
struct Scales {
    double user;
    double item;
    int32_t full;
};

// One stored interaction is two 32-bit words, [ user, item ], and behind them the bits of its value,
// for a loss that has a use for it, and of its sample weight, if there are weights. NOT_POSITIVE in
// the user's word marks a value <= 0.
constexpr uint32_t NOT_POSITIVE = 0x80000000u;
constexpr int MAX_WORDS = 4;

// Items that each user is known to dislike: the stored interactions <= 0.
struct Disliked {
    const int64_t* indptr;  // null when they are not to be preferred
    const int32_t* items;
    float share;  // of the draws of negatives
};

// A column of an alias table (Walker, "New fast method for generating discrete random numbers with
// arbitrary frequency distributions", Electronics Letters 1974). A draw picks a column, each as
// likely as any other, and in the column its own item in `own` of 2^32 cases, else the other.
struct AliasColumn {
    uint32_t own;
    int32_t other;
};

// What a thread carries from block to block of an epoch, on a cache line of its own.
struct alignas(64) Sums {
    double loss;
    int64_t examples;    // trained on, or looked at in vain
    int64_t violations;  // found by WARP
    int64_t tries;       // that WARP made
    int64_t cut;         // violations whose weight was cut at MAX_WEIGHT for their sample weight
    float usual_tries;   // moving average of the tries of an example
};

struct Problem {
    Side users;
    Side items;
    Known known;
    Disliked disliked;
    const uint32_t* interactions;  // in the order they were given
    const uint32_t* order;         // the same, in this epoch's random order
    int32_t words;
    bool has_values;  // the third word is the interaction's value
    int64_t n_interactions;
    int32_t n_items;
    const int32_t* candidates;  // the items that negatives are drawn from; null when all are
    int32_t n_candidates;
    const AliasColumn* popularity;  // [n_items], the law of BPR's negatives; null when that is
                                    // the item of a uniformly drawn interaction
    const uint8_t* saturated;  // 1 for a user who knows every item that this law can draw; null
                               // when there is none
    int32_t no_components;
    int32_t lanes;
    float learning_rate;       // at the first example of the epoch
    float last_learning_rate;  // after the last one; only sgd has another one there
    float rho;
    float epsilon;
    int64_t max_sampled;
    int32_t k;
    int32_t n;
    float temperature;
    int32_t n_negatives;
    const float* warp_weights;  // weight of a violation found at try t, at [t - 1]
    int64_t n_warp_weights;     // later tries weigh what the last one does
    double identity_dropout;    // share of examples that go without identities
    uint64_t seed;
    Scales* scales;
};

// Trains on the examples [*position, end) of the epoch's order and moves *position on; it stops
// early only when the scales are full. `scratch`, `scratch_floats` of zeros to begin with, and `sums`
// are this thread's own.
typedef void (*BlockKernel)(const Problem& problem, float* scratch, Sums* sums, int64_t* position,
                            int64_t end);

constexpr int64_t MAX_EXAMPLES = 160;  // in a block of the softmax
constexpr int PANEL = 16;              // columns of a small matrix product that grow side by side

inline int64_t whole_panels(int64_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

// From one row of a matrix of the softmax to the next: rows of an even number of cache lines would
// all begin in a few sets of the L1 cache, and push one another out.
inline int64_t odd_lines(int64_t floats) { return floats | 16; }

// Floats of scratch that a kernel needs. WARP_KOS keeps at most n_kept positives of an example.
inline int64_t scratch_floats(int loss, const Problem& problem, int64_t n_kept) {
    const int64_t lanes = problem.lanes;
    int64_t floats = 5 * lanes;
    if (loss == WARP_KOS) floats += 2 * n_kept;
    if (loss == SOFTMAX) {
        const int64_t n = whole_panels(problem.n_negatives), row = odd_lines(lanes);
        floats += MAX_EXAMPLES * (3 * row + odd_lines(n)) + n * (2 * row + 6) + problem.n_items +
                  problem.n_items / 32 + 63;
    }
    return (floats + 15) / 16 * 16;
}

// Dense representations: vectors [n, no_components], row-major, and their biases [n].
struct Representations {
    const float* vectors;
    const float* biases;
};

// A sparse matrix by rows, or by columns: number r has the entries indptr[r] .. indptr[r + 1] - 1,
// their indices ascending and distinct. Without `indptr` there is none.
template <class Pointer, class Index>
struct SparseOf {
    const Pointer* indptr;
    const Index* indices;
    const float* values;
};
using Sparse = SparseOf<int64_t, int32_t>;
// INFLUENCE_TILE columns of a matrix by rows, the indices counted from the first of them.
using SparseTile = SparseOf<int32_t, uint16_t>;

// What the items of users' histories add to the scores: h_u . B_i, with h_u a row of `histories`
// and B_i a column of the influence. A score takes it last, one product for each item of the
// history that speaks for item i, by rising number. Each product is rounded before it is added.
struct Influence {
    Sparse histories;         // by user; without it nothing is added
    Sparse rows;              // B by the item that speaks
    const SparseTile* tiles;  // the same, cut; where items are in panels
    Sparse columns;           // B by the item that it speaks for; for scores of single items
    int64_t n_rows;           // of B
    float* dense;  // this thread's: one for each row of B, zeros before a call and after it
};

// Everything an instruction level provides.
struct Kernels {
    BlockKernel (*block_kernel)(int loss, int schedule, const Problem& problem);

    // out[i] = score of user_ids[i * user_step] and item_ids[i]
    void (*score_pairs)(const Representations& users, const Representations& items,
                        int32_t no_components, const int32_t* user_ids, int64_t user_step,
                        const int32_t* item_ids, int64_t n, float* out);

    // out[i] += what the history of user_ids[i] adds to the score of item_ids[i]
    void (*add_influence)(const Influence& influence, const int32_t* user_ids,
                          const int32_t* item_ids, int64_t n, float* out);

    // Component-major copies of items in panels of PANEL, for the ranking kernels (ranking.hpp).
    void (*pack_panels)(const Representations& items, int32_t n_items, int32_t no_components,
                        float* panels);

    // Ranks of the test entries of users[0 .. n), see ranking.hpp.
    void (*rank_users)(const Representations& users, const Influence& influence,
                       const float* panels, int32_t n_items, int32_t no_components,
                       const int32_t* user_ids, int32_t n, const int64_t* test_indptr,
                       const int32_t* test_indices, const int64_t* train_indptr,
                       const int32_t* train_indices, float* scratch, float* targets, int32_t* ranks,
                       uint8_t* in_train);

    // The best items of a block of users, see ranking.hpp.
    void (*top_items)(const Representations& users, const Influence& influence, int32_t n,
                      const Representations& items, const float* panels, int32_t n_items,
                      int32_t no_components, const int64_t* begins, const int64_t* ends,
                      const int32_t* excluded, int32_t k, float* scratch, int32_t* ids,
                      float* scores);

    // 8-bit copies of vectors, and what they leave out (codes.hpp).
    void (*code_items)(const float* vectors, int32_t n_items, int32_t no_components,
                       int32_t n_coded, char* panels, double* limits);

    // The lists of top_items, from codes.
    void (*top_items_by_codes)(const Representations& users, int32_t n,
                               const Representations& items, const char* panels,
                               const double* limits, int32_t n_items, int32_t no_components,
                               int32_t n_coded, const int64_t* begins, const int64_t* ends,
                               const int32_t* excluded, int32_t k, float* bounds, int16_t* codes,
                               int32_t* ids, float* scores);

    // The weights of an item's neighbours, see cholesky.hpp.
    bool (*solve_ridge)(const float* triangle, int64_t n, double l2, double* scratch, float* b);
};

constexpr int USERS_AT_ONCE = 6;  // users scored side by side: 6 x 16 sums fill the AVX2 registers
constexpr int USERS_IN_BLOCK = 96;  // users who go over a tile of items while it is in the cache
constexpr int TILE = 512;           // items whose scores are held at once
// The same where histories add to them. A row of the influence that is begun again in each tile
// waits for memory each time, so there are few tiles, as wide as leaves a user's scores in the
// second cache and their places in 16 bits.
constexpr int INFLUENCE_TILE = 32768;

// Items in a tile of a catalogue. An influence that is not cut is added to all of it at once.
inline int32_t tile_size(const Influence& influence, int32_t n_items) {
    int64_t size = TILE;
    if (influence.histories.indptr) size = influence.tiles ? INFLUENCE_TILE : n_items;
    return static_cast<int32_t>(whole_panels(size < n_items ? size : n_items));
}

}  // namespace lfm
