"""Builds the compiled core: `_core.pyx`, and the kernels once per instruction level.

Environment: LIGHTFM_CLONE_DEBUG=1 switches on bounds and wraparound checks and debug symbols;
LIGHTFM_CLONE_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer, whose run-time
library has to be preloaded, as `make test-asan` does. Both at once is fine.
LIGHTFM_CLONE_STABLE_ABI=1 builds for the stable ABI: one wheel for CPython 3.11 and all later ones
(docs/inside/packaging.md says what that costs). CPython 3.10 and free-threaded ones ignore it.
"""

import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("LIGHTFM_CLONE_DEBUG") == "1"
SANITIZE = os.environ.get("LIGHTFM_CLONE_SANITIZE") == "1"
# Memoryviews need the buffer protocol, which the stable ABI has from 3.11 on.
STABLE_ABI = (
    os.environ.get("LIGHTFM_CLONE_STABLE_ABI") == "1"
    and sys.version_info >= (3, 11)
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
# Each kind of build has its own folder, so that none picks up what another left behind.
KIND = "sanitize" if SANITIZE else "debug" if DEBUG else "stable-abi" if STABLE_ABI else "release"
BUILD = f"build/{KIND}"
KERNELS = Path("lightfm_clone") / "_kernels"

# Flags of each instruction level beyond the baseline, by compiler family.
X86_LEVELS = {
    "avx2": {"unix": ["-mavx2", "-mfma"], "msvc": ["/arch:AVX2"]},
}
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
LEVELS = {"baseline": {"unix": [], "msvc": []}, **(X86_LEVELS if IS_X86 else {})}

# Plain code must not be contracted to fused multiply-adds behind our back: equal scores have to be
# computed equally everywhere (vec.hpp).
FLAGS = {
    "unix": [
        "-std=c++17",
        "-g1" if DEBUG or SANITIZE else "-g0",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        "-fvisibility=hidden",
    ],
    "msvc": ["/std:c++17", "/fp:precise"],
}
# Wheels shall be small, and no hot loop slower for it. The kernels of the fastest level are built
# for speed. Older processors get theirs without copies of whole loops, but what runs over an array
# in registers has to be unrolled. Cython's own code is built for size (the end of _kernels.pxd).
OPTIMISED = {"unix": ["-O1" if DEBUG or SANITIZE else "-O3"], "msvc": ["/O2"]}
SMALLER = {"unix": ["-O1"] if DEBUG or SANITIZE else ["-O2", "-fpeel-loops"], "msvc": ["/O2"]}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
OPENMP = {
    "unix": (["-fopenmp"], ["-fopenmp"]),
    "darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
    "msvc": (["/openmp"], []),
}
# The licence of the library that a wheel of this system carries for it.
LICENCE = {"darwin": "LLVM-OpenMP.txt", "win32": "Microsoft-runtime.txt"}.get(
    sys.platform, "GCC-runtime.txt"
)


# The core is private: who reads its docstrings has the source.
Options.docstrings = DEBUG


class BuildKernels(build_ext):
    """build_ext that finds out about OpenMP and compiles isa.cpp once per level."""

    def build_extension(self, ext):
        family = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        compile_args, link_args = self.openmp_args(family)
        sanitizers = SANITIZERS if SANITIZE else []
        flags_of_all = FLAGS[family] + sanitizers + compile_args
        ext.extra_compile_args = flags_of_all + OPTIMISED[family]
        ext.extra_link_args = sanitizers + link_args
        ext.define_macros += [(f"LFM_HAS_{name.upper()}", "1") for name in LEVELS]
        fastest = [*LEVELS][-1]
        for name, flags in LEVELS.items():
            optimised = OPTIMISED if name == fastest else SMALLER
            macros = [("LFM_LEVEL", name)] + [("LFM_FASTEST", "1")] * (name == fastest)
            ext.extra_objects += self.compiler.compile(
                [str(KERNELS / "isa.cpp")],
                output_dir=str(Path(self.build_temp) / name),
                macros=macros,
                extra_postargs=flags_of_all + optimised[family] + flags[family],
            )
        super().build_extension(ext)

    def openmp_args(self, family):
        """Compiler and linker arguments for OpenMP; none, with a warning, where it is missing."""
        compile_args, link_args = OPENMP["darwin" if sys.platform == "darwin" else family]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "openmp.cpp"
            source.write_text("#include <omp.h>\nint main() { return !omp_get_max_threads(); }\n")
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_args
                )
                self.compiler.link_executable(
                    objects, str(Path(folder) / "openmp"), extra_postargs=link_args
                )
            except Exception as error:  # each compiler class raises its own
                self.warn(
                    f"OpenMP is not available ({error}): building a correct library that runs on "
                    "one thread. On macOS, `brew install libomp` and set CPPFLAGS and LDFLAGS."
                )
                return [], []
        return compile_args, link_args


class Wheel(bdist_wheel):
    """bdist_wheel with the licences of what it carries, and not of what others carry: 5 KB."""

    def finalize_options(self):
        super().finalize_options()
        metadata = self.distribution.metadata
        kept = {"LICENSE", f"licenses/{LICENCE}"}
        metadata.license_files = [
            each for each in metadata.license_files if each.replace(os.sep, "/") in kept
        ]


extensions = cythonize(
    [
        Extension(
            "lightfm_clone._core",
            ["lightfm_clone/_core.pyx"],
            language="c++",
            include_dirs=["lightfm_clone"],
            depends=[str(path) for path in sorted(KERNELS.iterdir())] + ["setup.py"],
            define_macros=[
                # A wheel packs strings better, and nothing has to unpack them again at import.
                ("CYTHON_COMPRESS_STRINGS", "0"),
                *([("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else []),
            ],
            py_limited_api=STABLE_ABI,
        )
    ],
    compiler_directives={
        "language_level": 3,
        "boundscheck": DEBUG,
        "wraparound": DEBUG,
        "initializedcheck": DEBUG,
        "cdivision": True,
        "auto_pickle": False,
        # Functions of wheels do not know their signatures, which takes 7 KB less. The stub is
        # compared with the other builds (`make lint-stub`).
        "binding": not STABLE_ABI,
    },
    build_dir=f"{BUILD}/cython",
)
# Cython lays copies of the headers beside the code it writes, and keeps old ones whose time is not
# older than the originals'. Without the copies the compiler finds the originals.
shutil.rmtree(Path(BUILD) / "cython" / KERNELS, ignore_errors=True)

setup(
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
    ext_modules=extensions,
    options={
        "build": {"build_base": BUILD},
        "bdist_wheel": {"py_limited_api": "cp311"} if STABLE_ABI else {},
    },
)
