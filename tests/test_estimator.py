"""`AgglomerativeClustering`: scikit-learn's own checks, clusters against scikit-learn's, and our extensions."""

from __future__ import annotations

import inspect
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
import sklearn.cluster
from conftest import METHODS
from fake_cuda import DeviceArray
from scipy.spatial.distance import cityblock, pdist, squareform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_distances
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_signatures import documented

import gpuclust
from gpuclust import AgglomerativeClustering, estimator
from gpuclust.hierarchy import is_isomorphic

X = np.random.default_rng(3).normal(size=(120, 4))
D = squareform(pdist(X))


def clusterer(linkage="average", **options):
    return AgglomerativeClustering(**{"n_clusters": 3, "linkage": linkage, **options})


def expected_failures(model):
    """scikit-learn's check of clusterers hands over 50 x 2 points, whatever the tags say X is."""
    if model.metric != "precomputed":
        return {}
    return {"check_clustering": "its X is no square matrix of distances"}


CHECKED = [
    *(AgglomerativeClustering(linkage=linkage) for linkage in METHODS),
    AgglomerativeClustering(metric="precomputed"),
    AgglomerativeClustering(metric="precomputed", linkage="complete"),
    AgglomerativeClustering(metric="manhattan", linkage="single", dtype="float32"),
]


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


CASES = [
    *((linkage, "euclidean") for linkage in ("ward", "complete", "average", "single")),
    ("ward", "l2"),
    *(("average", metric) for metric in ("l1", "l2", "manhattan", "cityblock", "cosine", "canberra", "sqeuclidean")),
    *((linkage, metric) for linkage in ("complete", "single") for metric in ("l1", "cosine", "chebyshev")),
    ("average", cosine_distances),
]


@pytest.mark.parametrize(("linkage", "metric"), CASES)
def test_clusters_are_scikit_learns(linkage, metric):
    for k in (1, 2, 7, 119, 120):
        compare(linkage, metric, k)


def compare(linkage, metric, k):
    known = "euclidean" if linkage == "ward" else metric  # scikit-learn 1.7 takes no other name with ward
    theirs = sklearn.cluster.AgglomerativeClustering(k, linkage=linkage, metric=known, compute_distances=True).fit(X)
    ours = AgglomerativeClustering(k, linkage=linkage, metric=metric, compute_distances=True).fit(X)
    assert is_isomorphic(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.distances_, theirs.distances_, rtol=1e-10)
    np.testing.assert_array_equal(np.sort(ours.children_), np.sort(theirs.children_))
    for name in ("n_clusters_", "n_leaves_", "n_connected_components_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.labels_.dtype == theirs.labels_.dtype
    assert ours.children_.dtype == theirs.children_.dtype


@pytest.mark.parametrize("linkage", ["ward", "complete", "average", "single"])
def test_cut_by_distance_is_scikit_learns(linkage):
    def fit(kind, threshold):
        return kind(n_clusters=None, distance_threshold=threshold, linkage=linkage).fit(X)

    heights = scipy_hierarchy.linkage(X, linkage)[:, 2]
    for threshold in (0.0, heights[50] * (1 - 1e-9), heights[-5] * (1 + 1e-9), heights[-1] * 2):
        theirs, ours = (
            fit(sklearn.cluster.AgglomerativeClustering, threshold),
            fit(AgglomerativeClustering, threshold),
        )
        assert ours.n_clusters_ == theirs.n_clusters_
        assert is_isomorphic(ours.labels_, theirs.labels_)
    # At a height itself nothing is merged: 70 merges come before this one, 50 clusters are left.
    assert fit(AgglomerativeClustering, clusterer(linkage).fit(X).distances_[70]).n_clusters_ == 50


@pytest.mark.parametrize("linkage", ["complete", "average", "single"])
def test_precomputed_distances(linkage):
    theirs = sklearn.cluster.AgglomerativeClustering(5, linkage=linkage, metric="precomputed").fit(D)
    ours = AgglomerativeClustering(5, linkage=linkage, metric="precomputed").fit(D)
    assert is_isomorphic(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.linkage_matrix_, scipy_hierarchy.linkage(pdist(X), linkage), rtol=1e-12)


@pytest.mark.parametrize("linkage", METHODS)
def test_all_linkages_of_points_and_of_their_distances(linkage):
    Z = scipy_hierarchy.linkage(X, linkage)
    for model in (clusterer(linkage).fit(X), clusterer(linkage, metric="precomputed").fit(D)):
        np.testing.assert_allclose(model.linkage_matrix_, Z, rtol=1e-9)
        assert model.n_clusters_ == 3
        assert len(np.unique(model.labels_)) == 3
        np.testing.assert_array_equal(model.labels_, model.cut(n_clusters=3))
    scipy_hierarchy.dendrogram(model.linkage_matrix_, no_plot=True)


def test_a_callable_takes_x_or_a_pair():
    expected = clusterer(metric="cityblock").fit(X).linkage_matrix_
    for metric in (cityblock, lambda u, v: abs(u - v).sum(), lambda X: squareform(pdist(X, "cityblock"))):
        np.testing.assert_allclose(clusterer(metric=metric).fit(X).linkage_matrix_, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"shape \(n_samples, n_samples\), here \(120, 120\); got a callable"):
        clusterer(metric=lambda X: X).fit(X)
    with pytest.raises(ValueError, match="ward linkage takes Euclidean distances only, got a callable"):
        clusterer("ward", metric=cosine_distances).fit(X)


def test_arguments_of_a_metric():
    model = clusterer(metric="minkowski", metric_params={"p": 3}).fit(X)
    np.testing.assert_allclose(model.distances_, scipy_hierarchy.linkage(pdist(X, "minkowski", p=3), "average")[:, 2])
    with pytest.raises(ValueError, match="metric_params must be empty"):
        clusterer(metric="precomputed", metric_params={"p": 3}).fit(D)


@pytest.mark.parametrize("linkage", ["ward", "single", "median"])
def test_cut_again(linkage):
    model = clusterer(linkage).fit(X)
    kept = model.labels_.copy()
    counts = [1, 2, 10, 60, 120]
    labels = model.cut(n_clusters=counts)
    assert labels.shape == (5, 120)
    for k, row in zip(counts, labels, strict=True):
        np.testing.assert_array_equal(row, clusterer(linkage, n_clusters=k).fit(X).labels_)
        assert row.max() == k - 1
    thresholds = model.distances_[[30, 80]]
    for threshold, row in zip(thresholds, model.cut(distance_threshold=thresholds), strict=True):
        again = clusterer(linkage, n_clusters=None, distance_threshold=threshold).fit(X)
        np.testing.assert_array_equal(row, again.labels_)
        assert again.n_clusters_ == row.max() + 1
    np.testing.assert_array_equal(model.labels_, kept)


def test_exactly_k_clusters_of_equal_heights():
    square = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 0.0]]
    for k in range(1, 6):
        labels = AgglomerativeClustering(k, linkage="single").fit_predict(square)
        assert sorted(set(labels)) == list(range(k))


