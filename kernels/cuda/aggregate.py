"""Dissimilarities of clusters from their points, of many pairs: distance tiles, then sums over points of clusters.

The points stand cluster after cluster, so a slab of their distances holds those of many pairs of clusters. A second
kernel sums them in the order of `gpuclust.kernels.cuda.between`: of two clusters the later one is the inner sum. The
points of the earlier one may stand in several slabs. What is summed so far is then read from the result, where the
next slab continues, so that the bits do not depend on how the work is divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.kernels.cuda import launch, scalar, tiles
from gpuclust.kernels.cuda.between import Grouped
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.pairwise import DevicePoints, pairwise
from gpuclust.kernels.cuda.scalar import arithmetic
from gpuclust.kernels.cuda.tile import geometry
from gpuclust.kernels.cuda.tiles import tile_start

#: Bytes of distances that are held at a time.
SLAB = 1 << 14 if launch.SIMULATED else 1 << 28
#: Inner clusters of a block of threads.
COLUMNS = 4 * THREADS
#: Places by which a number is shifted to be divided by the side of a tile.
SHIFT = TILE.bit_length() - 1
#: Which clusters are asked for, and have a row of the result: all, those of the outer sums, those of the inner ones.
ALL, OUTER, INNER = "all", "outer", "inner"


@cache
def continued_sum(dtype: np.dtype) -> Any:
    """The device function ``continued(value, slab, row, row_end, a, column, column_end, b, weight, largest)``.

    ``value`` with some rows of a slab in addition: the largest, or the weighted sum, over the columns, and then over
    the rows. Weights of rows stand from ``a`` on, of columns from ``b`` on; all places are unsigned, because Numba
    checks signed ones for being negative.
    """
    mul = arithmetic(dtype).mul
    zero = dtype.type(0)
    one = np.uint64(1)

    @device
    @named(dtype)
    def continued(value, slab, row, row_end, a, column, column_end, b, weight, largest):
        while row < row_end:
            found = zero
            k = column
            place = b
            while k < column_end:
                d = slab[row, k]
                if largest:
                    found = d if not d <= found else found
                else:
                    found += mul(weight[place], d)
                    place += one
                k += one
            if largest:
                value = found if not found <= value else value
            else:
                value += mul(weight[a], found)
                a += one
            row += one
        return value

    return continued


@cache
def aggregate_kernel(mode: str, dtype: np.dtype) -> Kernel:
    """Continue the sums of pairs of clusters by a slab of distances of their points; a block a row.

    The largest, or the weighted mean, over pairs of points. Row r of the slab is point ``top + r`` of the outer
    clusters; those from ``outer`` on have points there. Column c is point ``left + c`` of the inner clusters; all
    points of ``columns`` of them, from ``inner`` on, stand there.

    If ``mode`` is ALL, ``values`` is a tiled matrix of ``width`` clusters. Otherwise it has a row for each of the
    clusters ``asked``, whose points stand from ``first[k]`` on, and a column for each from ``origin`` on, ``width``
    of them. Numbers of the clusters that are asked for are places in ``asked``, all others rows of the partition.
    """
    mul, continued = arithmetic(dtype).mul, continued_sum(dtype)
    number = real(dtype)
    zero, one = dtype.type(0), np.uint64(1)
    stamp = launch.stamp(scalar, tiles)

    @kernel(
        number[:, ::1],
        INT,
        INT,
        INT[::1],
        number[::1],
        number[::1],
        types.boolean,
        INT,
        INT,
        INT,
        INT[::1],
        INT[::1],
        INT,
        INT,
        number[::1],
        resident=4,
    )
    @named(mode, dtype)
    def aggregate(
        slab,
        top,
        left,
        start,
        weight,
        total,
        largest,
        outer,
        inner,
        columns,
        asked,
        first,
        origin,
        width,
        values,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        across = (columns + COLUMNS - 1) // COLUMNS
        row = outer + np.int64(cuda.blockIdx.x) // across
        column = inner + (np.int64(cuda.blockIdx.x) % across) * COLUMNS
        last = min(column + COLUMNS, inner + columns)
        column += cuda.threadIdx.x & (THREADS - 1)
        c = asked[np.uint64(row)] if mode == OUTER else row
        from_c = start[np.uint64(c)]
        until_c = start[np.uint64(c) + one]
        own = first[np.uint64(row)] if mode == OUTER else from_c
        above = max(own, top)
        r_begin = np.uint64(above - top)
        r_end = np.uint64(min(own + until_c - from_c, top + slab.shape[0]) - top)
        a_begin = np.uint64(from_c + above - own)
        complete = own + until_c - from_c <= top + slab.shape[0]
        base = c - origin if mode == INNER else row * width - origin
        if mode == ALL:
            tile_row = c // TILE
            base = tile_start(tile_row, 0, (width + TILE - 1) // TILE) + (c - tile_row * TILE) * TILE
        while column < last:
            q = asked[np.uint64(column)] if mode == INNER else column
            if c < q:
                if mode == INNER:
                    at = np.uint64(base + column * width)
                elif mode == OUTER:
                    at = np.uint64(base + q)
                else:
                    at = np.uint64(base + q + (q >> SHIFT) * (TILE * TILE - TILE))
                from_q = start[np.uint64(q)]
                k_begin = np.uint64((first[np.uint64(column)] if mode == INNER else from_q) - left)
                k_end = k_begin + np.uint64(start[np.uint64(q) + one] - from_q)
                value = values[at] if own < top else zero
                value = continued(
                    value, slab, r_begin, r_end, a_begin, k_begin, k_end, np.uint64(from_q), weight, largest
                )
                if not largest and complete:
                    value /= mul(total[np.uint64(c)], total[np.uint64(q)])
                values[at] = value
            column += THREADS

    return aggregate


class Side(NamedTuple):
    """Some clusters of points that stand one after the other: increasing rows, and where the points of each begin.

    The last entry of ``start`` is where the points of the last cluster end.
    """

    where: DevicePoints
    rows: np.ndarray
    start: np.ndarray


class Result(NamedTuple):
    """Where dissimilarities of clusters go: the mode and the last arguments of `aggregate_kernel`."""

    mode: str
    asked: Any
    first: Any
    origin: int
    width: int
    values: Any


def sum_pairs(clusters: Grouped, outer: Side, inner: Side, result: Result, held: Any) -> None:
    """Dissimilarities of all outer clusters and later inner ones. O(m) time for each pair of points.

    ``held`` is an array for the distances of a slab, with room for at least one point and the largest inner cluster.
    """
    end = int(outer.start[np.searchsorted(outer.rows, inner.rows[-1])])  # from here on none has a later one
    tall = geometry(outer.where.metric, outer.where.dtype).rows
    top = int(outer.start[0])
    while top < end:
        row = int(np.searchsorted(outer.start, top, side="right")) - 1
        later = int(np.searchsorted(inner.rows, outer.rows[row], side="right"))
        across = int(inner.start[-1] - inner.start[later])
        bottom = min(end, top + max(tall, held.size // across // tall * tall))
        for begin, stop in pieces(inner.start, later, held.size // (bottom - top)):
            step = held.size // int(inner.start[stop] - inner.start[begin])
            for above in range(top, bottom, step):
                _sum_slab(clusters, outer, inner, result, held, (above, min(above + step, bottom)), (begin, stop))
        top = bottom


def pieces(start: np.ndarray, begin: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of clusters from ``begin`` on that have at most ``most`` points together, or are one cluster."""
    while begin < start.size - 1:
        stop = max(begin + 1, int(np.searchsorted(start, start[begin] + most, side="right")) - 1)
        yield begin, stop
        begin = stop


