// Representations for a request: sums of features for a few rows of a CSR matrix that may be large,
// and that nobody has checked. Only what belongs to these rows is read, and each number is checked
// before it is used as a place. Compiled once, at the baseline level.
#pragma once

#include <math.h>

#include <cstdint>

namespace lfm {
namespace {

// Places, int64 where they are wide, else int32; or values, double or float.
struct Array {
    const void* data;
    int64_t size;
    bool wide;
};

// A CSR matrix as SciPy has it.
struct StoredFeatures {
    Array indptr, indices, data;
};

enum Fault { NO_FAULT, BAD_ROW, BAD_PLACE, BAD_COLUMN, NOT_FINITE };

// What is wrong with the matrix, in which of the rows asked for, and the number that is.
struct Finding {
    Fault fault;
    int64_t at;
    int64_t begin, end;  // of a BAD_PLACE; a BAD_COLUMN is `begin`
};

// In the order of SciPy's product, and rounded like it: the sums are the same bits.
template <class Indptr, class Index, class Value>
inline Finding sum_features_as(const StoredFeatures& features, const int32_t* rows, int64_t n,
                               const float* biases, const float* embeddings, int64_t n_features,
                               int64_t no_components, float* bias_sums, float* sums) {
    const Indptr* indptr = static_cast<const Indptr*>(features.indptr.data);
    const Index* indices = static_cast<const Index*>(features.indices.data);
    const Value* data = static_cast<const Value*>(features.data.data);
    const int64_t n_rows = features.indptr.size - 1;
    const int64_t n_stored =
        features.data.size < features.indices.size ? features.data.size : features.indices.size;
    for (int64_t r = 0; r < n; ++r, sums += no_components) {
        if (rows[r] < 0 || rows[r] >= n_rows) return {BAD_ROW, r, rows[r], 0};
        const int64_t begin = indptr[rows[r]], end = indptr[int64_t{rows[r]} + 1];
        if (begin < 0 || end < begin || end > n_stored) return {BAD_PLACE, r, begin, end};
        float bias = 0.0f;
        for (int64_t c = 0; c < no_components; ++c) sums[c] = 0.0f;
        for (int64_t i = begin; i < end; ++i) {
            const int64_t feature = indices[i];
            if (feature < 0 || feature >= n_features) return {BAD_COLUMN, r, feature, 0};
            const float value = static_cast<float>(data[i]);
            if (!isfinite(value)) return {NOT_FINITE, r, 0, 0};
            const float* embedding = embeddings + feature * no_components;
            bias += value * biases[feature];
            for (int64_t c = 0; c < no_components; ++c) sums[c] += value * embedding[c];
        }
        bias_sums[r] = bias;
    }
    return {NO_FAULT, 0, 0, 0};
}

// Writes to bias_sums [n] and sums [n, no_components] the sums of the features of `rows`, which have
// biases [n_features] and embeddings [n_features, no_components].
inline Finding sum_features(const StoredFeatures& features, const int32_t* rows, int64_t n,
                            const float* biases, const float* embeddings, int64_t n_features,
                            int64_t no_components, float* bias_sums, float* sums) {
    const auto with_type = [](const Array& array, auto narrow, auto wide, auto use) {
        return array.wide ? use(wide) : use(narrow);
    };
    return with_type(features.indptr, int32_t(), int64_t(), [&](auto place) {
        return with_type(features.indices, int32_t(), int64_t(), [&](auto index) {
            return with_type(features.data, float(), double(), [&](auto value) {
                return sum_features_as<decltype(place), decltype(index), decltype(value)>(
                    features, rows, n, biases, embeddings, n_features, no_components, bias_sums,
                    sums);
            });
        });
    });
}

}  // namespace
}  // namespace lfm