def test_what_is_not_a_matrix_of_distances():
    def refused(change, match):
        with pytest.raises(ValueError, match=match):
            clusterer(metric="precomputed").fit(change(D.copy()))

    def put(i, j, value):
        def change(matrix):
            matrix[i, j] = value
            return matrix

        return change

    refused(put(3, 7, 9.0), "Distances must be symmetric: got 9.0 in row 3, column 7")
    refused(lambda matrix: np.exp(-matrix), "diagonal must be zero")  # similarities
    refused(lambda matrix: matrix[:50], r"shape \(n_samples, n_samples\), here \(50, 50\)")
    refused(lambda matrix: matrix - 1, "Negative values in data given as distances: got -1.0 in row 0, column 0")
    refused(put(3, 7, np.inf), "infinity")
    # Rounding is no fault: of float32, and of one minus a cosine.
    rough = (D + 1e-7 * np.random.default_rng(0).normal(size=D.shape)).astype(np.float32)
    found = clusterer("ward", metric="precomputed").fit(rough)
    np.testing.assert_allclose(found.distances_, scipy_hierarchy.ward(pdist(X))[:, 2], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_clusters": 0}, "n_clusters must be a whole number >= 1, got 0"),
        ({"n_clusters": 2.0}, "n_clusters must be a whole number >= 1, got 2.0"),
        ({"n_clusters": 121}, "more clusters than samples: n_clusters=121, n_samples=120"),
        ({"n_clusters": None}, "Exactly one of n_clusters and distance_threshold"),
        ({"distance_threshold": 1.0}, "Exactly one of n_clusters and distance_threshold"),
        ({"n_clusters": None, "distance_threshold": -1.0}, "distance_threshold must be a number >= 0, got -1.0"),
        ({"n_clusters": None, "distance_threshold": np.nan}, "distance_threshold must be a number >= 0, got nan"),
        ({"n_clusters": None, "distance_threshold": 1.0, "compute_full_tree": False}, "compute_full_tree must be"),
        ({"compute_full_tree": "no"}, "compute_full_tree must be 'auto', True or False, got 'no'"),
        ({"connectivity": np.eye(120)}, "connectivity must be None.*sklearn.cluster.AgglomerativeClustering"),
        ({"linkage": "wards"}, "Did you mean 'ward'"),
        ({"metric": "euclidian"}, "Did you mean 'euclidean'"),
        ({"linkage": "ward", "metric": "cosine"}, "requires the distance metric to be Euclidean, got 'cosine'"),
        ({"dtype": "float16"}, "dtype must be"),
    ],
)
def test_bad_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        clusterer(**options).fit(X)


