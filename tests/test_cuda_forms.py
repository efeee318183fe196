"""Searches on CUDA by every form of metric, weights and type: each kernel of the catalogue runs at least once.

`conftest.py` checks that, when all emulated tests are run.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from conftest import ON_DEVICE

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from cuda_forms import FORMS, prepared

from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters
from gpuclust.kernels.cuda import launch, nearest
from gpuclust.kernels.cuda.between import Grouped, between
from gpuclust.kernels.reference import pairwise as reference

pytestmark = ON_DEVICE

REFERENCE = select("reference")


def tolerance(dtype: np.dtype) -> dict[str, float]:
    return {"rtol": 1e-12, "atol": 1e-14} if dtype == np.float64 else {"rtol": 2e-5, "atol": 2e-5}


def check(found: tuple[np.ndarray, np.ndarray], allowed: np.ndarray, dtype: np.dtype) -> None:
    """Indices and distances are those of the minima of rows; infinite entries are not allowed."""
    index, distance = found
    np.testing.assert_allclose(distance, allowed.min(axis=1), **tolerance(dtype))
    np.testing.assert_allclose(allowed[np.arange(len(index)), index], allowed.min(axis=1), **tolerance(dtype))


@pytest.mark.parametrize("form", FORMS)
def test_nearest(form):
    metric, weighted, dtype = FORMS[form]
    points = prepared(metric, weighted, dtype, 9, 5, defined=True)
    distances = reference.pairwise(points, points)
    check(nearest.nearest(points), np.where(np.eye(9, dtype=bool), np.inf, distances), dtype)
    component, rows = np.arange(9) % 3, np.array([1, 2, 5, 8])
    allowed = np.where(component[rows, None] == component, np.inf, distances[rows])
    check(nearest.nearest_outside(points, component, rows), allowed, dtype)


@pytest.mark.parametrize("method", ["average", "complete"])
@pytest.mark.parametrize("form", FORMS)
def test_clusters(form, method):
    metric, weighted, dtype = FORMS[form]
    points, rule = prepared(metric, weighted, dtype, 9, 5, defined=True), methods.METHODS[method]
    clusters, _ = Clusters.of_points(9, dtype).unite(np.array([0, 3]), np.array([2, 7]), 9, rule.counted)
    clusters, _ = clusters.unite(np.array([5]), np.array([6]), 11, rule.counted)
    ours, expected = (select(name).store_clusters(points, rule, clusters) for name in ("cuda", "reference"))
    np.testing.assert_allclose(ours.distance, expected.distance, **tolerance(dtype))
    count = clusters.ids.size
    values = launch.empty(count * count, dtype)
    between(Grouped(points, rule, clusters), launch.empty(0, np.int64), launch.upload(np.arange(count)), values)
    by_pair = launch.download(values).reshape(count, count)
    np.testing.assert_array_equal(by_pair.min(axis=1), ours.distance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["average", "weighted"])
def test_means_of_squared_distances(method, dtype):
    X = np.random.default_rng(2).integers(0, 9, (30, 3)) + np.arange(30)[:, None] / 64
    points, rule = preparation.prepare(X, "sqeuclidean", dtype=dtype), methods.METHODS[method]
    found = []
    for name in ("cuda", "reference"):
        state = select(name).summarise(points, rule, np.ones(30, points.features.dtype))
        near, size, ids = state.nearest, np.ones(30, points.features.dtype), np.arange(30)
        first = np.flatnonzero((near[near] == np.arange(30)) & (np.arange(30) < near))
        partner = np.full(30, -1)
        partner[first] = near[first]
        rows = np.setdiff1d(np.arange(30), near[first])
        new_size, new_id = size.copy(), ids.copy()
        new_size[first] += 1 if rule.counted else 0
        new_id[first] = 30 + np.arange(first.size)
        state.merge(rule, rows, partner[rows], state.distance[rows], size, new_size[rows], new_id[rows])
        size, ids = new_size[rows], new_id[rows]
        pairs, heights, _ = state.chain(rule, size, ids, ids[state.nearest], 30 + first.size, 3)
        found.append((np.sort(pairs, axis=1), heights))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("metric", ["seuclidean", "haversine"])
def test_neighbours_of_prepared_float32(metric):
    points = preparation.prepare(np.random.default_rng(0).random((12, 2)), metric, dtype="float32")
    np.testing.assert_allclose(select("cuda").knn(points, 3)[1], REFERENCE.knn(points, 3)[1], rtol=1e-4)
