"""How the copies of shared rows are merged, which shards of users have trained each for itself.

Users are dealt to shards. A shard holds its users' rows and a copy of the rows that shards share:
items and their features, and features of users. Each trains a slice of its epoch; then what the
copies have learned is merged, and all go on from the merged rows.

**What is merged.** A *sheet* holds the shared rows: float32 [n_rows, no_components + 1], the
embeddings and, last, the biases. The state of the rows is a list of sheets, values first, then the
states of the schedule (`SCHEDULES`). A shard makes its `contribution` from the sheets before and
after its slice; contributions are added elementwise, in the order of the shards; `merge` makes the
new sheets of the old ones and the sums. All of it goes row by row, so that ranges of rows can be
merged by different workers, and a row that a shard has not touched contributes zeros.

**The rule.** Take a parameter x, and the loss of each shard as quadratic about an optimum of its
own. A slice brings x nearer to it by a factor of e^-A, where A is the curvature times the steps'
lengths, summed over the slice; for the curvature stands the sum T of the squares of the gradients,
which is its expectation where the model is right (the Fisher information). So d_j, by which shard j
has moved x, says where the shard was heading. All interactions in sequence would have gone towards
the mean of these optima, weighted by T_j, as far as all the gradients together lead. With w for
what the lengths of steps are inversely proportional to at the end of the slice, that is::

    x' = x + sum_j w_j f(A_j) d_j / (w f(A)),    f(A) = A / (1 - e^-A),    T = sum_j T_j

Where little is learned in a slice (A near 0, f near 1) the steps add up, each as long as it would
have been after the gradients of all others. Where each shard has arrived (A large) it is the mean
of what they found, weighted by T_j. A row that one shard alone has touched becomes that shard's
row. What w, T and A are, is read from what training leaves behind:

- adagrad: w = sqrt(G), T is what G has grown by, A = rate T / w, for each parameter.
- softmax with sgd, without shared features: scores go by directions, so gradients are orthogonal to
  the embedding. A step lengthens it; R, the square of its length, gives R^2 <- R^2 + 2 rate^2 g^2,
  and a step turns it by rate g / R. So R^2 is to the direction what G is to a parameter of
  adagrad: w = R, T = growth of R^2 / (2 rate^2), A = rate T / (R no_components). Directions are
  merged by the rule, and R^2 is the mean over the shards that have touched the row. (Added up it
  grows too long: shards that learn the same lengthen the row for the same reason.) Biases step at
  0.01 of the rate: w = 1, A = 0.01 rate T.
- sgd and adadelta otherwise: nothing adds up, so A is estimated from how far shards differ. Where
  the gradients' variance is the curvature, steps of length rate have spread a parameter, when a
  share of e^-A of its distance is left, to a variance of v = rate (1 - e^-2A) / 2. With w = 1 and v
  the variance of d_j between the k shards that have touched the row, a mean over its embedding and
  one for its bias, A_j = -log(1 - 2 v / rate) / 2 and A = k A_j. The rate of adadelta is the mean
  of sqrt(M + epsilon) / sqrt(G + epsilon). Its states are moving averages, so their mean is taken
  over these shards.

**WARP and k-OS.** Their gradients have weights of up to 10, and a squared weight makes more of the
curvature than it is. With adagrad every A is a quarter of that.

**Shared features.** Rows that score together, an item's and its tags', move together, and the
curvature along them is that of their sum: with adagrad every A is 16 times that of a row by itself,
4 times for WARP and k-OS, and otherwise v is taken 4 times, as measured on MovieLens 1M. The
softmax with sgd goes by the variance there, because with others to share the score the length of a
row is not the length of what is scored.

**What it costs in quality** is in docs/guide/scale.md; `benchmarks/dealt.py` measures it by this
module.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightfm_clone._model.losses import LOSSES

Sheet: TypeAlias = NDArray[np.float32]

# What the biases of the softmax step by, in the measure of its embeddings (`softmax.hpp`).
_BIAS_RATE = 0.01

# What is made of the curvature that adagrad's accumulators tell, by whether gradients have WARP's
# weights: for rows by themselves, and with shared features. What is made of variances then (above).
_CURVATURE = {False: (1.0, 16.0), True: (0.25, 1.0)}
_TOGETHER = 4

# At 1 an exponent would be infinite; with what is next to it, 8.3, the rule is as good as the mean.
_NEARLY_ONE = np.nextafter(np.float32(1), np.float32(0))

_TINY = np.float32(1e-30)  # stands for 0 where that would make 0 / 0

# Interactions of a shard. The softmax trains in blocks of 512, and shards merge between blocks.
# With four blocks in an epoch it loses; with 17 it does not.
_SMALL = 5000

# Numbers of a sheet that are worked on at once: 64 KB of each array. Dask's nannies set
# MALLOC_TRIM_THRESHOLD_, with which glibc maps anew whatever has 128 KB or more: temporary arrays
# of that size took three times as long as the arithmetic.
_BLOCK = 1 << 14


class Merging:
    """The rule for a model's settings.

    Parameters
    ----------
    settings : dict
        What `lightfm_clone._model.parameters.settings` returns.
    shared_features : bool, default False
        Whether users or items are sums of features, some of which several of them have.
    """

    def __init__(self, settings: dict[str, Any], *, shared_features: bool = False) -> None:
        rate = abs(float(settings["learning_rate"])) or float(_TINY)
        self._law: Any
        if settings["learning_schedule"] == "adagrad":
            of_loss = LOSSES[settings["loss"]]
            curvature = _CURVATURE[of_loss.searches_violations][shared_features]
            self._law = _Adagrad(rate * curvature)
        elif _turns(settings) and not shared_features:
            self._law = _Directions(rate)
        else:
            self._law = _Spread(settings, rate, _TOGETHER if shared_features else 1)

    def contribution(
        self, before: list[Sheet], after: list[Sheet], done: float = 0.0
    ) -> list[NDArray[np.float32]]:
        """What a shard adds for some rows.

        Parameters
        ----------
        before, after : list of float32 [n_rows, no_components + 1]
            The sheets of the rows before the slice, the same for all shards, and this shard's
            after it.
        done : float, default 0
            The share of the fit's epochs that is over in the middle of the slice, by which sgd's
            learning rate has fallen.

        Returns
        -------
        list of float32 arrays [n_rows, ...]
            To be added to those of the other shards. A row whose sheets are as before has zeros.
        """
        contribution: list[NDArray[np.float32]] = []
        for rows in _blocks(before[0]):
            old, new = [sheet[rows] for sheet in before], [sheet[rows] for sheet in after]
            touched = _differ(old, new)
            with np.errstate(all="ignore"):
                added = self._law.contribution(_only(old, touched), _only(new, touched), done)
            if not contribution:
                n = len(before[0])
                contribution = [np.empty((n, each.shape[1]), np.float32) for each in added]
            _write(added, contribution, rows, touched, itertools.repeat(0))
        return contribution

    def merge(
        self, before: list[Sheet], sums: list[NDArray[np.float32]], done: float = 0.0
    ) -> list[Sheet]:
        """The sheets of some rows after a merge, out of those before the slice and the sums.

        Rows whose sums are all zero stay as they are, bit for bit. The arguments are not changed.
        """
        merged = [np.empty_like(sheet) for sheet in before]
        for rows in _blocks(before[0]):
            old, added = [sheet[rows] for sheet in before], [each[rows] for each in sums]
            touched = _differ(added, [np.zeros((1, 1), np.float32)] * len(added))
            with np.errstate(all="ignore"):
                new = self._law.merge(_only(old, touched), _only(added, touched), done)
            _write(new, merged, rows, touched, old)
        return merged


def slices(
    settings: dict[str, Any], epoch: int, n_shards: int, *, shared_features: bool = False
) -> list[tuple[float, float]]:
    """The slices of an epoch, after each of which the shards are merged.

    Few merges lose where a slice is long in the measure of A (above). What a shard misses in a
    slice is what the others learn, so the fewer shards there are, the longer it may be. adagrad's
    accumulators grow with the examples, and its steps shrink with their roots. There A goes by how
    far the root of all examples so far grows in a slice, and slices are alike in that: the first
    epoch has most of them, and its first ones are short. Other schedules have as many in every
    epoch, of equal lengths.

    Parameters
    ----------
    settings : dict
        As for `Merging`.
    epoch : int
        The number of epochs that the model has been trained before this one.
    n_shards : int
    shared_features : bool
        As for `Merging`.

    Returns
    -------
    list of (float, float)
        Where each slice begins and ends, as shares of the epoch: from 0 to 1, without gaps. One
        at least. A shard with fewer blocks than that has empty slices.
    """
    power = 2 if settings["learning_schedule"] == "adagrad" else 1
    begin, end = epoch ** (1 / power), (epoch + 1) ** (1 / power)
    n = first_merges(settings, shared_features) * (1 - 1 / n_shards) * (end - begin)
    bounds = np.linspace(begin, end, max(math.ceil(n), 1) + 1) ** power - epoch
    bounds[[0, -1]] = 0, 1
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def first_merges(settings: dict[str, Any], shared_features: bool) -> int:
    """Merges of a model's first epoch on many shards, as measured (docs/guide/scale.md)."""
    if _turns(settings):
        # With shared features no state tells how far a slice has come.
        return 18 if shared_features else 4
    schedule = settings["learning_schedule"]
    if schedule == "adadelta" and not LOSSES[settings["loss"]].searches_violations:
        return 40  # with 8 bpr lost 3 % on 8 shards: steps stay long
    if shared_features and schedule == "adagrad" and settings["loss"] in ("mse", "logistic"):
        return 64  # with 24 mse diverged on 32 shards
    plain, with_features = {"adagrad": (12, 24), "adadelta": (8, 16), "sgd": (4, 8)}[schedule]
    return with_features if shared_features else plain


