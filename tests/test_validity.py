"""The checks of linkage and inconsistency matrices: SciPy's results and error classes, and the faulty row named."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from treegen import balanced, caterpillar, random_linkage

from gpuclust import hierarchy
from gpuclust.errors import ClusterWarning
from gpuclust.hierarchy import validity

N = 20
ROW = 7


def broken(column: int, value: float) -> np.ndarray:
    Z = random_linkage(N, 3)
    Z[ROW, column] = value
    return Z


def used_twice() -> np.ndarray:
    Z = random_linkage(N, 3)
    Z[ROW, 0] = Z[2, 1]
    return Z


FAULTS = {
    "negative id": (broken(0, -1), "negative indices"),
    "NaN id": (broken(1, np.nan), "negative indices, or NaN"),
    "fraction": (broken(0, 0.5), "not whole numbers"),
    "too early": (broken(1, N + ROW), "before it is formed"),
    "infinite id": (broken(1, np.inf), "before it is formed"),
    "negative height": (broken(2, -0.1), "negative distances"),
    "NaN height": (broken(2, np.nan), "distances that are NaN"),
    "negative count": (broken(3, -2), "negative counts"),
    "count too large": (broken(3, N + 1), "excessive observations"),
    "used twice": (used_twice(), r"same cluster more than once .*first in row 2"),
}
SCIPY_ACCEPTS = {"NaN id", "fraction", "NaN height"}
SHAPES = {
    "one dimension": (np.zeros(4), ValueError),
    "three columns": (np.zeros((3, 3)), ValueError),
    "five columns": (np.zeros((3, 5)), ValueError),
    "no row": (np.zeros((0, 4)), ValueError),
    "integers": (np.array([[0, 1, 3, 2]]), TypeError),
    "float32": (np.array([[0, 1, 3, 2]], dtype=np.float32), TypeError),
    "text": (np.array([["0", "1", "3", "2"]]), TypeError),
    "complex": (np.zeros((1, 4), dtype=complex), TypeError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_rows_are_named(fault: str) -> None:
    Z, message = FAULTS[fault]
    with pytest.raises(ValueError, match=rf"Linkage 'mine' .*{message}") as caught:
        validity.is_valid_linkage(Z, throw=True, name="mine")
    assert f"(row {ROW}: " in str(caught.value)
    assert not validity.is_valid_linkage(Z)
    with pytest.warns(ClusterWarning, match=message):
        assert not validity.is_valid_linkage(Z, warning=True)
    if fault not in SCIPY_ACCEPTS:
        with pytest.raises(ValueError):
            scipy_hierarchy.is_valid_linkage(Z, throw=True)
    for function in (validity.is_monotonic, validity.num_obs_linkage, validity.as_linkage):
        with pytest.raises(ValueError, match=message):
            function(Z)


def test_the_size_of_a_single_merge_is_known() -> None:
    """SciPy does not look at it, and its tests give 4."""
    given_size = np.array([[0.0, 1.0, 0.3, 4.0]])
    assert validity.is_valid_linkage(given_size)
    np.testing.assert_array_equal(validity.as_linkage(given_size), [[0, 1, 0.3, 2]])
    assert given_size[0, 3] == 4


def test_same_child_twice_in_one_row() -> None:
    with pytest.raises(ValueError, match=r"more than once \(row 0: \[1, 1, 1, 2\]\)"):
        validity.as_linkage([[1, 1, 1, 2]])


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_and_types(case: str) -> None:
    Z, error = SHAPES[case]
    for module in (validity, scipy_hierarchy):
        with pytest.raises(error):
            module.is_valid_linkage(Z, throw=True)
        assert not module.is_valid_linkage(Z)


def test_as_linkage_casts_real_numbers_only() -> None:
    rows = [[0, 1, 3, 2], [2, 3, 4, 3]]
    for given_as in (rows, np.array(rows), np.array(rows, dtype=np.float32), np.asfortranarray(rows, dtype=float)):
        Z = validity.as_linkage(given_as)
        assert Z.dtype == np.float64
        assert Z.flags.c_contiguous
        np.testing.assert_array_equal(Z, rows)
    np.testing.assert_array_equal(validity.as_linkage(np.array(rows, dtype=object)), rows)
    with pytest.raises(TypeError, match="'Z' must hold real numbers: row 1, column 2 is missing"):
        validity.as_linkage(np.array([[0, 1, 3, 2], [2, 3, None, 3]], dtype=object))
    for refused in (np.array(rows, dtype=complex), np.array(rows, dtype=str)):
        with pytest.raises(TypeError, match="must contain doubles, got dtype"):
            validity.as_linkage(refused)
    with pytest.raises(TypeError, match="masked"):
        validity.as_linkage(np.ma.masked_array(rows, dtype=float))


def test_as_linkage_does_not_copy_what_is_ready_nor_change_it() -> None:
    Z = random_linkage(50, 1)
    before = Z.copy()
    assert validity.as_linkage(Z) is Z
    np.testing.assert_array_equal(Z, before)
    Z.flags.writeable = False
    np.testing.assert_array_equal(validity.as_linkage(Z), before)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(2, 40),
    seed=st.integers(0, 10**6),
    ties=st.booleans(),
    inversions=st.booleans(),
    column=st.integers(0, 3),
    value=st.sampled_from([-1.0, 0.0, 1.0, 3.0, 10.0, 39.0, 1e9]),
    row=st.integers(0, 38),
)
def test_verdicts_are_scipys(
    n: int, seed: int, ties: bool, inversions: bool, column: int, value: float, row: int
) -> None:
    Z = random_linkage(n, seed, ties=ties, inversions=inversions, flips=True)
    assert validity.is_valid_linkage(Z) is True
    assert validity.is_monotonic(Z) == scipy_hierarchy.is_monotonic(Z)
    assert validity.num_obs_linkage(Z) == n
    Z[row % (n - 1), column] = value
    if n > 2:  # SciPy does not look at a single row
        assert validity.is_valid_linkage(Z) == scipy_hierarchy.is_valid_linkage(Z)


def _sizes(Z: np.ndarray) -> list[float]:
    n = len(Z) + 1
    size = [1.0] * n
    for left, right in Z[:, :2].astype(int):
        size.append(size[left] + size[right])
    return size[n:]


@pytest.mark.parametrize("tree", [caterpillar(500), balanced(500), random_linkage(500, 0, flips=True)])
def test_helpers(tree: np.ndarray) -> None:
    left, right = validity.children(tree)
    assert left.dtype == right.dtype == np.int64
    np.testing.assert_array_equal(np.column_stack((left, right)), tree[:, :2])
    np.testing.assert_array_equal(validity.sizes(tree), [1] * 500 + _sizes(tree))


def test_inconsistency_matrix() -> None:
    R = scipy_hierarchy.inconsistent(random_linkage(N, 3))
    assert validity.is_valid_im(R)
    for column, what in enumerate(("link height means", "link height standard deviations", "link counts")):
        bad = R.copy()
        bad[ROW, column] = -0.5
        with pytest.raises(ValueError, match=rf"matrix 'R' contains negative {what} \(row {ROW}: -0.5\)"):
            validity.is_valid_im(bad, throw=True, name="R")
        with pytest.warns(ClusterWarning, match=what):
            assert not validity.is_valid_im(bad, warning=True)
        assert not scipy_hierarchy.is_valid_im(bad)
    for case, (table, error) in SHAPES.items():
        with pytest.raises(error):
            validity.is_valid_im(table, throw=True)
        assert validity.is_valid_im(table) == scipy_hierarchy.is_valid_im(table), case


@pytest.mark.parametrize(
    "name", ["leaves_list", "to_tree", "cut_tree", "num_obs_linkage", "is_monotonic", "dendrogram"]
)
def test_other_dtypes_are_refused_where_scipy_refuses_them(name):
    Z = np.array([[0, 1, 1, 2], [2, 3, 2, 3]])
    for module in (hierarchy, scipy_hierarchy):
        with pytest.raises(TypeError, match="must contain doubles"):
            getattr(module, name)(Z)


@pytest.mark.parametrize("function", [hierarchy.leaf_positions, hierarchy.leaves_list, hierarchy.to_newick])
def test_a_bad_row_never_reaches_compiled_code(function):
    with pytest.raises(ValueError, match="row 1"):
        function(np.array([[0.0, 1.0, 1.0, 2.0], [2.0, 1e9, 2.0, 3.0]]))
