"""Ward from sizes and centroids, without a matrix: SciPy's tree, for any input and any division of work."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest
from conftest import DTYPES, SAME_FORMULA, float32_is_rare, once
from covering import covering
from hypothesis import given, settings
from hypothesis import strategies as st
from replay import replay
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from gpuclust.compute import compute
from gpuclust.core import centroids, methods, preparation
from gpuclust.core.clusters import Merges
from gpuclust.core.points import Points
from gpuclust.hierarchy.assemble import assemble
from gpuclust.kernels.cpu.clusters import summaries
from gpuclust.kernels.cpu.space import removal
from gpuclust.kernels.reference.summaries import Summaries as Reference

WARD = methods.resolve("ward")
stored_module = import_module("gpuclust.algorithms.rounds")


def ones(points: Points) -> np.ndarray:
    return np.ones(points.n, points.features.dtype)


def merges_of(X: np.ndarray, kind: type = summaries.Summaries, dtype: str = "float64") -> Merges:
    points = preparation.prepare(X, "sqeuclidean", dtype=dtype)
    merges = stored_module.from_matrix(kind(points, WARD, ones(points)), WARD, lambda done: None)
    np.sqrt(merges.heights, out=merges.heights)
    return merges


def ward(X: np.ndarray, kind: type = summaries.Summaries, dtype: str = "float64") -> np.ndarray:
    return assemble(merges_of(X, kind, dtype))


def assert_same_tree(Z: np.ndarray, expected: np.ndarray, rtol: float = 1e-12) -> None:
    np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=rtol)


def line(n: int) -> np.ndarray:
    """Each gap wider than the last: one chain, and one pair a round."""
    return np.cumsum(1 + np.arange(n) * 1e-3)[:, None]


def hub(n: int) -> np.ndarray:
    """Spokes of growing length, each at a right angle to most others: all are nearest to what is in the middle."""
    X = np.zeros((n, 40))
    X[np.arange(n), np.arange(n) % 40] = (-1.0) ** (np.arange(n) // 40) * (1 + np.arange(n) / n)
    return X


def duplicates(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, (n, 2)).astype(float)


def gaussian(n: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, 8))


def thirds(n: int) -> np.ndarray:
    """Many equal distances that rounding makes unequal."""
    return np.random.default_rng(4).integers(0, 9, (n, 3)) / 3.0


def blobs(n: int) -> np.ndarray:
    """Tight, far from each other and from the origin: centroids must be known better than to the last bit."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(10, 3))[rng.integers(0, 10, n)] * 1e4 + rng.normal(size=(n, 3)) * 1e-3


@pytest.mark.parametrize("m", [1, 3, 16, 130])
@pytest.mark.parametrize("n", [2, 3, 17, 150, 700, 1500])
def test_scipys_tree(n, m):
    X = np.random.default_rng(n + m).normal(size=(n, m))
    assert_same_tree(ward(X), hierarchy.linkage(X, "ward"))


@pytest.mark.parametrize("tail", [2, 384])
@pytest.mark.parametrize("data", [line, hub, blobs])
def test_scipys_tree_of_awkward_data(monkeypatch, data, tail):
    monkeypatch.setattr(stored_module, "TAIL", tail)
    X = data(600)
    expected = hierarchy.linkage(X, "ward")
    Z = ward(X)
    if data is hub:  # tied
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)
    else:
        assert_same_tree(Z, expected)


@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_far_from_the_origin(offset):
    X = np.random.default_rng(0).normal(size=(700, 5)) + offset
    assert_same_tree(ward(X), hierarchy.linkage(X, "ward"))


@pytest.mark.parametrize("n", [2, 100, 900])
def test_float32(n):
    X = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    merges = merges_of(X, dtype="float32")
    expected = hierarchy.linkage(X, "ward")
    assert merges.heights.dtype == np.float32
    np.testing.assert_allclose(assemble(merges)[:, 2], expected[:, 2], rtol=0, atol=1e-5 * expected[-1, 2])


@given(
    n=st.integers(2, 40), m=st.integers(1, 3), high=st.integers(1, 6), seed=st.integers(0, 10**6), tail=st.booleans()
)
@settings(deadline=None, max_examples=60)
def test_every_merge_joins_a_closest_pair(n, m, high, seed, tail):
    X = np.random.default_rng(seed).integers(0, high + 1, (n, m)).astype(float)
    before = stored_module.TAIL
    stored_module.TAIL = 2 if tail else before
    try:
        Z = ward(X)
    finally:
        stored_module.TAIL = before
    replay(Z, squareform(pdist(X)), "ward")


