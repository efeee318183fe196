"""Merge many pairs of clusters at once: the matrix of the next round, made tile by tile from the last one.

New cluster ``p`` is old cluster ``first[p]``, or the union of ``first[p] < second[p]``; ``first`` increases. A thread
makes an entry of the new matrix from one, two or four entries of the old one, and the minima of rows and columns are
taken from the tile while it is in shared memory: every entry is read and written once.

If both matrices fit into memory the new one is made beside the old one, and they are swapped. Otherwise it is made in
bands of tile rows, each copied to its place in the old array when it is complete. Tile rows of the new matrix begin
no later than those of the old one (there are no more of them), and a new row needs old rows from its own number on:
so a band overwrites only tiles that have been read.

For a pair p < q of new clusters the row update (p's own merge) comes before the column update (q's merge): the order
of a sequential algorithm that merges pairs by increasing index.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import methods
from gpuclust.kernels.cuda import launch, scalar, tiles
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, kernel, named, real, types
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.tiles import (
    CHUNK,
    PARTS,
    PITCH,
    Minima,
    entry,
    finish_columns,
    reduce_chunk,
    tile_rows,
    tile_start,
    tiled_size,
)


@cache
def merge_kernel(method: methods.Method, dtype: np.dtype) -> Kernel:
    """Tile rows ``begin`` .. of the new matrix into ``band``; block (row of the band, column) of tiles."""
    update = translated(method.update, dtype)
    number = real(dtype)
    infinity = dtype.type(np.inf)
    reduce, finish = reduce_chunk(dtype), finish_columns(dtype)
    stamp = launch.stamp(methods, scalar, tiles)

    @kernel(
        number[::1],
        INT,
        INT[::1],
        INT[::1],
        number[::1],
        number[::1],
        number[::1],
        INT[::1],
        INT,
        number[::1],
        number[:, ::1],
        types.int32[:, ::1],
    )
    @named(method.name, dtype)
    def merge(matrix, n, first, second, between, size, new_size, ids, begin, band, values, indices):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        chunk = cuda.shared.array((CHUNK, PITCH), number)
        part_value = cuda.shared.array((CHUNK, PARTS), number)
        part_index = cuda.shared.array((CHUNK, PARTS), types.int32)
        share_value = cuda.shared.array(THREADS, number)
        share_index = cuda.shared.array(THREADS, types.int32)
        row_first = cuda.shared.array(CHUNK, INT)
        row_second = cuda.shared.array(CHUNK, INT)
        thread = cuda.threadIdx.x & (THREADS - 1)
        old = (n + TILE - 1) // TILE
        count = np.int64(first.size)
        rows = (count + TILE - 1) // TILE
        tile_row = begin + np.int64(cuda.blockIdx.x) // rows
        tile_column = np.int64(cuda.blockIdx.x) % rows
        if tile_column < tile_row:
            return
        start = tile_start(tile_row, tile_column, rows) - tile_start(begin, begin, rows)
        low = infinity
        which = np.int64(-1)
        # A thread's column is the same for all its entries; the old rows are in shared memory.
        y = tile_column * TILE + (thread & (TILE - 1))
        e = np.int64(-1)
        f = np.int64(-1)
        size_e = infinity
        if y < count:
            e = first[y]
            f = second[y]
            size_e = size[e]
        for base in range(0, TILE, CHUNK):
            for r in range(thread, CHUNK, THREADS):
                x = tile_row * TILE + base + r
                row_first[r] = first[x] if x < count else -1
                row_second[r] = second[x] if x < count else -1
            cuda.syncthreads()
            for k in range(thread, CHUNK * TILE, THREADS):
                r = k // TILE
                c = k & (TILE - 1)
                x = tile_row * TILE + base + r
                value = infinity
                if x < y and y < count:
                    a = row_first[r]
                    b = row_second[r]
                    value = matrix[entry(a, e, old)]
                    if b >= 0:
                        value = update(value, matrix[entry(b, e, old)], between[x], size[a], size[b], size_e)
                    if f >= 0:
                        other = matrix[entry(a, f, old)]
                        if b >= 0:
                            other = update(other, matrix[entry(b, f, old)], between[x], size[a], size[b], size[f])
                        value = update(value, other, between[y], size_e, size[f], new_size[x])
                band[start + base * TILE + k] = value
                chunk[r, c] = value
            cuda.syncthreads()
            low, which = reduce(
                chunk, part_value, part_index, tile_row, tile_column, base, ids, low, which, values, indices
            )
        slot = tile_row if tile_row != tile_column else rows
        finish(share_value, share_index, tile_column * TILE, ids, low, which, values[slot], indices[slot])

    return merge


def merge_round(
    matrix: Any,
    spare: Any,
    minima: Minima,
    method: methods.Method,
    first: np.ndarray,
    second: np.ndarray,
    between: np.ndarray,
    size: np.ndarray,
    new_size: np.ndarray,
    new_id: np.ndarray,
) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Replace the matrix of ``size.size`` clusters by that of ``first.size``.

    Returns the new matrix and the spare array, the nearest cluster of each row and its dissimilarity. O(n²) time.
    """
    n, count = size.size, first.size
    rows = tile_rows(count)
    indices = launch.upload(np.stack((first, second, new_id)))
    numbers = launch.upload(np.concatenate((size, new_size, between)).astype(matrix.dtype, copy=False))
    ids = indices[2]
    common = (indices[0], indices[1], numbers[n + count :], numbers[:n], numbers[n : n + count], ids)
    fill = merge_kernel(method, minima.dtype)
    if tiled_size(count) <= spare.size:
        fill(rows * rows, matrix, n, *common, 0, spare, *minima.slots(count))
        matrix, spare = spare, matrix
    else:
        for begin, end in bands(rows, spare.size):
            fill((end - begin) * rows, matrix, n, *common, begin, spare, *minima.slots(count))
            place, after = (int(tile_start(k, k, rows)) for k in (begin, end))
            matrix[place:after] = spare[: after - place]
    nearest, distance = minima.fold(count, ids)
    return matrix, spare, nearest, distance


def bands(rows: int, room: int) -> list[tuple[int, int]]:
    """Ranges of tile rows of a matrix of ``rows`` of them, as many at a time as have ``room`` numbers."""
    found = []
    begin = 0
    while begin < rows:
        end = begin + 1
        while end < rows and int(tile_start(end + 1, end + 1, rows) - tile_start(begin, begin, rows)) <= room:
            end += 1
        found.append((begin, end))
        begin = end
    return found


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for method in methods.METHODS.values():
        for dtype in (np.dtype("float64"), np.dtype("float32")):
            if method.name != "single":
                yield merge_kernel(method, dtype)
