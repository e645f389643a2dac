"""What the clock on the wall says: seconds since 1970 in a time zone."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

DAY = 86_400.0  # seconds
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def zone_of(name: Any) -> datetime.tzinfo | None:
    """The time zone of a name as "Europe/Berlin"; None is UTC.

    Raises
    ------
    ValueError
        If there is none of this name here.
    """
    if name is None:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except Exception as error:  # of many kinds, by what is wrong with the name
        raise ValueError(
            'timezone must be a name such as "Europe/Berlin" or None for UTC, got '
            f"{name!r}: {error}; where a system has no time zones, pip install tzdata brings them"
        ) from None


def local(times: npt.NDArray[np.float64], zone: datetime.tzinfo | None) -> npt.NDArray[np.float64]:
    """Times that read as UTC what clocks in the zone show, daylight saving included."""
    if zone is None or not len(times):
        return times
    begins: list[float] = []
    offsets: list[float] = []
    days = np.unique(np.floor(times / DAY))
    for day in days.tolist():
        begin = day * DAY
        before, after = _offset(begin, zone), _offset(begin + DAY, zone)
        begins.append(begin)
        offsets.append(before)
        if before != after:
            low, high = begin, begin + DAY  # the first second of the new offset is above low
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
            begins.append(high)
            offsets.append(after)
    at = np.searchsorted(np.array(begins), times, side="right") - 1
    moved: npt.NDArray[np.float64] = times + np.array(offsets)[at]
    return moved


def _offset(time: float, zone: datetime.tzinfo) -> float:
    """How many seconds the zone is ahead of UTC at a time."""
    try:
        moment = (_EPOCH + datetime.timedelta(seconds=time)).astimezone(zone)
    except OverflowError:  # beyond the years of datetime
        return 0.0
    offset = moment.utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def dates(times: npt.NDArray[np.float64]) -> npt.NDArray[np.datetime64]:
    """Seconds since 1970 as datetime64 of microseconds."""
    made: npt.NDArray[np.datetime64] = np.rint(times * 1e6).astype(np.int64).view("datetime64[us]")
    return made


def hours(times: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Hours of the day, 0 to 23."""
    return (np.floor(times / 3600) % 24).astype(np.uint8)


def weekdays(times: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Days of the week, 0 for Monday to 6."""
    return ((np.floor(times / DAY) + 3) % 7).astype(np.uint8)  # 1970 began on a Thursday
