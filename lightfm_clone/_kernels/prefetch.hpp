// Asking early for memory that will be read and written.
#pragma once

namespace lfm {
namespace {

inline void prefetch(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 1);
    __asm__ volatile("");  // or GCC drops loops that do nothing but prefetch
#else
    (void)p;
#endif
}

// Of what will only be read, and not at once: into the second cache.
inline void prefetch_to_read(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, 2);
    __asm__ volatile("");
#else
    (void)p;
#endif
}

}  // namespace
}  // namespace lfm
