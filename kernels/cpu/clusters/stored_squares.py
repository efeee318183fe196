"""Squared distances of all clusters with many features, as soon as so few are left that these can be stored.

A row of dissimilarities then is read, where computing it takes m operations for each cluster, and the row of a union
follows from those of its parts (Lance-Williams). Values are in single precision, with a bound of their error
(docs/summaries-exactness.md): what may be near by them is computed as ever, so no result depends on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit, methods
from gpuclust.core.jit import compiled, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.sizes import FUSED, SPARE, WIDE
from gpuclust.kernels.cpu.clusters import summary_kernels, summary_search
from gpuclust.kernels.cpu.clusters.summary_kernels import limits, list_functions, pair_functions
from gpuclust.kernels.cpu.clusters.summary_search import horizon
from gpuclust.kernels.cpu.space import four_rows, pairwise, simd
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, products_of_strip

#: Relative error of a value for each union in its two clusters: sixteen times the unit roundoff of single precision.
STEP = 2.0**-20
#: Unit roundoff of single precision, and what may be lost of a product that underflows.
SINGLE, LOST = 2.0**-24, 2.0**-126
#: Largest power of two by which coordinates are multiplied, or divided: squares of these have to be normal numbers.
EXPONENT = 400
#: Clusters whose dissimilarities to one are looked at together.
BLOCK = 512


class Squares(NamedTuple):
    """Squared distances of clusters, in units in which no coordinate, relative to the mean, exceeds one.

    The value S and the squared distance D of clusters x and y differ by
    ``away[x] + away[y] + (level[x] + level[y] + 1) * STEP * D`` at most.

    Attributes
    ----------
    values : ndarray of shape (N, columns), float32
    away : ndarray of shape (n,), float64
    level : ndarray of shape (n,), float64
        Depth of the tree of unions that made a cluster since values are stored.
    units : ndarray of shape (6,), float64
        The factor of squares, its inverse, what ``away`` grows by with each union at least, the most it is, the most
        that ``level`` is, and the number of columns in use.
    spot, column : ndarray of shape (n,), uint32
        The row and the column of ``values`` that each cluster has. Unsigned, so that compiled loops need not ask
        whether an index counts from the end.
    """

    values: np.ndarray
    away: np.ndarray
    level: np.ndarray
    units: np.ndarray
    spot: np.ndarray
    column: np.ndarray

    def keep(self, kept: np.ndarray) -> Squares:
        """Of these clusters, in ascending order; values stay where they are."""
        own = {name: getattr(self, name)[kept] for name in ("away", "level", "spot", "column")}
        return self._replace(**own)


def none() -> Squares:
    """In place of squares where there are none."""
    places = np.empty(0, np.uint32)
    return Squares(np.empty((0, 0), np.float32), np.empty(0), np.empty(0), np.empty(6), places, places)


def columns_for(n: int, m: int, merged: int, width: int) -> int:
    """Columns that are stored for n clusters of m features; 0 if squares are not stored.

    In what ``merged`` clusters have left of both parts, of ``width`` bytes a number.
    """
    most = n + n // SPARE
    if m < WIDE or n <= FUSED:
        return most if m >= WIDE else 0
    columns = min(most, 2 * merged * m * width // (4 * n))
    return columns if columns >= n else 0


def squares_of(centers: np.ndarray, low: np.ndarray, columns: int) -> Squares | None:
    """The squared distances of centroids in two parts, with room for unions; None if they cannot be scaled.

    n² m / 2 operations, on all threads.
    """
    (n, m), eps = centers.shape, float(np.finfo(centers.dtype).eps)
    largest = float(max(centers.max(), -centers.min()))
    if abs(int(np.frexp(largest)[1])) > EXPONENT:
        return None
    middle = centers.mean(axis=0, dtype=np.float64)
    exponent = -int(np.frexp(max(float(abs(centers - middle).max()), largest * 2.0**-60))[1])
    boxes = -(-n // LANES)
    features, norms = np.zeros((boxes, m, LANES), np.float32), np.zeros((boxes, LANES))
    for box, start in enumerate(range(0, n, LANES)):
        rows = slice(start, min(start + LANES, n))
        own = features[box, :, : rows.stop - start]
        own[:] = np.ldexp((centers[rows] - middle + low[rows]).T, exponent)
        norms[box, : rows.stop - start] = np.einsum("kj,kj->j", own, own, dtype=np.float64)
    values = np.empty((n, columns), np.float32)
    rounded, places = norms.astype(np.float32), np.arange(LANES)
    run(_fill_kernel(), [(features, rounded, values, mine, places) for mine in range(boxes)], _buffer)
    far, scale = float(norms.max()), 2.0 ** (2 * exponent)
    away = np.full(n, (2 * m + 32) * SINGLE * far + (4 * m + 16) * LOST)
    more = 64 * eps * eps * (largest * 2.0**exponent) ** 2 * m
    more += float(np.finfo(centers.dtype).smallest_subnormal) * (2 * m + 8) * scale
    units = np.array([scale, 1 / scale, more, away[0], 0, n])
    return Squares(values, away, np.zeros(n), units, np.arange(n, dtype=np.uint32), np.arange(n, dtype=np.uint32))


def search_rows(method: Method, lists: Any, squares: Squares, rows: np.ndarray, piece: int) -> None:
    """Complete the lists of some rows, all of which are in use, and set their limits."""
    kernel, largest = _search_kernel(method, lists.size.dtype), lists.size.max()
    run(kernel, [(tuple(lists), tuple(squares), largest, rows, *part) for part in ranges(rows.size, piece)])


def _buffer() -> tuple[np.ndarray]:
    return (np.empty((TOGETHER, LANES), np.float32),)


@cache
def _fill_kernel() -> Callable[..., Any]:
    """Squared distances of the points of a box to those of this and all later boxes, for both."""
    stamp = jit.stamp(simd)

    @compiled
    @named("float32")
    def fill_squares(features, norms, values, mine, places, four):
        stamp  # noqa: B018
        n, x0 = values.shape[0], mine * LANES
        for box in range(mine, features.shape[0]):
            y0 = box * LANES
            for first in range(0, min(LANES, n - x0), TOGETHER):
                products_of_strip(features[box], features[mine], places, first, 0, norms[box], norms[mine], four)
                for side in range(min(TOGETHER, n - x0 - first)):
                    for k in range(min(LANES, n - y0)):
                        value = max(four[side, k], np.float32(0))
                        values[x0 + first + side, y0 + k] = value
                        values[y0 + k, x0 + first + side] = value

    return fill_squares


@cache
def search_function(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """``search(rows, squares, x, far, largest, room)``: put the nearest clusters of x on its list, up to ``far``.

    ``room``: arrays for a number for each cluster, one for each entry of the list, four integers and four numbers.
    """
    pair, limited, insert = pair_functions(method, dtype), limits(method, dtype), list_functions(dtype)
    between, compared_four, slack, loosened = pair.between, pair.compared_four, limited.slack, limited.loosened

    @uncounted
    @named(method.name, dtype)
    def bound(rows, squares, x, more, upper, least):
        """Set lower bounds of all dissimilarities to x; return an upper bound of the last one of a full list."""
        centers, _, size, scatter, ids, _, _, _ = rows
        values, away, level, units, spot, column = squares
        n, m = centers.shape
        ours, own, last = values[spot[x]], away[x], upper.size - 1
        factor, step = (1 - (level[x] + 2) * STEP) * units[1], STEP * units[1]
        for y in range(n):
            least[y] = max(ours[column[y]] - own - away[y], 0.0) * (factor - level[y] * step)
        for y in range(n):
            least[y] = between(least[y], size, scatter, x, y)
        upper[:] = np.inf
        for begin in range(0, n, BLOCK):
            block = least[begin : begin + BLOCK]
            hits = 0
            for k in range(block.size):
                hits += block[k] < upper[last]
            for k in range(block.size if hits > 0 else 0):
                y = begin + k
                if block[k] < upper[last] and ids[y] >= 0 and y != x:
                    most = (ours[column[y]] + own + away[y]) * units[1]
                    most *= 1 + (level[x] + level[y] + 2) * (2 * STEP)
                    far = loosened(between(dtype.type(most), size, scatter, x, y), more, m)
                    at = last + 1
                    while at > 0 and far < upper[at - 1]:
                        at -= 1
                    for entry in range(last, at, -1):
                        upper[entry] = upper[entry - 1]
                    if at <= last:
                        upper[at] = far
        return upper[last]

    @uncounted
    @named(method.name, dtype)
    def search(rows, squares, x, far, largest, room):
        centers, low, size, scatter, ids, near, held, _ = rows
        least, upper, four, exact = room
        m, last = centers.shape[1], held.shape[1] - 1
        more = slack(centers[x], size[x], largest)
        most = loosened(min(far, held[x, last], bound(rows, squares, x, more, upper, least)), more, m)
        count = 0
        for y in range(least.size):
            if least[y] <= most and ids[y] >= 0 and y != x:
                four[count % 4] = y
                count += 1
                if count % 4 == 0:
                    compared_four(centers, low, size, scatter, x, four, exact)
                    for k in range(4):
                        if exact[k] <= far:
                            insert(near[x], held[x], ids, four[k], exact[k])
        rest = count % 4
        if rest > 0:
            for k in range(rest, 4):
                four[k] = four[0]
            compared_four(centers, low, size, scatter, x, four, exact)
            for k in range(rest):
                if exact[k] <= far:
                    insert(near[x], held[x], ids, four[k], exact[k])

    return search


@cache
def _search_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    search, lowered = search_function(method, dtype), limits(method, dtype).lowered
    stamp = jit.stamp(centroids, methods, pairwise, four_rows, summary_kernels, summary_search)

    @compiled
    @named(method.name, dtype)
    def search_squares(lists, squares, largest, rows, begin, end):
        stamp  # noqa: B018
        centers, _, size, _, _, _, held, limit = lists
        n, last = centers.shape[0], held.shape[1] - 1
        room = np.empty(n, held.dtype), np.empty(last + 1, held.dtype), np.empty(4, np.int64), np.empty(4, held.dtype)
        for x in rows[begin:end]:
            far = horizon(held[x], n)
            search(lists, squares, x, far, largest, room)
            far = min(far, held[x, last])
            limit[x] = lowered(far, centers[x], size[x], largest, 1) if n - 1 > last + 1 else np.inf

    return search_squares