def of_a_shard(
    settings: dict[str, Any], n_shards: int, *, shared_users: bool = False
) -> dict[str, Any]:
    """The settings that a shard trains with.

    By LightFM's law an L2 shrinks all rows at every example. A shard's own rows see the examples of
    the shard alone, so each of these shrinks them for `n_shards`. Of rows that all shards have, the
    merge adds up what each has shrunk. With `shared_users` some rows of the user side are of this
    kind, and `user_alpha` stays as it is.
    """
    if shared_users or not settings["user_alpha"]:
        return settings
    return settings | {"user_alpha": settings["user_alpha"] * n_shards}


def advice(settings: dict[str, Any], n_examples: list[int]) -> str | None:
    """What a fit on shards is known to lose beside one on a single machine, if more than 1 %.

    Parameters
    ----------
    settings : dict
        As for `Merging`.
    n_examples : list of int
        Of each shard.
    """
    smallest = min(n_examples)
    if len(n_examples) == 1 or smallest >= _SMALL or not _turns(settings):
        return None
    return (
        f"training loss={settings['loss']!r} on shards of fewer than {_SMALL:,} interactions (here "
        f"{smallest:,}) was measured to lose up to 3 % of NDCG@10 beside one machine (on Last.fm, "
        "2,200 a shard); to avoid that, take fewer workers"
    )


