// Threads of one loop that find themselves on one CPU, moved apart.
//
// Linux wakes a thread up where it last ran, or beside the one that wakes it. Where another process
// is busy on the other CPU, two threads then share one, and the system evens that out only after a
// tenth of a second or so: longer than a short fit takes. Elsewhere nothing is done.
// Compiled at the baseline level.
#pragma once

#include <atomic>
#include <memory>
#if defined(__linux__)
#include <sched.h>
#endif

namespace lfm {

#if defined(__linux__)

class Apart {
  public:
    explicit Apart(int threads) : threads(threads), cpus(new std::atomic<int>[threads]) {
        for (int t = 0; t < threads; ++t) cpus[t].store(NOWHERE);
    }

    // Called by each thread when it begins. A thread on the CPU of one that came before leaves it, for
    // one of those it may run on where none of the others is. What it may run on is what it was when
    // this began; who changes that from outside in these microseconds has to do it again.
    void settle(int thread) {
        const int here = sched_getcpu();
        if (here < 0) return;
        cpus[thread].store(here);
        bool is_shared = false;
        for (int t = 0; t < threads; ++t) is_shared |= t != thread && cpus[t].load() == here;
        if (!is_shared) return;
        cpu_set_t allowed;
        if (sched_getaffinity(0, sizeof allowed, &allowed)) return;  // more CPUs than it can say
        cpu_set_t free = allowed;
        for (int t = 0; t < threads; ++t) {
            const int cpu = cpus[t].load();
            if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &free);
        }
        if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free)) return;
        sched_setaffinity(0, sizeof allowed, &allowed);
        cpus[thread].store(sched_getcpu());
    }

  private:
    static constexpr int NOWHERE = -1;
    const int threads;
    const std::unique_ptr<std::atomic<int>[]> cpus;
};

#else

class Apart {
  public:
    explicit Apart(int) {}
    void settle(int) {}
};

#endif

}  // namespace lfm
