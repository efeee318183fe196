"""Single linkage of equal distances: heights are SciPy's bits by every algorithm; the order of rows.

For condensed distances, and up to 1,024 points, rows are SciPy's. For more points they are ordered by (length,
smaller end, larger end) of the spanning tree's edges.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
import scipy.spatial.distance as scipy_distance
from conftest import once

import gpuclust
from gpuclust import hierarchy
from gpuclust.algorithms.spanning_tree import SMALL


def lattice(n: int, seed: int, m: int = 2) -> np.ndarray:
    """Whole numbers, many distances equal, and copies of points."""
    return np.random.default_rng(seed).integers(0, max(3, int(n ** (1 / m))), (n, m)).astype(float)


def by_ends(X: np.ndarray) -> np.ndarray:
    """Kruskal over all pairs, by (distance, smaller end, larger end)."""
    n = len(X)
    first, second = np.triu_indices(n, 1)
    cluster, size = np.arange(n), dict.fromkeys(range(n), 1)
    rows = []
    distances = scipy_distance.pdist(X)
    for pair in np.lexsort((second, first, distances)):
        a, b = sorted((cluster[first[pair]], cluster[second[pair]]))
        if a != b:
            new = n + len(rows)
            size[new] = size[a] + size[b]
            rows.append((a, b, distances[pair], size[new]))
            cluster[(cluster == a) | (cluster == b)] = new
            if len(rows) == n - 1:
                break
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("n", [5, 60, SMALL - 1, SMALL])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_rows_of_few_points_are_scipys(n: int, m: int) -> None:
    X = lattice(n, n + m, m)
    expected = scipy_hierarchy.linkage(X)
    np.testing.assert_array_equal(gpuclust.linkage(X), expected)
    np.testing.assert_array_equal(gpuclust.linkage(X, algorithm="spanning tree, stored"), expected)


@pytest.mark.parametrize("n", [60, SMALL - 1, SMALL, SMALL + 1, SMALL + 2])
def test_rows_by_each_algorithm_at_the_border(n: int) -> None:
    X = lattice(n, n)
    scipys, ordered = scipy_hierarchy.linkage(X), by_ends(X)
    np.testing.assert_array_equal(gpuclust.linkage(scipy_distance.pdist(X)), scipys)
    np.testing.assert_array_equal(gpuclust.linkage(X, algorithm="spanning tree, stored"), scipys)
    np.testing.assert_array_equal(gpuclust.linkage(X, algorithm="spanning tree"), ordered)
    np.testing.assert_array_equal(gpuclust.linkage(X), scipys if n <= SMALL else ordered)
    np.testing.assert_array_equal(ordered[:, 2], scipys[:, 2])
    for t in (0.0, 1.0, 1.5):  # so flat clusters at a height are the same
        assert hierarchy.is_isomorphic(
            hierarchy.fcluster(scipys, t, "distance"), hierarchy.fcluster(ordered, t, "distance")
        )


@pytest.mark.parametrize("method", once(["complete", "average", "weighted"]))
def test_without_ties_all_algorithms_give_the_same_rows(method: str) -> None:
    X = np.random.default_rng(4).normal(size=(600, 3))
    expected = scipy_hierarchy.linkage(X, method)
    for algorithm in ("stored", "hybrid", "cluster tree"):
        Z = gpuclust.linkage(X, method, algorithm=algorithm)
        np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
        if method == "complete":
            np.testing.assert_array_equal(Z, expected)
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)
