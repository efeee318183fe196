"""Minimum spanning tree of condensed dissimilarities in two passes over them, on all threads.

The first pass finds the nearest neighbour of each observation: the first round of Borůvka's algorithm, whose
components are a quarter or a third as many as there are observations. The second pass finds the shortest
dissimilarity of each pair of components. Prim's algorithm on those gives the other edges.

If no two edges of the tree are equally long, the rows of Z do not depend on the tree. Otherwise they follow from the
order in which Prim's algorithm adds edges (`gpuclust.kernels.cpu.matrix.prim`), which this does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit
from gpuclust.core.jit import compiled, named, ranges, run
from gpuclust.core.sizes import STRIP
from gpuclust.core.triangle import mirrored_blocks
from gpuclust.kernels.cpu.matrix import fill, minima
from gpuclust.kernels.cpu.matrix.minima import nearest_of
from gpuclust.kernels.cpu.space import simd

#: Condensed dissimilarities read in a piece of work.
PAIRS_READ = 1 << 21
#: Entries of the matrix of components that are compared between two reports.
STEP = 200_000_000


@cache
def contract_kernel(dtype: np.dtype) -> Callable[..., Any]:
    @compiled
    @named(dtype)
    def contract(condensed, component, members, start, first, last, shortest):
        """The shortest dissimilarity of components first..last-1 to each, over pairs whose first end is in it."""
        n = component.size
        for c in range(first, last):
            least = shortest[c]
            least[:] = np.inf
            for x in members[start[c] : start[c + 1]]:
                place = n * x - x * (x + 1) // 2
                row, to = condensed[place : place + n - 1 - x], component[x + 1 :]
                for k in range(row.size):
                    value = row[k]
                    least[to[k]] = value if value < least[to[k]] else least[to[k]]
            least[c] = np.inf

    return contract


@cache
def join_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(minima, simd)

    @compiled
    @named(dtype)
    def join(condensed, n, members, start, shortest, near, distance, gone, begin, end, pairs, heights):
        """Edges begin..end-1 of the tree of components: its ends among observations, and its length.

        ``near[c]`` is the component of the tree nearest to c. Those inside have infinite ``distance`` and ``gone``;
        component 0 is inside at first.
        """
        stamp  # noqa: B018
        order, least = np.arange(near.size), np.empty(near.size // STRIP + 1, distance.dtype)
        for edge in range(begin, end):
            best, chosen = nearest_of(distance, gone, order, least)
            for x in members[start[chosen] : start[chosen + 1]]:
                for y in members[start[near[chosen]] : start[near[chosen] + 1]]:
                    a, b = min(x, y), max(x, y)
                    if condensed[n * a - a * (a + 1) // 2 + b - a - 1] == best:
                        pairs[edge, 0], pairs[edge, 1] = a, b
            heights[edge] = best
            distance[chosen] = gone[chosen] = np.inf
            row = shortest[chosen]
            for c in range(row.size):
                value = row[c] + gone[c]
                nearer = value < distance[c]
                distance[c] = value if nearer else distance[c]
                near[c] = chosen if nearer else near[c]

    return join


def spanning_tree(
    condensed: np.ndarray, n: int, report: Callable[[int], None], room: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends and lengths of the edges of the minimum spanning tree; None if two are equally long.

    Also None if the matrix of components takes more than ``room`` bytes.
    """
    dtype, rows = condensed.dtype, np.arange(n)
    pieces = [(condensed, n, False, *piece) for piece in ranges(n, max(1, PAIRS_READ // n))]
    nearest, distance = fill.shared_minima(fill.condensed_kernel(dtype), pieces, n, dtype)
    first_of_two = (nearest[nearest] == rows) & (rows < nearest)
    count = int(first_of_two.sum())
    edges = np.flatnonzero(~first_of_two)
    made = edges.size
    if count * count * dtype.itemsize > room or not _distinct(distance[edges]):
        return None
    report(made)
    pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, dtype)
    pairs[:made, 0], pairs[:made, 1], heights[:made] = edges, nearest[edges], distance[edges]
    root = np.where(first_of_two, rows, nearest)
    while not np.array_equal(root, root[root]):
        root = root[root]
    component = (np.cumsum(first_of_two) - 1)[root]
    members = np.argsort(component, kind="stable")
    start = np.searchsorted(component[members], np.arange(count + 1))
    shortest = _contracted(condensed, component, members, start)
    near, distance, gone = np.zeros(count, np.int64), shortest[0].copy(), np.zeros(count, dtype)
    gone[0] = np.inf
    while made < n - 1:
        stop = min(n - 1, made + max(1, STEP // count))
        join_kernel(dtype)(condensed, n, members, start, shortest, near, distance, gone, made, stop, pairs, heights)
        made = stop
        report(made)
    return (pairs, heights) if _distinct(heights) else None


def _distinct(values: np.ndarray) -> bool:
    in_order = np.sort(values)
    return not (in_order[1:] == in_order[:-1]).any()


def _contracted(condensed: np.ndarray, component: np.ndarray, members: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The shortest dissimilarity of each pair of components, in a square."""
    count, length = start.size - 1, max(1, PAIRS_READ * (start.size - 1) // condensed.size)
    shortest = np.empty((count, count), condensed.dtype)
    work = condensed, component.astype(np.uint32), members, start
    run(contract_kernel(condensed.dtype), [(*work, *piece, shortest) for piece in ranges(count, length)])

    def mirror(rows: slice, columns: slice) -> None:
        least = np.minimum(shortest[rows, columns], shortest[columns, rows].T)
        shortest[rows, columns], shortest[columns, rows] = least, least.T

    run(mirror, mirrored_blocks(count), threads=count > fill.SMALL)
    return shortest
