"""Checks wheels: small, whole, for any machine, with OpenMP and the licences of what they carry."""

import sys
import zipfile
from pathlib import Path

MAX_BYTES = 1_000_000
LICENCES = {  # by the OpenMP run-time library
    "gomp": "GCC-runtime.txt",
    "libomp": "LLVM-OpenMP.txt",
    "vcomp": "Microsoft-runtime.txt",
}


def problems(path: Path) -> list[str]:
    names = zipfile.ZipFile(path).namelist()
    known = ("lightfm_clone/", "lightfm_clone.libs/", "lightfm_clone-")
    files = {name.rsplit("/", 1)[-1] for name in names}
    found = [f"strange file {name}" for name in names if not name.startswith(known)]
    carried = [library for library in LICENCES if any(library in name for name in files)]
    wanted = ["py.typed", "_core.pyi", "LICENSE", *(LICENCES[library] for library in carried)]
    found += [f"no {name}" for name in wanted if name not in files]
    if path.stat().st_size >= MAX_BYTES:
        found.append(f"more than {MAX_BYTES:,} bytes")
    if "-linux_" in path.name:
        found.append("not repaired: it runs on this machine alone")
    if not carried:
        found.append("no OpenMP run-time library")
    return found


wheels = sorted(Path(sys.argv[1]).glob("*.whl"))  # of a folder
failed = not wheels
for path in wheels:
    found = problems(path)
    failed |= bool(found)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {'; '.join(found) or 'fine'}")
sys.exit(failed)
