// A look at the keyboard from within a parallel loop that runs without the GIL.
// Compiled at the baseline level.
#pragma once

#include <atomic>
#include <chrono>

namespace lfm {

class Keyboard {
  public:
    // is_interrupted(caller) says whether an interrupt has come. A look may have to wait for the GIL,
    // some 5 ms where another thread of Python computes, so there is one in so many milliseconds.
    Keyboard(int (*is_interrupted)(void*), void* caller, int milliseconds)
        : is_interrupted(is_interrupted), caller(caller), between(milliseconds) {}

    // Whether to leave out all that is yet to be done. Each thread asks before each piece; thread 0
    // looks.
    bool stops(int thread) {
        if (thread == 0) {
            const auto now = std::chrono::steady_clock::now();
            if (now - looked >= between) {
                looked = now;
                if (is_interrupted(caller)) stopped.store(true, std::memory_order_relaxed);
            }
        }
        return stopped.load(std::memory_order_relaxed);
    }

  private:
    int (*const is_interrupted)(void*);
    void* const caller;
    const std::chrono::milliseconds between;
    std::chrono::steady_clock::time_point looked = std::chrono::steady_clock::now();
    std::atomic<bool> stopped{false};
};

}  // namespace lfm
