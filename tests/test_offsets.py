"""Points far from the origin: distances keep their digits in float32, since a centre is subtracted first."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FEW_FORMS, METHODS, once, rarely_float32
from covering import covering
from scipy.cluster import hierarchy

import gpuclust
from gpuclust.core import metrics, preparation
from gpuclust.distance import cdist, nearest_neighbors, pdist

UTM = np.array([512695.3, 4649776.2])
DEVICES = ("cpu", "reference")
MOVED = [
    "chebyshev",
    "cityblock",
    "euclidean",
    "mahalanobis",
    "minkowski",
    "nan_euclidean",
    "seuclidean",
    "sqeuclidean",
]


def points(n: int = 60, m: int = 2, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(size=(n, m)) * 50, 3)


def arguments(metric: str) -> dict[str, float]:
    return {"p": 3.0} if metric == "minkowski" else {}


def test_the_table_says_which():
    assert [name for name, metric in metrics.METRICS.items() if metric.shift] == MOVED


@pytest.mark.parametrize(
    ("metric", "device"),
    covering(MOVED, DEVICES, rare=lambda metric, device: device == "cpu" and metric not in FEW_FORMS),
)
def test_distances_and_neighbours(metric, device):
    X = points() + UTM
    options = {"device": device, **arguments(metric)}
    right = pdist(X, metric, **options)
    close = {"rtol": 0, "atol": 3e-7 * right.max()}
    np.testing.assert_allclose(pdist(X, metric, dtype="float32", **options), right, **close)
    if metric not in ("mahalanobis", "seuclidean"):
        right = cdist(X[:20], X[20:], metric, **options)
        np.testing.assert_allclose(cdist(X[:20], X[20:], metric, dtype="float32", **options), right, **close)
        lonely = cdist(X[:1], X[1:2] + 1000, metric, dtype="float32", **options)  # one centre for both
        np.testing.assert_allclose(lonely, cdist(X[:1], X[1:2] + 1000, metric, **options), rtol=1e-6)
    found, _ = nearest_neighbors(X, 3, metric, dtype="float32", **options)
    np.testing.assert_allclose(found, nearest_neighbors(X, 3, metric, **options)[0], **close)


@pytest.mark.parametrize(
    ("method", "offset", "device"),
    covering(
        METHODS,
        [tuple(UTM), (1.7e9, -3e12)],
        DEVICES,
        together=3,
        rare=lambda method, offset, device: device == "cpu" and rarely_float32(method, "float32"),
    ),
)
def test_linkage(method, offset, device):
    X = points(40, seed=1) + offset
    right = np.sort(hierarchy.linkage(X - offset, method)[:, 2])
    found = np.sort(gpuclust.linkage(X, method, dtype="float32", device=device)[:, 2])
    digits = np.spacing(np.abs(offset).max())
    np.testing.assert_allclose(found, right, rtol=0, atol=4e-7 * right[-1] + 4 * digits)


@pytest.mark.parametrize("method", once(("single", "average", "centroid", "ward"), ("average", "centroid")))
def test_more_points_than_are_stored(method):
    X = points(700, seed=2) + UTM
    right = np.sort(hierarchy.linkage(X - UTM, method)[:, 2])
    found = np.sort(gpuclust.linkage(X, method, dtype="float32")[:, 2])
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-6 * right[-1])


def test_labels_are_those_of_float64():
    X = np.random.default_rng(3).normal(size=(300, 2)) * 3 + np.random.default_rng(4).uniform(0, 100, (10, 2)).repeat(
        30, 0
    )
    for method in ("average", "ward"):
        labels = [
            gpuclust.hierarchy.fcluster(gpuclust.linkage(X + UTM, method, dtype=dtype), 3, "maxclust")
            for dtype in ("float32", "float64")
        ]
        np.testing.assert_array_equal(*labels)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "float32"])
def test_numbers_of_other_types(dtype):
    """Whole numbers above 2^24 are not numbers of float32, and above 2^53 not of float64."""
    X = np.array([[0], [1], [10], [11], [30]])
    offset = 2**30 if dtype == "int32" else 2**22 if dtype == "float32" else 2**62 + 1
    for working in ("float32", "float64"):
        far = X.astype(dtype) + np.array(offset, dtype)
        np.testing.assert_array_equal(pdist(far, dtype=working), pdist(X, dtype=working))
        np.testing.assert_array_equal(gpuclust.linkage(far, dtype=working), gpuclust.linkage(X, dtype=working))


def test_one_answer_for_one_set_of_numbers():
    """Whatever type they come in."""
    X = (points(50, seed=5) + 1e5).astype(np.float32)
    for method in ("single", "ward"):
        np.testing.assert_array_equal(
            gpuclust.linkage(X, method, dtype="float32"),
            gpuclust.linkage(X.astype(np.float64), method, dtype="float32"),
        )


def test_differences_of_float32_stay_exact():
    """A centre is only taken away where that is exact for most values; near the origin points stay as they are."""
    X = np.random.default_rng(6).normal(size=(200, 3)).astype(np.float32)
    np.testing.assert_array_equal(preparation.prepare(X, "euclidean", dtype="float32").features, X.T)
    assert preparation.prepare(X + 50, "euclidean", dtype="float64").features.max() > 40


def test_an_outlier_takes_nothing_from_the_others():
    X = points(60, seed=7) + UTM
    X[13] = -9e15
    right = pdist(X[np.arange(60) != 13])
    found = pdist(X, dtype="float32")
    assert np.abs(np.sort(found)[: len(right)] - np.sort(right)).max() < 1e-4


@pytest.mark.parametrize("order", ["C", "F"])
def test_points_mapped_from_a_file(tmp_path, order):
    X = np.asarray(points(5000, 3, seed=8) + 1e7, order=order)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found = gpuclust.linkage(mapped, "single", dtype="float32")[:, 2]
    np.testing.assert_allclose(found, gpuclust.linkage(X, "single")[:, 2], rtol=0, atol=1e-4)


def test_hamming_tells_large_numbers_apart():
    """Only whether values are equal counts, so they may be numbered."""
    X = np.array([[2**24, 1], [2**24 + 1, 1], [2**24 + 2, 2], [2**24, 1]])
    for dtype in ("float32", "float64"):
        for given in (X, X.astype(np.float64), X + 2**60, X * 1.0 + 1e-9):
            np.testing.assert_array_equal(pdist(given, "hamming", dtype=dtype), [0.5, 1, 0, 1, 0.5, 1])
            np.testing.assert_array_equal(cdist(given[:1], given[1:], "hamming", dtype=dtype), [[0.5, 1, 0]])
    X = np.array([[1e-60, np.nan], [2e-60, np.nan]])
    np.testing.assert_array_equal(pdist(X, "hamming", dtype="float32"), [1.0])


def test_estimator_and_command_line(tmp_path):
    from typer.testing import CliRunner

    from gpuclust.app.cli import app

    X = points(40, seed=9) + UTM
    right = np.sort(hierarchy.linkage(X - UTM, "average")[:, 2])
    model = gpuclust.AgglomerativeClustering(linkage="average", dtype="float32").fit(X)
    np.testing.assert_allclose(np.sort(model.linkage_matrix_[:, 2]), right, rtol=0, atol=3e-7 * right[-1])
    np.save(tmp_path / "X.npy", X)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "X.npy"), "--method", "average", "--dtype", "float32",
                                    "--out", str(tmp_path / "out"), "--no-plots"])  # fmt: skip
    assert done.exit_code == 0, done.output
    Z = np.load(tmp_path / "out" / "Z.npy")
    np.testing.assert_allclose(np.sort(Z[:, 2]), right, rtol=0, atol=3e-7 * right[-1])
