"""Merge many pairs of clusters at once: the matrix of the next round replaces the old one in place.

New cluster ``p`` is old cluster ``first[p]``, or the union of ``first[p] < second[p]``; ``first`` increases. So what
new row p needs from the upper triangle stands in old tile rows at or below p's own, and the new matrix, written tile
row by tile row, never overtakes what is still to be read. Every tile row is made in two steps:

* ``merge_rows``: gather both old rows of each new row, update them into one, then update its columns in the same way;
  find the row's minimum.
* ``place_tiles``: copy the finished rows to their new tiles, and find the minima of the columns.

For a pair p < q of new clusters the row update (p's own merge) comes before the column update (q's merge): the order
of a sequential algorithm that merges pairs by increasing index.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, named, ranges, run, thread_count
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.tiles import TILE, nearest_in, read_row, tile_rows, tile_start


@cache
def merge_rows_kernel(method: methods.Method, dtype: np.dtype) -> Callable[..., Any]:
    update = register_jitable(method.update)
    stamp = jit.stamp(methods, tiles)

    @compiled
    @named(method.name, dtype)
    def merge_rows(
        matrix, n, first, second, merged, later, between, size, new_size, new_id, begin, end, band, distance, index
    ):
        """Rows begin..end-1 of the new matrix into ``band`` (its row 0 is the first row of the tile row)."""
        stamp  # noqa: B018
        rows = (n + TILE - 1) // TILE
        count = first.size
        one = np.empty(rows * TILE, matrix.dtype)
        other = np.empty(rows * TILE, matrix.dtype)
        sizes = np.ones(rows * TILE, matrix.dtype)
        for k in range(n):
            sizes[k] = size[k]
        base = (begin // TILE) * TILE
        for p in range(begin, end):
            a = first[p]
            b = second[p]
            tile = a // TILE
            read_row(matrix, rows, a, tile, one)
            if b >= 0:
                read_row(matrix, rows, b, tile, other)
                length = (rows - tile) * TILE
                x = one[tile * TILE : rows * TILE]
                y = other[tile * TILE : rows * TILE]
                s = sizes[tile * TILE : rows * TILE]
                d = between[p]
                sa = size[a]
                sb = size[b]
                for k in range(length):
                    x[k] = update(x[k], y[k], d, sa, sb, s[k])
            out = band[p - base]
            out[base : p + 1] = np.inf
            out[count:] = np.inf
            for q in range(p + 1, count):
                out[q] = one[first[q]]
            mine = new_size[p]
            for place in range(later[p], merged.size):
                q = merged[place]
                a = first[q]
                b = second[q]
                out[q] = update(one[a], one[b], between[q], size[a], size[b], mine)
            least = new_id[index[p]] if distance[p] < np.inf else -1
            low, least, place = nearest_in(out[p + 1 : count], new_id[p + 1 :], distance[p], least, -1)
            if place >= 0:
                distance[p] = low
                index[p] = p + 1 + place

    return merge_rows


@cache
def place_tiles_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(tiles)

    @compiled
    @named(dtype)
    def place_tiles(matrix, count, new_id, row, begin, end, band, distance, index):
        """Tiles (row, begin..end-1) of the new matrix from ``band``, with the minima of their columns."""
        stamp  # noqa: B018
        rows = (count + TILE - 1) // TILE
        height = min(TILE, count - row * TILE)
        for tile in range(begin, end):
            start = tile_start(row, tile, rows)
            width = min(TILE, count - tile * TILE)
            low = distance[tile * TILE : (tile + 1) * TILE]
            for r in range(height):
                values = band[r, tile * TILE : (tile + 1) * TILE]
                out = matrix[start + r * TILE : start + (r + 1) * TILE]
                hits = 0
                for k in range(TILE):
                    out[k] = values[k]
                    hits += values[k] <= low[k]
                if hits > TILE - width:  # what is past the last column is infinite on both sides
                    p = row * TILE + r
                    for k in range(width):
                        q = tile * TILE + k
                        if values[k] < low[k] or (values[k] == low[k] and p < q and new_id[p] < new_id[index[q]]):
                            low[k] = values[k]
                            index[q] = p
            matrix[start + height * TILE : start + TILE * TILE] = np.inf
            if tile == row:
                for r in range(TILE):
                    for k in range(r):
                        matrix[start + r * TILE + k] = matrix[start + k * TILE + r]

    return place_tiles


def merge_round(
    matrix: np.ndarray,
    method: methods.Method,
    first: np.ndarray,
    second: np.ndarray,
    between: np.ndarray,
    size: np.ndarray,
    new_size: np.ndarray,
    new_id: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the matrix of ``size.size`` clusters by that of ``first.size``; return the nearest cluster of each."""
    n, count = size.size, first.size
    rows = tile_rows(count)
    distance = np.full(rows * TILE, np.inf, matrix.dtype)
    index = np.zeros(rows * TILE, np.int64)
    band = np.empty((TILE, rows * TILE), matrix.dtype)
    merged = np.flatnonzero(second >= 0)
    later = np.searchsorted(merged, np.arange(1, count + 1))  # the first pair after each row
    merge_rows, place_tiles = merge_rows_kernel(method, matrix.dtype), place_tiles_kernel(matrix.dtype)
    workers = thread_count()
    for row in range(rows):
        begin, end = row * TILE, min((row + 1) * TILE, count)
        shares = ranges(end - begin, -(-(end - begin) // (4 * workers)))
        common = (matrix, n, first, second, merged, later, between, size, new_size, new_id)
        run(merge_rows, [(*common, begin + lo, begin + hi, band, distance, index) for lo, hi in shares])
        shares = ranges(rows - row, -(-(rows - row) // (2 * workers)))
        run(
            place_tiles,
            [(matrix, count, new_id, row, row + lo, row + hi, band, distance, index) for lo, hi in shares],
        )
    return index[:count], distance[:count]
