"""The generic algorithm (`gpuclust.kernels.cpu.clusters.greedy`) on a square array of squared dissimilarities."""

from __future__ import annotations

from functools import cache

import numpy as np

from gpuclust.core import methods
from gpuclust.core.jit import jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters.greedy import Generic, Search, Source
from gpuclust.kernels.cpu.matrix.square import Square


@cache
def square_source(method: Method, dtype: np.dtype) -> Source:
    """Squared distances from a square array. State: (matrix,)."""
    update = jitable(method.update)
    zero = dtype.type(0)

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
            matrix[k, b] = target[k]
        matrix[b, b] = np.inf

    @uncounted
    @named(method.name, dtype)
    def none(state, x):
        return zero

    @uncounted
    @named(method.name, dtype)
    def none_of_two(state, x, y):
        return zero

    return Source(
        f"square_{method.name}_{dtype}", distances, unite, False, none, none_of_two, none_of_two, (methods,)
    )


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
        for p, x in enumerate(rows):  # in place: row p is not read any more
            matrix[p, : rows.size] = matrix[x, rows]
        self.state = (np.ascontiguousarray(matrix[: rows.size, : rows.size]),)
