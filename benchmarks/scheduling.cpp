// What it costs threads to share an epoch (epoch.hpp): the cache lines that travel between them,
// counted with simulated threads, and the CPU time of handing out examples, with real ones.

#include <omp.h>
#include <time.h>
#include <ucontext.h>

#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../lightfm_clone/_kernels/epoch.hpp"

namespace {

using lfm::Block;
using lfm::Rng;

constexpr int MOST_THREADS = 256;
constexpr int MAIN = -1;
int running = MAIN;  // the simulated thread

// ---- which thread has which cache line ----------------------------------------------------------

std::unordered_map<uintptr_t, std::bitset<MOST_THREADS>> holders;
int64_t lines_moved = 0;

// A line travels to a thread that reads it and does not have it, and to one that writes it and is
// not the only one who has it.
void touch(const void* place, bool writes) {
    if (running == MAIN) return;
    auto& have = holders[reinterpret_cast<uintptr_t>(place) / 64];
    if (have[running] && !(writes && have.count() > 1)) return;
    ++lines_moved;
    if (writes) have.reset();
    have.set(running);
}

template <class T>
class Counted {
  public:
    Counted(T value = T()) : value(value) {}
    T load(std::memory_order = std::memory_order_seq_cst) const { return read(); }
    void store(T to, std::memory_order = std::memory_order_seq_cst) { written() = to; }
    T exchange(T to, std::memory_order = std::memory_order_seq_cst) {
        return std::exchange(written(), to);
    }
    T fetch_add(T by, std::memory_order = std::memory_order_seq_cst) {
        return std::exchange(written(), value + by);
    }
    T fetch_sub(T by, std::memory_order = std::memory_order_seq_cst) {
        return std::exchange(written(), value - by);
    }
    T fetch_and(T mask, std::memory_order = std::memory_order_seq_cst) {
        return std::exchange(written(), value & mask);
    }
    bool compare_exchange_strong(T& expected, T to) {
        T& it = written();
        if (it == expected) return it = to, true;
        return expected = it, false;
    }

  private:
    T value;

    T read() const { return touch(this, false), value; }
    T& written() { return touch(this, true), value; }
};

// ---- simulated threads: fibres, of which the one goes on whose clock is the furthest behind ------

class Fibres {
  public:
    Fibres(int n, std::function<void(int)> body) : body(std::move(body)), fibres(n) {
        for (int t = 0; t < n; ++t) {
            Fibre& fibre = fibres[t];
            fibre.stack.resize(1 << 17);
            getcontext(&fibre.context);
            fibre.context.uc_stack.ss_sp = fibre.stack.data();
            fibre.context.uc_stack.ss_size = fibre.stack.size();
            fibre.context.uc_link = &main;
            makecontext(&fibre.context, &Fibres::begin, 0);
            waiting.push({0.0, t});
        }
    }

    void run() {
        current = this;
        while (!waiting.empty()) {
            running = waiting.top().second;
            waiting.pop();
            swapcontext(&main, &fibres[running].context);
            running = MAIN;
        }
    }

    // Called by a fibre for which time passes.
    static void pass(double time) {
        Fibre& fibre = current->fibres[running];
        fibre.clock += time;
        if (current->waiting.empty() || fibre.clock < current->waiting.top().first) return;
        current->waiting.push({fibre.clock, running});
        swapcontext(&fibre.context, &current->main);
    }

  private:
    struct Fibre {
        ucontext_t context;
        std::vector<char> stack;
        double clock = 0.0;
    };
    using Turn = std::pair<double, int>;

    static Fibres* current;
    ucontext_t main;
    std::function<void(int)> body;
    std::vector<Fibre> fibres;
    std::priority_queue<Turn, std::vector<Turn>, std::greater<Turn>> waiting;

