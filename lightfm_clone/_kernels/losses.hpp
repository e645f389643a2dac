// The losses: one small struct each. `entries` looks at one example and returns how many entries
// (item, dLoss/dscore) it yields; step.hpp does the rest. `prefetch` asks for the memory of the
// examples after the one at `position`, in the order in which one address leads to the next.
#pragma once

#include "step.hpp"

namespace lfm {
namespace {

// How many examples ahead memory is asked for; what leads to an address, twice as far. Beyond the
// block these may be examples that another thread is just putting in order (epoch.hpp). What is read
// of them is some user and some item all the same, whose memory is asked for in vain and no more.
constexpr int64_t ROWS_AHEAD = 8;

// The rows of one side, users or items, of coming examples.
LFM_INLINE void prefetch_side(const Problem& problem, const Side& side, int32_t Example::* id,
                              int64_t position) {
    if (position + 2 * ROWS_AHEAD >= problem.n_interactions) return;
    prefetch_place(side, read_example(problem, position + 2 * ROWS_AHEAD).*id);
    prefetch_features(side, read_example(problem, position + 3 * ROWS_AHEAD / 2).*id);
    prefetch_row(side, read_example(problem, position + ROWS_AHEAD).*id, 0, side.row_stride);
}

LFM_NOINLINE inline void prefetch_pair(const Problem& problem, int64_t position) {
    prefetch_side(problem, problem.users, &Example::user, position);
    prefetch_side(problem, problem.items, &Example::item, position);
}

// Where the items known to the user of a coming example are looked up.
LFM_INLINE void prefetch_known(const Problem& problem, int64_t position) {
    if (position + 2 * ROWS_AHEAD >= problem.n_interactions) return;
    const int64_t* indptr = problem.known.indptr;
    prefetch(indptr + read_example(problem, position + 2 * ROWS_AHEAD).user);
    const int32_t user = read_example(problem, position + ROWS_AHEAD).user;
    prefetch(problem.known.filter + filter_begin(indptr, user));
}

// sigma(x) and 1 - sigma(x), each without cancellation.
struct Sigmoid {
    float value, complement;
    LFM_INLINE explicit Sigmoid(float x) {
        const float e = exponential(-x);
        value = 1.0f / (1.0f + e);
        complement = e * value;
    }
};

// Binary cross-entropy of the score, y = 1 for a positive value, else 0:   g = w (sigma(s) - y)
struct Logistic {
    static constexpr bool IS_COMMON = true;
    template <class S>
    static void prefetch(S& step, int64_t position) {
        prefetch_pair(step.problem, position);
    }

    template <class S>
    static int entries(S& step, const Example& example, Rng&, Entry* out) {
        step.load_user(example.user);
        const Representation item = step.item(example.item, 0);
        const Sigmoid sigma(step.score(item) + step.user_bias());
        ++step.sums.examples;
        // Without a branch: nothing could predict it.
        const float y = static_cast<float>(example.positive);
        step.add_log_loss(y * sigma.value + (1.0f - y) * sigma.complement, example.weight);
        out[0] = {example.item, item, example.weight * (sigma.value - y)};
        return 1;
    }
};

// Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian personalized ranking from
// implicit feedback", UAI 2009:   loss = -w ln sigma(s_pos - s_neg),   g = w sigma(s_neg - s_pos)
// The negative is an item that the user does not know, as likely as it is popular: that of a
// uniformly drawn interaction, or drawn from an alias table. Where the user knows all of these, it
// is one that they dislike.
struct Bpr {
    static constexpr bool IS_COMMON = true;
    // A user who knows nearly every popular item could make a draw take for ever.
    static constexpr int64_t MAX_DRAWS = 100000;

    // First what the first draw picks, then the row of its item, and whether the user knows it.
    template <class S>
    static void prefetch(S& step, int64_t position) {
        const Problem& problem = step.problem;
        const Known& known = problem.known;
        prefetch_pair(problem, position);
        if (position + 2 * ROWS_AHEAD >= problem.n_interactions) return;
        lfm::prefetch(known.indptr + read_example(problem, position + 2 * ROWS_AHEAD).user);
        Rng far(problem.seed, static_cast<uint64_t>(position + 2 * ROWS_AHEAD));
        lfm::prefetch(place_of_draw(problem, far));
        Rng near(problem.seed, static_cast<uint64_t>(position + ROWS_AHEAD));
        const int32_t item = draw_popular(problem, near);
        const int32_t user = read_example(problem, position + ROWS_AHEAD).user;
        prefetch_row(problem.items, item, 0, problem.items.row_stride);
        lfm::prefetch(filter_word(known, user, filter_key(known, user, item)));
    }

