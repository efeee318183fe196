"""A dissimilarity matrix as one square array, for few clusters: all merges of a reducible linkage in one call.

The merges are those of `gpuclust.algorithms.rounds` on a matrix in tiles, in the same order and with the same bits:
rounds of reciprocal nearest neighbours, and a nearest-neighbour chain where few clusters would merge. Every row is
contiguous, and what is written to a row of a union is mirrored into its column. Rows of merged clusters stay where
they are until a quarter of the rows is no longer in use; then the others are moved together, in the same order.

A row is searched only if its nearest cluster has merged: unions are no nearer, and have larger ids.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from gpuclust.core import jit, methods, metrics
from gpuclust.core.jit import compiled, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric, Points
from gpuclust.core.sizes import square_shape
from gpuclust.kernels.cpu.space import pairwise

#: Numbers of a row that are compared at a time, and rows or columns mirrored at a time.
LANES, BLOCK = 32, 16
#: Points whose distances to one point are computed at a time.
POINTS = 256


@uncounted
def mirror(matrix, n):
    """Copy what is above the diagonal below it, and set the diagonal to infinity."""
    for top in range(0, n, BLOCK):
        bottom = min(top + BLOCK, n)
        for left in range(top, n, BLOCK):
            right = min(left + BLOCK, n)
            for i in range(top, bottom):
                row = matrix[i]
                for j in range(max(left, i + 1), right):
                    matrix[j, i] = row[j]
        for i in range(top, bottom):
            matrix[i, i] = np.inf


@uncounted
def count_finite(values):
    """Number of finite values."""
    finite = 0
    for k in range(values.size):
        finite += abs(values[k]) < np.inf
    return finite


@uncounted
def nearest_of(row, gone, ids, lanes):
    """The least dissimilarity of a row and its place: of equal ones that of the smallest id; -1 if all are infinite.

    ``gone`` is infinite where no cluster is, 0 elsewhere.
    """
    infinity = row.dtype.type(np.inf)
    whole = row.size // LANES * LANES
    for k in range(LANES):
        lanes[k] = infinity
    for begin in range(0, whole, LANES):
        values = row[begin : begin + LANES]
        away = gone[begin : begin + LANES]
        for k in range(LANES):
            value = values[k] + away[k]
            lanes[k] = value if value < lanes[k] else lanes[k]
    for half in (LANES // 2, LANES // 4):
        for k in range(half):
            lanes[k] = lanes[k + half] if lanes[k + half] < lanes[k] else lanes[k]
    best = infinity
    for k in range(LANES // 4):
        best = lanes[k] if lanes[k] < best else best
    for k in range(whole, row.size):
        value = row[k] + gone[k]
        best = value if value < best else best
    place = -1
    if best < infinity:
        for begin in range(0, row.size, LANES):
            values = row[begin : begin + LANES]
            away = gone[begin : begin + LANES]
            hits = 0
            for k in range(values.size):
                hits += values[k] + away[k] == best
            if hits > 0:
                for k in range(values.size):
                    if values[k] + away[k] == best and (place < 0 or ids[begin + k] < ids[place]):
                        place = begin + k
    return best, place


@cache
def points_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Callable[..., Any]:
    """Fill a square with the dissimilarities of points; returns whether all are finite."""
    row_of_distances = pairwise.row_kernel(metric, weighted)
    stamp = jit.stamp(metrics, pairwise)

    @compiled
    @named(metric.name, weighted, dtype)
    def fill_square(matrix, features, summary, weights, p):
        stamp  # noqa: B018
        n = features.shape[1]
        scratch = np.empty(POINTS, matrix.dtype)
        finite = 0
        for i in range(n):
            row = matrix[i]
            for begin in range(i + 1, n, POINTS):
                end = min(begin + POINTS, n)
                values = row[begin:end]
                row_of_distances(features, summary, i, features, summary, begin, end, weights, p, values, scratch)
                finite += count_finite(values)
        mirror(matrix, n)
        return finite == n * (n - 1) // 2

    return fill_square


@cache
def condensed_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """Fill a square from condensed dissimilarities, squared if asked; returns whether all are finite."""

    @compiled
    @named(dtype)
    def fill_square_condensed(matrix, condensed, n, squared):
        begin = finite = 0
        for i in range(n):
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
        mirror(matrix, n)
        return finite == begin

    return fill_square_condensed


class State(NamedTuple):
    """Clusters by row; arrays for compiled code."""

    ids: np.ndarray  # -1: no longer in use
    size: np.ndarray
    gone: np.ndarray  # infinite where ``ids`` is -1
    nearest: np.ndarray
    nearest_id: np.ndarray
    distance: np.ndarray


@cache
def merge_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    """All merges of a reducible linkage."""
    update = register_jitable(method.update)
    counted = method.counted
    stamp = jit.stamp(methods)

    @uncounted
    @named(method.name, dtype)
    def search(matrix, state, x, width, lanes):
        """Find the nearest cluster of row x; False if every dissimilarity has overflowed."""
        ids, _, gone, nearest, nearest_id, distance = state
        distance[x], nearest[x] = nearest_of(matrix[x, :width], gone[:width], ids, lanes)
        if nearest[x] < 0:
            return False
        nearest_id[x] = ids[nearest[x]]
        return distance[x] > -np.inf

    @uncounted
    @named(method.name, dtype)
    def unite(matrix, state, a, b, d, width):
        """Row a becomes the dissimilarities to the union of rows a and b."""
        size = state[1][:width]
        one, other = matrix[a, :width], matrix[b, :width]
        sa, sb = size[a], size[b]
        for k in range(width):
            one[k] = update(one[k], other[k], d, sa, sb, size[k])
        one[a] = np.inf

    @uncounted
    @named(method.name, dtype)
    def settle(state, a, b, new):
        """The union of rows a and b takes row a."""
        ids, size, gone = state[0], state[1], state[2]
        if counted:
            size[a] += size[b]
        ids[a], ids[b] = new, -1
        gone[b] = np.inf

    @uncounted
    @named(method.name, dtype)
    def unite_all(matrix, state, first, second, width):
        """Make the merges of a round, as if one after the other."""
        size, distance = state[1], state[5]
        for p in range(first.size):
            unite(matrix, state, first[p], second[p], distance[first[p]], width)
        for p in range(first.size):
            row = matrix[first[p]]
            mine = size[first[p]] + size[second[p]] if counted else size[first[p]]
            for q in range(p + 1, first.size):
                a, b = first[q], second[q]
                row[a] = update(row[a], row[b], distance[a], size[a], size[b], mine)
                matrix[a, first[p]] = row[a]
        for begin in range(0, width, BLOCK):
            end = min(begin + BLOCK, width)
            for p in range(first.size):
                a = first[p]
                values = matrix[a, begin:end]
                for k in range(values.size):
                    matrix[begin + k, a] = values[k]

    @uncounted
    @named(method.name, dtype)
    def compact(matrix, state, rows, place, width):
        """Move the rows in use together; returns their number."""
        ids, size, gone, nearest, nearest_id, distance = state
        count = 0
        for x in range(width):
            if ids[x] >= 0:
                rows[count], place[x] = x, count
                count += 1
        for p in range(count):
            x = rows[p]
            source, target = matrix[x], matrix[p]
            for q in range(count):
                target[q] = source[rows[q]]
            ids[p], size[p], gone[p], distance[p] = ids[x], size[x], 0, distance[x]
            nearest[p], nearest_id[p] = nearest[x], nearest_id[x]
        for p in range(count):
            nearest[p] = place[nearest[p]]
        return count

    @uncounted
    @named(method.name, dtype)
    def know(matrix, state, width, lanes):
        """Search the rows whose nearest cluster has merged; False if a dissimilarity has overflowed."""
        ids, _, _, nearest, nearest_id, _ = state
        for x in range(width):
            if ids[x] >= 0 and (nearest[x] < 0 or ids[nearest[x]] != nearest_id[x]):
                if not search(matrix, state, x, width, lanes):
                    return False
        return True

    @uncounted
    @named(method.name, dtype)
    def chain(matrix, state, link, next_id, width, lanes, pairs, heights):
        """Merge by a new chain; returns the number of rows searched, -1 if every dissimilarity has overflowed."""
        ids, _, _, nearest, nearest_id, distance = state
        length, start, scans = 0, 0, 0
        for done in range(heights.size):
            while True:
                if length == 0:
                    while ids[start] < 0:
                        start += 1
                    link[0] = start
                    length = 1
                x = link[length - 1]
                if nearest[x] < 0 or ids[nearest[x]] != nearest_id[x]:
                    if not search(matrix, state, x, width, lanes):
                        return -1
                    scans += 1
                y = nearest[x]
                if length > 1 and link[length - 2] == y:
                    break
                link[length] = y
                length += 1
            length -= 2
            a, b = min(x, y), max(x, y)
            pairs[done, 0], pairs[done, 1], heights[done] = ids[a], ids[b], distance[x]
            unite(matrix, state, a, b, distance[x], width)
            values = matrix[a]
            for k in range(width):
                matrix[k, a] = values[k]
            settle(state, a, b, next_id + done)
            nearest[a] = -1
        return scans

    @uncounted
    @named(method.name, dtype)
    def reciprocal(state, width, first, second):
        """Pairs of reciprocal nearest neighbours; returns their number."""
        ids, nearest = state[0], state[3]
        count = 0
        for x in range(width):
            if ids[x] >= 0 and x < nearest[x] and nearest[nearest[x]] == x:
                first[count], second[count] = x, nearest[x]
                count += 1
        return count

    @compiled
    @named(method.name, dtype)
    def merge_square(matrix, share, round_scans, tail, chain_entries, pairs, heights):
        """Returns the number of rows searched, as counted by rounds on tiles; -1 if dissimilarities are infinite."""
        stamp  # noqa: B018
        n = matrix.shape[0]
        ids, nearest, nearest_id = np.arange(n), np.full(n, -1), np.full(n, -1)
        size, gone, distance = np.ones(n, matrix.dtype), np.zeros(n, matrix.dtype), np.empty(n, matrix.dtype)
        state = State(ids, size, gone, nearest, nearest_id, distance)
        lanes = np.empty(LANES, matrix.dtype)
        first, second = np.empty(n + 1, np.int64), np.empty(n, np.int64)
        if not know(matrix, state, n, lanes):
            return -1
        width, scans, done = n, n, 0
        while done < n - 1:
            live = n - done
            if live * 4 <= width * 3:
                width = compact(matrix, state, first, second, width)
            count = reciprocal(state, width, first, second) if live > tail else 0
            if count * share >= live and live > tail and scans + live <= round_scans * n + 4 * done:
                unite_all(matrix, state, first[:count], second[:count], width)
                for p in range(count):
                    a, b = first[p], second[p]
                    pairs[done, 0], pairs[done, 1], heights[done] = ids[a], ids[b], distance[a]
                    settle(state, a, b, n + done)
                    done += 1
                scans += n - done
            else:
                target = done + (live // 2 if live > tail else live - 1)
                wanted = max(1, chain_entries // (8 * live))
                while done < target:
                    end = min(done + wanted, target)
                    made = chain(matrix, state, first, n + done, width, lanes, pairs[done:end], heights[done:end])
                    if made < 0:
                        return -1
                    scans += made
                    done = end
                scans += n - done if done < n - 1 else 0  # rows are moved together and searched there
            if done < n - 1 and not know(matrix, state, width, lanes):
                return -1
        return scans

    return merge_square


class Square:
    """Dissimilarities of ``n`` observations, each stored twice (see `gpuclust.core.backend.Square`)."""

    def __init__(self, n: int, dtype: np.dtype, kernel: Callable[..., Any], *arguments: Any) -> None:
        self.n = n
        self.matrix = np.empty(square_shape(n), dtype)
        self.finite = kernel(self.matrix, *arguments)

    @classmethod
    def from_points(cls, points: Points) -> Square:
        weighted = points.weights is not None
        weights = points.weights if weighted else points.summary[:0]
        kernel = points_kernel(points.metric, weighted, points.features.dtype)
        return cls(points.n, points.features.dtype, kernel, points.features, points.summary, weights, points.p)

    @classmethod
    def from_condensed(cls, condensed: np.ndarray, n: int, squared: bool) -> Square:
        return cls(n, condensed.dtype, condensed_kernel(condensed.dtype), condensed, n, squared)

    def merge_all(self, method: Method, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype = self.n, self.matrix.dtype
        pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, dtype)
        if not self.finite:
            return pairs, heights, -1
        return pairs, heights, merge_kernel(method, dtype)(self.matrix, *limits, pairs, heights)
