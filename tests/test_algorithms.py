"""Every algorithm that the plan can choose, by name, against SciPy: dimensions 1 to 130, both types."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import FEW_FORMS, METHODS, METRICS, SAME_FORMULA, once, one_of_each_form, points_for, rarely_float32
from replay import replay
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from gpuclust.algorithms import base
from gpuclust.algorithms.base import Problem
from gpuclust.algorithms.table import options
from gpuclust.compute import compute
from gpuclust.core import methods, metrics
from gpuclust.core.sizes import FUSED
from gpuclust.kernels.cpu.points import index

#: Points of the sweep.
MANY = 1100
#: Where kernels change: one feature, vectors of four and what is left of them, trees or not, wide or not.
DIMENSIONS = (1, 2, 3, 5, 17, 97, 130)

CASES = [
    (method, metric, option.algorithm.name, m)
    for method in METHODS
    for metric in ("euclidean", *(("cosine",) if not methods.METHODS[method].on_squares else ()))
    for m in DIMENSIONS
    if metric == "euclidean" or m in (3, 97)
    for option in options(Problem(1000, m, methods.METHODS[method], metric, "float64"))
]


@cache
def expected(method: str, metric: str, n: int, m: int) -> np.ndarray:
    return hierarchy.linkage(points_for(metric, n, m), method, metric)


def without_square(X: np.ndarray, method: str, metric: str, **options: Any) -> np.ndarray:
    """Z as for a large job: no matrix in a square array."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "SQUARE", 0)
        return compute(X, method, metric, **options).Z


def check(method: str, metric: str, algorithm: str, n: int, m: int, single: bool = True) -> None:
    """The same tree, that of single and complete linkage to the bit; and `check_float32`."""
    X, theirs = points_for(metric, n, m), expected(method, metric, n, m)
    found = compute(X, method, metric, algorithm=algorithm)
    assert found.plan.algorithm == algorithm
    np.testing.assert_array_equal(without_square(X, method, metric, algorithm=algorithm), found.Z)
    np.testing.assert_array_equal(found.Z[:, [0, 1, 3]], theirs[:, [0, 1, 3]])
    if method in ("single", "complete") and metric == "euclidean":
        np.testing.assert_array_equal(found.Z[:, 2], theirs[:, 2])
    else:
        np.testing.assert_allclose(found.Z[:, 2], theirs[:, 2], rtol=1e-9 if metric == "cosine" else 1e-12)
    if single:
        check_float32(X, method, metric, algorithm)


def check_float32(X: np.ndarray, method: str, metric: str, algorithm: str) -> None:
    """Heights to 1e-6 of the largest, or a tree whose every merge is of a closest pair to rounding."""
    single = compute(X.astype(np.float32), method, metric, dtype="float32", algorithm=algorithm)
    tiled = without_square(X.astype(np.float32), method, metric, dtype="float32", algorithm=algorithm)
    np.testing.assert_array_equal(tiled, single.Z)
    assert (single.Z.dtype, single.plan.dtype) == (np.float64, "float32")
    assert hierarchy.is_valid_linkage(single.Z)
    rounded = np.sort(compute(X.astype(np.float32), method, metric, algorithm=algorithm).Z[:, 2])
    largest = 1 if metric == "cosine" else rounded[-1]  # what a cosine is subtracted from
    near = np.allclose(np.sort(single.Z[:, 2]), rounded, rtol=0, atol=1e-6 * largest)
    if not near:
        # Two pairs that are equal but for a rounding merged the other way round, and what follows differs. Or a
        # matrix of centroid linkage was updated a thousand times, each of which rounds. Heights of single linkage
        # move no more than the dissimilarities do, whatever merges first.
        assert method != "single"
        replay(single.Z, squareform(pdist(X.astype(np.float32), metric)), method, rtol=1e-5)


def kept_for_the_sweep(method: str, metric: str, algorithm: str) -> bool:
    """Whether `make test` leaves a case out: a linkage with the formula of another one, by another way than most."""
    return method in SAME_FORMULA and (metric != "euclidean" or algorithm not in ("stored", "generic"))


@pytest.mark.parametrize(
    ("method", "metric", "algorithm", "m"),
    [pytest.param(*case, marks=[pytest.mark.sweep] if kept_for_the_sweep(*case[:3]) else []) for case in CASES],
)
def test_the_tree_is_scipys(method, metric, algorithm, m):
    check(method, metric, algorithm, 130, m, single=metric == "euclidean" and not rarely_float32(method, "float32"))


@pytest.mark.sweep
@pytest.mark.parametrize("m", range(1, 131))
@pytest.mark.parametrize("method", METHODS)
def test_the_tree_is_scipys_in_every_dimension(method, m):
    """With enough points for first rounds from lists of neighbours, and for screening of squared distances."""
    assert max(FUSED, index.FEWEST) < MANY
    for option in options(Problem(MANY, m, methods.METHODS[method], "euclidean", "float64")):
        check(method, "euclidean", option.algorithm.name, MANY, m)


@pytest.mark.sweep
@pytest.mark.parametrize("m", range(1, 131))
@pytest.mark.parametrize("method", ["average", "weighted"])
def test_linkage_of_squares_is_scipys_in_every_dimension(method, m):
    for option in options(Problem(MANY, m, methods.METHODS[method], "sqeuclidean", "float64")):
        check(method, "sqeuclidean", option.algorithm.name, MANY, m)


@pytest.mark.sweep
@pytest.mark.parametrize("m", [2, 16])
@pytest.mark.parametrize("method", METHODS)
def test_the_tree_of_4000_points_is_scipys(method, m):
    for option in options(Problem(4000, m, methods.METHODS[method], "euclidean", "float64")):
        check(method, "euclidean", option.algorithm.name, 4000, m)


@pytest.mark.parametrize("method", once(METHODS, {*METHODS} - {"single", "ward"}))
def test_condensed_float32(method):
    Y = pdist(points_for("euclidean", 200, 5))
    single = compute(Y.astype(np.float32), method, dtype="float32")
    theirs = hierarchy.linkage(Y.astype(np.float32).astype(np.float64), method)
    assert single.Z.dtype == np.float64
    np.testing.assert_allclose(np.sort(single.Z[:, 2]), np.sort(theirs[:, 2]), rtol=0, atol=1e-6 * theirs[:, 2].max())


@pytest.mark.parametrize("method", ["single", pytest.param("complete", marks=pytest.mark.sweep)])
@pytest.mark.parametrize("metric", one_of_each_form([name for name in METRICS if name != "matching"], FEW_FORMS))
def test_float32_of_every_metric(metric, method):
    """Against float64 of the same, rounded points; boolean and counted metrics too."""
    X = points_for(metric, 60, 6)
    X = X if X.dtype == bool else X.astype(np.float32)
    given = {"p": 3.0} if metric == "minkowski" else {}
    single = compute(X, method, metric, dtype="float32", **given)
    double = compute(X.astype(np.float64), method, metric, **given)
    assert single.plan.metric == metrics.resolve(metric, given.get("p")).name
    top = double.Z[-1, 2]
    np.testing.assert_allclose(single.Z[:, 2], double.Z[:, 2], rtol=0, atol=1e-6 * top)
