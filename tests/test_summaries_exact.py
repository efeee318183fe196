"""Ward, and means of squared distances, from centroids: every merge is of a closest pair, to the last bits of it.

The verifier replays Z in extended precision, with a tolerance relative to each dissimilarity, not to the extent of
the data: so it detects a wrong choice among clusters that lie within the last bits of their coordinates.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from conftest import once
from covering import covering

from gpuclust.core import centroids, methods, preparation
from gpuclust.hierarchy.assemble import Merges, assemble
from gpuclust.kernels.cpu.clusters import summaries
from gpuclust.kernels.cpu.clusters.summary_kernels import limits, pair_functions
from gpuclust.kernels.cpu.space import removal, screen
from gpuclust.kernels.reference.summaries import Summaries as Reference

stored_module = import_module("gpuclust.algorithms.rounds")
WARD = methods.resolve("ward")
METHODS = ("ward", "average", "weighted")


def tree(X: np.ndarray, method: str, kind: type = summaries.Summaries, dtype: str = "float64") -> np.ndarray:
    """Z by summaries, with heights as they are compared: of ward squares."""
    points, rule = preparation.prepare(X, "sqeuclidean", dtype=dtype), methods.resolve(method)
    merges = stored_module.from_matrix(
        kind(points, rule, np.ones(points.n, points.features.dtype)), rule, lambda done: None
    )
    return assemble(Merges(merges.pairs, merges.heights, merges.scans))


def judge(Z: np.ndarray, X: np.ndarray, method: str, rtol: float = 1e-12) -> None:
    """Raise AssertionError at the first row of Z that is no closest pair, or has another height, by more than rtol.

    Squared distances of points are right to some last bits of a long double, since the difference of two numbers is,
    and so are Lance-Williams updates of them where what merges is nearest. O(n³).
    """
    rule = methods.resolve(method)
    X = np.asarray(X, np.longdouble)
    work = np.zeros((len(X), len(X)), np.longdouble)
    for column in X.T:
        work += (column[:, None] - column[None, :]) ** 2
    np.fill_diagonal(work, np.inf)
    size, row_of = np.ones(len(X), np.longdouble), {k: k for k in range(len(X))}
    for i, (a, b, height, count) in enumerate(Z):
        x, y = row_of.pop(int(a)), row_of.pop(int(b))
        d, closest = work[x, y], work.min()
        assert d <= closest * (1 + rtol), f"row {i}: a pair at {d}, but there is one at {closest}"
        assert abs(height - d) <= rtol * d, f"row {i}: height {height}, but the pair is at {d}"
        sa, sb = (size[x], size[y]) if rule.counted else (np.longdouble(1),) * 2
        if method == "ward":
            others = size
            new = ((sa + others) * work[x] + (sb + others) * work[y] - others * d) / (sa + sb + others)
        else:
            new = (sa * work[x] + sb * work[y]) / (sa + sb)
        new[[x, y]] = np.inf
        work[x], work[:, x] = new, new
        work[y], work[:, y] = np.inf, np.inf
        size[x] = size[x] + size[y]
        assert count == size[x]
        row_of[len(X) + i] = x


def ulps(seed: int) -> np.ndarray:
    """Groups of numbers some last bits apart, on both sides of zero, so that no offset can be taken away."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(4, 60)), int(rng.integers(1, 4))
    places = rng.choice([-3.0, -1.0, 2.0, 3.0, 5.0, 1000.0], (3, m))
    return places[rng.integers(0, 3, n)] * (1 + rng.integers(0, 40, (n, m)) * 2.0**-52)


def tight(seed: int, sigma: float = 1e-12, n: int = 200, m: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, m))[rng.integers(0, 5, n)] + sigma * rng.normal(size=(n, m))


@pytest.mark.parametrize("method", once(METHODS))
@pytest.mark.parametrize("tail", [2, 384])
def test_clusters_within_the_last_bits_of_their_coordinates(method, tail, monkeypatch):
    monkeypatch.setattr(stored_module, "TAIL", tail)
    for seed in range(40):
        X = ulps(seed)
        judge(tree(X, method), X, method)


