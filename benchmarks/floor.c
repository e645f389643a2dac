// How fast this machine serves random rows: what any kernel with the same traffic must wait for.
//
// A trace names the rows one after the other; READ_ONLY marks those of which the values are read,
// the others are updated: values and state, side by side, read and written. Compiled for one row
// length, so that nothing but the memory is slow.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#ifndef LINES
#define LINES 4
#endif

typedef float Line __attribute__((vector_size(64)));  // a cache line
static const uint32_t READ_ONLY = 0x80000000u;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Goes through the trace `rounds` times, asking for rows `ahead` accesses before they are needed,
// and stores the seconds of each round. The table of `n_rows` rows of 2 * LINES cache lines
// is allocated here, on huge pages. Returns 0, or 1 when there is no memory.
int serve(const uint32_t* trace, int64_t n, int64_t n_rows, int32_t ahead, int32_t rounds,
          double* seconds) {
    const size_t huge = (size_t)1 << 21;
    size_t bytes = (size_t)n_rows * 2 * LINES * sizeof(Line);
    bytes = (bytes + huge - 1) / huge * huge;
    Line* table = aligned_alloc(huge, bytes);
    if (!table) return 1;
#ifdef MADV_HUGEPAGE
    madvise(table, bytes, MADV_HUGEPAGE);
#endif
    for (size_t i = 0; i < bytes / sizeof(Line); ++i) table[i] = (Line){0} + 1e-3f;

    volatile float keep = 0;  // so that the compiler cannot leave the reading out
    for (int32_t round = 0; round < rounds; ++round) {
        Line sum = {0};
        const double start = now();
        for (int64_t i = 0; i < n; ++i) {
            if (i + ahead < n) {
                const uint32_t coming = trace[i + ahead];
                const Line* row = table + (size_t)(coming & ~READ_ONLY) * 2 * LINES;
                if (coming & READ_ONLY)
                    for (int l = 0; l < LINES; ++l) __builtin_prefetch(row + l, 0);
                else
                    for (int l = 0; l < 2 * LINES; ++l) __builtin_prefetch(row + l, 1);
            }
            Line* row = table + (size_t)(trace[i] & ~READ_ONLY) * 2 * LINES;
            if (trace[i] & READ_ONLY) {
                for (int l = 0; l < LINES; ++l) sum += row[l];
            } else {
                for (int l = 0; l < LINES; ++l) {
                    row[l] += 1e-6f * row[LINES + l];
                    row[LINES + l] += 1e-9f;
                }
            }
        }
        seconds[round] = now() - start;
        for (size_t i = 0; i < sizeof(Line) / sizeof(float); ++i) keep += sum[i];
    }
    free(table);
    return 0;
}
