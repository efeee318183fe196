"""Dissimilarities of clusters from their points, of few or scattered pairs: a thread walks the points of each pair.

`gpuclust.kernels.cuda.aggregate` computes those of many rows, in distance tiles: the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import launch, scalar
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.pairwise import DevicePoints
from gpuclust.kernels.cuda.scalar import arithmetic, terms
from gpuclust.kernels.cuda.tile import feature


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
    * with ``rows``: ``values[k]`` of cluster ``rows[k // clusters]`` and cluster ``k mod clusters``, likewise.
    """
    pair = pair_distance(metric, weighted, dtype)
    mul = arithmetic(dtype).mul
    number = real(dtype)
    zero = dtype.type(0)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(metrics, points, scalar)

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
        if place >= values.size:
            return
        if keys.size > 0:
            x = keys[place] // count
            y = keys[place] - x * count
        else:
            x = rows[place // count]
            y = place % count
        value = infinity
        c, q = min(x, y), max(x, y)
        if c < q:
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


class Grouped:
    """Points of clusters on the device, standing cluster after cluster, with their weights and sums of weights."""

    def __init__(self, points: Points, method: Method, clusters: Clusters) -> None:
        self.where = DevicePoints(points).at(launch.resident(clusters.members))
        self.largest = method.pairs == "largest"
        self.starts, self.count = clusters.start, clusters.ids.size
        self.start, self.weight, self.total = (
            launch.resident(part) for part in (clusters.start, clusters.weight, clusters.total)
        )


def between(clusters: Grouped, keys: Any, rows: Any, values: Any) -> None:
    """Write dissimilarities of clusters to ``values``, a device array; see `between_kernel`."""
    where = clusters.where
    between_kernel(where.metric, where.weighted, where.dtype)(
        launch.blocks_for(values.size),
        where.features,
        where.summary,
        where.weights,
        where.p,
        clusters.start,
        clusters.weight,
        clusters.total,
        clusters.largest,
        keys,
        rows,
        values,
    )


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        yield between_kernel(metric, weighted, dtype)
