"""Arrays from one process to another of the same machine, through memory that both see.

The sender writes into a file without a name (`memfd_create(2)`), and tells its process and the
number of its descriptor; the receiver opens that in `/proc` and maps it. Nobody has to clean up:
the memory is free when nobody has it open or mapped, whoever died. Where there is no such thing, or
the receiver may not look into the sender (another container, another user), messages go through
Dask as between machines.
"""

from __future__ import annotations

import mmap
import os
import pickle
from typing import Any, NamedTuple

_ALIGNED = 64  # bytes; a cache line
IS_THERE = hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")


class Parcel(NamedTuple):
    """Where the content of a message lies."""

    process: int
    descriptor: int
    skeleton: bytes  # the content, pickled, without what its arrays hold
    places: list[tuple[int, int]]  # of each array: first byte, and how many

    @classmethod
    def of(cls, content: Any) -> Parcel:
        """Put content into shared memory. Whoever has done so closes the descriptor."""
        buffers: list[pickle.PickleBuffer] = []
        skeleton = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
        places, end = [], 0
        for buffer in buffers:
            size = buffer.raw().nbytes
            places.append((end, size))
            end += -(-size // _ALIGNED) * _ALIGNED
        descriptor = os.memfd_create("lightfm-clone")
        os.ftruncate(descriptor, max(end, 1))
        for buffer, (begin, size) in zip(buffers, places, strict=True):
            whole = buffer.raw()
            done = 0
            while done < size:
                done += os.pwrite(descriptor, whole[done:], begin + done)
        return cls(os.getpid(), descriptor, skeleton, places)

    def opened(self) -> Any:
        """The content; its arrays are read-only, and lie in the shared memory.

        Raises
        ------
        OSError
            If the sender is on another machine, or behind a wall.
        """
        with open(f"/proc/{self.process}/fd/{self.descriptor}", "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        parts = [whole[begin : begin + size] for begin, size in self.places]
        return pickle.loads(self.skeleton, buffers=parts)

    def close(self) -> None:
        os.close(self.descriptor)
