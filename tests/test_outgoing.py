"""Edges out of components by kd-tree: the same tree, to the last edge, as by searches of all points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import hierarchy

import gpuclust
from gpuclust import metrics
from gpuclust.algorithms.outgoing import ByPoints
from gpuclust.algorithms.spanning_tree import _join, boruvka
from gpuclust.backends import select
from gpuclust.kernels.cpu import outgoing, tree_points

CPU, REFERENCE = select("cpu"), select("reference")
TREE_METRICS = [name for name, metric in metrics.METRICS.items() if metric.euclidean_like]
KINDS = ("uniform", "clustered", "duplicated", "heap", "equal", "grid", "collinear", "cauchy")


def kind_of_points(kind: str, n: int, m: int) -> np.ndarray:
    rng = np.random.default_rng([n, m])
    uniform = rng.random((n, m))
    if kind == "clustered":
        return uniform[rng.integers(0, 7, n)] + rng.normal(size=(n, m)) / 100
    if kind == "duplicated":
        return rng.permutation(np.concatenate((uniform[: n - n // 2], uniform[: n // 2])))
    if kind == "heap":
        return np.where(rng.random((n, 1)) < 0.5, 0.5, uniform)
    if kind == "equal":
        return np.full((n, m), 0.1)
    if kind == "grid":
        return rng.integers(0, 2 + round(n ** (1 / m)), (n, m)).astype(float)
    if kind == "collinear":
        return uniform[:, :1] * np.arange(1, m + 1)
    return rng.standard_cauchy((n, m)) if kind == "cauchy" else uniform


class Only:
    """The CPU backend with one way of finding edges."""

    def __init__(self, by_tree: bool) -> None:
        self._by_tree = by_tree

    def __getattr__(self, name):
        return getattr(CPU, name)

    def outgoing(self, points):
        if not self._by_tree:
            return None
        arranged = tree_points.arrange(points)
        assert arranged is not None
        return outgoing.ByBoxes(arranged)


def edges(backend, points) -> list[tuple[float, int, int]]:
    merges = boruvka(backend, points, lambda done: None)
    return sorted((h, *sorted(pair)) for h, pair in zip(merges.heights.tolist(), merges.pairs.tolist(), strict=True))


def parameters(metric: str, m: int) -> dict:
    if metric == "minkowski":
        return {"p": 1.5}
    return {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", TREE_METRICS)
def test_same_edges(metric, kind):
    if metric == "seuclidean" and kind == "equal":
        pytest.skip("no variance")
    for n, m, dtype in ((2, 1, "float64"), (33, 2, "float64"), (150, 3, "float32"), (400, 2, "float64")):
        X = kind_of_points(kind, n, m)
        if metric == "seuclidean":
            X = np.concatenate((X, X[:1] + 1))  # a variance in any case
        points = metrics.prepare(X, metric, dtype=dtype, **parameters(metric, m))
        assert edges(Only(True), points) == edges(Only(False), points)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 7, 8, 16, 33, 64, 130])
def test_same_edges_in_any_dimension(m, dtype):
    for kind in ("clustered", "cauchy", "duplicated"):
        points = metrics.prepare(kind_of_points(kind, 300, m), "euclidean", dtype=dtype)
        assert edges(Only(True), points) == edges(REFERENCE, points)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "chebyshev", "minkowski"])
def test_weights_and_one_of_them_zero(metric):
    X = kind_of_points("grid", 200, 3)
    points = metrics.prepare(X, metric, w=[2.0, 0.0, 0.5], **parameters(metric, 3))
    assert edges(Only(True), points) == edges(Only(False), points)


@pytest.mark.parametrize("kind", KINDS)
def test_heights_are_scipys(kind):
    X = kind_of_points(kind, 3000, 2)
    Z = gpuclust.linkage(X, device="cpu")
    np.testing.assert_array_equal(Z[:, 2], hierarchy.linkage(X)[:, 2])
    assert hierarchy.is_valid_linkage(Z)


@pytest.mark.parametrize("kind", ["uniform", "clustered", "grid"])
def test_threads_do_not_matter(kind, monkeypatch):
    X = kind_of_points(kind, 40_000, 2)
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        found.append(gpuclust.linkage(X, device="cpu"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_tree_is_taken_where_it_prunes():
    def chosen(kind, m):
        points = metrics.prepare(kind_of_points(kind, 5000, m), "sqeuclidean")
        return CPU.outgoing(points) is not None

    assert chosen("uniform", 2)
    assert chosen("clustered", 8)
    assert not chosen("uniform", 16)


def test_no_tree_where_no_box_bounds_or_a_distance_may_overflow():
    X = kind_of_points("uniform", 1000, 2)
    assert CPU.outgoing(metrics.prepare(X, "cosine")) is None
    assert CPU.outgoing(metrics.prepare(X * 1e200, "sqeuclidean")) is None
    with pytest.raises(ValueError, match="float32"):
        gpuclust.linkage(X * 1e30, "single", dtype="float32", device="cpu")


def test_first_edges_in_the_total_order():
    """Round by round on a grid, where most edges tie."""
    points = metrics.prepare(kind_of_points("grid", 300, 2), "sqeuclidean")
    component, count = np.arange(300), 300
    searches = Only(True).outgoing(points), ByPoints(REFERENCE, points)
    while count > 1:
        ours, theirs = (search.shortest(component, count, lambda: None) for search in searches)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        joined, count = _join(component, *ours, np.empty((299, 2), np.int64), np.empty(299), 0)
        component = joined[component]
