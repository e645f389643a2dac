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

// The factors of a product: a(r, s) = at[r * row + s * step], and
// b(s, i) = at[i / PANEL * panel + s * step + i % PANEL], which are rows where `panel` is PANEL, or
// packed panels of that many floats.
struct LeftFactor {
    const float* at;
    int64_t row, step;
};
struct RightFactor {
    const float* at;
    int64_t step, panel;
};

constexpr int ROWS_AT_ONCE = 6;

// PANEL columns of a product, for n_rows <= ROWS rows.
template <int ROWS>
LFM_INLINE void multiply_group(LeftFactor a, const float* panel, int64_t panel_step, int64_t n_rows,
                               int64_t steps, float* out, int64_t out_row) {
    if constexpr (ROWS > 1) {
        if (n_rows < ROWS) {
            multiply_group<ROWS - 1>(a, panel, panel_step, n_rows, steps, out, out_row);
            return;
        }
    }
    const float* rows[ROWS];
    for (int r = 0; r < ROWS; ++r) rows[r] = a.at + r * a.row;
    const PanelSums<ROWS> product(rows, a.step, panel, panel_step, steps);
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < product.VECTORS; ++v)
            product.sums[r][v].store(out + r * out_row + v * Vec::N);
}

// out[r * out_row + i] = sum over s of a(r, s) * b(s, i), for n_rows rows and n_columns columns, a
// multiple of PANEL. A panel of b stays in the L1 cache while all rows go over it, in groups of
// nearly equal size: a small one at the end would leave the multipliers waiting for its few sums.
inline void multiply(LeftFactor a, RightFactor b, int64_t n_rows, int64_t n_columns, int64_t steps,
                     float* out, int64_t out_row) {
    const int64_t n_groups = (n_rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    for (int64_t column = 0; column < n_columns; column += PANEL, b.at += b.panel) {
        int64_t first = 0;
        for (int64_t group = 1; group <= n_groups; ++group) {
            const int64_t end = n_rows * group / n_groups;
            multiply_group<ROWS_AT_ONCE>({a.at + first * a.row, a.row, a.step}, b.at, b.step,
                                         end - first, steps, out + first * out_row + column,
                                         out_row);
            first = end;
        }
    }
}

}  // namespace
}  // namespace lfm
