"""Outliers, such as a code for a missing value: neither the work nor the accuracy suffers.

If margins for rounding, or the scale in single precision, depended on the largest coordinate of all points, bounds
would exclude nothing, and all pairs would be compared.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import once
from test_summaries_exact import WARD, Reference, judge, stored_module, tree

from gpuclust.algorithms.candidates import merge_equal
from gpuclust.compute import compute
from gpuclust.core import preparation
from gpuclust.core.clusters import Merging
from gpuclust.core.methods import METHODS
from gpuclust.kernels.cpu.clusters import summaries
from gpuclust.kernels.cpu.clusters.cluster_tree import ClusterTree
from gpuclust.kernels.cpu.points.index import Screened
from gpuclust.kernels.cpu.space import kdtree, screen
from gpuclust.kernels.cpu.space.boxes import Leaves
from gpuclust.kernels.reference.pairwise import pairwise


def test_margins_go_by_the_coordinates_of_a_cluster():
    """A code for a missing value, 1e20, takes nothing from the limits of the other clusters: as few are searched."""
    rng = np.random.default_rng(0)
    for m in (2, 8):
        X = rng.normal(size=(1500, m))
        scans = []
        for value in (X[7, 1], 1e20, -9.96921e36):
            Y = X.copy()
            Y[7, 1] = value
            points = preparation.prepare(Y, "sqeuclidean")
            merges = stored_module.from_matrix(
                summaries.Summaries(points, WARD, np.ones(points.n)), WARD, lambda done: None
            )
            scans.append(merges.scans)
        assert max(scans) < 1.1 * scans[0]


def test_an_outlier_is_a_cluster_of_its_own():
    X = np.random.default_rng(1).normal(size=(300, 8))
    X[7, 3] = 1e20
    Z, plain = tree(X, "ward"), np.delete(X, 7, axis=0)
    judge(Z, X, "ward")
    np.testing.assert_allclose(Z[:-1, 2], tree(plain, "ward")[:, 2], rtol=1e-12)


@pytest.mark.parametrize("outlier", [1.0, 1e20, 1e36, 1e50])
@pytest.mark.parametrize("spread", [True, False])
def test_boxes_are_screened_in_a_scale_of_their_own(outlier, spread):
    """One far point leaves the others what single precision can tell, so that few pairs pass a screen."""
    X = np.random.default_rng(2).normal(size=(1000, 8))
    X[7, 3] = outlier
    order = kdtree.build(np.ascontiguousarray(X.T), 64).order
    rows = X[order]
    leaves = Leaves(1000, 64)
    ready = screen.screen(leaves.boxes(rows, np.ones(1000), np.zeros(1000), 64), spread)
    for box in range(ready.least.size):
        begin, end = ready.starts[box : box + 2]
        if begin <= np.flatnonzero(order == 7)[0] < end:
            continue
        features = ready.features[box, :, : end - begin].T.astype(float) / ready.factor[box]
        np.testing.assert_allclose(features, rows[begin:end] - ready.middle[box], rtol=0, atol=1e-6)
        assert 0.25 < np.abs(ready.features[box, :, : end - begin]).max() <= 1
        assert ready.radius[box] <= 8


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("far", [1e15, 1e18])
def test_screens_with_outliers_find_what_the_reference_finds(far, dtype, monkeypatch):
    """Some points, or a tenth of all, have a code for a missing value in some feature; and there are copies."""
    monkeypatch.setattr(screen, "MOST", 64)
    rng = np.random.default_rng(3)
    for share in (1 / 300, 0.1):
        X = rng.normal(size=(300, 9))
        X[150:180] = X[0]
        X[rng.random(300) < share, rng.integers(0, 9)] = far
        X[rng.random(300) < share, 2] = -far
        ours, reference = tree(X, "ward", dtype=dtype), tree(X, "ward", Reference, dtype)
        np.testing.assert_array_equal(ours, reference)
        for k in (1, 5):
            points = preparation.prepare(X, "sqeuclidean", dtype=dtype)
            index, distance = Screened(points).knn(k)
            square = pairwise(points, points)
            np.fill_diagonal(square, np.inf)
            expected = np.argsort(square, axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(distance, np.take_along_axis(square, expected, axis=1))
            np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("method", once(["complete", "average", "weighted"]))
def test_bounds_of_centres_go_by_the_coordinates_of_a_cluster(method):
    X = np.random.default_rng(4).normal(size=(1500, 3))
    X[7, 1] = 1e12
    points = preparation.prepare(X, "euclidean")
    points, clusters = merge_equal(points, METHODS[method], Merging(points.n, points.features.dtype))
    state = ClusterTree(points, METHODS[method], clusters)
    near = np.flatnonzero(state.nearest[state.nearest] == np.arange(state.n))
    first = near[near < state.nearest[near]]
    second = np.full(state.n, -1)
    second[first] = state.nearest[first]
    rows = np.setdiff1d(np.arange(state.n), second[first])
    size = np.ones(state.n)
    new_size = size + (second >= 0)
    state.merge(METHODS[method], rows, second[rows], state.distance[rows], size, new_size[rows], rows)
    errors = np.sort(state.rows.error)
    assert errors[-2] < 1e-10  # but for one cluster at most
    leaves = (len(state.tree.error) + 1) // 2
    assert (state.tree.error[-leaves:] > 1e-10).sum() <= 1
    np.testing.assert_allclose(
        compute(X, method, algorithm="cluster tree").Z[:, 2], compute(X, method, algorithm="stored").Z[:, 2], 1e-12
    )
