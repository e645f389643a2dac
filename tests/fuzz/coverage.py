"""Coverage-guided fuzzing of the load path, the ids and the matrices, with Atheris.

``pip install atheris``, then ``python -m fuzz.coverage files -runs=100000`` in the folder `tests`;
libFuzzer's options follow the target's name. Besides the targets of `targets.py` there is ``raw``:
the bytes as a file, behind a preamble with the right checksum if there is none.
"""

from __future__ import annotations

import resource
import struct
import sys
import warnings
import zlib
from typing import Any

import atheris

with atheris.instrument_imports(include=["lightfm_clone"]):
    from lightfm_clone import LightFM
    from lightfm_clone.data import Dataset

from . import targets


class Consumed:
    """Choices from the fuzzer's bytes."""

    def __init__(self, content: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(content)

    def pick(self, options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def integer(self, low: int, high: int) -> int:
        return self._provider.ConsumeIntInRange(low, max(low, high))


def raw(content: bytes) -> None:
    cls = (LightFM, Dataset)[len(content) % 2]
    if not content.startswith(b"\x89LFM"):
        text, _, rest = content.partition(b"\xff")
        preamble = struct.pack("<8sIIQ", b"\x89LFM\r\n\x1a\n", 1, zlib.crc32(text), len(text))
        content = preamble + text + rest
    targets.load(cls, content, mapped=bool(content[-1] & 1))


def main() -> None:
    name = sys.argv.pop(1)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    targets.saved()
    for kind in ("plain", "hybrid", "softmax", "mse"):
        targets.model(kind)

    def one(content: bytes) -> None:
        if name == "raw":
            raw(content)
        else:
            targets.TARGETS[name](Consumed(content))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
