"""Every backend against the reference, primitive by primitive, on odd sizes and tied data. The reference is tested
against SciPy here too: it is what the others are measured by."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import METHODS, METRICS, points_for
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust import methods, metrics
from gpuclust.backends import select
from gpuclust.errors import BackendUnavailable

REFERENCE = select("reference")
REDUCIBLE = [m for m in METHODS if methods.METHODS[m].reducible and m != "single"]
SIZES = (2, 3, 31, 33, 129, 150)


@pytest.fixture(params=["cpu"])
def backend(request):
    return select(request.param)


def tied_points(n: int, m: int, dtype: str, metric: str = "sqeuclidean") -> metrics.Points:
    X = np.random.default_rng(n).integers(0, 4, (n, m)).astype(float)
    return metrics.prepare(X, metric, dtype=dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 17, 60])
def test_reference_is_scipy(method, n):
    X = points_for("euclidean", n, 3, seed=n)
    expected = hierarchy.linkage(X, method)
    for y in (X, pdist(X)):
        Z = gpuclust.linkage(y, method, device="reference")
        np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", SIZES)
def test_stored_matrix(backend, n, dtype):
    for points in (tied_points(n, 3, dtype), metrics.prepare(points_for("cosine", n, 5), "cosine", dtype=dtype)):
        ours, reference = backend.store_points(points), REFERENCE.store_points(points)
        np.testing.assert_array_equal(ours.nearest, reference.nearest)
        np.testing.assert_allclose(ours.distance, reference.distance, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_condensed_matrix(backend, n, squared, dtype):
    Y = np.random.default_rng(n).integers(1, 50, n * (n - 1) // 2).astype(dtype)
    ours, reference = backend.store_condensed(Y, n, squared), REFERENCE.store_condensed(Y, n, squared)
    np.testing.assert_array_equal(ours.nearest, reference.nearest)
    np.testing.assert_array_equal(ours.distance, reference.distance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", REDUCIBLE)
def test_rounds_and_chains(backend, method, n, dtype):
    """The same pairs united in both, then a chain to the end: same ids, same bits."""
    rule = methods.METHODS[method]
    rng = np.random.default_rng(n)
    Y = rng.integers(1, 30, n * (n - 1) // 2).astype(dtype)
    results = []
    for candidate in (backend, REFERENCE):
        matrix = candidate.store_condensed(Y, n, rule.on_squares)
        rows = np.arange(n)
        first = np.flatnonzero((matrix.nearest[matrix.nearest] == rows) & (rows < matrix.nearest))
        second = matrix.nearest[first]
        stays = np.setdiff1d(rows, second)
        partner = np.full(n, -1)
        partner[first] = second
        size = np.ones(n, dtype)
        new_size = size.copy()
        if rule.counted:
            new_size[first] = 2
        ids = rows.copy()
        ids[first] = n + np.arange(first.size)
        matrix.merge(rule, stays, partner[stays], matrix.distance[stays], size, new_size[stays], ids[stays])
        seen = [matrix.nearest.copy(), matrix.distance.copy()]
        size, ids = new_size[stays], ids[stays]
        wanted = matrix.n - 1
        if wanted:
            nearest_id = ids[matrix.nearest]
            seen += matrix.chain(rule, size, ids, nearest_id, n + first.size, wanted)
        results.append(seen)
    for ours, reference in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize(
    ("metric", "method"), [*((metric, "average") for metric in METRICS), *(("euclidean", m) for m in REDUCIBLE)]
)
def test_united_points(backend, method, metric):
    """A matrix filled after the first round is the matrix that the first round would have made."""
    points = metrics.prepare(points_for(metric, 131, 6), metric)
    rule = methods.METHODS[method]
    order = np.random.default_rng(0).permutation(131)
    second, first = order[:40], order[40:]
    between = np.zeros(first.size)
    between[-40:] = np.abs(np.random.default_rng(1).normal(size=40)) * 1e-3
    ours = backend.store_united(points, rule, first, second, between)
    reference = REFERENCE.store_united(points, rule, first, second, between)
    np.testing.assert_allclose(ours.distance, reference.distance, rtol=1e-12)
    if metric in ("euclidean", "sqeuclidean", "cityblock", "canberra"):
        np.testing.assert_array_equal(ours.nearest, reference.nearest)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [*SIZES, 600])
def test_nearest(backend, n, dtype):
    points = tied_points(n, 2, dtype)
    for ours, reference in zip(backend.nearest(points), REFERENCE.nearest(points), strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_of_every_metric(backend, metric):
    points = metrics.prepare(points_for(metric, 200, 7), metric)
    ours, reference = backend.nearest(points), REFERENCE.nearest(points)
    np.testing.assert_allclose(ours[1], reference[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", SIZES)
def test_nearest_outside(backend, n):
    points = tied_points(n, 2, "float64")
    rng = np.random.default_rng(n)
    component = rng.integers(0, 3, n)
    component[:2] = (0, 1)
    for rows in (np.arange(n), rng.choice(n, n // 2, replace=False), np.empty(0, np.int64)):
        ours = backend.nearest_outside(points, component, rows)
        reference = REFERENCE.nearest_outside(points, component, rows)
        np.testing.assert_array_equal(ours[0], reference[0])
        np.testing.assert_array_equal(ours[1], reference[1])


@pytest.mark.parametrize("n", SIZES)
def test_spanning_tree(backend, n):
    Y = np.random.default_rng(n).random(n * (n - 1) // 2)
    ours = backend.spanning_tree(Y, n, lambda done: None)
    reference = REFERENCE.spanning_tree(Y, n, lambda done: None)
    np.testing.assert_array_equal(ours[0], reference[0])
    np.testing.assert_array_equal(ours[1], reference[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", ["centroid", "median"])
def test_generic(backend, method, n, dtype):
    """Merges in two parts with a compaction between, on tied data: same ids, same bits."""
    rule = methods.METHODS[method]
    points = tied_points(n, 3, dtype)
    Y = np.random.default_rng(n).integers(1, 9, n * (n - 1) // 2).astype(dtype)
    for source in ("points", "condensed"):
        results = []
        for candidate in (backend, REFERENCE):
            if source == "points":
                engine = candidate.generic_points(points, rule)
            else:
                engine = candidate.generic_stored(candidate.store_condensed(Y, n, True), rule)
            half = (n - 1) // 2
            parts = [engine.merge(n, half)[:2]] if half else []
            engine.compact()
            parts.append(engine.merge(n + half, n - 1 - half)[:2])
            results.append([np.concatenate([part[k] for part in parts]) for k in (0, 1)])
        for ours, reference in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, reference)


def test_select():
    assert select("auto").name == "cpu"
    assert select("CPU").name == "cpu"
    with pytest.raises(BackendUnavailable, match="cuda"):
        select("cuda")
    with pytest.raises(ValueError, match="Did you mean 'cpu'"):
        select("cpuu")
    with pytest.raises(ValueError, match="device"):
        select(3)  # type: ignore[arg-type]
