"""Fill a tiled matrix from points or clusters of points.

Every row's nearest cluster is found on the way, while tiles are in cache. Of condensed dissimilarities nothing is
stored before the first merges: `rounds.merge_round` reads them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, jitable, named, run, uncounted
from gpuclust.core.sizes import STRIP
from gpuclust.kernels.cpu.matrix import minima, tiles
from gpuclust.kernels.cpu.matrix.minima import nearest_of
from gpuclust.kernels.cpu.matrix.tiles import PITCH, TILE, tile_rows, tile_start
from gpuclust.kernels.cpu.space import pairwise, simd
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER

tile_rows_of = jitable(tile_rows)

#: Rows whose distances to the columns of a tile are computed before they are used.
GROUP = 64
#: Up to this number of clusters one thread is faster than several.
SMALL = 512


@uncounted
def take_pairs(values, i, begin, distance, index):
    """Take the dissimilarities of cluster i to clusters begin, begin + 1, ... (all above i) into the minima of both.

    Clusters must come in increasing order of i, and then of begin; then a strict comparison is the tie rule (smaller
    dissimilarity, then smaller index). The first loop only counts, which vectorises; it seldom finds anything. A
    value that is not finite makes the minimum of its row -inf, which the algorithm checks.
    """
    low = distance[begin : begin + values.size]
    best = distance[i]
    hits = 0
    for k in range(values.size):
        value = values[k]
        hits += not ((value >= best) & (value >= low[k]) & (value < np.inf))
    if hits == 0:
        return
    for k in range(values.size):
        value = values[k]
        if not value < np.inf:
            distance[i] = -np.inf
        if value < distance[i]:
            distance[i] = value
            index[i] = begin + k
        if value < low[k]:
            low[k] = value
            index[begin + k] = i


@uncounted
def close_tile(matrix, start, row, column, n):
    """Mirror a diagonal tile; set its diagonal and all entries past the last cluster to infinity."""
    if row == column:
        for r in range(TILE):
            matrix[start + r * (PITCH + 1)] = np.inf
            for k in range(r):
                matrix[start + r * PITCH + k] = matrix[start + k * PITCH + r]
    rows = min(TILE, n - row * TILE)
    columns = min(TILE, n - column * TILE)
    for r in range(rows):
        matrix[start + r * PITCH + columns : start + r * PITCH + TILE] = np.inf
    matrix[start + rows * PITCH : start + TILE * PITCH] = np.inf


@cache
def points_kernel(metric: metrics.Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Fill tiles of one row with the dissimilarities of points."""
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise, tiles)

    @compiled
    @named(metric.name, weighted, dtype)
    def fill_points(matrix, features, summary, weights, p, row, first, last, distance, index):
        stamp  # noqa: B018
        n = features.shape[1]
        rows = tile_rows_of(n)
        scratch = np.empty(TILE, matrix.dtype)
        for column in range(first, last):
            start = tile_start(row, column, rows)
            begin = column * TILE
            end = min(begin + TILE, n)
            for r in range(min(TILE, n - row * TILE)):
                out = matrix[start + r * PITCH : start + r * PITCH + TILE]
                i = row * TILE + r
                row_of_distances(features, summary, i, features, summary, begin, end, weights, p, out, scratch)
                above = max(0, i + 1 - begin)
                take_pairs(out[above : end - begin], i, begin + above, distance, index)
            close_tile(matrix, start, row, column, n)

    return fill_points


