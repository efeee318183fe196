"""Minimum spanning tree of condensed dissimilarities by Prim's algorithm: each is read once, and O(n) memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core.jit import compiled, named, uncounted

#: Numbers that are compared at a time.
LANES = 32


@cache
def tree_kernel(dtype: np.dtype) -> Callable[..., Any]:
    infinity = dtype.type(np.inf)

    @uncounted
    @named(dtype)
    def least(distance, lanes):
        """The place of the least distance, the first of equal ones."""
        whole = distance.size // LANES * LANES
        for k in range(LANES):
            lanes[k] = infinity
        for begin in range(0, whole, LANES):
            values = distance[begin : begin + LANES]
            for k in range(LANES):
                lanes[k] = values[k] if values[k] < lanes[k] else lanes[k]
        best = infinity
        for k in range(LANES):
            best = lanes[k] if lanes[k] < best else best
        for k in range(whole, distance.size):
            best = distance[k] if distance[k] < best else best
        for begin in range(0, distance.size, LANES):
            values = distance[begin : begin + LANES]
            hits = 0
            for k in range(values.size):
                hits += values[k] == best
            if hits > 0:
                for k in range(values.size):
                    if values[k] == best:
                        return begin + k
        return -1

    @compiled
    @named(dtype)
    def grow_tree(condensed, n, outside, near, distance, gone, count, wanted, pairs, heights, done):
        """Add ``wanted`` edges to the tree; returns the number of vertices outside it.

        ``outside[:count]`` are the vertices outside in increasing order, unsigned, so that none is tested for being
        a negative index; ``distance`` and ``near`` their nearest vertex of the tree, by vertex; ``gone`` and
        ``distance`` of vertices inside are infinite. The vertex added last stands in ``pairs[done - 1, 1]`` (vertex 0
        before the first).
        """
        lanes, above = np.empty(LANES, distance.dtype), np.empty(n, np.uint64)
        for row_at in range(1, n - 1):  # entry (y, x), x > y > 0, stands at above[y] + x
            above[row_at] = n * row_at - row_at * (row_at + 1) // 2 - row_at - 1
        for edge in range(done, done + wanted):
            x = pairs[edge - 1, 1] if edge > 0 else 0
            distance[x] = gone[x] = infinity
            place, column = 0, np.uint64(x)
            while outside[place] != column:
                y = outside[place]
                value = condensed[above[y] + column]
                if value < distance[y]:  # seldom: the branch is predicted, and saves two stores
                    distance[y] = value
                    near[y] = x
                place += 1
            count -= 1
            for k in range(place, count):
                outside[k] = outside[k + 1]
            first = n * x - x * (x + 1) // 2
            row = condensed[first : first + n - 1 - x]
            known, source, away = distance[x + 1 : n], near[x + 1 : n], gone[x + 1 : n]
            for k in range(row.size):
                value = row[k] + away[k]
                nearer = value < known[k]
                known[k] = value if nearer else known[k]
                source[k] = x if nearer else source[k]
            chosen = least(distance, lanes)
            pairs[edge, 0] = near[chosen]
            pairs[edge, 1] = chosen
            heights[edge] = distance[chosen]
        return count

    return grow_tree


#: Dissimilarities read between two reports.
STEP = 100_000_000


def spanning_tree(condensed: np.ndarray, n: int, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n - 1, 2) and lengths of the edges of a minimum spanning tree."""
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1, condensed.dtype)
    outside = np.arange(n, dtype=np.uint64)
    near = np.zeros(n, np.int64)
    distance, gone = np.full(n, np.inf, condensed.dtype), np.zeros(n, condensed.dtype)
    count, done = n, 0
    grow_tree = tree_kernel(condensed.dtype)
    while done < n - 1:
        wanted = min(n - 1 - done, max(1, STEP // count))
        count = grow_tree(condensed, n, outside, near, distance, gone, count, wanted, pairs, heights, done)
        done += wanted
        report(done)
    return pairs, heights
