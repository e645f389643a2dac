"""Sums without rounding, so that a mean does not depend on where its parts were added up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_UNIT = 1074  # every finite float64 is a whole number of 2**-1074
_LARGE = 2.0**900


class Sums(NamedTuple):
    """Of values and of their squares, exact, as whole numbers of 2**-1074."""

    n: int
    values: int
    squares: int

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> Sums:
        """Of values that are 0 or whose size is in [2**-480, 2**480]."""
        square, rest = _squares(values)
        return cls(len(values), exact_sum(values), exact_sum(square) + exact_sum(rest))

    @classmethod
    def merged(cls, parts: Iterable[Sums]) -> Sums:
        """Of the values of all parts together."""
        return cls(*map(sum, zip(*parts, strict=True)))

    @property
    def mean(self) -> float:
        """As `mean` gives it."""
        return self.values / (self.n << _UNIT)

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN of a single value."""
        n = self.n
        if n < 2:
            return math.nan
        spread = (self.squares * n << _UNIT) - self.values**2  # n**2 times the variance
        return math.sqrt(max(spread, 0) / (n * n * (n - 1) << 2 * _UNIT))


def mean(values: npt.NDArray[np.float64]) -> float:
    """The mean, rounded once, to the nearest float64."""
    if not len(values) or not np.abs(values).max() < _LARGE:  # or NaN
        return float(values.mean())
    return exact_sum(values) / (len(values) << _UNIT)


def exact_sum(values: npt.NDArray[np.float64]) -> int:
    """The sum of values in (-2**900, 2**900), as a whole number of 2**-1074.

    Each turn cuts off the leading bits of all values, few enough that these add up without
    rounding. (Rump, Ogita and Oishi, "Accurate floating-point summation, part I: faithful
    rounding", SIAM Journal on Scientific Computing 31(1), 2008, algorithm 3.1.)
    """
    rest = np.array(values, np.float64)
    spare = (len(rest) + 1).bit_length()
    total = 0
    while largest := float(np.abs(rest).max(initial=0)):
        above = math.ldexp(1.0, math.frexp(largest)[1] + spare)
        leading = (above + rest) - above
        rest -= leading
        numerator, denominator = float(leading.sum()).as_integer_ratio()
        total += numerator << (_UNIT + 1 - denominator.bit_length())
    return total


def _squares(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Squares as float64, and what rounding took from them.

    (Dekker, "A floating-point technique for extending the available precision", Numerische
    Mathematik 18, 1971, with Veltkamp's splitting.)
    """
    square = values * values
    wide = values * (2.0**27 + 1)
    high = wide - (wide - values)
    low = values - high
    return square, ((high * high - square) + 2 * high * low) + low * low