def test_clusters_in_one_place_merge_at_zero():
    places = np.random.default_rng(2).normal(size=(30, 3))
    X = places[np.random.default_rng(3).integers(0, 30, 900)]
    Z = ward(X)
    expected = hierarchy.linkage(X, "ward")
    zeros = 900 - len(np.unique(X, axis=0))
    assert (Z[:zeros, 2] == 0).all()
    np.testing.assert_allclose(Z[zeros:, 2], expected[zeros:, 2], rtol=1e-12)
    assert (ward(np.full((500, 2), 0.1))[:, 2] == 0).all()


@pytest.mark.parametrize("tail", [2, 384])
@pytest.mark.parametrize("n", [500, 1500])
@pytest.mark.parametrize("data", [line, hub, duplicates, gaussian, thirds])
def test_scans_stay_below_12_n(monkeypatch, data, n, tail):
    monkeypatch.setattr(stored_module, "TAIL", tail)
    merges = merges_of(data(n))
    assert merges.scans <= 12 * n
    assert (np.diff(assemble(merges)[:, 2]) >= 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("tail", [2, 384])
@pytest.mark.parametrize("n", [2, 3, 31, 90])
def test_reference_has_the_same_bits(monkeypatch, n, tail, dtype):
    monkeypatch.setattr(stored_module, "TAIL", tail)
    for X in (duplicates(n), np.random.default_rng(n).integers(0, 50, (n, 4 if dtype == "float64" else 3)) + 1000.0):
        ours, reference = merges_of(X, dtype=dtype), merges_of(X, Reference, dtype)
        np.testing.assert_array_equal(ours.pairs, reference.pairs)
        np.testing.assert_array_equal(ours.heights, reference.heights)


@pytest.mark.parametrize(
    ("typed", "m"),
    covering(
        [("float32", 1e-19), ("float32", 1e-21), ("float64", 1e-160)],
        [3, 10],
        rare=lambda typed, m: m > 3 and float32_is_rare(*typed),
    ),
)
def test_squares_that_nearly_vanish(typed, m):
    """They are rounded to few bits, or to nothing: what is equal then is found to be equal."""
    dtype, scale = typed
    X = np.random.default_rng(m).random((400, m)) * scale
    ours, reference = merges_of(X, dtype=dtype), merges_of(X, Reference, dtype)
    np.testing.assert_array_equal(ours.pairs, reference.pairs)
    np.testing.assert_array_equal(ours.heights, reference.heights)


@pytest.mark.parametrize("n", [17, 150])
def test_reference_is_scipy(n):
    X = np.random.default_rng(n).normal(size=(n, 3))
    assert_same_tree(ward(X, Reference), hierarchy.linkage(X, "ward"))


def computed(centers: np.ndarray, low: np.ndarray, size: np.ndarray) -> np.ndarray:
    """All dissimilarities of ward, from both parts of the centroids, in the order of the features."""
    low = low if len(low) else np.zeros_like(centers)
    square = np.zeros((len(centers), len(centers)), centers.dtype)
    for high, rest in zip(centers.T, low.T, strict=True):
        d = centroids.difference(high[:, None], rest[:, None], high[None, :], rest[None, :])
        square += d * d
    return WARD.geometric(square, size[:, None], size[None, :])


class Checked(summaries.Summaries):
    """Looks after every step whether what is said to be nearest is, among all computed dissimilarities."""

    newcomers = 0

    def check(self, size: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """By row, as all that is kept is; returns the dissimilarities by the caller's numbers."""
        size, ids = size[self.outer], ids[self.outer]
        square = computed(self.centers, self.low, size)
        np.fill_diagonal(square, np.inf)
        np.testing.assert_array_equal(square, square.T)
        square[:, ids < 0] = np.inf
        for x in np.flatnonzero(ids >= 0):
            listed = self.near[x][(self.near[x] >= 0) & (self.held[x] < self.limit[x])]
            order = np.lexsort((ids, square[x]))[: listed.size]
            np.testing.assert_array_equal(listed, order)
            np.testing.assert_array_equal(self.held[x, : listed.size], square[x, order])
            assert np.delete(square[x], listed).min(initial=np.inf) >= self.limit[x]
        numbered = np.empty_like(square)
        numbered[np.ix_(self.outer, self.outer)] = square
        return numbered

    def first_listed(self) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of each by the caller's numbers, and their dissimilarities as compared."""
        near, held = np.empty(self.n, np.int64), np.empty(self.n, self.held.dtype)
        first = self.near[:, 0]
        near[self.outer], held[self.outer] = np.where(first >= 0, self.outer[first], -1), self.held[:, 0]
        return near, held

    def merge(self, method, first, second, between, size, new_size, new_id):
        old = self.first_listed()[0][first]
        super().merge(method, first, second, between, size, new_size, new_id)
        square = self.check(new_size, new_id)
        for x in range(self.n * (self.n > 1)):
            assert self.nearest[x] == np.lexsort((new_id, square[x]))[0]
        near, held = self.first_listed()
        assert ((near >= 0) | (self.n == 1)).all()
        np.testing.assert_array_equal(self.nearest[: self.n * (self.n > 1)], near[: self.n * (self.n > 1)])
        np.testing.assert_array_equal(self.distance, held)
        kept = (second < 0) & (old >= 0)
        Checked.newcomers += int((kept & np.isin(old, first[second < 0]) & (second[self.nearest] >= 0)).sum())

    def chain(self, method, size, ids, nearest_id, next_id, wanted):
        made = super().chain(method, size, ids, nearest_id, next_id, wanted)
        self.state.settle()
        self.check(size, ids)
        return made


@pytest.mark.parametrize(
    ("data", "dtype"),
    covering(
        [gaussian, duplicates, thirds, hub, line],
        DTYPES,
        rare=lambda data, dtype: data in (gaussian, hub) and float32_is_rare(dtype),  # of more than three features
    ),
)
def test_what_is_nearest_is_the_minimum_of_what_is_computed(monkeypatch, data, dtype):
    monkeypatch.setattr(stored_module, "TAIL", 20)
    monkeypatch.setattr(stored_module, "CHAIN_ENTRIES", 20_000)
    merges_of(data(300), Checked, dtype)


@pytest.mark.parametrize("m", [2, 9])
def test_all_are_searched_again_and_know_something(m):
    """One neighbour each, and not the nearest: a search that looks no farther must find all that are nearer."""
    points = preparation.prepare(np.random.default_rng(m).normal(size=(700, m)), "sqeuclidean")
    state = Checked(points, WARD, ones(points))
    state.check(np.ones(700), np.arange(700))
    fourth, distance = state.near[:, 3].copy(), state.held[:, 3].copy()
    state.near[:], state.held[:], state.limit[:] = -1, np.inf, 0
    state.near[:, 0], state.held[:, 0] = fourth, distance
    state._search(state.outer, np.arange(700))
    state.check(np.ones(700), np.arange(700))
    assert ((state.near >= 0).sum(axis=1) >= 4).all()
    assert (state.limit > 0).all()


def simplex(n: int) -> np.ndarray:
    """All distances are equal but for rounding, and unions are as near as their parts."""
    return np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.sweep)])
