"""Ids to numbers and back: what is an id, which number it gets, what to do about an unknown one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import chain, count, islice
from numbers import Number
from operator import ne
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone import _core
from lightfm_clone._tables import is_missing
from lightfm_clone._warn import warn
from lightfm_clone.data import columns, dense
from lightfm_clone.data.dense import BLOCK
from lightfm_clone.data.rows import lists_of, shown

# Ids in bulk: as a 1-D array, or one by one.
Ids: TypeAlias = npt.NDArray[Any] | list[Hashable]

# What an id is called in messages, by the argument of `fit_partial` that makes it known.
NOUNS = {
    "users": "user id",
    "items": "item id",
    "user_features": "user feature",
    "item_features": "item feature",
}

# Nothing of these types is a missing value.
_WHOLE = {str, bytes, int, bool, tuple, np.str_}

# Nothing of these types equals a number.
_NO_NUMBERS = {str, bytes, tuple, np.str_}


def plain(values: Any) -> Any:
    """The values as a 1-D array if possible, else as a list or an iterable of the same values.

    "The same" is meant as a dictionary compares them: an array's `tolist` will do, except for
    dates, which it turns into numbers.
    """
    if columns.split(values) is not None:
        raise TypeError("a table iterates over the names of its columns; pass one column of it")
    if isinstance(values, np.ma.MaskedArray):
        return values.tolist()  # None where it is masked
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "to_numpy") and isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        return values if values.ndim == 1 and values.dtype.kind in "biufcUSO" else list(values)
    # As pandas, polars and pyarrow call it.
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            return getattr(values, method)()
    return values


# ---- new ids -------------------------------------------------------------------------------------


def distinct(ids: Iterable[Hashable] | None, argument: str) -> dict[Hashable, int]:
    """The ids by first appearance, each with its place; ``argument`` is what they were given as."""
    places: dict[Hashable, int] = {}
    if ids is None:
        return places
    if isinstance(ids, str | bytes):
        raise TypeError(
            f"{argument} must be a one-dimensional iterable of hashable values, got the text "
            f"{shown(ids)}, which would be taken letter by letter; pass a list: [{shown(ids)}]"
        )
    try:
        given = _thinned(ids)
        iter(given)
    except TypeError as error:
        raise TypeError(_no_ids(argument, ids, str(error))) from error
    numbers = _core.Numbers(places)
    n_missing = n_none = 0
    for block in [given] if type(given) is list else lists_of(given, BLOCK):
        n_before = len(places)
        try:
            numbers.add(block)
        except TypeError as error:
            raise TypeError(_no_ids(argument, ids, str(error), block)) from error
        # Looking at what is new spares looking at all, until something missing is among it.
        if n_missing or n_none or _hold_missing(places, len(places) - n_before):
            missing = sum(map(is_missing, block))
            none = sum(value is None for value in block)
            n_missing, n_none = n_missing + missing - none, n_none + none
    if n_missing:
        raise ValueError(
            f"{argument} must not hold missing values (NaN, NaT, NA), got "
            f"{n_missing + n_none} of them; drop them, with dropna() in pandas, or put "
            "something in their place, with fillna('unknown') for instance"
        )
    if n_none:
        warn(
            f"{argument} hold None {n_none} times, and all of them become one "
            f"{NOUNS[argument]}; drop them if they stand for missing values"
        )
    return places


def numbered(ids: Iterable[Hashable], known: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """The numbers of those that are not known yet, from the number of known ones on."""
    return dict(zip((value for value in ids if value not in known), count(len(known))))


def _hold_missing(places: dict[Hashable, int], n: int) -> bool:
    """Whether a missing value is among the last ``n`` ids; mostly their types tell."""

    def latest() -> Iterator[Hashable]:
        return islice(reversed(places), n)

    kinds = set(map(type, latest())) - _WHOLE
    if kinds <= {float}:
        return bool(kinds) and any(map(ne, latest(), latest()))
    return any(map(is_missing, latest()))


def _no_ids(argument: str, given: Any, why: str, block: Iterable[Any] = ()) -> str:
    """What is wrong with an argument that is no iterable of hashable values."""
    message = (
        f"{argument} must be a one-dimensional iterable of hashable values, got "
        f"{type(given).__name__}: {why}"
    )
    bad = next((value for value in block if not is_hashable(value)), None)
    if bad is None:
        return message
    advice = "pass the ids alone"
    if isinstance(bad, np.ndarray):
        advice = "pass one column, array[:, 0] for instance, or array.ravel()"
    elif isinstance(bad, Mapping):
        advice = "pass the values of one key, [row[key] for row in rows]"
    elif argument.endswith("features"):
        advice = "pass the names alone; itertools.chain.from_iterable flattens lists of lists"
        if isinstance(bad, tuple):
            advice = f"pass the names alone; (id, [names]) are for build_{argument}"
    return f"{message} ({shown(bad)}); {advice}"


def is_hashable(value: Any) -> bool:
    """Whether the value can be an id."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _thinned(ids: Iterable[Hashable]) -> Iterable[Hashable]:
    """The ids in their order, without most of the repetitions where that is cheap."""
    ids = plain(ids)
    if not isinstance(ids, np.ndarray):
        return ids
    span = dense.span_of(ids)
    if span is None:
        values: list[Hashable] = ids.tolist()
        return values
    seen = np.zeros(len(span), dtype=bool)

    def unseen() -> Iterator[list[Hashable]]:
        for start, offsets in dense.offset_blocks(ids, span):
            new = np.flatnonzero(~seen.take(offsets))
            if len(new):
                seen[offsets[new]] = True
                yield ids[start + new].tolist()

    return chain.from_iterable(unseen())


