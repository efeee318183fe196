"""Nearest cluster among a few candidates: the clusters that hold a listed neighbour of one of its points.

Most listed neighbours of a cluster lie in the same few clusters, so pairs of clusters are sorted first, and each pair
is computed once. Dissimilarities are the same bits as `gpuclust.kernels.cuda.aggregate` stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.between import Grouped, between
from gpuclust.kernels.cuda.launch import INT, Kernel, cuda, kernel, named, real, xp


@cache
def nearest_kernel(dtype: np.dtype) -> Kernel:
    """The smallest of the values of each cluster, ``values[start[0, k] : start[1, k]]``: of equal ones the first."""
    number = real(dtype)
    infinity = dtype.type(np.inf)

    @kernel(INT[::1], number[::1], INT[:, ::1], INT, INT[::1], number[::1])
    @named(dtype)
    def nearest_of_pairs(keys, values, start, count, index, distance):
        place = np.int64(cuda.grid(1))
        if place >= index.size:
            return
        best = infinity
        at = np.int64(-1)
        for k in range(start[0, place], start[1, place]):
            if values[k] < best:
                best = values[k]
                at = keys[k] % count
        index[place] = at
        distance[place] = best

    return nearest_of_pairs


def nearest_among(
    points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, todo: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For the clusters ``todo``: row and dissimilarity of the nearest candidate (-1: there is none)."""
    if todo.size == 0:
        return np.empty(0, np.int64), np.empty(0, points.dtype)
    count, dtype = clusters.ids.size, points.dtype
    size = clusters.size[todo]
    owner = np.repeat(todo, size)
    first = np.concatenate(([0], np.cumsum(size)))
    asking = clusters.members[np.repeat(clusters.start[todo] - first[:-1], size) + np.arange(owner.size)]
    listed = xp.take(launch.resident(neighbours), launch.upload(asking), axis=0)
    candidates = xp.take(launch.upload(clusters.row_of_point), listed)
    keys = xp.unique(launch.upload(owner)[:, None] * count + candidates)
    launch.counts["downloads"] += 1  # how many there are
    edges = launch.upload(np.stack((todo, todo + 1)) * count)
    start = xp.searchsorted(keys, edges)
    values = launch.empty(keys.size, dtype)
    none = launch.empty(0, np.int64)
    between(Grouped(points, method, clusters), keys, none, values)
    index = launch.empty(todo.size, np.int64)
    distance = launch.empty(todo.size, dtype)
    nearest_kernel(dtype)(launch.blocks_for(todo.size), keys, values, start, count, index, distance)
    return launch.download(index), launch.download(distance)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield nearest_kernel(dtype)
