"""Complete, average and weighted linkage of few features: clusters searched through a kd-tree of their centres."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import SAME_FORMULA, once
from covering import covering
from replay import replay
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

import gpuclust
from gpuclust.algorithms.cluster_tree import FEW_FEATURES
from gpuclust.compute import compute
from gpuclust.core import jit, methods, preparation
from gpuclust.kernels.cpu.clusters.hull import keep_corners

PAIRWISE = [m for m in methods.METHODS if methods.METHODS[m].pairs]


def data(kind: str, n: int, m: int) -> np.ndarray:
    rng = np.random.default_rng(m)
    return {
        "normal": lambda: rng.normal(size=(n, m)),
        "clustered": lambda: rng.normal(size=(n, m)) * 1e-3 + rng.random((20, m))[rng.integers(0, 20, n)],
        "half equal": lambda: np.where((np.arange(n) % 2 == 0)[:, None], 1.0, rng.normal(size=(n, m))),
        "heavy tails": lambda: rng.standard_cauchy((n, m)),
        "a line": lambda: rng.random(n)[:, None] * np.arange(1, m + 1),
        "growing gaps": lambda: np.cumsum(1 + np.arange(n) * 1e-3)[:, None] * np.arange(1, m + 1),
        "far from the origin": lambda: 1e7 + rng.random((n, m)) * 1e-3,
        "a circle": lambda: (
            np.stack(np.unravel_index(np.arange(n), (n,) + (1,) * (m - 1)), 1) * 1.0
            + np.sin(np.arange(n))[:, None] * np.arange(1, m + 1) * n
        ),
        "all equal": lambda: np.ones((n, m)),
        "grid": lambda: (
            rng.permutation(np.stack(np.divmod(np.arange(n), 40), axis=1)[:, :m].repeat(-(-m // 2), 1)[:, :m]) * 1.0
        ),
    }[kind]()


KINDS = (
    "normal",
    "clustered",
    "half equal",
    "heavy tails",
    "a line",
    "growing gaps",
    "far from the origin",
    "a circle",
)


@pytest.mark.parametrize(
    ("kind", "m", "method"),
    covering(KINDS, range(1, FEW_FEATURES + 1), PAIRWISE, rare=lambda *case: case[2] in SAME_FORMULA),
)
def test_heights_are_scipys(kind, m, method):
    X = data(kind, 1500, m)
    found = compute(X, method, algorithm="cluster tree")
    expected = hierarchy.linkage(X, method)
    assert hierarchy.is_valid_linkage(found.Z)
    if method == "complete":
        np.testing.assert_array_equal(found.Z[:, 2], expected[:, 2])
    np.testing.assert_allclose(found.Z[:, 2], expected[:, 2], rtol=1e-12, atol=1e-15)
    assert found.scans < 12 * len(X)


def test_four_thousand_points():
    X = data("clustered", 4000, 3)
    for method in ("complete", "average"):
        Z = gpuclust.linkage(X, method, algorithm="cluster tree")
        np.testing.assert_allclose(Z[:, 2], hierarchy.linkage(X, method)[:, 2], rtol=1e-12)


@pytest.mark.parametrize("method", once(PAIRWISE))
@pytest.mark.parametrize("kind", ["grid", "all equal", "half equal", "a line"])
def test_trees_of_tied_data_are_right(monkeypatch, kind, method):
    """Every merge joins a closest pair: replayed, with nearly all merges made by searches."""
    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.cluster_tree"), "LAST", 20)
    X = data(kind, 320, 2)
    found = compute(X, method, algorithm="cluster tree")
    replay(found.Z, squareform(pdist(X)), method, rtol=1e-12)
    assert found.scans < 12 * len(X)


@pytest.mark.parametrize(
    ("metric", "weights", "linkages"),
    [
        ("cityblock", None, ["complete"]),
        pytest.param("cityblock", None, ["average"], marks=pytest.mark.sweep),
        pytest.param("chebyshev", None, ["complete"], marks=pytest.mark.sweep),
        pytest.param("euclidean", [1.0, 0, 30], ["complete"], marks=pytest.mark.sweep),
    ],
)
@pytest.mark.parametrize("m", [2, 3])
def test_other_metrics(metric, weights, linkages, m):
    X = data("normal", 900, m)
    arguments = {} if weights is None else {"w": np.array(weights[:m])}
    for method in linkages:
        Z = compute(X, method, metric, algorithm="cluster tree", **arguments).Z
        stored = compute(X, method, metric, algorithm="stored", **arguments).Z
        expected = hierarchy.linkage(pdist(X, metric, **arguments), method)
        if method == "complete":
            np.testing.assert_array_equal(Z[:, 2], stored[:, 2])
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)


@pytest.mark.sweep
@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize("method", PAIRWISE)
def test_float32(method, m):
    X = data("normal", 1500, m).astype(np.float32).astype(float)
    Z = gpuclust.linkage(X, method, algorithm="cluster tree", dtype="float32")
    expected = hierarchy.linkage(X, method)
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], atol=1e-6 * expected[-1, 2])


@pytest.mark.parametrize("method", once(PAIRWISE))
def test_threads_and_pieces_do_not_matter(monkeypatch, method):
    module = importlib.import_module("gpuclust.kernels.cpu.clusters.cluster_tree")
    X = np.concatenate((data("heavy tails", 1500, 2), data("grid", 900, 2)))
    results = []
    for threads, piece in ((1, 128), (3, 128), (4, 7)):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", str(threads))
        monkeypatch.setattr(module, "SEARCHED", piece)
        monkeypatch.setattr(module, "CARRIED", piece * 3)
        results.append(gpuclust.linkage(X, method, algorithm="cluster tree"))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@jit.compiled
def _keep(X, which, corners, diameter, strict):
    return keep_corners(X, which, 0, which.size, corners, diameter, strict)


@pytest.mark.parametrize("kind", ["normal", "a line", "grid", "far from the origin", "nearly a line", "a square"])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "chebyshev"])
def test_points_that_are_dropped_are_never_the_farthest(kind, metric):
    """Computed distances from anywhere: the largest is the same number, bit by bit."""
    rng = np.random.default_rng(7)
    n = 200
    if kind == "nearly a line":
        X = data("a line", n, 2) + rng.normal(size=(n, 2)) * 1e-16
    elif kind == "a square":
        X = rng.random((n, 2))
        X[np.arange(n), rng.integers(0, 2, n)] = rng.integers(0, 2, n)
    else:
        X = data(kind, n, 2)
    others = np.concatenate((X, X.mean(axis=0) + rng.normal(size=(400, 2)) * rng.choice([1e-4, 1.0, 1e3], (400, 1))))
    diameter = float(np.linalg.norm(np.ptp(others, axis=0)))
    kept, which = X.copy(), np.arange(n)
    count = _keep(kept, which, np.empty(2 * n + 2, np.int64), diameter, metric == "euclidean")
    np.testing.assert_array_equal(kept, X[which])
    assert sorted(which) == list(range(n))
    far = gpuclust.distance.cdist(others, X, metric)
    np.testing.assert_array_equal(far[:, which[:count]].max(axis=1), far.max(axis=1))
    if kind == "normal" or (kind == "a line" and metric == "euclidean"):
        assert count < 30


def test_few_points_of_a_large_cluster_are_kept():
    """Corners of convex hulls, which make complete linkage of large clusters cheap."""
    X = data("normal", 3000, 2)
    points = preparation.prepare(X, "euclidean")
    rule = methods.METHODS["complete"]
    backend = importlib.import_module("gpuclust.core.backend").select("cpu")
    clusters = gpuclust.core.clusters.Clusters
    everyone = clusters(
        np.arange(3), np.arange(3000), np.array([0, 1000, 2000, 3000]), np.ones(3000), np.full(3, 1000.0)
    )
    tree = backend.search_clusters(points, rule, everyone, bounded=True)
    assert tree.clusters.members.size < 150
    stored = [backend.store_clusters(points, rule, some) for some in (everyone, tree.clusters)]
    np.testing.assert_array_equal(stored[0].distance, stored[1].distance)


def test_the_plan_takes_it_for_few_features_and_says_why():
    job = gpuclust.plan(100_000, 2, "complete", device="cpu")
    assert job.algorithm == "cluster tree"
    assert "2 features" in job.reason
    assert job.memory < 100_000 * 1000
    assert gpuclust.plan(1_000_000, 2, "complete", device="cpu").memory <= 10 * job.memory
    for m, metric, n in ((FEW_FEATURES + 1, "euclidean", 10**5), (2, "cosine", 10**4), (2, "euclidean", 500)):
        assert gpuclust.plan(n, m, "complete", metric, device="cpu").algorithm == "stored"


def test_distances_that_overflow_are_an_error():
    X = data("normal", 1500, 2)
    X[:750, 0], X[750:, 0] = 1.7e308, -1.7e308
    with pytest.raises(ValueError, match="not finite"):
        gpuclust.linkage(X, "complete", algorithm="cluster tree")
