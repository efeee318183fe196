"""Where the generic algorithm has its dissimilarities from: centroids of clusters, or a stored matrix of squares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, methods, metrics
from gpuclust.core.jit import jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.tiles import TILE, read_row, write_row
from gpuclust.kernels.cpu.space import pairwise

#: Clusters in a block when a row of distances is computed from centroids.
BLOCK = 512


class Source(NamedTuple):
    """Where distances come from; functions for compiled code.

    Attributes
    ----------
    name : str
    distances : ``distances(state, x, first, out)``: those of row x, from row ``first`` on, into ``out``.
    unite : ``unite(state, a, b, d, sa, sb, size, out, other)``: row b becomes the union, its distances go to ``out``.
    rounds : bool
        These distances are of rounded centroids; otherwise they are what is compared.
    error : ``error(state, x)``: how far the centroid of row x may be from the rounded one, plus the most of any row.
    errors : ``errors(state, x, y)``: how far those of rows x and y are, added up.
    precise : ``precise(state, x, y)``: the distance from both parts of the centroids.
    modules : what the functions are made of.
    nearest : ``nearest(state, x, gone, order, least)``: the distance of the nearest row after x, and which of those
        it is, where rows can be searched as they are stored; None: they are written by ``distances`` first.
    """

    name: str
    distances: Callable[..., Any]
    unite: Callable[..., Any]
    rounds: bool
    error: Callable[..., Any]
    errors: Callable[..., Any]
    precise: Callable[..., Any]
    modules: tuple[Any, ...]
    nearest: Callable[..., Any] | None = None


@cache
def centroid_source(metric: Metric, dtype: np.dtype) -> Source:
    """Squared distances from centroids. State: (high, low, error, largest error, summary, p, scratch)."""
    row_of_distances = pairwise.row_kernel(metric, False)
    united, difference = jitable(centroids.united), jitable(centroids.difference)
    zero = dtype.type(0)

    @uncounted
    @named(metric.name, dtype)
    def distances(state, x, first, out):
        high, _, _, _, summary, p, scratch = state
        n = high.shape[1]
        for begin in range(first, n, BLOCK):
            end = min(begin + BLOCK, n)
            row_of_distances(high, summary, x, high, summary, begin, end, summary, p, out[begin:end], scratch)

    @uncounted
    @named(metric.name, dtype)
    def unite(state, a, b, d, sa, sb, size, out, other):
        high, low, error, largest = state[:4]
        x, y, sx, sy = (a, b, sa, sb) if sa >= sb else (b, a, sb, sa)  # the larger one moves less
        total = zero
        for k in range(high.shape[0]):
            high[k, b], low[k, b] = united(high[k, x], low[k, x], high[k, y], low[k, y], sx, sy)
            total += abs(low[k, b])
        error[b] = total
        largest[0] = max(largest[0], total)
        distances(state, b, 0, out)

    @uncounted
    @named(metric.name, dtype)
    def error(state, x):
        return state[2][x] + state[3][0]

    @uncounted
    @named(metric.name, dtype)
    def errors(state, x, y):
        return state[2][x] + state[2][y]

    @uncounted
    @named(metric.name, dtype)
    def precise(state, x, y):
        high, low = state[:2]
        total = zero
        for k in range(high.shape[0]):
            d = difference(high[k, x], low[k, x], high[k, y], low[k, y])
            total += d * d
        return total

    modules = (centroids, metrics, pairwise)
    return Source(f"centroids_{metric.name}_{dtype}", distances, unite, True, error, errors, precise, modules)


def not_rounded(method: Method, dtype: np.dtype) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The functions ``error``, ``errors`` and ``precise`` of a `Source` whose distances are what is compared."""
    zero = dtype.type(0)

    @uncounted
    @named(method.name, dtype)
    def none(state, x):
        return zero

    @uncounted
    @named(method.name, dtype)
    def none_of_two(state, x, y):
        return zero

    return none, none_of_two, none_of_two


@cache
def stored_source(method: Method, dtype: np.dtype) -> Source:
    """Squared distances from a tiled matrix. State: (matrix, tile rows)."""
    update = jitable(method.update)

    @uncounted
    @named(method.name, dtype)
    def distances(state, x, first, out):
        matrix, rows = state
        read_row(matrix, rows, x, first // TILE, out)

    @uncounted
    @named(method.name, dtype)
    def unite(state, a, b, d, sa, sb, size, out, other):
        matrix, rows = state
        read_row(matrix, rows, a, 0, out)
        read_row(matrix, rows, b, 0, other)
        for k in range(out.size):
            out[k] = update(out[k], other[k], d, sa, sb, size[k])
        write_row(matrix, rows, b, out)

    name = f"stored_{method.name}_{dtype}"
    return Source(name, distances, unite, False, *not_rounded(method, dtype), (methods, tiles))
