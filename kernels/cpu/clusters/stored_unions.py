"""Unions of clusters whose squared distances are stored (`gpuclust.kernels.cpu.clusters.stored_squares`).

A value of a union follows from those of its parts (Lance-Williams), in single precision, and so does the bound of its
error (docs/summaries-exactness.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import centroids, jit
from gpuclust.core.jit import compiled, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters import stored_squares, summary_kernels
from gpuclust.kernels.cpu.clusters.stored_squares import STEP, Squares
from gpuclust.kernels.cpu.clusters.summary_kernels import pair_functions
from gpuclust.kernels.cpu.space import pairwise

#: Unions, and rows, in a piece of work, and the number of values below which one thread does all of it.
PAIRS, ROWS, SMALL = 16, 256, 1 << 18


def unite(
    squares: Squares,
    method: Method,
    centers: np.ndarray,
    low: np.ndarray,
    size: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> None:
    """Unite pairs of clusters, none of which is in two, whose centroids and sizes are as before.

    The union takes the place of the first. O(n pairs) time, on all threads. A value of two unions may differ from its
    mirror image by rounding.
    """
    used, own = int(squares.units[5]), tuple(squares)
    weights, places = np.empty((first.size, 3), np.float32), np.empty((first.size, 3), np.uint32)
    _weigh_kernel(method, size.dtype)(own, centers, low, size, first, second, weights, places)
    threads = first.size * used > SMALL
    pieces = ranges(first.size, PAIRS)
    run(unite_rows, [(own, first, second, weights, used, *piece) for piece in pieces], threads=threads)
    pieces = ranges(squares.spot.size, ROWS)
    run(unite_columns, [(own, weights, places, *piece) for piece in pieces], threads=threads)


@uncounted
def weigh(squares, a, b, sa, sb, square, relative, others):
    """The weights of a union of clusters a and b, of these sizes and squared distance, and what is subtracted.

    The union takes the place of a, and its error is set. ``relative`` is the error of the squared distance, and
    ``others`` says whether other clusters unite at the same time. The union has a new column, as long as there are
    any: those of unions lie side by side, so that a cache line of a row is written for 16 of them, not for one.
    """
    values, away, level, units, _, column = squares
    share = sa / (sa + sb)
    part = share * (1 - share) * (square * units[0])
    steps = max(level[a], level[b]) + units[4] + 2 + others
    away[a] = max(away[a], away[b]) + (steps * STEP + relative) * part + units[2] + STEP * units[3]
    level[a] = max(level[a], level[b]) + 1
    units[3], units[4] = max(units[3], away[a]), max(units[4], level[a])
    used = int(units[5])
    if used < values.shape[1]:
        column[a] = used
        units[5] = used + 1
    return np.float32(share), np.float32(1 - share), np.float32(part)


@uncounted
def mean(mine, ours, rest, theirs, less):
    """The squared distance of a union, from those of its parts."""
    return max(mine * ours + rest * theirs - less, np.float32(0))


@uncounted
def unite_squares(squares, a, b, sa, sb, square, relative):
    """Put the union of clusters a and b in the place of a: see `weigh`."""
    values, _, _, units, spot, column = squares
    used = int(units[5])
    mine, rest, less = weigh(squares, a, b, sa, sb, square, relative, 0)
    ours, theirs, there = values[spot[a]], values[spot[b]], column[a]
    for k in range(used):
        ours[k] = mean(mine, ours[k], rest, theirs[k], less)
    for row in range(spot.size):
        values[spot[row], there] = ours[column[row]]


@cache
def _weigh_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    square, relative = pair_functions(method, dtype).square, float(np.finfo(dtype).eps)
    stamp = jit.stamp(centroids, pairwise, stored_squares, summary_kernels)

    @compiled
    @named(method.name, dtype)
    def weigh_stored(squares, centers, low, size, first, second, weights, places):
        stamp  # noqa: B018
        away, units, column = squares[1], squares[3], squares[5]
        for k in range(first.size):
            a, b = first[k], second[k]
            places[k, 0], places[k, 1] = column[a], column[b]
            apart = float(square(centers, low, a, b))
            error = (centers.shape[1] + 8) * relative
            mine, rest, less = weigh(squares, a, b, float(size[a]), float(size[b]), apart, error, 1)
            weights[k, 0], weights[k, 1], weights[k, 2] = mine, rest, less
            places[k, 2] = column[a]
        most = units[3]
        for k in range(first.size):
            away[first[k]] += STEP * most  # of the others, whatever comes first
            units[3] = max(units[3], away[first[k]])

    return weigh_stored


@compiled
def unite_rows(squares, first, second, weights, used, begin, end):
    """The rows of unions, in the columns that there were before."""
    values, _, _, _, spot, _ = squares
    for k in range(begin, end):
        ours, theirs = values[spot[first[k]]], values[spot[second[k]]]
        mine, rest, less = weights[k, 0], weights[k, 1], weights[k, 2]
        for at in range(used):
            ours[at] = mean(mine, ours[at], rest, theirs[at], less)


@compiled
def unite_columns(squares, weights, places, begin, end):
    """The columns of unions in some rows, from those of their parts."""
    values, _, _, _, spot, _ = squares
    for row in range(begin, end):
        own = values[spot[row]]
        for k in range(weights.shape[0]):
            a, b = own[places[k, 0]], own[places[k, 1]]
            own[places[k, 2]] = mean(weights[k, 0], a, weights[k, 1], b, weights[k, 2])
