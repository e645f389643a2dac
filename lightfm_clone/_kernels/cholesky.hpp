// Least squares with a ridge: (G + l2 I) b = g, by Cholesky's factors in double.
//
// The systems are small and many, and each thread solves one at a time. LAPACK's dposv, through
// SciPy's OpenBLAS, takes as long for all of them with two threads as with one (50 unknowns: 10 and
// 11 us a system, here 11 and 6), and its bits would depend on the build of it that is installed.
#pragma once

#include <float.h>

#include "vec.hpp"

namespace lfm {
namespace {

// Rows whose multiples are taken from the rows below at once, so that these are read and written
// less often.
constexpr int64_t PIVOTS = 8;

// out[c] -= factors[0] * rows[c] + factors[step] * rows[n + c] + ..., of N rows, for c in
// [begin, n). None of the rows is `out`.
template <int64_t N>
LFM_INLINE void subtract_rows(const double* __restrict rows, const double* factors, int64_t step,
                              int64_t begin, int64_t n, double* __restrict out) {
    double factor[N];
    for (int64_t i = 0; i < N; ++i) factor[i] = factors[i * step];
    for (int64_t c = begin; c < n; ++c) {
        double rest = out[c];
        for (int64_t i = 0; i < N; ++i) rest -= factor[i] * rows[i * n + c];
        out[c] = rest;
    }
}

// Overwrites the upper triangle of a symmetric matrix [n, n] by U, where U^T U is the matrix.
// Returns whether there is one; what is not finite has none.
inline bool factorize(double* matrix, int64_t n) {
    for (int64_t first = 0; first < n; first += PIVOTS) {
        const int64_t end = first + PIVOTS < n ? first + PIVOTS : n;
        for (int64_t i = first; i < end; ++i) {
            double* const pivots = matrix + i * n;
            if (!(pivots[i] > 0.0 && pivots[i] <= DBL_MAX)) return false;
            const double scale = 1.0 / ::sqrt(pivots[i]);
            for (int64_t c = i; c < n; ++c) pivots[c] *= scale;
            for (int64_t r = i + 1; r < end; ++r)
                subtract_rows<1>(pivots, pivots + r, n, r, n, matrix + r * n);
        }
        // Where rows are left, the pivots are PIVOTS.
        for (int64_t r = end; r < n; ++r)
            subtract_rows<PIVOTS>(matrix + first * n, matrix + first * n + r, n, r, n,
                                  matrix + r * n);
    }
    return true;
}

// Overwrites x by the solution of U^T U x = x.
inline void solve_factorized(const double* upper, int64_t n, double* x) {
    for (int64_t i = 0; i < n; ++i) {
        x[i] /= upper[i * n + i];
        subtract_rows<1>(upper + i * n, x + i, 1, i + 1, n, x);
    }
    for (int64_t i = n - 1; i >= 0; --i) {
        const double* const row = upper + i * n;
        double sums[PIVOTS] = {};  // side by side, as one would wait for each of its additions
        int64_t c = i + 1;
        for (; c + PIVOTS <= n; c += PIVOTS)
            for (int64_t s = 0; s < PIVOTS; ++s) sums[s] += row[c + s] * x[c + s];
        for (; c < n; ++c) sums[0] += row[c] * x[c];
        for (int64_t s = 1; s < PIVOTS; ++s) sums[0] += sums[s];
        x[i] = (x[i] - sums[0]) / row[i];
    }
}

// Overwrites b[0 .. n) by the solution of (G + l2 I) x = b. Of G, `triangle` has the rows up to the
// diagonal, one behind the other. `scratch` holds n * (n + 1) doubles. Returns whether G + l2 I is
// positive definite and finite; otherwise b is left as it is.
inline bool solve_ridge(const float* triangle, int64_t n, double l2, double* scratch, float* b) {
    // Last row first: so what the triangle has of a row lies in one piece in the upper triangle.
    double* const x = scratch + n * n;
    for (int64_t r = n - 1; r >= 0; --r) {
        double* const row = scratch + r * n;
        const int64_t length = n - r;
        const float* const from = triangle + length * (length - 1) / 2;
        for (int64_t c = 0; c < length; ++c) row[n - 1 - c] = from[c];
        row[r] += l2;
        x[r] = b[n - 1 - r];
    }
    if (!factorize(scratch, n)) return false;
    solve_factorized(scratch, n, x);
    for (int64_t r = 0; r < n; ++r) b[r] = static_cast<float>(x[n - 1 - r]);
    return true;
}

}  // namespace
}  // namespace lfm
