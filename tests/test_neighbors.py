"""nearest_neighbors: against all distances, against SciPy's and scikit-learn's trees, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import METRICS, one_of_each_form, points_for
from scipy.cluster import hierarchy
from scipy.spatial import KDTree
from sklearn.neighbors import NearestNeighbors

import gpuclust
from gpuclust.algorithms.costs import selection_slab_bytes
from gpuclust.compute import compute
from gpuclust.core import metrics, preparation
from gpuclust.core.device import Device
from gpuclust.distance import nearest_neighbors, pdist, squareform
from gpuclust.distance.neighbors import memory_needed
from gpuclust.kernels.cpu.points import tree_knn
from gpuclust.kernels.reference.pairwise import pairwise


def from_all_distances(X, k, metric, **arguments):
    square = squareform(pdist(X, metric, device="cpu", **arguments))
    np.fill_diagonal(square, np.inf)
    indices = np.argsort(square, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(square, indices, axis=1), indices


@pytest.mark.parametrize("metric", one_of_each_form(METRICS))
def test_every_metric(metric):
    X = points_for(metric, 120, 4)
    distances, indices = nearest_neighbors(X, 5, metric)
    expected, _ = from_all_distances(X, 5, metric)
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=1e-12)
    square = squareform(pdist(X, metric))
    np.testing.assert_allclose(square[np.arange(120)[:, None], indices], distances, atol=1e-12)
    assert (indices != np.arange(120)[:, None]).all()
    assert distances.dtype == np.float64
    assert indices.dtype == np.int64


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("m", [1, 2, 3, 8, 20])
def test_ties_go_to_the_smaller_index(m, k):
    """On a grid, by tree and by all distances; every distance occurs many times."""
    X = np.random.default_rng([m, k]).integers(0, 3, (700, m)).astype(float)
    for metric in ("sqeuclidean", "cityblock", "chebyshev"):
        expected = from_all_distances(X, k, metric)
        for ours, theirs in zip(nearest_neighbors(X, k, metric), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("metric", "p"), [("euclidean", 2), ("cityblock", 1), ("chebyshev", np.inf), ("minkowski", 3)]
)
def test_scipys_tree(metric, p):
    X = np.random.default_rng(0).normal(size=(5000, 3))
    arguments = {"p": p} if metric == "minkowski" else {}
    distances, indices = nearest_neighbors(X, 4, metric, **arguments)
    expected, places = KDTree(X).query(X, 5, p=p)
    np.testing.assert_allclose(distances, expected[:, 1:], rtol=1e-12)
    np.testing.assert_array_equal(indices, places[:, 1:])


def test_scikit_learns_search():
    X = np.random.default_rng(1).normal(size=(800, 12))
    distances, indices = nearest_neighbors(X, 7, "cosine")
    expected, places = NearestNeighbors(n_neighbors=7, metric="cosine").fit(X).kneighbors()
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    np.testing.assert_array_equal(indices, places)


def test_equal_points_are_neighbours():
    for n in (2, 31, 33, 3000):
        distances, indices = nearest_neighbors(np.ones((n, 2)), min(n - 1, 3))
        assert (distances == 0).all()
        expected = [[j for j in range(5) if j != i][: min(n - 1, 3)] for i in range(n)]
        np.testing.assert_array_equal(indices, expected)


def test_float32():
    X = np.random.default_rng(2).normal(size=(3000, 2))
    distances, indices = nearest_neighbors(X, 3, dtype="float32")
    expected, places = nearest_neighbors(X, 3)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, rtol=1e-3, atol=1e-6)
    assert (indices == places).mean() > 0.99


def test_weights_and_other_arguments():
    X = np.random.default_rng(3).normal(size=(600, 3))
    for metric, arguments in (
        ("euclidean", {"w": [1.0, 0.0, 4.0]}),
        ("minkowski", {"p": 1.5, "w": [1.0, 2.0, 0.5]}),
        ("seuclidean", {"V": [1.0, 2.0, 3.0]}),
        ("mahalanobis", {"VI": np.eye(3) + 0.1}),
    ):
        distances, indices = nearest_neighbors(X, 4, metric, **arguments)
        expected, places = from_all_distances(X, 4, metric, **arguments)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)
        np.testing.assert_array_equal(indices, places)


def test_a_function():
    X = np.random.default_rng(4).normal(size=(40, 2))
    ours = nearest_neighbors(X, 3, lambda x, y: abs(x - y).sum())
    expected = nearest_neighbors(X, 3, "cityblock")
    np.testing.assert_allclose(ours[0], expected[0])
    np.testing.assert_array_equal(ours[1], expected[1])


def test_nothing_at_a_finite_distance_is_no_neighbour():
    X = np.array([[0.0, 1.0], [1.0, 1.0], [np.nan, 0.0], [2.0, 1.0]])
    for metric in ("euclidean", "cityblock", "cosine"):
        distances, indices = nearest_neighbors(X, 3, metric)
        assert (indices[:, 2] == -1).all()
        assert (indices[2] == -1).all()
        assert np.isinf(distances[:, 2]).all()
        assert set(indices[0, :2]) == {1, 3}


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_do_not_matter(threads, monkeypatch):
    X = np.random.default_rng(5).integers(0, 200, (20_000, 2)).astype(float)
    expected = nearest_neighbors(X, 6)
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
    for ours, theirs in zip(nearest_neighbors(X, 6), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"k": 0}, ValueError, "from 1 to 9"),
        ({"k": 10}, ValueError, "got 10"),
        ({"k": 1.5}, TypeError, "whole number"),
        ({"metric": "euclidian"}, ValueError, "euclidean"),
        ({"dtype": "int8"}, ValueError, "float32"),
        ({"device": "gpu"}, ValueError, "device"),
        ({"q": 2}, TypeError, "unknown parameter 'q'"),
        ({"memory_limit": 10}, gpuclust.DoesNotFit, "may be used"),
    ],
)
def test_refusals(arguments, error, text):
    X = np.random.default_rng(6).normal(size=(10, 2))
    with pytest.raises(error, match=text):
        nearest_neighbors(X, **arguments)


def test_one_point_has_no_neighbour():
    with pytest.raises(ValueError, match="at least 2 points"):
        nearest_neighbors([[1.0, 2.0]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 500, 300_000, 10_000_000])
def test_what_a_card_holds_is_foreseen(n, dtype):
    """Distances of a row of tiles to all points: of many points that is more than the usual slab."""
    pytest.importorskip("numba_cuda")
    from gpuclust.kernels.cuda.knn import slab_rows

    width = np.dtype(dtype).itemsize
    for metric in metrics.METRICS.values():
        held = slab_rows(n, metric, np.dtype(dtype)) * n * width
        assert (
            0 < held <= selection_slab_bytes(n, width) <= memory_needed(n, 2, 1, "euclidean", dtype, Device("cuda"))
        )


@pytest.mark.parametrize("p", [0.01, 0.05, 0.5, 50])
def test_powers_and_roots_of_them_do_not_mislead_a_tree(p):
    """A p-th root makes the rounding of powers 1 / p times as large, and bounds of boxes take that off."""
    rng = np.random.default_rng(6)
    for X in (rng.normal(size=(600, 2)), rng.integers(1, 9, (600, 3)) / 7.0):
        expected, _ = from_all_distances(X, 4, "minkowski", p=p)
        distances, indices = nearest_neighbors(X, 4, "minkowski", p=p)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)
        square = squareform(pdist(X, "minkowski", p=p))
        np.testing.assert_allclose(square[np.arange(600)[:, None], indices], distances, rtol=1e-12)
        Z = compute(X, "single", "minkowski", p=p).Z
        heights = hierarchy.linkage(squareform(square), "single")[:, 2]
        np.testing.assert_allclose(Z[:, 2], heights, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_box_is_no_farther_than_its_points_whatever_the_power(dtype):
    """Boxes and points a few last bits apart, so that nothing but rounding decides."""
    rng = np.random.default_rng(7)
    minkowski, number = metrics.METRICS["minkowski"], np.dtype(dtype).type
    between_boxes, *_ = tree_knn.bounds(minkowski, False, np.dtype(dtype))
    eps = np.finfo(dtype).eps
    for p in (0.01, 0.05, 1 / 17, 0.3, 3.0, 50.0):
        for m in (1, 3) if p < 0.05 else (1, 3, 40):
            if dtype == "float32" and p < 0.05:  # overflows
                continue
            at = rng.uniform(0.5, 1, (400, m)).astype(dtype)
            points = preparation.prepare(np.concatenate((np.zeros((1, m)), at)), "minkowski", p=p, dtype=dtype)
            distance = pairwise(points, points)[0, 1:]
            near = (at * (1 - eps * rng.integers(0, 2, at.shape))).astype(dtype)
            corners = np.concatenate((np.zeros((1, m)), near)).astype(dtype)
            bound = [between_boxes(corners, corners, 0, j, points.features[:0, 0], number(p)) for j in range(1, 401)]
            assert (bound <= distance).all()
            assert (bound >= distance * (1 - eps * 4 * (16 + (2 * m + 16) / p))).all()
