"""MATLAB's form and Newick text: round trips, trees of other programs, and errors with positions."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given
from hypothesis import strategies as st
from treegen import balanced, caterpillar, from_children, random_linkage

from gpuclust.hierarchy import (
    fcluster,
    from_mlab_linkage,
    from_newick,
    is_isomorphic,
    linkage,
    to_mlab_linkage,
    to_newick,
)

TREES = st.builds(
    random_linkage,
    n=st.integers(2, 60),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    inversions=st.booleans(),
    flips=st.booleans(),
)
NAMES = st.text(st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from(" '()[]:;,_\"\t\n")))


@given(Z=TREES)
def test_matlab_as_scipy(Z: np.ndarray) -> None:
    matlab = to_mlab_linkage(Z)
    np.testing.assert_array_equal(matlab, scipy_hierarchy.to_mlab_linkage(Z))
    np.testing.assert_array_equal(from_mlab_linkage(matlab), Z)
    np.testing.assert_array_equal(from_mlab_linkage(matlab), scipy_hierarchy.from_mlab_linkage(matlab))


def test_matlab_empty_and_integers() -> None:
    for empty in (np.empty(0), np.empty((0, 3)), []):
        np.testing.assert_array_equal(from_mlab_linkage(empty), scipy_hierarchy.from_mlab_linkage(empty))
    assert to_mlab_linkage([]).shape == (0,)
    np.testing.assert_array_equal(from_mlab_linkage([[1, 2, 3]]), [[0, 1, 3, 2]])


@pytest.mark.parametrize(
    ("Z", "message"),
    [
        ([1.0, 2.0, 3.0], "rectangular"),
        ([[1, 2, 1, 2]], "3 columns"),
        ([[0, 1, 1]], "1..2"),
        ([[1, 4, 1], [2, 3, 2]], "before it is formed .row 0"),
        ([[1, 2, 1], [1, 4, 2]], "more than once"),
        ([[1, 2, -1]], "negative"),
        ([[1, np.nan, 1]], "1..2"),
    ],
)
def test_matlab_bad_input(Z: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_mlab_linkage(Z)


@given(Z=TREES)
def test_newick_round_trip(Z: np.ndarray) -> None:
    text = to_newick(Z)
    back, labels = from_newick(text)
    assert labels == [str(i) for i in range(len(Z) + 1)]
    np.testing.assert_array_equal(back, Z)  # row by row, and to the bit


@given(Z=TREES)
def test_newick_without_comments(Z: np.ndarray) -> None:
    """Rows may come back in another order (ties, inversions): compare the trees, which is what brackets hold."""
    text = to_newick(Z, comments=False)
    assert "[" not in text
    back, _ = from_newick(text)
    assert re.sub(r":[^,)]+", "", to_newick(back, comments=False)) == re.sub(r":[^,)]+", "", text)
    assert scipy_hierarchy.is_monotonic(back) or not scipy_hierarchy.is_monotonic(Z)  # rounding inverts nothing
    np.testing.assert_allclose(np.sort(back[:, 2]), np.sort(Z[:, 2]), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(scipy_hierarchy.leaves_list(back), scipy_hierarchy.leaves_list(Z))
    heights = scipy_hierarchy.cophenet(Z)
    np.testing.assert_allclose(scipy_hierarchy.cophenet(back), heights, rtol=1e-12, atol=1e-15)


@given(n=st.integers(2, 30), seed=st.integers(0, 10**6), power=st.integers(-300, 300))
def test_newick_keeps_every_bit(n: int, seed: int, power: int) -> None:
    """Also of heights that no sum of two lengths is rounded to."""
    rng = np.random.default_rng(seed)
    for heights in (
        10.0**power * rng.random(n - 1),
        np.cumsum(rng.random(n - 1) * 10.0 ** rng.integers(-20, 3, n - 1)),
    ):
        Z = random_linkage(n, seed, flips=True)
        Z[:, 2] = heights
        np.testing.assert_array_equal(from_newick(to_newick(Z))[0], Z)


def test_newick_comments_only_where_they_are_needed() -> None:
    Z = linkage(np.random.default_rng(3).normal(size=(200, 3)), "single")
    assert "[" not in to_newick(Z)
    ties = random_linkage(5, 0)
    ties[:, :2], ties[:, 2] = [[2, 3], [0, 1], [4, 5], [6, 7]], 1.0
    text = to_newick(ties)
    assert (
        text
        == "((0:1.0,1:1.0):0.0[&&NHX:row=1],(4:1.0,(2:1.0,3:1.0):0.0[&&NHX:row=0]):0.0[&&NHX:row=2])[&&NHX:row=3];"
    )
    np.testing.assert_array_equal(from_newick(text)[0][:, :3], ties[:, :3])
    # Comments that cannot be right are ignored: rows before their children's, a height that the branches do not have.
    plain = from_newick(to_newick(ties, comments=False))[0]
    for wrong in (
        text.replace("row=0", "row=7"),
        text.replace("row=0", "row=1"),
        text.replace("row=0", "row=x:height=abc"),
        text.replace("row=0", "row=2").replace(
            "(4:1.0,(2:1.0,3:1.0):0.0[&&NHX:row=2]):0.0[&&NHX:row=2]",
            "(4:1.0,(2:1.0,3:1.0):0.0[&&NHX:row=2]):0.0[&&NHX:row=0]",
        ),
        text.replace("[&&NHX:row=0]", "[&&NHX:height=3]"),
    ):
        np.testing.assert_array_equal(from_newick(wrong)[0], plain)


def test_newick_has_no_infinite_lengths() -> None:
    with pytest.raises(ValueError, match="infinite height in row 1"):
        to_newick([[0, 1, 1, 2], [2, 3, np.inf, 3]])
    with pytest.raises(TypeError, match="text must be a str that holds a Newick tree, got bytes"):
        from_newick(b"(A:1,B:1);")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["ward", "average", "single", "centroid", "median"])
def test_newick_gives_the_same_matrix_again(method: str) -> None:
    Z = linkage(np.random.default_rng(3).normal(size=(200, 3)), method)
    if method in ("centroid", "median"):
        assert (np.diff(Z[:, 2]) < 0).any()  # there are inversions
    back, _ = from_newick(to_newick(Z))
    np.testing.assert_array_equal(back, Z)


@given(names=st.lists(NAMES, min_size=2, max_size=12), seed=st.integers(0, 1000))
def test_newick_names_survive(names: list[str], seed: int) -> None:
    Z = random_linkage(len(names), seed)
    back, labels = from_newick(to_newick(Z, names))
    order = scipy_hierarchy.leaves_list(Z)
    mine = scipy_hierarchy.leaves_list(back)
    assert [labels[i] for i in mine] == [names[i] for i in order]


def test_newick_as_written() -> None:
    Z = np.array([[0, 1, 1, 2], [3, 2, 3, 3.0]])
    assert to_newick(Z, ["A", "B", "C"]) == "((A:1.0,B:1.0):2.0,C:3.0);"
    assert to_newick(Z, ["it's", "a b", "x_y"]) == "(('it''s':1.0,'a b':1.0):2.0,'x_y':3.0);"
    inverted = from_children(np.array([0, 2]), np.array([1, 3]), np.array([3.0, 2.0]))
    assert to_newick(inverted) == "(2:2.0,(0:3.0,1:3.0):-1.0);"
    for labels in (["A"], list("ABCD")):
        with pytest.raises(ValueError, match="3 observations"):
            to_newick(Z, labels)


@pytest.mark.parametrize(
    ("text", "rows", "labels"),
    [
        ("((A:1,B:1):2,C:3);", [[0, 1, 1, 2], [3, 2, 3, 3]], ["A", "B", "C"]),
        (" ( ( A : 1 ,\n B:1 ) inner :2 , C:3e0 ) root:7 ; \n", [[0, 1, 1, 2], [3, 2, 3, 3]], ["A", "B", "C"]),
        ("[&R] ((A[c]:1,B:1)90:2[x],'C':3);", [[0, 1, 1, 2], [3, 2, 3, 3]], ["A", "B", "C"]),
        ("(A:1,B:1,C:1);", [[0, 1, 1, 2], [3, 2, 1, 3]], ["A", "B", "C"]),
        ("((A:1):1,B:2.);", [[0, 1, 2, 2]], ["A", "B"]),
        ("(:.5,:5e-1);", [[0, 1, 0.5, 2]], ["", ""]),
        ("(1:1,0:1);", [[1, 0, 1, 2]], ["0", "1"]),
        ("(1:1,2:1);", [[0, 1, 1, 2]], ["1", "2"]),
        ("(C:3,(A:1,B:1):2);", [[1, 2, 1, 2], [0, 3, 3, 3]], ["C", "A", "B"]),
        ("(a_b:1,'c''d':1);", [[0, 1, 1, 2]], ["a_b", "c'd"]),
        ("((C:1,D:1):3,(A:2,B:2):2);", [[0, 1, 1, 2], [2, 3, 2, 2], [4, 5, 4, 4]], ["C", "D", "A", "B"]),
    ],
)
def test_newick_of_other_programs(text: str, rows: list, labels: list[str]) -> None:
    Z, names = from_newick(text)
    np.testing.assert_array_equal(Z, rows)
    assert names == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 0 without"),
        ("(A:1,B:1)", "character 9 without a ';'"),
        ("A;", "two leaves"),
        ("(A:1,B);", "character 6: expected ':' and a branch length"),
        ("(A:x,B:1);", "character 2: expected a number after ':'"),
        ("(A:1_0,B:1);", "character 2: expected a number"),
        ("(A:nan,B:1);", "character 2: expected a number"),
        ("(A:1e999,B:1);", "character 3: expected a finite length"),
        ("(A:1:2,B:1);", "expected ',', '\\)' or ';' after a branch length"),
        ("(A:1,B:1));", "character 9: expected ';', no bracket being open"),
        ("((A:1,B:1);", "character 10: expected ',' or '\\)', 1 bracket"),
        ("(A:1,B:1); C", "character 11: expected nothing after"),
        ("(A:1 (B:1);", "character 5: expected"),
        ("('A:1,B:1);", "character 1: expected a closing quote"),
        ("(A:1,[B:1);", "character 5: expected a closing '\\]'"),
        ("(A:1,B]:1);", "character 6: expected"),
        ("(A 'B':1,C:1);", "character 3: expected one name"),
        ("(A:1,B:1.1);", "not equally far below the root: at character 10"),
        ("(A:-1,B:-1);", "negative distances"),
    ],
)
def test_newick_errors_say_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_newick(text)


def test_newick_tolerance() -> None:
    text = "((A:0.33,B:0.33):0.67,C:1.01);"
    with pytest.raises(ValueError, match="equally far"):
        from_newick(text)
    Z, _ = from_newick(text, tolerance=0.02)
    np.testing.assert_allclose(Z[:, 2], [0.33, 1.01])


@pytest.mark.parametrize("make", [caterpillar, balanced, lambda n: caterpillar(n)[:, [1, 0, 2, 3]]])
def test_newick_of_deep_trees(make) -> None:
    Z = make(30_000)
    back, _ = from_newick(to_newick(Z))
    np.testing.assert_array_equal(back, Z)
    T = fcluster(back, 10, "maxclust")
    assert is_isomorphic(T, fcluster(Z, 10, "maxclust"))
