// Random streams. Every draw is a pure function of (seed, stream): the draws of the example at
// position i of an epoch come from stream i, so they do not depend on the number of threads or on
// where a block starts, and may be made early (to prefetch) and made again.
//
// The generator is wyrand (Wang Yi, github.com/wangyi-fudan/wyhash, public domain); bounded
// integers are the high half of a 64 x 64-bit product (Lemire, "Fast random integer generation in
// an interval", ACM TOMACS 2019), whose bias of n / 2^64 is left in.
#pragma once

#include <cstdint>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace lfm {
namespace {

inline uint64_t multiply_high(uint64_t a, uint64_t b, uint64_t* low) {
#if defined(__SIZEOF_INT128__)
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    *low = static_cast<uint64_t>(product);
    return static_cast<uint64_t>(product >> 64);
#else
    uint64_t high;
    *low = _umul128(a, b, &high);
    return high;
#endif
}

struct Rng {
    static constexpr uint64_t STEP = 0xA0761D6478BD642Full;
    uint64_t state;

    Rng(uint64_t seed, uint64_t stream) : state(seed + (stream + 1) * 0x9E3779B97F4A7C15ull) {}

    void skip(int64_t draws) { state += static_cast<uint64_t>(draws) * STEP; }

    uint64_t next() {
        state += STEP;
        uint64_t low;
        const uint64_t high = multiply_high(state, state ^ 0xE7037ED1A0B428DBull, &low);
        return high ^ low;
    }

    // An integer of [0, n).
    int64_t bounded(int64_t n) {
        uint64_t rest;
        return bounded(n, &rest);
    }

    // The same, and in *rest what the draw has left: again 64 random bits, but for the last few.
    int64_t bounded(int64_t n, uint64_t* rest) {
        return static_cast<int64_t>(multiply_high(next(), static_cast<uint64_t>(n), rest));
    }
};

}  // namespace
}  // namespace lfm
