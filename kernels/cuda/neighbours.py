"""The k nearest neighbours of all points, by a screen where that applies.

By products in half precision, or in single precision, some more than k neighbours of each point are selected. Their
distances are computed again in float64, and the k nearest of these are the nearest of all if every other one is
certain to be farther, by the bound of `gpuclust.kernels.cuda.screen`. Points for which that is not certain, because
of many nearly equal distances, are compared with all others in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from gpuclust.core import centroids, metrics, points
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import halves, launch, scalar, screen, summary_kernels
from gpuclust.kernels.cuda import knn as selection
from gpuclust.kernels.cuda.knn import INT32, MOST, finish_kernel, sort_pairs
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real, types, xp
from gpuclust.kernels.cuda.pairwise import DevicePoints
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.screen import Screen
from gpuclust.kernels.cuda.screen_kernels import DOUBLE, SINGLE
from gpuclust.kernels.cuda.summary_kernels import squares

#: Neighbours selected in single precision beside those that are wanted.
SPARE = 4 if launch.SIMULATED else 32
#: Part of the points of the first slab that, if not certain, shows that the screen does not pay.
MANY = 1 / 4


@cache
def decide_kernel(metric: Metric, dtype: np.dtype) -> Kernel:
    """The nearest of the listed neighbours of point ``rows[r]``, by (distance, index); a block a row.

    ``listed`` and ``rough`` (rows, listed) are neighbours by the screen, with their distances there; ``slack``,
    ``growth`` and ``scale`` are as in `gpuclust.kernels.cuda.screen_kernels.search_kernel`. ``certain[r]`` says
    whether they are the nearest of all points.
    """
    square, loosened = squares(metric, dtype, two_parts=False), translated(centroids.loosened, SINGLE)
    sort = sort_pairs(dtype)
    number, seen = real(dtype), types.float32
    rounded = np.float32 if launch.SIMULATED else seen
    infinity, last, room = dtype.type(np.inf), np.int32(2**31 - 1), 2 * MOST
    stamp = launch.stamp(centroids, metrics, points, scalar, selection, summary_kernels)

    @kernel(
        number[:, ::1],
        INT[::1],
        INT32[:, ::1],
        seen[:, ::1],
        seen[::1],
        seen,
        number,
        number[:, ::1],
        INT32[:, ::1],
        types.boolean[::1],
    )
    @named(metric.name, dtype)
    def decide(features, rows, listed, rough, slack, growth, scale, distance, index, certain):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        value = cuda.shared.array(room, number)
        which = cuda.shared.array(room, INT32)
        thread = cuda.threadIdx.x & (THREADS - 1)
        row = np.int64(cuda.blockIdx.x)
        own = rows[row]
        count, wanted = np.int64(listed.shape[1]), np.int64(distance.shape[1])
        for k in range(thread, count, THREADS):
            other = listed[row, k]
            value[k] = square(features, features, own, features, features, other) if other >= 0 else infinity
            which[k] = other if other >= 0 else last
        cuda.syncthreads()
        sort(value, which, count)
        for k in range(thread, wanted, THREADS):
            distance[row, k] = value[k]
            index[row, k] = which[k] if value[k] < infinity else -1
        if thread == 0:
            farthest = rounded(value[wanted - 1] * scale)
            certain[row] = rough[row, count - 1] > loosened(farthest, slack[own], growth)

    return decide


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (DOUBLE, SINGLE):
        yield decide_kernel(metrics.METRICS["sqeuclidean"], dtype)


def knn(given: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) of the nearest other points, by (distance, index), and their distances.

    Of a metric with a monotone form (`Metric.monotone_of`) that form decides. -1 and infinite where a distance is
    NaN. O(n² m) time; O(n m + n k) memory and a slab.
    """
    where = DevicePoints(replace(given, metric=metrics.ordering(given.metric)))
    n, dtype = where.n, where.dtype
    distance, index = launch.empty((n, k), dtype), launch.empty((n, k), np.int32)
    left = _screened(where, distance, index) if k + SPARE <= min(MOST, n - 1) else None
    some = where if left is None else where.at(left)
    rows = xp.arange(n) if left is None else left
    for part, slab in selection.slabs(some, where) if rows.size else ():
        if left is None:
            selection.select(slab, rows[part], distance[part], index[part])
        else:
            held = launch.empty((len(slab), k), dtype), launch.empty((len(slab), k), np.int32)
            selection.select(slab, rows[part], *held)
            distance[rows[part]], index[rows[part]] = held
    if given.metric.monotone_of is not None:
        finish_kernel(given.metric, dtype)(launch.blocks_for(n * k), distance.reshape(-1), given.p)
    return launch.download(index).astype(np.int64), launch.download(distance)


def _screened(where: DevicePoints, distance: Any, index: Any) -> Any:
    """Fill the lists of the points for which the screen is certain. Returns the other points, or None: all."""
    if where.metric.name != "sqeuclidean" or where.weighted or where.n < screen.FEWEST:
        return None
    for by_products, scale in screen.screens(where.features):
        left = _listed(where, Screen.of(where.features, scale, by_products=by_products), distance, index)
        if left is not None:
            return left
    return None


def _listed(where: DevicePoints, seen: Screen, distance: Any, index: Any) -> Any:
    """`_screened` by one screen; None where most points of the first slab are not certain."""
    n, count = where.n, distance.shape[1] + SPARE
    rows, certain = xp.arange(n), launch.full(n, False, np.bool_)
    for part, slab in _slabs(where, seen):
        rough, listed = launch.empty((len(slab), count), SINGLE), launch.empty((len(slab), count), np.int32)
        selection.select(slab, rows[part], rough, listed)
        decide_kernel(where.metric, where.dtype)(
            len(slab),
            where.features,
            rows[part],
            listed,
            rough,
            seen.slack,
            seen.growth,
            seen.scale,
            distance[part],
            index[part],
            certain[part],
        )
        if part.start == 0 and launch.download(certain[part]).sum() < (1 - MANY) * len(slab):
            return None
    return xp.flatnonzero(~certain)


def _slabs(where: DevicePoints, seen: Screen) -> Iterator[tuple[slice, Any]]:
    """Screened distances of some points to all."""
    single = copy(where)
    single.features, single.summary, single.weights = seen.features, seen.slack, seen.slack[:0]
    fill = partial(halves.squares, seen.features, seen.norm) if seen.by_products else None
    return selection.slabs(single, single, fill)