def test_the_pair_that_is_nearer_by_two_hundredths():
    """By rounded centroids the other one is."""
    u = np.spacing(3.0)
    X = np.array([[-3.0], [3 + 17 * u], [3 + 21 * u], [3 + 20 * u], [3 + 13 * u]])
    Z = tree(X, "ward")
    np.testing.assert_allclose(np.sqrt(Z[:3, 2]) / u, [1, 4, np.sqrt(60.5)], rtol=1e-15)


@pytest.mark.parametrize("sigma", [1e-10, 1e-12, 1e-13])
@pytest.mark.parametrize("method", once(METHODS))
def test_tight_groups(method, sigma):
    for seed in range(10):
        X = tight(seed, sigma)
        judge(tree(X, method), X, method)


@pytest.mark.parametrize(("m", "walks", "tail"), covering([1, 2, 5, 9], [True, False], [2, 384], together=1))
def test_walked_or_screened(m, walks, tail, monkeypatch):
    """All ways to search find the same bits: those of the reference."""
    monkeypatch.setattr(stored_module, "TAIL", tail)
    monkeypatch.setattr(summaries, "WALKED", 0 if walks else 1 << 40)
    monkeypatch.setattr(screen, "MOST", 64)

    class Own(summaries.Summaries):
        def _search(self, ids, rows):
            self.walks = walks
            super()._search(ids, rows)

    for X in (tight(m, 1e-13, 300, m), tight(m, 1e-15, 150, m), tight(m, 1e-7, 300, m), tight(m, 2e-8, 300, m)):
        ours, reference = tree(X, "ward", Own), tree(X, "ward", Reference)
        np.testing.assert_array_equal(ours, reference)
        judge(ours, X, "ward")