# ---- names of features ---------------------------------------------------------------------------


def distinct_names(
    names: Iterable[Hashable] | None, known: Mapping[Hashable, int], argument: str
) -> dict[Hashable, int]:
    """The names of features by first appearance, each with its place.

    Warns about numbers that are listed again: two columns of numbers may have met there.
    """
    if names is None or isinstance(names, str | bytes):
        return distinct(names, argument)
    if isinstance(names, Iterator):
        names = list(names)  # they are gone through again where numbers are among them
    places = distinct(names, argument)
    unusual = [name for name in _numbers_among(places) if not is_missing(name)]
    if unusual:
        again = next((name for name in unusual if name in known), None)
        if again is None:
            times = Counter(filter(_is_number, plain(names)))
            again = next((name for name, n in times.items() if n > 1), None)
        if again is not None:
            warn(
                f"{argument} name the number {again!r} more than once: numbers of two columns that "
                "are equal, as 1, 1.0 and True are, become one feature and share an embedding; "
                f"put the column in front, as in 'age:{again}', or list each number once"
            )
    return places


def warn_of_rows_as_names(
    places: Iterable[Hashable], ids: Iterable[Mapping[Hashable, int]], argument: str
) -> None:
    """Warn of (id, (names ...)), which may be a name as it is hashable, but hardly is meant so."""
    names = list(places)
    for name in names if tuple in set(map(type, names)) else ():
        if (
            type(name) is tuple
            and len(name) == 2
            and isinstance(name[1], tuple | frozenset)
            and any(name[0] in mapping for mapping in ids)
        ):
            warn(
                f"{argument} must be the names of features alone, and take {shown(name)} for one; "
                f"pass the names, and (id, names) to build_{argument}"
            )
            return


def warn_of_shared(shared: list[Hashable], argument: str) -> None:
    """Warn of ids that are names of features as well, if there are any."""
    if shared:
        side = argument.split("_")[0]
        warn(
            f"{len(shared)} of the {argument} are {side} ids as well, among them {shared[0]!r}: "
            f"the feature and the {side}'s own feature are one and share an embedding; give the "
            f"names of features a prefix, as in 'age:{shared[0]}', or turn off "
            f"{side}_identity_features"
        )


def warn_of_repeated(bags: Iterable[Any], argument: str) -> bool:
    """Warn of numbers that one list of names holds twice, the values of two columns perhaps.

    Returns whether it did.
    """
    for bag in bags:
        if isinstance(bag, list | tuple) and len(set(bag)) < len(bag):
            again = next((n for n, k in Counter(filter(_is_number, bag)).items() if k > 1), None)
            if again is not None:
                warn(
                    f"data name the {NOUNS[argument]} {again!r} twice in {shown(bag)}, which makes "
                    "one feature of weight 2; if they are of two columns, give the names of "
                    f"features a prefix, as in 'age:{again}'"
                )
                return True
    return False


def has_numbers(names: Iterable[Hashable]) -> bool:
    """Whether numbers are among the names."""
    return bool(_numbers_among(names))


def _numbers_among(names: Iterable[Hashable]) -> list[Hashable]:
    names = list(names)
    return [] if set(map(type, names)) <= _NO_NUMBERS else [*filter(_is_number, names)]


def _is_number(value: Any) -> bool:
    return isinstance(value, Number | np.bool_)


# ---- known ids -----------------------------------------------------------------------------------