def test_rounding_brings_new_clusters_nearer(monkeypatch, dtype):
    """The case that the search guards against occurs, in rounds as in chains."""
    monkeypatch.setattr(Checked, "newcomers", 0)
    for n in range(40, 140, 5):
        for tail in (2, 384):
            monkeypatch.setattr(stored_module, "TAIL", tail)
            Z = ward(simplex(n), Checked, dtype)
            replay(Z, squareform(pdist(simplex(n))), "ward", rtol=1e-9 if dtype == "float64" else 1e-4)
    assert Checked.newcomers > 0


@pytest.mark.parametrize("data", [gaussian, thirds, duplicates, hub])
def test_any_number_of_threads(monkeypatch, data):
    monkeypatch.setattr(removal, "SMALL", 0)
    monkeypatch.setattr(removal, "COLUMNS", 1)
    monkeypatch.setattr(summaries, "ROWS", 5)
    monkeypatch.setattr(stored_module, "TAIL", 20)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", str(threads))
        results.append(merges_of(data(700)))
    for other in results[1:]:
        np.testing.assert_array_equal(other.pairs, results[0].pairs)
        np.testing.assert_array_equal(other.heights, results[0].heights)
        assert other.scans == results[0].scans


@pytest.mark.parametrize("kind", [summaries.Summaries, Reference])
@pytest.mark.parametrize("tail", [2, 384])
@pytest.mark.parametrize("far", [1e200, 7e153])
def test_overflow_is_an_error(monkeypatch, kind, tail, far):
    """Of the distances of points, or only of those of large clusters."""
    monkeypatch.setattr(stored_module, "TAIL", tail)
    X = np.random.default_rng(0).random((60, 2)) * 1e150
    X[30:, 0] += far
    points = preparation.prepare(X, "sqeuclidean")
    points = replace(points, features=np.ascontiguousarray(X.T))  # without the power of two that would prevent it
    with pytest.raises(ValueError, match="not finite"):
        stored_module.from_matrix(kind(points, WARD, ones(points)), WARD, lambda done: None)


