// Runs every kernel of one instruction level on made-up data and prints what comes out, so that
// compilers and processors can be compared where no Python is to be had (test_kernels.py).
//
//     driver [level]
//
// It is the caller who has to know that the processor has the level: not every clang comes with the
// library that could tell.
// The output is blocks of lines: "# name count", then the numbers.
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "_kernels/dispatch.hpp"
#include "_kernels/epoch.hpp"
#include "_kernels/features.hpp"
#include "_kernels/interactions.hpp"
#include "_kernels/known_items.hpp"

using namespace lfm;

namespace {

constexpr int32_t N_USERS = 50, N_ITEMS = 75, N_FEATURES = 40, FEATURES_A_ROW = 3;
constexpr int64_t N_INTERACTIONS = 600, BLOCK = 128;
constexpr uint64_t SEED = 20240229;

template <class T>
void print(const char* name, const std::vector<T>& values) {
    printf("# %s %d\n", name, static_cast<int>(values.size()));
    for (const T value : values) printf("%.9g\n", static_cast<double>(value));
}

// Exact in binary, so that every machine starts from the same numbers.
float uniform(Rng& rng) { return static_cast<float>(rng.bounded(2001) - 1000) / 1024.0f; }

uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

struct Features {
    std::vector<int64_t> indptr{0};
    std::vector<int32_t> indices;
    std::vector<float> data;

    Features(int32_t n_rows, Rng& rng) {
        for (int32_t row = 0; row < n_rows; ++row) {
            for (int32_t f = 0; f < FEATURES_A_ROW; ++f) {
                indices.push_back(static_cast<int32_t>(rng.bounded(N_FEATURES)));
                data.push_back(uniform(rng));
            }
            indptr.push_back(static_cast<int64_t>(indices.size()));
        }
    }
};

// One side's packed rows, laid out as interface.hpp says.
struct Parameters {
    int parts, lanes, no_components, bias_stride;
    std::vector<float> memory, biases;
    float* rows;

    Parameters(int32_t n_features, int schedule, int components, Rng& rng)
        : parts(schedule == ADADELTA  ? 3
                : schedule == ADAGRAD ? 2
                                      : 1),
          lanes((components + 15) / 16 * 16), no_components(components),
          bias_stride(parts == 3 ? 4 : parts) {
        memory.assign(static_cast<size_t>(n_features) * parts * lanes + 16, 0.0f);
        rows = memory.data();
        while (reinterpret_cast<uintptr_t>(rows) % 64) ++rows;
        const bool in_row = components % 16 != 0;
        if (!in_row) biases.assign(static_cast<size_t>(n_features) * bias_stride, 0.0f);
        for (int32_t f = 0; f < n_features; ++f) {
            float* row = rows + static_cast<int64_t>(f) * parts * lanes;
            for (int l = 0; l < components + in_row; ++l) row[l] = uniform(rng) / 4.0f;
            if (!in_row) biases[static_cast<size_t>(f) * bias_stride] = uniform(rng) / 4.0f;
            if (parts == 1) continue;
            for (int l = 0; l < lanes; ++l)
                row[lanes + l] =
                    l < components + in_row ? 1.0f : std::numeric_limits<float>::infinity();
            if (!in_row) biases[static_cast<size_t>(f) * bias_stride + 1] = 1.0f;
        }
    }

    Side side(const Features* features, double alpha) {
        Side side{};
        side.rows = rows;
        side.biases = biases.empty() ? nullptr : biases.data();
        side.row_stride = static_cast<int64_t>(parts) * lanes;
        side.bias_stride = biases.empty() ? 0 : bias_stride;
        if (features)
            side.features = {features->indptr.data(), 1,
                             features->indices.data(), features->data.data(),
                             features->indptr.data(), features->indices.data()};
        side.alpha = alpha;
        return side;
    }

    // Without the alignment in front, and without the states' padding, which is infinite.
    std::vector<float> values() const {
        std::vector<float> all(biases);
        const int64_t n_rows = static_cast<int64_t>(memory.size() - 16) / lanes;
        for (int64_t row = 0; row < n_rows; ++row)
            all.insert(all.end(), rows + row * lanes, rows + row * lanes + no_components);
        return all;
    }
};

struct Stored {
    std::vector<uint32_t> words, order;
    std::vector<int64_t> known_indptr;
    std::vector<int32_t> known_items;
    std::vector<uint64_t> filter;

