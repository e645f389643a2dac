// An epoch as threads share it: they make its random order, and take the blocks of examples.
//
// The order is a shuffle in two passes (interactions.hpp): interactions are counted and thrown into
// buckets, in pieces; then each bucket is shuffled where it lies, by the thread that first needs one
// that nobody has begun.
//
// For training, the order is cut into windows. Each has one block for every class of items, into
// which the thread that shuffles its last bucket has sorted it. A thread takes the blocks of its own
// class, window after window, but never leaves another class more than MOST_AHEAD windows behind: it
// then takes that one's block. So no thread idles while there is work, and the order in which examples
// are trained on stays the random one but for a few windows, even where all threads share one CPU.
//
// What threads write and others read: `next`, a cache line a class, written at each block by the
// class's own thread; `floor`, written about once a window, so that a thread looks at all lines only
// where it would run ahead; and the states of windows, written once. Compiled at the baseline level.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "interactions.hpp"
#include "pieces.hpp"

namespace lfm {

// Examples [position, end) of the order.
struct Block {
    int64_t position;
    int64_t end;
};

class Epoch {
  public:
    // Of n interactions of `words` words, for whose order there is room at `order`. `classes` says the
    // class of each item; it is not looked at where there is only one.
    Epoch(const uint32_t* interactions, int words, int64_t n, uint64_t seed, int threads,
          int64_t window, int n_classes, const uint8_t* classes, uint32_t* order)
        : interactions(interactions), words(words), n(n), seed(seed), window(window),
          n_windows((n + window - 1) / window), n_classes(n_classes), classes(classes),
          order(order), bits(bucket_bits(n)), n_chunks((n + CHUNK - 1) / CHUNK),
          n_parts(std::min<int64_t>(n_chunks, int64_t{PARTS_A_THREAD} * threads)),
          next_in_parts(n_parts << bits), bucket_begins((int64_t{1} << bits) + 1),
          bucket_taken(new std::atomic<bool>[int64_t{1} << bits]()),
          block_begins(n_windows * n_classes), window_state(new std::atomic<int32_t>[n_windows]()),
          buffers(n_classes > 1 ? threads * window * words : 0), counting(n_parts, threads),
          placing(1, threads), scattering(n_parts, threads), next(new Next[n_classes]) {
        unfinished.reserve(threads);  // nothing that runs in a thread asks for memory
        for (int64_t w = 0; w < n_windows; ++w)
            std::fill_n(block_begins.begin() + w * n_classes, n_classes, w * window);
    }

    // Offers the windows [begin, end). No thread may be at work.
    void offer(int64_t begin, int64_t end) {
        first = begin;
        last = end;
        for (int c = 0; c < n_classes; ++c) next[c].window.store(begin);
        floor.store(begin);
        next_bucket.store(bucket_of(begin * window));
        unfinished.clear();
        go_on();
    }

    // Throws the interactions into their buckets, unless that has been done. Every thread calls it
    // before it takes its first block.
    void enter(int thread) {
        for (int64_t p = counting.first(thread); p >= 0; p = counting.next(p))
            count_buckets(n, part_begin(p), part_begin(p + 1), bits, seed, next_in(p));
        for (int64_t p = placing.next(-1); p >= 0; p = placing.next(p)) place_buckets();
        for (int64_t p = scattering.next(-1); p >= 0; p = scattering.next(p))
            scatter(interactions, words, n, part_begin(p), part_begin(p + 1), bits, seed,
                    next_in(p), order);
        at_work.fetch_add(1);
    }

    // The next block for a thread that has had *block. What is left of that one is kept for later, and
    // makes everybody stop. False when nothing is left to take, or everybody stops, and all have come
    // to an end.
    bool take(int thread, Block* block) {
        if (block->position < block->end) keep(*block);
        const int own = thread % n_classes;
        while (!is_stopped()) {
            if (some_unfinished.load(std::memory_order_relaxed) && take_unfinished(block))
                return true;
            int from = own;
            int64_t at = window_of(own);
            if (at >= last || at - floor.load(std::memory_order_relaxed) > MOST_AHEAD)
                from = choose_class(own, &at);
            if (at >= last) break;
            if (!is_ready(at)) {
                if (!shuffle_next_bucket(thread)) meeting.wait([=] { return is_ready(at); });
                continue;
            }
            if (!next[from].window.compare_exchange_strong(at, at + 1)) continue;
            block->position = block_begins[at * n_classes + from];
            block->end = from + 1 < n_classes ? block_begins[at * n_classes + from + 1]
                                              : std::min(n, (at + 1) * window);
            if (block->position < block->end) return true;
        }
        *block = {0, 0};
        if (at_work.fetch_sub(1) == 1) meeting.tell();
        meeting.wait([this] { return at_work.load() == 0; });
        return false;
    }

    // Makes everybody stop when they ask for their next block.
    void stop() { stopped.store(true); }

    bool is_stopped() const { return stopped.load(std::memory_order_relaxed); }

    // Lets them go on. No thread may be at work.
    void go_on() {
        stopped.store(false);
        some_unfinished.store(!unfinished.empty());
    }

    // Whether it is some 30 ms ago that this was last true; for one thread alone.
    bool is_time_to_look() {
        const auto now = std::chrono::steady_clock::now();
        if (now - looked < std::chrono::milliseconds(30)) return false;
        looked = now;
        return true;
    }

