"""Half-lives, how long it takes until what happened counts half, and other spans of time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import is_real

Span: TypeAlias = str | timedelta | np.timedelta64
HalfLife: TypeAlias = Span | float

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_TOO_LATE = 1e11  # seconds; as milliseconds, this is 1973
_TEXT = re.compile(rf"\s*(\d+\.?\d*|\.\d+)\s*({'|'.join(_SECONDS)})\s*")


def half_life_seconds(given: HalfLife) -> float:
    """A half-life in seconds.

    Parameters
    ----------
    given : str, number, timedelta or numpy.timedelta64
        A number with a unit, such as "30d", "12h", "90min", "45s" or "2w"; or a number of days.

    Raises
    ------
    ValueError
        If it is none of these, or not above 0.
    """
    seconds = _span(given)
    is_number = is_real(given) and not isinstance(given, bool | np.bool_ | np.timedelta64)
    if is_number:
        seconds = float(given) * _SECONDS["d"]  # type: ignore[arg-type]
    if not 0 < seconds < np.inf:
        raise ValueError(
            'half_life must be a time above 0, such as "30d", "12h", a number of days or a '
            f"datetime.timedelta, got {given!r}; None lets all count the same, however old"
        )
    return seconds


def span_seconds(given: Span, name: str) -> float:
    """A span of time in seconds, which may be 0.

    Parameters
    ----------
    given : str, timedelta or numpy.timedelta64
        A number with a unit as of a half-life; a number alone could mean anything.
    name : str
        For messages.

    Raises
    ------
    ValueError
        If it is none of these, or below 0.
    """
    seconds = _span(given)
    if not 0 <= seconds < np.inf:
        raise ValueError(
            f'{name} must be a span of time, such as "30min", "45s", "2h" or a datetime.timedelta, '
            f"got {given!r}"
        )
    return seconds


def _span(given: Any) -> float:
    """The seconds of a text or a timedelta, NaN of anything else."""
    if isinstance(given, str):
        if parts := _TEXT.fullmatch(given):
            return float(parts[1]) * _SECONDS[parts[2]]
    elif isinstance(given, timedelta):
        return given.total_seconds()
    elif isinstance(given, np.timedelta64):
        # Years and months have no length of their own, and NaT has none at all.
        if np.datetime_data(given)[0] not in ("Y", "M", "generic") and not np.isnat(given):
            return float(given / np.timedelta64(1, "s"))
    return np.nan


def seconds(times: Any, name: str, n: int) -> npt.NDArray[np.float64]:
    """Times as seconds since 1970, float64 [n]; `n` is the number of interactions.

    Raises
    ------
    ValueError
        If they are not n numbers or dates, if some are missing, or if they cannot be seconds.
    """
    array = np.asarray(times)
    if array.ndim != 1 or len(array) != n:
        raise ValueError(
            f"{name} must have one time for each of the {n} stored entries of interactions, in "
            f"their order, got shape {array.shape}"
        )
    if array.dtype.kind == "M":
        array = (array - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    elif array.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} must be numbers of seconds or datetime64, got {array.dtype}; "
            "numpy.array(times, dtype='datetime64[s]') makes them of dates and of ISO texts"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be there for all entries, got NaN, NaT or infinity; leave such "
            "interactions out"
        )
    if np.abs(array).max(initial=0.0) >= _TOO_LATE:
        raise ValueError(
            f"{name} must be in seconds, got {array.max():.0f}, which is beyond the year 5000; "
            "divide milliseconds by 1000, or pass datetime64"
        )
    return array
