"""Index arithmetic where 32 bits end: 46,341² > 2^31, 65,536² = 2^32, and observations up to 2^31 - 1."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from numba import njit
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.spatial import ConvexHull

from gpuclust import distance, hierarchy
from gpuclust.compute import compute
from gpuclust.core import preparation
from gpuclust.core.clusters import Merges
from gpuclust.core.methods import METHODS
from gpuclust.core.observations import count, observations_of
from gpuclust.hierarchy import shortest_order
from gpuclust.hierarchy.assemble import assemble
from gpuclust.hierarchy.correspondence import _codes, adjusted_rand_index
from gpuclust.hierarchy.leaf_tree import LeafTree
from gpuclust.kernels.cpu.matrix import fill, prim, rounds
from gpuclust.kernels.cpu.matrix.cophenetic_rows import write_rows
from gpuclust.kernels.cpu.matrix.tiles import PITCH, TILE, read_row, tile_rows, tile_start, tiled_size, write_row
from gpuclust.kernels.cpu.space import kdtree, pairwise
from gpuclust.plan import plan

BORDERS = (46_340, 46_341, 46_342, 65_535, 65_536, 65_537)
LARGEST = 2**31 - 1


def virtual(*shape: int) -> np.ndarray:
    """An array of zeros that takes no memory."""
    return np.broadcast_to(np.int8(0), shape)


def untouched(size: int) -> np.ndarray:
    """The same, but to be written to: it takes memory where it is. Some systems give none that is not there."""
    try:
        return np.zeros(size, np.float32)
    except MemoryError:
        pytest.skip(f"no {4 * size:,} bytes of address space")


@pytest.mark.parametrize("n", [*BORDERS, 100_000, LARGEST])
def test_observations_of_a_condensed_size(n):
    size = n * (n - 1) // 2
    assert observations_of(size) == count(virtual(size)) == distance.num_obs_y(virtual(size)) == n
    for wrong in (size - 1, size + 1):
        with pytest.raises(ValueError, match=rf"got {wrong}\. The nearest that would do: {size} for n = {n}"):
            observations_of(wrong)


def test_no_more_observations_than_32_bits_count():
    assert plan(LARGEST, 1, memory_limit="1000TB").fits
    with pytest.raises(ValueError, match="n must be at most 2,147,483,647, got 2,147,483,648"):
        plan(LARGEST + 1, 1)
    with pytest.raises(ValueError, match="at most 2,147,483,647 points can be searched, got 2,147,483,648"):
        distance.nearest_neighbors(virtual(LARGEST + 1, 1))
    for check in (hierarchy.fcluster, hierarchy.inconsistent, hierarchy.cophenet):
        with pytest.raises(ValueError, match="at most 2,147,483,646 rows, got 2,147,483,647"):
            check(virtual(LARGEST, 4), 1)


def test_ids_of_clusters_that_need_more_than_32_bits(monkeypatch):
    """There are twice as many clusters as observations; SciPy's type is kept for as long as it holds them."""
    leaders = import_module("gpuclust.hierarchy.leaders")  # its function has the same name
    assert [leaders._id_type(n) for n in (2, 2**30, 2**30 + 1, LARGEST)] == [np.int32, np.int32, np.int64, np.int64]
    Z, T = hierarchy.single(np.arange(1.0, 11)), np.arange(1, 6, dtype=np.int32)
    usual = hierarchy.leaders(Z, T)
    monkeypatch.setattr(leaders, "_id_type", lambda n: np.int64)
    wide = hierarchy.leaders(Z, T)
    assert [usual[0].dtype, wide[0].dtype] == [np.int32, np.int64]
    np.testing.assert_array_equal(wide, usual)


def test_pairs_of_labels_are_numbered_below_2_to_the_63():
    """Each label gets a number below n + 1024, whatever it is, so that a pair of them is one of 64 bits."""
    assert (LARGEST + 1024) ** 2 < 2**63
    for largest in (5000 + 1023, 5000 + 1024, 3 * 5000, 2**62):
        labels = np.append(np.zeros(4999, np.int64), largest)
        assert 1 <= _codes(labels).max() < 5000 + 1024
        assert adjusted_rand_index(labels, labels[::-1]) < 0.5 < adjusted_rand_index(labels, labels)


@njit
def starts(row, column, rows):
    return tile_start(row, column, rows)