    explicit Stored(Rng& rng) : known_indptr(N_USERS + 1, 0) {
        std::vector<std::vector<int32_t>> known(N_USERS);
        for (int64_t i = 0; i < N_INTERACTIONS; ++i) {
            const int32_t user = static_cast<int32_t>(rng.bounded(N_USERS));
            // The product of two draws makes some items popular.
            const int32_t item = static_cast<int32_t>(rng.bounded(rng.bounded(N_ITEMS) + 1));
            const float value = uniform(rng);
            const uint32_t flag = value > -0.5f ? 0u : NOT_POSITIVE;
            for (const uint32_t word :
                 {static_cast<uint32_t>(user) | flag, static_cast<uint32_t>(item), bits_of(value),
                  bits_of(1.5f + uniform(rng))})
                words.push_back(word);
            known[user].push_back(item);
        }
        for (int32_t user = 0; user < N_USERS; ++user) {
            std::vector<int32_t>& items = known[user];
            std::sort(items.begin(), items.end());
            items.erase(std::unique(items.begin(), items.end()), items.end());
            known_items.insert(known_items.end(), items.begin(), items.end());
            known_indptr[user + 1] = static_cast<int64_t>(known_items.size());
        }
        filter.assign(static_cast<size_t>(filter_begin(known_indptr.data(), N_USERS)), 0);
        fill_filters(known_indptr.data(), known_items.data(), 0, N_USERS, N_ITEMS, filter.data());
        order.resize(words.size());
        std::vector<int64_t> next{0};
        scatter(words.data(), 4, N_INTERACTIONS, 0, 1, 0, SEED, next.data(), order.data());
        shuffle_bucket(order.data(), 4, N_INTERACTIONS, 0, SEED);
    }
};

void train(const Kernels& kernels, const Stored& stored, int loss, int schedule, int components,
           const Features* user_features, const Features* item_features, double alpha,
           const AliasColumn* popularity, const std::vector<int32_t>* candidates,
           const char* name) {
    Rng rng(SEED, 7);
    Parameters users(user_features ? N_FEATURES : N_USERS, schedule, components, rng);
    Parameters items(item_features ? N_FEATURES : N_ITEMS, schedule, components, rng);
    Scales scales{1.0, 1.0, 0};
    const int32_t n_candidates = candidates ? static_cast<int32_t>(candidates->size()) : N_ITEMS;
    std::vector<float> warp_weights;
    for (int tries = 1; tries <= 10; ++tries)
        warp_weights.push_back(static_cast<float>(std::log((n_candidates - 1) / tries)));

    Problem problem{};
    problem.users = users.side(user_features, alpha);
    problem.items = items.side(item_features, alpha);
    problem.known = {stored.known_indptr.data(), stored.known_items.data(), stored.filter.data(),
                     N_ITEMS};
    problem.interactions = stored.words.data();
    problem.order = stored.order.data();
    problem.words = 4;
    problem.has_values = true;
    problem.n_interactions = N_INTERACTIONS;
    problem.n_items = N_ITEMS;
    problem.candidates = candidates ? candidates->data() : nullptr;
    problem.n_candidates = n_candidates;
    problem.popularity = popularity;
    problem.no_components = components;
    problem.lanes = users.lanes;
    problem.learning_rate = problem.last_learning_rate = 0.05f;
    problem.rho = 0.95f;
    problem.epsilon = 1e-6f;
    problem.max_sampled = static_cast<int64_t>(warp_weights.size());
    problem.k = 3;
    problem.n = 8;
    problem.temperature = 0.25f;
    problem.n_negatives = 24;
    problem.warp_weights = warp_weights.data();
    problem.n_warp_weights = static_cast<int64_t>(warp_weights.size());
    problem.seed = SEED;
    problem.scales = &scales;

    std::vector<float> scratch(static_cast<size_t>(scratch_floats(loss, problem, problem.k)) + 16,
                               0.0f);
    float* aligned = scratch.data();
    while (reinterpret_cast<uintptr_t>(aligned) % 64) ++aligned;
    Sums sums{};
    const BlockKernel kernel = kernels.block_kernel(loss, schedule, problem);
    for (int64_t begin = 0; begin < N_INTERACTIONS; begin += BLOCK)
        for (int64_t at = begin, end = std::min(begin + BLOCK, N_INTERACTIONS); at < end;)
            kernel(problem, aligned, &sums, &at, end);
    print(name, users.values());
    print(name, items.values());
    print(name, std::vector<double>{scales.user, scales.item, sums.loss});
}

// Those that have an interaction.
std::vector<int32_t> seen_items(const Stored& stored) {
    std::vector<int32_t> seen(stored.known_items);
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    return seen;
}

// Items that are drawn as often as their number modulo 7.
std::vector<AliasColumn> popularity() {
    std::vector<int64_t> counts(N_ITEMS);
    double total = 0.0;
    for (int32_t i = 0; i < N_ITEMS; ++i) total += static_cast<double>(counts[i] = i % 7);
    std::vector<double> shares(N_ITEMS);
    std::vector<int32_t> stack(N_ITEMS);
    std::vector<AliasColumn> table(N_ITEMS);
    fill_alias_table(counts.data(), N_ITEMS, total, shares.data(), stack.data(), table.data());
    return table;
}

void gather_features(const Features& features) {
    constexpr int64_t components = 5, n = 3;
    Rng rng(SEED, 9);
    std::vector<float> embeddings(N_FEATURES * components), biases(N_FEATURES);
    for (float& x : embeddings) x = uniform(rng);
    for (float& x : biases) x = uniform(rng);
    const auto array = [](const auto& values) {
        return Array{values.data(), static_cast<int64_t>(values.size()), sizeof(values[0]) == 8};
    };
    const int32_t rows[n] = {7, 0, N_USERS - 1};
    std::vector<float> bias_sums(n), sums(n * components);
    const Finding finding = sum_features(
        {array(features.indptr), array(features.indices), array(features.data)}, rows, n,
        biases.data(), embeddings.data(), N_FEATURES, components, bias_sums.data(), sums.data());
    print("fault", std::vector<int>{finding.fault});
    print("bias_sums", bias_sums);
    print("sums", sums);
}

void rank(const Kernels& kernels, const Stored& stored) {
    constexpr int components = 20, k = 9;
    Rng rng(SEED, 8);
    std::vector<float> user_vectors, item_vectors, user_biases, item_biases;
    for (int i = 0; i < N_USERS * components; ++i) user_vectors.push_back(uniform(rng));
    for (int i = 0; i < N_ITEMS * components; ++i) item_vectors.push_back(uniform(rng));
    for (int i = 0; i < N_USERS; ++i) user_biases.push_back(uniform(rng));
    for (int i = 0; i < N_ITEMS; ++i) item_biases.push_back(uniform(rng));
    const Representations users{user_vectors.data(), user_biases.data()};
    const Representations items{item_vectors.data(), item_biases.data()};

    std::vector<int32_t> user_ids(N_ITEMS, 3), item_ids;
    for (int32_t i = 0; i < N_ITEMS; ++i) item_ids.push_back(i);
    std::vector<float> scores(N_ITEMS);
    kernels.score_pairs(users, items, components, user_ids.data(), 1, item_ids.data(), N_ITEMS,
                        scores.data());
    print("scores", scores);

    std::vector<float> memory(static_cast<size_t>((N_ITEMS + PANEL) * (components + 1) + 16));
    float* panels = memory.data();
    while (reinterpret_cast<uintptr_t>(panels) % 64) ++panels;
    kernels.pack_panels(items, N_ITEMS, components, panels);

    // Every second item is tested, what is known is train.
    std::vector<int64_t> test_indptr{0};
    std::vector<int32_t> test_indices;
    for (int32_t user = 0; user < N_USERS; ++user) {
        for (int32_t item = user % 2; item < N_ITEMS; item += 2) test_indices.push_back(item);
        test_indptr.push_back(static_cast<int64_t>(test_indices.size()));
    }
    std::vector<float> scratch(USERS_AT_ONCE * TILE), targets(test_indices.size());
    std::vector<int32_t> ranks(test_indices.size());
    std::vector<uint8_t> in_train(test_indices.size());
    std::vector<int32_t> all_users;
    for (int32_t user = 0; user < N_USERS; ++user) all_users.push_back(user);
    for (int32_t first = 0; first < N_USERS; first += USERS_AT_ONCE)
        kernels.rank_users(users, Influence(), panels, N_ITEMS, components,
                           all_users.data() + first, std::min(USERS_AT_ONCE, N_USERS - first),
                           test_indptr.data(), test_indices.data(), stored.known_indptr.data(),
                           stored.known_items.data(), scratch.data(), targets.data(), ranks.data(),
                           in_train.data());
    print("ranks", ranks);
    print("in_train", in_train);

    for (const float* packed :
         {static_cast<const float*>(panels), static_cast<const float*>(nullptr)}) {
        std::vector<int32_t> ids(N_USERS * k);
        std::vector<float> best(N_USERS * k);
        kernels.top_items(users, Influence(), N_USERS, items, packed, N_ITEMS, components,
                          stored.known_indptr.data(), stored.known_indptr.data() + 1,
                          stored.known_items.data(), k, scratch.data(), ids.data(), best.data());
        print("top_ids", ids);
        print("top_scores", best);
    }

    std::vector<char> codes(static_cast<size_t>((N_ITEMS + PANEL) * (components + 4)));
    double limits[2];
    kernels.code_items(item_vectors.data(), N_ITEMS, components, components, codes.data(), limits);
    std::vector<int16_t> of_users(N_USERS * components);
    std::vector<int32_t> ids(N_USERS * k);
    std::vector<float> best(N_USERS * k);
    kernels.top_items_by_codes(users, N_USERS, items, codes.data(), limits, N_ITEMS, components,
                               components, stored.known_indptr.data(),
                               stored.known_indptr.data() + 1, stored.known_items.data(), k,
                               scratch.data(), of_users.data(), ids.data(), best.data());
    print("limits", std::vector<double>(limits, limits + 2));
    print("top_ids", ids);
    print("top_scores", best);
}

}  // namespace

