"""The state of a model: what it has learned, and the one list of what that is.

The state lives in plain attributes of the model, where users of LightFM read and assign it:

- `ARRAYS`: twelve arrays, six a side, a row for each feature of that side;
- `ATTRIBUTES`: what else a fit leaves behind.

Whoever clears, copies, saves or restores a model goes by these lists. Whoever reads rows of users
or items does it through `Rows`: one side of the model, under a feature matrix or without one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._model import advice
from lightfm_clone._model.losses import SCHEDULES
from lightfm_clone._model.parameters import loss_of
from lightfm_clone.typing import Floats, Representations

SIDES = ("item", "user")

# The arrays and their numbers of dimensions.
ARRAYS = {
    f"{side}_{name}": n_dimensions
    for side in SIDES
    for name, n_dimensions in (
        ("embeddings", 2),
        ("embedding_gradients", 2),
        ("embedding_momentum", 2),
        ("biases", 1),
        ("bias_gradients", 1),
        ("bias_momentum", 1),
    )
}


def clear(model: Any) -> None:
    """Forget all that has been learned."""
    for name in ARRAYS:
        setattr(model, name, None)
    for name, attribute in ATTRIBUTES.items():
        if attribute.is_learned:
            setattr(model, name, attribute.from_plain(attribute.default))


# ---- arrays --------------------------------------------------------------------------------------


def check_fitted(model: Any) -> None:
    """Check that there are parameters and that they fit each other; users may assign any."""
    items = model.item_embeddings
    if items is None:
        raise ValueError("the model is not fitted yet: call fit first")
    # Every request comes here, so the names are spelled out.
    of_sides = (
        ("item", items, model.item_biases),
        ("user", model.user_embeddings, model.user_biases),
    )
    width = _shape(items)[-1:]
    for side, embeddings, of_biases in of_sides:
        shape, biases = _shape(embeddings), _shape(of_biases)
        if len(shape) != 2 or shape[1:] != width or biases != shape[:1]:
            raise ValueError(
                f"{side}_embeddings must have shape [n_features, no_components], with the "
                f"no_components of item_embeddings, and {side}_biases [n_features]; got "
                f"{shape} and {biases}; assign all arrays, or call fit"
            )


def _shape(given: Any) -> tuple[int, ...]:
    # `np.shape` takes several times as long, and every request asks for four.
    return given.shape if type(given) is np.ndarray else np.shape(given)


def n_features(model: Any, side: str) -> int:
    return len(getattr(model, f"{side}_biases"))


def make_trainable(model: Any) -> None:
    """Check all twelve arrays; replace those that cannot be trained in place by copies."""
    check_fitted(model)
    for name in ARRAYS:
        side = name.split("_")[0]
        values = getattr(model, f"{side}_{'embeddings' if 'embedding' in name else 'biases'}")
        given = getattr(model, name)
        try:
            array = np.require(given, np.float32, ["C", "A", "W"])
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be an array of numbers: {error}") from error
        if array.shape != np.shape(values):
            raise ValueError(
                f"{name} must have shape {np.shape(values)}, as the values it belongs to, got "
                f"{array.shape}; assign all arrays, or call fit"
            )
        # States may overflow to infinity, under a strong L2 for one: that parameter then rests.
        if values is given and not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity; assign other values")
        setattr(model, name, array)


def with_states(
    model: Any, side: str, schedule: str
) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """Embeddings and biases of one side, each followed by the states the schedule uses."""
    embeddings, biases = names_with_states(side, schedule)
    return (
        [getattr(model, name) for name in embeddings],
        [getattr(model, name) for name in biases],
    )


def names_with_states(side: str, schedule: str) -> tuple[list[str], list[str]]:
    """The names of the arrays of `with_states`."""
    states = SCHEDULES[schedule]
    return (
        [f"{side}_embeddings", *(f"{side}_embedding_{state}" for state in states)],
        [f"{side}_biases", *(f"{side}_bias_{state}" for state in states)],
    )


def draw_rows(
    model: Any, n_user_features: int, n_item_features: int, random_state: np.random.RandomState
) -> Any:
    """A copy of the model whose arrays are so many fresh rows, and which has learned nothing else.

    Every row that is ever drawn comes from the model's `_initialize`, which subclasses override.
    """
    fresh = copy.copy(model)
    fresh.random_state = random_state
    fresh.history_ = []
    fresh._fitted_with = frozenset()
    fresh._initialize(model.item_embeddings.shape[1], n_item_features, n_user_features)
    for name in ARRAYS:
        array = np.asarray(getattr(fresh, name), np.float32)
        n = n_user_features if name.startswith("user") else n_item_features
        expected = (n, *np.shape(getattr(model, name))[1:])
        if array.shape != expected:
            raise ValueError(
                f"_initialize must draw the rows it is asked for, {name} of shape {expected}, "
                f"got {array.shape}; it is called for new rows alone, too"
            )
        setattr(fresh, name, array)
    return fresh


def grow(model: Any, n_user_features: int | None, n_item_features: int | None) -> None:
    """Append fresh rows, up to so many; see `LightFM.resize`."""
    make_trainable(model)
    n_new = {}
    for side, n in zip(SIDES, (n_item_features, n_user_features), strict=True):
        n_new[side] = checks.check_growth(n, f"n_{side}_features", n_features(model, side))
    if not any(n_new.values()):
        return
    model.random_state = checks.check_random_state(model.random_state)
    fresh = draw_rows(model, n_new["user"], n_new["item"], model.random_state)
    longer = {
        name: np.concatenate([getattr(model, name), getattr(fresh, name)])
        for name in ARRAYS
        if n_new[name.split("_")[0]]
    }
    model.__dict__.update(longer)


class Before:
    """A model as it was: its attributes and, for who writes to its arrays, what undoes that."""

    def __init__(self, model: Any) -> None:
        names = [*ARRAYS, *(name for name, attribute in ATTRIBUTES.items() if attribute.is_learned)]
        self._model = model
        self._attributes = {name: getattr(model, name) for name in names}
        self.undo: list[Callable[[], None]] = []

    def keep_contents(self) -> None:
        """Copy what the arrays hold."""
        for name in ARRAYS:
            values = self._attributes[name]
            # Arrays that were drawn or replaced since are forgotten with what they hold.
            if values is not None and values is getattr(self._model, name):
                self.undo.append(partial(np.copyto, values, values.copy()))

    def restore(self) -> None:
        self._model.__dict__.update(self._attributes)
        for undo in reversed(self.undo):
            undo()


@contextmanager
def restored_after_errors(model: Any) -> Iterator[Before]:
    """Put all back as it was when something is raised.

    An interrupt from the keyboard alone leaves what has been trained, if all arrays were there.
    """
    before = Before(model)
    try:
        yield before
    except BaseException as error:
        lacks_arrays = any(getattr(model, name) is None for name in ARRAYS)
        if lacks_arrays or not isinstance(error, KeyboardInterrupt):
            before.restore()
        raise


def keep(model: Any, into: Any = None) -> Any:
    """What has been learned by now, for `put_back`; written over what was kept before."""
    return model._keep(into) if hasattr(model, "_keep") else copies(model, into)


def put_back(model: Any, kept: Any) -> None:
    """Go back to what was kept."""
    if hasattr(model, "_put_back"):
        model._put_back(kept)
    else:  # in place, as others may hold the arrays
        for name, array in kept.items():
            np.copyto(getattr(model, name), array)


def copies(model: Any, into: dict[str, Any] | None) -> dict[str, Any]:
    """The arrays, copied, or written over earlier copies: never a third one of the model."""
    copied = into or {}
    for name in ARRAYS:
        if name in copied:
            np.copyto(copied[name], getattr(model, name))
        else:
            copied[name] = getattr(model, name).copy()
    return copied


# ---- items that have been seen ----


def seen_items(model: Any, n_items: int) -> np.ndarray[Any, Any]:
    """Which items the model remembers to have seen, as a new bool array [n_items or more]."""
    remembered = np.zeros(0, dtype=bool) if model._seen_items is None else model._seen_items
    return np.pad(remembered, (0, max(n_items - len(remembered), 0)))


# ---- rows of users and items ---------------------------------------------------------------------


def users_as_they_are(model: Any) -> Any:
    """What `Rows` reads of a fitted model's users, copied: nothing that becomes of the model
    changes it."""
    return SimpleNamespace(
        loss=model.loss,
        _fitted_with=frozenset(model._fitted_with),
        global_mean_=model.global_mean_,
        user_biases=np.array(model.user_biases, np.float32, order="C"),
        user_embeddings=np.array(model.user_embeddings, np.float32, order="C"),
    )


class Rows:
    """Users or items as a request names them: rows of a feature matrix, or single features.

    Parameters
    ----------
    model : LightFM
        Fitted.
    side : {"user", "item"}
    features : sparse matrix [n, n_features] or None
        None stands for the features themselves: row i is feature i.
    exact : bool
        Whether the matrix must have all columns of the fit; columns that are missing count as
        zero otherwise.
    without : {"refuse", "warn"}
        What to do about None where the model was fitted with a matrix, so that feature i is
        nobody's row. LightFM's own methods warn, the others refuse.

    Notes
    -----
    A request for a few rows of a large CSR matrix checks and reads these rows alone.
    """

    def __init__(
        self,
        model: Any,
        side: str,
        features: Any,
        *,
        exact: bool = False,
        without: str = "refuse",
    ) -> None:
        self.side = side
        self.biases = checks.contiguous(getattr(model, f"{side}_biases"), np.float32)
        self.embeddings = checks.contiguous(getattr(model, f"{side}_embeddings"), np.float32)
        self.matrix = features
        self._are_directions = loss_of(model).scores_directions
        self._matrix_is_checked = False
        fitted = len(self.biases)
        if features is None:
            self.n, self.noun = fitted, f"{side} features"
            if f"{side}_features" not in model._fitted_with:
                self.noun = f"{side}s of the fit"
            elif without == "warn":
                advice.features_are_missing(side)
            else:
                raise ValueError(
                    f"{side}_features must be given, because the model was fitted with them: its "
                    f"rows are {fitted} features, and not {side}s; pass the {side}_features of the "
                    "fit, or, to ask about the features themselves, the identity matrix "
                    f"scipy.sparse.identity({fitted}, format='csr')"
                )
            return
        checks.check_matrix(features, f"{side}_features")
        self.n, n_columns = features.shape
        self.noun = f"rows of {side}_features"
        if n_columns > fitted or (exact and n_columns != fitted):
            raise ValueError(
                f"{side}_features must have the {fitted} columns the model was fitted with, got "
                f"{n_columns}"
            )

    @property
    def are_at_hand(self) -> bool:
        """Whether the representations of all rows cost nothing."""
        return self.matrix is None and not self._are_directions

    def numbers(self, given: Any, name: str) -> np.ndarray[Any, Any]:
        """The row numbers an argument gives, int32 [n]."""
        numbers: np.ndarray[Any, Any] = checks.check_ids(given, name, self.n, self.noun, self.side)
        return numbers

    def check_n(self, n: int, argument: str) -> None:
        """Check that there is a row for each of the n users or items of an argument."""
        if self.n < n or (self.matrix is None and self.n != n):
            where = f"rows of {self.side}_features"
            if self.matrix is None:
                where = (
                    f"{self.side} features in the model; pass the {self.side}_features of the fit"
                )
            raise ValueError(f"{argument} have {n} {self.side}s, but there are {self.n} {where}")

    def sums(self, rows: np.ndarray[Any, Any] | None = None) -> Representations:
        """Biases [n] and embeddings [n, no_components] of these rows, or of all."""
        if self.matrix is None:
            if rows is None:
                return self.biases, self.embeddings
            return self.biases[rows], self.embeddings[rows]
        if rows is not None and getattr(self.matrix, "format", None) == "csr":
            return self._sums_of_csr(rows)
        csr = self._csr() if rows is None else self._csr()[rows]
        n_columns = csr.shape[1]  # features the model knows beyond those count as zero
        return csr @ self.biases[:n_columns], csr @ self.embeddings[:n_columns]

    def representations(self, rows: np.ndarray[Any, Any] | None = None) -> Representations:
        """Biases and embeddings whose inner product and biases make the score, as `sums`."""
        biases, embeddings = self.sums(rows)
        return biases, directions(embeddings) if self._are_directions else embeddings

    def rankable(self, rows: np.ndarray[Any, Any] | None = None) -> Representations:
        """The representations, if there is an order among what they score."""
        return checks.check_rankable(self.side, *self.representations(rows))

    def entries(self, row: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The features of one row, int [n], and their values, float64 [n]."""
        if self.matrix is None:
            return np.array([row]), np.ones(1)
        one = sp.csr_matrix(self._csr()[[row]])  # a copy, so it may be tidied up
        one.sum_duplicates()
        one.eliminate_zeros()
        return one.indices, one.data.astype(np.float64)

    def _csr(self) -> Any:
        """The matrix as CSR float32, all of it checked."""
        if not self._matrix_is_checked:
            self.matrix = checks.as_csr(self.matrix, f"{self.side}_features")
            self._matrix_is_checked = True
        return self.matrix

    def _sums_of_csr(self, rows: np.ndarray[Any, Any]) -> Representations:
        name, n_columns = f"{self.side}_features", self.matrix.shape[1]
        parts = checks.csr_rows(self.matrix, rows, name)
        sums: Representations = _core.sum_features(
            name, *parts, self.biases[:n_columns], self.embeddings[:n_columns]
        )
        return sums


