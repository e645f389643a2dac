// Work that threads share, cut into pieces, and how they wait for each other.
//
// A thread that the system has taken off its CPU must not hold up the others for long. So pieces are
// small and belong to nobody before they are taken: what a late thread does not take, others do. When
// nothing is left to take, a thread waits for the pieces that others are still at, and no longer.
// Compiled at the baseline level.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "apart.hpp"

namespace lfm {

// Where threads wait until something has come about that another thread does.
class Meeting {
  public:
    // Returns when is_met(), which reads what others have written. It looks again and again for about
    // as long as it takes to wake a thread up, then it sleeps: where the CPUs are busy, the one that it
    // leaves may be what the others need to go on.
    template <class Condition>
    void wait(Condition is_met) {
        const auto patience = std::chrono::steady_clock::now() + std::chrono::microseconds(30);
        while (std::chrono::steady_clock::now() < patience)
            if (is_met()) return;
        std::unique_lock<std::mutex> lock(mutex);
        sleepers.fetch_add(1);
        // Either this sees what tell() was called for, or tell() sees the sleeper.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        wake_up.wait(lock, is_met);
        sleepers.fetch_sub(1);
    }

    // After a change by which what others wait for may have come about.
    void tell() {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (sleepers.load() == 0) return;
        {
            std::lock_guard<std::mutex> lock(mutex);
        }
        wake_up.notify_all();
    }

  private:
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable wake_up;
};

// The pieces 0 .. n - 1 of some work. Each thread of a parallel loop goes
//
//     piece = pieces.first(thread)
//     while piece >= 0:
//         do the piece
//         piece = pieces.next(piece)
//
// and after that, all of the work is done.
class Pieces {
  public:
    Pieces(int64_t n, int threads) : n(n), left(n), apart(threads) {}

    // The first piece for a thread, as next().
    int64_t first(int thread) {
        apart.settle(thread);
        return next(-1);
    }

    // The next piece for a thread that has done the one before; -1 is for one that has done none. Where
    // all are taken, it waits until all are done and returns -1.
    int64_t next(int64_t done) {
        if (done >= 0 && left.fetch_sub(1, std::memory_order_acq_rel) == 1) meeting.tell();
        const int64_t piece = taken.fetch_add(1, std::memory_order_relaxed);
        if (piece < n) return piece;
        meeting.wait([this] { return left.load(std::memory_order_acquire) == 0; });
        return -1;
    }

  private:
    const int64_t n;
    std::atomic<int64_t> taken{0};
    std::atomic<int64_t> left;
    Apart apart;
    Meeting meeting;
};

}  // namespace lfm