int main(int argc, char** argv) {
    const char* wanted = argc > 1 ? argv[1] : "baseline";
    const Kernels* kernels = nullptr;
    for (int l = 0; l < N_LEVELS; ++l)
        if (!strcmp(levels()[l].name, wanted)) kernels = levels()[l].kernels;
    if (!kernels) {
        fprintf(stderr, "no level %s here\n", wanted);
        return 1;
    }
    Rng rng(SEED, 1);
    const Stored stored(rng);
    print("order", stored.order);
    const Features user_features(N_USERS, rng), item_features(N_ITEMS, rng);
    for (int loss = 0; loss < N_LOSSES; ++loss)
        for (int schedule = 0; schedule < N_SCHEDULES; ++schedule)
            for (const int components : {20, 32})
                for (const bool hybrid : {false, true})
                    for (const double alpha : {0.0, 0.001}) {
                        char name[100];
                        snprintf(name, sizeof name, "%s-%s-%d%s%s", LOSS_NAMES[loss],
                                 SCHEDULE_NAMES[schedule], components, hybrid ? "-features" : "",
                                 alpha > 0 ? "-l2" : "");
                        train(*kernels, stored, loss, schedule, components,
                              hybrid ? &user_features : nullptr, hybrid ? &item_features : nullptr,
                              alpha, nullptr, nullptr, name);
                    }
    train(*kernels, stored, BPR, ADAGRAD, 20, nullptr, nullptr, 0.0, popularity().data(), nullptr,
          "bpr-popularity");
    const std::vector<int32_t> seen = seen_items(stored);
    print("seen", seen);
    for (const int loss : {WARP, WARP_KOS, SOFTMAX})
        train(*kernels, stored, loss, ADAGRAD, 20, nullptr, &item_features, 0.0, nullptr, &seen,
              LOSS_NAMES[loss]);
    gather_features(user_features);
    rank(*kernels, stored);

    // Every block is taken once, whichever thread asks.
    // Two buckets, and blocks of two classes.
    const int64_t n_examples = 20000;
    std::vector<uint32_t> words, order(2 * n_examples);
    std::vector<uint8_t> classes;
    for (uint32_t i = 0; i < n_examples; ++i) words.insert(words.end(), {i, i % N_ITEMS});
    for (int32_t item = 0; item < N_ITEMS; ++item) classes.push_back(item % 3 == 0);
    Epoch epoch(words.data(), 2, n_examples, SEED, 1, 256, 2, classes.data(), order.data());
    epoch.offer(0, (n_examples + 255) / 256);
    epoch.enter(0);
    std::vector<int64_t> taken;
    for (Block block{0, 0}; epoch.take(0, &block); block.position = block.end)
        taken.insert(taken.end(), {block.position, block.end});
    print("order", order);
    print("blocks", taken);

    // Some users' lists are sorted by bits, others not.
    std::vector<uint64_t> pairs(n_examples);
    std::vector<int32_t> items(n_examples);
    std::vector<int64_t> indptr(n_examples + 1);
    for (uint32_t i = 0; i < n_examples; ++i) words[2 * i] = i * i % 700;
    Keyboard keyboard([](void*) { return 0; }, nullptr, 30);
    KnownItems known(words.data(), 2, n_examples, n_examples, N_ITEMS, 1, pairs.data(),
                     items.data(), indptr.data());
    known.list(0, keyboard);
    known.set_bounds();
    std::vector<int32_t> listed(known.n_known());
    known.close_gaps(0, listed.data(), keyboard);
    print("known", listed);
    print("bounds", indptr);
    return 0;
}
