"""Fill a tiled matrix from points, clusters of points, or condensed dissimilarities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import launch, scalar, tiles
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, device, kernel, named, real, types, xp
from gpuclust.kernels.cuda.pairwise import DevicePoints, pairwise
from gpuclust.kernels.cuda.scalar import arithmetic, terms
from gpuclust.kernels.cuda.tile import feature
from gpuclust.kernels.cuda.tiles import tile_start


@cache
def pair_distance(metric: Metric, weighted: bool, dtype: np.dtype) -> Any:
    """The device function ``pair(features, summary, weights, p, i, j)``: the distance of two points."""
    step, finish = terms(metric, weighted, dtype)
    zero = dtype.type(0)

    @device
    @named(metric.name, weighted, dtype)
    def pair(features, summary, weights, p, i, j):
        a = zero
        b = zero
        first = np.uint64(i)
        second = np.uint64(j)
        for k in range(features.shape[0]):
            at = np.uint64(k)
            a, b = step(a, b, features[at, first], features[at, second], weights[at] if weighted else zero, p)
        return finish(a, b, summary[first], summary[second], p)

    return pair


@cache
def between_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Kernel:
    """Dissimilarities of clusters of points that stand cluster after cluster; a thread a pair of clusters.

    The largest, or the weighted mean, over pairs of points; the earlier cluster is the outer sum. Which pairs:

    * with ``keys``: ``values[k]`` of clusters x and y, ``keys[k] = x * clusters + y``; infinite for x = y;
    * with ``rows``: ``values[k]`` of cluster ``rows[k // clusters]`` and cluster ``k mod clusters``, likewise;
    * without both: all, ``values`` is a tiled matrix, and a tile has TILE² / THREADS blocks.
    """
    pair = pair_distance(metric, weighted, dtype)
    mul = arithmetic(dtype).mul
    number = real(dtype)
    zero = dtype.type(0)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(metrics, points, scalar, tiles)

    @kernel(
        feature(metric, dtype)[:, ::1],
        number[::1],
        number[::1],
        number,
        INT[::1],
        number[::1],
        number[::1],
        types.boolean,
        INT[::1],
        INT[::1],
        number[::1],
        resident=2,
    )
    @named(metric.name, weighted, dtype)
    def between(features, summary, weights, p, start, weight, total, largest, keys, rows, values):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        thread = cuda.threadIdx.x & (THREADS - 1)
        count = np.int64(total.size)
        place = np.int64(cuda.blockIdx.x) * THREADS + thread
        if keys.size > 0:
            if place >= keys.size:
                return
            x = keys[place] // count
            y = keys[place] - x * count
        elif rows.size > 0:
            if place >= values.size:
                return
            x = rows[place // count]
            y = place % count
        else:
            side = (count + TILE - 1) // TILE
            tile = place // (TILE * TILE)
            inside = place & (TILE * TILE - 1)
            if tile % side < tile // side:
                return  # below the diagonal
            place = tile_start(tile // side, tile % side, side) + inside
            x = (tile // side) * TILE + inside // TILE
            y = (tile % side) * TILE + (inside & (TILE - 1))
        value = infinity
        c, q = min(x, y), max(x, y)
        upper = x == c or keys.size > 0 or rows.size > 0  # of a matrix only what is above the diagonal
        if c < q < count and upper:
            value = zero
            for a in range(start[c], start[c + 1]):
                inner = zero
                for b in range(start[q], start[q + 1]):
                    d = pair(features, summary, weights, p, a, b)
                    if largest:
                        inner = d if not d <= inner else inner
                    else:
                        inner += mul(weight[b], d)
                if largest:
                    value = inner if not inner <= value else value
                else:
                    value += mul(weight[a], inner)
            if not largest:
                value /= mul(total[c], total[q])
        values[place] = value

    return between


@cache
def slab_kernel(dtype: np.dtype) -> Kernel:
    """Copy rows, from ``begin`` on, of a square of dissimilarities to a tiled matrix; a pair from its earlier row."""
    number = real(dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(tiles)

    @kernel(number[:, ::1], INT, INT, number[::1])
    @named(dtype)
    def place_slab(slab, begin, n, matrix):
        stamp  # noqa: B018
        rows = (n + TILE - 1) // TILE
        place = np.int64(cuda.grid(1))
        x = begin + place // (rows * TILE)
        y = place % (rows * TILE)
        if x >= begin + slab.shape[0] or y // TILE < x // TILE:
            return
        start = tile_start(x // TILE, y // TILE, rows)
        matrix[start + (x & (TILE - 1)) * TILE + (y & (TILE - 1))] = slab[x - begin, y] if x < y < n else infinity

    return place_slab


@cache
def condensed_kernel(dtype: np.dtype) -> Kernel:
    """Fill a matrix from condensed dissimilarities, squared if asked; a block a tile."""
    number = real(dtype)
    infinity = dtype.type(np.inf)
    mul = arithmetic(dtype).mul
    stamp = launch.stamp(scalar, tiles)

    @kernel(number[::1], number[::1], INT, types.boolean)
    @named(dtype)
    def fill_condensed(matrix, condensed, n, squared):
        stamp  # noqa: B018
        rows = (n + TILE - 1) // TILE
        tile_row = np.int64(cuda.blockIdx.x) // rows
        tile_column = np.int64(cuda.blockIdx.x) % rows
        if tile_column < tile_row:
            return
        begin = tile_start(tile_row, tile_column, rows)
        for k in range(cuda.threadIdx.x, TILE * TILE, THREADS):
            x = tile_row * TILE + k // TILE
            y = tile_column * TILE + (k & (TILE - 1))
            value = infinity
            if x < y < n:
                value = condensed[n * x - x * (x + 1) // 2 + y - x - 1]
                if squared:
                    value = mul(value, value)
            matrix[begin + k] = value

    return fill_condensed


#: Bytes of distances that are held at a time while a matrix is filled.
_SLAB = 1 << 14 if launch.SIMULATED else 1 << 26


def fill_points(matrix: Any, where: DevicePoints) -> None:
    """Fill a matrix with the distances of points, a slab of rows at a time. O(n² m) time."""
    n = where.n
    padded = tiles.tile_rows(n) * TILE
    matrix[tiles.tiled_size(n) - TILE * TILE :] = np.inf  # rows past the last point
    most = max(1, min(n, _SLAB // (n * where.dtype.itemsize)))
    slab = launch.empty((most, n), where.dtype)
    for begin in range(0, n, most):
        part = slab[: min(most, n - begin)]
        pairwise(where, where, begin, part)
        slab_kernel(where.dtype)(launch.blocks_for(len(part) * padded), part, begin, n, matrix)


def dissimilarities(
    points: Points, method: Method, clusters: Clusters, keys: Any, rows: Any, values: Any, blocks: int
) -> None:
    """Write dissimilarities of clusters of points to ``values``, a device array; see `between_kernel`."""
    where = DevicePoints(points)
    members = launch.resident(clusters.members)
    features, summary = xp.take(where.features, members, axis=1), xp.take(where.summary, members)
    partition = tuple(launch.resident(part) for part in (clusters.start, clusters.weight, clusters.total))
    between_kernel(where.metric, where.weighted, where.dtype)(
        blocks,
        features,
        summary,
        where.weights,
        where.p,
        *partition,
        method.pairs == "largest",
        keys,
        rows,
        values,
    )


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        yield between_kernel(metric, weighted, dtype)
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield condensed_kernel(dtype)
        yield slab_kernel(dtype)
