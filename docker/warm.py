"""Compile the kernels of common jobs while an image is built: ``python warm.py [METHOD ...]``.

They are stored in NUMBA_CACHE_DIR, for this type of CPU. Pictures are drawn once as well, for Matplotlib's font list.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from gpuclust.app.job.job import Job
from gpuclust.app.job.runner import run
from gpuclust.core.methods import METHODS
from gpuclust.distance import pdist
from gpuclust.hierarchy import cophenet, fcluster, inconsistent, leaves_list, suggest_k
from gpuclust.linkage import linkage

#: Enough points for every part of an algorithm to run.
POINTS = 4000
DTYPES = ("float64", "float32")


def warm(methods: list[str]) -> None:
    points = np.random.default_rng(0).normal(size=(POINTS, 8))
    condensed = pdist(points[:600], device="cpu")
    for dtype in DTYPES:
        for method in methods:
            for y in (points, condensed):
                Z = linkage(y, method, dtype=dtype, device="cpu")
    fcluster(Z, 5, "maxclust")
    fcluster(Z, 1.0)
    inconsistent(Z)
    cophenet(Z, condensed)
    leaves_list(Z)
    suggest_k(Z)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "points.npy"
        np.save(data, points)
        run(Job(str(data), Path(folder) / "out", method=methods[0], clusters=5, device="cpu"))


if __name__ == "__main__":
    warm(sys.argv[1:] or list(METHODS))