@pytest.mark.parametrize("walks", [True, False])
@pytest.mark.parametrize("listed", [1, 2, 6])
@pytest.mark.parametrize("method", once(METHODS))
def test_ties_are_decided_as_in_the_reference(method, listed, walks, monkeypatch):
    """Of equally near clusters the one with the smallest id is nearest, also where a list has no room for all."""
    monkeypatch.setattr(summaries, "LISTED", listed)
    monkeypatch.setattr(summaries, "WALKED", 0 if walks else 1 << 40)
    monkeypatch.setattr(removal, "SMALL", 0)
    monkeypatch.setattr(removal, "COLUMNS", 1)
    monkeypatch.setattr(screen, "MOST", 8)

    class Own(summaries.Summaries):
        def _search(self, ids, rows):
            self.walks = walks
            super()._search(ids, rows)

    for seed in range(6):
        rng = np.random.default_rng(seed)
        m = 2 + seed % 4
        X = rng.permutation(np.unique(rng.integers(0, 2 + 8 // m, (300, m)), axis=0)).astype(float)
        monkeypatch.setattr(stored_module, "TAIL", 2 if seed % 2 else 384)
        np.testing.assert_array_equal(tree(X, method, Own), tree(X, method, Reference))


@pytest.mark.parametrize("listed", [1, 3])
@pytest.mark.parametrize("method", once(METHODS))
def test_screening_passes_over_nothing_that_rounding_moves_away(method, listed, monkeypatch):
    """By short lists, which every search narrows. Groups are as wide as what single precision rounds in a box, or
    clusters differ by nothing but their second parts.
    """
    monkeypatch.setattr(summaries, "LISTED", listed)
    monkeypatch.setattr(removal, "SMALL", 0)
    monkeypatch.setattr(removal, "COLUMNS", 1)
    monkeypatch.setattr(stored_module, "TAIL", 2)
    monkeypatch.setattr(screen, "MOST", 64)

    class Own(summaries.Summaries):
        def _search(self, ids, rows):
            self.walks = False
            super()._search(ids, rows)

    for seed in range(24):
        spread = 10.0 ** np.random.default_rng(seed).uniform(-8.5, -6)
        for X in (ulps(seed), tight(seed, spread, 200, 1 + seed % 4)):
            np.testing.assert_array_equal(tree(X, method, Own), tree(X, method, Reference))


def test_float32_within_the_last_bits():
    rng = np.random.default_rng(0)
    X = np.array([-3.0, 3, 5])[rng.integers(0, 3, 120)] * (1 + rng.integers(0, 60, 120) * 2.0**-23)
    X = X.astype(np.float32)[:, None]
    judge(tree(X, "ward", dtype="float32"), X, "ward", rtol=1e-5)


def merged(seed: int, m: int, merges: int, spread: float) -> summaries.Summaries:
    """Clusters in a state that a few rounds have led to, of points that lie ``spread`` around a few places."""
    points = preparation.prepare(tight(seed, spread, 60, m), "sqeuclidean")
    state = summaries.Summaries(points, WARD, np.ones(points.n))
    size, ids, next_id = np.ones(state.n), np.arange(state.n), state.n
    for _ in range(merges):
        if state.n > 4:
            size, ids, next_id = one_round(state, size, ids, next_id)
    return state


def one_round(state: summaries.Summaries, size: np.ndarray, ids: np.ndarray, next_id: int):
    near = state.nearest
    first = np.flatnonzero((near[near] == np.arange(state.n)) & (np.arange(state.n) < near))
    second = near[first]
    partner = np.full(state.n, -1)
    partner[first] = second
    rows = np.setdiff1d(np.arange(state.n), second)
    new_size, new_id = size.copy(), ids.copy()
    new_size[first] += size[second]
    new_id[first] = next_id + np.arange(first.size)
    state.merge(WARD, rows, partner[rows], state.distance[rows], size, new_size[rows], new_id[rows])
    return new_size[rows], new_id[rows], next_id + first.size


def computed(state: summaries.Summaries, parts: int = 2) -> np.ndarray:
    """All dissimilarities by row, from one part of the centroids or both."""
    low = state.low if len(state.low) and parts == 2 else np.zeros_like(state.centers)
    square = np.zeros((state.n, state.n), state.centers.dtype)
    for high, rest in zip(state.centers.T, low.T, strict=True):
        square += centroids.difference(high[:, None], rest[:, None], high[None, :], rest[None, :]) ** 2
    return WARD.geometric(square, state.size[:, None], state.size[None, :])


@pytest.mark.parametrize("spread", [1.0, 1e-8, 1e-13, 1e-15])
def test_first_parts_tell_how_near_clusters_may_be(spread):
    """Of any pair neither dissimilarity, by one part or both, exceeds what is made of the other."""
    for seed in range(20):
        state = merged(seed, 1 + seed % 3, 3, spread)
        precise, rough = computed(state), computed(state, 1)
        eps, m = float(np.finfo(float).eps), state.centers.shape[1]
        reach = WARD.geometric(1.0, state.size, state.total)
        slack = centroids.slack(abs(state.centers).sum(axis=1), reach, m, eps, 5e-324)
        for rows in (slack[:, None], slack[None, :]):  # either cluster's slack will do
            for one, other in ((precise, rough), (rough, precise)):
                assert (other <= centroids.loosened(one, rows, centroids.growth(m, eps))).all()


class Unsearched(summaries.Summaries):
    """Unproven nearest clusters stay unproven: lists and limits are as `carry` leaves them."""

    def _know(self, ids: np.ndarray, unknown: np.ndarray) -> None:
        if not hasattr(self, "nearest"):
            super()._know(ids, unknown)


@pytest.mark.parametrize(("listed", "spread"), covering([1, 2, 3, 6], [1.0, 1e-13], together=1))
def test_what_is_on_no_list_is_not_below_the_limit(listed, spread, monkeypatch):
    """After a round, on lists and limits that may be anything true; also what fell off a list that was full.

    Lists hold clusters at random, mostly near ones, in order, or in every other round as many of the nearest as they
    have room for; limits are as large as may be, or smaller.
    """
    monkeypatch.setattr(summaries, "LISTED", listed)
    full = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(20, 45)), int(rng.integers(1, 11))
        X = tight(seed, spread, n, m) if spread < 1 else rng.normal(size=(n, m))
        points = preparation.prepare(X, "sqeuclidean")
        state = Unsearched(points, WARD, np.ones(points.n))
        size, ids, next_id = np.ones(state.n), np.arange(state.n), state.n
        for _ in range(int(rng.integers(1, 5))):
            if state.n < 5:
                break
            P = np.where(np.eye(state.n, dtype=bool), np.inf, computed(state))
            invent_lists(state, P, ids[state.outer], rng, rng.random() < 0.5)
            set_nearest(state, P, ids[state.outer])
            size, ids, next_id = one_round(state, size, ids, next_id)
            P = np.where(np.eye(state.n, dtype=bool), np.inf, computed(state))
            full += int((state.near[:, -1] >= 0).sum())
            for x in range(state.n):
                on = state.near[x][state.near[x] >= 0]
                np.testing.assert_array_equal(P[x, on], state.held[x][: on.size])
                assert np.delete(P[x], on).min(initial=np.inf) >= state.limit[x]
    assert full > 50


def invent_lists(
    state: summaries.Summaries, P: np.ndarray, ids: np.ndarray, rng: np.random.Generator, nearest: bool
) -> None:
    lowered = limits(WARD, P.dtype).lowered
    for x in range(state.n):
        order = np.lexsort((ids, P[x]))[: state.n - 1]
        count = state.near.shape[1] if nearest else int(rng.integers(0, state.near.shape[1] + 1))
        chosen = order[:count]
        if not nearest and rng.random() < 0.5:
            chosen = order[: 2 * count][np.sort(rng.permutation(min(2 * count, order.size))[:count])]
        state.near[x], state.held[x] = -1, np.inf
        state.near[x, : chosen.size], state.held[x, : chosen.size] = chosen, P[x, chosen]
        least = np.delete(P[x], np.append(chosen, x)).min(initial=np.inf)
        limit = lowered(least, state.centers[x], state.size[x], state.total, 1)
        state.limit[x] = limit * (rng.random() if not nearest and rng.random() < 0.2 else 1)


def set_nearest(state: summaries.Summaries, P: np.ndarray, ids: np.ndarray) -> None:
    """By the caller's numbers, whatever the lists say."""
    near = np.array([np.lexsort((ids, row))[0] for row in P])
    state.nearest, state.distance = np.empty(state.n, np.int64), np.empty(state.n)
    state.nearest[state.outer], state.distance[state.outer] = state.outer[near], P.min(axis=1)


@pytest.mark.parametrize("method", once(METHODS))
def test_a_limit_allows_for_the_rounding_of_second_parts(method):
    """Centroids that differ by less than a hundredth of a last bit: the union's second part is rounded by as much.

    The limit of a union is made of the dissimilarities of its parts to a third cluster, and the union is no nearer
    to that cluster than the limit says.
    """
    rule = methods.resolve(method)
    of_pair, of_limits = pair_functions(rule, np.dtype(float)), limits(rule, np.dtype(float))
    tight = 0
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        m = 1 + seed % 3
        size = rng.integers(1, 50, 3).astype(float)
        spread = np.spacing(3.0) * 2.0 ** -rng.integers(4, 40)
        centers = np.full((3, m), 3.0)
        low = 0.3 * np.spacing(3.0) + spread * rng.normal(size=(3, m))
        scatter = np.zeros(3)
        of = {(x, y): of_pair.compared(centers, low, size, scatter, x, y) for x, y in ((0, 1), (0, 2), (1, 2))}
        a, b = min(of, key=of.__getitem__)
        y = 3 - a - b
        to_a, to_b = (of[min(x, y), max(x, y)] for x in (a, b))
        limit = of_limits.united(to_a, to_b, of[a, b], size[a], size[b], size[y], size[y])
        of_pair.join(centers, low, size, scatter, a, b)
        size[a] += size[b] if rule.counted else 0
        limit = of_limits.lowered(limit, centers[a], size[a], size.sum(), 1)
        assert of_pair.compared(centers, low, size, scatter, a, y) >= limit, seed
        tight += limit > 0
    assert tight > 500


@pytest.mark.parametrize("spread", [1.0, 1e-13])
@pytest.mark.parametrize("walks", [True, False])
def test_limits_of_a_chain(walks, spread, monkeypatch):
    """After some merges of a chain nothing that is on no list is below the limit, also of what fell off a list.

    A limit is lowered by the error of one rounding, and one for each union since it was found or each level of them.
    """
    monkeypatch.setattr(summaries, "LISTED", 6)
    lowered = limits(WARD, np.dtype(float)).lowered
    several = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(20, 60)), int(rng.integers(1, 5))
        X = tight(seed, spread, n, m) if spread < 1 else rng.normal(size=(n, m))
        state = summaries.Summaries(preparation.prepare(X, "sqeuclidean"), WARD, np.ones(n))
        state.walks = walks
        size, ids = np.ones(n), np.arange(n)
        found = np.zeros(n, np.int64)
        for done in range(0, 16, 4):
            limit = state.limit.copy()
            state.chain(WARD, size, ids, ids[state.nearest], n + done, 4)
            progress = state.state.state[1]
            untouched = (state.limit == limit) & (progress.level == 0) & (state.state.ids >= 0)
            steps = np.minimum(progress.counts[1], progress.counts[0] - found)
            state.state.settle()
            for x in np.flatnonzero(untouched):
                assert state.limit[x] <= lowered(limit[x], state.centers[x], state.size[x], float(n), steps[x] + 1)
            several += np.count_nonzero(steps[untouched] > 1)
            used, found = np.flatnonzero(state.state.ids >= 0), progress.set_at.copy()
            P = np.where(np.eye(n, dtype=bool), np.inf, computed(state))
            for x in used:
                off = np.setdiff1d(used, np.append(state.near[x], x))
                assert P[x, off].min(initial=np.inf) >= state.limit[x]
    assert several > 500


def check_lists(state: summaries.Summaries, ids: np.ndarray) -> None:
    """Each list holds the nearest clusters, equal ones by id, and its limit is a lower bound for all others."""
    P = np.where(np.eye(state.n, dtype=bool), np.inf, computed(state))
    listed = state.near.shape[1]
    for x in range(state.n):
        order = np.lexsort((ids, P[x]))
        np.testing.assert_array_equal(state.near[x], order[:listed])
        assert P[x, order[listed]] >= state.limit[x]


@pytest.mark.parametrize("walks", [True, False])
@pytest.mark.parametrize("listed", [1, 4])
def test_a_search_finds_clusters_that_their_second_parts_bring_near(listed, walks, monkeypatch):
    """By first parts most are a last bit away from each other, or none."""
    monkeypatch.setattr(summaries, "LISTED", listed)
    monkeypatch.setattr(screen, "MOST", 16)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, m, u = int(rng.integers(30, 90)), 1 + seed % 4, np.spacing(3.0)
        state = summaries.Summaries(preparation.prepare(rng.random((n, m)), "sqeuclidean"), WARD, np.ones(n))
        state.walks, ids = walks, rng.permutation(n)
        state.centers = 3 + u * rng.integers(0, 2 + seed % 3, (n, m))
        state.low = rng.uniform(-0.5, 0.5, (n, m)) * u
        state.size = rng.integers(1, 9, n).astype(float)
        state.total = state.size.sum()
        state.near[...], state.held[...] = -1, np.inf
        state._search(ids, np.arange(n))
        check_lists(state, ids)


@pytest.mark.parametrize("listed", [1, 4])
def test_a_pairwise_search_finds_what_rounding_moves_away(listed, monkeypatch):
    """Pairs of boxes are compared once, for the lists of both; groups are as wide as the rounding in a box."""
    monkeypatch.setattr(summaries, "LISTED", listed)
    monkeypatch.setattr(screen, "MOST", 32)

    class Own(summaries.Summaries):
        def _know(self, ids, unknown):
            self.walks = False
            super()._know(ids, unknown)

    for seed in range(40):
        spread = 10.0 ** np.random.default_rng(seed).uniform(-8, -6)
        points = preparation.prepare(tight(seed, spread, 200, 1 + seed % 4), "sqeuclidean")
        state = Own(points, WARD, np.ones(points.n))
        check_lists(state, state.outer)


@pytest.mark.parametrize("walks", [True, False])
def test_what_falls_off_the_list_of_a_union_lowers_its_limit(walks):
    """Of two clusters with four others on either side the union's list has room for six of the eight."""
    near = [-1.1, -1.12, -1.14, -1.16, 2.1, 2.12, 2.14, 2.16]
    X = np.array([0.0, 1.0, *near, *np.arange(30.0, 40.0)])[:, None]
    state = summaries.Summaries(preparation.prepare(X, "sqeuclidean"), WARD, np.ones(len(X)))
    state.walks, ids = walks, np.arange(len(X))
    pairs, _, _ = state.chain(WARD, np.ones(len(X)), ids, ids[state.nearest], len(X), 1)
    assert pairs.tolist() == [[0, 1]]
    union = int(np.argmax(state.size))
    assert state.near.shape[1] == 6
    P = np.where(np.arange(len(X)) == union, np.inf, computed(state)[union])
    P[state.state.ids < 0] = np.inf
    off = np.setdiff1d(np.arange(len(X)), state.near[union])
    assert (state.near[union] >= 0).sum() == 6
    assert P[off].min() >= state.limit[union]
