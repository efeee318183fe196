"""Nearest clusters computed from the points: slabs of dissimilarities, and the minimum of each of their rows.

Dissimilarities are the same bits as `gpuclust.kernels.cuda.fill` stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import fill, launch, reduce
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.reduce import block_minimum

#: Bytes of dissimilarities that are held at a time.
_SLAB = 1 << 14 if launch.SIMULATED else 1 << 26


@cache
def minimum_kernel(dtype: np.dtype) -> Kernel:
    """The smallest of every row of a slab, the first of equal ones; a block a row.

    Values that are not finite, other than that of the row's own cluster, count as -inf, which the algorithm checks.
    """
    number = real(dtype)
    infinity = dtype.type(np.inf)
    smallest = block_minimum(dtype)
    stamp = launch.stamp(reduce)

    @kernel(number[:, ::1], INT[::1], INT[::1], number[::1])
    @named(dtype)
    def row_minimum(slab, rows, index, distance):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        held = cuda.shared.array(THREADS, number)
        places = cuda.shared.array(THREADS, INT)
        thread = cuda.threadIdx.x & (THREADS - 1)
        row = np.int64(cuda.blockIdx.x)
        own = rows[row]
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
        if thread == 0:
            distance[row] = best
            index[row] = at

    return row_minimum


def nearest_cluster(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and dissimilarity of the nearest cluster of each of ``rows``; O(n m) time for each of their points."""
    count, dtype = clusters.ids.size, points.dtype
    wanted = launch.upload(rows)
    index, distance = launch.empty(rows.size, np.int64), launch.empty(rows.size, dtype)
    most = max(1, min(rows.size, _SLAB // (count * dtype.itemsize)))
    slab, none = launch.empty(most * count, dtype), launch.empty(0, np.int64)
    for begin in range(0, rows.size, most):
        some = wanted[begin : begin + most]
        values = slab[: some.size * count]
        fill.dissimilarities(points, method, clusters, none, some, values, launch.blocks_for(values.size))
        part = index[begin : begin + most], distance[begin : begin + most]
        minimum_kernel(dtype)(some.size, values.reshape((some.size, count)), some, *part)
    return launch.download(index), launch.download(distance)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield minimum_kernel(dtype)
