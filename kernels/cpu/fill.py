""".

Ill a tiled matrix from points or from a condensed one, and find every row's nearest cluster while tiles are in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from gpuclust import methods, metrics
from gpuclust.kernels.cpu import launch, pairwise, tiles
from gpuclust.kernels.cpu.launch import compiled, named, run
from gpuclust.kernels.cpu.tiles import TILE, tile_rows, tile_start

tile_rows_of = register_jitable(tile_rows)

#: So few clusters are quicker done than handed to threads.
SMALL = 512


@register_jitable
def take_pairs(values, i, begin, distance, index):
    """Take the dissimilarities of cluster i to clusters begin, begin + 1, ... (all above i) into the minima of both.

    Clusters must come in increasing order of i, and then of begin; then a strict comparison is the tie rule (smaller
    dissimilarity, then smaller index). The first loop only counts: it vectorises, and seldom finds anything. A value
    that is not finite makes the minimum of its row -inf, for the algorithm to see.
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


@register_jitable
def close_tile(matrix, start, row, column, n):
    """Mirror a diagonal tile, and make the diagonal and everything past the last cluster infinite."""
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
    """Fill a tile row with the dissimilarities of points."""
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = launch.stamp(metrics, pairwise, tiles)

    @compiled
    @named(metric.name, weighted, dtype)
    def fill_points(matrix, features, summary, weights, p, row, distance, index):
        stamp  # noqa: B018
        n = features.shape[1]
        rows = tile_rows_of(n)
        scratch = np.empty(TILE, matrix.dtype)
        for column in range(row, rows):
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
def united_kernel(
    metric: metrics.Metric, weighted: bool, method: methods.Method, dtype: np.dtype
) -> Callable[..., Any]:
    """Fill a tile row with the dissimilarities of points of which some are united in pairs.

    Clusters are the points of ``features``, in their order; the last ones are united with those of ``partners``, in
    theirs, at the heights ``between`` (one for each cluster). For a pair p < q of clusters the union p comes before
    the union q.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)
    update = register_jitable(method.update)
    counted = method.counted
    stamp = launch.stamp(metrics, methods, pairwise, tiles)

    @compiled
    @named(metric.name, weighted, method.name, dtype)
    def fill_united(matrix, features, summary, partners, partner_summary, weights, p, between, row, distance, index):
        stamp  # noqa: B018
        n = features.shape[1]
        rows = tile_rows_of(n)
        single = n - partners.shape[1]  # clusters that are one point
        one = between.dtype.type(1)
        other = np.empty(TILE, matrix.dtype)
        left = np.empty(TILE, matrix.dtype)  # to the partners of the columns
        right = np.empty(TILE, matrix.dtype)
        scratch = np.empty(TILE, matrix.dtype)
        for column in range(row, rows):
            start = tile_start(row, column, rows)
            begin = column * TILE
            end = min(begin + TILE, n)
            united = max(begin, single)  # columns from here on are unions
            lo = united - single
            hi = max(lo, end - single)
            for r in range(min(TILE, n - row * TILE)):
                out = matrix[start + r * TILE : start + (r + 1) * TILE]
                i = row * TILE + r
                row_of_distances(features, summary, i, features, summary, begin, end, weights, p, out, scratch)
                row_of_distances(features, summary, i, partners, partner_summary, lo, hi, weights, p, left, scratch)
                size = one
                if i >= single:
                    b = i - single
                    d = between[i]
                    row_of_distances(
                        partners, partner_summary, b, features, summary, begin, end, weights, p, other, scratch
                    )
                    row_of_distances(
                        partners, partner_summary, b, partners, partner_summary, lo, hi, weights, p, right, scratch
                    )
                    for k in range(end - begin):
                        out[k] = update(out[k], other[k], d, one, one, one)
                    for k in range(hi - lo):
                        left[k] = update(left[k], right[k], d, one, one, one)
                    if counted:
                        size = one + one
                values = out[united - begin : end - begin]
                heights = between[united:end]
                for k in range(hi - lo):
                    values[k] = update(values[k], left[k], heights[k], one, one, size)
                above = max(0, i + 1 - begin)
                take_pairs(out[above : end - begin], i, begin + above, distance, index)
            close_tile(matrix, start, row, column, n)

    return fill_united


@cache
def condensed_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """Fill a tile row from condensed dissimilarities, squared if asked."""
    stamp = launch.stamp(tiles)

    @compiled
    @named(dtype)
    def fill_condensed(matrix, condensed, n, squared, row, distance, index):
        stamp  # noqa: B018
        rows = tile_rows_of(n)
        for column in range(row, rows):
            start = tile_start(row, column, rows)
            for r in range(min(TILE, n - row * TILE)):
                i = row * TILE + r
                begin = max(column * TILE, i + 1)
                count = min((column + 1) * TILE, n) - begin
                if count > 0:
                    place = n * i - i * (i + 1) // 2 + begin - i - 1
                    source = condensed[place : place + count]
                    out = matrix[start + r * TILE + begin - column * TILE : start + (r + 1) * TILE]
                    if squared:
                        for k in range(count):
                            value = source[k]
                            out[k] = value * value
                    else:
                        for k in range(count):
                            out[k] = source[k]
                    take_pairs(out[:count], i, begin, distance, index)
            close_tile(matrix, start, row, column, n)

    return fill_condensed


def shared_minima(
    kernel: Callable[..., Any], pieces: list[tuple[Any, ...]], length: int, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Run ``kernel(*piece, distance, index)`` on all threads; minima over all pieces.

    A tile speaks for its rows and its columns, so each thread keeps minima of its own, of ``length`` clusters; they
    are joined by the tie rule, which does not depend on who did what.
    """
    parts: list[tuple[np.ndarray, np.ndarray]] = []

    def minima() -> tuple[np.ndarray, np.ndarray]:
        parts.append((np.full(length, np.inf, dtype), np.full(length, -1)))
        return parts[-1]

    run(kernel, pieces, minima, threads=length > SMALL)
    distance, index = parts[0]
    for other_distance, other_index in parts[1:]:
        nearer = (other_distance < distance) | ((other_distance == distance) & (other_index < index))
        distance = np.where(nearer, other_distance, distance)
        index = np.where(nearer, other_index, index)
    return index, distance


def fill(kernel: Callable[..., Any], matrix: np.ndarray, n: int, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """Fill a matrix of ``n`` clusters; the nearest cluster of every row and its dissimilarity."""
    rows = tile_rows(n)
    pieces = [(matrix, *arguments, row) for row in range(rows)]
    index, distance = shared_minima(kernel, pieces, rows * TILE, matrix.dtype)
    return index[:n], distance[:n]
