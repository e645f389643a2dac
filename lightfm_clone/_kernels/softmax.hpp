// Sampled softmax on temperature-scaled cosine, trained in blocks of examples.
//
// For an example (u, p) of weight w, with representations u and v_j, their directions û = u / |u| and
// v̂_j, item biases b, scores s_j = û · v̂_j + b_j, temperature T, and N items drawn uniformly out of
// n candidates of which those the user knows are masked:
//
//     L = w (-s_p / T + ln Z),   Z = e^{s_p / T} + (n / N) sum_j e^{s_j / T}
//     g_j = w (n / N) e^{s_j / T} / (T Z),   g_p = -sum_j g_j        (dL/ds; dL/db is the same)
//     dL/du   = (a - (a · û) û) / |u|,   a = g_p v̂_p + sum_j g_j v̂_j
//     dL/dv_j = g_j (û - (û · v̂_j) v̂_j) / |v_j|
//
// (Sampled softmax: Bengio and Senécal, 2008; on cosines with a temperature: Wu et al., "On the
// effectiveness of sampled softmax loss for item recommendation", 2022.)
//
// The examples of a block share their N negatives. That makes scores, user gradients and negative
// gradients three products of small matrices, and one update for each negative and block. All
// gradients of a block are taken before its first update. A bias steps with BIAS_RATE times the
// learning rate of the embeddings; users' biases are not trained.
#pragma once

#include <math.h>

#include "losses.hpp"
#include "products.hpp"

namespace lfm {
namespace {

constexpr float BIAS_RATE = 0.01f;

// All of it but the updates, which is the same for all schedules.
template <bool L2>
class SoftmaxGradient {
  protected:
    using Lanes = AnyLanes<false>;
    const Problem& problem;
    Reader<Lanes, L2>& step;

    SoftmaxGradient(const Problem& p, float* scratch, Reader<Lanes, L2>& reader)
        : problem(p), step(reader), lanes(p.lanes), n(p.n_negatives),
          padded(whole_panels(p.n_negatives)), row(odd_lines(p.lanes)), stride(odd_lines(padded)) {
        // The same places as in scratch_floats (interface.hpp).
        float* next = scratch + 5 * lanes;
        const auto take = [&next](int64_t size) {
            float* place = next;
            next += (size + 15) / 16 * 16;
            return place;
        };
        float** const of_examples[] = {&users, &positives, &user_sums};
        for (float** rows : of_examples) *rows = take(MAX_EXAMPLES * row);
        negatives = take(padded * row);
        negative_sums = panels = take(padded * row);
        coefficients = take(MAX_EXAMPLES * stride);
        float** const per_negative[] = {&norms, &biases, &sum_g};
        for (float** values : per_negative) *values = take(padded);
        ids = reinterpret_cast<int32_t*>(take(padded));
        same = reinterpret_cast<int32_t*>(take(padded));
        masked = reinterpret_cast<int32_t*>(take(padded + 1));
        places = reinterpret_cast<int32_t*>(take(problem.n_items));
        drawn = reinterpret_cast<uint32_t*>(take(problem.n_items / 32 + 1));
    }

    // Finds the gradients of the positives among the examples [begin, end), at most MAX_EXAMPLES.
    LFM_NOINLINE void find_gradients(int64_t begin, int64_t end) {
        step.drop_identities(begin);
        draw_negatives(begin);
        gather(begin, end);
        if (!n_examples) return;
        multiply({users, row, 1}, {panels, PANEL, int64_t{PANEL} * lanes}, n_examples, padded,
                 problem.no_components, coefficients, stride);
        for (int64_t j = 0; j < padded; ++j) sum_g[j] = 0.0f;
        for (int e = 0; e < n_examples; ++e) {
            if (e + LISTS_AHEAD < n_examples) prefetch_list(examples[e + LISTS_AHEAD].user);
            differentiate(e);
        }
        multiply({coefficients, stride, 1}, {negatives, row, PANEL}, n_examples, lanes, n,
                 user_sums, row);
        multiply({coefficients, 1, stride}, {users, row, PANEL}, n, lanes, n_examples,
                 negative_sums, row);
    }

