"""Versions of gpuclust and of the distributions on which its results depend."""

from __future__ import annotations

from functools import cache
from importlib import metadata

#: The version is written in pyproject.toml only.
__version__ = metadata.version("gpuclust")
#: Packages by name, with the distributions that may provide them.
PACKAGES = {
    "numpy": ("numpy",),
    "numba": ("numba",),
    "llvmlite": ("llvmlite",),
    "numba-cuda": ("numba-cuda",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
}


@cache
def package_version(*names: str) -> str | None:
    """Return the version of the first of these distributions that is installed, None if none is."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
