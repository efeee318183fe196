"""Invalid input to linkage: an error with the value and the allowed ones; never a crash, never a wrong Z."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import METHODS, points_for

import gpuclust
from gpuclust.errors import BackendUnavailable, ClusterWarning, DoesNotFit


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(method, value):
    X = points_for("euclidean", 20, 3)
    X[7, 2] = value
    with pytest.raises(ValueError, match="row 7, column 2"):
        gpuclust.linkage(X, method)
    Y = np.ones(190)
    Y[33] = value
    with pytest.raises(ValueError, match="index 33"):
        gpuclust.linkage(Y, method)


def test_not_finite_in_a_large_array():
    X = np.ones((3_000_000, 2))
    X[2_999_999, 1] = np.nan
    with pytest.raises(ValueError, match="row 2999999, column 1"):
        gpuclust.linkage(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.empty((0, 3)), "two observations"),
        (np.ones((1, 3)), "two observations"),
        (np.ones((5, 0)), "one feature"),
        (np.empty(0), "empty distance matrix"),
        (np.float64(3), "1 or 2 dimensional"),
        (np.ones((2, 2, 2)), "1 or 2 dimensional"),
        (np.ones(7), "got 7.*6 for n = 4"),
        (np.ones((4, 2)) + 1j, "complex128"),
        (np.array([["a", "b"], ["c", "d"]]), "dtype <U1"),
        (np.array([[1, None], [2, 3]]), "row 0, column 1 is missing"),
        (np.zeros((3, 2), dtype="datetime64[s]"), "datetime64"),
    ],
)
@pytest.mark.parametrize("method", ["single", "average", "centroid"])
def test_wrong_shape_or_type(y, message, method):
    with pytest.raises(ValueError, match=message):
        gpuclust.linkage(y, method)


def test_ragged_lists():
    with pytest.raises(ValueError):
        gpuclust.linkage([[1, 2], [3]])


def test_names():
    X = points_for("euclidean", 5, 2)
    with pytest.raises(ValueError, match="Did you mean 'average'"):
        gpuclust.linkage(X, "averge")
    with pytest.raises(ValueError, match="Did you mean 'euclidean'"):
        gpuclust.linkage(X, "single", "euclidian")
    with pytest.raises(ValueError, match="linkage method 3"):
        gpuclust.linkage(X, 3)
    with pytest.raises(ValueError, match="float16"):
        gpuclust.linkage(X, dtype="float16")
    with pytest.raises(ValueError, match="device"):
        gpuclust.linkage(X, device="tpu")
    with pytest.raises(BackendUnavailable, match="cuda"):
        gpuclust.linkage(X, device="cuda")


@pytest.mark.parametrize("method", ["centroid", "median", "ward"])
def test_geometric_linkages_want_euclidean(method):
    with pytest.raises(ValueError, match="Euclidean, got 'cityblock'"):
        gpuclust.linkage(points_for("euclidean", 5, 2), method, "cityblock")


@pytest.mark.parametrize("method", ["centroid", "median", "ward"])
def test_geometric_linkages_want_distances_that_are_not_negative(method):
    with pytest.raises(ValueError, match=r"got -1\.0 at index 2"):
        gpuclust.linkage([0, 0, -1.0], method)


def test_square_matrix_as_points():
    square = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])
    with pytest.warns(ClusterWarning, match="squareform"):
        gpuclust.linkage(square)


@pytest.mark.parametrize("n", [20, 700, 1500])
@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted"])
def test_metric_that_is_not_defined_for_a_pair(method, n):
    X = points_for("cosine", n, 3)
    X[n // 2] = 0
    with pytest.raises(ValueError, match=f"Row {n // 2} is a zero vector: its cosine distance is not defined"):
        gpuclust.linkage(X, method, "cosine")


@pytest.mark.parametrize("n", [20, 1500])
@pytest.mark.parametrize("method", METHODS)
def test_overflow(method, n):
    X = points_for("euclidean", n, 3)
    X += np.where(np.arange(n) % 2, 1.5e308, -1.5e308)[:, None]
    with pytest.raises(ValueError, match=r"rows 0 and 1 is inf.*not finite"):
        gpuclust.linkage(X, method)


@pytest.mark.parametrize("method", ["ward", "centroid", "median"])
def test_squares_that_would_overflow(method):
    """Heights are numbers, so they are right."""
    Y = np.full(190, 1e200)
    Y[4] = 2e200
    np.testing.assert_allclose(gpuclust.linkage(Y, method)[:, 2], gpuclust.linkage(Y / 1e200, method)[:, 2] * 1e200)


def test_overflow_of_heights():
    with pytest.raises(ValueError, match="not finite"):
        gpuclust.linkage([0, 1.7e308, 1.7e308], "ward")


def test_masked_values_and_progress():
    X = points_for("euclidean", 5, 2)
    with pytest.raises(ValueError, match="2 masked values"):
        gpuclust.linkage(np.ma.masked_greater(X, np.sort(X, axis=None)[-3]))
    with pytest.raises(TypeError, match="progress"):
        gpuclust.linkage(X, progress=3)  # type: ignore[arg-type]


def test_plan_refuses_what_linkage_refuses():
    for arguments, message in (
        ((1,), "at least 2"),
        ((10, 0), "at least 1"),
        ((10, 2, "wards"), "Did you mean 'ward'"),
        ((10, 2, "ward", "cityblock"), "Euclidean"),
        ((10, 2, "single", "cosin"), "Did you mean 'cosine'"),
        ((10, 2, "single", "cosine", "float16"), "float16"),
        ((10, 2, "single", "cosine", "float64", "tpu"), "device"),
    ):
        with pytest.raises(ValueError, match=message):
            gpuclust.plan(*arguments)
    with pytest.raises(TypeError, match=r"got 10\.5"):
        gpuclust.plan(10.5)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable):
        gpuclust.plan(10, device="cuda")
    assert gpuclust.plan(10, 2, "single", "cosine", np.float32).dtype == "float32"


def test_memory():
    X = np.zeros((5000, 2))
    with pytest.raises(DoesNotFit, match=r"needs \d+\.?\d* MB.*1 MB may be used.*'centroid'"):
        gpuclust.linkage(X, "average", memory_limit="1MB")
    # The first rounds leave more clusters than foreseen, so that a matrix of them would not fit: rounds without one
    # go on until it does, and the tree is the same.
    expected = gpuclust.linkage(X, "average")
    np.testing.assert_array_equal(gpuclust.linkage(X, "average", memory_limit="60MB"), expected)
    with pytest.raises(MemoryError, match="observations"):
        gpuclust.linkage(np.zeros((10_000_000, 1)), "average", memory_limit="2GB")
    for limit in ("lots", -1, 0, "0GB", True):
        with pytest.raises(ValueError, match="memory_limit"):
            gpuclust.linkage(X, memory_limit=limit)
