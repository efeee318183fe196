"""Condensed dissimilarities of more observations than a square array is used for: the same Z by every way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import methods
from gpuclust.core.backend import select
from gpuclust.core.sizes import SQUARE, stored_bytes
from gpuclust.errors import DoesNotFit
from gpuclust.kernels.cpu.matrix import components, prim, rounds, stored, tiles

N = SQUARE + 52
DATA = ("gaussian", "independent", "rounded", "copies", "star", "clipped")


def dissimilarities(kind: str, n: int, dtype: type = np.float64) -> np.ndarray:
    rng = np.random.default_rng(n)
    if kind == "independent":
        return rng.random(n * (n - 1) // 2).astype(dtype)
    if kind == "star":  # one reciprocal pair at a time: the first round is a chain
        near = 1.0 + np.arange(n) / n
        i, j = np.triu_indices(n, 1)
        return np.where(i == 0, near[j], near[i] + near[j]).astype(dtype)
    X = rng.standard_normal((n, 3))
    if kind == "clipped":  # four groups, equally far from each other: ties of the last edges only
        return np.minimum(pdist(X + 50 * (np.arange(n) % 4)[:, None]), 20.0).astype(dtype)
    X = np.round(X, 1) if kind == "rounded" else X[rng.integers(0, n // 2, n)] if kind == "copies" else X
    return pdist(X).astype(dtype)


def entries(matrix: np.ndarray) -> np.ndarray:
    """The tiles without what lies between their rows."""
    return matrix.reshape(-1, tiles.TILE, tiles.PITCH)[:, :, : tiles.TILE]


def quietly(done: int) -> None:
    """Takes reports of progress."""


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", DATA)
def test_spanning_tree_of_components(kind, dtype):
    """Where no two edges are equally long it is the tree of Prim's algorithm, and otherwise none is returned."""
    n = 300
    y = dissimilarities(kind, n, dtype)
    ends, lengths = prim.spanning_tree(y, n, quietly)
    found = components.spanning_tree(y, n, quietly, y.nbytes)
    if np.unique(lengths).size < n - 1:
        assert found is None
        return
    order, expected = np.argsort(found[1]), np.argsort(lengths)
    np.testing.assert_array_equal(found[1][order], lengths[expected])
    np.testing.assert_array_equal(np.sort(found[0][order], axis=1), np.sort(ends[expected], axis=1))
    assert components.spanning_tree(y, n, quietly, 3) is None  # no room for the matrix


def test_spanning_tree_in_small_pieces(monkeypatch):
    y = dissimilarities("gaussian", 200)
    expected = components.spanning_tree(y, 200, quietly, y.nbytes)
    monkeypatch.setattr(components, "PAIRS_READ", 500)
    monkeypatch.setattr(components, "STEP", 100)
    reports: list[int] = []
    found = components.spanning_tree(y, 200, reports.append, y.nbytes)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert reports == sorted(reports)
    assert reports[-1] == 199
    assert len(reports) > 10


@pytest.mark.parametrize("kind", DATA)
def test_single_linkage_is_that_of_scipy(kind):
    """To the last bit, and row by row where heights are equal too."""
    y = dissimilarities(kind, N)
    np.testing.assert_array_equal(gpuclust.linkage(y, "single", device="cpu"), hierarchy.linkage(y, "single"))


