// One example: the scores it needs, the search for a violation, and the one update that every loss
// shares.
//
// A loss yields zero, one or two entries (item, coefficient g_e = dLoss/dscore). With all gradients
// taken from the representations before the step, the update is, for features of value v,
//
//     item e:  d = v g_e q_u           bias: v g_e
//     user:    d = v sum_e g_e p_e     bias: v g_last
//
// in the order entries, then user. (The user's bias cancels out of a pairwise loss, so its gradient
// is 0; LightFM steps it by the negative's coefficient, and so do we.)
//
// L2 keeps two scales, s_user and s_item: a representation is the raw one times its side's scale,
// a step changes raw parameters. Every touched parameter is multiplied by
// (1 + alpha_side * its local learning rate), then both scales by (1 + alpha_side * a), where a is
// the mean local learning rate of all parameters touched by the example. _core divides the raw
// parameters by the scale at the end of an epoch, or when one passes SCALE_LIMIT.
#pragma once

#include <string.h>

#include "atomic.hpp"
#include "known.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace lfm {
namespace {

constexpr double SCALE_LIMIT = 1e6;

struct Example {
    int32_t user;
    int32_t item;
    bool positive;
    float value;  // 0 unless the loss has a use for values
    float weight;
};

LFM_INLINE Example read_example(const Problem& problem, int64_t position) {
    const uint32_t* words = problem.order + position * problem.words;
    const int weight_at = problem.has_values ? 3 : 2;
    float value = 0.0f, weight = 1.0f;
    if (problem.has_values) memcpy(&value, words + 2, sizeof value);
    if (problem.words > weight_at) memcpy(&weight, words + weight_at, sizeof weight);
    return {static_cast<int32_t>(words[0] & ~NOT_POSITIVE), static_cast<int32_t>(words[1]),
            !(words[0] & NOT_POSITIVE), value, weight};
}

struct Entry {
    int32_t item;
    Representation representation;
    float coefficient;
};

// One of the items that negatives are drawn from, each as likely as any other.
LFM_INLINE int32_t draw_candidate(const Problem& problem, Rng& rng) {
    const int64_t at = rng.bounded(problem.n_candidates);
    return problem.candidates ? problem.candidates[at] : static_cast<int32_t>(at);
}

// Items the user is known to dislike, if those are to be preferred.
inline int64_t n_disliked(const Problem& problem, int32_t user) {
    const int64_t* indptr = problem.disliked.indptr;
    return indptr ? indptr[user + 1] - indptr[user] : 0;
}

// One of them, or -1 where there is none.
inline int32_t draw_any_disliked(const Problem& problem, int32_t user, Rng& rng) {
    const int64_t n = n_disliked(problem, user);
    return n ? problem.disliked.items[problem.disliked.indptr[user] + rng.bounded(n)] : -1;
}

// An item the user is known to dislike, in the share of the draws that asks for one; -1 otherwise.
inline int32_t draw_disliked(const Problem& problem, int32_t user, Rng& rng) {
    const float share = problem.disliked.share;
    if (!(share > 0.0f) || n_disliked(problem, user) == 0) return -1;
    // 24 bits are the whole mantissa of a float in [0, 1).
    if (static_cast<float>(rng.next() >> 40) >= share * 16777216.0f) return -1;
    return draw_any_disliked(problem, user, rng);
}

// What an example reads: sums, scores, draws. It is the same for all schedules, and so are the losses.
template <class Lanes, bool L2>
class Reader {
  public:
    const Problem& problem;
    Sums sums;

    Reader(const Problem& p, float* scratch, const Sums* totals)
        : problem(p), sums(*totals), lanes(p.lanes), user_vector(scratch),
          user_direction(scratch + lanes), item_buffers(scratch + 2 * lanes),
          bias_lane(scratch + 4 * lanes), kos(scratch + 5 * lanes) {
        for (int l = 0; l < lanes; ++l) bias_lane[l] = 0.0f;
        if (bias_in_row()) bias_lane[p.no_components] = 1.0f;
        if (L2) {
            user_base = load_relaxed(&p.scales->user);
            item_base = load_relaxed(&p.scales->item);
        }
    }

    // Decides whether the example at `position` leaves out the identities of its items, the
    // negatives included, and that of its user. The draw is of a stream of its own, so that the
    // negatives are those of an epoch without dropout. (A block of the softmax is one example here,
    // because it shares its negatives.)
    LFM_INLINE void drop_identities(int64_t position) {
        if (!(problem.identity_dropout > 0.0)) return;
        const uint64_t draw = Rng(problem.seed ^ DROPOUT, static_cast<uint64_t>(position)).next();
        const double bound = problem.identity_dropout * 16777216.0;
        items_are_whole = static_cast<double>(draw >> 40) >= bound;
        user_is_whole = static_cast<double>(draw >> 16 & 0xFFFFFF) >= bound;
    }

