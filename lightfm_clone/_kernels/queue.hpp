// The blocks of examples that the threads of an epoch work through.
//
// The epoch's order is cut into windows, and each window has one block for every class of items.
// A thread takes the blocks of its own class, window after window, but never leaves another class
// more than MOST_AHEAD windows behind: it then takes that one's block. So no thread idles while
// there is work, and the order in which examples are trained on stays the random one but for a few
// windows, even where all threads share one CPU. Compiled at the baseline level.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace lfm {

class Queue {
  public:
    explicit Queue(int n_classes) : n(n_classes), next(new Next[n_classes]) {}

    // Offers the blocks of the windows [first, last).
    void offer(int64_t first, int64_t end) {
        for (int c = 0; c < n; ++c) next[c].window.store(first, std::memory_order_relaxed);
        last = end;
    }

    // The next block for a thread, as window * n_classes + class, or -1 when all are taken.
    int64_t take(int thread) {
        for (;;) {
            const int own = thread % n;
            int slowest = own;
            int64_t least = window(own), ahead = least;
            for (int c = 0; c < n; ++c) {
                if (window(c) < least) {
                    least = window(c);
                    slowest = c;
                }
            }
            if (least >= last) return -1;
            const int from = ahead < last && ahead - least <= MOST_AHEAD ? own : slowest;
            const int64_t taken = next[from].window.fetch_add(1, std::memory_order_relaxed);
            if (taken < last) return taken * n + from;
        }
    }

  private:
    static constexpr int64_t MOST_AHEAD = 1;

    struct alignas(64) Next {  // a cache line each: a thread writes its own most of the time
        std::atomic<int64_t> window{0};
    };
    int n;
    int64_t last = 0;
    std::unique_ptr<Next[]> next;

    int64_t window(int c) const { return next[c].window.load(std::memory_order_relaxed); }
};

}  // namespace lfm
