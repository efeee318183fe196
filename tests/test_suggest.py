"""Suggested numbers of clusters: the tutorial's two elbows, and simple cases for each method."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from treegen import random_linkage

from gpuclust.app.tutorial import data_sets
from gpuclust.hierarchy.suggest import CAVEATS, acceleration, suggest_k


def blobs(k: int, n: int = 40, seed: int = 0) -> np.ndarray:
    """k groups of n points, far apart."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal((20 * np.cos(i), 20 * np.sin(i)), 0.3, (n, 2)) for i in range(k)])


def test_tutorial_elbows() -> None:
    for X, k in zip(data_sets(), (2, 4), strict=True):
        Z = scipy_hierarchy.linkage(X, "ward")
        found = acceleration(Z, last=10)
        assert found.k == k
        last = Z[-10:, 2]
        np.testing.assert_array_equal(found.counts, np.arange(1, 11))
        np.testing.assert_array_equal(found.heights, last[::-1])
        np.testing.assert_allclose(found.rates, np.diff(last, 2)[::-1], rtol=1e-12, atol=1e-12)
        counts, heights, rates, elbow = acceleration(Z, 10)
        assert (len(counts), len(heights), len(rates), elbow) == (10, 10, 8, k)


def test_acceleration_of_small_trees() -> None:
    Z = random_linkage(4, 0)
    Z[:, 2] = [1, 2, 10]
    assert acceleration(Z).k == 2
    assert len(acceleration(Z).counts) == 3
    with pytest.raises(ValueError, match="at least 3 merges, but Z has 2"):
        acceleration(random_linkage(3, 0))
    with pytest.raises(ValueError, match="last must be a whole number >= 3, got 2"):
        acceleration(Z, last=2)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("sample", [60, 1000])
def test_all_methods_find_clear_groups(k: int, sample: int) -> None:
    X = blobs(k)
    Z = scipy_hierarchy.linkage(X, "single")
    found = suggest_k(Z, X, sample=sample)
    assert set(found) == set(CAVEATS)
    assert {name: hint.k for name, hint in found.items() if name in ("largest gap", "silhouette")} == {
        "largest gap": k,
        "silhouette": k,
    }
    for name, hint in found.items():
        assert hint.method == name
        assert 2 <= hint.k <= 10
        assert hint.score > 0
        assert len(hint.caveat) > 60


def test_tutorial_suggestions() -> None:
    X, X2 = data_sets()
    found = suggest_k(scipy_hierarchy.linkage(X, "ward"), X)
    assert {hint.k for hint in found.values()} == {2}
    Z2 = scipy_hierarchy.linkage(X2, "ward")
    found = suggest_k(Z2)
    assert found["acceleration"].k == 4  # there are five groups: hence the caveats
    table = scipy_hierarchy.inconsistent(Z2, 5)[-9:, 3]
    assert found["inconsistency"].k == 10 - table.argmax()
    assert found["inconsistency"].score == table.max()


def test_silhouette_is_the_textbooks() -> None:
    X = blobs(3, n=10, seed=4) + np.random.default_rng(0).normal(0, 4, (30, 2))
    Z = scipy_hierarchy.linkage(X, "average")
    expected = {}
    for k in range(2, 6):
        labels = scipy_hierarchy.fcluster(Z, k, "maxclust")
        scores = []
        for i in range(30):
            distance = np.sqrt(((X - X[i]) ** 2).sum(axis=1))
            mean = {
                c: distance[labels == c].sum() / max((labels == c).sum() - (c == labels[i]), 1)
                for c in range(1, k + 1)
            }
            a = mean.pop(labels[i])
            b = min(mean.values())
            scores.append((b - a) / max(a, b) if (labels == labels[i]).sum() > 1 else 0)
        expected[k] = np.mean(scores)
    found = suggest_k(Z, X, max_k=5)["silhouette"]
    assert found.k == max(expected, key=expected.get)
    assert abs(found.score - expected[found.k]) < 1e-12


def test_heights_with_inversions_are_cut_as_fcluster_cuts() -> None:
    Z = random_linkage(40, 3, inversions=True)
    k = suggest_k(Z, max_k=40)["largest gap"].k
    heights = np.unique(scipy_hierarchy.maxdists(Z))
    below = heights[np.diff(heights).argmax()]
    assert scipy_hierarchy.fcluster(Z, below, "distance").max() == k


def test_methods_without_an_answer_are_absent() -> None:
    assert suggest_k([[0, 1, 0.0, 2]]) == {}
    assert suggest_k(scipy_hierarchy.linkage([[0.0], [1.0]])) == {}  # the gap below the first merge does not count
    for step in (1.0, 0.1):  # equal heights, and equal ones but for rounding
        for n in (3, 9, 10, 11, 30):
            Z = scipy_hierarchy.linkage(np.arange(n)[:, None] * step)
            assert suggest_k(Z) == {}, (n, step)
    level = random_linkage(20, 0)
    level[:, 2] = 1.0
    assert "inconsistency" not in suggest_k(level)
    assert "acceleration" not in suggest_k(level)
    assert "silhouette" not in suggest_k(level, np.zeros((20, 2)), max_k=2)


def test_bad_arguments() -> None:
    Z = random_linkage(10, 0)
    for kwargs in ({"max_k": 1}, {"sample": 1}):
        with pytest.raises(ValueError, match="must be a whole number >= 2, got 1"):
            suggest_k(Z, **kwargs)
    for X in (np.zeros((9, 2)), np.zeros(10)):
        with pytest.raises(ValueError, match="X must hold the 10 points"):
            suggest_k(Z, X)
