"""The judge in extended precision accepts SciPy's trees and refuses planted wrong ones, at any scale."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import METHODS, points_for
from exact_judge import Wrong, dissimilarities, judge, judge_neighbours
from scipy.cluster import hierarchy
from scipy.spatial.distance import cdist, pdist, squareform

from gpuclust.distance import nearest_neighbors


def tight_groups() -> np.ndarray:
    """Groups a billionth of the extent wide: their merges are below 1e-17 of it where distances are squared."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(5, 2))[rng.integers(0, 5, 60)] * 2.0 + np.ldexp(rng.integers(-999, 999, (60, 2)), -40)


@pytest.mark.parametrize("kind", ["normal", "ties", "tight groups"])
@pytest.mark.parametrize("method", METHODS)
def test_accepts_scipy(method, kind):
    X = tight_groups() if kind == "tight groups" else points_for("euclidean", 60, 3)
    X = np.round(X) if kind == "ties" else X
    judge(hierarchy.linkage(X, method), dissimilarities(X, "euclidean"), method, rtol=1e-10)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cityblock", "chebyshev", "braycurtis", "cosine", "correlation"])
def test_its_dissimilarities_are_scipys(metric):
    X = points_for("braycurtis", 30, 4)
    np.testing.assert_allclose(dissimilarities(X, metric).astype(float), cdist(X, X, metric), rtol=1e-9, atol=1e-15)


def test_minkowski_is_scipys():
    X = points_for("minkowski", 30, 4)
    found = dissimilarities(X, "minkowski", p=1.5).astype(float)
    np.testing.assert_allclose(found, cdist(X, X, "minkowski", p=1.5), rtol=1e-13)


def test_accepts_either_answer_to_a_tie():
    square = squareform([1.0, 2.0, 1.0])  # 0-1 and 1-2 are equally near
    judge(np.array([[0, 1, 1, 2], [2, 3, 1, 3.0]]), square, "single", rtol=0)
    judge(np.array([[1, 2, 1, 2], [0, 3, 1, 3.0]]), square, "single", rtol=0)


def test_no_tolerance_means_the_bits():
    X = points_for("euclidean", 30, 3)
    square = squareform(pdist(X))
    Z = hierarchy.linkage(X, "complete")
    judge(Z, square, "complete", rtol=0)
    Z[10, 2] = np.nextafter(Z[10, 2], 0)
    with pytest.raises(Wrong, match="row 10: height"):
        judge(Z, square, "complete", rtol=0)


def _wrong_height(Z):
    Z[10, 2] *= 1 + 1e-8


def _wrong_count(Z):
    Z[10, 3] += 1


def _used_twice(Z):
    Z[10, 0] = Z[9, 0]


def _too_early(Z):
    Z[3, 1] = 90


def _no_whole_number(Z):
    Z[3, 0] += 0.5


def _negative(Z):
    Z[3, 0] = -1


def _not_closest(Z):
    Z[[0, 5], :3] = Z[[5, 0], :3]


def _not_closest_but_in_order(Z):
    Z[[0, 5], :2] = Z[[5, 0], :2]


def _ids_out_of_order(Z):
    Z[4, [0, 1]] = Z[4, [1, 0]]


def _not_a_number(Z):
    Z[4, 2] = np.nan


@pytest.mark.parametrize(
    "damage",
    [
        _wrong_height, _wrong_count, _used_twice, _too_early, _no_whole_number, _negative, _not_closest,
        _not_closest_but_in_order, _ids_out_of_order, _not_a_number,
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["average", "ward", "centroid"])
@pytest.mark.parametrize("tight", [False, True])
def test_refuses_damage(damage, method, tight):
    X = tight_groups() if tight else points_for("euclidean", 60, 3)
    Z = hierarchy.linkage(X, method)
    damage(Z)
    with pytest.raises(Wrong):
        judge(Z, dissimilarities(X, "euclidean"), method)


def test_refuses_too_few_rows():
    X = points_for("euclidean", 10, 3)
    with pytest.raises(Wrong, match="shape"):
        judge(hierarchy.linkage(X)[:-1], dissimilarities(X, "euclidean"), "single")


@pytest.mark.parametrize("claimed", [method for method in METHODS if method != "average"])
def test_refuses_another_linkages_tree(claimed):
    X = points_for("euclidean", 30, 3)
    with pytest.raises(Wrong):
        judge(hierarchy.linkage(X, "average"), dissimilarities(X, "euclidean"), claimed)


def test_refuses_a_wrong_merge_that_is_tiny_beside_the_data():
    """A merge of two points where another pair is 0.1 % nearer, at 1e-9 of the extent: squares differ by 1e-21."""
    X = np.array([[0.0], [1e-9], [5.0], [5.0 + 1.001e-9]])
    right = np.array([[0, 1, 1e-9, 2], [2, 3, X[3, 0] - X[2, 0], 2], [4, 5, 0, 4]])
    right[2, 2] = hierarchy.ward(pdist(X))[2, 2]
    judge(right, dissimilarities(X, "euclidean"), "ward")
    wrong = right[[1, 0, 2]]
    wrong[:2, 2] = wrong[0, 2]
    with pytest.raises(Wrong, match="row 0: pair 2, 3 at"):
        judge(wrong, dissimilarities(X, "euclidean"), "ward")


def test_neighbours():
    X = np.round(points_for("euclidean", 40, 2), 1)
    distances, indices = nearest_neighbors(X, 5, device="cpu")
    bits, order = pdist(X), pdist(X, "sqeuclidean")
    judge_neighbours(distances, indices, bits, order, 5)
    with pytest.raises(Wrong, match="distances"):
        judge_neighbours(np.nextafter(distances, 0), indices, bits, order, 5)
    swapped = indices.copy()
    swapped[7, :2] = indices[7, 1::-1]
    with pytest.raises(Wrong, match="neighbours of 7"):
        judge_neighbours(distances, swapped, bits, order, 5)