def test_the_input_stays_as_it_is():
    points = preparation.prepare(np.random.default_rng(0).normal(size=(400, 3)), "sqeuclidean")
    before = points.features.copy()
    for kind in (summaries.Summaries, Reference):
        stored_module.from_matrix(kind(points, WARD, ones(points)), WARD, lambda done: None)
        np.testing.assert_array_equal(points.features, before)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8), st.floats(-1e300, 1e300))
def test_an_offset_is_taken_away_only_where_nothing_is_lost(values, offset):
    for row in (np.array(values), offset + np.array(values) * 1e-3):
        moved = centroids.without_offset(row[None])[0]
        assert len({Fraction(float(x)) - Fraction(float(y)) for x, y in zip(row, moved, strict=True)}) == 1


@given(*[st.floats(-1e6, 1e6)] * 2, *[st.integers(1, 1000)] * 2)
def test_union_of_coordinates(a, b, sa, sb):
    """Both parts together are right to far more than the last bit of a; equal coordinates stay."""
    high, low = centroids.united(a, 0.0, b, 0.0, float(sa), float(sb))
    exact = (Fraction(a) * sa + Fraction(b) * sb) / (sa + sb)
    assert abs(Fraction(high) + Fraction(low) - exact) <= abs(Fraction(b) - Fraction(a)) * Fraction(1, 2**50)
    assert centroids.united(a, 0.0, a, 0.0, float(sa), float(sb)) == (a, 0.0)


SQUARED = ("sqeuclidean", "cosine", "correlation")


@pytest.mark.parametrize(
    ("kind", "method", "metric"),
    covering(
        ["normal", "offset", "tight groups", "line", "few duplicates"],
        ["average", "weighted"],
        SQUARED,
        rare=lambda kind, method, metric: method in SAME_FORMULA,
    ),
)
def test_means_of_squares_are_scipys(method, metric, kind):
    """Average and weighted linkage of squared distances, without a matrix."""
    rng = np.random.default_rng(8)
    n = 400
    X = {
        "normal": rng.normal(size=(n, 5)),
        "offset": rng.normal(size=(n, 5)) + 1e4,
        "tight groups": np.repeat(rng.normal(size=(n // 5, 5)), 5, axis=0) + 1e-4 * rng.normal(size=(n, 5)),
        "line": np.cumsum(1 + np.arange(n) * 1e-3)[:, None] * [1.0, 2, -1, 0.5, 3] + rng.normal(size=(n, 5)),
        "few duplicates": np.concatenate((rng.normal(size=(n - 3, 5)), np.ones((3, 5)) * [1, 2, 3, 4, 5])),
    }[kind]
    result = compute(X, method, metric)
    assert result.plan.algorithm == "summaries"
    expected = hierarchy.linkage(pdist(X, metric), method)
    # SciPy's own cosine is 1 less a number near 1: right to some 1e-16 of 1, not of itself.
    absolute = 0 if metric == "sqeuclidean" else 4e-15
    np.testing.assert_allclose(result.Z[:, 2], expected[:, 2], rtol=1e-12, atol=absolute)
    stored = compute(pdist(X, metric), method)
    np.testing.assert_allclose(result.Z[:, 2], stored.Z[:, 2], rtol=1e-12, atol=absolute)
    if kind == "normal":
        np.testing.assert_array_equal(result.Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    assert (np.diff(result.Z[:, 2]) >= 0).all()


@pytest.mark.parametrize("metric", SQUARED)
def test_means_of_squares_with_weights_of_features(metric):
    rng = np.random.default_rng(9)
    X, w = rng.normal(size=(200, 4)), np.array([0.5, 2, 1, 0])
    Z = compute(X, "average", metric, w=w).Z
    expected = hierarchy.linkage(pdist(X, metric, w=w), "average")
    absolute = 0 if metric == "sqeuclidean" else 4e-15
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12, atol=absolute)


def test_a_point_without_direction_has_no_cosine():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[7] = 0
    with pytest.raises(ValueError, match="Row 7 is a zero vector"):
        compute(X, "average", "cosine")


@pytest.mark.parametrize("method", once(["average", "weighted"]))
@pytest.mark.parametrize("tail", [4, 384])
def test_means_of_squares_are_the_references(monkeypatch, method, tail):
    """Ties, and bits: every backend decides alike."""
    monkeypatch.setattr(stored_module, "TAIL", tail)
    X = np.random.default_rng(3).integers(0, 4, (70, 2)).astype(float)
    results = [compute(X, method, "sqeuclidean", device=name).Z for name in ("cpu", "reference")]
    np.testing.assert_array_equal(*results)
