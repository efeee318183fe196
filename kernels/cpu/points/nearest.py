"""Nearest-neighbour search among points by fused distance tiles: distances are used while in cache, never stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, named, ranges, run
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cpu.matrix import fill
from gpuclust.kernels.cpu.matrix.fill import take_pairs
from gpuclust.kernels.cpu.points.index import boxed
from gpuclust.kernels.cpu.space import pairwise

#: Points in a block: distances and the slices of four features stay in the first-level cache.
BLOCK = 512
#: Rows in a piece of work.
ROWS = 64


@cache
def nearest_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Nearest neighbour of every point; each pair is computed once, for both points.

    One piece: rows top..bottom-1.
    """
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise, fill)

    @compiled
    @named(metric.name, weighted, dtype)
    def nearest(features, summary, weights, p, top, bottom, distance, index):
        stamp  # noqa: B018
        n = features.shape[1]
        out = np.empty(BLOCK, summary.dtype)
        scratch = np.empty(BLOCK, summary.dtype)
        for left in range((top // BLOCK) * BLOCK, n, BLOCK):
            end = min(left + BLOCK, n)
            for i in range(top, bottom):
                begin = max(left, i + 1)
                if begin < end:
                    row_of_distances(features, summary, i, features, summary, begin, end, weights, p, out, scratch)
                    take_pairs(out[: end - begin], i, begin, distance, index)

    return nearest


@cache
def outside_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Nearest point of another component for each of ``rows[begin:end]``."""
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise)

    @compiled
    @named(metric.name, weighted, dtype)
    def nearest_outside(features, summary, weights, p, component, rows, begin, end, index, distance):
        stamp  # noqa: B018
        n = features.shape[1]
        out = np.empty(BLOCK, summary.dtype)
        scratch = np.empty(BLOCK, summary.dtype)
        for left in range(0, n, BLOCK):
            right = min(left + BLOCK, n)
            others = component[left:right]
            values = out[: right - left]
            for place in range(begin, end):
                i = rows[place]
                own = component[i]
                row_of_distances(features, summary, i, features, summary, left, right, weights, p, out, scratch)
                best = distance[place]
                hits = 0
                for k in range(values.size):
                    hits += (values[k] < best) & (others[k] != own)
                if hits > 0:
                    for k in range(values.size):
                        if values[k] < distance[place] and others[k] != own:
                            distance[place] = values[k]
                            index[place] = left + k

    return nearest_outside


def _arguments(points: Points) -> tuple[Any, ...]:
    weights = points.weights if points.weights is not None else points.summary[:0]
    return points.features, points.summary, weights, points.p


def nearest(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Index of every point's nearest neighbour (smallest index on ties) and its distance; by boxes if faster."""
    arranged = boxed(points, 1)
    if arranged is not None:
        index, distance = arranged.knn(1)
        return index[:, 0], distance[:, 0]
    return minima_of_rows(points, 0, points.n)


def minima_of_rows(points: Points, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbour of every point, and its distance, in the pairs of some rows with all later ones."""
    kernel = nearest_kernel(points.metric, points.weights is not None, points.dtype)
    common = _arguments(points)
    pieces = [(*common, begin + top, begin + bottom) for top, bottom in ranges(end - begin, _rows(points))]
    return fill.shared_minima(kernel, pieces, points.n, points.dtype)


def nearest_outside(points: Points, component: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``rows`` the nearest point of another component, and its distance."""
    kernel = outside_kernel(points.metric, points.weights is not None, points.dtype)
    index = np.full(rows.size, -1)
    distance = np.full(rows.size, np.inf, points.dtype)
    common = (*_arguments(points), component, rows)
    run(kernel, [(*common, begin, end, index, distance) for begin, end in ranges(rows.size, _rows(points))])
    return index, distance


def _rows(points: Points) -> int:
    """Rows of a piece of work."""
    return pairwise.rows_a_piece(points.metric, len(points.features), points.n, ROWS)
