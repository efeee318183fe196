"""The layout of a stored dissimilarity matrix: the upper triangle in square tiles, half the memory of the square.

Tile (I, J), I <= J, holds rows ``I*TILE ..`` and columns ``J*TILE ..`` as a C-ordered square, whose rows are `PITCH`
numbers apart. Tiles follow each other row by row. Tiles on the diagonal are kept symmetric, with infinity on the
diagonal itself; rows and columns past the last cluster are infinite. So any row can be read without a case
distinction, and an arg-min never finds padding.

Functions here are inlined into kernels. Rows are sliced first and indexed by plain ranges: an index that Numba can't
prove non-negative costs vectorisation.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import uncounted
from gpuclust.core.sizes import PITCH, TILE


def tile_rows(n: int) -> int:
    """Tiles along one side of a matrix of ``n`` clusters."""
    return -(-n // TILE)


def tiled_size(n: int) -> int:
    """Size of the array for ``n`` clusters in this layout, padding included."""
    rows = tile_rows(n)
    return rows * (rows + 1) // 2 * TILE * PITCH


@uncounted
def tile_start(row, column, rows):
    """Where tile (row, column), row <= column, starts, in a matrix of ``rows`` tile rows."""
    return (row * rows - row * (row - 1) // 2 + column - row) * (TILE * PITCH)


@uncounted
def read_part(matrix, rows, x, tile, out):
    """Copy the dissimilarities of ``x`` to the clusters of a column of tiles into ``out``."""
    own = x // TILE
    inside = x - own * TILE
    if tile < own:
        start = tile_start(tile, own, rows) + inside
        column = matrix[start : start + (TILE - 1) * PITCH + 1 : PITCH]
        for k in range(TILE):
            out[k] = column[k]
    else:
        start = tile_start(own, tile, rows) + inside * PITCH
        row = matrix[start : start + TILE]
        for k in range(TILE):
            out[k] = row[k]


@uncounted
def read_row(matrix, rows, x, first, out):
    """Copy the dissimilarities of ``x`` to the clusters of tile rows ``first`` and later into ``out``."""
    for tile in range(first, rows):
        read_part(matrix, rows, x, tile, out[tile * TILE : (tile + 1) * TILE])


@uncounted
def read_condensed(condensed, n, x, first, squared, out):
    """As `read_row`, of condensed dissimilarities (or their squares) to the clusters ``first`` and later."""
    place = n * first - first * (first + 1) // 2 + x - first - 1
    for y in range(first, x):
        out[y] = condensed[place]
        place += n - y - 2
    out[x] = np.inf
    begin = n * x - x * (x + 1) // 2
    source, target = condensed[begin : begin + n - 1 - x], out[x + 1 : n]
    for k in range(source.size):
        target[k] = source[k]
    if squared:
        values = out[first:n]
        for k in range(values.size):
            values[k] *= values[k]


@uncounted
def write_row(matrix, rows, x, values):
    """Set the dissimilarities of cluster ``x`` to every other cluster; the diagonal stays infinite."""
    own = x // TILE
    inside = x - own * TILE
    for tile in range(own + 1):
        start = tile_start(tile, own, rows) + inside
        target = matrix[start : start + (TILE - 1) * PITCH + 1 : PITCH]
        source = values[tile * TILE : (tile + 1) * TILE]
        for k in range(TILE):
            target[k] = source[k]
    for tile in range(own, rows):
        start = tile_start(own, tile, rows) + inside * PITCH
        target = matrix[start : start + TILE]
        source = values[tile * TILE : (tile + 1) * TILE]
        for k in range(TILE):
            target[k] = source[k]
    matrix[tile_start(own, own, rows) + inside * (PITCH + 1)] = np.inf


@uncounted
def nearest_in(values, ids, best, best_id, place):
    """Update a running minimum (dissimilarity, id, place) by the ``values`` of the clusters with these ids.

    ``place`` counts from the start of ``values``. Blocks without a smaller value are skipped by a loop that only
    counts, so that it vectorises.
    """
    for begin in range(0, values.size, TILE):
        block = values[begin : begin + TILE]
        hits = 0
        for k in range(block.size):
            hits += block[k] <= best
        if hits > 0:
            block_ids = ids[begin : begin + TILE]
            for k in range(block.size):
                if block[k] < best or (block[k] == best and block_ids[k] < best_id):
                    best = block[k]
                    best_id = block_ids[k]
                    place = begin + k
    return best, best_id, place
