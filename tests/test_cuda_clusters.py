"""Dissimilarities of clusters on CUDA: by distance tiles and pair by pair the same bits, those of the CPU.

However the distances are divided into slabs: clusters then stand in several of them, and sums are continued.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from conftest import EMULATED, ON_DEVICE, SIMULATED
from covering import covering

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters
from gpuclust.kernels.cuda import aggregate, cluster_search, launch, tiles
from gpuclust.kernels.cuda.between import Grouped, between

pytestmark = ON_DEVICE

N = 61 if SIMULATED else 301 if EMULATED else 3001
PAIRWISE = [name for name, rule in methods.METHODS.items() if rule.pairs]


def grouped(n: int, method: str, dtype: str, kind: str = "normal"):
    """Points, and clusters of them: many single points, and some large clusters."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 3)) if kind != "ties" else rng.integers(0, 3, (n, 3)) * 3.0
    if kind == "undefined":
        X[::7] = np.nan
    points = preparation.prepare(X, "nan_euclidean" if kind == "undefined" else "euclidean", dtype=dtype)
    rule = methods.METHODS[method]
    clusters = Clusters.of_points(n, points.dtype)
    for share in (3, 3, 2, 2):
        count = clusters.ids.size
        rows = np.sort(rng.permutation(count)[: 2 * (count // share // 2)]).reshape(-1, 2)
        rows = np.concatenate((rows, [np.setdiff1d(np.arange(count), rows)[[0, -1]]])) if share == 3 else rows
        clusters, _ = clusters.unite(rows[:, 0], rows[:, 1], int(clusters.ids[-1]) + 1, rule.counted)
    return points, rule, clusters


def one_by_one(points, rule, clusters) -> np.ndarray:
    """All dissimilarities, pair by pair."""
    count = clusters.ids.size
    values = launch.empty(count * count, points.dtype)
    between(Grouped(points, rule, clusters), launch.empty(0, np.int64), launch.upload(np.arange(count)), values)
    return launch.download(values).reshape(count, count)


def by_tiles(points, rule, clusters) -> np.ndarray:
    """The matrix, as the square that it is half of."""
    count = clusters.ids.size
    matrix = launch.empty(tiles.tiled_size(count), points.dtype)
    aggregate.fill_clusters(matrix, Grouped(points, rule, clusters))
    held = launch.download(matrix).reshape(-1, tiles.TILE, tiles.TILE)
    rows = tiles.tile_rows(count)
    square = np.full((rows * tiles.TILE, rows * tiles.TILE), np.inf, points.dtype)
    for tile, (row, column) in zip(held, zip(*np.triu_indices(rows), strict=True), strict=True):
        square[row * tiles.TILE :, column * tiles.TILE :][: tiles.TILE, : tiles.TILE] = tile
    assert np.isposinf(square[np.tril_indices(len(square))]).all()
    assert np.isposinf(square[:, count:]).all()
    return np.minimum(square, square.T)[:count, :count]


@pytest.mark.parametrize(
    ("method", "dtype", "slab"), covering(PAIRWISE, ["float64", "float32"], [1, 700, 4000, 1 << 20], together=1)
)
def test_the_matrix_has_the_bits_of_single_pairs(monkeypatch, method, dtype, slab):
    points, rule, clusters = grouped(N, method, dtype)
    assert clusters.size.max() > 8
    monkeypatch.setattr(aggregate, "SLAB", slab if SIMULATED else slab * 500)
    found = by_tiles(points, rule, clusters)
    np.testing.assert_array_equal(found, one_by_one(points, rule, clusters))


@pytest.mark.parametrize(
    ("method", "dtype", "kind"), covering(PAIRWISE, ["float64", "float32"], ["normal", "ties"], together=1)
)
def test_nearest_clusters_are_the_cpus(monkeypatch, method, dtype, kind):
    """In both ways, with rows in any order, and results for a few clusters at a time."""
    points, rule, clusters = grouped(N, method, dtype, kind)
    expected = select("reference" if SIMULATED else "cpu").store_clusters(points, rule, clusters)
    rows = np.random.default_rng(0).permutation(clusters.ids.size)
    monkeypatch.setattr(aggregate, "SLAB", 2000 if SIMULATED else 1 << 20)
    for few, at_once in ((0, 20), (0, 1 << 12), (10**9, 20)):
        monkeypatch.setattr(cluster_search, "FEW", few)
        monkeypatch.setattr(cluster_search, "POINTS", at_once)
        index, distance = cluster_search.nearest_cluster(points, rule, clusters, rows)
        np.testing.assert_array_equal(index, expected.nearest[rows])
        np.testing.assert_array_equal(distance, expected.distance[rows])
    for row in (0, clusters.ids.size - 1):
        index, distance = cluster_search.nearest_cluster(points, rule, clusters, np.array([row]))
        assert (index[0], distance[0]) == (expected.nearest[row], expected.distance[row])


@pytest.mark.parametrize("method", PAIRWISE)
def test_dissimilarities_that_are_not_finite(monkeypatch, method):
    """NaN of a pair of points stays in the sums and in the maxima, and counts as -inf in a search."""
    points, rule, clusters = grouped(N, method, "float64", "undefined")
    expected = one_by_one(points, rule, clusters)
    assert np.isnan(expected).any()
    monkeypatch.setattr(aggregate, "SLAB", 4000)
    np.testing.assert_array_equal(np.isnan(by_tiles(points, rule, clusters)), np.isnan(expected))
    monkeypatch.setattr(cluster_search, "FEW", 0)
    distance = cluster_search.nearest_cluster(points, rule, clusters, np.arange(len(expected)))[1]
    np.testing.assert_array_equal(np.isneginf(distance), np.isnan(expected).any(axis=1))


def test_one_cluster_has_no_pairs():
    points = preparation.prepare(np.eye(2), "euclidean")
    rule = methods.METHODS["complete"]
    clusters, _ = Clusters.of_points(2, points.dtype).unite(np.array([0]), np.array([1]), 2, True)
    assert np.isposinf(by_tiles(points, rule, clusters)).all()


def test_pieces_are_whole_clusters():
    start = np.array([0, 3, 4, 10, 12, 13])
    assert list(aggregate.pieces(start, 0, 4)) == [(0, 2), (2, 3), (3, 5)]
    assert list(aggregate.pieces(start, 1, 100)) == [(1, 5)]
    assert list(aggregate.pieces(start, 0, 0)) == [(k, k + 1) for k in range(5)]
    assert list(aggregate.pieces(start, 5, 4)) == []
