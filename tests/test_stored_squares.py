"""Squared distances that are stored for clusters of many features: their bound, and the same bits as without them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from conftest import DTYPES, SAME_FORMULA
from covering import covering

from gpuclust.algorithms.rounds import from_summaries
from gpuclust.core import methods, preparation
from gpuclust.core.sizes import WIDE
from gpuclust.kernels.cpu.backend import CpuBackend
from gpuclust.kernels.cpu.clusters import stored_squares, stored_unions, summary_kernels
from gpuclust.kernels.reference.backend import ReferenceBackend


def gaussian(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, m))


def near_copies(n: int, m: int) -> np.ndarray:
    """Groups of copies with differences of many sizes, far from the origin."""
    rng = np.random.default_rng(1)
    apart = 10.0 ** -rng.integers(1, 9, (n, 1))
    return 50 + rng.normal(size=(9, m))[rng.integers(0, 9, n)] + apart * rng.normal(size=(n, m))


def chained(n: int, m: int) -> np.ndarray:
    """Each gap is wider than the last: clusters grow by one at a time."""
    line = np.cumsum(1 + 1e-3 * np.arange(n))[:, None] * np.ones(m)
    return line + 1e-5 * gaussian(n, m)


def lattice(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 3, (n, m)).astype(float)


def large(n: int, m: int) -> np.ndarray:
    return 1e120 * gaussian(n, m)


def small(n: int, m: int) -> np.ndarray:
    return 1e-120 * gaussian(n, m)


DATA = [gaussian, near_copies, chained, lattice, large, small]


@pytest.mark.parametrize(
    ("make", "method", "dtype"),
    covering(
        [gaussian, near_copies, chained, lattice],
        ["ward", "average", "weighted"],
        DTYPES,
        together=1,
        rare=lambda make, method, dtype: method in SAME_FORMULA,
    ),
)
def test_the_bound_holds(make, method, dtype):
    """After each of many unions, of pairs that are near and of pairs that are not."""
    n, m, rule = 150, 61, methods.resolve(method)
    rng = np.random.default_rng(3)
    centers = make(n, m).astype(dtype)
    low, size, scatter = np.zeros_like(centers), np.ones(n, dtype), np.zeros(n, dtype)
    squares = stored_squares.squares_of(centers, low, n + n // stored_squares.SPARE)
    assert squares is not None
    unite = summary_kernels.kernels(rule, np.dtype(dtype)).unite
    live = np.arange(n)
    while live.size > 10:
        checked(squares, centers, low, live)
        pairs, alone = np.empty((0, 2), np.int64), live
        for _ in range(rng.choice([1, 1, 2, 5])):  # at the same time
            a = rng.choice(alone)
            others = alone[alone != a]
            apart = np.square((centers[others] - centers[a]).astype(np.float64)).sum(axis=1)
            b = others[np.argmin(apart)] if rng.random() < 0.7 else rng.choice(others)
            pairs, alone = np.append(pairs, [[a, b]], axis=0), others[others != b]
        first, second = pairs.T.copy()
        share = size[first] / (size[first] + size[second])
        square = np.square((centers[first] - centers[second]).astype(np.float64)).sum(axis=1) * squares.units[0]
        known = squares.away[pairs].max(axis=1)
        stored_unions.unite(squares, rule, centers, low, size, first, second)
        subtracted = share * (1 - share) * square
        # That is rounded, and of a distance that is: hardly ever more than the rest.
        assert (squares.away[first] >= known + stored_squares.STEP * subtracted).all()
        unite(centers, low, size, scatter, first, second, 0, first.size)
        size[first] += size[second] if rule.counted else 0
        live = np.setdiff1d(live, second)
    assert squares.level.max() > 5


def checked(squares: stored_squares.Squares, centers: np.ndarray, low: np.ndarray, live: np.ndarray) -> None:
    """Compare values with squared distances in extended precision; the bound is neither broken nor useless."""
    place = centers[live].astype(np.longdouble) + low[live]
    places = np.ix_(squares.spot[live], squares.column[live])
    exact = np.square(place[:, None] - place).sum(axis=2) * squares.units[0]
    bound = squares.away[live][:, None] + squares.away[live]
    bound = bound + (squares.level[live][:, None] + squares.level[live] + 1) * stored_squares.STEP * exact
    error = np.abs(squares.values[places] - exact)
    np.fill_diagonal(error, 0)
    assert (error <= bound).all()
    far = float(np.square(place).sum(axis=1).max() * squares.units[0])
    assert (bound <= exact * 1e-3 + far * 1e-3).all()


def rarely_compared(make: Callable[..., np.ndarray], linkage: tuple[str, str]) -> bool:
    """Kernels take 20 s to compile, but for those that other tests have: ward's and average linkage's in float64."""
    method, dtype = linkage
    return method in SAME_FORMULA or dtype == "float32"


@pytest.mark.parametrize(
    ("make", "linkage"),
    covering(DATA, product(("ward", "average", "weighted"), DTYPES), together=1, rare=rarely_compared),
)
def test_merges_are_those_of_the_reference(make, linkage, monkeypatch):
    """To the last bit in double precision; with and without stored values in both."""
    method, dtype = linkage
    if dtype == "float32" and make in (large, small):
        return
    used = []
    monkeypatch.setattr(stored_squares, "FUSED", 500)
    squares_of = stored_squares.squares_of
    monkeypatch.setattr(stored_squares, "squares_of", lambda *given: used.append(len(given[0])) or squares_of(*given))
    rule = methods.resolve(method)
    points = preparation.prepare(make(700, WIDE + 5), "sqeuclidean", dtype=dtype)
    stored = from_summaries(CpuBackend(), points, rule, lambda done: None)
    assert used
    assert used[0] <= 700
    monkeypatch.setattr(stored_squares, "columns_for", lambda *given: 0)
    others = [CpuBackend()] + [ReferenceBackend()] * (dtype == "float64")
    for backend in others:
        expected = from_summaries(backend, points, rule, lambda done: None)
        np.testing.assert_array_equal(stored.pairs, expected.pairs)
        np.testing.assert_array_equal(stored.heights, expected.heights)


def test_coordinates_that_cannot_be_scaled_are_not_stored():
    for scale in (1e-200, 1e200):
        centers = scale * gaussian(5, WIDE)
        assert stored_squares.squares_of(centers, np.zeros_like(centers), 6) is None


def test_what_is_stored_fits_into_what_merged_clusters_have_left():
    assert stored_squares.columns_for(5000, 768, 15_000, 8) == 6250
    assert stored_squares.columns_for(6000, 768, 14_000, 8) == 2 * 14_000 * 768 * 8 // (4 * 6000)
    assert stored_squares.columns_for(7000, 768, 13_000, 8) == 0
    assert stored_squares.columns_for(6000, 768, 14_000, 4) == 0
    assert stored_squares.columns_for(1024, 48, 0, 8) == 1280
    assert stored_squares.columns_for(100, 47, 10**9, 8) == 0
