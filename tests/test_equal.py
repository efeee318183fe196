"""Duplicate points merge first: pairwise, only if their distance is zero, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SAME_FORMULA, once
from covering import covering
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust.algorithms.candidates import merge_equal
from gpuclust.algorithms.rounds import from_points
from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Merging
from gpuclust.hierarchy.assemble import assemble

PAIRWISE = [m for m in methods.METHODS if methods.METHODS[m].pairs]


def merged(X: np.ndarray, metric: str = "euclidean", method: str = "average"):
    points = preparation.prepare(X, metric)
    merges = Merging(len(X), points.features.dtype)
    return *merge_equal(points, methods.METHODS[method], merges), merges


def test_groups_become_points_with_their_number_as_weight():
    X = np.array([[1.0, 2], [0, 0], [1, 2], [3, 4], [-0.0, 0], [1, 2]])
    points, clusters, merges = merged(X)
    assert merges.pairs[: merges.done].tolist() == [[0, 2], [1, 4], [6, 5]]
    assert (merges.heights[: merges.done] == 0).all()
    assert clusters.ids.tolist() == [3, 7, 8]
    assert clusters.weight.tolist() == clusters.total.tolist() == [1, 2, 3]
    assert points.features.T.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert merged(X, method="weighted")[1].weight.tolist() == [1, 1, 1]


def test_a_thousand_copies_merge_in_ten_rounds():
    _, clusters, merges = merged(np.ones((1024, 3)))
    assert merges.done == 1023
    assert clusters.ids.tolist() == [2046]
    depth = np.zeros(2047)
    for k, (a, b) in enumerate(merges.pairs):
        depth[1024 + k] = 1 + max(depth[a], depth[b])
    assert depth.max() == 10


@pytest.mark.parametrize("metric", ["cosine", "russellrao", "dice", "correlation"])
def test_copies_that_are_not_at_zero_are_left_alone(metric):
    some = np.random.default_rng(1).random((40, 30))
    X = np.repeat(some < 0.5 if metric == "russellrao" else some, 2, axis=0)
    points, _, merges = merged(X, metric)
    zero = sum(gpuclust.distance.pdist(X[2 * k : 2 * k + 2], metric)[0] == 0 for k in range(40))
    assert points.n == 80 - merges.done
    assert merges.done == (0 if metric == "dice" else zero) < 40


@pytest.mark.parametrize(
    ("method", "metric", "most"),
    covering(
        PAIRWISE,
        ["euclidean", "cityblock", "cosine", "jaccard"],
        [300, 2000],
        together=3,
        rare=lambda method, metric, most: method in SAME_FORMULA or (method, metric) == ("complete", "jaccard"),
    ),
)
def test_linkage_of_many_copies_is_scipys(method, metric, most):
    """With a matrix of so many clusters at most. Heights are unique, but for those at zero."""
    rng = np.random.default_rng(3)
    some = rng.normal(size=(1100, 7)) if metric != "jaccard" else rng.random((1100, 60)) < 0.5
    X = some[np.concatenate((np.arange(1100), rng.integers(0, 30, 700)))]
    points = preparation.prepare(X, metric)
    merges = from_points(select("cpu"), points, methods.METHODS[method], lambda done: None, most)
    Z = assemble(merges)
    expected = hierarchy.linkage(pdist(X, metric), method)
    assert hierarchy.is_valid_linkage(Z)
    if metric != "jaccard":  # full of ties
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-10, atol=1e-15)
    if method == "complete" and metric in ("euclidean", "cityblock"):
        np.testing.assert_array_equal(Z[:, 2], expected[:, 2])
    assert merges.scans < 12 * len(X)


@pytest.mark.parametrize("method", once(PAIRWISE, ("complete", *SAME_FORMULA)))
def test_weights_of_very_many_copies_do_not_vanish(method):
    """Weighted linkage halves weights at every merge: 3000 copies, one after the other, would have none."""
    X = np.concatenate((np.zeros((3000, 2)), np.random.default_rng(2).normal(size=(1100, 2)) + 50))
    Z = gpuclust.linkage(X, method, dtype="float32")
    np.testing.assert_allclose(Z[:, 2], hierarchy.linkage(X, method)[:, 2], rtol=1e-4, atol=1e-4)
