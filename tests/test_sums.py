"""Exact sums: equal to sums of fractions, and to themselves however the values are parted."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lightfm_clone.evaluation.groups import counted, quartiles
from lightfm_clone.evaluation.sums import Sums, exact_sum, mean

RANDOM = np.random.default_rng(0)
VALUES = {
    "shares": RANDOM.random(999) / 10,
    "of many sizes": RANDOM.normal(size=999) * 10.0 ** RANDOM.integers(-120, 120, 999),
    "cancelled": np.array([1e16, 1.0, -1e16, 2.0**-60]),
    "the least there is": np.array([5e-324, 5e-324, 1.0]),
    "zeros": np.zeros(5),
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_sums_are_those_of_fractions(values):
    exact = sum(map(Fraction, values.tolist()))
    assert Fraction(exact_sum(values), 2**1074) == exact
    assert mean(values) == Sums.of(values).mean == float(exact / len(values))


@pytest.mark.parametrize("kind", ["shares", "of many sizes"])
def test_standard_errors_are_those_of_fractions(kind):
    values = [*map(Fraction, VALUES[kind].tolist())]
    n = len(values)
    middle = sum(values) / n
    exact = sum((value - middle) ** 2 for value in values) / (n * (n - 1))
    error = Sums.of(VALUES[kind]).standard_error
    assert error == pytest.approx(math.sqrt(exact), rel=1e-15)
    assert error == pytest.approx(VALUES[kind].std(ddof=1) / math.sqrt(n), rel=1e-12)


def test_merged_sums_are_those_of_all_values():
    values = VALUES["of many sizes"]
    parts = np.split(RANDOM.permutation(values), [0, 1, 400])
    assert Sums.merged(map(Sums.of, parts)) == Sums.of(values)
    assert math.isnan(Sums.of(values[:1]).standard_error)


def test_means_of_what_is_not_finite_are_numpys():
    assert mean(np.array([1.0, np.inf])) == np.inf
    assert math.isnan(mean(np.array([1.0, np.nan])))


def test_quartiles_are_numpys():
    for n in range(60):
        counts = RANDOM.integers(0, 1 + n // 2, size=n)
        some = counts[counts > 0]
        expected = np.quantile(some, [0.25, 0.5, 0.75]).tolist() if len(some) else []
        assert quartiles(*counted(counts)) == expected
