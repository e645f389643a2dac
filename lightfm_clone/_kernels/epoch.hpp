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
// What threads write and others read: for each window some bits that say of which classes the block is
// yet to be taken, on a cache line of their own, which a thread writes when it takes its block and reads
// again before it goes too far ahead; and the states of windows, written once. Nobody looks at what
// every other thread has done. Compiled at the baseline level.
#pragma once

#include <algorithm>
#include <atomic>
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

// What the threads of an epoch share, and how they wait. (benchmarks/scheduling.cpp has another.)
struct Threads {
    template <class T>
    using Atomic = std::atomic<T>;
    using Meeting = lfm::Meeting;
};

template <class Sharing>
class EpochOf {
    template <class T>
    using Atomic = typename Sharing::template Atomic<T>;

  public:
    // Of n interactions of `words` words, for whose order there is room at `order`. `classes` says the
    // class of each item; it is not looked at where there is only one.
    EpochOf(const uint32_t* interactions, int words, int64_t n, uint64_t seed, int threads,
            int64_t window, int n_classes, const uint8_t* classes, uint32_t* order)
        : interactions(interactions), words(words), n(n), seed(seed), window(window),
          n_windows((n + window - 1) / window), n_classes(n_classes),
          n_groups((n_classes + 63) / 64), classes(classes), order(order), bits(bucket_bits(n)),
          n_chunks((n + CHUNK - 1) / CHUNK),
          n_parts(std::min<int64_t>(n_chunks, int64_t{PARTS_A_THREAD} * threads)),
          next_in_parts(n_parts << bits), bucket_begins((int64_t{1} << bits) + 1),
          bucket_taken(new Atomic<bool>[int64_t{1} << bits]()), block_begins(n_windows * n_classes),
          window_state(new Atomic<int32_t>[n_windows]()),
          buffers(new uint32_t[n_classes > 1 ? threads * window * words : 0]),
          counting(n_parts, threads), placing(1, threads), scattering(n_parts, threads),
          left(new Left[n_windows * n_groups]), places(threads) {
        unfinished.reserve(threads);  // nothing that runs in a thread asks for memory
        for (int64_t w = 0; w < n_windows; ++w)
            std::fill_n(block_begins.begin() + w * n_classes, n_classes, w * window);
    }

    // Offers the windows [begin, end). No thread may be at work.
    void offer(int64_t begin, int64_t end) {
        first = begin;
        last = end;
        for (int64_t w = begin; w < end; ++w)
            for (int g = 0; g < n_groups; ++g)
                left[w * n_groups + g].classes.store(~uint64_t{0} >> (63 - (last_of(g) & 63)));
        for (Place& each : places) each = {begin, begin};
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
    // makes everybody stop. Where nothing is left to take, or everybody stops, it waits until all have
    // come to an end, and returns false.
    bool take(int thread, Block* block) {
        if (block->position < block->end) keep(*block);
        const int own_class = thread % n_classes;
        Place& place = places[thread];
        while (!is_stopped()) {
            if (some_unfinished.load(std::memory_order_relaxed) && take_unfinished(block))
                return true;
            if (place.floor >= last) break;
            const bool is_own = place.window < last && place.window - place.floor <= MOST_AHEAD;
            const int64_t at = is_own ? place.window : place.floor;
            const int from = is_own ? own_class : class_left(at, own_class);
            if (from < 0) {
                ++place.floor;
                place.window = std::max(place.window, place.floor);
                continue;
            }
            if (!is_ready(at)) {
                if (!shuffle_next_bucket(thread)) meeting.wait([=] { return is_ready(at); });
                continue;
            }
            place.window += is_own;
            if (!claim(at, from)) continue;
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

  private:
    static constexpr int64_t MOST_AHEAD = 1;
    static constexpr int PARTS_A_THREAD = 4;

    // Of a window, which of 64 classes have a block that is yet to be taken.
    struct alignas(64) Left {
        Atomic<uint64_t> classes{0};
    };

    struct alignas(64) Place {  // of a thread, which nobody else looks at
        int64_t window = 0;     // of the next block of its own class
        int64_t floor = 0;      // all blocks of the windows before it are taken
    };

    const uint32_t* const interactions;
    const int words;
    const int64_t n;
    const uint64_t seed;
    const int64_t window, n_windows;  // examples of a window
    const int n_classes, n_groups;    // groups of 64
    const uint8_t* const classes;
    uint32_t* const order;
    const int bits;
    const int64_t n_chunks, n_parts;

    std::vector<int64_t> next_in_parts;  // of each part, where the next example of a bucket goes
    std::vector<int64_t> bucket_begins;
    std::unique_ptr<Atomic<bool>[]> bucket_taken;
    std::vector<int64_t> block_begins;  // [window][class]
    // How many buckets of a window are yet to be shuffled, READY when it is in order.
    static constexpr int32_t READY = -1;
    std::unique_ptr<Atomic<int32_t>[]> window_state;
    std::unique_ptr<uint32_t[]> buffers;  // a window for each thread that sorts one

    Pieces counting, placing, scattering;

    int64_t first = 0, last = 0;
    std::unique_ptr<Left[]> left;  // [window][group]
    std::vector<Place> places;
    alignas(64) Atomic<int64_t> next_bucket{0};
    alignas(64) Atomic<bool> stopped{false};
    Atomic<bool> some_unfinished{false};
    std::mutex unfinished_mutex;
    std::vector<Block> unfinished;
    alignas(64) Atomic<int> at_work{0};
    typename Sharing::Meeting meeting;

    int64_t part_begin(int64_t part) const { return part * n_chunks / n_parts; }
    int64_t* next_in(int64_t part) { return next_in_parts.data() + (part << bits); }

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
                                     buffers.get() + thread * window * words);
                window_state[w].store(READY, std::memory_order_release);
            });
            meeting.tell();
            return true;
        }
    }

    int last_of(int group) const { return std::min(n_classes, 64 * group + 64) - 1; }

    // A class whose block of a window is yet to be taken, the first from `own` on; -1 for none.
    int class_left(int64_t at, int own) const {
        const int first_group = own / 64;
        for (int i = 0; i <= n_groups; ++i) {
            const int g = (first_group + i) % n_groups;
            uint64_t classes = left[at * n_groups + g].classes.load(std::memory_order_relaxed);
            if (i == 0) classes &= ~uint64_t{0} << (own & 63);
            for (int c = 64 * g; classes; ++c, classes >>= 1)
                if (classes & 1) return c;
        }
        return -1;
    }

    // Makes the block of a class this thread's, unless somebody has taken it.
    bool claim(int64_t at, int c) {
        const uint64_t bit = uint64_t{1} << (c & 63);
        return (left[at * n_groups + c / 64].classes.fetch_and(~bit) & bit) != 0;
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

using Epoch = EpochOf<Threads>;

}  // namespace lfm
