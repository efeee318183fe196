"""Linkage matrices of other programs: made-up sizes, and rows in any order with children before parents."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given
from hypothesis import strategies as st
from treegen import balanced, from_children, random_linkage

import gpuclust.hierarchy as hierarchy
from gpuclust import plotting
from gpuclust.errors import ClusterWarning, LinkageWarning

sizes = st.integers(2, 40)
seeds = st.integers(0, 10**6)

#: Every function that takes a linkage matrix, as it is called.
CALLS = {
    "cophenet": lambda Z: hierarchy.cophenet(Z),
    "cophenetic_correlation": lambda Z: hierarchy.cophenetic_correlation(
        Z, np.arange(2.0 * len(Z) + 2).reshape(-1, 2)
    ),
    "correspond": lambda Z: hierarchy.correspond(Z, np.ones(len(Z) * (len(Z) + 1) // 2)),
    "cut_tree": lambda Z: hierarchy.cut_tree(Z),
    "dendrogram": lambda Z: hierarchy.dendrogram(Z, no_plot=True, truncate_mode="lastp", p=3)["ivl"],
    "fancy_dendrogram": lambda Z: plotting.fancy_dendrogram(Z, max_d=1.5)["ivl"],
    "fcluster": lambda Z: hierarchy.fcluster(Z, 2, "maxclust"),
    "fcluster_many": lambda Z: hierarchy.fcluster_many(Z, [1, 2], "maxclust"),
    "inconsistent": lambda Z: hierarchy.inconsistent(Z),
    "is_monotonic": lambda Z: hierarchy.is_monotonic(Z),
    "leaders": lambda Z: hierarchy.leaders(Z, np.ones(len(Z) + 1, dtype=np.int32)),
    "leaf_positions": lambda Z: hierarchy.leaf_positions(Z),
    "leaves_list": lambda Z: hierarchy.leaves_list(Z),
    "maxRstat": lambda Z: hierarchy.maxRstat(Z, np.ones((len(Z), 4)), 1),
    "maxdists": lambda Z: hierarchy.maxdists(Z),
    "maxinconsts": lambda Z: hierarchy.maxinconsts(Z, np.ones((len(Z), 4))),
    "num_obs_linkage": lambda Z: hierarchy.num_obs_linkage(Z),
    "optimal_leaf_ordering": lambda Z: hierarchy.optimal_leaf_ordering(Z, np.arange(1.0, len(Z) + 2)[:, None] ** 2),
    "plot_elbow": lambda Z: plotting.plot_elbow(Z).get_title(),
    "suggest_k": lambda Z: hierarchy.suggest_k(Z),
    "acceleration": lambda Z: hierarchy.acceleration(Z).k,
    "to_mlab_linkage": lambda Z: hierarchy.to_mlab_linkage(Z),
    "to_newick": lambda Z: hierarchy.to_newick(Z),
    "to_tree": lambda Z: hierarchy.to_tree(Z).pre_order(),
}


def test_every_function_that_takes_a_linkage_matrix_is_listed() -> None:
    import inspect

    takes = {
        name
        for module in (hierarchy, plotting)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name)) and "Z" in inspect.signature(getattr(module, name)).parameters
    }
    assert takes - {"is_valid_linkage", "from_mlab_linkage"} == set(CALLS)


@pytest.mark.parametrize("made_up", [np.arange(2.0, 6.0), np.zeros(4), np.full(4, np.nan)])
@pytest.mark.parametrize("name", CALLS)
def test_made_up_sizes_are_computed_anew_with_one_warning(name: str, made_up: np.ndarray) -> None:
    """The recipe for trees of scikit-learn that was an official example for years: 2, 3, 4, ... for sizes."""
    Z = np.column_stack(([[0, 1], [2, 3], [5, 6], [7, 4]], [1.0, 1.0, 2.0, 3.0], [2.0, 2.0, 4.0, 5.0]))
    expected = CALLS[name](Z)
    given_as = np.column_stack((Z[:, :3], made_up))
    before = given_as.copy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = CALLS[name](given_as)
    assert [w.category for w in caught] == [LinkageWarning]
    assert caught[0].filename == __file__
    assert "row" in str(caught[0].message)
    assert issubclass(LinkageWarning, ClusterWarning)
    np.testing.assert_equal(found, expected)
    np.testing.assert_array_equal(given_as, before)


def test_scipys_verdict_on_made_up_sizes() -> None:
    Z = np.column_stack(([[0, 1], [2, 3], [4, 5]], np.arange(3), np.arange(2, 5))).astype(float)
    assert hierarchy.is_valid_linkage(Z) is scipy_hierarchy.is_valid_linkage(Z) is True
    for size in (-1, 5):
        Z[1, 3] = size
        assert hierarchy.is_valid_linkage(Z) is scipy_hierarchy.is_valid_linkage(Z) is False
        for module in (hierarchy, scipy_hierarchy):
            with pytest.raises(ValueError, match=r"negative counts|excessive observations"):
                module.cophenet(Z)


# ------------------------------------------------------------------------------------------- rows in any order


def any_order(n: int, seed: int, inversions: bool) -> np.ndarray:
    """A tree whose rows are not in the order of heights; without ``inversions`` no merge is below its children."""
    rng = np.random.default_rng(seed)
    Z = random_linkage(n, seed, ties=seed % 2 == 0, inversions=True, flips=True)
    if not inversions:
        step = rng.integers(0, 3, n - 1) / 4
        for i, children in enumerate(Z[:, :2].astype(int)):
            Z[i, 2] = step[i] + max(Z[c - n, 2] if c >= n else 0.0 for c in children)
    return Z


def members(Z: np.ndarray) -> list[set[int]]:
    """The observations of every cluster."""
    found = [{i} for i in range(len(Z) + 1)]
    for left, right in Z[:, :2].astype(int):
        found.append(found[left] | found[right])
    return found


def partition(Z: np.ndarray, level: np.ndarray, t: float) -> list[set[int]]:
    """By definition: the largest clusters whose level is <= t (observations always are clusters)."""
    n = len(Z) + 1
    clusters = members(Z)
    taken: list[set[int]] = []
    for c in range(2 * n - 2, -1, -1):
        if (c < n or level[c - n] <= t) and not any(clusters[c] <= other for other in taken):
            taken.append(clusters[c])
    return sorted(taken, key=min)


def groups(T: np.ndarray) -> list[set[int]]:
    return sorted(({int(i) for i in np.flatnonzero(label == T)} for label in np.unique(T)), key=min)


def largest(Z: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The largest of ``values`` over the merges in each cluster."""
    n = len(Z) + 1
    result = np.array(values, dtype=float)
    for i, children in enumerate(Z[:, :2].astype(int)):
        result[i] = max([result[i], *(result[c - n] for c in children if c >= n)])
    return result


