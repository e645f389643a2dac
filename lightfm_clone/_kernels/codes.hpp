// The best lists of a few users, exact, from a quarter of the bytes.
//
// A list of one user costs what it takes to read the items. So there are copies of their vectors in
// 8 bits a component, and a bound on what that leaves out: an item whose score cannot come up to
// the k-th best so far is passed over; the others are scored as score_rows does, and that score
// decides. A list is the same as without codes, to the last bit.
//
// Item p has a scale s and codes c, p = s (c + r), where r are the residuals. User q has codes of
// 16 bits, q = a t + e. Then
//
//     q · p = a s (t · c) + s (q · r) + s (e · c)
//
// of which a s (t · c) is known, t · c exactly, and the rest is at most s (|q| |r| + |e| |c|), by
// Cauchy and Schwarz. |r| and |c| stand for the largest of all items: the scale of an item takes up
// what differs between them. Rounding, here and in the score itself, is added to the bound.
#pragma once

#if !defined(__AVX2__) && (defined(__SSE2__) || defined(_M_X64))
#include <emmintrin.h>
#endif

#include "prefetch.hpp"
#include "ranking.hpp"

namespace lfm {
namespace {

constexpr int64_t CODES_AT_ONCE = 64;   // components that are coded at a time
constexpr float LARGEST_CODED = 1e15f;  // beyond it a square could overflow
constexpr float SMALLEST_CODED = 1e-30f;
constexpr float LOWEST = -3.402823466e+38f;

// Codes of a panel: 16 scales, then for every 4 components those of the 16 items, one cache line.
inline int64_t code_bytes(int32_t n_coded) {
    return static_cast<int64_t>(PANEL) * (n_coded + static_cast<int64_t>(sizeof(float)));
}

inline float largest_size(const float* values, int32_t n) {
    Vec sizes = Vec::all(0.0f);
    const Vec minus = Vec::all(-1.0f);
    int32_t c = 0;
    for (; c + Vec::N <= n; c += Vec::N) {
        const Vec value = Vec::load(values + c);
        sizes = maximum(sizes, maximum(value, value * minus));
    }
    float lanes[Vec::N], largest = 0.0f;
    sizes.store(lanes);
    for (int i = 0; i < Vec::N; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
    for (; c < n; ++c) largest = fabsf(values[c]) > largest ? fabsf(values[c]) : largest;
    return largest;
}

// Codes of the items [first, end) of a panel. `limits` grow to the largest |r|^2 and |c|^2.
inline void code_panel(const float* vectors, int64_t first, int64_t end, int32_t no_components,
                       int32_t n_coded, char* panel, double* limits) {
    memset(panel, 0, static_cast<size_t>(code_bytes(n_coded)));
    // Rounds, as in vec.hpp.
    const Vec shift = Vec::all(12582912.0f), back = Vec::all(-12582912.0f);
    const Vec minus = Vec::all(-1.0f);
    for (int64_t i = first; i < end; ++i) {
        const float* vector = vectors + i * no_components;
        const float size = largest_size(vector, no_components);
        float scale = 0.0f;
        if (!(size <= LARGEST_CODED)) scale = INFINITY;  // as a bound: this item is always scored
        else if (size > 0.0f) scale = (size > SMALLEST_CODED ? size : SMALLEST_CODED) / 127.0f;
        memcpy(panel + (i - first) * sizeof scale, &scale, sizeof scale);
        if (scale == 0.0f || scale == INFINITY) continue;
        const Vec inverse = Vec::all(1.0f / scale);
        Vec residuals = Vec::all(0.0f), squares = Vec::all(0.0f);
        char* fours = panel + PANEL * sizeof scale + (i - first) * 4;
        for (int32_t begin = 0; begin < no_components; begin += CODES_AT_ONCE) {
            const int64_t rest = no_components - begin;
            const int64_t n = rest < CODES_AT_ONCE ? rest : CODES_AT_ONCE;
            float part[CODES_AT_ONCE];
            memcpy(part, vector + begin, static_cast<size_t>(n) * sizeof(float));
            for (int64_t c = n; c < CODES_AT_ONCE; ++c) part[c] = 0.0f;
            for (int64_t c = 0; c < CODES_AT_ONCE; c += Vec::N) {
                const Vec exact = Vec::load(part + c) * inverse;
                const Vec rounded = exact + shift + back;
                const Vec residual = multiply_add(rounded, minus, exact);
                residuals = multiply_add(residual, residual, residuals);
                squares = multiply_add(rounded, rounded, squares);
                rounded.store(part + c);
            }
            int8_t codes[CODES_AT_ONCE];
            for (int64_t c = 0; c < CODES_AT_ONCE; ++c)
                codes[c] = static_cast<int8_t>(static_cast<int32_t>(part[c]));
            for (int64_t c = 0; c < n; c += 4, fours += 4 * PANEL) memcpy(fours, codes + c, 4);
        }
        const double of_residuals = residuals.sum(), of_squares = squares.sum();
        limits[0] = of_residuals > limits[0] ? of_residuals : limits[0];
        limits[1] = of_squares > limits[1] ? of_squares : limits[1];
    }
}

// Codes of all items into `panels`; n_coded is no_components rounded up to a
// multiple of 4, so that panels are whole cache lines. limits: what |r| and |c| are at most.
inline void code_items(const float* vectors, int32_t n_items, int32_t no_components,
                       int32_t n_coded, char* panels, double* limits) {
    limits[0] = limits[1] = 0.0;
    for (int64_t first = 0; first < n_items; first += PANEL, panels += code_bytes(n_coded)) {
        const int64_t end = n_items - first < PANEL ? n_items : first + PANEL;
        code_panel(vectors, first, end, no_components, n_coded, panels, limits);
    }
    // Residuals are those of rounded quotients, each off by less than 1e-4, and sums are rounded.
    const double rounding = 1.0 + 1e-7 * no_components + 1e-6;
    limits[0] = ::sqrt(limits[0]) * rounding + 1e-4 * ::sqrt(static_cast<double>(no_components));
    limits[1] = ::sqrt(limits[1]) * rounding;
}

// A user as the bounds need them: an item of scale s, bias b and t · c = x scores at most
// s (step * x + slack) + b + |b| * ROUNDING + bias.
struct CodedUser {
    const int16_t* codes;
    float step;
    float slack;
    float bias;
};

constexpr float UNIT = 5.9604645e-8f;  // 2^-24, a rounding's share of what is rounded, at most
// A bias is added to, and a sum with it rounded, some few times, in the score and in the bound.
constexpr float ROUNDING = 16 * UNIT;

constexpr int PLACES[4] = {0, 2, 1, 3};  // of the components among each 4 codes of a user

inline CodedUser code_user(const float* vector, float bias, int32_t no_components, int32_t n_coded,
                           const double* limits, int16_t* codes) {
    for (int32_t c = 0; c < n_coded; ++c) codes[c] = 0;
    const float size = largest_size(vector, no_components);
    if (!(size <= LARGEST_CODED)) return {codes, 0.0f, INFINITY, INFINITY};
    CodedUser user = {codes, 0.0f, 0.0f, bias};
    double squares = 0.0, residuals = 0.0;
    if (size > SMALLEST_CODED) {
        // Sums of products with 7 bits and a sign must fit 31 bits.
        const double most = 2147483647.0 / 127.0 / n_coded;
        user.step = static_cast<float>(size / (most < 32767.0 ? floor(most) : 32767.0));
    }
    for (int32_t c = 0; c < no_components; ++c) {
        const double step = user.step;
        const double code = step > 0.0 ? floor(vector[c] / step + 0.5) : 0.0;
        codes[c / 4 * 4 + PLACES[c % 4]] = static_cast<int16_t>(code);
        const double residual = vector[c] - code * step;
        squares += static_cast<double>(vector[c]) * vector[c];
        residuals += residual * residual;
    }
    const double length = ::sqrt(squares);
    const double roundings = (no_components + 32.0) * UNIT;
    double slack = length * limits[0] + ::sqrt(residuals) * limits[1];
    slack += roundings * (length * (limits[0] + limits[1]) + slack);
    // What vanishes below the smallest float, even where the machine flushes it to zero.
    const float vanishing = 1e-37f * (static_cast<float>(no_components) + 16.0f) * (1.0f + size);
    if (size > 0.0f) user.slack = static_cast<float>(slack * (1.0 + 1e-6) + 1e-30);
    user.bias = bias + ROUNDING * fabsf(bias) + vanishing;
    return user;
}

// t · c of N items, side by side. The codes of a user come by fours, too: those of components 0, 2,
// 1, 3, because the bytes of 16 bits are spread apart by shifts, the low ones and the high ones.
#if defined(__AVX2__)
struct CodeProducts {
    static constexpr int N = 8;
    __m256i sums = _mm256_setzero_si256();
    LFM_INLINE void add(const char* items, const int16_t* user) {
        int32_t low, high;
        memcpy(&low, user, sizeof low);
        memcpy(&high, user + 2, sizeof high);
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(items));
        const __m256i lows = _mm256_srai_epi16(_mm256_slli_epi16(both, 8), 8);
        const __m256i highs = _mm256_srai_epi16(both, 8);
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(lows, _mm256_set1_epi32(low)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(highs, _mm256_set1_epi32(high)));
    }
    void store(float* out) const { _mm256_storeu_ps(out, _mm256_cvtepi32_ps(sums)); }
};
#elif defined(__SSE2__) || defined(_M_X64)
struct CodeProducts {
    static constexpr int N = 4;
    __m128i sums = _mm_setzero_si128();
    LFM_INLINE void add(const char* items, const int16_t* user) {
        int32_t low, high;
        memcpy(&low, user, sizeof low);
        memcpy(&high, user + 2, sizeof high);
        const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(items));
        const __m128i lows = _mm_srai_epi16(_mm_slli_epi16(both, 8), 8);
        const __m128i highs = _mm_srai_epi16(both, 8);
        sums = _mm_add_epi32(sums, _mm_madd_epi16(lows, _mm_set1_epi32(low)));
        sums = _mm_add_epi32(sums, _mm_madd_epi16(highs, _mm_set1_epi32(high)));
    }
    void store(float* out) const { _mm_storeu_ps(out, _mm_cvtepi32_ps(sums)); }
};
#else
struct CodeProducts {
    static constexpr int N = 4;
    int32_t sums[N] = {};
    LFM_INLINE void add(const char* items, const int16_t* user) {
        signed char codes[4 * N];
        memcpy(codes, items, sizeof codes);
        for (int i = 0; i < N; ++i)
            sums[i] += codes[4 * i] * user[0] + codes[4 * i + 2] * user[1] +
                       codes[4 * i + 1] * user[2] + codes[4 * i + 3] * user[3];
    }
    void store(float* out) const {
        for (int i = 0; i < N; ++i) out[i] = static_cast<float>(sums[i]);
    }
};
#endif

// bounds[i] of n items whose codes begin at `panels`, and -infinity up to whole panels. `next` is
// where the codes begin that will be read after these.
inline void bound_items(const CodedUser& user, const char* panels, const char* next,
                        const float* biases, int32_t n, int32_t n_coded, float* bounds) {
    constexpr int GROUPS = PANEL / CodeProducts::N;
    const Vec step = Vec::all(user.step), slack = Vec::all(user.slack), bias = Vec::all(user.bias);
    const Vec rounding = Vec::all(ROUNDING), minus = Vec::all(-1.0f);
    const int64_t size = code_bytes(n_coded);
    for (int32_t first = 0; first < n; first += PANEL, panels += size, next += size) {
        for (int64_t line = 0; line < size; line += 64) prefetch_to_read(next + line);
        const float* biases_here = biases + first;
        float last[PANEL];
        if (n - first < PANEL) {
            for (int32_t i = 0; i < PANEL; ++i) last[i] = first + i < n ? biases_here[i] : 0.0f;
            biases_here = last;
        }
        const char* fours = panels + PANEL * sizeof(float);
        CodeProducts groups[GROUPS];
        for (int32_t c = 0; c < n_coded; c += 4, fours += 4 * PANEL)
            for (int g = 0; g < GROUPS; ++g)
                groups[g].add(fours + g * 4 * CodeProducts::N, user.codes + c);
        float products[PANEL];
        for (int g = 0; g < GROUPS; ++g) groups[g].store(products + g * CodeProducts::N);
        for (int v = 0; v < PANEL / Vec::N; ++v) {
            float scales[Vec::N];
            memcpy(scales, panels + v * sizeof scales, sizeof scales);
            const Vec of_item = Vec::load(biases_here + v * Vec::N);
            const Vec above =
                multiply_add(maximum(of_item, of_item * minus), rounding, of_item) + bias;
            const Vec product = Vec::load(products + v * Vec::N);
            multiply_add(multiply_add(product, step, slack), Vec::load(scales), above)
                .store(bounds + first + v * Vec::N);
        }
    }
    for (int32_t i = n; i % PANEL; ++i) bounds[i] = -INFINITY;
}

// Which of the Vec::N bounds may come up to a score: a bit for each. NaN may be anything.
inline uint32_t may_reach(const float* bounds, float score) {
#if defined(__AVX2__)
    return static_cast<uint32_t>(_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(bounds), _mm256_set1_ps(score), _CMP_NLT_UQ)));
