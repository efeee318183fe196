"""The nearest neighbours of tiles of points among boxes of points: the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, minima, reduce, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.minima import nearer, own_component, pitches, row_minima
from gpuclust.kernels.cuda.reduce import block_minimum
from gpuclust.kernels.cuda.scalar import terms
from gpuclust.kernels.cuda.tile import distance_tile, geometry

INT32 = types.int32


@cache
def box_bound(metric: Metric, weighted: bool, dtype: np.dtype) -> Any:
    """The device function ``bound(low, high, x, other_low, other_high, y, w, p)``: no distance between is smaller.

    Of boxes x and y, columns of arrays (m, boxes) of their corners.
    """
    step, finish = terms(metric, weighted, dtype, fused=True)
    mul = scalar.arithmetic(dtype).mul
    number = dtype.type
    zero, one = number(0), number(1)
    # Powers are not rounded correctly, so neither they nor a root of their sum need be monotone.
    eps = number(np.finfo(dtype).eps)
    inexact = metric.heavy

    @device
    @named(metric.name, weighted, dtype)
    def bound(low, high, x, other_low, other_high, y, w, p):
        a = zero
        b = zero
        for f in range(low.shape[0]):
            gap = zero
            if other_low[f, y] > high[f, x]:
                gap = other_low[f, y] - high[f, x]
            elif low[f, x] > other_high[f, y]:
                gap = low[f, x] - other_high[f, y]
            a, b = step(a, b, gap, zero, w[f] if weighted else zero, p)
        least = finish(a, b, zero, zero, p)
        if inexact:
            most = number(64) + number(4 * low.shape[0] + 32) / p
            return mul(least, max(one - mul(eps, most), zero))
        return least

    return bound


@cache
def boxes_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Kernel:
    """Nearest point of G of another component for a tile of points of F, in one chunk of columns a block.

    ``low_F``, ``high_F`` (m, tiles) are the boxes of F's tiles of ``rows`` points and ``only_F`` the component that
    all points of one have, or -2; the same of G, with tiles of ``columns`` points, and -1. ``label`` are the indices
    of G's points. Chunk c of ``chunks`` (the slots of the result) is tile columns c, c + chunks, ... How many tiles a
    block computed goes to ``computed``.
    """
    distances = distance_tile(metric, weighted, dtype)
    bound = box_bound(metric, weighted, dtype)
    down, across = geometry(metric, dtype)
    rows, columns = SIDE * down, SIDE * across
    of_rows = row_minima(dtype, down, across)
    leave_out = own_component(dtype, down, across)
    smaller, smallest = nearer(dtype), block_minimum(dtype)
    pool = SIDE * pitches(dtype, rows, columns)[0]
    lanes = min(32, rows)
    number = real(dtype)
    infinity, nan = dtype.type(np.inf), dtype.type(np.nan)
    stamp = launch.stamp(metrics, minima, points, reduce, scalar, tile)

    @kernel(
        number[:, ::1],
        number[::1],
        INT32[::1],
        number[:, ::1],
        number[:, ::1],
        INT32[::1],
        number[:, ::1],
        number[::1],
        INT32[::1],
        number[:, ::1],
        number[:, ::1],
        INT32[::1],
        INT32[::1],
        number[::1],
        number,
        number[:, ::1],
        INT32[:, ::1],
        INT[::1],
    )
    @named(metric.name, weighted, dtype)
    def nearest_in_boxes(
        F,
        sF,
        component_F,
        low_F,
        high_F,
        only_F,
        G,
        sG,
        component_G,
        low_G,
        high_G,
        only_G,
        label,
        weights,
        p,
        value,
        index,
        computed,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), number)
        others = cuda.local.array(across, INT32)
        pool_value = cuda.shared.array(pool, number)
        pool_index = cuda.shared.array(pool, INT32)
        bounds = cuda.shared.array(THREADS, number)
        places = cuda.shared.array(THREADS, INT)
        count = np.int64(F.shape[1])
        n = np.int64(G.shape[1])
        tiles = np.int64(low_G.shape[1])
        chunks = np.int64(value.shape[0])
        thread = cuda.threadIdx.x & (THREADS - 1)
        chunk = np.int64(cuda.blockIdx.x) % chunks
        tile_row = np.int64(cuda.blockIdx.x) // chunks
        row = tile_row * rows
        best = infinity
        which = np.int32(-1)
        worst = infinity
        done = np.int64(0)
        # The nearest box, the first of equal ones.
        low = infinity
        first = np.int64(-1)
        for t in range(chunk + chunks * thread, tiles, chunks * THREADS):
            if only_F[tile_row] != only_G[t]:
                d = bound(low_F, high_F, tile_row, low_G, high_G, t, weights, p)
                if d < low:
                    low = d
                    first = np.int64(t)
        low, first, _ = smallest(low, first, first, bounds, places, places)
        column_tile = first
        begin = chunk  # of the next group of tiles, one for each thread
        k = np.int64(THREADS)  # the place in the group
        while column_tile >= 0:
            column = column_tile * columns
            distances(F, sF, row, count, G, sG, column, n, weights, p, values)
            done += 1
            leave_out(values, others, component_F, row, count, component_G, column, n)
            least, at = of_rows(values, pool_value, pool_index)
            if least < infinity:
                best, which = smaller(best, which, least, label[np.uint64(column + at)])
            # The largest minimum of the points so far.
            if thread < rows:
                pool_value[thread] = best if row + thread < count else -infinity
            cuda.syncthreads()
            if thread < lanes:
                worst = -infinity
                for lane in range(thread, rows, lanes):
                    worst = max(worst, pool_value[lane])
                pool_value[rows + thread] = worst
            cuda.syncthreads()
            worst = -infinity
            for lane in range(lanes):
                worst = max(worst, pool_value[rows + lane])
            # The next tile that may hold a nearer point.
            column_tile = np.int64(-1)
            while column_tile < 0 and (k < THREADS or begin < tiles):
                if k < THREADS:
                    if bounds[k] <= worst:
                        column_tile = begin + chunks * (k - THREADS)
                    k += 1
                else:
                    t = begin + chunks * thread
                    d = nan  # not below anything
                    if t < tiles and t != first and only_F[tile_row] != only_G[t]:
                        d = bound(low_F, high_F, tile_row, low_G, high_G, t, weights, p)
                    cuda.syncthreads()
                    bounds[thread] = d
                    k = np.int64(0) if cuda.syncthreads_or(np.int32(d <= worst)) else np.int64(THREADS)
                    begin += chunks * THREADS
        if thread < rows and row + thread < count:
            value[chunk, row + thread] = best
            index[chunk, row + thread] = which
        if thread == 0:
            computed[cuda.blockIdx.x] = done

    return nearest_in_boxes


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        if metric.euclidean_like:
            yield boxes_kernel(metric, weighted, dtype)