def numbers_of(
    ids: Ids,
    numbers: _core.Numbers,
    argument: str,
    given: str = "data",
    advice: Callable[[Hashable], str] = lambda unknown: "",
) -> npt.NDArray[np.int32]:
    """The numbers of the ids in the mapping that ``argument`` of `fit_partial` feeds.

    ``given`` is what the caller knows the ids as, ``advice`` what else can be said of one that is
    unknown.
    """
    if isinstance(ids, np.ndarray):
        span = dense.span_of(ids)
        if span is None:
            return numbers_of(ids.tolist(), numbers, argument, given, advice)
        found = np.empty(len(ids), dtype=np.int32)
        table = np.full(len(span), -1, dtype=np.int32)
        for start, offsets in dense.offset_blocks(ids, span):
            new = offsets[table.take(offsets) < 0]
            if len(new):
                some = (new + span.start).tolist()
                table[new] = numbers_of(some, numbers, argument, given, advice)
            found[start : start + len(offsets)] = table.take(offsets)
        return found

    try:
        return numbers.of(ids)
    except KeyError as error:
        (unknown,) = error.args
        n_missing = sum(map(is_missing, ids)) if is_missing(unknown) else 0
        said = "" if n_missing else advice(unknown)
        raise unknown_error(unknown, numbers.mapping, argument, given, said, n_missing) from None
    except TypeError as error:
        bad: object = next((value for value in ids if not is_hashable(value)), None)
        what = ""
        if isinstance(bad, dict) and argument.endswith("features"):
            what = f"; pass the dict itself in place of a list, (id, {shown(bad)})"
        raise TypeError(f"a {NOUNS[argument]} in {given} is not hashable: {error}{what}") from error


def unknown_error(
    unknown: Hashable,
    mapping: Mapping[Hashable, int],
    argument: str,
    given: str,
    advice: str = "",
    n_missing: int = 1,
) -> ValueError:
    """What is raised for an id that the mapping does not know.

    ``advice`` goes ahead of the usual one; ``n_missing`` counts missing values if it is one.
    """
    if is_missing(unknown):
        return ValueError(
            f"{given} must not hold missing values where names or ids belong, got {n_missing} of "
            f"them instead of a {NOUNS[argument]}, the first {unknown!r}; drop them, with dropna() "
            "in pandas, or put something in their place that the dataset knows as well"
        )
    twin = twin_of(unknown, mapping)
    if twin is not None:
        advice = (
            f"it knows {twin!r} of type {type(twin).__name__}, not {type(unknown).__name__}: "
            f"convert {given} or what fit was given, with {type(twin).__name__}() or astype()"
        )
    remedy = f"make it known with fit_partial({argument}=[{unknown!r}])"
    if argument in ("users", "items") and given == "data":
        remedy += f", or build its row with {argument[:-1]}_feature_rows if it is to stay unknown"
    return ValueError(
        f"{given} holds the {NOUNS[argument]} {unknown!r}, which this dataset does not know; "
        + (f"{advice}; if that is not it, {remedy}" if advice else remedy)
    )


def twin_of(unknown: Hashable, mapping: Mapping[Hashable, int]) -> Hashable | None:
    """A known id that reads like the unknown one, but is of another type."""
    twins: list[Hashable] = []
    text = unknown
    if isinstance(unknown, bytes):
        text = unknown.decode("utf-8", "replace")
        twins.append(text)
    if isinstance(text, str):
        twins.append(text.encode("utf-8", "replace"))
        for number in (int, float):
            try:
                twins.append(number(text))
            except (ValueError, OverflowError):
                pass
    else:
        twins.append(str(text))
    for value in [*twins, unknown]:
        if isinstance(value, float) and value.is_integer():
            twins.append(str(int(value)))
    return next((twin for twin in twins if twin in mapping), None)


def own_ids(numbers: Any, mapping: Mapping[Hashable, int], argument: str) -> Any:
    """The caller's ids of these row numbers, in their shape; None for -1."""
    ids = np.asarray(numbers)
    if ids.dtype.kind not in "iu" and ids.size:
        raise TypeError(
            f"ids must be integers, row numbers of {argument}, got {ids.dtype}; your own ids "
            f"become row numbers with {argument}_to_ids"
        )
    wrong = ids[(ids < -1) | (ids >= len(mapping))]
    if wrong.size:
        raise ValueError(
            f"ids must be row numbers of the {len(mapping)} {argument} that this dataset "
            f"knows, or -1, got {wrong[0]}"
        )
    # One place more than there are ids, which is where -1 leads.
    own = np.full(len(mapping) + 1, None, dtype=object)
    places = np.fromiter(mapping.values(), np.intp, len(mapping))
    own[places] = np.fromiter(mapping, object, len(mapping))
    return own[ids.astype(np.intp)]


def id_of(number: int, mapping: Mapping[Hashable, int]) -> Hashable:
    """The id with this number."""
    return next(value for value, its_number in mapping.items() if its_number == number)
