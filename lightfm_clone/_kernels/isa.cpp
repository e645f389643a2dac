// The kernels of one instruction level. setup.py compiles this file once per level, with the
// level's flags, LFM_LEVEL set to its name, and LFM_FASTEST for the last; dispatch.hpp chooses a
// table at import.
//
// Everything but the table has internal linkage, and no inline function of the standard library is
// used, so that the linker can never hand one level's code to another.
#include "cholesky.hpp"
#include "codes.hpp"
#include "losses.hpp"
#include "ranking.hpp"
#include "schedules.hpp"
#include "softmax.hpp"

namespace lfm {
namespace {

template <class Loss, class Schedule, class Lanes, bool L2>
void train_block(const Problem& problem, float* scratch, Sums* sums, int64_t* position,
                 int64_t end) {
    int64_t i = *position;
    Step<Schedule, Lanes, L2> step(problem, scratch, sums, i);
    Reader<Lanes, L2>& reader = step;
    for (; i < end; ++i) {
        if (L2 && load_relaxed(&problem.scales->full)) break;
        Loss::prefetch(reader, i);
        const Example example = read_example(problem, i);
        step.drop_identities(i);
        Rng rng(problem.seed, static_cast<uint64_t>(i));
        Entry entries[2];
        const int n_entries = Loss::entries(reader, example, rng, entries);
        if (!n_entries) continue;
        step.apply(entries, n_entries);
        if (L2 && step.scales_full()) {
            store_relaxed(&problem.scales->full, 1);
            ++i;
            break;
        }
    }
    if (L2) step.share_scales();
    step.flush_log_loss();
    *sums = step.sums;
    *position = i;
}

bool has_l2(const Problem& problem) { return problem.users.alpha > 0 || problem.items.alpha > 0; }

template <class Loss, class Schedule>
BlockKernel with_l2(const Problem& problem) {
    return has_l2(problem) ? train_block<Loss, Schedule, AnyLanes<false>, true>
                           : train_block<Loss, Schedule, AnyLanes<false>, false>;
}

template <class Loss>
BlockKernel adagrad_of_common(const Problem& problem) {
    if (has_l2(problem)) return train_block<Loss, Adagrad, AnyLanes<false>, true>;
#ifdef LFM_FASTEST
    if (problem.lanes == 16) return train_block<Loss, Adagrad, FixedLanes<16>, false>;
    if (problem.lanes == 64) return train_block<Loss, Adagrad, FixedLanes<64>, false>;
#endif
    return train_block<Loss, Adagrad, AnyLanes<true>, false>;
}

template <class Loss>
BlockKernel with_schedule(int schedule, const Problem& problem) {
    switch (schedule) {
        case ADAGRAD:
            if constexpr (Loss::IS_COMMON) return adagrad_of_common<Loss>(problem);
            else return with_l2<Loss, Adagrad>(problem);
        case ADADELTA: return with_l2<Loss, Adadelta>(problem);
        default: return with_l2<Loss, Sgd>(problem);
    }
}

template <class Schedule>
BlockKernel softmax_with_l2(const Problem& problem) {
    return has_l2(problem) ? softmax_block<Schedule, true> : softmax_block<Schedule, false>;
}

BlockKernel softmax_kernel(int schedule, const Problem& problem) {
    switch (schedule) {
        case ADAGRAD: return softmax_with_l2<Adagrad>(problem);
        case ADADELTA: return softmax_with_l2<Adadelta>(problem);
        default: return softmax_with_l2<Sgd>(problem);
    }
}

BlockKernel block_kernel(int loss, int schedule, const Problem& problem) {
    switch (loss) {
        case LOGISTIC: return with_schedule<Logistic>(schedule, problem);
        case BPR: return with_schedule<Bpr>(schedule, problem);
        case WARP: return with_schedule<Warp>(schedule, problem);
        case WARP_KOS: return with_schedule<WarpKos>(schedule, problem);
        case MSE: return with_schedule<Mse>(schedule, problem);
        default: return softmax_kernel(schedule, problem);
    }
}

void score_pairs(const Representations& users, const Representations& items, int32_t no_components,
                 const int32_t* user_ids, int64_t user_step, const int32_t* item_ids, int64_t n,
                 float* out) {
    const auto item = [=](int64_t i) { return int64_t{item_ids[i]}; };
    if (!user_step) {
        const int64_t user = user_ids[0];
        score_items(users.vectors + user * no_components, users.biases[user], items, item, n,
                    no_components, out);
        return;
    }
    for (int64_t i = 0; i < n; ++i) {
        const int64_t user = user_ids[i * user_step];
        out[i] = score_row(users.vectors + user * no_components, users.biases[user], items, item(i),
                           no_components);
    }
}

}  // namespace

#define LFM_TABLE_OF(level) kernels_##level
#define LFM_TABLE(level) LFM_TABLE_OF(level)
extern const Kernels LFM_TABLE(LFM_LEVEL);
const Kernels LFM_TABLE(LFM_LEVEL) = {block_kernel, score_pairs,        add_influence,
                                      pack_panels,  rank_users,         top_items,
                                      code_items,   top_items_by_codes, solve_ridge};

}  // namespace lfm
