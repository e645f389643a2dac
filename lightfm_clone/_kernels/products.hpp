// The one inner loop of every small matrix product: ROWS x PANEL sums that stay in registers.
#pragma once

#include "vec.hpp"

namespace lfm {
namespace {

// PANEL sums, side by side, for each of ROWS rows: 6 x 16 sums fill the AVX2 registers.
template <int ROWS>
struct PanelSums {
    static constexpr int VECTORS = PANEL / Vec::N;
    Vec sums[ROWS][VECTORS];

    // sums[r][i] = sum over s of rows[r][s * row_step] * panel[s * panel_step + i]
    LFM_INLINE PanelSums(const float* const* rows, int64_t row_step, const float* panel,
                         int64_t panel_step, int64_t steps) {
        for (int r = 0; r < ROWS; ++r)
            for (int v = 0; v < VECTORS; ++v) sums[r][v] = Vec::all(0.0f);
        for (int64_t s = 0; s < steps; ++s, panel += panel_step) {
            // Rows outside: with the panel's vectors loaded, one more register is enough.
            Vec columns[VECTORS];
            for (int v = 0; v < VECTORS; ++v) columns[v] = Vec::load(panel + v * Vec::N);
            for (int r = 0; r < ROWS; ++r) {
                const Vec value = Vec::all(rows[r][s * row_step]);
                for (int v = 0; v < VECTORS; ++v)
                    sums[r][v] = multiply_add(value, columns[v], sums[r][v]);
            }
        }
    }
};

constexpr int ROWS_AT_ONCE = 6;

// out[r][i] (rows of out_stride floats) = sum over s of a(r, s) * b(s, i), for n_rows rows and
// n_columns columns, a multiple of PANEL; a(r, s) = a[r * a_row + s * a_step],
// b(s, i) = b[s * b_step + i], or, where panel_size is not 0, b packed in panels of that many floats.
inline void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step,
                     int64_t panel_size, int64_t n_rows, int64_t n_columns, int64_t steps,
                     float* out, int64_t out_stride) {
    for (int64_t first = 0; first < n_rows; first += ROWS_AT_ONCE) {
        const int64_t n = n_rows - first < ROWS_AT_ONCE ? n_rows - first : ROWS_AT_ONCE;
        const float* rows[ROWS_AT_ONCE];  // a short group is filled up with its last row
        for (int r = 0; r < ROWS_AT_ONCE; ++r) rows[r] = a + (first + (r < n ? r : n - 1)) * a_row;
        for (int64_t column = 0; column < n_columns; column += PANEL) {
            const float* panel = b + (panel_size ? column / PANEL * panel_size : column);
            const PanelSums<ROWS_AT_ONCE> product(rows, a_step, panel, b_step, steps);
            for (int64_t r = 0; r < n; ++r)
                for (int v = 0; v < product.VECTORS; ++v)
                    product.sums[r][v].store(out + (first + r) * out_stride + column + v * Vec::N);
        }
    }
}

}  // namespace
}  // namespace lfm