  private:
    static constexpr int64_t MOST_AHEAD = 1;
    static constexpr int PARTS_A_THREAD = 4;

    struct alignas(64) Next {  // a cache line each: a thread writes its own most of the time
        std::atomic<int64_t> window{0};
    };

    const uint32_t* const interactions;
    const int words;
    const int64_t n;
    const uint64_t seed;
    const int64_t window, n_windows;  // examples of a window
    const int n_classes;
    const uint8_t* const classes;
    uint32_t* const order;
    const int bits;
    const int64_t n_chunks, n_parts;

    std::vector<int64_t> next_in_parts;  // of each part, where the next example of a bucket goes
    std::vector<int64_t> bucket_begins;
    std::unique_ptr<std::atomic<bool>[]> bucket_taken;
    std::vector<int64_t> block_begins;  // [window][class]
    // How many buckets of a window are yet to be shuffled, READY when it is in order.
    static constexpr int32_t READY = -1;
    std::unique_ptr<std::atomic<int32_t>[]> window_state;
    std::vector<uint32_t> buffers;  // a window for each thread

    Pieces counting, placing, scattering;

    int64_t first = 0, last = 0;
    std::atomic<int64_t> next_bucket{0};
    std::unique_ptr<Next[]> next;               // of each class, the window of its next block
    alignas(64) std::atomic<int64_t> floor{0};  // no class is at a window before this one
    alignas(64) std::atomic<bool> stopped{false};
    std::atomic<bool> some_unfinished{false};
    std::mutex unfinished_mutex;
    std::vector<Block> unfinished;
    alignas(64) std::atomic<int> at_work{0};
    Meeting meeting;
    std::chrono::steady_clock::time_point looked = std::chrono::steady_clock::now();

    int64_t part_begin(int64_t part) const { return part * n_chunks / n_parts; }
    int64_t* next_in(int64_t part) { return next_in_parts.data() + (part << bits); }
    int64_t window_of(int c) const { return next[c].window.load(std::memory_order_relaxed); }

    bool is_ready(int64_t at) const {
        return window_state[at].load(std::memory_order_acquire) == READY;
    }

    // The bucket that has a position.
    int64_t bucket_of(int64_t position) const {
        return std::upper_bound(bucket_begins.begin(), bucket_begins.end(), position) -
               bucket_begins.begin() - 1;
    }

    // From how many examples each part has for each bucket to where they go: in a bucket, those of a
    // part come after those of the parts before it, whoever does the parts.
    void place_buckets() {
        const int64_t n_buckets = int64_t{1} << bits;
        int64_t at = 0;
        for (int64_t b = 0; b < n_buckets; ++b) {
            bucket_begins[b] = at;
            for (int64_t p = 0; p < n_parts; ++p) {
                const int64_t count = next_in(p)[b];
                next_in(p)[b] = at;
                at += count;
            }
            each_window_of(bucket_begins[b], at, [this](int64_t w) {
                window_state[w].fetch_add(1, std::memory_order_relaxed);
            });
        }
        bucket_begins[n_buckets] = at;
        next_bucket.store(bucket_of(first * window));
    }

    // The windows that have positions of [begin, end).
    template <class Use>
    void each_window_of(int64_t begin, int64_t end, Use use) const {
        if (begin == end) return;
        for (int64_t w = begin / window; w <= (end - 1) / window; ++w) use(w);
    }

    // Shuffles a bucket that nobody has begun; false where there is none.
    bool shuffle_next_bucket(int thread) {
        for (;;) {
            const int64_t b = next_bucket.fetch_add(1);
            if (b >= int64_t{1} << bits || bucket_begins[b] >= last * window) return false;
            if (bucket_taken[b].exchange(true)) continue;
            const int64_t begin = bucket_begins[b], end = bucket_begins[b + 1];
            shuffle_bucket(order + begin * words, words, end - begin, b, seed);
            each_window_of(begin, end, [=](int64_t w) {
                if (window_state[w].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
                if (n_classes > 1)
                    partition_window(order + w * window * words, words,
                                     std::min(window, n - w * window), classes, n_classes,
                                     block_begins.data() + w * n_classes,
                                     buffers.data() + thread * window * words);
                window_state[w].store(READY, std::memory_order_release);
            });
            meeting.tell();
            return true;
        }
    }

    // The class of which a thread takes a block: its own, or the one that is the furthest behind.
    // *at becomes the window where it is.
    int choose_class(int own, int64_t* at) {
        int slowest = own;
        int64_t least = *at;
        for (int c = 0; c < n_classes; ++c) {
            const int64_t it = window_of(c);
            if (it < least) {
                least = it;
                slowest = c;
            }
        }
        floor.store(least, std::memory_order_relaxed);
        if (*at < last && *at - least <= MOST_AHEAD) return own;
        *at = least;
        return slowest;
    }

    void keep(const Block& block) {
        std::lock_guard<std::mutex> lock(unfinished_mutex);
        unfinished.push_back(block);
        stop();
    }

    bool take_unfinished(Block* block) {
        std::lock_guard<std::mutex> lock(unfinished_mutex);
        if (unfinished.empty()) {
            some_unfinished.store(false);
            return false;
        }
        *block = unfinished.back();
        unfinished.pop_back();
        return true;
    }
};

}  // namespace lfm
