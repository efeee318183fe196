"""Merge many pairs of clusters at once.

New cluster ``p`` is old cluster ``first[p]``, or the union of ``first[p] < second[p]``; ``first`` increases. Rows of
the new matrix are made in two steps:

* ``merge_rows``: gather both old rows of each new row into a band, update them into one, then update its columns in
  the same way; find the row's minimum.
* ``place_tiles``: copy the finished rows to their new tiles, and find the minima of the columns.

For a pair p < q of new clusters the row update (p's own merge) comes before the column update (q's merge): the order
of a sequential algorithm that merges pairs by increasing index.

The old matrix is condensed, or stands at the beginning or the end of a buffer. If the new one fits beside it, every
thread makes tile rows of its own. Otherwise the new matrix replaces the old one in place: what new row p needs from
the upper triangle stands in old tile rows at or below p's own, so the new matrix, written tile row by tile row, never
overtakes what is still to be read. Within a tile row, new row r overwrites row r of old tiles only, and later rows of
the tile need later rows or later tiles: while one band is placed, the next one is made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, jitable, named, ranges, run, thread_count
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.fill import Minima, nearer, shared_minima
from gpuclust.kernels.cpu.matrix.tiles import (
    PITCH,
    TILE,
    nearest_in,
    read_condensed,
    read_row,
    tile_rows,
    tile_start,
    tiled_size,
)

#: Rows made at a time from condensed dissimilarities: a band of them stays in the second-level cache. Divides TILE.
BAND = 8


class Round(NamedTuple):
    """The merges of a round: old rows of the new ones, and of each union what the update of its column takes."""

    first: np.ndarray
    second: np.ndarray
    between: np.ndarray
    size: np.ndarray
    new_size: np.ndarray
    new_id: np.ndarray
    unions: np.ndarray
    later: np.ndarray
    first_parts: np.ndarray
    second_parts: np.ndarray
    gaps: np.ndarray
    first_sizes: np.ndarray
    second_sizes: np.ndarray

    @classmethod
    def of(cls, first: Any, second: Any, between: Any, size: Any, new_size: Any, new_id: Any) -> Round:
        unions = np.flatnonzero(second >= 0)
        later = np.searchsorted(unions, np.arange(1, first.size + 1))  # the first union after each row
        a, b = first[unions], second[unions]
        return cls(
            first, second, between, size, new_size, new_id, unions, later, a, b, between[unions], size[a], size[b]
        )


@cache
def merge_rows_kernel(method: methods.Method, dtype: np.dtype) -> Callable[..., Any]:
    update = jitable(method.update)
    stamp = jit.stamp(methods, tiles)

    @compiled
    @named(method.name, dtype)
    def merge_rows(source, condensed, squared, merges, begin, end, base, band, distance, index):
        """Rows begin..end-1 of the new matrix into ``band``, whose row 0 is row ``base``, with the minimum of each.

        ``source`` is the old matrix, or ``condensed`` dissimilarities.
        """
        stamp  # noqa: B018
        first, second, new_size, new_id = merges.first, merges.second, merges.new_size, merges.new_id
        n, count = merges.size.size, first.size
        rows = (n + TILE - 1) // TILE
        one = np.empty(rows * TILE, band.dtype)
        other = np.empty(rows * TILE, band.dtype)
        left = np.empty(merges.unions.size, band.dtype)
        right = np.empty(merges.unions.size, band.dtype)
        for p in range(begin, end):
            a, b = first[p], second[p]
            if condensed:
                read_condensed(source, n, a, a, squared, one)
            else:
                read_row(source, rows, a, a // TILE, one)
            if b >= 0:
                if condensed:
                    read_condensed(source, n, b, a, squared, other)
                else:
                    read_row(source, rows, b, a // TILE, other)
                x, y, s = one[a:n], other[a:n], merges.size[a:n]
                d, sa, sb = merges.between[p], merges.size[a], merges.size[b]
                for k in range(x.size):
                    x[k] = update(x[k], y[k], d, sa, sb, s[k])
            out = band[p - base]
            out[p // TILE * TILE : p + 1] = np.inf
            out[count:] = np.inf
            values, old = out[p + 1 : count], first[p + 1 : count]
            for k in range(values.size):
                values[k] = one[old[k]]
            begin_unions = merges.later[p]
            a_parts, b_parts = merges.first_parts[begin_unions:], merges.second_parts[begin_unions:]
            gaps, sizes_a, sizes_b = (
                merges.gaps[begin_unions:],
                merges.first_sizes[begin_unions:],
                merges.second_sizes[begin_unions:],
            )
            x, y, mine = left[: gaps.size], right[: gaps.size], new_size[p]
            for k in range(x.size):
                x[k], y[k] = one[a_parts[k]], one[b_parts[k]]
            for k in range(x.size):
                x[k] = update(x[k], y[k], gaps[k], sizes_a[k], sizes_b[k], mine)
            unions = merges.unions[begin_unions:]
            for k in range(x.size):
                out[unions[k]] = x[k]
            distance[p], _, place = nearest_in(values, new_id[p + 1 :], distance[p], -1, -1)
            index[p] = p + 1 + place if place >= 0 else 0

    return merge_rows


@cache
def place_tiles_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(tiles)

    @compiled
    @named(dtype)
    def place_tiles(matrix, new_id, begin, end, first, last, band, distance, index):
        """Rows begin..end-1, of one tile row, of tiles first..last-1 from ``band``, with the minima of columns."""
        stamp  # noqa: B018
        count = new_id.size
        rows, row = (count + TILE - 1) // TILE, begin // TILE
        for tile in range(first, last):
            start = tile_start(row, tile, rows)
            width = min(TILE, count - tile * TILE)
            low = distance[tile * TILE : (tile + 1) * TILE]
            for p in range(begin, end):
                values = band[p - begin, tile * TILE : (tile + 1) * TILE]
                place = start + (p - row * TILE) * PITCH
                out = matrix[place : place + TILE]
                hits = 0
                for k in range(TILE):
                    out[k] = values[k]
                    hits += values[k] <= low[k]
                if hits > TILE - width:  # what is past the last column is infinite on both sides
                    for k in range(width):
                        q = tile * TILE + k
                        if values[k] < low[k] or (values[k] == low[k] and p < q and new_id[p] < new_id[index[q]]):
                            low[k] = values[k]
                            index[q] = p
            if end == count:
                matrix[start + (end - row * TILE) * PITCH : start + TILE * PITCH] = np.inf
            if tile == row:
                for r in range(begin - row * TILE, TILE if end == count else end - row * TILE):
                    for k in range(r):
                        matrix[start + r * PITCH + k] = matrix[start + k * PITCH + r]

    return place_tiles


def fits_over(n: int, count: int) -> bool:
    """Whether a matrix of ``count`` clusters can be written over n condensed rows while these are merged.

    With P numbers from row to row, tile rows 0 to R take 128 P (R + 1) (rows - R / 2) numbers. The first 128 (R + 1)
    condensed rows hold 128 (R + 1) (n - 1 - 64 R - 63.5), and new row p is made of old rows from p on. So, as P is at
    least 128, the new matrix is never ahead of what is read if P rows <= n - 64.5.
    """
    return tile_rows(count) * PITCH + TILE // 2 < n


def merge_round(
    source: np.ndarray,
    method: methods.Method,
    merges: Round,
    buffer: np.ndarray,
    condensed: bool = False,
    squared: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix after a round, with the nearest cluster of each row and its dissimilarity.

    ``source`` is the old matrix, at an end of the ``buffer`` that the new one is written to, or ``condensed``
    dissimilarities: another array, or the buffer itself (`fits_over`).
    """
    count, dtype = merges.first.size, source.dtype
    size = tiled_size(count)
    distance, index = np.full(tile_rows(count) * TILE, np.inf, dtype), np.zeros(tile_rows(count) * TILE, np.int64)
    kernels = merge_rows_kernel(method, dtype), place_tiles_kernel(dtype)
    work = source, condensed, squared, merges
    if source is not buffer and (condensed or source.size + size <= buffer.size):
        at_front = condensed or source.ctypes.data > buffer.ctypes.data
        matrix = buffer[:size] if at_front else buffer[buffer.size - size :]
        columns = _beside(kernels, work, matrix, distance, index)
    else:
        matrix = source[:size]
        columns = _in_place(kernels, work, distance, index)
    index, distance = nearer((index, distance), columns, merges.new_id)
    return matrix, index[:count], distance[:count]