    // Makes `user` the example's user.
    LFM_INLINE void load_user(int32_t id) {
        user = id;
        // Their own buffer, because the rows may change while the vector is still needed.
        const Representation raw =
            representation(problem.users, id, user_is_whole, user_vector, lanes);
        const float s = user_scale();
        bias = s * (bias_in_row() ? raw.vector[problem.no_components] : raw.bias);
        for (int l = 0; l < lanes; l += Vec::N) {
            const Vec x = Vec::load(raw.vector + l);
            with_bias_lane(L2 ? Vec::all(s) * x : x, 1.0f, l).store(user_vector + l);
        }
    }

    // The user's bias. It is not part of score(): it cancels out of every comparison of items, and
    // where it is large it would cost them their last digits.
    float user_bias() const { return bias; }

    // An item's representation; `buffer` 0 or 1 says where a sum of features is kept.
    Representation item(int32_t id, int buffer) const {
        return representation(problem.items, id, items_are_whole, item_buffers + buffer * lanes,
                              lanes);
    }

    // q_u · p_i + b_i. With a 1 in the bias's lane of the user, the product adds the item's bias,
    // and the user's vector is the gradient of the item's whole row.
    LFM_INLINE float score(const Representation& item) const {
        const float product = dot(user_vector, item.vector, lanes) + item.bias;
        return L2 ? item_scale() * product : product;
    }

    float* kos_scratch() const { return kos; }

    // How many examples ahead random draws are made: few, because these draws are made twice.
    static constexpr int64_t DRAWS_AHEAD = 3;

    // Asks for the rows of the negatives that the examples after `position` are going to try, as
    // many as recent examples have tried. draws_before(example) is how many draws come first.
    template <class DrawsBefore>
    void prefetch_negatives(int64_t position, DrawsBefore draws_before) const {
        if (position + DRAWS_AHEAD + 2 >= problem.n_interactions) return;
        const auto each_negative = [&](int64_t at, auto use) {
            Rng rng(problem.seed, static_cast<uint64_t>(at));
            rng.skip(draws_before(read_example(problem, at)));
            for (int64_t n = n_asked_ahead(); n > 0; --n)
                use(problem.items, draw_candidate(problem, rng));
        };
        if (problem.items.features.indptr) {
            each_negative(position + DRAWS_AHEAD + 2, prefetch_place);
            each_negative(position + DRAWS_AHEAD + 1, prefetch_features);
        }
        each_negative(position + DRAWS_AHEAD,
                      [this](const Side&, int32_t item) { prefetch_item(item); });
    }

    // Asks for the parameters of an item that is going to be scored.
    void prefetch_item(int32_t item) const { prefetch_row(problem.items, item, 0, lanes); }

    // Draws items until one the user does not know scores within 1 of the positive. Returns the
    // number of tries, 0 if there was no violation, and by how much the margin is violated.
    int64_t find_violation(float positive_score, Rng& rng, Entry* negative, float* by) {
        const float threshold = positive_score - 1.0f;
        const Rng draws = rng;
        int64_t tries = 1;
        for (; tries <= problem.max_sampled; ++tries) {
            if (problem.items.features.indptr) prefetch_tries(draws, tries);
            int32_t id = draw_disliked(problem, user, rng);
            const bool is_disliked = id >= 0;
            if (!is_disliked) id = draw_candidate(problem, rng);
            const Representation candidate = item(id, 1);
            const float its_score = score(candidate);
            if (!(its_score > threshold)) continue;
            // Its states are going to be needed, most likely.
            prefetch_row(problem.items, id, lanes, problem.items.row_stride);
            if (is_disliked || !is_known(problem.known, user, id)) {
                negative->item = id;
                negative->representation = candidate;
                *by = its_score - threshold;
                expect_tries(tries);
                sums.tries += tries;
                ++sums.violations;
                return tries;
            }
        }
        expect_tries(problem.max_sampled);
        sums.tries += problem.max_sampled;
        return 0;
    }

    // Adds -weight ln(p) to the sum of losses, but takes the logarithm of many p at once.
    LFM_INLINE void add_log_loss(float p, float weight) {
        if (weight != 1.0f) {
            sums.loss -= static_cast<double>(weight) * log(static_cast<double>(p));
            return;
        }
        probability *= static_cast<double>(p);
        if (probability < 1e-200) flush_log_loss();
    }

    void flush_log_loss() {
        sums.loss -= log(probability);
        probability = 1.0;
    }

    // Between these two lie the updates of one example.
    void begin_update() {
        local_rates = 0.0;
        n_touched = 0;
    }

