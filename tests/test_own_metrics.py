"""Metrics that SciPy does not have, and the arguments of metrics in `linkage` and `fclusterdata`."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OWN_METRICS, SAME_FORMULA, points_for
from covering import covering
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.spatial.distance import pdist as scipy_pdist
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import haversine_distances, nan_euclidean_distances

import gpuclust
from gpuclust.app.data.files import read_points
from gpuclust.app.job.job import Job, warn_of_degrees, warn_of_scales
from gpuclust.compute import compute
from gpuclust.distance import cdist, nearest_neighbors, pdist
from gpuclust.errors import ClusterWarning
from gpuclust.hierarchy import fclusterdata

REDUCIBLE = ("single", "complete", "average", "weighted")


def test_great_circles_are_those_of_scikit_learn():
    X = points_for("haversine", 300, 2)
    X[1] = X[0] + [1e-7, -2e-7]
    X[2] = X[0]
    expected = haversine_distances(X)
    np.testing.assert_allclose(cdist(X, X, "haversine"), expected, atol=1e-12)
    np.testing.assert_allclose(cdist(np.degrees(X), np.degrees(X), "haversine_degrees"), expected, atol=1e-12)
    assert cdist(X, X, "haversine")[0, 2] == 0
    known = [[48.8566, 2.3522], [40.7128, -74.006], [-33.8688, 151.2093], [90.0, 0.0], [-90.0, 77.0]]
    kilometres = 6371.0 * pdist(known, "haversine_degrees")
    np.testing.assert_allclose(kilometres[0], 5837, atol=1)  # Paris to New York
    np.testing.assert_allclose(kilometres[-1], 6371.0 * np.pi, rtol=1e-7)  # pole to pole


def test_degrees_are_not_taken_for_radians():
    with pytest.raises(
        ValueError, match=r"Latitudes must be .* in radians; metric 'haversine_degrees' takes degrees"
    ):
        pdist([[48.0, 2.0], [40.0, -74.0]], "haversine")
    with pytest.raises(ValueError, match=r"Latitudes must be from -90 to 90, in degrees, got 151.2"):
        pdist([[151.2, -33.9], [2.0, 48.0]], "haversine_degrees")
    with pytest.raises(ValueError, match="take two features, latitude and longitude, got 3"):
        gpuclust.linkage(np.zeros((4, 3)), "average", "haversine")


def test_missing_values_are_left_out_of_distances():
    X = points_for("nan_euclidean", 60, 7)
    np.testing.assert_allclose(cdist(X, X, "nan_euclidean"), nan_euclidean_distances(X), atol=1e-12)
    with pytest.raises(ValueError, match=r"nan_euclidean distance of rows 0 and 1 is nan"):
        gpuclust.linkage([[1.0, np.nan], [np.nan, 1.0], [2.0, 2.0]], "average", "nan_euclidean")
    with pytest.raises(ValueError, match="Points must be finite"):
        gpuclust.linkage(X, "average")


def test_ranks_are_correlated():
    X = np.random.default_rng(0).integers(0, 5, (40, 9)).astype(float)
    X[:, 0] += 7  # no constant row
    expected = 1 - spearmanr(X, axis=1)[0]
    np.testing.assert_allclose(cdist(X, X, "spearman"), expected, atol=1e-14)
    np.testing.assert_allclose(pdist(np.exp(X), "spearman"), pdist(X, "spearman"), atol=1e-15)
    with pytest.raises(ValueError, match=r"Row 1 is constant: its (spearman|correlation) distance"):
        gpuclust.linkage([[1.0, 2.0, 5.0], [3.0, 3.0, 3.0], [1.0, 0.0, 7.0]], "average", "spearman")


@pytest.mark.parametrize(
    ("metric", "method"),
    covering(OWN_METRICS, REDUCIBLE, together=1, rare=lambda metric, method: method in SAME_FORMULA),
)
def test_trees_from_points_are_those_of_their_distances(metric, method):
    X = points_for(metric, 40, 80) if metric == "spearman" else points_for(metric, 400, 6)  # few equal distances
    expected = scipy_hierarchy.linkage(pdist(X, metric), method)
    Z = gpuclust.linkage(X, method, metric)
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(Z[:, 3], expected[:, 3])
    # Compiled only where another test of float32 has the kernels.
    half = compute(X, method, metric, dtype="float32", device="cpu" if method == "single" else "reference").Z
    np.testing.assert_allclose(half[:, 2], expected[:, 2], rtol=1e-3, atol=1e-5)


def test_many_places():
    """More than the points that need no kd-tree."""
    X = points_for("haversine", 3000, 2)
    expected = scipy_hierarchy.linkage(pdist(X, "haversine"), "single")
    np.testing.assert_allclose(gpuclust.linkage(X, "single", "haversine")[:, 2], expected[:, 2], atol=1e-15)
    distances, places = nearest_neighbors(X, 3, "haversine")
    np.testing.assert_allclose(distances, np.sort(cdist(X, X, "haversine"), axis=1)[:, 1:4], atol=1e-15)
    assert places.shape == (3000, 3)


@pytest.mark.parametrize(
    ("name", "same"),
    [("manhattan", "cityblock"), ("l1", "cityblock"), ("l2", "euclidean"), ("pearson", "correlation")],
)
def test_other_names(name, same):
    X = points_for("euclidean", 30, 4)
    assert (pdist(X, name) == pdist(X, same)).all()
    assert (gpuclust.linkage(X, "average", name) == gpuclust.linkage(X, "average", same)).all()


@pytest.mark.parametrize(
    ("metric", "given"),
    [
        ("minkowski", {"p": 3}),
        ("euclidean", {"w": [1.0, 2.0, 0.5, 3.0]}),
        ("seuclidean", {"V": [1.0, 2.0, 0.5, 3.0]}),
        ("mahalanobis", {"VI": np.eye(4) + 0.1}),
    ],
)
def test_arguments_of_metrics(metric, given):
    X = points_for("euclidean", 40, 4)
    expected = scipy_hierarchy.linkage(scipy_pdist(X, metric, **given), "average")
    np.testing.assert_allclose(gpuclust.linkage(X, "average", metric, **given)[:, 2], expected[:, 2], rtol=1e-12)
    ours = fclusterdata(X, 5, "maxclust", metric, method="average", **given)
    assert (ours == scipy_hierarchy.fcluster(expected, 5, "maxclust")).all()
    of_squares = scipy_hierarchy.linkage(scipy_pdist(X, metric, **given), "ward")
    assert (
        fclusterdata(X, 4, "maxclust", metric, method="ward", **given)
        == scipy_hierarchy.fcluster(of_squares, 4, "maxclust")
    ).all()
    with pytest.raises(TypeError, match=f"takes no parameter '{next(iter(given))}'"):
        gpuclust.linkage(X, "average", "braycurtis" if "w" not in given else "jensenshannon", **given)


def test_the_command_line_warns_of_degrees(tmp_path):
    path = tmp_path / "cities.csv"
    path.write_text("city,Latitude,lng,size\nParis,48.86,2.35,2.1\nNew York,40.71,-74.01,8.3\nOslo,59.9,10.7,0.7\n")
    data = read_points(path)
    with pytest.warns(
        ClusterWarning, match="'Latitude' and 'lng' .* --columns Latitude,lng --metric haversine_degrees"
    ):
        warn_of_degrees(Job(str(path), tmp_path), data)
    warn_of_degrees(Job(str(path), tmp_path, metric="haversine_degrees"), data)
    warn_of_degrees(Job(str(path), tmp_path), read_points(path, columns=["Latitude", "size"]))


def test_the_command_line_warns_of_a_column_that_decides_alone(tmp_path):
    path = tmp_path / "wine.csv"
    path.write_text("alcohol,hue,proline\n14.2,1.04,1065\n13.2,1.05,1050\n12.4,0.7,380\n13.9,0.9,1280\n")
    data = read_points(path)
    with pytest.warns(ClusterWarning, match=r"'proline' varies \d+ times as .*--standardize zscore"):
        warn_of_scales(Job(str(path), tmp_path), data)
    for other in (
        {"standardize": "zscore"},
        {"metric": "cosine"},
        {"metric": "seuclidean"},
        {"weights": (1, 1, 1e-4)},
    ):
        warn_of_scales(Job(str(path), tmp_path, **other), data)
    warn_of_scales(Job(str(path), tmp_path), read_points(path, columns=["alcohol", "hue"]))
