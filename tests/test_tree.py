"""ClusterNode and to_tree, correspond and is_isomorphic, against SciPy."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from covering import covering
from hypothesis import given
from hypothesis import strategies as st
from treegen import balanced, caterpillar, random_linkage

import gpuclust.hierarchy as hierarchy
from gpuclust.hierarchy import ClusterNode, correspond, is_isomorphic, to_tree

TREES = st.builds(
    random_linkage,
    n=st.integers(2, 60),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
)


@given(Z=TREES)
def test_to_tree_as_scipy(Z: np.ndarray) -> None:
    root, nodes = to_tree(Z, rd=True)
    expected_root, expected = scipy_hierarchy.to_tree(Z, rd=True)
    assert root is nodes[-1]
    assert len(nodes) == len(expected)
    for mine, theirs in zip(nodes, expected, strict=True):
        assert (mine.get_id(), mine.get_count(), mine.dist) == (theirs.id, theirs.count, theirs.dist)
        assert mine.is_leaf() == theirs.is_leaf()
        for side in ("get_left", "get_right"):
            child, expected_child = getattr(mine, side)(), getattr(theirs, side)()
            assert (child is None) == (expected_child is None)
            assert child is None or child is nodes[expected_child.id]
    assert root.pre_order() == expected_root.pre_order()
    assert root.pre_order(lambda leaf: -leaf.id) == expected_root.pre_order(lambda leaf: -leaf.id)
    assert type(nodes[-1].dist) is type(expected[-1].dist)
    assert to_tree(Z).pre_order() == root.pre_order()


def test_nodes_compare_by_height() -> None:
    low, high = ClusterNode(7, dist=1.0), ClusterNode(3, dist=2.0)
    assert low < high
    assert high > low
    assert low == ClusterNode(99, dist=1.0, count=5)
    assert low != high
    for compare in ("__lt__", "__gt__", "__eq__"):
        with pytest.raises(ValueError, match="Can't compare ClusterNode to type"):
            getattr(low, compare)(1.0)
    with pytest.raises(TypeError):
        hash(low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": -1}, "id must be non-negative"),
        ({"id": 0, "dist": -1.0}, "distance must be non-negative"),
        ({"id": 0, "count": 0}, "at least one"),
        ({"id": 2, "left": ClusterNode(0)}, "one child"),
        ({"id": 2, "right": ClusterNode(0)}, "one child"),
    ],
)
def test_bad_nodes(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterNode(**arguments)
    with pytest.raises(ValueError):
        scipy_hierarchy.ClusterNode(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": "a"}, "id must be a number, got 'a'"),
        ({"id": None}, "id must be a number, got None"),
        ({"id": 0, "dist": 1j}, "dist must be a number"),
        ({"id": 0, "count": [1]}, "count must be a number"),
        ({"id": 2, "left": 0, "right": 1}, "left must be a ClusterNode or None, got 0"),
        ({"id": 2, "left": ClusterNode(0), "right": "b"}, "right must be a ClusterNode or None, got 'b'"),
    ],
)
def test_nodes_of_other_types(arguments: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ClusterNode(**arguments)
    with pytest.raises(TypeError, match="func must be callable, got 3"):
        ClusterNode(0).pre_order(3)  # type: ignore[arg-type]


def test_bad_matrix() -> None:
    with pytest.raises(ValueError, match="row 1"):
        to_tree([[0.0, 1, 1, 2], [2, 4, 2, 3]])


def test_deep_trees_do_not_recurse() -> None:
    limit = sys.getrecursionlimit()
    root = to_tree(caterpillar(50_000))
    leaves = root.pre_order()
    assert sorted(leaves) == list(range(50_000))
    assert leaves[0] == 49_999
    assert sys.getrecursionlimit() == limit
    del root


def _same_tree(mine: ClusterNode, other: ClusterNode) -> None:
    """Node by node, without recursion."""
    waiting = [(mine, other)]
    while waiting:
        a, b = waiting.pop()
        assert a is not b
        assert type(a) is type(b)
        assert (a.id, a.dist, a.count, a.is_leaf()) == (b.id, b.dist, b.count, b.is_leaf())
        if not a.is_leaf():
            waiting += [(a.left, b.left), (a.right, b.right)]


COPIES = {
    "deepcopy": copy.deepcopy,
    "Python's pickler": lambda node: pickle.loads(pickle._dumps(node, 4)),  # type: ignore[attr-defined]
    **{
        f"pickle, protocol {protocol}": lambda node, protocol=protocol: pickle.loads(pickle.dumps(node, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


TREES = {
    "caterpillar": lambda: caterpillar(5_000),
    "mirrored": lambda: caterpillar(5_000)[:, [1, 0, 2, 3]],
    "balanced": lambda: balanced(500),
}


@pytest.mark.parametrize(("how", "kind"), covering(COPIES, TREES, together=1))
def test_deep_trees_are_pickled_and_copied(how: str, kind: str) -> None:
    tree = TREES[kind]()
    """A node anywhere in the tree carries what is below it, and nothing else; identities stay."""
    root, nodes = to_tree(tree, rd=True)
    for node in (root, nodes[0], root.left, root.right, nodes[len(nodes) * 3 // 4]):
        _same_tree(COPIES[how](node), node)
    new_root, again, new_nodes = COPIES[how]((root, root, nodes))
    assert new_root is again is new_nodes[-1]
    assert new_nodes[-1].left is new_nodes[nodes[-1].left.id]
    _same_tree(new_root, root)
    assert len(pickle.dumps(nodes[0])) < 300
    assert len(pickle.dumps((root, nodes))) < 150 * len(nodes)
    nodes[len(tree) + 1].extra = [1, nodes[0]]  # what users add comes with it
    found = COPIES[how]((nodes[0], root))
    waiting = found[1]
    while waiting.id != len(tree) + 1:
        waiting = waiting.left if waiting.right.is_leaf() or waiting.left.id == len(tree) + 1 else waiting.right
        if waiting.is_leaf():
            break
    assert waiting.id != len(tree) + 1 or waiting.extra == [1, found[0]]


def test_copy_of_a_node_shares_its_children() -> None:
    root = to_tree(caterpillar(5_000))
    twin = copy.copy(root)
    assert twin is not root
    assert twin == root
    assert twin.left is root.left
    assert "ClusterNode" in repr(root)
    assert not root < twin


@given(
    labels=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), max_size=30),
    shift=st.sampled_from([0, 10**12, -(10**12)]),
    kind=st.sampled_from([np.int64, np.float64, np.int8, str]),
)
def test_is_isomorphic_by_definition(labels: list[tuple[int, int]], shift: int, kind: type) -> None:
    first = [a for a, _ in labels]
    second = [b for _, b in labels]
    same = all(
        (first[i] == first[j]) == (second[i] == second[j]) for i in range(len(labels)) for j in range(len(labels))
    )
    T1 = np.array(first, dtype=kind)
    T2 = np.array(second, dtype=np.int64) + shift
    assert is_isomorphic(T1, T2) is same
    assert is_isomorphic(T2, T1) is same
    assert is_isomorphic(T1, T1)


def test_is_isomorphic_where_scipy_is_wrong() -> None:
    assert not is_isomorphic([1, 2, 3, 4], [1, 2, 1, 2])


@pytest.mark.parametrize(
    ("T1", "T2", "message"),
    [
        ([[1]], [1], "T1 must be one-dimensional"),
        ([1], 1, "T2 must be one-dimensional"),
        ([1], [1, 2], "same number"),
    ],
)
def test_is_isomorphic_bad_input(T1: object, T2: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        is_isomorphic(T1, T2)


def test_correspond() -> None:
    Z = balanced(5)
    for n in range(2, 8):
        y = np.ones(n * (n - 1) // 2)
        assert correspond(Z, y) == scipy_hierarchy.correspond(Z, y) == (n == 5)
    for bad in (np.ones(7), np.ones((5, 5)), np.ones(0)):
        with pytest.raises(ValueError, match="distance matrix"):
            correspond(Z, bad)
        with pytest.raises(ValueError):
            scipy_hierarchy.correspond(Z, bad)
    with pytest.raises(TypeError):
        correspond(Z.astype(int), np.ones(10))


def test_every_name_of_scipys_namespace() -> None:
    missing = [name for name in (*scipy_hierarchy.__all__, "ClusterWarning") if name not in hierarchy.__all__]
    assert not missing
    for name in hierarchy.__all__:
        value = getattr(hierarchy, name)
        assert callable(value), f"{name} is {value!r}"
        assert name in dir(hierarchy)
    with pytest.raises(AttributeError, match="no attribute 'dendogram'"):
        hierarchy.dendogram  # noqa: B018
