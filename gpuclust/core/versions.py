"""Versions of everything that a result may depend on, for reports of bugs."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from gpuclust.core import devices
from gpuclust.core.threads import thread_count
from gpuclust.core.version import __version__

#: Packages that are used where they are installed.
PACKAGES = (
    "numpy", "numba", "llvmlite", "matplotlib", "jinja2", "rich", "typer", "scipy", "scikit-learn", "pandas",
    "polars", "pyarrow", "anndata", "openpyxl", "numba-cuda", "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip


def show_versions() -> None:
    """Print versions of gpuclust, Python and other packages, the processors and the GPUs.

    Notes
    -----
    ``gpuclust doctor`` also checks whether a GPU can be used, and that its results are right.

    Examples
    --------
    >>> import gpuclust
    >>> gpuclust.show_versions()  # doctest: +ELLIPSIS
    gpuclust ...
    """
    found = {"gpuclust": __version__, "python": platform.python_version(), "system": platform.platform()}
    found["threads"] = f"{thread_count()} (of {os.cpu_count()} processors)"
    cards = [f"{card.name}, compute capability {'.'.join(map(str, card.capability))}" for card in devices.cards()]
    found["GPU"] = "; ".join(cards) or "none"
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    width = max(map(len, found))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in found.items()))