#else
    uint32_t bits = 0;
    for (int i = 0; i < Vec::N; ++i) bits |= static_cast<uint32_t>(!(bounds[i] < score)) << i;
    return bits;
#endif
}

// The least number from `least` up that has no divisor in common with `other` but 1.
inline int32_t coprime_from(int32_t least, int32_t other) {
    for (int32_t number = least;; ++number) {
        int32_t a = other, b = number;
        while (b) {
            const int32_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) return number;
    }
}

// The first of the sorted numbers at [begin, end) that is not below `least`.
inline int64_t first_from(const int32_t* sorted, int64_t begin, int64_t end, int32_t least) {
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        if (sorted[middle] < least) begin = middle + 1;
        else end = middle;
    }
    return begin;
}

// The lists of top_items, from codes. `bounds` holds whole panels of a tile, `codes` n_coded for
// each user.
//
// Tiles come in an order that goes up and down all of the catalogue: where the best items are the
// last ones, as many as lie in the best tiles are scored, and not all of them. No processor foresees
// that order, so each tile asks for the codes of the next.
inline void top_items_by_codes(const Representations& users, int32_t n,
                               const Representations& items, const char* panels,
                               const double* limits, int32_t n_items, int32_t no_components,
                               int32_t n_coded, const int64_t* begins, const int64_t* ends,
                               const int32_t* excluded, int32_t k, float* bounds, int16_t* codes,
                               int32_t* ids, float* scores) {
    Best best[USERS_IN_BLOCK];
    CodedUser coded[USERS_IN_BLOCK];
    for (int32_t u = 0; u < n; ++u) {
        best[u] = {ids + int64_t{u} * k, scores + int64_t{u} * k, k, 0};
        coded[u] = code_user(users.vectors + int64_t{u} * no_components, users.biases[u],
                             no_components, n_coded, limits, codes + int64_t{u} * n_coded);
    }
    const int32_t n_tiles = static_cast<int32_t>((int64_t{n_items} + TILE - 1) / TILE);
    const int32_t stride = coprime_from(static_cast<int32_t>(0.618 * n_tiles) + 1, n_tiles);
    int64_t turn = 0, next_turn = 0;
    for (int32_t t = 0; t < n_tiles; ++t, turn = next_turn) {
        next_turn = (turn + stride) % n_tiles;
        const int32_t tile = static_cast<int32_t>(turn) * TILE;
        const int32_t n_here = n_items - tile < TILE ? n_items - tile : TILE;
        const char* panels_here = panels + turn * (TILE / PANEL) * code_bytes(n_coded);
        const char* next = panels + next_turn * (TILE / PANEL) * code_bytes(n_coded);
        for (int32_t u = 0; u < n; ++u) {
            bound_items(coded[u], panels_here, next, items.biases + tile, n_here, n_coded, bounds);
            int64_t at = first_from(excluded, begins[u], ends[u], tile);
            for (; at < ends[u] && excluded[at] - tile < n_here; ++at)
                bounds[excluded[at] - tile] = -INFINITY;
            for (int32_t i = 0; i < n_here; i += Vec::N) {
                // What scores -infinity is in no list.
                const float least = best[u].size == k ? best[u].scores[0] : LOWEST;
                const uint32_t may = may_reach(bounds + i, least);
                for (int32_t j = 0; may >> j; ++j) {
                    if (!(may >> j & 1)) continue;
                    const int32_t item = tile + i + j;
                    const float score = score_row(users.vectors + int64_t{u} * no_components,
                                                  users.biases[u], items, item, no_components);
                    if (best[u].has_place_for(item, score)) best[u].add(item, score);
                }
            }
        }
    }
    for (int32_t u = 0; u < n; ++u) best[u].sort();
}

}  // namespace
}  // namespace lfm