@pytest.mark.parametrize("method", ["complete", "average", "weighted", "ward"])
@pytest.mark.parametrize("kind", DATA)
def test_first_merges_from_condensed_dissimilarities(kind, method):
    """The bits of rounds on a matrix that is stored first."""
    rule, n = methods.METHODS[method], 700
    y = dissimilarities(kind, n)
    given = [select("cpu").store_condensed(y.copy(), n, rule.on_squares) for _ in range(2)]
    assert given[1].matrix.size == tiles.tiled_size(n)  # stores it
    results = []
    for matrix in given:
        first = np.flatnonzero((matrix.nearest[matrix.nearest] == np.arange(n)) & (np.arange(n) < matrix.nearest))
        second = matrix.nearest[first]
        stays = np.setdiff1d(np.arange(n), second)
        partner, ids, size = np.full(n, -1), np.arange(n), np.ones(n)
        partner[first], ids[first] = second, n + np.arange(first.size)
        new_size = size + (partner >= 0) * rule.counted
        merge = stays, partner[stays], matrix.distance[stays], size, new_size[stays], ids[stays]
        matrix.merge(rule, *merge)
        results.append((matrix.nearest, matrix.distance, entries(matrix.matrix)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_matrices_beside_each_other_and_in_place():
    """A round gives the same matrix in a buffer with room for both, at either end of it, and in place."""
    n, rule, rng = 500, methods.METHODS["average"], np.random.default_rng(3)
    condensed = rng.random(n * (n - 1) // 2)
    first = np.setdiff1d(np.arange(n), np.arange(3, n, 4))
    second = np.where(np.isin(first + 1, np.arange(3, n, 4)), first + 1, -1)
    sizes = np.ones(n), np.where(second >= 0, 2.0, 1.0)
    merges = rounds.Round.of(first, second, rng.random(first.size), *sizes, np.arange(first.size))
    old = stored.Stored.from_condensed(condensed, n, False).matrix
    size = tiles.tiled_size(first.size)
    results = [rounds.merge_round(condensed, rule, merges, np.empty(size), True)]
    for room, at_front in ((old.size + size, True), (old.size + size, False), (old.size, True)):
        buffer = np.empty(room)
        source = buffer[: old.size] if at_front else buffer[room - old.size :]
        source[:] = old
        results.append(rounds.merge_round(source, rule, merges, buffer))
    for matrix, *minima in results[1:]:
        np.testing.assert_array_equal(entries(matrix), entries(results[0][0]))
        for ours, theirs in zip(minima, results[0][1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_matrix_is_of_the_clusters_that_the_first_merges_leave():
    n = 3000
    matrix = select("cpu").store_condensed(dissimilarities("gaussian", n), n, False)
    assert matrix._matrix.size == 0
    first = np.flatnonzero((matrix.nearest[matrix.nearest] == np.arange(n)) & (np.arange(n) < matrix.nearest))
    stays = np.setdiff1d(np.arange(n), matrix.nearest[first])
    size, none = np.ones(n), np.full(stays.size, -1)
    matrix.merge(methods.METHODS["complete"], stays, none, size[stays], size, size[stays], stays)
    assert matrix.matrix.nbytes < 0.65 * stored_bytes(n, "float64")


@pytest.mark.parametrize("method", ["complete", "average", "weighted", "ward"])
@pytest.mark.parametrize("kind", DATA)
def test_overwriting_gives_the_same_bits(kind, method):
    y = dissimilarities(kind, N)
    expected = compute(y, method, device="cpu")
    given = y.copy()
    result = compute(given, method, device="cpu", overwrite=True)
    np.testing.assert_array_equal(result.Z, expected.Z)
    assert (given == y).all() == (kind == "star")  # too few pairs merge at first: a matrix of its own
    assert result.plan.memory < expected.plan.memory / 2


def test_what_may_not_be_overwritten():
    y = dissimilarities("gaussian", N)
    given = y.copy()
    compute(given, "average", device="cpu")
    compute(given, "single", device="cpu", overwrite=True)
    compute(given[: 400 * 399 // 2], "average", device="cpu", overwrite=True)
    compute(given.astype(np.float32), "average", device="cpu", dtype="float32", overwrite=True)
    given.flags.writeable = False
    compute(given, "average", device="cpu", overwrite=True)
    np.testing.assert_array_equal(given, y)


def test_a_copy_is_overwritten():
    """Of another type or order, which need not be asked for; the given array stays as it is."""
    y = dissimilarities("gaussian", N).astype(np.float32)
    given = y.copy()
    result = compute(given, "average", device="cpu")
    np.testing.assert_array_equal(given, y)
    assert result.plan.memory < 1.5 * 8 * y.size
    np.testing.assert_array_equal(result.Z, compute(y.astype(np.float64), "average", device="cpu").Z)


@pytest.mark.parametrize(
    ("n", "merged", "fits"), [(472, 88, False), (473, 89, True), (608, 96, False), (609, 97, True)]
)
def test_the_new_matrix_never_overtakes_what_is_read(n, merged, fits):
    """With the fewest merges, of the last or the first observations."""
    rule, rng = methods.METHODS["average"], np.random.default_rng(merged)
    for last in (False, True):
        pairs = n - 1 - np.arange(2 * merged).reshape(-1, 2) if last else np.arange(2 * merged).reshape(-1, 2)
        second, first = np.sort(pairs.max(axis=1)), pairs.min(axis=1)
        stays, partner = np.setdiff1d(np.arange(n), second), np.full(n, -1)
        partner[first] = pairs.max(axis=1)
        sizes = np.ones(n), 1.0 + (partner[stays] >= 0)
        y = rng.random(n * (n - 1) // 2)
        results = []
        for overwrite in (False, True):
            matrix = select("cpu").store_condensed(y.copy(), n, False, overwrite)
            matrix.merge(rule, stays, partner[stays], matrix.distance[stays], *sizes, np.arange(stays.size))
            results.append((matrix.nearest, matrix.distance, entries(matrix.matrix)))
            assert (matrix._buffer.size == y.size) == (overwrite and fits)
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_matrix_that_is_not_planned_must_fit(monkeypatch):
    """Few first merges, and no room for the matrix that is stored since it cannot be written over what is given."""
    y = np.abs(np.subtract.outer(*2 * [np.cumsum(1 + np.arange(N) * 1e-3)]))[np.triu_indices(N, 1)]
    before = y.copy()
    monkeypatch.setattr(stored, "available_memory", lambda: 8 * y.size // 2)
    with pytest.raises(DoesNotFit):
        compute(y, "average", device="cpu", overwrite=True, memory_limit=None)
    np.testing.assert_array_equal(y, before)


def test_progress_and_scans_of_single_linkage():
    seen: list[int] = []
    result = compute(
        dissimilarities("gaussian", N), "single", device="cpu", progress=lambda done, total: seen.append(done)
    )
    assert seen[-1] == N - 1
    assert result.scans == N