@given(n=sizes, seed=seeds, inversions=st.booleans())
def test_cuts_by_definition(n: int, seed: int, inversions: bool) -> None:
    Z = any_order(n, seed, inversions)
    rng = np.random.default_rng(seed)
    level = largest(Z, Z[:, 2])
    np.testing.assert_array_equal(hierarchy.maxdists(Z), level)
    np.testing.assert_array_equal(scipy_hierarchy.maxdists(Z), level)
    R = hierarchy.inconsistent(Z, 3)
    np.testing.assert_allclose(R, scipy_hierarchy.inconsistent(Z, 3), rtol=1e-12, atol=1e-7)
    for t in (-1.0, *rng.choice(Z[:, 2], 3), 0.4, np.inf):
        assert groups(hierarchy.fcluster(Z, t, "distance")) == partition(Z, level, t)
        assert groups(hierarchy.fcluster(Z, t, "monocrit", monocrit=Z[:, 2])) == partition(Z, Z[:, 2], t)
        assert groups(hierarchy.fcluster(Z, t, "inconsistent", R=R)) == partition(Z, largest(Z, R[:, 3]), t)
        assert groups(hierarchy.cut_tree(Z, height=t)[:, 0]) == partition(Z, level, np.nextafter(t, -np.inf))
    full = hierarchy.cut_tree(Z)
    for k in range(1, n + 2):
        T = hierarchy.fcluster(Z, k, "maxclust")
        counts = {float(t): len(partition(Z, level, t)) for t in level}
        best = min(t for t in counts if counts[t] <= k)
        assert groups(T) == (partition(Z, level, best) if k < n else [{i} for i in range(n)])
        theirs = scipy_hierarchy.fcluster(Z, k, "maxclust")
        assert theirs.max() <= T.max() <= k  # SciPy's search may end at fewer clusters than there could be
        if theirs.max() == T.max():
            np.testing.assert_array_equal(theirs, T)
        column = groups(full[:, n - min(k, n)])
        assert len(column) == min(k, n)
        assert all(any(one <= whole for whole in groups(T)) for one in column)  # the merges are done by height
        assert all(one in members(Z) for one in column)


