"""Scatter plots show what was clustered: transformed points, and points for distances."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import points_for
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist as euclidean

from gpuclust.distance import pdist
from gpuclust.plotting.as_clustered import view_of, view_of_distances
from gpuclust.plotting.embedding import embedded
from gpuclust.plotting.scatter import scatter


@pytest.mark.parametrize("n", [2, 40, 1000])
def test_distances_of_points_in_the_plane_are_kept(n):
    X = np.random.default_rng(0).normal(size=(n, 2))
    place, shares = embedded(euclidean(X))
    np.testing.assert_allclose(euclidean(place), euclidean(X), atol=1e-6)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_very_small_and_large_distances(scale):
    X = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_allclose(euclidean(embedded(euclidean(X) * scale)[0] / scale), euclidean(X), atol=1e-6)


def test_equal_distances_and_no_euclidean_ones():
    assert (embedded(np.zeros(10))[0] == 0).all()
    place, _ = embedded(np.random.default_rng(0).random(45) ** 5)
    assert np.isfinite(place).all()


@pytest.mark.parametrize(("metric", "power"), [("cosine", 2), ("correlation", 2), ("spearman", 2), ("seuclidean", 1)])
def test_distances_of_what_is_drawn_are_those_clustered(metric, power):
    X = points_for("euclidean", 30, 6)
    drawn = view_of(X, metric).change(X)
    squares = euclidean(drawn) ** power / (2 if power == 2 else 1)
    np.testing.assert_allclose(squares, pdist(X, metric), atol=1e-12)


def test_a_map_and_missing_values():
    places = points_for("haversine_degrees", 20, 2)
    view = view_of(places, "haversine_degrees", columns=["lat", "lon"])
    assert (view.change(places) == places[:, ::-1]).all()
    ax = scatter(places, np.ones(20, int), Figure().subplots(), None, 0, view)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lon", "lat")
    X = points_for("nan_euclidean", 20, 4)
    ax = scatter(X, np.ones(20, int), Figure().subplots(), None, 0, view_of(X, "nan_euclidean"))
    assert "missing values at the mean of their column" in ax.get_title()


def test_axes_of_distances_have_names():
    points, view = view_of_distances(euclidean(np.random.default_rng(0).normal(size=(30, 5))))
    ax = scatter(points, np.ones(30, int), Figure().subplots(), None, 0, view)
    assert ax.get_xlabel().startswith("scaling axis 1 (")
    assert "multidimensional scaling of the distances" in ax.get_title()
