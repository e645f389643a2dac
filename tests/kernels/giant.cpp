// Index arithmetic beyond 2^31 - 1 interactions, on address space that is reserved but mostly never
// touched. Prints "ok", or says what went wrong and exits with 1.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "_kernels/interactions.hpp"
#define LFM_LEVEL giant
#include "_kernels/isa.cpp"

using namespace lfm;

namespace {

constexpr int64_t N = (int64_t{1} << 31) + 100'000, FAR = (int64_t{1} << 31) - 64;
constexpr int32_t N_USERS = 4, N_ITEMS = 50;
constexpr int D = 5, LANES = 16;

template <class T>
T* reserve(int64_t n) {
    void* memory = mmap(nullptr, sizeof(T) * n, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return static_cast<T*>(memory);
}

void check(bool holds, const char* what) {
    if (holds) return;
    printf("failed: %s\n", what);
    exit(1);
}

struct Model {
    alignas(64) float users[N_USERS][2][LANES], items[N_ITEMS][2][LANES];
    Model() {
        for (auto* rows : {&users[0], &items[0]})
            for (int r = 0; r < (rows == &users[0] ? N_USERS : N_ITEMS); ++r)
                for (int l = 0; l < LANES; ++l) {
                    rows[r][0][l] =
                        l <= D ? 0.01f * static_cast<float>((r * 7 + l * 3) % 11) : 0.0f;
                    rows[r][1][l] = l <= D ? 1.0f : INFINITY;
                }
    }
};

// Trains 128 examples that begin at `position` of the order.
void train(Loss loss, const uint32_t* order, int64_t position, int64_t n, const Known& known,
           Model* model) {
    Scales scales{1.0, 1.0, 0};
    Problem problem{};
    problem.users.rows = &model->users[0][0][0];
    problem.items.rows = &model->items[0][0][0];
    problem.users.row_stride = problem.items.row_stride = 2 * LANES;
    problem.known = known;
    problem.interactions = problem.order = order;
    problem.words = 2;
    problem.n_interactions = n;
    problem.n_items = N_ITEMS;
    problem.n_candidates = N_ITEMS;
    problem.no_components = D;
    problem.lanes = LANES;
    problem.learning_rate = problem.last_learning_rate = 0.05f;
    problem.max_sampled = 10;
    const float weight = 1.0f;
    problem.warp_weights = &weight;
    problem.n_warp_weights = 1;
    problem.seed = 1;
    problem.scales = &scales;
    alignas(64) float scratch[8 * LANES] = {};
    Sums sums{};
    sums.usual_tries = 2.0f;
    int64_t at = position;
    kernels_giant.block_kernel(loss, ADAGRAD, problem)(problem, scratch, &sums, &at,
                                                       position + 128);
    check(at == position + 128, "a block ends where it should");
    check(sums.examples > 0, "examples were trained on");
}

}  // namespace

int main() {
    // The same 128 examples around position 2^31 and at the start of a short list. Logistic draws
    // nothing, so they give the same model.
    uint32_t* order = reserve<uint32_t>(2 * N);
    uint32_t few[2 * 1024] = {};
    for (int64_t i = 0; i < 128; ++i) {
        const uint32_t words[2] = {static_cast<uint32_t>(i % N_USERS),
                                   static_cast<uint32_t>(i % 37)};
        memcpy(order + 2 * (FAR + i), words, sizeof words);
        memcpy(few + 2 * i, words, sizeof words);
    }
    Model far, near;
    train(LOGISTIC, order, FAR, N, {}, &far);
    train(LOGISTIC, few, 0, 1024, {}, &near);
    check(memcmp(&far, &near, sizeof far) == 0, "the examples beyond 2^31 are read");

    // Known items whose places in list and filter lie beyond 2^31: the last user knows items 3 and 5,
    // the first is said to know all before them.
    const int64_t indptr[N_USERS + 1] = {0, N, N, N, N + 2};
    int32_t* items = reserve<int32_t>(N + 2);
    uint64_t* filter = reserve<uint64_t>(filter_begin(indptr, N_USERS) + 1);
    items[N] = 3;
    items[N + 1] = 5;
    // More items than a word has bits, so that both the filter and the list are asked.
    constexpr int64_t MANY_ITEMS = 1000;
    fill_filters(indptr, items, 3, 4, MANY_ITEMS, filter);
    const Known known{indptr, items, filter, MANY_ITEMS};
    for (int32_t item = 0; item < N_ITEMS; ++item)
        check(is_known(known, 3, item) == (item == 3 || item == 5), "known items beyond 2^31");
    for (Loss loss : {BPR, WARP}) {
        for (int64_t i = 0; i < 128; ++i) order[2 * (FAR + i)] = 3;
        Model model;
        train(loss, order, FAR, N, known, &model);
        check(kernels_giant.block_kernel != nullptr && model.users[3][1][0] > 1.0f,
              "user 3 learns");
        check(model.items[49][0][0] == model.items[49][0][0], "no NaN");
    }

    // Every interaction falls into one bucket, and the last parts of a parallel shuffle begin beyond
    // 2^31.
    const int bits = bucket_bits(N);
    int64_t* counts = reserve<int64_t>(int64_t{1} << bits);
    const int64_t n_chunks = (N + CHUNK - 1) / CHUNK;
    count_buckets(N, n_chunks - 3, n_chunks, bits, 1, counts);
    int64_t total = 0;
    for (int64_t b = 0; b < int64_t{1} << bits; ++b) total += counts[b];
    check(total == N - (n_chunks - 3) * CHUNK, "all of the last chunks are counted");
    printf("ok\n");
    return 0;
}
