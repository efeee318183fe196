"""The dissimilarity matrix of few observations as one square array: every row is contiguous.

See `gpuclust.kernels.cpu.matrix.square_merges` for the merges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, metrics
from gpuclust.core.jit import compiled, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.core.sizes import square_shape, strip_count
from gpuclust.kernels.cpu.matrix import minima
from gpuclust.kernels.cpu.matrix.minima import take_row
from gpuclust.kernels.cpu.matrix.square_merges import merge_kernel, updated
from gpuclust.kernels.cpu.space import pairwise, simd

#: Rows that are filled, and then mirrored, at a time: their numbers fill the cache lines that are written.
BLOCK = 8
#: Points whose distances to one point are computed at a time.
POINTS = 256


@uncounted
def mirror(matrix, top, bottom):
    """Copy what is right of the diagonal in rows top..bottom-1 below it, and set their diagonal to infinity."""
    n = matrix.shape[0]
    for i in range(top, bottom):
        matrix[i, i] = np.inf
        for k in range(i + 1, bottom):
            matrix[k, i] = matrix[i, k]
    if bottom - top == BLOCK:  # a loop of known length is unrolled
        source, target = matrix[top:bottom, bottom:n], matrix[bottom:n, top:bottom]
        for j in range(target.shape[0]):
            for k in range(BLOCK):
                target[j, k] = source[k, j]


@uncounted
def count_finite(values):
    """Number of finite values."""
    finite = 0
    for k in range(values.size):
        finite += abs(values[k]) < np.inf
    return finite


@cache
def points_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Fill a square with the dissimilarities of points; returns whether all are finite."""
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise, minima, simd)

    @compiled
    @named(metric.name, weighted, dtype)
    def fill_square(matrix, bound, features, summary, weights, p):
        stamp  # noqa: B018
        n = features.shape[1]
        scratch, none = np.empty(POINTS, matrix.dtype), np.zeros(n, matrix.dtype)
        finite = 0
        for top in range(0, n, BLOCK):
            bottom = min(top + BLOCK, n)
            for i in range(top, bottom):
                row = matrix[i]
                for begin in range(i + 1, n, POINTS):
                    end = min(begin + POINTS, n)
                    values = row[begin:end]
                    row_of_distances(features, summary, i, features, summary, begin, end, weights, p, values, scratch)
                    finite += count_finite(values)
                take_row(row, none, i, bound)
            mirror(matrix, top, bottom)
        return finite == n * (n - 1) // 2

    return fill_square


@cache
def condensed_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """Fill a square from condensed dissimilarities, squared if asked; returns whether all are finite."""
    stamp = jit.stamp(minima, simd)

    @compiled
    @named(dtype)
    def fill_square_condensed(matrix, bound, condensed, n, squared):
        stamp  # noqa: B018
        none = np.zeros(n, matrix.dtype)
        begin = finite = 0
        for top in range(0, n, BLOCK):
            bottom = min(top + BLOCK, n)
            for i in range(top, bottom):
                source = condensed[begin : begin + n - 1 - i]
                row = matrix[i, i + 1 : n]
                if squared:
                    for k in range(source.size):
                        row[k] = source[k] * source[k]
                else:
                    for k in range(source.size):
                        row[k] = source[k]
                begin += source.size
                finite += count_finite(row)
                take_row(matrix[i], none, i, bound)
            mirror(matrix, top, bottom)
        return finite == begin

    return fill_square_condensed


class Square:
    """Dissimilarities of ``n`` observations, each stored twice (see `gpuclust.core.backend.Square`), with bounds."""

    def __init__(self, n: int, dtype: np.dtype, kernel: Callable[..., Any], *arguments: Any) -> None:
        self.n = n
        self.matrix = np.empty(square_shape(n), dtype)
        self.bound = np.full((strip_count(n), n), np.inf, dtype)
        self.finite = kernel(self.matrix, self.bound, *arguments)

    @classmethod
    def from_points(cls, points: Points) -> Square:
        weighted = points.weights is not None
        weights = points.weights if weighted else points.summary[:0]
        kernel = points_kernel(points.metric, weighted, points.dtype)
        return cls(points.n, points.dtype, kernel, points.features, points.summary, weights, points.p)

    @classmethod
    def from_condensed(cls, condensed: np.ndarray, n: int, squared: bool) -> Square:
        return cls(n, condensed.dtype, condensed_kernel(condensed.dtype), condensed, n, squared)

    def merge_all(self, method: Method, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype = self.n, self.matrix.dtype
        pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, dtype)
        if not self.finite:
            return pairs, heights, -1
        merge = merge_kernel(updated(method, dtype), dtype)
        return (
            pairs,
            heights,
            merge(self.matrix, self.bound, np.ones(n, dtype), (n,), *limits[:4], 0, 1, pairs, heights),
        )
