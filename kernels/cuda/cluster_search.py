"""Nearest clusters computed from the points: slabs of dissimilarities, and the minimum of each of their rows.

Dissimilarities are the same bits as `gpuclust.kernels.cuda.aggregate` stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import aggregate, launch, reduce
from gpuclust.kernels.cuda.aggregate import INNER, OUTER, Result, Side, pieces, room, sum_pairs
from gpuclust.kernels.cuda.between import Grouped, between
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.reduce import block_minimum
from gpuclust.kernels.cuda.tile import geometry

#: Points of clusters that are searched at a time, unless one cluster has more.
POINTS = 64 if launch.SIMULATED else 1 << 12
#: Of fewer points than this part of the rows of a tile, pairs are computed one by one.
FEW = 1 / 8


@cache
def minimum_kernel(dtype: np.dtype) -> Kernel:
    """The smallest of every row of a slab and of what was found before, the first of equal ones; a block a row.

    Column c is the cluster ``origin + c``, and those before have been searched. Values that are not finite, other
    than that of the row's own cluster, count as -inf, which the algorithm checks.
    """
    number = real(dtype)
    infinity = dtype.type(np.inf)
    smallest = block_minimum(dtype)
    stamp = launch.stamp(reduce)

    @kernel(number[:, ::1], INT[::1], INT, INT[::1], number[::1])
    @named(dtype)
    def row_minimum(slab, rows, origin, index, distance):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        held = cuda.shared.array(THREADS, number)
        places = cuda.shared.array(THREADS, INT)
        thread = cuda.threadIdx.x & (THREADS - 1)
        row = np.int64(cuda.blockIdx.x)
        own = rows[row] - origin
        best = infinity
        at = np.int64(slab.shape[1])
        for y in range(thread, slab.shape[1], THREADS):
            value = slab[row, y]
            if not value < infinity and y != own:
                value = -infinity
            if value < best:
                best = value
                at = np.int64(y)
        best, at, _ = smallest(best, at, at, held, places, places)
        if thread == 0 and best < distance[row]:
            distance[row] = best
            index[row] = origin + at

    return row_minimum


def nearest_cluster(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and dissimilarity of the nearest cluster of each of ``rows``; O(n m) time for each of their points."""
    order = np.argsort(rows)
    asked = rows[order]
    grouped = Grouped(points, method, clusters)
    index, distance = launch.full(rows.size, grouped.count, np.int64), launch.full(rows.size, np.inf, points.dtype)
    start = np.concatenate(([0], np.cumsum(clusters.size[asked])))
    few = FEW * geometry(points.metric, points.dtype).rows
    for begin, stop in pieces(start, 0, POINTS):
        part = slice(begin, stop)
        search = _one_by_one if start[stop] - start[begin] < few else _by_tiles
        search(grouped, asked[part], index[part], distance[part])
    found = np.empty(rows.size, np.int64), np.empty(rows.size, points.dtype)
    found[0][order], found[1][order] = launch.download(index), launch.download(distance)
    return found


def _one_by_one(clusters: Grouped, rows: np.ndarray, index: Any, distance: Any) -> None:
    """Search by pairs of clusters."""
    count, dtype = clusters.count, clusters.where.dtype
    wanted, none = launch.upload(rows), launch.empty(0, np.int64)
    most = max(1, min(rows.size, aggregate.SLAB // (count * dtype.itemsize)))
    slab = launch.empty(most * count, dtype)
    for begin in range(0, rows.size, most):
        some = slice(begin, min(begin + most, rows.size))
        values = slab[: (some.stop - begin) * count]
        between(clusters, none, wanted[some], values)
        taken = values.reshape((some.stop - begin, count))
        minimum_kernel(dtype)(len(taken), taken, wanted[some], 0, index[some], distance[some])


def _by_tiles(clusters: Grouped, rows: np.ndarray, index: Any, distance: Any) -> None:
    """Search by distance tiles, a range of clusters at a time: those before each of ``rows``, and those after it."""
    count, dtype, start = clusters.count, clusters.where.dtype, clusters.starts
    size = start[rows + 1] - start[rows]
    first = np.concatenate(([0], np.cumsum(size)))
    place = np.repeat(start[rows] - first[:-1], size) + np.arange(first[-1])
    own = Side(clusters.where.at(launch.upload(place)), rows, first)
    wanted, begins = launch.upload(rows), launch.upload(first)
    width = max(1, min(count, aggregate.SLAB // 2 // dtype.itemsize // rows.size))
    held, values = room(clusters, start, share=2), launch.empty(rows.size * width, dtype)
    for origin in range(0, count, width):
        stop = min(origin + width, count)
        part = values[: rows.size * (stop - origin)]
        part[...] = np.inf
        others = Side(clusters.where, np.arange(origin, stop), start[origin : stop + 1])
        for outer, inner, mode in ((own, others, OUTER), (others, own, INNER)):
            sum_pairs(clusters, outer, inner, Result(mode, wanted, begins, origin, stop - origin, part), held)
        slab = part.reshape((rows.size, stop - origin))
        minimum_kernel(dtype)(rows.size, slab, wanted, origin, index, distance)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield minimum_kernel(dtype)
