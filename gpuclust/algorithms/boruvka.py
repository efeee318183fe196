"""Borůvka's algorithm for a minimum spanning tree of points, for any metric, on any backend.

In each round every component takes its shortest edge outwards, which the backend searches for (`Backend.outgoing`),
or it makes all rounds itself (`Backend.tree_of_points`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gpuclust.core import preparation
from gpuclust.core.backend import Backend
from gpuclust.core.clusters import Merges
from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.core.points import Points


def boruvka(backend: Backend, points: Points, report: Callable[[int], None]) -> Merges:
    """The tree from points: in each round every component takes its shortest edge outwards (Borůvka 1926).

    Edges are ordered by (distance, smaller end, larger end), so ties make no cycles, and the tree does not depend on
    the search. The rounds do, so Z has the edges in this order too. Where a distance is a monotone function of a sum
    (a root), edges are ordered by the sum: half the work, and sums with equal roots are not tied.

    At most log2(n) rounds; O(n² m) time, usually O(n log n) with a tree in few dimensions; O(n m) memory.
    """
    points, finish = preparation.by_order(points)
    n = points.n
    made = backend.tree_of_points(points, report)
    if made is not None:
        pairs, heights, scans = made
        return Merges(pairs, finish(heights), scans, edges=True, by_ends=True)
    outgoing = backend.outgoing(points)
    count = outgoing.points.size
    component = np.arange(count)
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1, points.dtype)
    pairs[: n - count], heights[: n - count] = outgoing.copies, 0
    first = n - count
    while count > 1:
        ends, others, lengths = outgoing.shortest(component, count, partial(report, n - count))
        joined, count = brief(_join, count)(component, ends, others, lengths, pairs, heights, n - count)
        component = joined[component]
        report(n - count)
    pairs[first:] = outgoing.points[pairs[first:]]
    return Merges(pairs, finish(heights), outgoing.scans, edges=True, by_ends=True)


@compiled
def _join(
    component: np.ndarray,
    ends: np.ndarray,
    others: np.ndarray,
    lengths: np.ndarray,
    pairs: np.ndarray,
    heights: np.ndarray,
    done: int,
) -> tuple[np.ndarray, int]:
    """Join components along their shortest edges; writes distinct edges from ``done`` on.

    Edge c leads from point ``ends[c]`` (-1: none) of component c to ``others[c]``. Returns the new component of each
    old one, numbered from 0, and their number.
    """
    count = ends.size
    parent = np.arange(count)
    for c in range(count):
        if ends[c] < 0:
            continue
        a, b = c, component[others[c]]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a != b:  # not the edge that the other component has chosen already
            parent[max(a, b)] = min(a, b)
            pairs[done, 0] = ends[c]
            pairs[done, 1] = others[c]
            heights[done] = lengths[c]
            done += 1
    joined = np.empty(count, np.int64)
    left = 0
    for c in range(count):  # parents have smaller numbers
        if parent[c] == c:
            joined[c] = left
            left += 1
        else:
            joined[c] = joined[parent[c]]
    return joined, left
