"""Flat clusters: numbers exactly as SciPy's for every criterion, many cuts at once, leaders, and cut trees."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.cluster.hierarchy as scipy_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from treegen import balanced, caterpillar, random_linkage

from gpuclust.app.tutorial import LABELS, data_sets
from gpuclust.hierarchy.cut import fcluster, fcluster_many, fclusterdata
from gpuclust.hierarchy.cut_tree import cut_tree
from gpuclust.hierarchy.inconsistent import inconsistent, maxdists
from gpuclust.hierarchy.leaders import leaders

sizes = st.integers(2, 50)
seeds = st.integers(0, 10**6)


def all_trees(n: int, seed: int) -> list[np.ndarray]:
    """With and without ties and inversions, children in either order."""
    return [random_linkage(n, seed, ties=seed % 2 == 0, inversions=inv, flips=True) for inv in (False, True)]


# ------------------------------------------------------------------------------------------------------ fcluster


@settings(deadline=None, max_examples=50)
@given(n=sizes, seed=seeds)
def test_thresholds_as_scipy(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for Z in all_trees(n, seed):
        R = scipy_hierarchy.inconsistent(Z, 3)
        monocrit = rng.integers(0, 6, n - 1) / 5  # not monotonic at all
        for t in [*rng.choice(Z[:, 2], 4), *rng.random(3), -1, np.inf]:
            for criterion in ("distance", "inconsistent", "monocrit"):
                _check_same(Z, t, criterion, monocrit=monocrit)
            _check_same(Z, t, "inconsistent", R=R)
            _check_same(Z, t, "inconsistent", depth=4)


@settings(deadline=None, max_examples=50)
@given(n=sizes, seed=seeds)
def test_maxclust_as_scipy(n: int, seed: int) -> None:
    monocrit = np.random.default_rng(seed).random(n - 1)
    for Z in all_trees(n, seed):
        for k in (*range(1, n + 3), 2.7):
            if (np.diff(maxdists(Z)) >= 0).all():  # otherwise SciPy's search misses: see test_foreign_linkage.py
                _check_same(Z, k, "maxclust")
            for values in (monocrit, maxdists(Z)):
                _check_same(Z, k, "maxclust_monocrit", monocrit=values)


def _check_same(Z: np.ndarray, t: float, criterion: str, **kwargs) -> None:
    ours = fcluster(Z, t, criterion, **kwargs)
    expected = scipy_hierarchy.fcluster(Z, t, criterion, **kwargs)
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected, err_msg=f"{criterion}, t={t}")


def test_nan_criteria_part_everything_as_in_scipy() -> None:
    Z = random_linkage(30, 1)
    monocrit = Z[:, 2].copy()
    monocrit[[3, 28, 20]] = np.nan
    for t in (0.2, 0.5, np.inf):
        _check_same(Z, t, "monocrit", monocrit=monocrit)


@settings(deadline=None, max_examples=40)
@given(n=sizes, seed=seeds, min_size=st.integers(1, 8), t=st.floats(0, 1))
def test_min_size(n: int, seed: int, min_size: int, t: float) -> None:
    Z = random_linkage(n, seed, flips=True)
    T = fcluster(Z, t, "distance")
    kept = fcluster(Z, t, "distance", min_size=min_size)
    size = np.bincount(T)[T]
    np.testing.assert_array_equal(kept == 0, size < min_size)
    names = np.unique(T[size >= min_size])
    np.testing.assert_array_equal(kept[kept > 0], np.searchsorted(names, T[kept > 0]) + 1)


def test_min_size_leaves_out_everything() -> None:
    Z = random_linkage(30, 2)
    for k in (29, 30, 31):
        assert not fcluster(Z, k, "maxclust", min_size=3).any()
    assert (fcluster(Z, 1, "maxclust", min_size=30) == 1).all()


@pytest.mark.parametrize("threads", ["1", "3"])
def test_many_cuts_in_one_pass(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
    for Z in all_trees(60, 4):
        for criterion, ts in (
            ("maxclust", np.arange(64, 0, -1)),
            ("distance", np.linspace(0, 1, 30)),
            ("inconsistent", [0.0, 0.7, 1.2]),
        ):
            for min_size in (1, 3):
                many = fcluster_many(Z, ts, criterion, min_size=min_size)
                assert many.dtype == np.int32
                expected = [fcluster(Z, t, criterion, min_size=min_size) for t in ts]
                np.testing.assert_array_equal(many, expected)
    assert fcluster_many(Z, [], "distance").shape == (0, 60)


@pytest.mark.parametrize("make", [caterpillar, balanced, lambda n: random_linkage(n, 1)])
def test_deep_and_large_trees(make) -> None:
    """As deep as there are merges, and nothing recurses."""
    limit = sys.getrecursionlimit()
    Z = make(30_000)
    for t, criterion in ((Z[-200, 2], "distance"), (1.1, "inconsistent"), (777, "maxclust")):
        _check_same(Z, t, criterion)
    T = fcluster(Z, 777, "maxclust")
    for ours, expected in zip(leaders(Z, T), scipy_hierarchy.leaders(Z, T), strict=True):
        np.testing.assert_array_equal(ours, expected)
    columns = cut_tree(Z, [1, 777, 30_000])
    np.testing.assert_array_equal(columns.max(axis=0), [0, 776, 29_999])
    assert sys.getrecursionlimit() == limit


def test_tutorial_cuts() -> None:
    X, _ = data_sets()
    Z = scipy_hierarchy.linkage(X, "ward")
    printed = [int(label) for label in LABELS.split()]
    np.testing.assert_array_equal(fcluster(Z, 50, criterion="distance"), printed)
    np.testing.assert_array_equal(fcluster(Z, 2, criterion="maxclust"), printed)
    np.testing.assert_array_equal(fcluster(Z, 8, depth=10), printed)


def test_bad_arguments() -> None:
    Z = random_linkage(10, 0)
    R = inconsistent(Z)
    cases = [
        ({"criterion": "distanse"}, "Did you mean 'distance'"),
        ({"criterion": "maxclust", "t": 0}, "t must be at least 1"),
        ({"criterion": "maxclust", "t": 0.5}, "t must be at least 1"),
        ({"criterion": "distance", "t": np.nan}, "t must be a number, got nan"),
        ({"criterion": "monocrit"}, "needs monocrit"),
        ({"criterion": "monocrit", "monocrit": Z[1:, 2]}, r"shape \(9,\)"),
        ({"criterion": "maxclust_monocrit", "monocrit": np.full(9, np.nan)}, "NaN"),
        ({"R": R[1:]}, "different number of rows"),
        ({"R": -R}, "negative link height means"),
        ({"depth": 1.5}, "depth must be a whole number >= 0, got 1.5"),
        ({"min_size": 0}, "min_size"),
        ({"min_size": 1.5}, "min_size"),
    ]
    for kwargs, message in cases:
        with pytest.raises(ValueError, match=message):
            fcluster(Z, **{"t": 1, **kwargs})
    with pytest.raises(ValueError, match=r"\(row 5: "):
        fcluster(np.where(np.arange(9)[:, None] == 5, -1, Z), 1)
    with pytest.raises(ValueError, match="one-dimensional"):
        fcluster_many(Z, [[1, 2]], "maxclust")


# -------------------------------------------------------------------------------------------------- fclusterdata


@pytest.mark.parametrize(
    ("method", "metric"), [("single", "euclidean"), ("average", "cityblock"), ("ward", "cosine")]
)
def test_fclusterdata_as_scipy(method: str, metric: str) -> None:
    X = np.random.default_rng(3).random((40, 3))
    for t, criterion in ((1.1, "inconsistent"), (0.3, "distance"), (5, "maxclust")):
        ours = fclusterdata(X, t, criterion, metric=metric, method=method)
        np.testing.assert_array_equal(ours, scipy_hierarchy.fclusterdata(X, t, criterion, metric, method=method))
    assert (fclusterdata(X, 1, "maxclust", min_size=41) == 0).all()


def test_fclusterdata_wants_a_table() -> None:
    with pytest.raises(TypeError, match="n by m"):
        fclusterdata(np.arange(5.0), 1)


# ------------------------------------------------------------------------------------------------------- leaders


@settings(deadline=None, max_examples=60)
@given(n=sizes, seed=seeds, t=st.floats(0, 1.1))
def test_leaders_as_scipy(n: int, seed: int, t: float) -> None:
    for Z in all_trees(n, seed):
        T = np.random.default_rng(seed).permutation(2 * n).astype(np.int32)[fcluster(Z, t, "distance")]
        for ours, expected in zip(leaders(Z, T), scipy_hierarchy.leaders(Z, T), strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours, expected)
        T[seed % n] = T[0]
        try:
            expected = scipy_hierarchy.leaders(Z, T)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error).split("(")[0]):
                leaders(Z, T)
        else:
            np.testing.assert_array_equal(leaders(Z, T), expected)


def test_leaders_of_label_minus_one() -> None:
    """SciPy takes -1 for a mark of its own."""
    Z = scipy_hierarchy.linkage([[0.0], [1.0], [5.0], [6.0]])
    L, M = leaders(Z, np.array([-1, -1, 3, 3], dtype=np.int32))
    np.testing.assert_array_equal(L, [4, 5])
    np.testing.assert_array_equal(M, [-1, 3])


def test_leaders_refuse() -> None:
    Z = random_linkage(5, 0)
    for T in (np.ones(5), np.ones(5, dtype=np.int64), np.ones((5, 1), dtype=np.int32)):
        with pytest.raises(TypeError, match="1-D array of dtype int32"):
            leaders(Z, T)
    with pytest.raises(ValueError, match=r"len\(T\)!=Z.shape\[0\] \+ 1"):
        leaders(Z, np.ones(4, dtype=np.int32))


# ------------------------------------------------------------------------------------------------------ cut_tree


@settings(deadline=None, max_examples=60)
@given(n=st.integers(3, 50), seed=seeds)
def test_cut_tree_of_monotone_trees_as_scipy(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Z = random_linkage(n, seed, ties=seed % 2 == 0, flips=True)
    Z[:, 2] += 0.5
    heights = [*rng.choice(Z[:, 2], 4), *(0.5 + rng.random(3)), 5.0]
    for kwargs in (
        {},
        {"n_clusters": rng.integers(1, n, 5)},
        {"n_clusters": int(rng.integers(1, n))},
        {"n_clusters": [n, 2]},
        {"height": [h for h in heights if h > Z[0, 2]]},  # SciPy loses columns without a merge
        {"height": 1.0 + Z[0, 2]},
    ):
        ours, expected = cut_tree(Z, **kwargs), scipy_hierarchy.cut_tree(Z, **kwargs)
        assert ours.dtype == expected.dtype
        assert ours.flags.f_contiguous
        np.testing.assert_array_equal(ours, expected)


@settings(deadline=None, max_examples=40)
@given(n=sizes, seed=seeds)
def test_cut_tree_with_inversions(n: int, seed: int) -> None:
    """k clusters: the partition after n-k merges, by the largest height within each cluster, of equal ones by row.

    At a height: the clusters of fcluster just below it.
    """
    Z = random_linkage(n, seed, inversions=True, flips=True)
    if (maxdists(Z) == Z[:, 2]).all():
        Z[0, 2] = 2.0
    full = cut_tree(Z)
    group = np.arange(n)
    members = {i: [i] for i in range(n)}
    order = np.argsort(maxdists(Z), kind="stable")
    for k in range(n, 0, -1):
        np.testing.assert_array_equal(full[:, n - k], np.searchsorted(np.unique(group), group))
        np.testing.assert_array_equal(cut_tree(Z, k)[:, 0], full[:, n - k])
        if k > 1:
            left, right = (members.pop(int(c)) for c in Z[order[n - k], :2])
            members[n + order[n - k]] = left + right
            group[left + right] = min(left + right)
    for height in (0.3, 0.8, Z[(n - 1) // 2, 2], 3.0):
        column = cut_tree(Z, height=height)[:, 0]
        T = fcluster(Z, np.nextafter(height, 0), "distance")
        assert len(np.unique(column)) == T.max()
        assert scipy_hierarchy.is_isomorphic(column, T)
        assert (np.diff(np.unique(column, return_index=True)[1]) > 0).all()


def test_full_cut_tree_in_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    Z = random_linkage(200, 6, ties=True, flips=True)
    monkeypatch.setattr(sys.modules[cut_tree.__module__], "_LEAVES_PER_PIECE", 100)
    np.testing.assert_array_equal(cut_tree(Z), scipy_hierarchy.cut_tree(Z))


def test_cut_tree_where_scipy_leaves_zeros() -> None:
    Z = random_linkage(12, 1)
    np.testing.assert_array_equal(cut_tree(Z, [3, 12, 40])[:, 1:], np.column_stack((np.arange(12), np.arange(12))))
    np.testing.assert_array_equal(cut_tree(Z, height=[5.0, 0.0]), np.column_stack((np.zeros(12), np.arange(12))))
    assert cut_tree(Z, []).shape == (12, 0)


def test_cut_tree_refuses() -> None:
    Z = random_linkage(12, 1)
    with pytest.raises(ValueError, match="must be None"):
        cut_tree(Z, n_clusters=2, height=1.0)
    for bad in (0, -1, 2.5, [3, 0], np.nan):
        with pytest.raises(ValueError, match="n_clusters must be whole numbers >= 1"):
            cut_tree(Z, bad)
    with pytest.raises(ValueError, match="height must be a number"):
        cut_tree(Z, height=[1, np.nan])
    with pytest.raises(ValueError, match="one-dimensional"):
        cut_tree(Z, [[1], [2]])