def _turns(settings: dict[str, Any]) -> bool:
    """Whether steps turn embeddings, and lengthen them, by a rate that is the same for all."""
    of_loss = LOSSES[settings["loss"]]
    return settings["learning_schedule"] == "sgd" and of_loss.scores_directions


def _blocks(sheet: Sheet) -> list[slice]:
    """Rows that stay in the processor's cache together with what is made of them; one at least."""
    n, width = sheet.shape
    size = max(_BLOCK // width, 1)
    return [slice(at, at + size) for at in range(0, max(n, 1), size)]


def _differ(arrays: list[Any], others: list[Any]) -> Any:
    """The rows in which any array differs from its other."""
    first = arrays[0][:, 0] != others[0][:, 0]
    if first.all():  # as most often; to look at one column is much less than at all
        return first
    return functools.reduce(
        np.logical_or, [(x != y).any(axis=1) for x, y in zip(arrays, others, strict=True)]
    )


def _only(arrays: list[Any], rows: NDArray[np.bool_]) -> list[Any]:
    return arrays if rows.all() else [array[rows] for array in arrays]


def _write(
    new: list[Any], arrays: list[Any], rows: slice, touched: NDArray[np.bool_], rest: Iterable[Any]
) -> None:
    """Fill a block of rows: the touched ones with new values, the others with the rest."""
    are_all = touched.all()  # then without a mask, four times as fast
    for array, each, other in zip(arrays, new, rest, strict=False):
        array[rows] = each if are_all else other
        if not are_all:
            array[rows][touched] = each


# Arrays are worked on where they are, as far as it goes: what is freed, a thread other than the
# first gives back to the system, and waits for when it is wanted again.


def _f(exponent: Any) -> Any:
    """A / (1 - e^-A), which is 1 at 0; also where A is not a number, or negative by rounding."""
    return _f_of_half(exponent * np.float32(0.5))


def _f_of_half(half: Any) -> Any:
    """The same of A / 2, which is overwritten."""
    # h + h / tanh h, with h = A / 2: no digits are lost near 0, and it takes half as long.
    np.fmax(half, _TINY, out=half)
    found = np.tanh(half)
    np.divide(half, found, out=found)
    found += half
    return found


class _Adagrad:
    def __init__(self, rate: float) -> None:
        self._half_rate = np.float32(rate / 2)

    def _weights(self, gradients: Any, growth: Any) -> Any:
        root, half = np.sqrt(gradients), self._half_rate * growth
        half /= root
        weights = _f_of_half(half)
        weights *= root
        return weights

    def contribution(self, before: list[Sheet], after: list[Sheet], done: float) -> list[Any]:
        growth = after[1] - before[1]
        weighted = self._weights(after[1], growth)
        weighted *= after[0] - before[0]
        rests = np.isinf(after[1])
        if rests.any():
            growth[np.isinf(before[1])] = weighted[rests] = 0
        return [weighted, growth]

    def merge(self, before: list[Sheet], sums: list[Any], done: float) -> list[Any]:
        gradients = before[1] + sums[1]
        values = self._weights(gradients, sums[1])
        np.fmax(values, _TINY, out=values)
        np.divide(sums[0], values, out=values)
        values += before[0]
        return [values, gradients]


class _Directions:
    """The softmax with sgd, where each row is an embedding by itself."""

    def __init__(self, rate: float) -> None:
        self._rate = np.float32(rate)

    def _factors(self, squares: Any, growth: Any, size: int, done: float) -> tuple[Any, Any]:
        """What embeddings and biases are weighted by, [n_rows, 1]."""
        told = np.maximum(growth, 0) / (2 * _fallen(self._rate, done))
        return squares * _f(told / (squares * size)), _f(_BIAS_RATE * told)

    def contribution(self, before: list[Sheet], after: list[Sheet], done: float) -> list[Any]:
        (x, x_bias), (y, y_bias) = _parts(before[0]), _parts(after[0])
        x_squares, y_squares = _dot(x, x), _dot(y, y)
        growth = _growth(x, y)
        of_embeddings, of_biases = self._factors(y_squares, growth, x.shape[1], done)
        turned = y * _inverse_root(y_squares) - x * _inverse_root(x_squares)
        added = np.hstack([turned * of_embeddings, (y_bias - x_bias) * of_biases])
        return [added, growth, np.ones_like(growth)]

    def merge(self, before: list[Sheet], sums: list[Any], done: float) -> list[Any]:
        (x, x_bias), (turned, bias) = _parts(before[0]), _parts(sums[0])
        _, growth, n_touched = sums
        squares = _mean_squares(x, growth, n_touched)
        of_embeddings, of_biases = self._factors(squares, growth, x.shape[1], done)
        y = x * _inverse_root(_dot(x, x)) + np.where(squares > 0, turned / of_embeddings, 0)
        y = y * (np.sqrt(squares) * _inverse_root(_dot(y, y)))
        return [np.hstack([y, x_bias + bias / of_biases])]


def _growth(x: Any, y: Any) -> Any:
    """What the fourth powers of lengths have grown by, [n_rows, 1]."""
    # The difference of the powers would lose digits.
    return _dot(y - x, y + x) * (_dot(x, x) + _dot(y, y))


def _mean_squares(x: Any, growth: Any, n_touched: Any) -> Any:
    """The squared lengths whose squares are the means over those who have touched the rows."""
    return np.sqrt(np.maximum(np.square(_dot(x, x)) + growth / n_touched, 0))


def _dot(left: Any, right: Any) -> Any:
    """The product of each row with its other, [n_rows, 1]."""
    return np.einsum("ij,ij->i", left, right)[:, None]


def _inverse_root(squares: Any) -> Any:
    return np.where(squares > 0, 1 / np.sqrt(squares), 0)


class _Spread:
    """Schedules that remember nothing which adds up."""

    def __init__(self, settings: dict[str, Any], rate: float, together: int) -> None:
        self._twice = np.float32(2 * together)
        self._rates = rate, rate
        if LOSSES[settings["loss"]].scores_directions:
            self._rates = rate, _BIAS_RATE * rate
        self._epsilon = np.float32(settings["epsilon"])

    def contribution(self, before: list[Sheet], after: list[Sheet], done: float) -> list[Any]:
        moved = [new - old for old, new in zip(before, after, strict=True)]
        for state in moved[1:]:
            state[np.isnan(state)] = 0  # it was infinite and is so still
        squares = np.hstack([_mean(np.square(part)) for part in _parts(moved[0])])
        return [*moved, squares, np.ones_like(squares[:, :1])]

    def merge(self, before: list[Sheet], sums: list[Any], done: float) -> list[Any]:
        *moved, squares, n_touched = sums
        states = [x + d / n_touched for x, d in zip(before[1:], moved[1:], strict=True)]
        if states:
            gradients, momentum = states
            local = np.sqrt((momentum + self._epsilon) / (gradients + self._epsilon))
            rates = [_mean(part) for part in _parts(local)]
        else:
            rates = [_fallen(rate, done) for rate in self._rates]
        merged = []
        for at, (x, sum_of, rate) in enumerate(
            zip(_parts(before[0]), _parts(moved[0]), rates, strict=True)
        ):
            # The variance among those who have touched the row; 0 where that is one alone.
            about = squares[:, at : at + 1] - _mean(np.square(sum_of)) / n_touched
            variance = np.maximum(about, 0) / np.maximum(n_touched - 1, 1)
            variance[n_touched == 1] = 0
            arrived = np.minimum(self._twice * variance / rate, _NEARLY_ONE)
            exponent = np.log1p(-arrived) / -2
            merged.append(x + sum_of * (_f(exponent) / _f(n_touched * exponent)))
        return [np.hstack(merged), *states]


def _parts(sheet: Any) -> tuple[Any, Any]:
    """The embeddings and the biases, [n_rows, 1], of a sheet."""
    return sheet[:, :-1], sheet[:, -1:]


def _mean(rows: Any) -> Any:
    return rows.mean(axis=1, keepdims=True)


def _fallen(rate: Any, done: float) -> Any:
    """The rate of sgd, which ends at 0, at some time of a call; not quite 0."""
    return np.float32(rate * max(1 - done, 1e-3))