    // Leaves the places of items as they were.
    void forget_negatives() {
        for (int32_t j = 0; j < n; ++j) {
            places[ids[j]] = 0;
            drawn[ids[j] / 32] = 0;
        }
    }

    static constexpr int LISTS_AHEAD = 4;  // examples whose users' lists are asked for early

    const int lanes;
    const int32_t n;
    const int64_t padded;  // n, rounded up to whole panels
    const int64_t row;     // floats from one direction to the next
    const int64_t stride;  // floats from one example's coefficients to the next's

    struct BlockExample {
        int32_t user, item;
        float weight;
        float user_norm, item_norm;  // their inverses
        float item_bias;
        float cosine, g;  // of the positive
    };
    BlockExample examples[MAX_EXAMPLES];
    int n_examples = 0;

    // Directions, [example or negative][lane]; the bias's lane is 0.
    float *users, *positives, *negatives;
    float* panels;        // negatives, component-major in panels, until their cosines are known
    float* coefficients;  // [example][negative]: the cosine, then the term of Z, then g
    float *user_sums, *negative_sums;  // the latter in the place of the panels
    float *norms, *biases;             // of the negatives, norms inverse
    float* sum_g;                      // over the examples
    int32_t* ids;
    int32_t* same;    // the place before of the same item among the negatives, counted from 1
    int32_t* masked;  // negatives that an example's user knows
    int32_t* places;  // by item: its last place among the negatives, counted from 1; 0 if none
    uint32_t* drawn;  // by item: whether it has a place, one bit each, to be found in the L1 cache

    void draw_negatives(int64_t begin) {
        Rng rng(problem.seed, static_cast<uint64_t>(begin));
        for (int32_t j = 0; j < n; ++j) {
            ids[j] = draw_candidate(problem, rng);
            prefetch_place(problem.items, ids[j]);
            prefetch(places + ids[j]);
        }
        for (int32_t j = 0; j < n; ++j) prefetch_features(problem.items, ids[j]);
        for (int32_t j = 0; j < n && j < ROWS_AHEAD; ++j) prefetch_all(problem.items, ids[j]);
        for (int32_t j = 0; j < n; ++j) {
            if (j + ROWS_AHEAD < n) prefetch_all(problem.items, ids[j + ROWS_AHEAD]);
            step.load_direction(problem.items, ids[j], negatives + j * row, &norms[j], &biases[j]);
            same[j] = places[ids[j]];
            places[ids[j]] = j + 1;
            drawn[ids[j] / 32] |= 1u << ids[j] % 32;
        }
        // What fills up the last panel stays zero, and its term next to nothing.
        for (int64_t j = n; j < padded; ++j) biases[j] = -INFINITY;
        float* panel = panels;
        for (int64_t first = 0; first < padded; first += PANEL)
            for (int l = 0; l < lanes; l += Vec::N, panel += PANEL * Vec::N)
                for (int half = 0; half < PANEL; half += Vec::N)
                    transpose(negatives + (first + half) * row + l, row, panel + half, PANEL);
    }

    static void prefetch_all(const Side& side, int32_t id) {
        prefetch_row(side, id, 0, side.row_stride);
    }

    // The items that the user knows, as many as are not fetched by themselves once they are read.
    void prefetch_list(int32_t user) const {
        constexpr int64_t MOST = 128, IN_LINE = 16;
        const int64_t begin = problem.known.indptr[user], known = n_known(problem.known, user);
        for (int64_t at = 0; at < known && at < MOST; at += IN_LINE)
            prefetch(problem.known.items + begin + at);
    }