    // A uniformly drawn interaction.
    static const uint32_t* draw_interaction(const Problem& problem, Rng& rng) {
        return problem.interactions + rng.bounded(problem.n_interactions) * problem.words;
    }

    // Where draw_popular looks up its item.
    static const void* place_of_draw(const Problem& problem, Rng& rng) {
        if (problem.popularity) return problem.popularity + rng.bounded(problem.n_items);
        return draw_interaction(problem, rng);
    }

    // An item, as likely as it is popular.
    static int32_t draw_popular(const Problem& problem, Rng& rng) {
        if (!problem.popularity) return static_cast<int32_t>(draw_interaction(problem, rng)[1]);
        uint64_t rest;  // decides within the column
        const int64_t column = rng.bounded(problem.n_items, &rest);
        const AliasColumn& alias = problem.popularity[column];
        return rest >> 32 < alias.own ? static_cast<int32_t>(column) : alias.other;
    }

    // -1 where there is nothing to draw.
    LFM_NOINLINE static int32_t draw_negative(const Problem& problem, int32_t user, Rng& rng) {
        const int32_t disliked = draw_disliked(problem, user, rng);
        if (disliked >= 0) return disliked;
        if (!(problem.saturated && problem.saturated[user])) {
            for (int64_t draws = 0; draws < MAX_DRAWS; ++draws) {
                const int32_t item = draw_popular(problem, rng);
                if (!is_known(problem.known, user, item)) return item;
            }
        }
        return draw_any_disliked(problem, user, rng);
    }

    template <class S>
    static int entries(S& step, const Example& example, Rng& rng, Entry* out) {
        const Problem& problem = step.problem;
        if (!example.positive) return 0;
        const int32_t negative = draw_negative(problem, example.user, rng);
        if (negative < 0) return 0;
        ++step.sums.examples;
        step.load_user(example.user);
        const Representation pos = step.item(example.item, 0), neg = step.item(negative, 1);
        const Sigmoid sigma(step.score(neg) - step.score(pos));
        step.add_log_loss(sigma.complement, example.weight);
        const float g = example.weight * sigma.value;
        out[0] = {example.item, pos, -g};
        out[1] = {negative, neg, g};
        return 2;
    }
};

constexpr float MAX_WEIGHT = 10.0f;

// The entries of a positive and the violation found for it, weighted by the rank that the number
// of tries estimates:   g = min(10, w ln(max(1, floor((n_candidates - 1) / tries))))
template <class S>
inline int warp_entries(S& step, int32_t positive, float weight, Rng& rng, Entry* out) {
    const Problem& problem = step.problem;
    const Representation pos = step.item(positive, 0);
    ++step.sums.examples;
    float by;
    const int64_t tries = step.find_violation(step.score(pos), rng, &out[1], &by);
    if (!tries) return 0;
    const int64_t at = tries < problem.n_warp_weights ? tries : problem.n_warp_weights;
    const float by_rank = problem.warp_weights[at - 1], weighted = weight * by_rank;
    const float g = weighted < MAX_WEIGHT ? weighted : MAX_WEIGHT;
    step.sums.cut += weighted > MAX_WEIGHT && by_rank <= MAX_WEIGHT;
    step.sums.loss += static_cast<double>(g * by);
    out[0] = {positive, pos, -g};
    out[1].coefficient = g;
    return 2;
}

// Whether the user knows all candidates. (What is known is among them.)
template <class S>
inline bool knows_everything(const S& step, int32_t user) {
    return n_known(step.problem.known, user) >= step.problem.n_candidates;
}

// Weston, Bengio and Usunier, "WSABIE: scaling up to large vocabulary image annotation",
// IJCAI 2011: weighted approximate-rank pairwise hinge loss.
struct Warp {
    static constexpr bool IS_COMMON = true;
    template <class S>
    static void prefetch(S& step, int64_t position) {
        prefetch_pair(step.problem, position);
        prefetch_known(step.problem, position);
        step.prefetch_negatives(position, [](const Example&) { return int64_t{0}; });
    }

