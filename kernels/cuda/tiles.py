"""The layout of a stored matrix on the device, the same as on the CPU, and the minima of its rows.

The upper triangle stands in square tiles, row after row of them, half the memory of the square. What is on the
diagonal or below it in a diagonal tile, or past the last cluster, is infinite.

One pass over a tile, in chunks of rows in shared memory, finds the minima of its rows and of its columns. Every
cluster has one tile in each row or column of tiles, and two minima in the one on the diagonal, so there is one slot
more than tile rows; each slot is written once, and a second kernel folds them: no atomics, no dependence on order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, device, kernel, named, real, types

#: Rows of a tile in shared memory at a time; threads that search one of them; threads for one column.
CHUNK = TILE // 4
PARTS = THREADS // CHUNK
SHARES = THREADS // TILE
#: Length of a row of a chunk, padded so that threads on neighbouring rows use different banks.
PITCH = TILE + PARTS


def tile_rows(n: int) -> int:
    """Tiles along one side of a matrix of ``n`` clusters."""
    return -(-n // TILE)


def tiled_size(n: int) -> int:
    """Size of the array for ``n`` clusters in this layout, padding included."""
    rows = tile_rows(n)
    return rows * (rows + 1) // 2 * TILE * TILE


@device
def tile_start(row, column, rows):
    """Where tile (row, column), row <= column, starts, in a matrix of ``rows`` tile rows."""
    return (row * rows - row * (row - 1) // 2 + column - row) * (TILE * TILE)


@device
def entry(x, y, rows):
    """Where the dissimilarity of clusters x != y stands."""
    low, high = min(x, y), max(x, y)
    row, column = low // TILE, high // TILE
    return tile_start(row, column, rows) + (low - row * TILE) * TILE + high - column * TILE


@cache
def reduce_chunk(dtype: np.dtype) -> Any:
    """The device function that takes a chunk of a tile into the minima of its rows and columns.

    ``reduce(chunk, part_value, part_index, tile_row, tile_column, base, ids, low, which, values, indices)``: for all
    threads of a block, when ``chunk`` (CHUNK, PITCH), the rows of the tile from ``base`` on, is complete. The nearest
    column of each row is written to its slot, ``tile_column``, of ``values`` and ``indices``; ``low, which`` are the
    minimum so far of the thread's column and its row, and are returned. Equal values are decided by ``ids``.
    ``part_value`` and ``part_index`` are shared, (CHUNK, PARTS).
    """
    infinity = dtype.type(np.inf)

    @device
    @named(dtype)
    def reduce(chunk, part_value, part_index, tile_row, tile_column, base, ids, low, which, values, indices):
        thread = cuda.threadIdx.x & (THREADS - 1)
        row = tile_row * TILE + base
        column = tile_column * TILE
        r = thread // PARTS
        part = thread & (PARTS - 1)
        best = infinity
        at = np.int64(-1)
        for k in range(TILE // PARTS):
            c = part + PARTS * k
            value = chunk[r, c]
            if value < best or (value == best and at >= 0 and ids[column + c] < ids[at]):
                best = value
                at = column + c
        part_value[r, part] = best
        part_index[r, part] = at
        cuda.syncthreads()
        if part == 0:
            for k in range(1, PARTS):
                value = part_value[r, k]
                other = np.int64(part_index[r, k])
                if value < best or (value == best and at >= 0 and ids[other] < ids[at]):
                    best = value
                    at = other
            values[tile_column, row + r] = best
            indices[tile_column, row + r] = at
        c = thread & (TILE - 1)
        for k in range(CHUNK // SHARES):
            r = thread // TILE + SHARES * k
            value = chunk[r, c]
            if value < low or (value == low and which >= 0 and ids[row + r] < ids[which]):
                low = value
                which = row + r
        cuda.syncthreads()
        return low, which

    return reduce


@cache
def finish_columns(dtype: np.dtype) -> Any:
    """The device function that joins the column minima of a tile's threads and writes them to their slot."""

    @device
    @named(dtype)
    def finish(share_value, share_index, column, ids, low, which, values, indices):
        thread = cuda.threadIdx.x & (THREADS - 1)
        share_value[thread] = low
        share_index[thread] = which
        cuda.syncthreads()
        if thread < TILE:
            for k in range(1, SHARES):
                value = share_value[thread + TILE * k]
                other = np.int64(share_index[thread + TILE * k])
                if value < low or (value == low and which >= 0 and ids[other] < ids[which]):
                    low = value
                    which = other
            values[column + thread] = low
            indices[column + thread] = which

    return finish


