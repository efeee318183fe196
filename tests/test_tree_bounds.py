"""Ties and near ties in searches of kd-trees that expose missing margins and reversed comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters
from gpuclust.distance import nearest_neighbors
from gpuclust.kernels.cpu.clusters.hull import keep_corners


def united(parts: list[list[int]], n: int) -> Clusters:
    """Clusters of points 0 .. n - 1 with these members: unions made in the order given."""
    clusters = Clusters.of_points(n, np.dtype("float64"))
    next_id = n
    for part in parts:
        whole = part[0]
        for point in part[1:]:
            pair = np.searchsorted(clusters.ids, sorted((whole, point)))
            clusters, _ = clusters.unite(pair[:1], pair[1:], next_id, True)
            whole, next_id = next_id, next_id + 1
    return clusters


@pytest.mark.parametrize("size", [7, 11, 23, 47, 49])
@pytest.mark.parametrize("first", ["left", "right"])
def test_equal_averages_are_ties(size, first):
    """Clusters left and right of a point whose average distances are equal: the earlier one is the nearest.

    A sum of distances is compared with the best average times the number of pairs, which is rounded: without a margin
    the second of two equal sums is taken for a larger one (v / 49 * 49 < v for v = 27).
    """
    rng = np.random.default_rng(size)
    rule = methods.METHODS["average"]
    for _ in range(12):
        side = np.zeros((size, 2))
        while side.sum() / size * size >= side.sum():
            side = rng.integers(1, 9, (size, 2)).astype(float)
        away = rng.integers(1000, 2000, (60, 2)) * rng.choice([-1.0, 1.0], (60, 2))  # so that there is a tree
        X = np.concatenate((np.zeros((1, 2)), side, -side, away))
        parts = [list(range(1, size + 1)), list(range(size + 1, 2 * size + 1))]
        if first == "right":
            parts.reverse()
        clusters = united(parts, len(X))
        points = preparation.prepare(X, "cityblock")
        searched = select("cpu").search_clusters(points, rule, clusters, bounded=True)
        row = int(np.flatnonzero(searched.ids == 0)[0])
        assert searched.distance[row] == side.sum() / size
        assert searched.ids[searched.nearest[row]] == len(X) + size - 2  # the first union of all of its points


@pytest.mark.parametrize("method", ["average", "complete"])
@pytest.mark.parametrize("metric", ["cityblock", "euclidean"])
def test_centres_that_are_rounded(metric, method):
    """Points a few last bits apart: centres of clusters are off by as much as clusters are apart."""
    rule = methods.METHODS[method]
    rng = np.random.default_rng(2)
    for _ in range(150):
        n, m = int(rng.integers(60, 200)), int(rng.integers(1, 4))
        large = float(rng.choice([1e8, 1.0, 0.7, 3e5]))
        last_bit = np.spacing(large)
        X = large * np.where(rng.random(n) < 0.9, 1.0, -1.0)[:, None]
        X = X + last_bit * rng.integers(0, int(rng.choice([3, 10, 40, 200])), (n, m))
        along = (X - X.min()) @ rng.normal(size=m) + last_bit * rng.random(n) * rng.choice([0, 2, 10])
        ends = np.sort(rng.choice(np.arange(1, n), n // int(rng.integers(2, 8)), replace=False))
        clusters = united([part.tolist() for part in np.split(np.argsort(along, kind="stable"), ends)], n)
        points = preparation.prepare(X, metric)
        searched = select("cpu").search_clusters(points, rule, clusters, bounded=True)
        found = searched.distance[np.argsort(searched.ids)]  # rows are in another order
        expected = select("reference").store_clusters(points, rule, clusters).distance
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("metric", ["cityblock", "chebyshev"])
def test_lists_of_a_shuffled_lattice(k, metric):
    """Nearly all distances are equal, and equal to those of boxes: only indices decide what is looked at."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.permutation(np.stack(np.divmod(np.arange(13 * 17), 17), axis=1).astype(float))
        distance, index = nearest_neighbors(X, k, metric, device="cpu")
        far = cdist(X, X, metric)
        np.fill_diagonal(far, np.inf)
        expected = np.argsort(far, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(index, expected)
        np.testing.assert_array_equal(distance, np.take_along_axis(far, expected, 1))


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("strict", [False, True])
def test_corners_that_are_the_same_but_for_rounding(strict, scale):
    """Points some last bits from a corner of a hull: rounding can make any of them the farthest."""
    rng = np.random.default_rng(3)
    for _ in range(150):
        corners = scale * rng.normal(size=(4, 2))
        X = np.repeat(corners, 5, axis=0)
        X += np.spacing(X) * rng.integers(-3, 4, X.shape)
        n = len(X)
        others = scale * rng.normal(size=(60, 2))
        diameter = float(np.linalg.norm(np.ptp(np.concatenate((X, others)), axis=0)))
        kept, which = X.copy(), np.arange(n)
        count = keep_corners(kept, which, 0, n, np.empty(2 * n + 2, np.int64), diameter, strict)
        far = cdist(others, X)
        np.testing.assert_array_equal(far[:, which[:count]].max(axis=1), far.max(axis=1))


def test_a_side_of_equal_distances_is_kept_where_the_metric_allows_them():
    """By city-block distance all points of a slanting side are as far; which is farthest is a matter of rounding."""
    rng = np.random.default_rng(4)
    needed = 0
    for _ in range(100):
        side = rng.random(12)
        X = np.concatenate((np.column_stack((side, 1 - side)), [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        n = len(X)
        others = -rng.random((60, 2))
        kept, which = X.copy(), np.arange(n)
        count = keep_corners(kept, which, 0, n, np.empty(2 * n + 2, np.int64), 4.0, False)
        far = cdist(others, X, "cityblock")
        np.testing.assert_array_equal(far[:, which[:count]].max(axis=1), far.max(axis=1))
        needed += (far[:, [n - 2, n - 1]].max(axis=1) < far.max(axis=1)).any()
    assert needed > 20