@cache
def block_function(metric: metrics.Metric, weighted: bool, dtype: np.dtype) -> Callable[..., None]:
    """The function ``block(features, summary, weights, p, a0, a1, left, right, buffers)``, for compiled code.

    It writes the dissimilarities of points a0..a1-1, at most `GROUP`, to points left..right-1 into the first buffer
    (see `_buffers`), a row for each: four rows and `LANES` columns at a time, if the metric has sums for that.
    """
    sums, finish = pairwise.exact_sums(metric, weighted), jitable(metric.finish)
    row_of_distances = pairwise.row_kernel(metric, weighted)
    zero = dtype.type(0)

    @uncounted
    @named(metric.name, weighted, dtype)
    def by_rows(features, summary, weights, p, a0, a1, left, right, buffers):
        values, scratch = buffers[0], buffers[1]
        for a in range(a0, a1):
            out = values[a - a0]
            row_of_distances(features, summary, a, features, summary, left, right, weights, p, out, scratch)

    @uncounted
    @named(metric.name, weighted, dtype)
    def by_strips(features, summary, weights, p, a0, a1, left, right, buffers):
        values, _, strip, panels, four, places = buffers
        for k in range(features.shape[0]):
            for a in range(a1 - a0):
                panels[a // TOGETHER, k, a % TOGETHER] = features[k, a0 + a]
        for start in range(left, right, LANES):
            stop = min(start + LANES, right)
            for k in range(features.shape[0]):
                source, target = features[k, start:stop], strip[k]
                for j in range(source.size):
                    target[j] = source[j]
            theirs = summary[start:stop]
            for first in range(0, a1 - a0, TOGETHER):
                sums(strip, panels[first // TOGETHER], places, 0, four)
                for side in range(min(TOGETHER, a1 - a0 - first)):
                    out, mine = values[first + side, start - left : stop - left], summary[a0 + first + side]
                    total = four[side]
                    for j in range(out.size):
                        out[j] = finish(total[j], zero, mine, theirs[j], p)

    return by_rows if sums is None else by_strips


@jitable
def _buffers(longest, m, dtype):
    """Buffers of `block_function` for up to ``longest`` columns of m features; sums are at the end."""
    values = np.empty((GROUP, longest), dtype)
    strip, panels = np.zeros((m, LANES), dtype), np.zeros((GROUP // TOGETHER, m, TOGETHER), dtype)
    return values, np.empty(longest, dtype), strip, panels, np.empty((TOGETHER, LANES), dtype), np.arange(TOGETHER)


@uncounted
def list_columns(begins, begin, end, firsts, rest):
    """List the first point of each cluster of a tile, and the other points with their clusters; return their number.

    Points and clusters are counted from the first ones of the tile.
    """
    more = 0
    for k in range(end - begin):
        firsts[k] = begins[begin + k] - begins[begin]
        for b in range(firsts[k] + 1, begins[begin + k + 1] - begins[begin]):
            rest[0, more], rest[1, more] = b, k
            more += 1
    return more


@cache
def clusters_kernel(metric: metrics.Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Fill tiles of one row with dissimilarities of clusters: the largest, or weighted mean, over pairs of points.

    Points come cluster after cluster. Of a pair of clusters the earlier one is the outer loop.
    """
    block = block_function(metric, weighted, dtype)
    stamp = jit.stamp(metrics, pairwise, simd, tiles)

    @uncounted
    @named(metric.name, weighted, largest, dtype)
    def add(values, own, others, firsts, rest, inner, out):
        """Take a point of a cluster into its dissimilarities: its distances ``values`` to the points of others.

        ``firsts`` are the first points of these, ``rest`` the others, in order, with the cluster of each: a loop over
        clusters would mispredict where the points of each end.
        """
        if not largest:
            for j in range(others.size):
                values[j] = others[j] * values[j]
        alone = others.size == out.size
        if not alone:  # the largest, or the sum, over the points of each column
            for k in range(out.size):
                inner[k] = values[firsts[k]]
            for at in range(rest.shape[1]):
                k, value = rest[1, at], values[rest[0, at]]
                if largest:
                    inner[k] = value if not value <= inner[k] else inner[k]
                else:
                    inner[k] += value
        found = values if alone else inner
        for k in range(out.size):
            if largest:
                out[k] = found[k] if not found[k] <= out[k] else out[k]
            else:
                out[k] += own * found[k]

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def fill_clusters(
        matrix, features, summary, weights, p, begins, weight, total, longest, row, first, last, distance, index
    ):
        stamp  # noqa: B018
        n = total.size
        rows = tile_rows_of(n)
        buffers = _buffers(longest, features.shape[0], matrix.dtype)
        inner, firsts, rest = np.empty(TILE, matrix.dtype), np.empty(TILE, np.int64), np.empty((2, longest), np.int64)
        top, bottom = row * TILE, min(row * TILE + TILE, n)
        for column in range(first, last):
            start = tile_start(row, column, rows)
            begin = column * TILE
            end = min(begin + TILE, n)
            left, right = begins[begin], begins[end]
            more = list_columns(begins, begin, end, firsts, rest)
            i = top
            for a0 in range(begins[top], begins[bottom], GROUP):
                a1 = min(a0 + GROUP, begins[bottom])
                block(features, summary, weights, p, a0, a1, left, right, buffers)
                for a in range(a0, a1):
                    place = start + (i - top) * PITCH
                    out = matrix[place : place + end - begin]
                    if a == begins[i]:
                        out[:] = 0
                    values = buffers[0][a - a0, : right - left]
                    add(values, weight[a], weight[left:right], firsts, rest[:, :more], inner, out)
                    if a + 1 < begins[i + 1]:
                        continue
                    if not largest:
                        totals, own = total[begin:end], total[i]
                        for k in range(out.size):
                            out[k] /= own * totals[k]
                    above = max(0, i + 1 - begin)
                    take_pairs(out[above:], i, begin + above, distance, index)
                    i += 1
            close_tile(matrix, start, row, column, n)

    return fill_clusters


@cache
def condensed_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """The nearest cluster of each of some rows of condensed dissimilarities, or of their squares.

    With the tie rule of `take_pairs`. Nothing is skipped: a block without a smaller value is rare for the first rows.
    """
    stamp = jit.stamp(minima, simd)

    @compiled
    @named(dtype)
    def nearest_condensed(condensed, n, squared, first, last, distance, index):
        stamp  # noqa: B018
        squares, none, order = np.empty(n, condensed.dtype), np.zeros(n, condensed.dtype), np.arange(n)
        least = np.empty(n // STRIP + 1, condensed.dtype)
        for i in range(first, last):
            place = n * i - i * (i + 1) // 2
            values = condensed[place : place + n - 1 - i]
            if squared:
                for k in range(values.size):
                    squares[k] = values[k] * values[k]
                values = squares[: values.size]
            low, near = distance[i + 1 : n], index[i + 1 : n]
            finite = 0
            for k in range(values.size):
                finite += values[k] < np.inf
                nearer = values[k] < low[k]
                low[k] = values[k] if nearer else low[k]
                near[k] = i if nearer else near[k]
            best, place = nearest_of(values, none, order, least)
            if best < distance[i]:
                distance[i], index[i] = best, i + 1 + place
            if finite < values.size:
                distance[i] = -np.inf

    return nearest_condensed


Minima = tuple[np.ndarray, np.ndarray]


def nearer(one: Minima, other: Minima, ids: np.ndarray | None = None) -> Minima:
    """The nearer of two clusters for each row; ties go to the smaller id, without ``ids`` to the smaller index."""
    (index, distance), (other_index, other_distance) = one, other
    earlier = other_index < index if ids is None else ids[other_index] < ids[index]
    takes = (other_distance < distance) | ((other_distance == distance) & earlier)
    return np.where(takes, other_index, index), np.where(takes, other_distance, distance)


def shared_minima(
    kernel: Callable[..., Any],
    pieces: list[tuple[Any, ...]],
    length: int,
    dtype: Any,
    ids: np.ndarray | None = None,
) -> Minima:
    """Run ``kernel(*piece, distance, index)`` on all threads; minima over all pieces.

    A tile contributes to the minima of its rows and of its columns, so each thread has minima of ``length`` clusters
    of its own; these are joined by the tie rule, so the result does not depend on the threads.
    """
    parts: list[Minima] = []

    def minima() -> Minima:
        distance, index = np.full(length, np.inf, dtype), np.full(length, -1 if ids is None else 0)
        parts.append((index, distance))
        return distance, index

    run(kernel, pieces, minima, threads=length > SMALL)
    return reduce(lambda one, other: nearer(one, other, ids), parts)


def fill(
    kernel: Callable[..., Any], matrix: np.ndarray, n: int, pairs: int, *arguments: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Fill a matrix of ``n`` clusters; return the nearest cluster of every row and its dissimilarity.

    ``pairs``: the most dissimilarities that one piece of work should compute.
    """
    rows = tile_rows(n)
    length = max(1, pairs // (TILE * TILE))
    pieces = [
        (matrix, *arguments, row, first, min(first + length, rows))
        for row in range(rows)
        for first in range(row, rows, length)
    ]
    index, distance = shared_minima(kernel, pieces, rows * TILE, matrix.dtype)
    return index[:n], distance[:n]