def _sum_slab(
    clusters: Grouped,
    outer: Side,
    inner: Side,
    result: Result,
    held: Any,
    points: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """The part of the points of outer clusters from one up to another, and of inner clusters likewise."""
    top, bottom = points
    begin, stop = columns
    left, right = int(inner.start[begin]), int(inner.start[stop])
    slab = held[: (bottom - top) * (right - left)].reshape((bottom - top, right - left))
    pairwise(outer.where, inner.where, top, slab, left, fused=False)
    row = int(np.searchsorted(outer.start, top, side="right")) - 1
    rows = int(np.searchsorted(outer.start, bottom)) - row
    aggregate_kernel(result.mode, clusters.where.dtype)(
        rows * launch.blocks_for(stop - begin, COLUMNS),
        slab,
        top,
        left,
        clusters.start,
        clusters.weight,
        clusters.total,
        clusters.largest,
        row if result.mode == OUTER else int(outer.rows[row]),
        begin if result.mode == INNER else int(inner.rows[begin]),
        stop - begin,
        *result[1:],
    )


def fill_clusters(matrix: Any, clusters: Grouped) -> None:
    """Fill a tiled matrix with the dissimilarities of clusters. O(n² m) time, and a slab of memory."""
    matrix[...] = np.inf  # on the diagonal and below, and past the last cluster
    side = Side(clusters.where, np.arange(clusters.count), clusters.starts)
    none = launch.empty(0, np.int64)
    sum_pairs(clusters, side, side, Result(ALL, none, none, 0, clusters.count, matrix), room(clusters, side.start))


def room(clusters: Grouped, start: np.ndarray, share: int = 1) -> Any:
    """An array for the distances of a slab, a part of the bytes that are held at a time."""
    n, dtype = clusters.where.n, clusters.where.dtype
    return launch.empty(max(min(SLAB // share // dtype.itemsize, n * n), int(np.diff(start).max())), dtype)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        for mode in (ALL, OUTER, INNER):
            yield aggregate_kernel(mode, dtype)