    void grow_scales() {
        if (L2 && n_touched) {
            const double mean = local_rates / static_cast<double>(n_touched);
            user_growth *= 1.0 + problem.users.alpha * mean;
            item_growth *= 1.0 + problem.items.alpha * mean;
        }
    }

    // The direction of a user's or an item's embedding, without its bias's lane, with the inverse of
    // its length (0 for a length of 0) and its bias.
    LFM_INLINE void load_direction(const Side& side, int32_t id, float* out, float* inverse_norm,
                                   float* its_bias) const {
        const Representation raw = representation(side, id, is_whole(side), item_buffers, lanes);
        const float s = &side == &problem.users ? user_scale() : item_scale();
        *its_bias = s * (bias_in_row() ? raw.vector[problem.no_components] : raw.bias);
        Vec squares = Vec::all(0.0f);
        for (int l = 0; l < lanes; l += Vec::N) {
            const Vec x = with_bias_lane(Vec::all(s) * Vec::load(raw.vector + l), 0.0f, l);
            squares = multiply_add(x, x, squares);
            x.store(out + l);
        }
        const float norm = sqrtf(squares.sum());
        *inverse_norm = norm > 0.0f ? 1.0f / norm : 0.0f;
        for (int l = 0; l < lanes; l += Vec::N)
            (Vec::all(*inverse_norm) * Vec::load(out + l)).store(out + l);
    }

    bool scales_full() const {
        return user_base * user_growth > SCALE_LIMIT || item_base * item_growth > SCALE_LIMIT;
    }

    // Multiplies this block's growth into the shared scales.
    void share_scales() const {
        double& user_total = problem.scales->user;
        double& item_total = problem.scales->item;
#pragma omp atomic
        user_total *= user_growth;
#pragma omp atomic
        item_total *= item_growth;
    }

  protected:
    static constexpr uint64_t DROPOUT = 0x2545F4914F6CDD1Dull;
    // The moving average of an example's tries is over about 16 examples, and limited.
    static constexpr float AVERAGED = 1.0f / 16.0f, MAX_PREFETCHED = 16.0f;

    const Lanes lanes;
    float* user_vector;
    float* user_direction;
    float* item_buffers;
    float* bias_lane;  // 1 in the bias's lane where the bias lives in the row, else 0
    float* kos;
    int32_t user = 0;
    float bias = 0.0f;
    bool user_is_whole = true, items_are_whole = true;
    double user_base = 1.0, item_base = 1.0, user_growth = 1.0, item_growth = 1.0;
    double local_rates = 0.0;
    int64_t n_touched = 0;
    double probability = 1.0;

    void expect_tries(int64_t tries) {
        const float counted =
            static_cast<float>(tries) < MAX_PREFETCHED ? static_cast<float>(tries) : MAX_PREFETCHED;
        sums.usual_tries += AVERAGED * (counted - sums.usual_tries);
    }

    // How many negatives of an example are asked for before its search begins.
    int64_t n_asked_ahead() const { return static_cast<int64_t>(sums.usual_tries + 0.5f); }

    // Asks for the rows of the tries after this one, where nobody has asked for them before. What
    // leads to a sum of features is three reads, each from where the one before says, and the
    // processor does not run so far ahead by itself. `draws` are those of the whole search.
    LFM_INLINE void prefetch_tries(const Rng& draws, int64_t tries) const {
        const auto negative = [&](int64_t at, auto use) {
            if (at <= n_asked_ahead()) return;
            Rng rng = draws;
            rng.skip(at - 1);
            use(problem.items, draw_candidate(problem, rng));
        };
        negative(tries + 3, prefetch_place);
        negative(tries + 2, prefetch_features);
        negative(tries + 1, [this](const Side&, int32_t item) { prefetch_item(item); });
    }

    bool is_whole(const Side& side) const {
        return &side == &problem.users ? user_is_whole : items_are_whole;
    }

    bool bias_in_row() const { return !problem.users.biases; }

    // `vector`, which starts at lane l, with `value` in the bias's lane. (Writing the lane to memory
    // on its own would stall the next load of the vector.)
    Vec with_bias_lane(Vec vector, float value, int l) const {
        const Vec lane = Vec::load(bias_lane + l);
        return multiply_add(lane, Vec::all(value), subtract_product(vector, lane, vector));
    }

    float user_scale() const { return L2 ? static_cast<float>(user_base * user_growth) : 1.0f; }
    float item_scale() const { return L2 ? static_cast<float>(item_base * item_growth) : 1.0f; }
};

// An example's update, on top of what it reads.
template <class Schedule, class Lanes, bool L2>
class Step : public Reader<Lanes, L2> {
    using Base = Reader<Lanes, L2>;

  public:
    using Base::begin_update;
    using Base::grow_scales;
    using Base::problem;
    using Base::sums;

