"""The long run: ``python -m fuzz`` in the folder `tests`, or ``make fuzz``.

Every input is a target's name and a number, from which it is made anew: ``--only files --first 123
--inputs 1`` repeats one. Inputs are tried in child processes, so that a crash or a hang is counted
and named like any other failure, and the run goes on behind it.
"""

from __future__ import annotations

import argparse
import collections
import mmap
import os
import signal
import struct
import sys
import time
import traceback
import warnings

from . import hostile, targets

# Shares of the inputs: what is cheap and reads bytes or ids takes most of them.
SHARES = {
    "ids": 40,
    "files": 30,
    "datasets": 11,
    "frames": 1,
    "matrices": 8,
    "parameters": 5,
    "lists": 4,
    "assigned": 1,
}
SECONDS = 30  # for one input; a hang by any standard
MEMORY = 8 << 30  # of address space: huge requests shall fail, not swap


def run(name: str, first: int, last: int, position: mmap.mmap) -> None:
    """Try inputs, telling the parent about each failure by a line."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process
    if sys.platform.startswith("linux") and "asan" not in os.environ.get("LD_PRELOAD", ""):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    for number in range(first, last):
        position[:8] = struct.pack("<q", number)
        signal.alarm(SECONDS)
        try:
            targets.TARGETS[name](hostile.Random(number))
        except BaseException as error:
            line = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
            place = f"{os.path.basename(line.filename)}:{line.lineno}"
            told = f"{type(error).__name__}: {error} ({place})".replace("\n", " ")
            print(f"{name} {number} {told[:300]}", flush=True)
    position[:8] = struct.pack("<q", last)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", choices=list(targets.TARGETS), help="one target alone")
    options = parser.parse_args()
    shares = {options.only: 1} if options.only else SHARES
    tried: collections.Counter[str] = collections.Counter()
    failures: collections.Counter[str] = collections.Counter()
    start = time.monotonic()
    position = mmap.mmap(-1, 8)
    for name, share in shares.items():
        number = options.first
        last = number + -(-options.inputs * share // sum(shares.values()))
        began = time.process_time(), time.monotonic()
        while number < last:
            end = min(number + 20_000, last)
            sys.stdout.flush()
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                os.dup2(writing, 1)
                run(name, number, end, position)
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading, errors="replace") as lines:
                for line in lines:
                    failures[name] += 1
                    if failures[name] <= 20:
                        print("FAILURE", line.rstrip(), flush=True)
            _, status = os.waitpid(child, 0)
            (reached,) = struct.unpack("<q", position[:8])
            if status:
                failures[name] += 1
                what = "HANG" if os.WTERMSIG(status) == signal.SIGALRM else "CRASH"
                print(f"{what} {name} {reached} (wait status {status})", flush=True)
                reached += 1
            tried[name] += reached - number
            number = reached
        print(
            f"{name:12}{tried[name]:>10,} inputs {failures[name]:>6} failures "
            f"{time.monotonic() - began[1]:8.1f} s",
            flush=True,
        )
    print(
        f"{'in all':12}{tried.total():>10,} inputs {failures.total():>6} failures "
        f"{time.monotonic() - start:8.1f} s"
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
