"""Shared fixtures: data sets by kind, and the backends to compare."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("default", deadline=None, max_examples=40, derandomize=True, print_blob=True)
settings.load_profile("default")

#: Whether kernels for CUDA run on the host: simulated, or compiled and emulated. See gpuclust/kernels/cuda/launch.py.
EMULATED = any(os.environ.get(name, "0") not in ("", "0") for name in ("NUMBA_ENABLE_CUDASIM", "GPUCLUST_CUDA_EMULATION"))
#: Backends to hold against the reference. Runs on a device are selected with ``-m gpu``.
BACKENDS = ["cuda"] if EMULATED else ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

METHODS = ("single", "complete", "average", "weighted", "centroid", "median", "ward")
METRICS = (
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "correlation",
    "cosine",
    "dice",
    "euclidean",
    "hamming",
    "jaccard",
    "jensenshannon",
    "mahalanobis",
    "matching",
    "minkowski",
    "rogerstanimoto",
    "russellrao",
    "seuclidean",
    "sokalsneath",
    "sqeuclidean",
    "yule",
)
BOOLEAN = ("dice", "matching", "rogerstanimoto", "russellrao", "sokalsneath", "yule", "jaccard", "hamming")


def points_for(metric: str, n: int, m: int, seed: int = 0) -> np.ndarray:
    """Random points on which ``metric`` is defined."""
    rng = np.random.default_rng(seed)
    if metric in BOOLEAN:
        X = rng.random((n, m)) < 0.5
        X[:, 0] = True  # no all-false row
        return X
    if metric in ("jensenshannon", "canberra", "braycurtis"):  # of one sign: no pairs at the largest distance
        return rng.random((n, m)) + 0.01
    return rng.normal(size=(n, m))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