def test_bad_cuts():
    with pytest.raises(NotFittedError):
        clusterer().cut(n_clusters=2)
    model = clusterer().fit(X)
    for options in ({}, {"n_clusters": 2, "distance_threshold": 1.0}, {"n_clusters": 0}, {"n_clusters": [2, 121]}):
        with pytest.raises(ValueError, match="n_clusters"):
            model.cut(**options)
    with pytest.raises(ValueError, match="distance_threshold must be a number >= 0, got -1"):
        model.cut(distance_threshold=-1)


def test_a_fit_that_does_not_fit_is_refused():
    with pytest.raises(gpuclust.DoesNotFit, match="20 kB may be used"):
        clusterer(memory_limit="20kB", metric="precomputed").fit(D)
    with pytest.raises(gpuclust.DoesNotFit):
        clusterer(memory_limit="1kB").fit(X)


def test_points_on_a_device_stay_there(monkeypatch):
    fake_cuda.install(monkeypatch)
    points = np.random.default_rng(0).normal(size=(600, 3))  # fewer are clustered on the host
    model = clusterer("ward", device="cuda").fit(DeviceArray(points))
    assert DeviceArray.fetched == 0
    assert model.n_features_in_ == 3
    np.testing.assert_array_equal(model.labels_, clusterer("ward").fit_predict(points))
    model = clusterer(metric="precomputed", device="cuda").fit(DeviceArray(D))
    np.testing.assert_array_equal(model.labels_, clusterer().fit_predict(X))
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, n_features\), got \(3,\)"):
        clusterer(device="cuda").fit(DeviceArray(np.ones(3)))


def test_memory_keeps_trees(tmp_path, monkeypatch):
    first = clusterer(memory=str(tmp_path)).fit(X)
    monkeypatch.setattr(estimator, "compute", None)  # would fail if it were called
    again = clusterer(n_clusters=9, memory=str(tmp_path)).fit(X)
    np.testing.assert_array_equal(again.linkage_matrix_, first.linkage_matrix_)
    assert again.n_clusters_ == 9


def test_in_pipelines_searches_and_files():
    pipeline = make_pipeline(StandardScaler(), clusterer("ward"))
    labels = pipeline.fit_predict(X)
    np.testing.assert_array_equal(labels, clusterer("ward").fit_predict(StandardScaler().fit_transform(X)))
    search = GridSearchCV(
        AgglomerativeClustering(),
        {"linkage": ["ward", "average"], "n_clusters": [2, 3]},
        scoring=lambda model, part, y=None: silhouette_score(part, model.fit_predict(part)),
        cv=3,
    ).fit(X)
    assert search.best_estimator_.labels_.shape == (120,)
    # With the tag "pairwise" a search takes rows and columns of a matrix of distances.
    assert get_tags(clusterer(metric="precomputed")).input_tags.pairwise
    GridSearchCV(
        clusterer(metric="precomputed"),
        {"n_clusters": [2, 3]},
        scoring=lambda model, part, y=None: float(len(part)),
    ).fit(D)
    model = clusterer("ward").fit(X)
    assert not hasattr(clone(model), "labels_")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).labels_, model.labels_)


def test_the_example(capsys):
    example = Path(__file__).resolve().parents[1] / "examples" / "estimator.py"
    runpy.run_path(str(example))["main"]()
    said = capsys.readouterr().out
    # scikit-learn's own clusters agree with the digits as well as that.
    assert "10 clusters; agreement with the digits: 0.794" in said
    assert len(said.splitlines()) == 8


def test_signature_is_scikit_learns_and_documented():
    ours = inspect.signature(AgglomerativeClustering).parameters
    theirs = inspect.signature(sklearn.cluster.AgglomerativeClustering).parameters
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind, name
        assert ours[name].default == parameter.default, name
    assert documented(AgglomerativeClustering, "Parameters") == set(ours)
    fitted = {name for name in vars(clusterer().fit(X)) if name.endswith("_")}
    assert documented(AgglomerativeClustering, "Attributes") == fitted | {"feature_names_in_"}
    for method in (AgglomerativeClustering.fit, AgglomerativeClustering.cut):
        assert documented(method, "Parameters") == set(inspect.signature(method).parameters) - {"self"}


def test_without_scikit_learn():
    program = (
        "import sys\n"
        "sys.modules['sklearn'] = None  # any import of it fails now\n"
        "import gpuclust\n"
        "from gpuclust import *\n"
        "print('AgglomerativeClustering' in dir(gpuclust), 'linkage' in dir(gpuclust))\n"
        "gpuclust.AgglomerativeClustering\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "False True\n", done.stderr
    assert re.search(
        r"ImportError: gpuclust.AgglomerativeClustering needs scikit-learn: pip install 'gpuclust\[sklearn\]'",
        done.stderr,
    )
