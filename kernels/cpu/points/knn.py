"""The k nearest neighbours of every point, by fused distance tiles: no distance is stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics, preparation
from gpuclust.core.jit import compiled, jitable, named, ranges, run
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cpu.points.index import boxed
from gpuclust.kernels.cpu.space import pairwise

#: Points in a block: distances and the slices of four features stay in the first-level cache.
BLOCK = 512
#: Largest fraction of all pairs that the tree may compare. A pass compares all pairs, at a third of the cost of each.
SHARE = 1 / 3
#: Rows in a piece of work.
ROWS = 64


@cache
def knn_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Rows begin..end-1 of the lists: sorted by (distance, index), the point itself left out.

    A metric that is a monotone function of a cheaper one (the root of a sum) is compared by the cheaper one.
    """
    row_of_distances = pairwise.row_kernel(metrics.ordering(metric), weighted)
    finish = jitable(metric.finish)
    roots = metric.monotone_of is not None
    stamp = jit.stamp(metrics, pairwise)

    @compiled
    @named(metric.name, weighted, dtype)
    def knn(features, summary, weights, p, begin, end, index, distance):
        stamp  # noqa: B018
        n = features.shape[1]
        k = index.shape[1]
        out = np.empty(BLOCK, summary.dtype)
        scratch = np.empty(BLOCK, summary.dtype)
        for i in range(begin, end):
            distance[i, :] = np.inf
        for left in range(0, n, BLOCK):
            right = min(left + BLOCK, n)
            values = out[: right - left]
            for i in range(begin, end):
                row_of_distances(features, summary, i, features, summary, left, right, weights, p, out, scratch)
                if left <= i < right:
                    values[i - left] = np.inf
                limit = distance[i, k - 1]
                hits = 0
                for j in range(values.size):
                    hits += values[j] < limit
                if hits == 0:
                    continue
                best = distance[i]
                which = index[i]
                for j in range(values.size):
                    value = values[j]
                    if value < best[k - 1]:  # points come by increasing index: equal ones stay behind
                        place = k - 1
                        while place > 0 and value < best[place - 1]:
                            best[place] = best[place - 1]
                            which[place] = which[place - 1]
                            place -= 1
                        best[place] = value
                        which[place] = left + j
        if roots:
            zero = summary.dtype.type(0)
            for i in range(begin, end):
                for place in range(k):
                    distance[i, place] = finish(distance[i, place], zero, zero, zero, p)

    return knn


def knn(points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) of the nearest other points, by (distance, index), and their distances.

    Of a metric with a monotone form (`Metric.monotone_of`) that form decides. -1 and infinite where a distance is
    NaN. By boxes where that is faster.
    """
    squares, finish = preparation.by_order(points)
    arranged = boxed(squares, k, SHARE)
    if arranged is not None:
        index, distance = arranged.knn(k)
        return index, finish(distance)
    index, distance = np.full((points.n, k), -1), np.full((points.n, k), np.inf, points.dtype)
    knn_of_rows(points, 0, points.n, index, distance)
    return index, distance


def knn_of_rows(points: Points, begin: int, end: int, index: np.ndarray, distance: np.ndarray) -> None:
    """Fill rows ``begin`` to ``end`` of the lists, which are empty."""
    kernel = knn_kernel(points.metric, points.weights is not None, points.dtype)
    weights = points.weights if points.weights is not None else points.summary[:0]
    common = (points.features, points.summary, weights, points.p)
    rows = pairwise.rows_a_piece(points.metric, len(points.features), points.n, ROWS)
    pieces = [(begin + i, begin + j) for i, j in ranges(end - begin, rows)]
    run(lambda first, last: kernel(*common, first, last, index, distance), pieces)
