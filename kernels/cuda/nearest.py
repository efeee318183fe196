"""Nearest-neighbour search among points by fused distance tiles: distances stay in registers, and are never stored.

The minima of a tile's rows and columns, with their indices, go to slots of partial arrays, each written once, and a
second kernel folds the slots by (distance, index): no atomics, and no order that a result could depend on. Indices
are int32 on the device: there are fewer than 2**31 points.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import launch, minima, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.minima import column_minima, nearer, own_component, pitches, row_minima
from gpuclust.kernels.cuda.pairwise import DevicePoints
from gpuclust.kernels.cuda.tile import distance_tile, feature, geometry

INT32 = types.int32
#: Bytes of partial minima.
PARTIALS = 2**26
#: Blocks for each multiprocessor: enough for a last, half empty wave of blocks to hardly count.
BLOCKS = 16


@cache
def nearest_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Kernel:
    """Minima of the rows and columns of one tile a block, over pairs (x, y) with x < y: each counts for both.

    The tiles of a launch cover the rows from ``top`` on, as many as there are slots of columns, and the columns from
    ``top`` on; tile (row, column) fills slot ``column`` of its rows and slot ``row`` of its columns. A distance that
    is not finite counts as -inf, which the algorithm checks.
    """
    distances = distance_tile(metric, weighted, dtype)
    down, across = geometry(metric, dtype)
    rows, columns = SIDE * down, SIDE * across
    of_rows, of_columns = row_minima(dtype, down, across), column_minima(dtype, down, across)
    pool = SIDE * max(pitches(dtype, rows, columns))
    number, given = real(dtype), feature(metric, dtype)
    zero, infinity = dtype.type(0), dtype.type(np.inf)
    stamp = launch.stamp(metrics, minima, points, scalar, tile)

    @kernel(
        given[:, ::1],
        number[::1],
        number[::1],
        number,
        INT,
        number[:, ::1],
        INT32[:, ::1],
        number[:, ::1],
        INT32[:, ::1],
        resident=tile.resident(metric),
    )
    @named(metric.name, weighted, dtype)
    def nearest(features, summary, weights, p, top, row_value, row_index, column_value, column_index):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), number)
        pool_value = cuda.shared.array(pool, number)
        pool_index = cuda.shared.array(pool, INT32)
        n = np.int64(features.shape[1])
        thread = cuda.threadIdx.x & (THREADS - 1)
        height = np.int64(column_value.shape[0])
        tile_row = np.int64(cuda.blockIdx.x) % height
        tile_column = np.int64(cuda.blockIdx.x) // height
        row = top + tile_row * rows
        column = top + tile_column * columns
        if column + columns <= row:  # below the diagonal
            if thread < rows:
                row_value[tile_column, tile_row * rows + thread] = infinity
                row_index[tile_column, tile_row * rows + thread] = -1
            if thread < columns:
                column_value[tile_row, tile_column * columns + thread] = infinity
                column_index[tile_row, tile_column * columns + thread] = -1
            return
        distances(features, summary, row, n, features, summary, column, n, weights, p, values)
        total = zero
        for i in range(down):
            for j in range(across):
                total += values[i, j]
        if not (
            -infinity < total and total < infinity
        ):  # one addition for each pair detects values that are not finite
            for i in range(down):
                for j in range(across):
                    if not values[i, j] < infinity:
                        values[i, j] = -infinity
        if column < row + rows:
            for i in range(down):
                x = row + thread // SIDE + SIDE * i
                begin = x + 1 - column - (thread & (SIDE - 1)) if x < n - 1 else np.int64(columns)
                for j in range(across):
                    if SIDE * j < begin:
                        values[i, j] = infinity
        low, at = of_rows(values, pool_value, pool_index)
        if thread < rows:
            row_value[tile_column, tile_row * rows + thread] = low
            row_index[tile_column, tile_row * rows + thread] = column + at if low < infinity else -1
        low, at = of_columns(values, pool_value, pool_index)
        if thread < columns:
            column_value[tile_row, tile_column * columns + thread] = low
            column_index[tile_row, tile_column * columns + thread] = row + at if low < infinity else -1

    return nearest


@cache
def outside_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Kernel:
    """Nearest point of G of another component for a tile of points of F, in one chunk of columns a block.

    Chunk c of ``chunks`` (the slots of the result) is tile columns c, c + chunks, ... A distance that is NaN is
    never the smallest.
    """
    distances = distance_tile(metric, weighted, dtype)
    down, across = geometry(metric, dtype)
    rows, columns = SIDE * down, SIDE * across
    of_rows, leave_out = row_minima(dtype, down, across), own_component(dtype, down, across)
    smaller = nearer(dtype)
    pool = SIDE * pitches(dtype, rows, columns)[0]
    number, given = real(dtype), feature(metric, dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(metrics, minima, points, scalar, tile)

    @kernel(
        given[:, ::1],
        number[::1],
        INT32[::1],
        given[:, ::1],
        number[::1],
        INT32[::1],
        number[::1],
        number,
        number[:, ::1],
        INT32[:, ::1],
        resident=1 if dtype.itemsize == 8 else tile.resident(metric),  # in float64 two never fit
    )
    @named(metric.name, weighted, dtype)
    def nearest_outside(F, sF, component_F, G, sG, component_G, weights, p, value, index):
        stamp  # noqa: B018
        values = cuda.local.array((down, across), number)
        others = cuda.local.array(across, INT32)
        pool_value = cuda.shared.array(pool, number)
        pool_index = cuda.shared.array(pool, INT32)
        count = np.int64(F.shape[1])
        n = np.int64(G.shape[1])
        chunks = np.int64(value.shape[0])
        thread = cuda.threadIdx.x & (THREADS - 1)
        chunk = np.int64(cuda.blockIdx.x) % chunks
        row = (np.int64(cuda.blockIdx.x) // chunks) * rows
        best = infinity
        which = np.int32(-1)
        for column in range(chunk * columns, n, chunks * columns):
            distances(F, sF, row, count, G, sG, column, n, weights, p, values)
            leave_out(values, others, component_F, row, count, component_G, column, n)
            low, at = of_rows(values, pool_value, pool_index)
            if low < infinity:
                best, which = smaller(best, which, low, np.int32(column + at))
        if thread < rows and row + thread < count:
            value[chunk, row + thread] = best
            index[chunk, row + thread] = which

    return nearest_outside


@cache
def fold_place(dtype: np.dtype) -> Any:
    """The device function ``folded(values, indices, count, lanes, lane_value, lane_index) -> (place, low, index)``.

    For all threads of a block: one in ``lanes``, a power of two, gets one of ``count`` places, and the minimum of its
    slots; the others get place -1. ``values`` and ``indices`` are (slots, at least count), the last two shared arrays
    of THREADS.
    """
    smaller = nearer(dtype)
    infinity = dtype.type(np.inf)

    @device
    @named(dtype)
    def folded(values, indices, count, lanes, lane_value, lane_index):
        width = THREADS // lanes
        thread = cuda.threadIdx.x & (THREADS - 1)
        lane = thread // width
        place = np.int64(cuda.blockIdx.x) * width + thread % width
        low = infinity
        at = np.int32(-1)
        if place < count:
            for slot in range(lane, values.shape[0], lanes):
                low, at = smaller(low, at, values[slot, place], indices[slot, place])
        lane_value[thread] = low
        lane_index[thread] = at
        cuda.syncthreads()
        lanes //= 2
        while lanes > 0:
            if lane < lanes:
                low, at = smaller(low, at, lane_value[thread + lanes * width], lane_index[thread + lanes * width])
                lane_value[thread] = low
                lane_index[thread] = at
            cuda.syncthreads()
            lanes //= 2
        return place if lane == 0 and place < count else np.int64(-1), low, at

    return folded


@cache
def fold_kernel(dtype: np.dtype) -> Kernel:
    """Fold the slots of ``count`` points from ``begin`` on into their minima so far; see `fold_place`."""
    smaller, folded = nearer(dtype), fold_place(dtype)
    number = real(dtype)

    @kernel(number[:, ::1], INT32[:, ::1], INT, INT, INT, number[::1], INT32[::1])
    @named(dtype)
    def fold_slots(values, indices, begin, count, lanes, distance, index):
        lane_value = cuda.shared.array(THREADS, number)
        lane_index = cuda.shared.array(THREADS, INT32)
        place, low, at = folded(values, indices, count, lanes, lane_value, lane_index)
        if place >= 0:
            low, at = smaller(low, at, distance[begin + place], index[begin + place])
            distance[begin + place] = low
            index[begin + place] = at

    return fold_slots


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        yield nearest_kernel(metric, weighted, dtype)
        yield outside_kernel(metric, weighted, dtype)
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield fold_kernel(dtype)


def fold(values: Any, indices: Any, begin: int, count: int, distance: Any, index: Any) -> None:
    """Fold slots, (slots, at least count) arrays, into the minima of ``count`` points from ``begin`` on."""
    lanes, blocks = division(len(values), count)
    fold_kernel(values.dtype)(blocks, values, indices, begin, count, lanes, distance, index)


def division(slots: int, count: int) -> tuple[int, int]:
    """Threads that fold the slots of one of ``count`` places, and blocks."""
    most = min(THREADS // 8, max(1, slots // 4))  # eight neighbouring values are a sector of memory
    lanes = 1 << (most.bit_length() - 1)
    return lanes, launch.blocks_for(count, THREADS // lanes)


def on_host(index: Any, distance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Indices, of type int64, and distances."""
    return launch.download(index).astype(np.int64), launch.download(distance)


