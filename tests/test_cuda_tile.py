"""The distance tile: every metric, weighted or not, in both types, with sizes that fill no tile, by the reference."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import BOOLEAN, METRICS, ON_DEVICE, SIMULATED, points_for

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from cuda_forms import FORMS, prepared

from gpuclust.core import preparation
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import launch, pairwise
from gpuclust.kernels.cuda.tile import DEPTH, geometry
from gpuclust.kernels.reference import pairwise as reference

pytestmark = ON_DEVICE

DTYPES = [np.dtype("float64"), np.dtype("float32")]
#: Rows of the second set: more than a tile is wide, and not a whole number of tiles.
OTHERS = 9 if SIMULATED else 150


def check(A: Points, B: Points, begin: int = 0, end: int | None = None) -> None:
    """Rows ``begin`` .. ``end`` of A to all of B, and nothing else is written."""
    end = A.n if end is None else end
    rows = launch.full((end - begin, B.n), -7, A.dtype)
    pairwise.pairwise(pairwise.DevicePoints(A), pairwise.DevicePoints(B), begin, rows)
    ours, expected = launch.download(rows), reference.pairwise(A, B)[begin:end]
    assert not (ours == -7).any()
    if A.dtype == np.float32:  # sums are fused: more accurate than the reference's
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-6)
    elif A.metric.heavy:  # another log, another pow
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)
    else:
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_metric(form):
    metric, weighted, dtype = FORMS[form]
    m = DEPTH + 1
    A = prepared(metric, weighted, dtype, 33, m)
    assert (A.weights is not None) == weighted
    assert A.metric == metric
    check(A, A.at(slice(OTHERS)))


@pytest.mark.parametrize("n", [1, 2, 31, 33, 129])
@pytest.mark.parametrize("form", ["euclidean-float64", "sqeuclidean-float32", "jaccard-weighted-float64"])
def test_rows_that_fill_no_tile(form, n):
    metric, weighted, dtype = FORMS[form]
    shape = geometry(metric, dtype)
    assert n % shape.rows != 0
    A, B = (prepared(metric, weighted, dtype, rows, 3) for rows in (n, 9))
    check(A, B)
    check(B, A)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40])
@pytest.mark.parametrize(
    "form", ["euclidean-float64", "cosine-float32", "braycurtis-weighted-float64", "minkowski-float64"]
)
def test_features_that_fill_no_step(form, m):
    metric, weighted, dtype = FORMS[form]
    A = prepared(metric, weighted, dtype, 17, m)
    check(A, A.at(slice(5)))


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_no_features(metric):
    """All points are one."""
    points = preparation.prepare(np.empty((5, 0)), metric)
    check(points, points)


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (0, 20), (7, 33), (16, 17), (32, 33)])
def test_some_rows(begin, end):
    """A slab of rows; points before and after it are not touched."""
    metric, weighted, dtype = FORMS["cityblock-weighted-float64"]
    A = prepared(metric, weighted, dtype, 33, 5)
    check(A, A.at(slice(OTHERS)), begin, end)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in METRICS if name not in (*BOOLEAN, "mahalanobis", "matching")])
def test_numbers_that_are_none(name, dtype):
    """NaN, infinity and zero rows give what the reference gives, in their rows and columns only."""
    points = preparation.prepare(points_for(name, 11, 6, seed=3), name, dtype=dtype)
    features = points.features.copy()
    features[0, 0], features[2, 1], features[3, 2], features[:, 4] = np.nan, np.inf, -np.inf, 0
    strange = replace(points, features=features)
    ours = launch.empty((11, 11), dtype)
    where = pairwise.DevicePoints(strange)
    pairwise.pairwise(where, where, 0, ours)
    expected = reference.pairwise(strange, strange)
    np.testing.assert_allclose(
        launch.download(ours), expected, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-6
    )
