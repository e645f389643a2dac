// What a fit does once with all of its arrays: packing interactions and parameters into the layout
// of interface.hpp, writing parameters back, counting items. Each function does a piece. And an
// influence, cut into tiles.
// Compiled once, at the baseline level: none of this is arithmetic.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "interface.hpp"

namespace lfm {

// ---- interactions -----------------------------------------------------------------------------

// The columns of the stored interactions as they are given; null where there is none.
struct Columns {
    const int32_t* rows;
    const int32_t* cols;
    const uint8_t* positive;
    const float* further[MAX_WORDS - 2];  // values, weights
};

// Packs the interactions [first, last) into `words` words each.
inline void pack_interactions(const Columns& columns, int64_t first, int64_t last, int words,
                              uint32_t* out) {
    for (int64_t i = first; i < last; ++i) {
        const bool is_positive = !columns.positive || columns.positive[i];
        out[i * words] = static_cast<uint32_t>(columns.rows[i]) | (is_positive ? 0 : NOT_POSITIVE);
        out[i * words + 1] = static_cast<uint32_t>(columns.cols[i]);
        for (int w = 2; w < words; ++w) memcpy(out + i * words + w, columns.further[w - 2] + i, 4);
    }
}

// Adds to counts[item] how many of the interactions [first, last) an item has.
inline void add_item_counts(const uint32_t* interactions, int words, int64_t first, int64_t last,
                            int64_t* counts) {
    for (int64_t i = first; i < last; ++i) ++counts[interactions[i * words + 1]];
}

// ---- parameters -------------------------------------------------------------------------------

constexpr int MAX_PARTS = 3;  // of a row: values and states of a schedule

// The parameters of one side, packed.
struct PackedRows {
    float* rows;
    float* biases;  // null when the bias lives in the row
    int parts;
    int64_t lanes, bias_stride, no_components;
};

// The same in the arrays of a model, each part for itself.
struct PublicArrays {
    float* embeddings[MAX_PARTS];
    float* biases[MAX_PARTS];
};

inline float* bias_of(const PackedRows& to, int64_t row, int part) {
    if (to.biases) return to.biases + row * to.bias_stride + part;
    return to.rows + (row * to.parts + part) * to.lanes + to.no_components;
}

// What packs, unpacks or exchanges the rows [first, last).
using Conversion = void (*)(const PackedRows& packed, int64_t first, int64_t last,
                            const PublicArrays& arrays);

// Packs the rows [first, last), their padding as well. It only reads the arrays.
inline void pack_rows(const PackedRows& to, int64_t first, int64_t last, const PublicArrays& from) {
    const int64_t n = to.no_components;
    for (int64_t row = first; row < last; ++row) {
        for (int part = 0; part < to.parts; ++part) {
            float* const out = to.rows + (row * to.parts + part) * to.lanes;
            memcpy(out, from.embeddings[part] + row * n, sizeof(float) * n);
            const float padding = part == 1 ? std::numeric_limits<float>::infinity() : 0.0f;
            std::fill(out + n, out + to.lanes, padding);
            *bias_of(to, row, part) = from.biases[part][row];
        }
        if (to.biases)
            for (int64_t i = to.parts; i < to.bias_stride; ++i)
                to.biases[row * to.bias_stride + i] = 0.0f;
    }
}

// Writes the rows [first, last) to the arrays.
inline void unpack_rows(const PackedRows& from, int64_t first, int64_t last,
                        const PublicArrays& to) {
    const int64_t n = from.no_components;
    for (int64_t row = first; row < last; ++row) {
        for (int part = 0; part < from.parts; ++part) {
            memcpy(to.embeddings[part] + row * n,
                   from.rows + (row * from.parts + part) * from.lanes, sizeof(float) * n);
            to.biases[part][row] = *bias_of(from, row, part);
        }
    }
}

// Writes the rows [first, last) to the arrays, and packs what these had.
inline void exchange_rows(const PackedRows& packed, int64_t first, int64_t last,
                          const PublicArrays& arrays) {
    const int64_t n = packed.no_components;
    for (int64_t row = first; row < last; ++row) {
        for (int part = 0; part < packed.parts; ++part) {
            float* const values = packed.rows + (row * packed.parts + part) * packed.lanes;
            std::swap_ranges(values, values + n, arrays.embeddings[part] + row * n);
            std::swap(*bias_of(packed, row, part), arrays.biases[part][row]);
        }
    }
}

// Whether the values, not their states, of the rows [first, last) are finite. NaN and infinity have
// all exponent bits set.
inline bool are_finite(const PackedRows& packed, int64_t first, int64_t last) {
    uint32_t found = 0;
    const auto look = [&](const float* values, int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
            uint32_t bits;
            memcpy(&bits, values + i, sizeof bits);
            found |= (bits & 0x7F800000u) == 0x7F800000u;
        }
    };
    for (int64_t row = first; row < last && !found; ++row) {
        look(packed.rows + row * packed.parts * packed.lanes, packed.lanes);
        if (packed.biases) look(packed.biases + row * packed.bias_stride, 1);
    }
    return !found;
}

// ---- the influence of items ---------------------------------------------------------------------

// Writes the columns of the tile that begins at `first` to indptr[0 .. n_rows], places and values,
// and says how many entries that are. `at` is where each row has got to, and moves on: tiles are
// cut in their order.
inline int64_t cut_tile(const Sparse& rows, int64_t n_rows, int64_t first, int64_t* at,
                        int32_t* indptr, uint16_t* places, float* values) {
    int64_t n = 0;
    for (int64_t row = 0; row < n_rows; ++row) {
        indptr[row] = static_cast<int32_t>(n);
        int64_t& e = at[row];
        for (; e < rows.indptr[row + 1] && rows.indices[e] < first + INFLUENCE_TILE; ++e, ++n) {
            places[n] = static_cast<uint16_t>(rows.indices[e] - first);
            values[n] = rows.values[e];
        }
    }
    indptr[n_rows] = static_cast<int32_t>(n);
    return n;
}

}  // namespace lfm
