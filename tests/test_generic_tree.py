"""Centroid and median linkage through a tree: the merges, and the bits, of passes over all clusters."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DTYPES, rarely_float32
from covering import covering
from scipy.cluster import hierarchy

import gpuclust
from gpuclust.algorithms.generic import greedy
from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.kernels.cpu.clusters import greedy_tree
from gpuclust.kernels.cpu.clusters.greedy import CentroidGeneric

REFERENCE = select("reference")


def points_of(kind: str, n: int, m: int) -> np.ndarray:
    rng = np.random.default_rng([n, m])
    uniform = rng.random((n, m))
    return {
        "normal": rng.normal(size=(n, m)),
        "grid": rng.integers(0, max(3, round(n ** (1 / m))), (n, m)).astype(float),
        "heap": np.where(rng.random((n, 1)) < 0.5, 0.5, uniform),
        "equal": np.full((n, m), 0.1),
        "cauchy": rng.standard_cauchy((n, m)),
        "line": uniform[:, :1] * np.arange(1, m + 1),
        "far away": uniform + 1e8,
        "nearly nothing": uniform * 1e-160,
        "at both ends": rng.choice([-1e8, 1e8], (n, 1)) + uniform,
        "tight groups": rng.integers(-3, 4, (40, m))[rng.integers(0, 40, n)] + uniform * 1e-9,
        "last bits": rng.choice([-3.0, 3.0], (n, 1)) + np.spacing(3.0) * rng.integers(0, 40, (n, m)),
        "two are away": np.append(uniform[2:], [[1e15] * m, [1.1e15] * m], axis=0),
    }[kind]


KINDS = (
    "normal",
    "grid",
    "heap",
    "equal",
    "cauchy",
    "line",
    "far away",
    "nearly nothing",
    "at both ends",
    "tight groups",
    "last bits",
    "two are away",
)


def merges(engine, n):
    found = greedy(engine, n, lambda done: None)
    return found.pairs, found.heights


@pytest.mark.parametrize(
    ("kind", "method", "dtype"),
    covering(KINDS, ["centroid", "median"], DTYPES, rare=lambda *case: rarely_float32(*case[1:])),
)
def test_the_bits_of_passes_over_all_clusters(kind, method, dtype):
    rule = methods.METHODS[method]
    for n, m in ((2, 1), (3, 2), (16, 1), (17, 2), (900, 1), (900, 2), (700, 3), (500, 5), (300, 8), (100, 33)):
        points = preparation.prepare(points_of(kind, n, m), "sqeuclidean", dtype=dtype)
        ours = merges(greedy_tree.TreeGeneric(points, rule), n)
        for expected, found in zip(merges(CentroidGeneric(points, rule), n), ours, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["centroid", "median"])
@pytest.mark.parametrize("kind", ["normal", "grid"])
def test_the_reference(kind, method):
    rule = methods.METHODS[method]
    points = preparation.prepare(points_of(kind, 200, 2), "sqeuclidean")
    ours = merges(greedy_tree.TreeGeneric(points, rule), 200)
    for expected, found in zip(merges(REFERENCE.generic_points(points, rule), 200), ours, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["centroid", "median"])
def test_scipys_tree(method):
    X = points_of("normal", 6000, 2)
    assert greedy_tree.pays(preparation.prepare(X, "sqeuclidean"))
    Z, expected = gpuclust.linkage(X, method, device="cpu"), hierarchy.linkage(X, method)
    np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)


def test_any_number_of_threads(monkeypatch):
    X = points_of("grid", 30_000, 2)
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        found.append(gpuclust.linkage(X, "centroid", device="cpu"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_few_searches():
    """Some three for a merge: linear in n, where every point is distinct."""
    points = preparation.prepare(points_of("normal", 20_000, 2), "sqeuclidean")
    found = greedy(greedy_tree.TreeGeneric(points, methods.METHODS["centroid"]), points.n, lambda done: None)
    assert found.scans < 5 * points.n


def test_overflow_is_an_error():
    X = points_of("normal", 5000, 2)
    X[:2500, 0], X[2500:, 0] = 1.7e308, -1.7e308
    with pytest.raises(ValueError, match="not finite"):
        gpuclust.linkage(X, "centroid", device="cpu")


def test_only_where_it_pays():
    def pays(n, m):
        return greedy_tree.pays(preparation.prepare(np.zeros((n, m)), "sqeuclidean"))

    assert pays(5000, 2)
    assert not pays(4000, 2)
    assert pays(20_000, 4)
    assert not pays(20_000, 5)
    assert not pays(200_000, 9)
