"""The pairs of a round, and what a GPU searches after it: compiled loops give what operations on arrays do."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from gpuclust.algorithms import unions
from gpuclust.core.backend import select
from gpuclust.core.clusters import Merging
from gpuclust.core.device import CPU
from gpuclust.core.duplicates import FEW, groups
from gpuclust.core.first_call import compiling
from gpuclust.core.preparation import prepare
from gpuclust.errors import NotFinite
from gpuclust.kernels.cuda.summary_rows import after_round, rows_of

pytestmark = pytest.mark.emulated


def clusters(n: int, seed: int, dtype: str) -> tuple[np.ndarray, ...]:
    """Nearest clusters with many reciprocal ones, some without any; dissimilarities, sizes, and ids."""
    rng = np.random.default_rng(seed)
    nearest = (np.arange(n) + rng.integers(1, n, n)) % n
    some = rng.permutation(n)[: n // 4 * 2].reshape(2, -1)
    nearest[some[0]], nearest[some[1]] = some[1], some[0]
    nearest[rng.permutation(n)[: n // 20]] = -1
    ids = np.sort(rng.permutation(3 * n)[:n])[rng.permutation(n)]
    return nearest, rng.random(n).astype(dtype), rng.integers(1, 9, n).astype(dtype), ids


@pytest.fixture(params=["compiled", "interpreted"])
def how(request):
    with compiling() if request.param == "compiled" else nullcontext():
        yield


SIZES = (2, "float64", True), (63, "float32", True), (400, "float64", False)


@pytest.mark.parametrize(("n", "dtype", "counted"), SIZES)
def test_one_pass_finds_what_arrays_do(how, n, dtype, counted):
    for seed in range(20):
        given = clusters(n, seed, dtype)
        merges = [Merging(4 * n, np.dtype(dtype)) for _ in range(2)]
        for each in merges:
            each.done = 5
        (expected, pairs), (found, made) = (
            unite(*given, counted, each)
            for unite, each in zip((unions.by_arrays, unions.in_one_pass), merges, strict=True)
        )
        assert made == pairs
        assert n < 60 or made > n // 8
        for name in unions.Left._fields:
            one, other = getattr(expected, name), getattr(found, name)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other), name
        for part in ("pairs", "heights"):
            one, other = (getattr(each, part)[5 : 5 + made] for each in merges)
            assert np.array_equal(one, other)


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("unite", [unions.by_arrays, unions.in_one_pass])
def test_dissimilarities_that_are_not_finite_are_refused(how, unite, wrong):
    nearest, distance, size, ids = clusters(30, 0, "float64")
    distance[17] = wrong
    with pytest.raises(NotFinite, match="not finite in float64"):
        unite(nearest, distance, size, ids, True, Merging(90, np.dtype(float)))


@pytest.mark.parametrize(("n", "dtype", "counted"), SIZES)
def test_what_a_gpu_searches_after_a_round(how, n, dtype, counted):
    """By the definitions of `Rows`, row by row."""
    for seed in range(20):
        nearest, distance, size, ids = clusters(n, seed, dtype)
        left, _ = unions.by_arrays(nearest, distance, size, ids, counted, Merging(4 * n, np.dtype(dtype)))
        whole, searched = after_round(left.first, left.second, left.size, nearest, np.argsort(ids))
        rows, alone = rows_of(whole.parts), left.second < 0
        for one, other in ((rows.first, left.first), (rows.second, left.second), (rows.size, left.size)):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        now = {old: new for new, old in enumerate(left.first) if alone[new]}
        assert rows.near.tolist() == [now.get(nearest[old], -1) if old in now else -1 for old in left.first]
        assert rows.order.tolist() == sorted(range(len(alone)), key=lambda row: (not alone[row], left.ids[row]))
        assert rows.fresh.tolist() == np.flatnonzero(~alone).tolist()
        assert sorted(rows.divided[:searched]) == np.flatnonzero(rows.near < 0).tolist()
        assert sorted(rows.divided) == list(range(len(alone)))
        assert rows.zeros.tolist() == [0, 0]


def test_the_cpu_compiles_no_loop_for_it():
    """It would take longer than the loop saves, at the first call."""
    assert unions.uniting(select(CPU)) is unions.by_arrays


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("same", [0, FEW, 2 * FEW + 2])
def test_equal_points_are_found_beyond_the_first_features(same, copies):
    """Of points that agree in some features, and in others only if they are copies."""
    m = 2 * FEW + 4
    X = np.random.default_rng(same).normal(size=(200, m))
    X[:, :same] = 1
    if copies:
        X[100:] = X[:100]
    number = groups(prepare(X, "sqeuclidean"))
    assert number.max() + 1 == (100 if copies else 200)
    assert np.array_equal(number[:100], number[100:]) == copies
