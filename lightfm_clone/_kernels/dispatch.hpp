// The instruction levels this build carries, slowest first, and whether this CPU has them.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#endif

#include "interface.hpp"

namespace lfm {

extern const Kernels kernels_baseline;
#if defined(LFM_HAS_AVX2)
extern const Kernels kernels_avx2;
#endif

struct Level {
    const char* name;
    const Kernels* kernels;
    bool supported;
};

#if defined(LFM_HAS_AVX2)
inline bool cpu_has_avx2() {
#if defined(_MSC_VER) && !defined(__clang__)
    int id[4];
    __cpuid(id, 1);
    const bool fma = id[2] & 1 << 12, osxsave = id[2] & 1 << 27;
    __cpuidex(id, 7, 0);
    return fma && osxsave && (id[1] & 1 << 5) && (_xgetbv(0) & 6) == 6;
#else
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}
#endif

constexpr int N_LEVELS = 1
#if defined(LFM_HAS_AVX2)
                         + 1
#endif
    ;

inline const Level* levels() {
    static const Level all[N_LEVELS] = {
        {"baseline", &kernels_baseline, true},
#if defined(LFM_HAS_AVX2)
        {"avx2", &kernels_avx2, cpu_has_avx2()},
#endif
    };
    return all;
}

inline const char* compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc";
#else
    return "unknown";
#endif
}

}  // namespace lfm
