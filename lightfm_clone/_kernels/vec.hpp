// A vector of N floats: the widest the instruction level offers, or a plain loop that any compiler
// takes. All arithmetic of the kernels is written once against this type.
//
// Plain code is compiled without contraction, so a multiply-add rounds the same way wherever it
// stands: fused where the machine has it, in two steps where not.
#pragma once

#include <math.h>
#include <string.h>

#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "interface.hpp"

// For what is called once or twice per kernel and example: the compiler's own judgement, by size,
// would leave calls and spilled registers in the loop.
#if defined(__GNUC__)
#define LFM_INLINE inline __attribute__((always_inline))
#else
#define LFM_INLINE inline
#endif

// For what several kernels share, called a few times an example or once a block. Copies in each of
// them would be half of the wheel.
#if defined(__GNUC__)
#define LFM_NOINLINE __attribute__((noinline))
#else
#define LFM_NOINLINE
#endif

namespace lfm {
namespace {

inline float multiply_add(float a, float b, float c) {
#if defined(__AVX2__) || defined(__FP_FAST_FMAF)
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

template <int LANES>
struct Plain {
    static constexpr int N = LANES;
    float v[LANES];

    static Plain load(const float* p) {
        Plain r;
        for (int i = 0; i < N; ++i) r.v[i] = p[i];
        return r;
    }
    static Plain all(float x) {
        Plain r;
        for (int i = 0; i < N; ++i) r.v[i] = x;
        return r;
    }
    void store(float* p) const {
        for (int i = 0; i < N; ++i) p[i] = v[i];
    }
    float sum() const {
        float total = v[0];
        for (int i = 1; i < N; ++i) total += v[i];
        return total;
    }
    bool any_above(Plain other) const {
        bool found = false;
        for (int i = 0; i < N; ++i) found |= v[i] > other.v[i];
        return found;
    }
    // How many lanes are >= other's, counted per lane as 1.0.
    void count_at_least(Plain other, Plain& counts) const {
        for (int i = 0; i < N; ++i) counts.v[i] += v[i] >= other.v[i] ? 1.0f : 0.0f;
    }
};

template <int L>
inline Plain<L> operator+(Plain<L> a, Plain<L> b) {
    for (int i = 0; i < L; ++i) a.v[i] += b.v[i];
    return a;
}
template <int L>
inline Plain<L> operator-(Plain<L> a, Plain<L> b) {
    for (int i = 0; i < L; ++i) a.v[i] -= b.v[i];
    return a;
}
template <int L>
inline Plain<L> operator*(Plain<L> a, Plain<L> b) {
    for (int i = 0; i < L; ++i) a.v[i] *= b.v[i];
    return a;
}
template <int L>
inline Plain<L> operator/(Plain<L> a, Plain<L> b) {
    for (int i = 0; i < L; ++i) a.v[i] /= b.v[i];
    return a;
}
template <int L>
inline Plain<L> multiply_add(Plain<L> a, Plain<L> b, Plain<L> c) {  // a * b + c
    for (int i = 0; i < L; ++i) a.v[i] = multiply_add(a.v[i], b.v[i], c.v[i]);
    return a;
}
template <int L>
inline Plain<L> subtract_product(Plain<L> c, Plain<L> a, Plain<L> b) {  // c - a * b
    for (int i = 0; i < L; ++i) c.v[i] = multiply_add(-a.v[i], b.v[i], c.v[i]);
    return c;
}
template <int L>
inline Plain<L> maximum(Plain<L> a, Plain<L> b) {
    for (int i = 0; i < L; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
template <int L>
inline Plain<L> minimum(Plain<L> a, Plain<L> b) {  // b where one of them is NaN
    for (int i = 0; i < L; ++i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
// The float whose bits are `bits` less half of those of a.
template <int L>
inline Plain<L> less_half_of_bits(uint32_t bits, Plain<L> a) {
    uint32_t its[L];
    memcpy(its, a.v, sizeof its);
    for (int i = 0; i < L; ++i) its[i] = bits - (its[i] >> 1);
    memcpy(a.v, its, sizeof its);
    return a;
}
// a, or NaN where b is below least, or NaN.
template <int L>
inline Plain<L> where_at_least(Plain<L> a, Plain<L> b, float least) {
    for (int i = 0; i < L; ++i) a.v[i] = b.v[i] >= least ? a.v[i] : NAN;
    return a;
}
template <int L>
inline Plain<L> sqrt(Plain<L> a) {
    for (int i = 0; i < L; ++i) a.v[i] = sqrtf(a.v[i]);
    return a;
}

using One = Plain<1>;

#if defined(__AVX2__)

struct Vec {
    static constexpr int N = 8;
    __m256 v;
    static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static Vec all(float x) { return {_mm256_set1_ps(x)}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    float sum() const {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    }
    bool any_above(Vec other) const {
        return _mm256_movemask_ps(_mm256_cmp_ps(v, other.v, _CMP_GT_OQ)) != 0;
    }
    void count_at_least(Vec other, Vec& counts) const {
        const __m256 m = _mm256_cmp_ps(v, other.v, _CMP_GE_OQ);
        counts.v = _mm256_add_ps(counts.v, _mm256_and_ps(m, _mm256_set1_ps(1.0f)));
    }
};
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec subtract_product(Vec c, Vec a, Vec b) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline Vec maximum(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec where_at_least(Vec a, Vec b, float least) {  // all bits set are NaN
    const __m256 below = _mm256_cmp_ps(b.v, _mm256_set1_ps(least), _CMP_NGE_UQ);
    return {_mm256_or_ps(a.v, below)};
}
inline Vec less_half_of_bits(uint32_t bits, Vec a) {
    const __m256i half = _mm256_srli_epi32(_mm256_castps_si256(a.v), 1);
    return {
        _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_set1_epi32(static_cast<int32_t>(bits)), half))};
}
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }

#else

using Vec = Plain<8>;

#endif

// out[r] = sums[r].sum() of four vectors, to the last bit.
inline void sum_four(const Vec* sums, float* out) {
#if defined(__AVX2__)
    __m128 s[4];
    for (int r = 0; r < 4; ++r)
        s[r] = _mm_add_ps(_mm256_castps256_ps128(sums[r].v), _mm256_extractf128_ps(sums[r].v, 1));
    const __m128 first = _mm_add_ps(_mm_movelh_ps(s[0], s[1]), _mm_movehl_ps(s[1], s[0]));
    const __m128 last = _mm_add_ps(_mm_movelh_ps(s[2], s[3]), _mm_movehl_ps(s[3], s[2]));
    _mm_storeu_ps(out, _mm_add_ps(_mm_shuffle_ps(first, last, _MM_SHUFFLE(2, 0, 2, 0)),
                                  _mm_shuffle_ps(first, last, _MM_SHUFFLE(3, 1, 3, 1))));
#else
    for (int r = 0; r < 4; ++r) out[r] = sums[r].sum();
#endif
}

static_assert(PANEL % Vec::N == 0, "a panel is a whole number of vectors");

// to[c * to_row + r] = from[r * from_row + c], for r and c in [0, Vec::N).
#if defined(__AVX2__)
inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row) {
    // Rows r and r + 4 share a register, so no step but the loads crosses its halves.
    __m256 x[8], y[8];
    for (int half = 0; half < 2; ++half)
        for (int r = 0; r < 4; ++r)
            x[4 * half + r] = _mm256_insertf128_ps(
                _mm256_castps128_ps256(_mm_loadu_ps(from + r * from_row + 4 * half)),
                _mm_loadu_ps(from + (r + 4) * from_row + 4 * half), 1);
    for (int half = 0; half < 8; half += 4) {
        y[half] = _mm256_unpacklo_ps(x[half], x[half + 1]);
        y[half + 1] = _mm256_unpackhi_ps(x[half], x[half + 1]);
        y[half + 2] = _mm256_unpacklo_ps(x[half + 2], x[half + 3]);
        y[half + 3] = _mm256_unpackhi_ps(x[half + 2], x[half + 3]);
        float* out = to + half * to_row;
        _mm256_storeu_ps(out, _mm256_shuffle_ps(y[half], y[half + 2], 0x44));
        _mm256_storeu_ps(out + to_row, _mm256_shuffle_ps(y[half], y[half + 2], 0xEE));
        _mm256_storeu_ps(out + 2 * to_row, _mm256_shuffle_ps(y[half + 1], y[half + 3], 0x44));
        _mm256_storeu_ps(out + 3 * to_row, _mm256_shuffle_ps(y[half + 1], y[half + 3], 0xEE));
    }
}
#else
inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row) {
    for (int c = 0; c < Vec::N; ++c)
        for (int r = 0; r < Vec::N; ++r) to[c * to_row + r] = from[r * from_row + c];
}
#endif

// The inner product of two vectors of any length.
inline float dot_product(const float* a, const float* b, int32_t n) {
    const int32_t whole = n / Vec::N * Vec::N;
    Vec sums = Vec::all(0.0f);
    for (int32_t c = 0; c < whole; c += Vec::N)
        sums = multiply_add(Vec::load(a + c), Vec::load(b + c), sums);
    float sum = sums.sum();
    for (int32_t c = whole; c < n; ++c) sum = multiply_add(a[c], b[c], sum);
    return sum;
}

// The inner products of a vector with four others, each as dot_product makes it, side by side: four
// chains of additions wait for each other less than one.
inline void four_products(const float* a, const float* const* b, int32_t n, float* out) {
    const int32_t whole = n / Vec::N * Vec::N;
    Vec sums[4];
    for (int r = 0; r < 4; ++r) sums[r] = Vec::all(0.0f);
    for (int32_t c = 0; c < whole; c += Vec::N) {
        const Vec value = Vec::load(a + c);
        for (int r = 0; r < 4; ++r) sums[r] = multiply_add(value, Vec::load(b[r] + c), sums[r]);
    }
    sum_four(sums, out);
    for (int32_t c = whole; c < n; ++c)
        for (int r = 0; r < 4; ++r) out[r] = multiply_add(a[c], b[r][c], out[r]);
}

// factor / sqrt(x) by multiply-adds alone, within 2.5e-7 of its size. Roots and divisions keep one
// unit of the processor busy several times as long, and its own estimates of an inverse root are
// not the same bits on all makes. Half of x's bits, taken from a constant, are an estimate y for
// which x y^2 lies in [3/2, 27/16] whatever x is; what is missing is a polynomial of
// c = 51/32 - x y^2, of the least greatest relative error, 1.1e-8.
//
// Infinity counts as the greatest float, so it makes a number that is all but 0. NaN, and all below
// the least normal float, makes NaN, so that whoever looks for it finds a state that cannot be.
struct InverseRoot {
    float coefficients[5] = {0.792118035f, 0.248507159f, 0.116944305f, 0.0613565086f,
                             0.0337132913f};

    explicit InverseRoot(float factor) {
        for (float& coefficient : coefficients) coefficient *= factor;
    }

    template <class V>
    LFM_INLINE V operator()(V x) const {
        x = minimum(V::all(3.40282347e38f), x);
        const V y = less_half_of_bits(0x5F600000u, x);
        const V c = subtract_product(V::all(1.59375f), x * y, y);
        V p = multiply_add(V::all(coefficients[4]), c, V::all(coefficients[3]));
        p = multiply_add(p, c, V::all(coefficients[2]));
        p = multiply_add(p, c, V::all(coefficients[1]));
        return where_at_least(multiply_add(p, c, V::all(coefficients[0])) * y, x, 1.17549435e-38f);
    }
};

// e^x within 1 unit in the last place, without a call: x = n ln 2 + r with |r| <= ln(2) / 2, a
// polynomial for e^r (coefficients of S. Moshier's Cephes library, summed by Estrin's scheme, whose
// chain of dependent operations is short), and n into the exponent.
LFM_INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float shifted = multiply_add(x, 1.44269504f, shift), n = shifted - shift;
    const float r = multiply_add(n, 2.12194440e-4f, multiply_add(n, -0.693359375f, x));
    const float r2 = r * r;
    const float low = multiply_add(1.6666665459e-1f, r, 5.0000001201e-1f);
    const float middle = multiply_add(8.3334519073e-3f, r, 4.1665795894e-2f);
    const float high = multiply_add(1.9875691500e-4f, r, 1.3981999507e-3f);
    const float p = multiply_add(multiply_add(high, r2, middle), r2, low);
    // The last bits of `shifted` are n; moved up by 23, they count in the exponent.
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return multiply_add(p, r2, r + 1.0f) * power;
}

// 2^n for a float whose last bits are n, of [-126, 127].
template <int L>
inline Plain<L> power_of_last_bits(Plain<L> x) {
    uint32_t bits[L];
    memcpy(bits, x.v, sizeof bits);
    for (int i = 0; i < L; ++i) bits[i] = (bits[i] + 127) << 23;
    memcpy(x.v, bits, sizeof bits);
    return x;
}
#if defined(__AVX2__)
inline Vec power_of_last_bits(Vec x) {
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(x.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 23))};
}
#endif

// 2^x lane by lane, for x <= 0, within 1 unit in the last place; 2^-126 for all x below -126. As
// `exponential`, but the remainder of the nearest integer is exact.
inline Vec power_of_two(Vec x) {
    x = maximum(x, Vec::all(-126.0f));
    const Vec shift = Vec::all(12582912.0f), shifted = x + shift;
    const Vec r = x - (shifted - shift), r2 = r * r;
    const Vec low = multiply_add(Vec::all(2.402264791e-1f), r, Vec::all(6.931472029e-1f));
    const Vec middle = multiply_add(Vec::all(9.618437358e-3f), r, Vec::all(5.550332471e-2f));
    const Vec high = multiply_add(Vec::all(1.535336188e-4f), r, Vec::all(1.339887440e-3f));
    const Vec p = multiply_add(multiply_add(high, r2, middle), r2, low);
    return multiply_add(p, r, Vec::all(1.0f)) * power_of_last_bits(shifted);
}

}  // namespace
}  // namespace lfm
