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

// out[r][i] (rows of out_stride floats) = sum over s of a(r, s) * b(s, i), for ROWS rows from a and
// PANEL columns from b.
template <int ROWS>
LFM_INLINE void multiply_rows(const float* a, int64_t a_row, int64_t a_step, const float* b,
                              int64_t b_step, int64_t steps, float* out, int64_t out_stride) {
    const float* rows[ROWS];
    for (int r = 0; r < ROWS; ++r) rows[r] = a + r * a_row;
    const PanelSums<ROWS> product(rows, a_step, b, b_step, steps);
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < product.VECTORS; ++v)
            product.sums[r][v].store(out + r * out_stride + v * Vec::N);
}

inline void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step,
                     int64_t panel_size, int64_t n_rows, int64_t n_columns, int64_t steps,
                     float* out, int64_t out_stride) {
    const int64_t n_groups = (n_rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    for (int64_t column = 0; column < n_columns; column += PANEL) {
        const float* panel = b + column / PANEL * panel_size;
        int64_t first = 0;
        for (int64_t group = 0; group < n_groups; ++group) {
            const int64_t end = n_rows * (group + 1) / n_groups;
            const float* rows = a + first * a_row;
            float* place = out + first * out_stride + column;
            switch (end - first) {
                case 6: multiply_rows<6>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
                case 5: multiply_rows<5>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
                case 4: multiply_rows<4>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
                case 3: multiply_rows<3>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
                case 2: multiply_rows<2>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
                default: multiply_rows<1>(rows, a_row, a_step, panel, b_step, steps, place, out_stride); break;
            }
            first = end;
        }
    }
}

}  // namespace
}  // namespace lfm