    Step(const Problem& p, float* scratch, const Sums* totals, int64_t position)
        : Base(p, scratch, totals), schedule(p, position) {}

    // Hogwild (Niu, Recht, Re and Wright, NIPS 2011): threads update shared rows without locks.
    // A lost update costs less than waiting would, because two examples rarely share a row.
    LFM_INLINE void apply(const Entry* entries, int n_entries) {
        if (Lanes::IN_PLACE) apply_in_place(entries, n_entries);
        else apply_by_call(entries, n_entries);
    }

    // Steps along a gradient of all lanes, whose bias's lane is 0, and of the bias.
    LFM_INLINE void update_item(int32_t item, float* gradient, float bias_gradient) {
        if (bias_in_row()) gradient[problem.no_components] = bias_gradient;
        update(problem.items, item, 1.0f, gradient, bias_gradient);
    }

    LFM_INLINE void update_user(int32_t id, float* gradient, float bias_gradient) {
        if (bias_in_row()) gradient[problem.no_components] = bias_gradient;
        update(problem.users, id, 1.0f, gradient, bias_gradient);
    }

  private:
    using Base::bias_in_row;
    using Base::is_whole;
    using Base::item_scale;
    using Base::lanes;
    using Base::local_rates;
    using Base::n_touched;
    using Base::user;
    using Base::user_direction;
    using Base::user_vector;
    using Base::with_bias_lane;

    Schedule schedule;

    LFM_INLINE void apply_in_place(const Entry* entries, int n_entries) {
        const float s = item_scale(), user_bias_gradient = entries[n_entries - 1].coefficient;
        for (int l = 0; l < lanes; l += Vec::N) {
            Vec direction = Vec::all(0.0f);
            for (int e = 0; e < n_entries; ++e)
                direction =
                    multiply_add(Vec::all(entries[e].coefficient * s),
                                 Vec::load(entries[e].representation.vector + l), direction);
            with_bias_lane(direction, user_bias_gradient, l).store(user_direction + l);
        }

        begin_update();
        for (int e = 0; e < n_entries; ++e)
            update(problem.items, entries[e].item, entries[e].coefficient, user_vector,
                   entries[e].coefficient);
        update(problem.users, user, 1.0f, user_direction, user_bias_gradient);
        grow_scales();
    }

    LFM_NOINLINE void apply_by_call(const Entry* entries, int n_entries) {
        apply_in_place(entries, n_entries);
    }

    // Steps the parameters of every feature of `row` that the example has along coefficient * direction.
    LFM_INLINE void update(const Side& side, int32_t row, float coefficient, const float* direction,
                           float bias_gradient) {
        if (side.features.indptr) update_features(side, row, coefficient, direction, bias_gradient);
        else update_feature(side, row, coefficient, direction, bias_gradient);
    }

    void update_features(const Side& side, int32_t row, float coefficient, const float* direction,
                         float bias_gradient) {
        const FeatureRow features = feature_row(side.features, row, is_whole(side));
        for (int64_t f = 0; f < features.size; ++f)
            update_feature(side, features.indices[f], coefficient * features.data[f], direction,
                           bias_gradient * features.data[f]);
    }

    LFM_INLINE void update_feature(const Side& side, int32_t feature, float coefficient,
                                   const float* __restrict direction, float bias_gradient) {
        if (feature < side.n_frozen) return;
        float* __restrict x = side.rows + feature * side.row_stride;
        const Vec c = Vec::all(coefficient), alpha = Vec::all(static_cast<float>(side.alpha));
        Vec rates = Vec::all(0.0f);
        for (int l = 0; l < lanes; l += Vec::N)
            step_parameters(x + l, lanes, c * Vec::load(direction + l), alpha, &rates);
        if (L2) {
            local_rates +=
                Schedule::UNIFORM ? schedule.learning_rate * problem.no_components : rates.sum();
            if (Schedule::UNIFORM && bias_in_row()) local_rates += schedule.learning_rate;
            n_touched += problem.no_components + 1;
        }
        if (side.biases) {
            One rate = One::all(0.0f);
            step_parameters(side.biases + feature * side.bias_stride, 1, One::all(bias_gradient),
                            One::all(static_cast<float>(side.alpha)), &rate);
            local_rates += rate.sum();
        }
    }

    template <class V>
    void step_parameters(float* x, int64_t stride, V d, V alpha, V* rates) const {
        const V local = schedule.local_learning_rate(x, stride, d);
        const V step = local * d;
        V value = subtract_product(V::load(x), local, d);
        if (L2) {
            value = multiply_add(value, alpha * local, value);
            *rates = *rates + local;
        }
        value.store(x);
        schedule.stepped(x, stride, step);
    }
};

}  // namespace
}  // namespace lfm
