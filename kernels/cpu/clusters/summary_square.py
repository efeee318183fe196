"""Clusters as sizes, centroids and scatter (`gpuclust.core.centroids`), all dissimilarities of which are stored.

For few points: rows of unions are computed anew from both parts of the centroids, with the bits of
`gpuclust.kernels.cpu.clusters.summary_kernels`, and searched as in `gpuclust.kernels.cpu.matrix.square_merges`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import centroids, jit, methods
from gpuclust.core.jit import compiled, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import square_shape
from gpuclust.kernels.cpu.clusters.summary_kernels import factor, scatter_of
from gpuclust.kernels.cpu.matrix.square import mirror
from gpuclust.kernels.cpu.matrix.square_merges import Source, merge_kernel, settle
from gpuclust.kernels.cpu.space import pairwise

#: Clusters whose dissimilarities to one are computed at a time.
BLOCK = 256


@cache
def _row(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """``row(own, size, x, begin, end, out)``: the dissimilarities of cluster x to clusters begin..end-1."""
    spread = method.scatter is not None
    geometric, difference = factor(method), pairwise.jitable(centroids.difference)

    @uncounted
    @named(method.name, dtype)
    def row(own, size, x, begin, end, out):
        high, low, scatter = own
        out[:] = 0
        for f in range(high.shape[0]):
            mine, rest = high[f, x], low[f, x]
            theirs, rests = high[f, begin:end], low[f, begin:end]
            for k in range(out.size):
                d = difference(mine, rest, theirs[k], rests[k])
                out[k] += d * d
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
    row = _row(method, dtype)
    stamp = jit.stamp(centroids, methods)

    @compiled
    @named(method.name, dtype)
    def fill_summaries(matrix, own, size):
        stamp  # noqa: B018
        n = size.size
        positive = finite = 0
        for i in range(n):
            for begin in range(i + 1, n, BLOCK):
                end = min(begin + BLOCK, n)
                values = matrix[i, begin:end]
                row(own, size, i, begin, end, values)
                for k in range(values.size):
                    positive += values[k] > 0
                    finite += abs(values[k]) < np.inf
        mirror(matrix, n)
        return positive, finite

    return fill_summaries


@cache
def computed(method: Method, dtype: np.dtype) -> Source:
    """Rows of unions from their centroids."""
    row, united, difference = _row(method, dtype), pairwise.jitable(centroids.united), centroids.difference
    difference, scatter_united = pairwise.jitable(difference), scatter_of(method)
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
        self.own = high, np.zeros_like(high), np.zeros(n, dtype)
        self.size = np.ones(n, dtype)
        self.matrix = np.empty(square_shape(n), dtype)
        positive, finite = fill_kernel(method, dtype)(self.matrix, self.own, self.size)
        self.distinct, self.finite = positive == n * (n - 1) // 2, finite == n * (n - 1) // 2

    def merge_all(self, method: Method, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype = self.size.size, self.size.dtype
        pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, dtype)
        if not self.finite:
            return pairs, heights, -1
        merge = merge_kernel(computed(method, dtype), dtype)
        return pairs, heights, merge(self.matrix, self.size, self.own, *limits, len(self.own[0]), pairs, heights)
