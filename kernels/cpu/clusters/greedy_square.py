"""The generic algorithm (`gpuclust.kernels.cpu.clusters.greedy`) on a square array of squared dissimilarities."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters.greedy import Generic, Search
from gpuclust.kernels.cpu.clusters.greedy_sources import Source, not_rounded
from gpuclust.kernels.cpu.matrix import square_merges
from gpuclust.kernels.cpu.matrix.minima import nearest_of
from gpuclust.kernels.cpu.matrix.square import Square
from gpuclust.kernels.cpu.matrix.square_merges import move_row


@cache
def square_source(method: Method, dtype: np.dtype) -> Source:
    """Squared distances from a square array. State: (matrix,)."""
    update = jitable(method.update)

    @uncounted
    @named(method.name, dtype)
    def distances(state, x, first, out):
        (matrix,) = state
        n = matrix.shape[0]
        source, target = matrix[x, first:n], out[first:n]
        for k in range(target.size):
            target[k] = source[k]

    @uncounted
    @named(method.name, dtype)
    def unite(state, a, b, d, sa, sb, size, out, other):
        (matrix,) = state
        n = matrix.shape[0]
        one, row, target = matrix[a, :n], matrix[b, :n], out[:n]
        for k in range(n):
            target[k] = update(one[k], row[k], d, sa, sb, size[k])
        for k in range(n):
            row[k] = target[k]
        for k in range(n):
            matrix[k, b] = target[k]
        matrix[b, b] = np.inf

    @uncounted
    @named(method.name, dtype)
    def nearest(state, x, gone, order, least):
        (matrix,) = state
        n = matrix.shape[0]
        return nearest_of(matrix[x, x + 1 : n], gone[x + 1 : n], order, least)

    name = f"square_{method.name}_{dtype}"
    return Source(name, distances, unite, False, *not_rounded(method, dtype), (methods,), nearest)


@cache
def move_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(square_merges)

    @compiled
    @named(dtype)
    def move_rows(matrix, rows):
        stamp  # noqa: B018
        for p in range(rows.size):
            move_row(matrix, rows, p)

    return move_rows


class SquareGeneric(Generic):
    """On a square array, which is updated in place."""

    def __init__(self, square: Square, method: Method) -> None:
        matrix = square.matrix
        super().__init__(square.n, matrix.dtype, square_source(method, matrix.dtype), (matrix,), method.counted)

    def start(self) -> Search:
        search = Search.start(self.n, self.dtype)
        self.kernels.search_rows(self.state, search, 0, self.n, self.width)
        return search

    def compact(self) -> None:
        assert self.search is not None
        rows, self.search = self.search.compact()
        (matrix,) = self.state
        move_kernel(matrix.dtype)(matrix, rows.astype(np.uint64))
        self.state = (matrix[: rows.size],)
