"""Minimum spanning tree of condensed dissimilarities by Prim's algorithm: each is read once, and O(n) memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core.jit import compiled, named


@cache
def tree_kernel(dtype: np.dtype) -> Callable[..., Any]:
    @compiled
    @named(dtype)
    def grow_tree(condensed, n, outside, near, distance, count, wanted, pairs, heights, done):
        """Add ``wanted`` edges to the tree; returns the number of vertices outside it.

        ``outside[:count]`` are the vertices outside in increasing order, ``distance`` and ``near`` their nearest
        vertex of the tree, by vertex. The vertex added last stands in ``pairs[done - 1, 1]`` (vertex 0 before the
        first).
        """
        for edge in range(done, done + wanted):
            x = pairs[edge - 1, 1] if edge > 0 else 0
            best = np.inf
            chosen = -1
            kept = 0
            above = n * x - x * (x + 1) // 2 - x - 1  # entry (x, y), y > x, of row x is at above + y
            for place in range(count):
                y = outside[place]
                if y == x:
                    continue
                outside[kept] = y
                kept += 1
                at = above + y if y > x else n * y - y * (y + 1) // 2 + x - y - 1
                value = condensed[at]
                if value < distance[y]:
                    distance[y] = value
                    near[y] = x
                if distance[y] < best:
                    best = distance[y]
                    chosen = y
            count = kept
            pairs[edge, 0] = near[chosen]
            pairs[edge, 1] = chosen
            heights[edge] = best
        return count

    return grow_tree


#: Dissimilarities read between two reports.
STEP = 100_000_000


def spanning_tree(condensed: np.ndarray, n: int, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n - 1, 2) and lengths of the edges of a minimum spanning tree."""
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1, condensed.dtype)
    outside = np.arange(n)
    near = np.zeros(n, np.int64)
    distance = np.full(n, np.inf, condensed.dtype)
    count, done = n, 0
    grow_tree = tree_kernel(condensed.dtype)
    while done < n - 1:
        wanted = min(n - 1 - done, max(1, STEP // count))
        count = grow_tree(condensed, n, outside, near, distance, count, wanted, pairs, heights, done)
        done += wanted
        report(done)
    return pairs, heights
