"""Leaf orders: against SciPy, against all orders of small trees, and of deep and large ones."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from treegen import balanced, caterpillar, random_linkage

from gpuclust.errors import ClusterWarning
from gpuclust.hierarchy import is_valid_linkage, leaf_positions, leaves_list, linkage, optimal_leaf_ordering
from gpuclust.hierarchy import shortest_order as kernels

TREES = st.builds(
    random_linkage,
    n=st.integers(2, 60),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
)


def all_orders(Z: np.ndarray) -> list[list[int]]:
    """Every leaf order that turning branches can give."""
    orders: list[list[list[int]]] = [[[i]] for i in range(len(Z) + 1)]
    for a, b in Z[:, :2].astype(int):
        forward = [x + y for x in orders[a] for y in orders[b]]
        orders.append(forward + [y + x for x in orders[a] for y in orders[b]])
    return orders[-1]


def length(order: np.ndarray | list[int], y: np.ndarray) -> float:
    """Sum of the distances between neighbours."""
    D = squareform(y, checks=False)
    return float(D[order[:-1], order[1:]].sum())


@given(Z=TREES)
def test_leaves_list_as_scipy(Z: np.ndarray) -> None:
    leaves = leaves_list(Z)
    assert leaves.dtype == np.int32
    np.testing.assert_array_equal(leaves, scipy_hierarchy.leaves_list(Z))


@given(Z=TREES)
def test_leaf_positions_are_the_intervals_of_clusters(Z: np.ndarray) -> None:
    n = len(Z) + 1
    start, size = leaf_positions(Z)
    leaves = leaves_list(Z)
    nodes = scipy_hierarchy.to_tree(Z, rd=True)[1]
    for cluster in range(2 * n - 1):
        inside = leaves[start[cluster] : start[cluster] + size[cluster]]
        assert list(inside) == nodes[cluster].pre_order()


@pytest.mark.parametrize("make", [caterpillar, balanced, lambda n: random_linkage(n, 1)])
def test_a_million_leaves(make) -> None:
    leaves = leaves_list(make(1_000_000))
    assert np.array_equal(np.bincount(leaves), np.ones(1_000_000))


@settings(max_examples=120)
@given(
    n=st.integers(2, 8),
    seed=st.integers(0, 2**32 - 1),
    integers=st.booleans(),
    tree=st.sampled_from(["ward", "single", "random"]),
)
def test_optimal_order_is_the_best_of_all(n: int, seed: int, integers: bool, tree: str) -> None:
    rng = np.random.default_rng(seed)
    y = rng.random(n * (n - 1) // 2)
    if integers:
        y = np.floor(4 * y)  # many equal orders
    Z = random_linkage(n, seed, flips=True) if tree == "random" else scipy_hierarchy.linkage(y, tree)
    before = Z.copy()
    ordered = optimal_leaf_ordering(Z, y)
    np.testing.assert_array_equal(Z, before)
    np.testing.assert_array_equal(ordered[:, 2:], Z[:, 2:])
    np.testing.assert_array_equal(np.sort(ordered[:, :2]), np.sort(Z[:, :2]))
    np.testing.assert_array_equal(ordered[-1], Z[-1])  # of an order and its reverse, this one
    best = min(length(order, y) for order in all_orders(Z))
    found = length(leaves_list(ordered), y)
    assert found == pytest.approx(best, rel=1e-13, abs=1e-13)
    theirs = scipy_hierarchy.optimal_leaf_ordering(Z, y)
    if not integers and length(leaves_list(theirs), y) == pytest.approx(best, rel=1e-13):
        np.testing.assert_array_equal(ordered, theirs)  # where SciPy finds the best one


@pytest.mark.parametrize("tree", ["ward", "average", "single", "caterpillar", "balanced"])
def test_larger_trees_are_never_longer_than_scipys(tree: str) -> None:
    n = 300  # many tiles in each direction, and leftovers
    y = pdist(np.random.default_rng(5).normal(size=(n, 3)))
    Z = {"caterpillar": caterpillar, "balanced": balanced}[tree](n) if tree[-1] in "rd" and tree != "ward" else None
    Z = scipy_hierarchy.linkage(y, tree) if Z is None else Z
    ordered = optimal_leaf_ordering(Z, y)
    assert is_valid_linkage(ordered)
    mine = length(leaves_list(ordered), y)
    theirs = length(leaves_list(scipy_hierarchy.optimal_leaf_ordering(Z, y)), y)
    assert mine <= theirs * (1 + 1e-12)
    np.testing.assert_array_equal(optimal_leaf_ordering(ordered, y), ordered)  # it cannot be improved


def test_where_scipy_misses_the_optimum() -> None:
    """The example of SciPy issue 11227: the order 0 1 2 3 has length 1.50, SciPy's is longer."""
    y = np.array([0.46680166, 0.7747411, 0.79942054, 0.28626558, 0.68441929, 0.74692541])
    Z = scipy_hierarchy.linkage(y, "complete")
    order = leaves_list(optimal_leaf_ordering(Z, y))
    assert list(order) in ([0, 1, 2, 3], [3, 2, 1, 0])
    assert length(order, y) < length(leaves_list(scipy_hierarchy.optimal_leaf_ordering(Z, y)), y)


def test_threads_and_tiles_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.floor(pdist(np.random.default_rng(6).normal(size=(200, 2))) * 3)  # many ties
    Z = balanced(200)
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")
    expected = optimal_leaf_ordering(Z, y)
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "3")
    for work, call in ((10_000, 30_000), (1, 1), (10**12, 10**5)):
        monkeypatch.setattr(kernels, "_THREADED_WORK", work)
        monkeypatch.setattr(kernels, "_WORK_PER_CALL", call)
        np.testing.assert_array_equal(optimal_leaf_ordering(Z, y), expected)


def test_points_and_metrics() -> None:
    X = np.random.default_rng(7).normal(size=(40, 3))
    Z = scipy_hierarchy.linkage(X, "average")
    for metric, arguments in (("euclidean", {}), ("cityblock", {}), ("minkowski", {"p": 3})):
        np.testing.assert_array_equal(
            optimal_leaf_ordering(Z, X, metric, **arguments), optimal_leaf_ordering(Z, pdist(X, metric, **arguments))
        )
    np.testing.assert_array_equal(
        optimal_leaf_ordering(Z, X, lambda u, v: abs(u - v).sum()), optimal_leaf_ordering(Z, X, "cityblock")
    )
    assert_equal = np.testing.assert_array_equal
    assert_equal(linkage(X, "average", optimal_ordering=True), optimal_leaf_ordering(linkage(X, "average"), X))


def test_memory_is_at_most_8_n_squared() -> None:
    n = 1_000
    X = np.random.default_rng(8).normal(size=(n, 3))
    y, Z = pdist(X), balanced(n)
    for given_ in (y, X):
        optimal_leaf_ordering(Z, given_)  # compile
        tracemalloc.start()
        optimal_leaf_ordering(Z, given_)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.1 * 8 * n**2 + 2**21  # the tiles of two threads


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones(7), "7"),
        (np.ones(15), "6 observations"),
        (np.ones((4, 2)), "4 observations"),
        (np.ones((2, 2, 2)), "1 or 2 dimensional"),
        (np.full(10, np.nan), "finite"),
        (np.array(["a"] * 10), "real numbers"),
    ],
)
def test_bad_distances(y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimal_leaf_ordering(balanced(5), y)


def test_square_matrix_as_points_warns() -> None:
    with pytest.warns(ClusterWarning, match="uncondensed"):
        optimal_leaf_ordering(balanced(4), np.ones((4, 4)) - np.eye(4))