def nearest(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Index of every point's nearest neighbour (smallest index on ties) and its distance."""
    return on_host(*all_on_device(points))


def all_on_device(points: Points) -> tuple[Any, Any]:
    """`nearest`, with indices of type int32, as arrays on the device.

    O(n² m) time, each pair computed once; O(n m) memory. Rows are taken in strips, as many at a time as `PARTIALS`
    holds minima of.
    """
    where = DevicePoints(points)
    n, dtype = where.n, where.dtype
    rows, columns = geometry(where.metric, dtype).rows, geometry(where.metric, dtype).columns
    search = nearest_kernel(where.metric, where.weighted, dtype)
    distance, index = launch.full(n, np.inf, dtype), launch.full(n, -1, np.int32)
    values: Any = None
    indices: Any = None
    top = 0
    while top < n:
        across = -(-(n - top) // columns)
        slots = across * (rows + columns)  # of a row of tiles
        down = min(-(-(n - top) // rows), max(1, PARTIALS // (slots * (dtype.itemsize + 4))))
        if values is None:
            values, indices = launch.empty(down * slots, dtype), launch.empty(down * slots, np.int32)
        parts = []
        for array in (values, indices):
            middle = across * down * rows
            parts.append(array[:middle].reshape(across, down * rows))
            parts.append(array[middle : down * slots].reshape(down, across * columns))
        row_value, column_value, row_index, column_index = parts
        common = where.features, where.summary, where.weights, where.p
        search(down * across, *common, top, row_value, row_index, column_value, column_index)
        fold(row_value, row_index, top, min(down * rows, n - top), distance, index)
        fold(column_value, column_index, top, n - top, distance, index)
        top += down * rows
    return index, distance


def nearest_outside(points: Points, component: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``rows`` the nearest point of another component, and its distance."""
    if rows.size == 0:
        return np.empty(0, np.int64), np.empty(0, points.dtype)
    return on_host(*outside_on_device(points, launch.upload(component.astype(np.int32)), launch.upload(rows)))


def outside_on_device(points: Points, component: Any, rows: Any) -> tuple[Any, Any]:
    """`nearest_outside`, with components and indices of type int32, as arrays on the device; for at least one row.

    O(rows n m) time, O(n m) memory.
    """
    where = DevicePoints(points)
    dtype, shape = where.dtype, geometry(where.metric, where.dtype)
    down, across = -(-rows.size // shape.rows), -(-where.n // shape.columns)
    chunks = min(across, max(1, BLOCKS * launch.current_device().multiprocessors // down))
    value, which = launch.empty((chunks, rows.size), dtype), launch.empty((chunks, rows.size), np.int32)
    xp = launch.xp
    outside_kernel(where.metric, where.weighted, dtype)(
        down * chunks,
        xp.take(where.features, rows, axis=1),
        xp.take(where.summary, rows),
        xp.take(component, rows),
        where.features,
        where.summary,
        component,
        where.weights,
        where.p,
        value,
        which,
    )
    distance, index = launch.full(rows.size, np.inf, dtype), launch.full(rows.size, -1, np.int32)
    fold(value, which, 0, rows.size, distance, index)
    return index, distance
