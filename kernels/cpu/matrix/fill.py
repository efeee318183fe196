"""Fill a tiled matrix from points or clusters of points.

Every row's nearest cluster is found on the way, while tiles are in cache. Of condensed dissimilarities nothing is
stored before the first merges: `rounds.merge_round` reads them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np
from numba.extending import register_jitable

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, named, run, uncounted
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.tiles import TILE, tile_rows, tile_start
from gpuclust.kernels.cpu.space import pairwise

tile_rows_of = register_jitable(tile_rows)

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
            matrix[start + r * (TILE + 1)] = np.inf
            for k in range(r):
                matrix[start + r * TILE + k] = matrix[start + k * TILE + r]
    rows = min(TILE, n - row * TILE)
    columns = min(TILE, n - column * TILE)
    for r in range(rows):
        matrix[start + r * TILE + columns : start + (r + 1) * TILE] = np.inf
    matrix[start + rows * TILE : start + TILE * TILE] = np.inf


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
                out = matrix[start + r * TILE : start + (r + 1) * TILE]
                i = row * TILE + r
                row_of_distances(features, summary, i, features, summary, begin, end, weights, p, out, scratch)
                above = max(0, i + 1 - begin)
                take_pairs(out[above : end - begin], i, begin + above, distance, index)
            close_tile(matrix, start, row, column, n)

    return fill_points


@cache
def clusters_kernel(metric: metrics.Metric, weighted: bool, largest: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Fill tiles of one row with dissimilarities of clusters: the largest, or weighted mean, over pairs of points.

    Points come cluster after cluster. Of a pair of clusters the earlier one is the outer loop.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise, tiles)

    @compiled
    @named(metric.name, weighted, largest, dtype)
    def fill_clusters(
        matrix, features, summary, weights, p, begins, weight, total, longest, row, first, last, distance, index
    ):
        stamp  # noqa: B018
        n = total.size
        rows = tile_rows_of(n)
        buffer = np.empty(longest, matrix.dtype)
        scratch = np.empty(longest, matrix.dtype)
        for column in range(first, last):
            start = tile_start(row, column, rows)
            begin = column * TILE
            end = min(begin + TILE, n)
            left, right = begins[begin], begins[end]
            alone = right - left == end - begin  # no cluster of more than one point among the columns
            values = buffer[: right - left]
            others = weight[left:right]
            for r in range(min(TILE, n - row * TILE)):
                out = matrix[start + r * TILE : start + r * TILE + end - begin]
                i = row * TILE + r
                out[:] = 0
                for a in range(begins[i], begins[i + 1]):
                    row_of_distances(
                        features, summary, a, features, summary, left, right, weights, p, values, scratch
                    )
                    if alone and largest:
                        for k in range(out.size):
                            out[k] = values[k] if not values[k] <= out[k] else out[k]
                    elif alone:
                        for k in range(out.size):
                            out[k] += weight[a] * (others[k] * values[k])
                    else:
                        for k in range(out.size):
                            lo = begins[begin + k] - left
                            hi = begins[begin + k + 1] - left
                            inner = values[lo] if largest else weight[left + lo] * values[lo]
                            for b in range(lo + 1, hi):
                                if largest:
                                    inner = values[b] if not values[b] <= inner else inner
                                else:
                                    inner += weight[left + b] * values[b]
                            if largest:
                                out[k] = inner if not inner <= out[k] else out[k]
                            else:
                                out[k] += weight[a] * inner
                if not largest:
                    totals = total[begin:end]
                    own = total[i]
                    for k in range(out.size):
                        out[k] /= own * totals[k]
                above = max(0, i + 1 - begin)
                take_pairs(out[above:], i, begin + above, distance, index)
            close_tile(matrix, start, row, column, n)

    return fill_clusters


@cache
def condensed_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """The nearest cluster of each of some rows of condensed dissimilarities, or of their squares."""

    @compiled
    @named(dtype)
    def nearest_condensed(condensed, n, squared, first, last, distance, index):
        squares = np.empty(TILE, condensed.dtype)
        for i in range(first, last):
            place = n * i - i * (i + 1) // 2
            for begin in range(i + 1, n, TILE):
                count = min(TILE, n - begin)
                values = condensed[place : place + count]
                if squared:
                    for k in range(count):
                        squares[k] = values[k] * values[k]
                    values = squares[:count]
                take_pairs(values, i, begin, distance, index)
                place += count

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