    template <class S>
    static int entries(S& step, const Example& example, Rng& rng, Entry* out) {
        if (!example.positive) return 0;
        // Where the user knows everything, only what they dislike can be a negative.
        if (knows_everything(step, example.user) && !n_disliked(step.problem, example.user))
            return 0;
        step.load_user(example.user);
        return warp_entries(step, example.item, example.weight, rng, out);
    }
};

// Weston, Yee and Weiss, "Learning to rank recommendations with the k-order statistic loss",
// RecSys 2013: the positive is the k-th best scored of n of the user's known items, drawn with
// replacement (the worst of them when there are fewer than k); then as WARP.
struct WarpKos {
    static constexpr bool IS_COMMON = false;
    // The example's item plays no part. First where the user's known items are, then those that
    // are going to be drawn, then their rows.
    template <class S>
    LFM_NOINLINE static void prefetch(S& step, int64_t position) {
        const Problem& problem = step.problem;
        prefetch_side(problem, problem.users, &Example::user, position);
        prefetch_known(problem, position);
        if (position + S::DRAWS_AHEAD + 3 >= problem.n_interactions) return;
        const auto each_positive_at = [&](int64_t at, auto use) {
            Rng rng(problem.seed, static_cast<uint64_t>(at));
            each_positive(problem, read_example(problem, at).user, rng, use);
        };
        each_positive_at(position + S::DRAWS_AHEAD + 3,
                         [](const int32_t* item) { lfm::prefetch(item); });
        each_positive_at(position + S::DRAWS_AHEAD,
                         [&](const int32_t* item) { step.prefetch_item(*item); });
        step.prefetch_negatives(
            position, [&](const Example& example) { return n_drawn(problem, example.user); });
    }

    static int64_t n_drawn(const Problem& problem, int32_t user) {
        const int64_t n_user = n_known(problem.known, user);
        return n_user < problem.n ? n_user : problem.n;
    }

    // Draws the positives of an example of this user.
    template <class Use>
    static LFM_INLINE void each_positive(const Problem& problem, int32_t user, Rng& rng, Use use) {
        const int32_t* items = problem.known.items + problem.known.indptr[user];
        const int64_t n_user = n_known(problem.known, user);
        for (int64_t left = n_drawn(problem, user); left > 0; --left)
            use(items + rng.bounded(n_user));
    }

    template <class S>
    LFM_NOINLINE static int entries(S& step, const Example& example, Rng& rng, Entry* out) {
        const Problem& problem = step.problem;
        if (n_known(problem.known, example.user) == 0) return 0;
        if (knows_everything(step, example.user)) return 0;
        step.load_user(example.user);

        // The best k so far, best first, as (score, item) pairs of words.
        float* best = step.kos_scratch();
        int64_t size = 0;
        each_positive(problem, example.user, rng, [&](const int32_t* item) {
            const float score = step.score(step.item(*item, 0));
            if (size == problem.k && !(score > best[2 * (size - 1)])) return;
            int64_t at = size < problem.k ? size++ : size - 1;
            for (; at > 0 && score > best[2 * (at - 1)]; --at) {
                best[2 * at] = best[2 * (at - 1)];
                best[2 * at + 1] = best[2 * (at - 1) + 1];
            }
            best[2 * at] = score;
            memcpy(&best[2 * at + 1], item, sizeof *item);
        });
        int32_t positive;
        memcpy(&positive, &best[2 * (size - 1) + 1], sizeof positive);
        return warp_entries(step, positive, example.weight, rng, out);
    }
};

// Half the squared error of the score, for explicit ratings:   g = w (score - value)
// The values have been centred: _core subtracts their mean, which a prediction adds again.
struct Mse {
    static constexpr bool IS_COMMON = false;
    template <class S>
    static void prefetch(S& step, int64_t position) {
        prefetch_pair(step.problem, position);
    }

    template <class S>
    static int entries(S& step, const Example& example, Rng&, Entry* out) {
        step.load_user(example.user);
        const Representation item = step.item(example.item, 0);
        const float error = step.score(item) + step.user_bias() - example.value;
        ++step.sums.examples;
        step.sums.loss += 0.5 * example.weight * static_cast<double>(error) * error;
        out[0] = {example.item, item, example.weight * error};
        return 1;
    }
};

}  // namespace
}  // namespace lfm
