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
from gpuclust.warm import warm

if __name__ == "__main__":
    methods = sys.argv[1:] or list(METHODS)
    for dtype in ("float64", "float32"):
        warm(methods, dtype=dtype)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "points.npy"
        np.save(data, np.random.default_rng(0).normal(size=(4000, 8)))
        run(Job(str(data), Path(folder) / "out", method=methods[0], clusters=5, device="cpu"))
