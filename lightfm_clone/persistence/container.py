"""The file: a header of JSON and arrays, little-endian throughout.

The layout::

    8 bytes   signature, made so that transfers in text mode or of 7 bits damage it visibly
    uint32    version of the format
    uint32    CRC-32 of the header
    uint64    size of the header in bytes
    header    JSON in UTF-8, padded with spaces to a multiple of 64 from the start of the file
    arrays    in the header's order, each from the next multiple of 64 on

What a file claims is checked against its size before memory is taken for it.
"""

from __future__ import annotations

import math
import mmap as memory_map
import os
import stat
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lightfm_clone._version import __version__
from lightfm_clone.persistence.files import replace_when_whole
from lightfm_clone.persistence.plain import from_json, json_bytes
from lightfm_clone.typing import Path

Arrays = dict[str, npt.NDArray[Any]]
Header = dict[str, Any]

FORMAT_VERSION = 1
MAIN_FILE = "model.lfm"  # of a folder that `DaskLightFM.save` makes

_SIGNATURE = b"\x89LFM\r\n\x1a\n"
_PREAMBLE = struct.Struct("<8sIIQ")
_ALIGNMENT = 64  # a cache line, so that mapped arrays are as good as any others
_DTYPES = ("<f4", "<f8", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")


def write(path: Path, kind: str, header: Header, arrays: Arrays) -> None:
    """Write a file of the given header and arrays."""
    contents = [_bytes_of(np.ascontiguousarray(array)) for array in arrays.values()]
    entries = [
        {
            "name": name,
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "crc32": zlib.crc32(content),
        }
        for (name, array), content in zip(arrays.items(), contents, strict=True)
    ]
    header = {"kind": kind, "saved_by": f"lightfm_clone {__version__}", **header, "arrays": entries}
    text = json_bytes(header)
    text += b" " * (-(_PREAMBLE.size + len(text)) % _ALIGNMENT)
    with replace_when_whole(path) as file:
        file.write(_PREAMBLE.pack(_SIGNATURE, FORMAT_VERSION, zlib.crc32(text), len(text)))
        file.write(text)
        for content in contents:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            file.write(content)


def read(path: str, kind: str, *, mmap: bool = False) -> tuple[Header, Arrays]:
    """The header and the arrays of a file, read and verified, or mapped and not verified."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError("it is not a regular file")  # opening a pipe would wait for ever
    if os.path.exists(os.path.join(path, MAIN_FILE)):
        raise ValueError("it is a folder that holds a DaskLightFM; call DaskLightFM.load")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, end = _read_header(file, size)
        if header["kind"] != kind:
            raise ValueError(
                f"it holds a {header['kind']}, not a {kind}; call {header['kind']}.load"
            )

        # Where the arrays lie follows from their order, and all of it is checked before memory is
        # taken for any.
        places = []
        for entry in header["arrays"]:
            dtype, shape = entry["dtype"], entry["shape"]
            if dtype not in _DTYPES:
                raise ValueError(f"it claims an array of type {dtype!r}")
            if not 1 <= len(shape) <= 2 or not all(type(n) is int and 0 <= n for n in shape):
                raise ValueError(f"it claims an array of shape {shape!r}")
            begin = end + -end % _ALIGNMENT
            end = begin + math.prod(shape) * np.dtype(dtype).itemsize
            places.append((entry["name"], begin, dtype, shape, entry["crc32"]))
        if end != size:
            raise ValueError(
                f"it is {'truncated' if size < end else 'damaged'}: it should have {end} bytes, "
                f"but has {size}"
            )
        if len({name for name, *_ in places}) != len(places):
            raise ValueError("it claims an array twice")

        arrays: Arrays = {}
        if mmap:
            mapped = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
            for name, begin, dtype, shape, _ in places:
                arrays[name] = np.ndarray(shape, dtype, mapped, begin)
            return header, arrays
        for name, begin, dtype, shape, checksum in places:
            array = np.empty(shape, dtype)
            content = _bytes_of(array)
            file.seek(begin)
            if file.readinto(content) != len(content) or zlib.crc32(content) != checksum:
                raise ValueError(f"it is damaged: the checksum of {name} does not match")
            arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return header, arrays


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """What CRC-32 and files take, of empty arrays, too."""
    return array.reshape(-1).view(np.uint8).data


def _read_header(file: BinaryIO, size: int) -> tuple[Header, int]:
    """The header of an opened file of that size, and the position of its end."""
    preamble = file.read(_PREAMBLE.size)
    if preamble[: len(_SIGNATURE)] != _SIGNATURE:
        why = "it is not a file that a `save` of lightfm_clone wrote"
        if not preamble:
            why += "; it is empty"
        elif preamble[0] == 0x80:
            why += "; it looks like a pickle: if you trust its origin, use pickle.load"
        raise ValueError(why)
    if len(preamble) < _PREAMBLE.size:
        raise ValueError("it is truncated: it ends within its first bytes")
    _, version, checksum, header_size = _PREAMBLE.unpack(preamble)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"it has version {version} of the format, and lightfm_clone {__version__} reads up to "
            f"{FORMAT_VERSION}; upgrade lightfm_clone"
        )
    end = _PREAMBLE.size + header_size
    if end > size:
        raise ValueError(f"it is truncated: its header alone has {header_size} bytes, it {size}")
    text = file.read(header_size)
    if zlib.crc32(text) != checksum or not version:
        raise ValueError("it is damaged: the checksum of its header does not match")
    header: Header = from_json(text)
    return header, end


def part_of(arrays: Arrays, part: str) -> Arrays:
    """The arrays of a part, whose names begin with its own in a file of several parts."""
    start = f"{part}/"
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
