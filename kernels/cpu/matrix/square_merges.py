"""All merges of a reducible linkage on a square array, in one call: for few observations.

The merges are those of `gpuclust.algorithms.rounds`, in the same order and with the same bits: rounds of reciprocal
nearest neighbours, and a nearest-neighbour chain where few clusters would merge. What is written to the row of a
union is mirrored into its column. Rows of merged clusters stay where they are until a quarter of the rows is no
longer in use; then the others are moved together, in the same order.

A row is searched only if its nearest cluster has merged. Unions have larger ids, and on an updated matrix they are no
nearer (invariant 4 of ARCHITECTURE.md); where dissimilarities are computed anew, rounding may bring them nearer, so
that they are compared with what is known.

Rows of more than `WHOLE` columns have bounds by strips of them (`gpuclust.kernels.cpu.matrix.minima`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, jitable, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.sizes import STRIP, WHOLE
from gpuclust.kernels.cpu.matrix import minima
from gpuclust.kernels.cpu.matrix.minima import bound_strips, lower, lowest, nearest_in_row, nearest_of
from gpuclust.kernels.cpu.space import prefetch, simd
from gpuclust.kernels.cpu.space.prefetch import ask

#: Rows whose columns are written at a time.
BLOCK = 16
#: Searches between the request for a strip and its use.
AHEAD = 6


class State(NamedTuple):
    """Clusters by row; arrays for compiled code."""

    ids: np.ndarray  # -1: no longer in use
    size: np.ndarray
    gone: np.ndarray  # infinite where ``ids`` is -1
    nearest: np.ndarray
    nearest_id: np.ndarray  # what ``ids`` was there; another id: not known
    distance: np.ndarray
    bound: np.ndarray  # by strip and row: no cluster of the strip is nearer
    least: np.ndarray  # room for a number for each strip


class Source(NamedTuple):
    """Where the dissimilarities of unions come from; functions for compiled code.

    Attributes
    ----------
    name : str
    unite : ``unite(matrix, state, own, first, second, next_id, width)``: merge the clusters in rows ``first[p]`` and
        ``second[p]``, as if one after the other; rows ``first`` are those of the unions afterwards, but not yet their
        columns.
    move : ``move(own, p, x)``: cluster x moves to row p.
    exact : bool
        No union is nearer than both of its parts, to the last bit.
    modules : what the functions are made of.
    """

    name: str
    unite: Callable[..., Any]
    move: Callable[..., Any]
    exact: bool
    modules: tuple[Any, ...]


@uncounted
def move_row(matrix, rows, p):
    """Move row ``rows[p]`` to row p, and its columns ``rows`` to the front; rows come in increasing order."""
    source, target = matrix[rows[p]], matrix[p]
    for q in range(rows.size):
        target[q] = source[rows[q]]


@uncounted
def settle(state, a, b, new, counted):
    """The union of rows a and b takes row a."""
    ids, size, gone, nearest, _, distance, _, _ = state
    if counted:
        size[a] += size[b]
    ids[a], ids[b] = new, -1
    gone[b] = np.inf
    nearest[a], distance[a] = -1, -np.inf


@cache
def updated(method: Method, dtype: np.dtype) -> Source:
    """Lance-Williams updates of the rows."""
    update = jitable(method.update)
    counted = method.counted

    @uncounted
    @named(method.name, dtype)
    def unite(matrix, state, own, first, second, next_id, width):
        size, distance = state.size[:width], state.distance
        for p in range(first.size):
            a, b = first[p], second[p]
            one, other = matrix[a, :width], matrix[b, :width]
            d, sa, sb = distance[a], size[a], size[b]
            for k in range(width):
                one[k] = update(one[k], other[k], d, sa, sb, size[k])
            one[a] = np.inf
        for p in range(first.size):
            row = matrix[first[p]]
            mine = size[first[p]] + size[second[p]] if counted else size[first[p]]
            for q in range(p + 1, first.size):
                a, b = first[q], second[q]
                row[a] = update(row[a], row[b], distance[a], size[a], size[b], mine)
                matrix[a, first[p]] = row[a]
        for p in range(first.size):
            settle(state, first[p], second[p], next_id + p, counted)

    @uncounted
    @named(method.name, dtype)
    def move(own, p, x):
        return None

    return Source(f"{method.name}_{dtype}", unite, move, True, (methods,))


@cache
def merge_kernel(source: Source, dtype: np.dtype) -> Callable[..., Any]:
    """All merges of a reducible linkage."""
    unite, move, exact = source.unite, source.move, source.exact
    stamp = jit.stamp(prefetch, simd, minima, *source.modules)

    @uncounted
    @named(source.name)
    def search(matrix, state, x, width):
        """Find the nearest cluster of row x if it is not known; returns the rows searched, -1 if all are infinite."""
        ids, _, gone, nearest, nearest_id, distance, bound, least = state
        if nearest[x] >= 0 and ids[nearest[x]] == nearest_id[x]:
            return 0
        if width <= WHOLE:
            distance[x], nearest[x] = nearest_of(matrix[x, :width], gone[:width], ids, least)
        else:
            strips = (width + STRIP - 1) // STRIP
            distance[x], nearest[x] = nearest_in_row(matrix[x, :width], gone[:width], ids, bound, x, strips)
        if nearest[x] < 0 or not distance[x] > -np.inf:
            return -1
        nearest_id[x] = ids[nearest[x]]
        return 1

    @uncounted
    @named(source.name)
    def search_all(matrix, state, width, todo):
        """`search` of all rows; returns how many have been searched. What they need is asked for ahead of its use."""
        ids, _, _, nearest, nearest_id, _, bound, _ = state
        count = 0
        for x in range(width):
            todo[count] = x
            known = nearest[x] >= 0 and ids[nearest[x]] == nearest_id[x]
            count += (ids[x] >= 0) & (not known)
        for at in range(count + AHEAD):
            if at < count and width > WHOLE:
                x = todo[at]
                strip = lowest(bound, x, (width + STRIP - 1) // STRIP)
                ask(matrix[x], strip * STRIP, min((strip + 1) * STRIP, width))
            if at >= AHEAD and search(matrix, state, todo[at - AHEAD], width) < 0:
                return -1
        return count

    @uncounted
    @named(source.name)
    def merge(matrix, state, own, first, second, next_id, width, others):
        """Unite clusters, and write the columns of the unions in the rows of ``others`` (room for all)."""
        ids, _, gone, nearest, nearest_id, distance, bound, _ = state
        unite(matrix, state, own, first, second, next_id, width)
        count = 0
        for x in range(width):
            others[count] = x
            count += (ids[x] >= 0) & (ids[x] < next_id)
        for begin in range(0, count, BLOCK):
            rows = others[begin : min(begin + BLOCK, count)]
            for p in range(first.size):
                a = np.uint64(first[p])
                values = matrix[a]
                for k in range(rows.size):
                    matrix[rows[k], a] = values[rows[k]]
        for p in range(first.size if width > WHOLE else 0):
            a = first[p]
            lower(bound, a // STRIP, matrix[a], 0, width)
            bound_strips(matrix[a, :width], gone, a, bound)
        if exact:
            return
        for p in range(first.size):
            a = first[p]
            values = matrix[a, :width]
            hits = 0
            for k in range(width):
                hits += values[k] + gone[k] < distance[k]
            if hits > 0:
                for k in range(width):
                    if values[k] + gone[k] < distance[k]:
                        distance[k], nearest[k], nearest_id[k] = values[k], a, ids[a]

    @uncounted
    @named(source.name)
    def compact(matrix, state, own, rows, place, width):
        """Move the rows in use together; returns their number."""
        ids, size, gone, nearest, nearest_id, distance, bound, _ = state
        count = 0
        for x in range(width):
            if ids[x] >= 0:
                rows[count], place[x] = x, count
                count += 1
                if nearest[x] >= 0 and ids[nearest[x]] != nearest_id[x]:
                    nearest[x] = -1
        gone[:count] = 0
        for p in range(count):
            x = rows[p]
            move_row(matrix, rows[:count], p)
            if count > WHOLE:
                bound_strips(matrix[p, :count], gone, p, bound)
            ids[p], size[p], distance[p] = ids[x], size[x], distance[x]
            nearest[p], nearest_id[p] = place[nearest[x]] if nearest[x] >= 0 else -1, nearest_id[x]
            move(own, p, x)
        return count

    @uncounted
    @named(source.name)
    def chain(matrix, state, own, link, link_id, pair, next_id, width, others, pairs, heights):
        """Merge by a new chain; returns the number of rows searched, -1 if every dissimilarity has overflowed."""
        ids, _, _, nearest, _, distance, _, _ = state
        first, second = pair[0], pair[1]
        length, start, scans = 0, 0, 0
        for done in range(heights.size):
            x = y = 0
            while True:
                while length > 0 and ids[link[length - 1]] != link_id[length - 1]:
                    length -= 1
                if length == 0 or length == link_id.size:
                    while ids[start] < 0:
                        start += 1
                    link[0], link_id[0], length = start, ids[start], 1
                x = link[length - 1]
                found = search(matrix, state, x, width)
                if found >= 0:
                    scans += found
                    y = nearest[x]
                    found = search(matrix, state, y, width)
                if found < 0:
                    return -1
                scans += found
                if nearest[y] == x:
                    break
                link[length], link_id[length] = y, ids[y]
                length += 1
            a, b = min(x, y), max(x, y)
            pairs[done, 0], pairs[done, 1], heights[done] = ids[a], ids[b], distance[x]
            distance[a] = distance[x]
            first[0], second[0] = a, b
            merge(matrix, state, own, first, second, next_id + done, width, others)
        return scans

    @uncounted
    @named(source.name)
    def reciprocal(state, width, first, second):
        """Pairs of reciprocal nearest neighbours; returns their number."""
        ids, nearest = state.ids, state.nearest
        count = 0
        for x in range(width):
            if ids[x] >= 0 and x < nearest[x] and nearest[nearest[x]] == x:
                first[count], second[count] = x, nearest[x]
                count += 1
        return count

    @compiled
    @named(source.name)
    def merge_square(
        matrix, bound, size, own, share, round_scans, tail, chain_entries, calls, features, pairs, heights
    ):
        """Returns the number of rows searched, -1 if dissimilarities are infinite.

        Of an updated matrix as many as rounds on tiles search: all rows of each round.
        """
        stamp  # noqa: B018
        n = matrix.shape[0]
        ids, nearest, nearest_id = np.arange(n), np.full(n, -1), np.full(n, -1)
        gone, distance = np.zeros(n, matrix.dtype), np.empty(n, matrix.dtype)
        least = np.empty(n // STRIP + 1, matrix.dtype)
        state = State(ids, size, gone, nearest, nearest_id, distance, bound, least)
        first, second = np.empty(n + 1, np.int64), np.empty(n, np.int64)
        pair, others = np.empty((2, 1), np.int64), np.empty(n, np.uint64)  # unsigned: never an index from the end
        width, live, scans, done = n, n, 0, 0
        while True:
            live = n - done
            if live * 4 <= width * 3:
                width = compact(matrix, state, own, others, second, width)
            found = search_all(matrix, state, width, others)
            if found < 0:
                return -1
            scans += live if exact else found
            count = reciprocal(state, width, first, second) if live > tail else 0
            if count * share >= live and live > tail and scans + live <= round_scans * n + 4 * done:
                for p in range(count):
                    a, b = first[p], second[p]
                    pairs[done + p, 0], pairs[done + p, 1], heights[done + p] = ids[a], ids[b], distance[a]
                merge(matrix, state, own, first[:count], second[:count], n + done, width, others)
                done += count
            else:
                target = done + (live // 2 if live > tail else live - 1)
                wanted = max(1, chain_entries // (8 * live * max(1, features // 4)))
                if calls > 0:
                    wanted = max(wanted, live // (2 * calls))
                while done < target:
                    end = min(done + wanted, target)
                    out = pairs[done:end], heights[done:end]
                    made = chain(matrix, state, own, first, second, pair, n + done, width, others, *out)
                    if made < 0:
                        return -1
                    scans += made
                    done = end
            if done == n - 1:
                return scans

    return merge_square