def _beside(
    kernels: tuple[Callable[..., Any], ...],
    work: tuple[Any, ...],
    matrix: np.ndarray,
    distance: np.ndarray,
    index: np.ndarray,
) -> Minima:
    """Write all rows to another matrix, and return the minima of its columns."""
    merge_rows, place_tiles = kernels
    count, rows, new_id = work[-1].first.size, distance.size // TILE, work[-1].new_id

    def tile_row(row: int, low: np.ndarray, place: np.ndarray) -> None:
        band = np.empty((BAND, rows * TILE), matrix.dtype)
        for begin in range(row * TILE, min((row + 1) * TILE, count), BAND):
            end = min(begin + BAND, count)
            merge_rows(*work, begin, end, begin, band, distance, index)
            place_tiles(matrix, new_id, begin, end, row, rows, band, low, place)

    return shared_minima(tile_row, [(row,) for row in range(rows)], rows * TILE, matrix.dtype, new_id)


def _in_place(
    kernels: tuple[Callable[..., Any], ...], work: tuple[Any, ...], distance: np.ndarray, index: np.ndarray
) -> Minima:
    """Write all rows over the old matrix, and return the minima of columns."""
    merge_rows, place_tiles = kernels
    matrix, condensed, _, merges = work
    count, rows, workers = merges.first.size, distance.size // TILE, thread_count()
    low, place = np.full(rows * TILE, np.inf, matrix.dtype), np.zeros(rows * TILE, np.int64)
    height = TILE if condensed else TILE // 2
    bands = np.empty((2, height, rows * TILE), matrix.dtype)
    pieces: list[tuple[Any, ...]] = []
    for begin in range(0, count, height):
        end, row, band = min(begin + height, count), begin // TILE, bands[begin // height % 2]
        for lo, hi in ranges(end - begin, -(-(end - begin) // (4 * workers))):
            pieces.append((merge_rows, *work, begin + lo, begin + hi, begin, band, distance, index))
        run(_call, pieces)
        pieces = [
            (place_tiles, matrix, merges.new_id, begin, end, row + lo, row + hi, band, low, place)
            for lo, hi in ranges(rows - row, -(-(rows - row) // (2 * workers)))
        ]
    run(_call, pieces)
    return place, low


def _call(kernel: Callable[..., Any], *arguments: Any) -> None:
    kernel(*arguments)