@given(n=sizes, seed=seeds, inversions=st.booleans())
def test_what_is_read_off_the_tree(n: int, seed: int, inversions: bool) -> None:
    """Cophenetic distances, leaders, leaves and nodes follow from who merges with whom, not from the rows' order."""
    Z = any_order(n, seed, inversions)
    clusters = members(Z)
    expected = np.zeros((n, n))
    for i, (left, right) in enumerate(Z[:, :2].astype(int)):
        for a in clusters[left]:
            for b in clusters[right]:
                expected[a, b] = expected[b, a] = Z[i, 2]
    cophenetic = hierarchy.cophenet(Z)
    np.testing.assert_array_equal(cophenetic, expected[np.triu_indices(n, 1)])
    np.testing.assert_array_equal(cophenetic, scipy_hierarchy.cophenet(Z))
    T = hierarchy.fcluster(Z, max(1, n // 3), "maxclust")
    for node, label in zip(*hierarchy.leaders(Z, T), strict=True):
        assert clusters[node] == set(np.flatnonzero(label == T).tolist())
    np.testing.assert_array_equal(hierarchy.leaves_list(Z), scipy_hierarchy.leaves_list(Z))
    assert hierarchy.to_tree(Z).pre_order() == scipy_hierarchy.leaves_list(Z).tolist()
    ours = hierarchy.dendrogram(Z, no_plot=True)
    theirs = scipy_hierarchy.dendrogram(Z, no_plot=True)
    assert {key: ours[key] for key in ("icoord", "dcoord", "leaves")} == {
        key: theirs[key] for key in ("icoord", "dcoord", "leaves")
    }


def test_hints_go_by_height() -> None:
    """The elbow of a tree whose last rows are not the highest merges."""
    Z = balanced(8)
    Z[:, 2] = [1.0, 1.0, 9.0, 1.0, 2.0, 10.0, 11.0]
    ordered = from_children(
        *np.array([[0, 1], [2, 3], [6, 7], [8, 9], [4, 5], [10, 12], [11, 13]]).T, np.array([1, 1, 1, 2, 9, 10, 11.0])
    )
    assert hierarchy.is_isomorphic(hierarchy.fcluster(Z, 4, "maxclust"), hierarchy.fcluster(ordered, 4, "maxclust"))
    for mine, expected in zip(hierarchy.acceleration(Z), hierarchy.acceleration(ordered), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert hierarchy.suggest_k(Z, max_k=5) == hierarchy.suggest_k(ordered, max_k=5)


def test_a_row_that_uses_a_later_one_is_refused() -> None:
    Z = balanced(4)[[2, 0, 1]]
    for name, call in CALLS.items():
        if name == "cophenetic_correlation":
            continue
        with pytest.raises(ValueError, match=r"before it is formed .row 0.*ids below 4"):
            call(Z)
