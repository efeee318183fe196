"""The sum of row scans stays below 12 n on any input: counted, at two sizes."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SAME_FORMULA
from covering import covering

from gpuclust.algorithms import rounds as stored_module
from gpuclust.compute import compute
from gpuclust.core import methods
from gpuclust.core.backend import select

METHODS = ("complete", "average", "weighted", "ward")


def hub(n: int) -> np.ndarray:
    """Everything is nearest to one growing cluster: each merge takes the nearest neighbour from all others."""
    Y = np.full((n, n), 10.0)
    Y[0, 1:] = Y[1:, 0] = 1 + np.arange(1, n) / n
    return Y[np.triu_indices(n, 1)]


def star(n: int) -> np.ndarray:
    """Spokes of growing length."""
    radius = 1 + np.arange(n) / n
    radius[0] = 0
    Y = radius[:, None] + radius[None, :]
    return Y[np.triu_indices(n, 1)]


def growing_gaps(n: int) -> np.ndarray:
    """Points on a line, each gap wider than the last: one chain, and one pair a round."""
    x = np.cumsum(1 + np.arange(n) * 1e-3)
    return np.abs(x[:, None] - x[None, :])[np.triu_indices(n, 1)]


def duplicates(n: int) -> np.ndarray:
    X = np.random.default_rng(1).integers(0, 4, (n, 2)).astype(float)
    return np.abs(X[:, None] - X[None]).sum(axis=2)[np.triu_indices(n, 1)]


def no_metric(n: int) -> np.ndarray:
    return np.random.default_rng(2).random(n * (n - 1) // 2)


def gaussian(n: int) -> np.ndarray:
    X = np.random.default_rng(3).normal(size=(n, 8))
    squares = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    return np.sqrt(squares[np.triu_indices(n, 1)])


def all_equal(n: int) -> np.ndarray:
    return np.ones(n * (n - 1) // 2)


@pytest.mark.parametrize(
    ("method", "data", "n", "tail"),
    covering(METHODS, [hub, star, growing_gaps, duplicates, no_metric, gaussian, all_equal], [500, 1500], [2, 384]),
)
def test_scans_stay_below_12_n(monkeypatch, method, data, n, tail):
    monkeypatch.setattr(stored_module, "TAIL", tail)
    Y = data(n)
    result = compute(Y, method)
    assert result.scans <= 12 * n
    assert (np.diff(result.Z[:, 2]) >= 0).all()


@pytest.mark.parametrize(
    ("method", "kind", "n"),
    covering(
        METHODS,
        ["gaussian", "line", "duplicates", "star"],
        [900, 1100, 2200],
        rare=lambda *case: case[0] in SAME_FORMULA,
    ),
)
def test_scans_stay_below_12_n_from_points(method, kind, n):
    """With the first rounds made from neighbour lists, and with all dissimilarities stored."""
    rng = np.random.default_rng(6)
    X = {
        "gaussian": rng.normal(size=(n, 8)),
        "line": np.cumsum(1 + np.arange(n) * 1e-3)[:, None],
        "duplicates": rng.integers(0, 9, (n, 2)).astype(float),
        "star": np.eye(n)[:, :60] * (1 + np.arange(n) / n)[:, None],
    }[kind]
    for algorithm in {"stored", compute(X, method).plan.algorithm}:
        result = compute(X, method, algorithm=algorithm)
        assert result.scans <= 12 * n
        assert (np.diff(result.Z[:, 2]) >= 0).all()


def test_the_count_is_of_rows_really_searched():
    """Scans reported for a chain are those the reference needs, where each is plain to see."""
    Y = no_metric(60)
    rule = methods.resolve("average")
    counts = []
    for name in ("reference", "cpu"):
        matrix = select(name).store_condensed(Y, 60, False)
        counts.append(stored_module.from_matrix(matrix, rule, lambda done: None).scans)
    assert counts[0] == counts[1] > 60
