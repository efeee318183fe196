"""Every linkage, and every other public function that has a device, through the driver for tests."""

# ruff: noqa: E402

from __future__ import annotations

import gc
import importlib
import json
import sys

import machine
import numpy as np

gc.disable()  # Numba keeps most objects of a kernel, and collections would take much of the time
driver = machine.start()

import cupy

import gpuclust
from gpuclust import hierarchy
from gpuclust.distance import cdist, nearest_neighbors, pdist
from gpuclust.kernels.cuda import launch

for module, name, value in (
    ("algorithms.rounds", "TAIL", 6),
    ("algorithms.rounds", "FUSED", 8),
    ("algorithms.candidates", "NEIGHBOURS", 3),
    ("algorithms.candidates", "FEW", 1 << 20),
    ("algorithms.generic", "TAIL", 6),
):
    setattr(importlib.import_module(f"gpuclust.{module}"), name, value)

#: Launches are simulated thread by thread, so the points are few. Lists screened in single precision need some more.
X, MORE = (np.random.default_rng(0).normal(size=(n, 3)) for n in (20, 37))
Y = pdist(X, device="cpu")


def same(ours: object, expected: object) -> None:
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def linkages(points=("single", "average", "centroid", "ward"), given=("single", "average")):
    for data, methods in ((X, points), (Y, given)):
        for method in methods:
            same(gpuclust.linkage(data, method, device="cuda"), gpuclust.linkage(data, method, device="cpu"))


def one_linkage() -> None:
    """With a tree of points, and of given dissimilarities; the other scenarios launch what average linkage takes."""
    linkages(("single",), ("single",))


def other_linkages() -> None:
    linkages(("complete", "weighted", "median"), ("complete", "weighted", "centroid", "median", "ward"))


def algorithms() -> None:
    for method, algorithm in (("average", "hybrid"), ("average", "stored"), ("centroid", "generic, stored")):
        ours = gpuclust.linkage(X, method, device="cuda", algorithm=algorithm)
        same(ours[:, 2], gpuclust.linkage(X, method, device="cpu")[:, 2])


def distances() -> None:
    same(pdist(X, device="cuda"), Y)
    same(cdist(X[:5], X, "cosine", device="cuda"), cdist(X[:5], X, "cosine", device="cpu"))
    out = np.empty(Y.size)
    assert pdist(X, out=out, device="cuda") is out
    same(out, Y)
    for out in (
        np.empty(X.shape),
        np.empty((len(X), 6))[:, ::2],
        np.empty(X.shape, np.float32),
    ):  # driver may write, or not
        assert launch.download(launch.upload(X), out) is out
        np.testing.assert_array_equal(out, X.astype(out.dtype))
    for ours, theirs in zip(
        nearest_neighbors(X, 3, device="cuda"), nearest_neighbors(X, 3, device="cpu"), strict=True
    ):
        same(ours, theirs)


def device_arrays() -> None:
    there = cupy.asarray(X)
    Z = gpuclust.linkage(X, "average", device="cpu")
    same(gpuclust.linkage(there, "average", device="cuda"), Z)
    out = pdist(there, output="cupy", device="cuda")
    assert isinstance(out, cupy.ndarray)
    same(out.get(), Y)
    same(gpuclust.linkage(out, "average", device="cuda"), Z)
    large = np.arange(1 << 20, dtype=np.float64)  # above what is staged in page-locked memory
    same(launch.download(launch.upload(large)), large)
    same(
        hierarchy.cophenetic_correlation(Z, there, device="cuda"),
        hierarchy.cophenetic_correlation(Z, X, device="cpu"),
    )


def streams() -> None:
    """A stream that is current is used; otherwise a thread has one of its own, ordered with the default stream."""
    expected = gpuclust.linkage(X, "average", device="cpu")
    with cupy.cuda.Stream():
        made = cupy.cuda.Stream.made
        same(gpuclust.linkage(X, "average", device="cuda"), expected)
        assert cupy.cuda.Stream.made == made
    default = cupy.cuda.Stream.current
    default.waited.clear()
    same(gpuclust.linkage(X, "average", device="cuda"), expected)
    made = cupy.cuda.Stream.made
    same(gpuclust.linkage(X, "average", device="cuda"), expected)
    assert cupy.cuda.Stream.made == made
    assert default.waited
    assert all(default in stream.waited for stream in default.waited)


def numba_launches() -> None:
    """As where Numba has not what is needed to launch without it."""
    assert launch.Launcher.possible()
    launch.Launcher.possible = staticmethod(lambda: False)
    linkages(("single",), ("single",))


def screened(method: str = "single") -> None:
    """Single precision first, which so few points are not worth."""
    screen, trees = (importlib.import_module(f"gpuclust.{name}") for name in SCREENED)
    before = screen.FEWEST, trees.SMALL
    screen.FEWEST, trees.SMALL = 1, 2
    linkages((method,), ())
    for ours, theirs in zip(*(nearest_neighbors(MORE, 3, device=name) for name in ("cuda", "cpu")), strict=True):
        same(ours, theirs)
    screen.FEWEST, trees.SMALL = before


def products(method: str = "single") -> None:
    """Products on tensor cores first, which a trial has found to be right; their threads take turns here."""
    screen, halves, trees = (importlib.import_module(f"gpuclust.{name}") for name in PRODUCTS)
    before = screen.FEWEST, halves.FEWEST, trees.SMALL
    screen.FEWEST, halves.FEWEST, trees.SMALL = 1, 1, 2
    with launch.on_device(0):
        assert halves.available(3)
    linkages((method,), ())
    for ours, theirs in zip(*(nearest_neighbors(MORE, 3, device=name) for name in ("cuda", "cpu")), strict=True):
        same(ours, theirs)
    screen.FEWEST, halves.FEWEST, trees.SMALL = before


def screened_clusters() -> None:
    """Kernels of four functions, each of which takes as long to compile as ten others."""
    screened("ward")
    products("ward")


SCREENED = "kernels.cuda.screen", "algorithms.spanning_tree"
PRODUCTS = "kernels.cuda.screen", "kernels.cuda.halves", "algorithms.spanning_tree"

for scenario in sys.argv[1:]:
    before = len(driver.launched)
    globals()[scenario]()
    print(json.dumps({scenario: sorted(set(driver.launched[before:]))}), flush=True)
