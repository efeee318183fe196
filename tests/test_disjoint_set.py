"""DisjointSet against SciPy's, by any sequence of operations."""

from __future__ import annotations

import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given
from hypothesis import strategies as st

from gpuclust.hierarchy import DisjointSet

ELEMENTS = st.one_of(st.integers(0, 12), st.sampled_from("abc"), st.none(), st.tuples(st.integers(0, 2)))


@given(
    first=st.lists(ELEMENTS, max_size=12),
    steps=st.lists(st.tuples(st.sampled_from(["add", "merge"]), ELEMENTS, ELEMENTS), max_size=40),
)
def test_as_scipy(first: list, steps: list) -> None:
    mine, theirs = DisjointSet(first), scipy_hierarchy.DisjointSet(first)
    for step, x, y in steps:
        if step == "add":
            mine.add(x)
            theirs.add(x)
        elif x in theirs and y in theirs:
            assert mine.merge(x, y) is theirs.merge(x, y)
        assert mine.n_subsets == theirs.n_subsets
    assert list(mine) == list(theirs)
    assert len(mine) == len(theirs)
    assert mine.subsets() == theirs.subsets()
    for x in theirs:
        assert x in mine
        assert mine[x] == theirs[x]
        assert mine.subset(x) == theirs.subset(x)
        assert mine.subset_size(x) == theirs.subset_size(x)
        for y in theirs:
            assert mine.connected(x, y) is theirs.connected(x, y)


@pytest.mark.parametrize(
    "operation",
    [
        lambda parts: parts["no"],
        lambda parts: parts.merge(1, "no"),
        lambda parts: parts.merge("no", 1),
        lambda parts: parts.connected(1, "no"),
        lambda parts: parts.subset("no"),
        lambda parts: parts.subset_size("no"),
    ],
)
def test_unknown_elements(operation) -> None:
    parts = DisjointSet([1, 2])
    with pytest.raises(KeyError, match="no"):
        operation(parts)
    assert parts.n_subsets == 2
    assert "no" not in parts


def test_root_of_equal_sizes_is_the_one_added_first() -> None:
    parts = DisjointSet([3, 1, 2])
    assert parts.merge(2, 1)
    assert parts[2] == 1
    assert parts.merge(3, 2)
    assert parts[3] == 1  # the larger subset's


def test_long_chains() -> None:
    parts = DisjointSet(range(20_000))
    for i in range(19_999):
        assert parts.merge(i, i + 1)
    assert parts.n_subsets == 1
    assert parts.subset_size(0) == len(parts.subset(19_999)) == 20_000
