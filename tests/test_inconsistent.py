"""Inconsistency statistics and maxima over subtrees, against SciPy and the tutorial's printed tables."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from treegen import balanced, caterpillar, random_linkage

from gpuclust.app.tutorial import INCONSISTENT_DEPTH_3, INCONSISTENT_DEPTH_5, INCONSISTENT_Z2_DEPTH_5, data_sets
from gpuclust.hierarchy.inconsistent import inconsistent, maxdists, maxinconsts, maxRstat

trees = st.builds(
    random_linkage,
    n=st.integers(2, 60),
    seed=st.integers(0, 10**6),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
)


@settings(deadline=None, max_examples=80)
@given(Z=trees, depth=st.sampled_from([0, 1, 2, 3, 5, 100]), scale=st.sampled_from([1.0, 1e-160, 1e160, 0.1]))
def test_as_scipy(Z: np.ndarray, depth: int, scale: float) -> None:
    Z[:, 2] *= scale
    R = scipy_hierarchy.inconsistent(Z, depth)
    np.testing.assert_array_equal(inconsistent(Z, depth), R)
    np.testing.assert_array_equal(maxdists(Z), scipy_hierarchy.maxdists(Z))
    np.testing.assert_array_equal(maxinconsts(Z, R), scipy_hierarchy.maxinconsts(Z, R))
    for i in range(4):
        np.testing.assert_array_equal(maxRstat(Z, R, i), scipy_hierarchy.maxRstat(Z, R, i))


def test_equal_heights_have_no_deviation() -> None:
    """0.1 + 0.1 + ... rounds; SciPy sets a variance that comes out below zero to 0, and so do we."""
    Z = random_linkage(300, 5)
    Z[:, 2] = 0.1
    for depth in (2, 3, 10, 300):
        np.testing.assert_array_equal(inconsistent(Z, depth), scipy_hierarchy.inconsistent(Z, depth))


@pytest.mark.parametrize("make", [caterpillar, balanced, lambda n: random_linkage(n, 1)])
def test_large_and_deep(make) -> None:
    Z = make(20_000)
    for depth in (2, 5):
        R = inconsistent(Z, depth)
        sample = np.linspace(0, len(Z) - 1, 300).astype(int)
        np.testing.assert_allclose(R[sample], [_by_definition(Z, i, depth) for i in sample], rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(maxdists(Z), Z[:, 2])


def _by_definition(Z: np.ndarray, i: int, depth: int) -> list[float]:
    n = len(Z) + 1
    level, heights = [i], []
    for _ in range(depth):
        heights += [Z[node, 2] for node in level]
        level = [int(c) - n for node in level for c in Z[node, :2] if c >= n]
    mean = np.mean(heights)
    deviation = np.std(heights, ddof=1) if len(heights) > 1 else 0.0
    return [mean, deviation, len(heights), (Z[i, 2] - mean) / deviation if deviation > 0 else 0.0]


def test_result_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    Z = random_linkage(5000, 2)
    monkeypatch.setattr(sys.modules[inconsistent.__module__], "_VISITS_PER_PIECE", 1000)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        results.append(inconsistent(Z, 5))
    np.testing.assert_array_equal(*results)


def test_tutorial_tables() -> None:
    X, X2 = data_sets()
    Z = scipy_hierarchy.linkage(X, "ward")
    Z2 = scipy_hierarchy.linkage(X2, "ward")
    for tree, depth, printed in (
        (Z, 5, INCONSISTENT_DEPTH_5),
        (Z, 3, INCONSISTENT_DEPTH_3),
        (Z2, 5, INCONSISTENT_Z2_DEPTH_5),
    ):
        table = np.array([row.split() for row in printed.splitlines()], dtype=float)
        np.testing.assert_array_equal(np.round(inconsistent(tree, depth)[-10:], 5), table)


def test_bad_arguments() -> None:
    Z = random_linkage(10, 0)
    R = inconsistent(Z)
    for depth in (-1, 1.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"the depth\) must be a whole number >= 0, got"):
            inconsistent(Z, depth)
    np.testing.assert_array_equal(inconsistent(Z, 2.0), R)
    for function in (maxinconsts, lambda Z, R: maxRstat(Z, R, 1)):
        with pytest.raises(ValueError, match="different number of rows: 8 and 9"):
            function(Z, R[1:])
    with pytest.raises(TypeError, match=r"i must be a whole number from 0 to 3, got 1\.0"):
        maxRstat(Z, R, 1.0)
    for column in (-1, 4):
        with pytest.raises(ValueError, match="i must be a whole number from 0 to 3"):
            maxRstat(Z, R, column)
    for function in (inconsistent, maxdists):
        with pytest.raises(ValueError, match="row 2"):
            function(np.array([[0, 1, 1, 2], [2, 4, 2, 3], [0, 3, 3, 4]]))