    void gather(int64_t begin, int64_t end) {
        n_examples = 0;
        for (int64_t i = begin; i < end; ++i) {
            prefetch_pair(problem, i);
            if (i + 2 * ROWS_AHEAD < problem.n_interactions)
                prefetch(problem.known.indptr + read_example(problem, i + 2 * ROWS_AHEAD).user);
            const Example example = read_example(problem, i);
            if (!example.positive || knows_everything(step, example.user)) continue;
            BlockExample& e = examples[n_examples];
            e.user = example.user;
            e.item = example.item;
            e.weight = example.weight;
            float* user = users + n_examples * row;
            float* positive = positives + n_examples * row;
            float unused;
            step.load_direction(problem.users, e.user, user, &e.user_norm, &unused);
            step.load_direction(problem.items, e.item, positive, &e.item_norm, &e.item_bias);
            e.cosine = dot(user, positive, lanes);
            ++n_examples;
        }
    }

    // Turns the cosines of example e into its coefficients g.
    void differentiate(int e) {
        BlockExample& example = examples[e];
        float* g = coefficients + e * stride;
        const float score = example.cosine + example.item_bias, rate = 1.0f / problem.temperature;

        const int n_masked = find_masked(example.user);
        if (n_masked == n) {
            for (int64_t j = 0; j < padded; ++j) g[j] = 0.0f;
            example.g = 0.0f;
            return;
        }
        // A masked negative cannot decide the maximum. Its term is next to nothing in the sum, and
        // struck out afterwards.
        for (int m = 0; m < n_masked; ++m) g[masked[m]] = -INFINITY;
        Vec highest_of_lane = Vec::all(score);
        for (int64_t j = 0; j < padded; j += Vec::N)
            highest_of_lane = maximum(highest_of_lane, Vec::load(g + j) + Vec::load(biases + j));
        float lane[Vec::N], highest = score;
        highest_of_lane.store(lane);
        for (float x : lane) highest = x > highest ? x : highest;
        Vec sums = Vec::all(0.0f);
        for (int64_t j = 0; j < padded; j += Vec::N) {
            const Vec above = Vec::load(g + j) + Vec::load(biases + j) - Vec::all(highest);
            const Vec term = power_of_two(above * Vec::all(rate * 1.44269504f));
            sums = sums + term;
            term.store(g + j);
        }
        for (int m = 0; m < n_masked; ++m) g[masked[m]] = 0.0f;

        const float share = static_cast<float>(problem.n_candidates) / static_cast<float>(n);
        const float rest = share * sums.sum(), own = exponential((score - highest) * rate);
        const float z = own + rest;
        ++step.sums.examples;
        step.sums.loss += example.weight * (static_cast<double>(highest - score) * rate +
                                            log(static_cast<double>(z)));
        const float scale = example.weight * rate / z;
        example.g = -scale * rest;
        const Vec factor = Vec::all(scale * share);
        for (int64_t j = 0; j < padded; j += Vec::N) {
            const Vec its_g = factor * Vec::load(g + j);
            (Vec::load(sum_g + j) + its_g).store(sum_g + j);
            its_g.store(g + j);
        }
    }

    // Lists the negatives that the user knows, and counts them: by walking the user's items, or,
    // where those are very many, by looking up each negative.
    int find_masked(int32_t user) const {
        const Known& known = problem.known;
        int count = 0;
        if (n_known(known, user) > 16 * static_cast<int64_t>(n)) {
            for (int32_t j = 0; j < n; ++j) {
                masked[count] = j;
                count += is_known(known, user, ids[j]);
            }
            return count;
        }
        // Without a branch that nothing could predict. First the items, then the last place of
        // each and those before it.
        for (int64_t at = known.indptr[user]; at < known.indptr[user + 1]; ++at) {
            const int32_t item = known.items[at];
            masked[count] = item;
            count += drawn[item / 32] >> item % 32 & 1;
        }
        const int n_items = count;
        for (int m = 0; m < n_items; ++m) {
            masked[m] = places[masked[m]] - 1;
            for (int32_t place = same[masked[m]]; place; place = same[place - 1])
                masked[count++] = place - 1;
        }
        return count;
    }

