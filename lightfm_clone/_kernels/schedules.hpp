// Learning-rate schedules. A schedule turns the gradient d of a scalar parameter x into its local
// learning rate, which the step multiplies with d, and updates the parameter's state [ G, M ].
// V is a vector of parameters or a single one; `stride` separates x, G and M.
#pragma once

#include "interface.hpp"
#include "vec.hpp"

namespace lfm {
namespace {

// Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
// optimization", JMLR 2011:    x -= lr / sqrt(G) * d,  then  G += d^2
struct Adagrad {
    static constexpr bool UNIFORM = false;  // whether all parameters have the same local rate
    float learning_rate;
    InverseRoot by_estimate;
    bool many_rows;
    Adagrad(const Problem& problem, int64_t)
        : learning_rate(problem.learning_rate), by_estimate(problem.learning_rate),
          many_rows(problem.users.features.indptr || problem.items.features.indptr) {}

    // lr / sqrt(G). The updates of hybrids, of dozens of rows an example, wait for the divider. Those
    // of two or three rows do not, and would only have more instructions.
    template <class V>
    V rate(V squared) const {
        return many_rows ? by_estimate(squared) : V::all(learning_rate) / sqrt(squared);
    }

    template <class V>
    V local_learning_rate(float* x, int64_t stride, V d) const {
        float* g = x + stride;
        const V squared = V::load(g);
        multiply_add(d, d, squared).store(g);
        return rate(squared);
    }

    template <class V>
    void stepped(float*, int64_t, V) const {}
};

// Zeiler, "ADADELTA: an adaptive learning rate method", 2012:
//     G = rho G + (1 - rho) d^2,  step = sqrt(M + eps) / sqrt(G + eps) * d,  x -= step,
//     M = rho M + (1 - rho) step^2
struct Adadelta {
    static constexpr bool UNIFORM = false;
    float learning_rate = 0.0f;  // it has none
    float rho, epsilon;
    Adadelta(const Problem& problem, int64_t) : rho(problem.rho), epsilon(problem.epsilon) {}

    template <class V>
    V average(V old, V value) const {
        return multiply_add(V::all(rho), old, V::all(1.0f - rho) * value * value);
    }

    template <class V>
    V local_learning_rate(float* x, int64_t stride, V d) const {
        float* g = x + stride;
        const V squared = average(V::load(g), d);
        squared.store(g);
        return sqrt(V::load(g + stride) + V::all(epsilon)) / sqrt(squared + V::all(epsilon));
    }

    template <class V>
    void stepped(float* x, int64_t stride, V step) const {
        float* m = x + 2 * stride;
        average(V::load(m), step).store(m);
    }
};

// Plain stochastic gradient descent, its learning rate falling linearly over the examples:
//     x -= lr * d
struct Sgd {
    static constexpr bool UNIFORM = true;
    float learning_rate;
    Sgd(const Problem& problem, int64_t position)
        : learning_rate(static_cast<float>(
              problem.learning_rate +
              (static_cast<double>(problem.last_learning_rate) - problem.learning_rate) *
                  static_cast<double>(position) / static_cast<double>(problem.n_interactions))) {}

    template <class V>
    V local_learning_rate(float*, int64_t, V) const {
        return V::all(learning_rate);
    }

    template <class V>
    void stepped(float*, int64_t, V) const {}
};

}  // namespace
}  // namespace lfm
