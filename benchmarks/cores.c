// What two threads of this machine have in common: how long a cache line takes from one core to the
// other, and how much faster two threads do arithmetic that shares nothing.

#include <omp.h>
#include <stdatomic.h>
#include <stdint.h>

// Nanoseconds that a written cache line takes to the other thread, one way.
double handover(int32_t turns) {
    static _Alignas(128) _Atomic int32_t ball;
    double start = 0, end = 0;
    atomic_store(&ball, 0);
#pragma omp parallel num_threads(2)
    {
        const int32_t own = omp_get_thread_num();
#pragma omp barrier
        if (own == 0) start = omp_get_wtime();
        for (int32_t i = own; i < 2 * turns; i += 2) {
            while (atomic_load_explicit(&ball, memory_order_acquire) != i) {
            }
            atomic_store_explicit(&ball, i + 1, memory_order_release);
        }
#pragma omp barrier
        if (own == 0) end = omp_get_wtime();
    }
    return 1e9 * (end - start) / (2.0 * turns);
}

// Seconds in which each of `threads` threads does the same arithmetic.
double arithmetic(int32_t threads) {
    double total = 0;
    const double start = omp_get_wtime();
#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        float x[16];
        for (int l = 0; l < 16; ++l) x[l] = (float)l;
        for (int32_t i = 0; i < 20000000; ++i)
            for (int l = 0; l < 16; ++l) x[l] = x[l] * 0.999f + 0.1f;
        for (int l = 0; l < 16; ++l) total += x[l];
    }
    return total > 0 ? omp_get_wtime() - start : 0;
}