    static void begin() { current->body(running); }
};
Fibres* Fibres::current = nullptr;

struct Simulated {
    template <class T>
    using Atomic = Counted<T>;
    struct Meeting {
        template <class Condition>
        void wait(Condition is_met) {
            while (!is_met()) Fibres::pass(1.0);
        }
        void tell() {}
    };
};

// ---- CPU time -----------------------------------------------------------------------------------

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// CPU seconds of handing out windows [0, end) to threads that do nothing with them.
double hand_out(lfm::Epoch& epoch, int threads, int64_t end) {
    const double start = cpu_seconds();
    epoch.offer(0, end);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
        epoch.enter(t);
        Block block{0, 0};
        while (epoch.take(t, &block)) block.position = block.end;
    }
    return cpu_seconds() - start;
}

}  // namespace

// The epoch's n interactions of two words are over items of n_classes classes.
extern "C" {

// Writes what travels between threads in an epoch: lines of the scheduling; and the rows of users,
// of positives, and of negatives that are drawn as BPR draws them. Every eighth thread is `slow`
// times as slow as the others. Returns how many examples the threads were given.
int64_t count_moved(const uint32_t* interactions, int64_t n, int32_t n_users, int32_t n_items,
                    const uint8_t* classes, int32_t n_classes, int64_t window, int32_t threads,
                    double slow, int64_t* moved) {
    std::vector<uint32_t> order(2 * n);
    lfm::EpochOf<Simulated> epoch(interactions, 2, n, 1, threads, window, n_classes, classes,
                                  order.data());
    std::vector<int> of_users(n_users, MAIN), of_items(n_items, MAIN);
    enum { LINES, USERS, POSITIVES, NEGATIVES };
    const auto update = [&](std::vector<int>& writers, int32_t row, int kind) {
        const int before = std::exchange(writers[row], running);
        moved[kind] += before != running && before != MAIN;
    };
    std::fill_n(moved, 4, 0);
    int64_t given = 0;
    epoch.offer(0, (n + window - 1) / window);
    Fibres fibres(threads, [&](int thread) {
        const double pace = thread % 8 == 1 ? slow : 1.0;
        epoch.enter(thread);
        Block block{0, 0};
        while (epoch.take(thread, &block)) {
            given += block.end - block.position;
            for (; block.position < block.end; ++block.position) {
                const uint32_t* example = order.data() + 2 * block.position;
                Rng rng(1, static_cast<uint64_t>(block.position));
                update(of_users, static_cast<int32_t>(example[0]), USERS);
                update(of_items, static_cast<int32_t>(example[1]), POSITIVES);
                const uint32_t* drawn = interactions + 2 * rng.bounded(n);
                update(of_items, static_cast<int32_t>(drawn[1]), NEGATIVES);
                // Between a half and one and a half of its usual time.
                Fibres::pass(pace * (0.5 + static_cast<double>(rng.bounded(1024)) / 1024));
            }
        }
    });
    holders.clear();
    lines_moved = 0;
    fibres.run();
    moved[LINES] = lines_moved;
    return given;
}

// CPU nanoseconds for each example of epochs whose order has been made, beyond those of epochs without
// examples; and in *start, those in microseconds an epoch.
double cost(const uint32_t* interactions, int64_t n, const uint8_t* classes, int32_t n_classes,
            int64_t window, int32_t threads, double* start) {
    constexpr int EPOCHS = 20;
    std::vector<uint32_t> order(2 * n);
    lfm::Epoch epoch(interactions, 2, n, 1, threads, window, n_classes, classes, order.data());
    const int64_t n_windows = (n + window - 1) / window;
    hand_out(epoch, threads, n_windows);
    double bare = 0.0, full = 0.0;
    for (int e = 0; e < EPOCHS; ++e) {
        bare += hand_out(epoch, threads, 0);
        full += hand_out(epoch, threads, n_windows);
    }
    *start = 1e6 * bare / EPOCHS;
    return 1e9 * (full - bare) / (EPOCHS * static_cast<double>(n));
}

}  // extern "C"