    // x = (x - along * direction) * scale
    void subtract_and_scale(float* x, float along, const float* direction, float scale) const {
        for (int l = 0; l < lanes; l += Vec::N)
            (subtract_product(Vec::load(x + l), Vec::all(along), Vec::load(direction + l)) *
             Vec::all(scale))
                .store(x + l);
    }
};

template <class Schedule, bool L2>
class SoftmaxBlock : SoftmaxGradient<L2> {
    using Base = SoftmaxGradient<L2>;

  public:
    Step<Schedule, AnyLanes<false>, L2> step;

    SoftmaxBlock(const Problem& p, float* scratch, const Sums* totals, int64_t position)
        : Base(p, scratch, step), step(p, scratch, totals, position) {}

    // Trains on the positives among the examples [begin, end), at most MAX_EXAMPLES.
    void train(int64_t begin, int64_t end) {
        Base::find_gradients(begin, end);
        if (n_examples) update();
        Base::forget_negatives();
    }

  private:
    using Base::examples;
    using Base::ids;
    using Base::lanes;
    using Base::n;
    using Base::n_examples;
    using Base::negative_sums;
    using Base::negatives;
    using Base::norms;
    using Base::positives;
    using Base::problem;
    using Base::row;
    using Base::sum_g;
    using Base::user_sums;
    using Base::users;
    using typename Base::BlockExample;

    void update() {
        // A block's matrices have pushed out what was read when it began.
        for (int32_t j = 0; j < n; ++j) {
            if (j + ROWS_AHEAD < n) Base::prefetch_all(problem.items, ids[j + ROWS_AHEAD]);
            if (sum_g[j] == 0.0f) continue;
            float *gradient = negative_sums + j * row, *negative = negatives + j * row;
            Base::subtract_and_scale(gradient, dot(gradient, negative, lanes), negative, norms[j]);
            step.update_item(ids[j], gradient, BIAS_RATE * sum_g[j]);
        }
        for (int e = 0; e < n_examples; ++e) {
            if (e + ROWS_AHEAD < n_examples) {
                Base::prefetch_all(problem.items, examples[e + ROWS_AHEAD].item);
                Base::prefetch_all(problem.users, examples[e + ROWS_AHEAD].user);
            }
            const BlockExample& example = examples[e];
            if (example.g == 0.0f) continue;
            float* user = users + e * row;
            float* positive = positives + e * row;
            float* user_sum = user_sums + e * row;
            for (int l = 0; l < lanes; l += Vec::N)
                multiply_add(Vec::all(example.g), Vec::load(positive + l), Vec::load(user_sum + l))
                    .store(user_sum + l);
            Base::subtract_and_scale(user_sum, dot(user_sum, user, lanes), user, example.user_norm);
            // The positive's direction is no longer needed: its gradient takes its place.
            for (int l = 0; l < lanes; l += Vec::N)
                ((Vec::load(user + l) + Vec::all(-example.cosine) * Vec::load(positive + l)) *
                 Vec::all(example.g * example.item_norm))
                    .store(positive + l);
            step.begin_update();
            step.update_item(example.item, positive, BIAS_RATE * example.g);
            step.update_user(example.user, user_sum, 0.0f);
            step.grow_scales();
        }
    }
};

template <class Schedule, bool L2>
void softmax_block(const Problem& problem, float* scratch, Sums* sums, int64_t* position,
                   int64_t end) {
    int64_t i = *position;
    SoftmaxBlock<Schedule, L2> block(problem, scratch, sums, i);
    while (i < end && !(L2 && load_relaxed(&problem.scales->full))) {
        // Parts of equal size.
        const int64_t n_parts = (end - i + MAX_EXAMPLES - 1) / MAX_EXAMPLES;
        const int64_t next = i + (end - i) / n_parts;
        block.train(i, next);
        i = next;
        if (L2 && block.step.scales_full()) store_relaxed(&problem.scales->full, 1);
    }
    if (L2) block.step.share_scales();
    *sums = block.step.sums;
    *position = i;
}

}  // namespace
}  // namespace lfm