@pytest.mark.parametrize("n", [*BORDERS, LARGEST])
def test_tiles_of_half_a_matrix_follow_each_other(n):
    """Compiled and plain arithmetic agree with Python's, which has no borders; the last tile ends where all do."""
    rows = tile_rows(n)
    last = rows - 1
    for row, column in ((0, 0), (0, last), (1, 1), (rows // 2, rows // 2), (rows // 2, last), (last, last)):
        before = sum(range(rows, rows - row, -1)) if rows < 10**6 else (2 * rows - row + 1) * row // 2
        place = (before + column - row) * TILE * PITCH
        assert starts(row, column, rows) == tile_start(row, column, rows) == place
    assert starts(last, last, rows) + TILE * PITCH == tiled_size(n)


@njit
def span(node, n):
    return kdtree.span(node, n)


@njit
def row(n, i):
    return shortest_order._row(n, i)


@pytest.mark.parametrize("n", [*BORDERS, LARGEST])
def test_places_in_trees_and_tables(n):
    depth = kdtree.depth_for(n)
    for level in (1, depth - 1, depth):
        for j in (0, 1, 2**level // 2, 2**level - 1):
            assert span(2**level - 1 + j, n) == (n * j >> level, n * (j + 1) >> level)
    for i in (0, 1, n // 2, n - 2):
        assert row(n, i) == shortest_order._row(n, i) == i * (2 * n - i - 1) // 2 - i - 1


# What follows works at the end of matrices of more than 2^31 entries, of which only that is in memory.
LAST = 2 * TILE + 1


@pytest.mark.parametrize("n", [46_341, 46_342, 65_536, 65_537])
def test_condensed_distances_of_the_last_points(n):
    x = np.random.default_rng(n).random(n).astype(np.float32)
    points = preparation.prepare(x[:, None], "cityblock", dtype="float32")
    flat = untouched(n * (n - 1) // 2)
    kernel = pairwise._tile_kernel(points.metric, False, flat.dtype)
    for begin in (0, n - LAST):  # of columns: of the first ones none counts
        kernel(*(points.features, points.summary) * 2, points.summary, points.p, True, flat, n - LAST, n, begin, n)
    expected = distance.pdist(x[-LAST:, None], "cityblock", dtype="float32")
    np.testing.assert_array_equal(flat[-expected.size :], expected)
    assert flat[-expected.size - 1] == 0


@njit
def put(matrix, rows, x, values):
    write_row(matrix, rows, x, values)


@njit
def look_up(matrix, rows, x, out):
    read_row(matrix, rows, x, 0, out)


@pytest.mark.parametrize("n", [46_341, 46_342, 65_536, 65_537])
def test_rows_of_a_stored_matrix(n):
    """Entries of the rows of two clusters for each other are equal."""
    rows, x = tile_rows(n), n - 2
    matrix, found = untouched(tiled_size(n)), np.empty(rows * TILE, np.float32)
    values = np.random.default_rng(n).random(rows * TILE).astype(np.float32)
    put(matrix, rows, x, values)
    for y in (0, 1, 32_767, 46_338, n - 3, n - 1):
        look_up(matrix, rows, y, found)
        assert found[x] == values[y]
        assert np.count_nonzero(found) == 1
    look_up(matrix, rows, x, found)
    values[x] = np.inf
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("n", [46_342, 65_537])
def test_a_matrix_and_a_tree_of_condensed_distances(n):
    """The last clusters, as if they were alone."""
    alone = np.random.default_rng(n).random(LAST * (LAST - 1) // 2).astype(np.float32)
    condensed, matrix = untouched(n * (n - 1) // 2), untouched(tiled_size(n))
    condensed[-alone.size :] = alone
    square, rows, first = distance.squareform(alone), tile_rows(n), n - LAST
    np.fill_diagonal(square, np.inf)
    near, far = np.full(rows * TILE, -1), np.full(rows * TILE, np.inf, np.float32)
    begin = -(-first // TILE)  # the first tile row that is all known
    fill.condensed_kernel(condensed.dtype)(condensed, n, False, begin * TILE, n, far, near)
    known = square[begin * TILE - first :, begin * TILE - first :]
    np.testing.assert_array_equal(far[begin * TILE : n], known.min(axis=1))
    np.testing.assert_array_equal(near[begin * TILE : n], begin * TILE + known.argmin(axis=1))
    same, ones = np.arange(n), np.ones(n, np.float32)
    merges = rounds.Round.of(same, np.full(n, -1), ones, ones, ones, same)
    merge_rows = rounds.merge_rows_kernel(METHODS["complete"], condensed.dtype)
    band, minima = np.empty((TILE, rows * TILE), np.float32), (far, near)
    for row in range(begin, rows):
        part = row * TILE, min((row + 1) * TILE, n)
        merge_rows(condensed, True, False, merges, *part, part[0], band, *minima)
        rounds.place_tiles_kernel(condensed.dtype)(matrix, same, *part, row, rows, band, *minima)
    found = np.empty(rows * TILE, np.float32)
    for y in (begin * TILE, n - 1):
        look_up(matrix, rows, y, found)
        np.testing.assert_array_equal(found[begin * TILE : n], square[y - first, begin * TILE - first :])

    pairs, heights = np.empty((LAST, 2), np.int64), np.empty(LAST, np.float32)
    pairs[0, 1] = first  # the vertex that was added last
    outside = np.arange(first, n, dtype=np.uint64)
    gone = np.where(np.arange(n) < first, np.float32(np.inf), np.float32(0))
    state = outside, np.zeros(n, np.int64), np.full(n, np.inf, np.float32), gone, LAST
    prim.tree_kernel(condensed.dtype)(condensed, n, *state, LAST - 1, pairs, heights, 1)
    ends, lengths = prim.spanning_tree(alone, LAST, lambda done: None)
    np.testing.assert_array_equal(pairs[1:], ends + first)
    np.testing.assert_array_equal(heights[1:], lengths)


@pytest.mark.parametrize("n", [46_342, 65_537])
def test_cophenetic_distances_of_the_last_observations(n):
    """Of a line of growing gaps: two observations come together with the later one of both."""
    Z = np.column_stack((np.append(0, n + np.arange(n - 2)), np.arange(1, n), np.arange(1.0, n), np.arange(2, n + 1)))
    tree, out = LeafTree(Z), untouched(n * (n - 1) // 2)
    write_rows(n - LAST, n, tree.leaves, tree.arrays, np.empty(0), 0.0, 0.0, out, np.empty((0, 3)))
    later = np.broadcast_to(np.arange(n - LAST, n), (LAST, LAST))[np.triu_indices(LAST, 1)]
    of_rows = np.sort(tree.leaves[n - LAST :])
    np.testing.assert_array_equal(of_rows, np.arange(n - LAST, n))
    np.testing.assert_array_equal(out[-later.size :], later)


@pytest.mark.parametrize("n", [65_535, 65_536, 65_537])
def test_linkage_of_a_line(n):
    """Neighbours on a line of growing gaps join one after the other, and so the whole tree is known."""
    x = np.cumsum(1 + np.arange(n) / n)
    Z = compute(x[:, None], "single").Z
    np.testing.assert_array_equal(Z[:, 2], np.sort(np.diff(x)))
    assert hierarchy.is_valid_linkage(Z)
    assert Z[-1, 3] == n


MANY = 65_537


def parts(Z: np.ndarray, most: int) -> list[np.ndarray]:
    """Rows of Z below the last merges, by the cluster of bounded size that they are part of."""
    n = len(Z) + 1
    whole = np.zeros(2 * n - 1, np.int64)  # of each cluster the one that it is part of, or none: too large
    rows: dict[int, list[int]] = {}
    for i in range(n - 2, -1, -1):
        own = whole[n + i] or (n + i if Z[i, 3] <= most else 0)
        whole[Z[i, :2].astype(np.int64)] = own
        if own:
            rows.setdefault(own, []).append(i)
    return [np.array(some[::-1]) for some in rows.values()]


def observations(Z: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those that a cluster is made of, given all its merges."""
    below = Z[rows, :2].astype(np.int64).ravel()
    return np.sort(below[below <= len(Z)])


@pytest.mark.parametrize("method", ["ward", "complete"])
def test_parts_of_a_tree_of_many_points_are_scipys(method):
    """Merges inside of a cluster do not depend on what is outside: SciPy makes the same of its points alone.

    And all merges of ward together add what the points scatter about their mean; the last ones of complete linkage
    are SciPy's of the clusters that they begin with, by their farthest points.
    """
    X = np.random.default_rng(1).normal(size=(MANY, 2))
    Z = compute(X, method).Z
    assert scipy_hierarchy.is_valid_linkage(Z)
    clusters = parts(Z, 500)
    for rows in clusters:
        expected = scipy_hierarchy.linkage(X[observations(Z, rows)], method)
        np.testing.assert_allclose(Z[rows, 2], expected[:, 2], rtol=1e-12)
    if method == "ward":
        scatter = ((X - X.mean(axis=0)) ** 2).sum()
        np.testing.assert_allclose((Z[:, 2] ** 2).sum() / 2, scatter, rtol=1e-12)
        return
    last = np.sort(np.setdiff1d(np.arange(MANY - 1), np.concatenate(clusters)))
    corners = [_corners(X[observations(Z, rows)]) for rows in clusters]
    corners += [X[[int(x)]] for x in Z[last, :2].ravel() if x < MANY]
    sizes = np.array([len(points) for points in corners])
    starts = np.append(0, np.cumsum(sizes)[:-1])
    far = distance.cdist(np.concatenate(corners), np.concatenate(corners))
    far = np.maximum.reduceat(np.maximum.reduceat(far, starts, axis=0), starts, axis=1)
    expected = scipy_hierarchy.linkage(far[np.triu_indices(len(far), 1)], "complete")
    np.testing.assert_array_equal(Z[last, 2], expected[:, 2])


def _corners(points: np.ndarray) -> np.ndarray:
    return points if len(points) < 4 else points[ConvexHull(points).vertices]


@pytest.mark.parametrize("m", [2, pytest.param(16, marks=pytest.mark.sweep)])
def test_single_linkage_of_many_points(m):
    quitefastmst = pytest.importorskip("quitefastmst")
    X = np.random.default_rng(2).normal(size=(MANY, m))
    lengths = quitefastmst.mst_euclid(X)[0]
    np.testing.assert_allclose(compute(X, "single").Z[:, 2], np.sort(lengths), rtol=1e-14)


def test_assembling_more_merges_than_a_piece_has():
    n = 600_000
    ends = np.stack((np.arange(n - 1), np.arange(1, n)), axis=1)
    Z = assemble(Merges(ends, np.arange(n - 1, dtype=float), edges=True))
    np.testing.assert_array_equal(Z[:, 3], np.arange(2, n + 1))
    np.testing.assert_array_equal(Z[1:, 1], np.arange(n, 2 * n - 2))
