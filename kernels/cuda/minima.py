"""Minima of the rows and columns of a tile of distances, by (distance, index): device functions.

They go through shared memory; distances stay in registers. There are no atomics, and no order that a result could
depend on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.kernels.cuda.launch import SIDE, THREADS, cuda, device, inlined, named

#: Whether blocks are smaller than a warp, as in the simulator.
SMALL = THREADS < 32


@cache
def places(products: bool = False) -> Callable[..., Any]:
    """The device function ``place(thread) -> (y, x)``: rows ``y + SIDE i`` and columns ``x + SIDE j`` are a thread's.

    Of a distance tile in the order of threads. Of one by ``products`` (`gpuclust.kernels.cuda.products`) a warp has
    8 y and 4 x, and four warps stand side by side.
    """

    @device
    @named(*(["products"] if products else []))
    def place(thread):
        if products and not SMALL:
            return ((thread >> 7) << 3) + ((thread >> 2) & 7), ((thread >> 3) & 12) + (thread & 3)
        return thread // SIDE, thread & (SIDE - 1)

    return place


def pitches(dtype: np.dtype, rows: int, columns: int) -> tuple[int, int]:
    """Strides in shared memory between the minima of one row, and of one column, of neighbouring threads.

    A warp is two rows of SIDE threads. Its minima of rows then fall in 2 x SIDE places of different banks (in float64
    SIDE at a time), and so do those of columns.
    """
    return rows + 8 // np.dtype(dtype).itemsize, columns + SIDE


@cache
def nearer(dtype: np.dtype) -> Callable[..., Any]:
    """The tie rule: the smaller of two pairs (distance, index)."""

    @device
    @named(dtype)
    def smaller(low, at, value, index):
        if value < low or (value == low and index < at):
            return value, index
        return low, at

    return smaller


@cache
def fold_lines(dtype: np.dtype, lines: int, pitch: int) -> Callable[..., Any]:
    """The device function that folds minima of threads into those of the rows, or columns, of a tile.

    ``fold(pool_value, pool_index) -> (distance, index in the line)``, for all threads of the block: what thread k of
    SIDE found in row (column) r of the tile is at ``k * pitch + r``; thread r < ``lines`` gets the minimum of r.
    """
    infinity = dtype.type(np.inf)
    smaller = nearer(dtype)

    @inlined
    @named(dtype, lines, pitch)
    def fold(pool_value, pool_index):
        thread = cuda.threadIdx.x & (THREADS - 1)
        cuda.syncthreads()
        low = infinity
        at = np.int32(0)
        if thread < lines:
            for k in range(SIDE):
                low, at = smaller(low, at, pool_value[k * pitch + thread], pool_index[k * pitch + thread])
        cuda.syncthreads()
        return low, at

    return fold


@cache
def row_minima(dtype: np.dtype, down: int, across: int) -> Callable[..., Any]:
    """The device function that gives thread r < ``rows`` of a block the minimum of row r of its tile.

    ``minima(values, pool_value, pool_index) -> (distance, column in the tile)``, for all threads of the block.
    Columns past the last point repeat it under larger indices, which never win a tie.
    """
    pitch, _ = pitches(dtype, SIDE * down, SIDE * across)
    infinity = dtype.type(np.inf)
    fold, place = fold_lines(dtype, SIDE * down, pitch), places()

    @inlined
    @named(dtype, down, across)
    def minima(values, pool_value, pool_index):
        thread = cuda.threadIdx.x & (THREADS - 1)
        y0, x0 = place(thread)
        for i in range(down):
            low = infinity
            at = np.int32(0)
            for j in range(across):
                if values[i, j] < low:
                    low = values[i, j]
                    at = np.int32(SIDE * j)
            pool_value[x0 * pitch + y0 + SIDE * i] = low
            pool_index[x0 * pitch + y0 + SIDE * i] = at + x0
        return fold(pool_value, pool_index)

    return minima


@cache
def column_minima(dtype: np.dtype, down: int, across: int, products: bool = False) -> Callable[..., Any]:
    """The same for columns: ``minima(values, pool_value, pool_index) -> (distance, row in the tile)``."""
    columns = SIDE * across
    _, pitch = pitches(dtype, SIDE * down, columns)
    infinity = dtype.type(np.inf)
    fold, place = fold_lines(dtype, columns, pitch), places(products)

    @inlined
    @named(*(["products"] if products else []), dtype, down, across)
    def minima(values, pool_value, pool_index):
        thread = cuda.threadIdx.x & (THREADS - 1)
        y0, x0 = place(thread)
        for j in range(across):
            low = infinity
            at = np.int32(0)
            for i in range(down):
                if values[i, j] < low:
                    low = values[i, j]
                    at = np.int32(SIDE * i)
            pool_value[y0 * pitch + x0 + SIDE * j] = low
            pool_index[y0 * pitch + x0 + SIDE * j] = at + y0
        return fold(pool_value, pool_index)

    return minima


@cache
def least_of_columns(dtype: np.dtype, down: int, across: int, products: bool = False) -> Callable[..., Any]:
    """The device function ``write(values, pool_value, pool_index, least, slot, column, n)``: minima of columns.

    To a row of ``least`` (slots, n), from ``column`` on.
    """
    of_columns, columns = column_minima(dtype, down, across, products), SIDE * across

    @inlined
    @named(*(["products"] if products else []), dtype, down, across)
    def write(values, pool_value, pool_index, least, slot, column, n):
        thread = cuda.threadIdx.x & (THREADS - 1)
        below, _ = of_columns(values, pool_value, pool_index)
        if thread < columns and column + thread < n:
            least[slot, column + thread] = below

    return write


@cache
def own_component(dtype: np.dtype, down: int, across: int) -> Callable[..., Any]:
    """The device function that makes distances within a component infinite, for all threads of a tile.

    ``leave_out(values, others, component_F, row, count, component_G, column, n)``: ``others`` is local, ``across``
    long, for the components of the thread's columns.
    """
    infinity = dtype.type(np.inf)
    place = places()

    @inlined
    @named(dtype, down, across)
    def leave_out(values, others, component_F, row, count, component_G, column, n):
        y0, x0 = place(cuda.threadIdx.x & (THREADS - 1))
        for j in range(across):
            others[j] = component_G[np.uint64(min(column + x0 + SIDE * j, n - 1))]
        for i in range(down):
            own = component_F[np.uint64(min(row + y0 + SIDE * i, count - 1))]
            for j in range(across):
                if others[j] == own:
                    values[i, j] = infinity

    return leave_out