def directions(vectors: Floats) -> Floats:
    """Vectors [n, d] divided by their lengths; a vector of zeros stays one."""
    # In double precision, where squares of small components do not vanish.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    norms[norms == 0] = 1
    out = np.empty_like(vectors)
    np.divide(vectors, norms[:, None], out=out, casting="same_kind")
    return out


# ---- attributes ----------------------------------------------------------------------------------


class Attribute(NamedTuple):
    """What a model holds besides its parameters and arrays."""

    default: Any  # plain; stands in where the model, or the file, is older than the attribute
    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]  # raises ValueError for what cannot be
    is_learned: bool = True  # in a fit; otherwise it comes from the constructor


def _seed(value: Any) -> Any:
    # A RandomState or a Generator has moved on since; the random state itself is saved apart.
    return value if value is None or isinstance(value, int | np.integer) else None


def _names_of_features(value: Any) -> frozenset[str]:
    names = frozenset(value)
    if not names <= {"item_features", "user_features"}:
        raise ValueError(f"no model is fitted with {value!r}")
    return names


def _history(value: Any) -> list[dict[str, Any]]:
    if type(value) is not list or not all(type(record) is dict for record in value):
        raise ValueError("history_ must be a list of dicts")
    return list(value)


def _bits(value: Any) -> Any:
    return value if value is None else {"n": len(value), "bits": np.packbits(value).tobytes()}


def _bools(value: Any) -> np.ndarray[Any, Any] | None:
    """The bool array of `_bits`."""
    if value is None:
        return None
    holds = type(value) is dict and type(value.get("n")) is int and type(value.get("bits")) is bytes
    if not holds or value["n"] < 0 or len(value["bits"]) != (value["n"] + 7) // 8:
        raise ValueError("what items the model has seen must be so many bits")
    return np.unpackbits(np.frombuffer(value["bits"], np.uint8), count=value["n"]).astype(bool)


def _finite(value: Any) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite float")
    return value


# A new attribute of the model is a line here; files and pickles that lack it get the default.
ATTRIBUTES = {
    # Names of the feature matrices the arrays were fitted with.
    "_fitted_with": Attribute([], sorted, _names_of_features),
    "history_": Attribute([], list, _history),
    "global_mean_": Attribute(0.0, float, _finite),
    # bool [n_items], by row: which have had a stored entry in fits under negatives="seen"; shorter
    # than the items where these have grown. None is not known, as after fits under "all".
    "_seen_items": Attribute(None, _bits, _bools),
    "initial_random_state": Attribute(None, _seed, _seed, is_learned=False),
}