@cache
def minima_kernel(dtype: np.dtype) -> Kernel:
    """Minima of rows and columns of every tile; block (row, column) of the square of tiles.

    Dissimilarities of two clusters that are not finite count as -inf, which the algorithm checks.
    """
    number = real(dtype)
    infinity = dtype.type(np.inf)
    reduce, finish = reduce_chunk(dtype), finish_columns(dtype)

    @kernel(number[::1], INT, INT[::1], number[:, ::1], types.int32[:, ::1])
    @named(dtype)
    def minima(matrix, n, ids, values, indices):
        chunk = cuda.shared.array((CHUNK, PITCH), number)
        part_value = cuda.shared.array((CHUNK, PARTS), number)
        part_index = cuda.shared.array((CHUNK, PARTS), types.int32)
        share_value = cuda.shared.array(THREADS, number)
        share_index = cuda.shared.array(THREADS, types.int32)
        thread = cuda.threadIdx.x & (THREADS - 1)
        rows = (n + TILE - 1) // TILE
        tile_row = np.int64(cuda.blockIdx.x) // rows
        tile_column = np.int64(cuda.blockIdx.x) % rows
        if tile_column < tile_row:
            return
        start = tile_start(tile_row, tile_column, rows)
        low = infinity
        which = np.int64(-1)
        for base in range(0, TILE, CHUNK):
            for k in range(thread, CHUNK * TILE, THREADS):
                r = k // TILE
                c = k & (TILE - 1)
                x = tile_row * TILE + base + r
                y = tile_column * TILE + c
                value = matrix[start + base * TILE + k]
                if x < y and y < n and not value < infinity:
                    value = -infinity
                chunk[r, c] = value
            cuda.syncthreads()
            low, which = reduce(
                chunk, part_value, part_index, tile_row, tile_column, base, ids, low, which, values, indices
            )
        slot = tile_row if tile_row != tile_column else rows
        finish(share_value, share_index, tile_column * TILE, ids, low, which, values[slot], indices[slot])

    return minima


@cache
def fold_kernel(dtype: np.dtype) -> Kernel:
    """The minimum over the slots of each row: by value, then id."""
    number = real(dtype)
    infinity = dtype.type(np.inf)

    @kernel(number[:, ::1], types.int32[:, ::1], INT, INT[::1], number[::1], INT[::1])
    @named(dtype)
    def fold(values, indices, n, ids, distance, nearest):
        x = np.int64(cuda.grid(1))
        if x >= n:
            return
        best = infinity
        at = np.int64(-1)
        for slot in range(values.shape[0]):
            value = values[slot, x]
            other = np.int64(indices[slot, x])
            if value < best or (value == best and at >= 0 and ids[other] < ids[at]):
                best = value
                at = other
        distance[x] = best
        nearest[x] = max(at, np.int64(0))  # a single cluster has none

    return fold


class Minima:
    """Slots for the minima of ``n`` clusters, or fewer, and what they fold to."""

    def __init__(self, n: int, dtype: np.dtype) -> None:
        rows = tile_rows(n)
        self.dtype = dtype
        self.values = launch.empty((rows + 1) * rows * TILE, dtype)
        self.indices = launch.empty((rows + 1) * rows * TILE, np.int32)
        self.distance = launch.empty(n, dtype)
        self.nearest = launch.empty(n, np.int64)

    def slots(self, n: int) -> tuple[Any, Any]:
        """``values`` and ``indices`` (tile rows + 1, padded n): slot k of a row is its least in tile row or column k.

        The last slot is its least above it in the diagonal tile.
        """
        rows = tile_rows(n)
        shape = (rows + 1, rows * TILE)
        length = shape[0] * shape[1]
        return self.values[:length].reshape(shape), self.indices[:length].reshape(shape)

    def of_matrix(self, matrix: Any, n: int, ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """Nearest cluster of every row of a matrix, and its dissimilarity, on the host."""
        rows = tile_rows(n)
        minima_kernel(self.dtype)(rows * rows, matrix, n, ids, *self.slots(n))
        return self.fold(n, ids)

    def fold(self, n: int, ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """The minima over all slots, on the host."""
        distance, nearest = self.distance[:n], self.nearest[:n]
        fold_kernel(self.dtype)(launch.blocks_for(n), *self.slots(n), n, ids, distance, nearest)
        return launch.download(nearest), launch.download(distance)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield minima_kernel(dtype)
        yield fold_kernel(dtype)
