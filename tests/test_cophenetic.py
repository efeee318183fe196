"""Cophenetic distances and their correlation with the clustered distances, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from treegen import balanced, caterpillar, random_linkage

from gpuclust.app.tutorial import COPHENETIC_CORRELATION, data_sets
from gpuclust.core import memory
from gpuclust.errors import DoesNotFit
from gpuclust.hierarchy.cophenetic import SAMPLE, cophenet, cophenetic_correlation
from gpuclust.kernels.cpu.matrix import cophenetic as pieces

RNG = np.random.default_rng(8)


@settings(deadline=None, max_examples=80)
@given(
    n=st.integers(3, 80),
    seed=st.integers(0, 10**6),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
    offset=st.sampled_from([0.0, 10.0, -1e3]),
)
def test_as_scipy(n: int, seed: int, ties: bool, inversions: bool, flips: bool, offset: float) -> None:
    Z = random_linkage(n, seed, ties=ties, inversions=inversions, flips=flips)
    Z[-1, 2] += 0.5  # not all the same
    expected = scipy_hierarchy.cophenet(Z)
    np.testing.assert_array_equal(cophenet(Z), expected)
    Y = np.random.default_rng(seed).random(len(expected)) + offset
    c, d = cophenet(Z, Y)
    assert isinstance(c, float)
    np.testing.assert_array_equal(d, expected)
    np.testing.assert_allclose(c, np.corrcoef(Y, expected)[0, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("tree", [caterpillar(1500), balanced(1500), random_linkage(1500, 4, inversions=True)])
def test_trees_of_any_shape_in_many_pieces(tree: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(cophenet(tree), scipy_hierarchy.cophenet(tree))
    Y = RNG.random(1500 * 1499 // 2)
    results = []
    for threads, pairs in (("1", 1 << 22), ("2", 1 << 22), ("3", 1)):  # many sizes of pieces are not promised equal
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        monkeypatch.setattr(pieces, "_PAIRS_PER_PIECE", pairs)
        results.append(cophenet(tree, Y)[0])
    assert results[0] == results[1] == results[2]
    assert abs(results[0] - np.corrcoef(Y, cophenet(tree))[0, 1]) < 1e-13


def test_two_and_three_observations() -> None:
    np.testing.assert_array_equal(cophenet([[0, 1, 2.5, 2]]), [2.5])
    np.testing.assert_array_equal(cophenet([[1, 2, 1, 2], [0, 3, 4, 3]]), [4, 4, 1])


def test_a_bad_guess_of_the_mean_does_not_cost_precision() -> None:
    """The sampled distances are all alike, and far from the rest."""
    Z = random_linkage(300, 6)
    pairs = 300 * 299 // 2
    Y = RNG.random(pairs)
    Y[:: max(1, pairs // SAMPLE)] = 1e9
    exact = np.corrcoef(Y.astype(np.longdouble), cophenet(Z))[0, 1]
    assert abs(cophenet(Z, Y)[0] - exact) < 1e-13
    far = RNG.random(pairs) + 1e6
    exact = np.corrcoef(far.astype(np.longdouble) - 1e6, cophenet(Z))[0, 1]
    assert abs(cophenet(Z, far)[0] - exact) < 1e-13


@pytest.mark.parametrize("scale", [1.0, 3.0, 1e-200])
def test_heights_and_distances_that_differ_in_their_last_bits(scale: float) -> None:
    """Within [-1, 1], and right to nearly all digits: means are not rounded to the bits that make the difference."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 9))
        Z = random_linkage(n, seed)
        Z[:, 2] = scale
        Z[:, 2] += np.sort(rng.integers(0, 3, n - 1)) * np.spacing(scale)
        Y = scale + rng.integers(0, 3, n * (n - 1) // 2) * np.spacing(scale)
        d = scipy_hierarchy.cophenet(Z)
        y, z = ((values - scale) / np.spacing(scale) for values in (Y, d))  # small whole numbers
        with np.errstate(all="ignore"):
            found = cophenet(Z, Y)[0]
            if y.std() == 0 or z.std() == 0:
                assert np.isnan(found)
            elif scale > 1e-100:  # squares of smaller ones underflow
                assert -1 <= found <= 1
                assert abs(found - np.corrcoef(y, z)[0, 1]) < 1e-13, seed


def test_streamed_correlation_stays_within_bounds() -> None:
    """Three points with heights 1 and 1 + 2^-52."""
    for step in (1, 2, 3):
        X = np.array([[0.0], [1.0], [2.0 + step * np.spacing(1.0) * 2]])
        for method in ("single", "average", "complete"):
            Z = scipy_hierarchy.linkage(X, method)
            found, exact = (
                cophenetic_correlation(Z, X),
                np.corrcoef(pdist(X) - 1, scipy_hierarchy.cophenet(Z) - 1)[0, 1],
            )
            assert -1 <= found <= 1
            assert abs(found - exact) < 1e-12


def test_tutorial_figure() -> None:
    X, _ = data_sets()
    Z = scipy_hierarchy.linkage(X, "ward")
    c, d = cophenet(Z, pdist(X))
    assert abs(c - float(COPHENETIC_CORRELATION)) < 1e-14
    assert len(d) == 150 * 149 // 2
    assert abs(cophenetic_correlation(Z, X) - float(COPHENETIC_CORRELATION)) < 1e-14


@pytest.mark.parametrize(
    ("metric", "kwargs"),
    [
        ("euclidean", {}),
        ("cityblock", {}),
        ("cosine", {}),
        ("minkowski", {"p": 3}),
        ("seuclidean", {}),
        ("mahalanobis", {}),
        ("euclidean", {"w": np.array([1.0, 0.5, 2.0])}),
    ],
)
def test_streaming_correlation(metric: str, kwargs: dict) -> None:
    X = RNG.random((350, 3))
    y = pdist(X, metric, **kwargs)
    for method in ("average", "single"):
        Z = scipy_hierarchy.linkage(y, method)
        expected = scipy_hierarchy.cophenet(Z, y)[0]
        assert abs(cophenetic_correlation(Z, X, metric, **kwargs) - expected) < 1e-12


def test_streaming_with_a_function() -> None:
    X = RNG.random((40, 3))

    def farthest(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.abs(x - y).max())

    y = pdist(X, farthest)
    Z = scipy_hierarchy.linkage(y, "complete")
    assert abs(cophenetic_correlation(Z, X, farthest) - scipy_hierarchy.cophenet(Z, y)[0]) < 1e-12


@pytest.mark.parametrize("tree", [caterpillar(700), balanced(700), random_linkage(700, 9, inversions=True)])
def test_streaming_over_many_tiles(tree: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    X = RNG.random((700, 2))
    expected = cophenet(tree, pdist(X))[0]
    monkeypatch.setattr(pieces, "_STRIP", 37)
    monkeypatch.setattr(pieces, "_TILE", 50)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        results.append(cophenetic_correlation(tree, X))
    assert results[0] == results[1]
    assert abs(results[0] - expected) < 1e-13


def test_constant_distances_have_no_correlation() -> None:
    Z = random_linkage(10, 0)
    for constant in (1.0, 0.1, 1e300 / 3):
        with pytest.warns(RuntimeWarning, match="invalid value"):
            assert np.isnan(cophenet(Z, np.full(45, constant))[0])
        level = Z.copy()
        level[:, 2] = constant
        with pytest.warns(RuntimeWarning, match="invalid value"):
            assert np.isnan(cophenet(level, np.arange(45.0))[0])
    assert np.isnan(cophenet(Z, np.where(np.arange(45) == 7, np.nan, np.arange(45.0)))[0])


def test_bad_arguments() -> None:
    Z = random_linkage(10, 0)
    with pytest.raises(ValueError, match="44"):
        cophenet(Z, np.ones(44))
    with pytest.raises(ValueError, match="one-dimensional"):
        cophenet(Z, np.ones((45, 1)))
    with pytest.raises(ValueError, match="55 distances, which are not those of the 10 observations"):
        cophenet(Z, np.ones(55))
    with pytest.raises(TypeError, match="real numbers"):
        cophenet(Z, np.ones(45, dtype=complex))
    assert abs(cophenet(Z, np.arange(45))[0] - cophenet(Z, np.arange(45.0))[0]) == 0
    for bad in (Z[:, :3], Z[1:]):
        with pytest.raises(ValueError):
            cophenet(bad)
    with pytest.raises(ValueError, match="X holds 9 points, but Z has 10"):
        cophenetic_correlation(Z, RNG.random((9, 2)))
    with pytest.raises(ValueError, match="euclidean"):
        cophenetic_correlation(Z, RNG.random((10, 2)), "euclidian")
    with pytest.raises(TypeError, match="takes no parameter"):
        cophenetic_correlation(Z, RNG.random((10, 2)), "euclidean", p=3)


def test_a_result_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    monkeypatch.setattr(memory, "_SMALL", 10**6)
    with pytest.raises(DoesNotFit, match=r"cophenet.* takes 4 MB; 1 MB are available"):
        cophenet(random_linkage(1000, 1))
