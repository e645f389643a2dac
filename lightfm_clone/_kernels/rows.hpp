// Representations: what a user or an item is for one example, read from the packed rows, and the
// update of the rows behind them. The layout is described in interface.hpp.
#pragma once

#include "interface.hpp"
#include "prefetch.hpp"
#include "vec.hpp"

namespace lfm {
namespace {

// The lanes of a row. What most fits go through (a common loss, adagrad, no L2) has kernels for rows of
// 16 and of 64 lanes alone, and its update in place of a call (`IN_PLACE`).
template <int L>
struct FixedLanes {
    static constexpr bool IN_PLACE = true;
    explicit FixedLanes(int) {}
    constexpr operator int() const { return L; }
};
template <bool InPlace>
struct AnyLanes {
    static constexpr bool IN_PLACE = InPlace;
    const int n;
    explicit AnyLanes(int lanes) : n(lanes) {}
    operator int() const { return n; }
};

// A sum of parameter rows. Where the bias lives in the row it stays in its lane of `vector`, and
// `bias` is 0.
struct Representation {
    const float* vector;
    float bias;
};

// The features of one row, all of them or those that can not be left out.
struct FeatureRow {
    const int32_t* indices;
    const float* data;
    int64_t size;
};

inline FeatureRow feature_row(const FeatureMatrix& features, int32_t row, bool whole) {
    const int64_t* bounds = features.indptr + row * features.parts;
    const int64_t begin = bounds[0], end = bounds[whole ? features.parts : 1];
    return {features.indices + begin, features.data + begin, end - begin};
}

LFM_INLINE float dot(const float* a, const float* b, int lanes) {
    Vec even = Vec::all(0.0f), odd = Vec::all(0.0f);
    for (int l = 0; l < lanes; l += 16) {
        even = multiply_add(Vec::load(a + l), Vec::load(b + l), even);
        if (Vec::N == 8) odd = multiply_add(Vec::load(a + l + 8), Vec::load(b + l + 8), odd);
    }
    return (even + odd).sum();
}

// Lanes [begin, begin + N) of a sum of features, which are held in registers.
template <int N>
LFM_INLINE void sum_lanes(const Side& side, const FeatureRow& features, int begin, float* buffer) {
    Vec sums[N / Vec::N];
    for (Vec& sum : sums) sum = Vec::all(0.0f);
    for (int64_t f = 0; f < features.size; ++f) {
        const float* x = side.rows + features.indices[f] * side.row_stride + begin;
        const Vec value = Vec::all(features.data[f]);
        for (int v = 0; v < N / Vec::N; ++v)
            sums[v] = multiply_add(value, Vec::load(x + v * Vec::N), sums[v]);
    }
    for (int v = 0; v < N / Vec::N; ++v) sums[v].store(buffer + begin + v * Vec::N);
}

// A sum of the features of `row`, written to `buffer`.
inline Representation sum_of_features(const Side& side, int32_t row, bool whole, float* buffer,
                                      int lanes) {
    const FeatureRow features = feature_row(side.features, row, whole);
    int l = 0;
    for (; l + 64 <= lanes; l += 64) sum_lanes<64>(side, features, l, buffer);
    if (l + 32 <= lanes) {
        sum_lanes<32>(side, features, l, buffer);
        l += 32;
    }
    if (l < lanes) sum_lanes<16>(side, features, l, buffer);
    float bias = 0.0f;
    if (side.biases)
        for (int64_t f = 0; f < features.size; ++f)
            bias = multiply_add(features.data[f],
                                side.biases[features.indices[f] * side.bias_stride], bias);
    return {buffer, bias};
}

// The representation of `row`, raw (without the L2 scale). An identity row is returned in place,
// a sum of features, the whole or without identities, is written to `buffer`.
LFM_INLINE Representation representation(const Side& side, int32_t row, bool whole, float* buffer,
                                         int lanes) {
    if (side.features.indptr) return sum_of_features(side, row, whole, buffer, lanes);
    return {side.rows + row * side.row_stride,
            side.biases ? side.biases[row * side.bias_stride] : 0.0f};
}

// Asking for the parameters behind a row before they are needed, in three stages, each reading
// what the one before has asked for: where the row's features are, which they are, their values.
// The identity needs the last stage alone. [begin, end) are the floats of a parameter row to fetch.
// Only rare features are asked for: the others would drive out of the nearest cache what is going
// to be needed sooner.
inline void prefetch_place(const Side& side, int32_t row) {
    if (!side.features.indptr) return;
    prefetch(side.features.indptr + row * side.features.parts);
    prefetch(side.features.rare_indptr + row);
}

inline void prefetch_features(const Side& side, int32_t row) {
    if (!side.features.indptr) return;
    const FeatureRow features = feature_row(side.features, row, true);
    // Both ends, because a row of 16 features lies on two cache lines, most often.
    const int64_t last = features.size > 0 ? features.size - 1 : 0;
    prefetch(features.indices);
    prefetch(features.indices + last);
    prefetch(features.data);
    prefetch(features.data + last);
    prefetch(side.features.rare + side.features.rare_indptr[row]);
}

LFM_INLINE void prefetch_parameters(const Side& side, int64_t feature, int64_t begin, int64_t end) {
    const float* x = side.rows + feature * side.row_stride;
    for (int64_t l = begin; l < end; l += 16) prefetch(x + l);
    if (side.biases) prefetch(side.biases + feature * side.bias_stride);
}

LFM_INLINE void prefetch_row(const Side& side, int32_t row, int64_t begin, int64_t end) {
    if (!side.features.indptr) {
        prefetch_parameters(side, row, begin, end);
        return;
    }
    const int64_t* indptr = side.features.rare_indptr + row;
    for (int64_t f = indptr[0]; f < indptr[1]; ++f)
        prefetch_parameters(side, side.features.rare[f], begin, end);
}

}  // namespace
}  // namespace lfm
