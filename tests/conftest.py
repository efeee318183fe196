"""Shared by the tests: data sets by kind, the backends to compare, and which tests run where."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("default", deadline=None, max_examples=40, derandomize=True, print_blob=True)
settings.load_profile("default")

#: Whether kernels for CUDA run on the host: simulated, or compiled and emulated. See gpuclust/kernels/cuda/launch.py.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
EMULATED = SIMULATED or os.environ.get("GPUCLUST_CUDA_EMULATION", "0") not in ("", "0")
#: The mark of tests that launch kernels, where there is none to run them on: they are selected with ``-m gpu``.
ON_DEVICE = [] if EMULATED else [pytest.mark.gpu]
#: Backends to hold against the reference.
BACKENDS = ["cuda"] if EMULATED else ["cpu", pytest.param("cuda", marks=ON_DEVICE)]
#: Tests of what runs on CUDA: with ``-m emulated`` these only.
EMULATED_TESTS = ("test_backends.py", "test_cuda_*.py", "test_device*.py")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what to run when emulated; last comes the test that looks at which kernels the others have launched."""
    for item in items:
        if any(item.path.match(pattern) for pattern in EMULATED_TESTS):
            item.add_marker("emulated")
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
