"""The verifier itself: it accepts what SciPy computes, and refuses every kind of damage."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import METHODS, points_for
from replay import replay
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_accepts_scipy(method, ties):
    X = points_for("euclidean", 30, 3)
    X = np.round(X) if ties else X
    replay(hierarchy.linkage(X, method), squareform(pdist(X)), method)


def test_accepts_either_answer_to_a_tie():
    square = squareform([1.0, 2.0, 1.0])  # 0-1 and 1-2 are equally near
    replay(np.array([[0, 1, 1, 2], [2, 3, 1, 3.0]]), square, "single")
    replay(np.array([[1, 2, 1, 2], [0, 3, 1, 3.0]]), square, "single")


def _swap_rows(Z):
    Z[[3, 20]] = Z[[20, 3]]


def _wrong_height(Z):
    Z[10, 2] *= 1 + 1e-6


def _wrong_count(Z):
    Z[10, 3] += 1


def _used_twice(Z):
    Z[10, 0] = Z[9, 0]


def _too_early(Z):
    Z[3, 1] = 50


def _not_closest(Z):
    Z[[0, 5], :3] = Z[[5, 0], :3]


def _ids_out_of_order(Z):
    Z[4, [0, 1]] = Z[4, [1, 0]]


@pytest.mark.parametrize(
    "damage", [_swap_rows, _wrong_height, _wrong_count, _used_twice, _too_early, _not_closest, _ids_out_of_order]
)
def test_refuses_damage(damage):
    X = points_for("euclidean", 30, 3)
    Z = hierarchy.linkage(X, "average")
    damage(Z)
    with pytest.raises(AssertionError):
        replay(Z, squareform(pdist(X)), "average")


@pytest.mark.parametrize("claimed", ["complete", "single", "ward", "weighted"])
def test_refuses_another_linkages_tree(claimed):
    X = points_for("euclidean", 30, 3)
    with pytest.raises(AssertionError):
        replay(hierarchy.linkage(X, "average"), squareform(pdist(X)), claimed)
