"""What loading a model and loading a dataset have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from lightfm_clone._version import __version__
from lightfm_clone.persistence.container import Arrays, Header, read
from lightfm_clone.persistence.files import as_string
from lightfm_clone.typing import Path

_T = TypeVar("_T")


def load(
    cls: type[_T],
    path: Path,
    kind: str,
    known: set[str],
    to_state: Callable[[Header, Arrays], dict[str, Any]],
    *,
    mmap: bool = False,
) -> _T:
    """An object of class `cls` from a file of that kind.

    `known` are the names that may be required, and `to_state` checks what the file holds and makes
    an object's state of it.
    """
    path = as_string(path)
    with name_in_errors(path):
        header, arrays = read(path, kind, mmap=mmap)
        return restore(cls, header, arrays, known, to_state)


def restore(
    cls: type[_T],
    header: Header,
    arrays: Arrays,
    known: set[str],
    to_state: Callable[[Header, Arrays], dict[str, Any]],
) -> _T:
    """An object of class `cls` from a header and arrays, which may be parts of a larger file."""
    _check_required(header, known, cls)
    state = to_state(header, arrays)
    # Made as unpickling makes an object: without the constructor.
    restored = cls.__new__(cls)
    if hasattr(restored, "__setstate__"):
        restored.__setstate__(state)
    else:
        restored.__dict__.update(state)
    return restored


def _check_required(header: Header, known: set[str], cls: type) -> None:
    """Refuse a file that cannot be understood without something unknown here."""
    unknown = [name for name in header["required"] if name not in known]
    if unknown:
        raise ValueError(
            f"it holds {unknown[0]!r}, which {cls.__name__} in lightfm_clone {__version__} does "
            f"not know; it was saved by {header['saved_by']} from a {header['class']}: load it "
            "with that class, or upgrade"
        )


@contextmanager
def name_in_errors(path: str) -> Iterator[None]:
    """Turn all that can be wrong with the contents of a file into a ValueError that names it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"cannot load {path!r}: {error}") from error
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"cannot load {path!r}: its header makes no sense ({type(error).__name__}: {error})"
        ) from error
