"""From features of users or items to the rows of their CSR matrices."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable, Iterable, Mapping
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _core
from lightfm_clone._tables import is_missing
from lightfm_clone.data import columns, numbering, tables
from lightfm_clone.data import rows as row_reading
from lightfm_clone.data.dense import BLOCK
from lightfm_clone.data.rows import Entries, shown


class Side(NamedTuple):
    """What a dataset knows of its users, or of its items."""

    name: str  # "user" or "item"
    ids: dict[Hashable, int]
    features: dict[Hashable, int]
    identity: bool  # whether each id is a feature, too


def of_rows(data: Any, side: Side, normalize: bool) -> sp.csr_matrix:
    """The float32 matrix of the features in rows; see `Dataset.build_user_features`."""
    blocks = [_identity(side)] if side.identity else []
    numbers, name_numbers = _core.Numbers(side.ids), _core.Numbers(side.features)
    expected = f"({side.name} id, [feature names]) or ({side.name} id, {{feature name: weight}})"
    doubtful = numbering.has_numbers(islice(side.features, len(side.ids), None))
    for start, rows in row_reading.blocks(_rows_of(data, side, expected), BLOCK):
        row_reading.check(rows, start, {2}, expected)
        owners = [owner for owner, _ in rows]
        bags = [bag for _, bag in rows]
        kinds = set(map(type, bags))
        if not kinds <= {dict, list, tuple}:
            row_reading.refuse_records(rows, start, expected)
            bags = [_bag(bag, f"of {owner!r} ", side.name) for owner, bag in rows]
            kinds = set(map(type, bags))
        sizes = np.fromiter(map(len, bags), np.intp, len(bags))
        row = np.repeat(numbering.numbers_of(owners, numbers, f"{side.name}s"), sizes)
        names = list(chain.from_iterable(bags))
        weights: npt.NDArray[np.float32]
        col = numbering.numbers_of(names, name_numbers, f"{side.name}_features")
        if doubtful:
            doubtful = not numbering.warn_of_repeated(bags, f"{side.name}_features")
        if dict in kinds:
            weighed = (bag.values() if type(bag) is dict else repeat(1.0, len(bag)) for bag in bags)
            weights = row_reading.weights_of(list(chain.from_iterable(weighed)))
        else:
            weights = np.ones(len(col), np.float32)
        blocks.append(Entries(row, col, weights))

    matrix = _summed(blocks, side)
    if normalize:
        sizes = np.diff(matrix.indptr)
        _refuse_bare(sizes, side)
        norms = np.add.reduceat(np.abs(matrix.data), matrix.indptr[:-1], dtype=np.float64)
        if not np.isfinite(norms).all():
            own = numbering.id_of(int(np.argmin(np.isfinite(norms))), side.ids)
            raise ValueError(
                f"a row that holds NaN or infinity cannot be normalised: look at the weights of "
                f"the features of {side.name} {own!r}, and leave out those that are missing"
            )
        norms[norms == 0] = 1
        matrix.data /= np.repeat(norms.astype(np.float32), sizes)
    return matrix


def of_table(given: tables.Features, side: Side, normalize: bool) -> sp.csr_matrix:
    """The float32 matrix of the features in a table; see `Dataset.from_frame`."""
    owners = numbering.numbers_of(given.ids.values, _core.Numbers(side.ids), f"{side.name}s")
    owners = owners[given.ids.codes]
    repeated = np.bincount(owners, minlength=1).argmax()
    if np.sum(owners == repeated) > 1:
        raise ValueError(
            f"{side.name}_features must have one row for each {side.name}, got "
            f"{np.sum(owners == repeated)} for {numbering.id_of(int(repeated), side.ids)!r}; drop "
            "duplicates, or gather tags into lists"
        )
    row, value = owners[given.row], given.value
    blocks = [_identity(side)] if side.identity else []
    if normalize:
        sizes = np.bincount(row, minlength=len(side.ids)) + (1 if side.identity else 0)
        _refuse_bare(sizes, side)
        shares: npt.NDArray[np.float32] = np.float32(1) / sizes.astype(np.float32)
        value = value * shares[row]
        blocks = [Entries(row, col, ones * shares[row]) for row, col, ones in blocks]
    names = numbering.numbers_of(
        list(given.names), _core.Numbers(side.features), f"{side.name}_features"
    )
    return _summed([*blocks, Entries(row, names[given.col], value)], side)


def of_strangers(data: Any, side: Side, normalize: bool, unknown: str) -> sp.csr_matrix:
    """Rows for users or items without a number; see `Dataset.user_feature_rows`."""
    if unknown not in ("error", "skip"):
        raise ValueError(f"unknown must be 'error' or 'skip', got {unknown!r}")
    if columns.split(data) is not None:
        raise TypeError(
            f"data must be an iterable of the features of each {side.name}, got a table; make the "
            "names that from_frame makes of its columns, such as 'town:Oslo', and pass lists"
        )
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise TypeError(
            f"data must be an iterable of the features of each {side.name}, got {shown(data)}; "
            "a single one's go into a list: [[name, ...]] or [{name: weight, ...}]"
        )
    # One by one, as there mostly is one: no array is as fast.
    indptr, indices, values = [0], array("i"), array("d")
    for position, given in enumerate(data):
        bag = given
        if type(bag) not in (dict, list, tuple):
            bag = _bag(bag, f"at position {position} ", side.name)
        if type(bag) is dict:
            try:
                weights: Iterable[float] = array("d", bag.values())
            except (TypeError, OverflowError):
                weights = row_reading.weights_of(list(bag.values())).tolist()
        else:
            weights = repeat(1.0)
        row: dict[int, float] = {}
        for name, weight in zip(bag, weights, strict=False):
            try:
                col = side.features.get(name)
            except TypeError as error:
                raise TypeError(
                    f"a {side.name} feature in data is not hashable: {error}; the features of one "
                    f"{side.name} are a list of names or a dict, without an id, got {shown(given)}"
                ) from error
            if col is not None:
                row[col] = row.get(col, 0.0) + weight
            elif unknown == "error":
                raise numbering.unknown_error(
                    name,
                    side.features,
                    f"{side.name}_features",
                    "data",
                    "pass unknown='skip' to leave such names out",
                )
        norm = math.fsum(map(abs, row.values())) if normalize else 0.0
        indices.extend(sorted(row))
        values.extend(row[col] / (norm or 1.0) for col in sorted(row))
        indptr.append(len(indices))
    with np.errstate(over="ignore"):
        data_of_matrix = np.array(values, dtype=np.float32)
    if not np.isfinite(data_of_matrix).all():
        raise ValueError(
            "the weights in data must be finite numbers that fit 32 bits, got NaN or infinity; "
            "leave out what is missing"
        )
    return sp.csr_matrix(
        (data_of_matrix, np.array(indices, np.int32), np.array(indptr, np.int32)),
        shape=(len(indptr) - 1, len(side.features)),
    )


def _rows_of(data: Any, side: Side, expected: str) -> Any:
    """The rows that data hold, which may be a table."""
    if isinstance(data, Mapping):
        raise TypeError(
            "data must be an iterable of pairs, got a mapping; pass its .items() if its keys are "
            f"{side.name} ids, zip(*data.values()) if its values are columns"
        )
    row_reading.refuse_unreadable(data)
    split = columns.split(data)
    if split is None:
        return data
    names, parts = split
    if len(parts) != 2:
        raise ValueError(
            f"data must have the columns {expected}, got the table with the columns "
            f"{', '.join(map(repr, names)) or 'none'}; Dataset.from_frame(..., "
            f"{side.name}_features=table) makes features of all columns of a table"
        )
    ids, bags = map(numbering.plain, parts)
    return zip(ids.tolist() if isinstance(ids, np.ndarray) else ids, bags, strict=True)


def _bag(features: Any, whose: str, side: str) -> list[Any] | dict[Any, Any]:
    """The features of one user or item as a list or a dict."""
    if isinstance(features, Mapping):
        return dict(features)
    advice = "leave the row out, or pass an empty list"
    if isinstance(features, str | bytes):
        advice = f"a text would be taken letter by letter, so pass [{shown(features)}]"
    elif columns.split(features) is not None:
        advice = "pass one column of the table"
    elif isinstance(features, Iterable):
        return list(features)
    elif not is_missing(features):
        advice = f"pass [name] or {{name: {shown(features)}}}"
    raise TypeError(
        f"the features {whose}must be a list of names or a dict of weights, got {shown(features)}; "
        f"{advice} (Dataset.from_frame(..., {side}_features=table) makes features of the columns "
        "of a table)"
    )


def _identity(side: Side) -> Entries:
    """Entries of 1 for the identity feature of each id."""
    own = list(side.ids)
    # The ids lead the features, in the same order, unless some were added later.
    if own == list(islice(side.features, len(own))):
        col = np.fromiter(side.features.values(), np.int32, len(own))
    else:
        col = numbering.numbers_of(own, _core.Numbers(side.features), f"{side.name}_features")
    row = np.fromiter(side.ids.values(), np.int32, len(own))
    return Entries(row, col, np.ones(len(own), dtype=np.float32))


def _summed(blocks: list[Entries], side: Side) -> sp.csr_matrix:
    """The matrix of all entries, repeated ones added up, its rows sorted."""
    row, col, weights = row_reading.joined(blocks)
    matrix = sp.coo_matrix((weights, (row, col)), shape=(len(side.ids), len(side.features)))
    # The way over CSC does all of it, faster than sorting.
    return matrix.tocsc().tocsr()


def _refuse_bare(sizes: npt.NDArray[Any], side: Side) -> None:
    """Refuse users or items without features, given how many each has."""
    if not sizes.all():
        own = numbering.id_of(int(np.argmin(sizes)), side.ids)
        raise ValueError(
            f"rows without features cannot be normalised: {np.sum(sizes == 0)} of "
            f"{len(side.ids)} {side.name}s have none, among them {own!r}; list features of every "
            f"{side.name}, turn on {side.name}_identity_features, pass normalize=False, or build "
            f"the rows that you need with {side.name}_feature_rows"
        )
