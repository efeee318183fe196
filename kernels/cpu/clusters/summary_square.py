"""Clusters as sizes, centroids and scatter (`gpuclust.core.centroids`), all dissimilarities of which are stored.

For few points: rows of unions are computed anew from both parts of the centroids, with the bits of
`gpuclust.kernels.cpu.clusters.summary_kernels`, and searched as in `gpuclust.kernels.cpu.matrix.square_merges`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import centroids, jit, methods, metrics
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import square_shape, strip_count
from gpuclust.kernels.cpu.clusters.summary_kernels import factor, scatter_of
from gpuclust.kernels.cpu.matrix import minima, square
from gpuclust.kernels.cpu.matrix.minima import take_row
from gpuclust.kernels.cpu.matrix.square import mirror
from gpuclust.kernels.cpu.matrix.square_merges import Source, merge_kernel, settle
from gpuclust.kernels.cpu.space import pairwise, simd

#: Clusters whose dissimilarities to one are computed at a time.
BLOCK = 256


@cache
def _row(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """``row(own, size, x, begin, end, out)``: the dissimilarities of cluster x to clusters begin..end-1."""
    spread = method.scatter is not None
    geometric, difference = factor(method), jitable(centroids.difference)

    @uncounted
    @named(method.name, dtype)
    def row(own, size, x, begin, end, out):
        high, low, scatter = own
        out[:] = 0
        f = 0
        while f + 4 <= high.shape[0]:  # sums are loaded and stored once for four features, added in their order
            h0, h1, h2, h3 = high[f, x], high[f + 1, x], high[f + 2, x], high[f + 3, x]
            l0, l1, l2, l3 = low[f, x], low[f + 1, x], low[f + 2, x], low[f + 3, x]
            y0, z0, y1, z1 = high[f, begin:end], low[f, begin:end], high[f + 1, begin:end], low[f + 1, begin:end]
            f += 2
            y2, z2, y3, z3 = high[f, begin:end], low[f, begin:end], high[f + 1, begin:end], low[f + 1, begin:end]
            f += 2
            for k in range(out.size):
                d0, d1 = difference(h0, l0, y0[k], z0[k]), difference(h1, l1, y1[k], z1[k])
                d2, d3 = difference(h2, l2, y2[k], z2[k]), difference(h3, l3, y3[k], z3[k])
                out[k] = (((out[k] + d0 * d0) + d1 * d1) + d2 * d2) + d3 * d3
        while f < high.shape[0]:
            mine, rest = high[f, x], low[f, x]
            theirs, rests = high[f, begin:end], low[f, begin:end]
            for k in range(out.size):
                d = difference(mine, rest, theirs[k], rests[k])
                out[k] += d * d
            f += 1
        if spread:
            own_scatter, others = scatter[x], scatter[begin:end]
            for k in range(out.size):
                out[k] += own_scatter + others[k]
        else:
            own_size, sizes = size[x], size[begin:end]
            for k in range(out.size):
                out[k] = geometric(out[k], own_size, sizes[k])

    return row


@cache
def fill_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """Fill a square; returns how many dissimilarities are positive, and how many finite."""
    row_of_distances = pairwise.row_kernel(metrics.METRICS["sqeuclidean"], False)
    spread, geometric = method.scatter is not None, factor(method)
    stamp = jit.stamp(methods, metrics, pairwise, square, minima, simd)

    @compiled
    @named(method.name, dtype)
    def fill_summaries(matrix, bound, features, size):
        stamp  # noqa: B018
        n = size.size
        scratch, none = np.empty(BLOCK, matrix.dtype), np.zeros(n, matrix.dtype)
        one = size.dtype.type(1)
        positive = finite = 0
        for top in range(0, n, square.BLOCK):
            bottom = min(top + square.BLOCK, n)
            for i in range(top, bottom):
                for begin in range(i + 1, n, BLOCK):
                    end = min(begin + BLOCK, n)
                    values = matrix[i, begin:end]
                    row_of_distances(features, size, i, features, size, begin, end, size, one, values, scratch)
                    for k in range(values.size):
                        values[k] = values[k] if spread else geometric(values[k], one, one)
                        positive += values[k] > 0
                        finite += abs(values[k]) < np.inf
                take_row(matrix[i], none, i, bound)
            mirror(matrix, top, bottom)
        return positive, finite

    return fill_summaries


@cache
def computed(method: Method, dtype: np.dtype) -> Source:
    """Rows of unions from their centroids."""
    row, united, difference = _row(method, dtype), jitable(centroids.united), centroids.difference
    difference, scatter_united = jitable(difference), scatter_of(method)
    spread, counted = method.scatter is not None, method.counted

    @uncounted
    @named(method.name, dtype)
    def join(own, size, a, b):
        """Make a the union of a and b, but for its size."""
        high, low, scatter = own
        if spread:
            total = high.dtype.type(0)
            for f in range(high.shape[0]):
                d = difference(high[f, a], low[f, a], high[f, b], low[f, b])
                total += d * d
            scatter[a] = scatter_united(total, scatter[a], scatter[b], size[a], size[b])
        x, y = (a, b) if size[a] >= size[b] else (b, a)  # the larger one moves less, which rounds less
        sx, sy = size[x], size[y]
        for f in range(high.shape[0]):
            high[f, a], low[f, a] = united(high[f, x], low[f, x], high[f, y], low[f, y], sx, sy)

    @uncounted
    @named(method.name, dtype)
    def unite(matrix, state, own, first, second, next_id, width):
        size = state.size
        for p in range(first.size):
            join(own, size, first[p], second[p])
            settle(state, first[p], second[p], next_id + p, counted)
        for p in range(first.size):
            a = first[p]
            for begin in range(0, width, BLOCK):
                end = min(begin + BLOCK, width)
                row(own, size, a, begin, end, matrix[a, begin:end])
            matrix[a, a] = np.inf

    @uncounted
    @named(method.name, dtype)
    def move(own, p, x):
        high, low, scatter = own
        for f in range(high.shape[0]):
            high[f, p], low[f, p] = high[f, x], low[f, x]
        scatter[p] = scatter[x]

    return Source(f"computed_{method.name}_{dtype}", unite, move, False, (centroids, methods))


class SummarySquare:
    """Dissimilarities of points, each stored twice, and their centroids (see `gpuclust.core.backend.Square`).

    Attributes
    ----------
    distinct : bool
        No two points are equal.
    """

    def __init__(self, points: Points, method: Method) -> None:
        high = centroids.without_offset(points.features)
        n, dtype = points.n, high.dtype
        self.own = high, np.zeros(high.shape, dtype), np.zeros(n, dtype)
        self.size = np.ones(n, dtype)
        self.matrix = np.empty(square_shape(n), dtype)
        self.bound = np.full((strip_count(n), n), np.inf, dtype)
        positive, finite = fill_kernel(method, dtype)(self.matrix, self.bound, high, self.size)
        self.distinct, self.finite = positive == n * (n - 1) // 2, finite == n * (n - 1) // 2

    def merge_all(self, method: Method, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype = self.size.size, self.size.dtype
        pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, dtype)
        if not self.finite:
            return pairs, heights, -1
        merge = merge_kernel(computed(method, dtype), dtype)
        given = self.matrix, self.bound, self.size, self.own
        return pairs, heights, merge(*given, *limits, len(self.own[0]), pairs, heights)
