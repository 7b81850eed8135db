"""Builds the Cython core of ext/ into tilewatch.native; everything else is in pyproject.toml.

DEBUG_EXT=1 compiles with bounds and wrap-around checks. EXT_ONLY=name[,name] builds only those modules.
"""

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("DEBUG_EXT") == "1"
ONLY = set(filter(None, os.environ.get("EXT_ONLY", "").split(",")))
FLAGS = ["-O1", "-g"] if DEBUG else ["-O3", "-fno-math-errno", "-fno-trapping-math"]
if platform.machine() == "aarch64":
    FLAGS += ["-ffp-contract=off"]  # every such machine fuses multiply and add, which the numpy twins do not


def extension(source: Path) -> Extension:
    """Return the extension module tilewatch.native._NAME of ext/NAME.pyx."""
    return Extension(
        f"tilewatch.native._{source.stem}",
        [str(source)],
        include_dirs=["ext"],
        depends=[str(path) for path in sorted(Path("ext").glob("*.[hp]*")) if path.suffix in {".h", ".pxd"}],
        extra_compile_args=[*FLAGS, "-Wno-unused-function"],
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(Path("ext").glob("*.pyx")) if not ONLY or path.stem in ONLY],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "initializedcheck": DEBUG,
            "cdivision": not DEBUG,
        },
    ),
)
