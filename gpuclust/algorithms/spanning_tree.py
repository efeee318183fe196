"""Single linkage: the minimum spanning tree, whose edges sorted by length are the merges.

Its heights are the lengths of the tree's edges, the same for every minimum spanning tree, so single linkage is exact
to the last bit, ties or not (Gower, Ross 1969, Minimum spanning trees and single linkage cluster analysis).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust import metrics
from gpuclust.backends import Backend
from gpuclust.errors import overflow
from gpuclust.hierarchy.assemble import Merges
from gpuclust.metrics import Points


def boruvka(backend: Backend, points: Points, report: Callable[[int], None]) -> Merges:
    """The tree from points: in each round every component takes its shortest edge outwards.

    A point's nearest neighbour stays its nearest outside for as long as it is outside, and after that its distance is
    still a lower bound. So a point is searched again only if its neighbour has joined its component, and the bound is
    not above the shortest edge that its component has already. Edges are ordered by (distance, smaller end, larger
    end), so ties make no cycles.

    Where a distance is a monotone function of a sum (a root), edges are ordered by the sum: half the work, and what
    has an equal root is no tie.

    O(n² m) time a pass over all points, at most log2(n) passes; O(n m) memory.
    """
    points, finish = metrics.by_order(points)
    n = points.n
    index, distance = backend.nearest(points)
    if not np.isfinite(distance).all():
        raise overflow(distance.dtype)
    component = np.arange(n)
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1, distance.dtype)
    scans = n
    done = 0
    while done < n - 1:
        inside = component[index] == component
        limit = np.full(n, np.inf, distance.dtype)
        np.minimum.at(limit, component[~inside], distance[~inside])
        rows = np.flatnonzero(inside & (distance <= limit[component]))
        for begin in range(0, rows.size, ROWS_BETWEEN_REPORTS):
            part = rows[begin : begin + ROWS_BETWEEN_REPORTS]
            index[part], distance[part] = backend.nearest_outside(points, component, part)
            report(done)
        scans += rows.size
        outside = np.flatnonzero(component[index] != component)
        edges = _shortest(component, index, distance, outside)
        edges, component = _join(component, edges, index)
        pairs[done : done + edges.size, 0] = edges
        pairs[done : done + edges.size, 1] = index[edges]
        heights[done : done + edges.size] = distance[edges]
        done += edges.size
        report(done)
    return Merges(pairs, finish(heights), scans, edges=True)


#: Points searched between two looks at the clock.
ROWS_BETWEEN_REPORTS = 8192


def _shortest(component: np.ndarray, index: np.ndarray, distance: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each component the row whose edge (row, index[row]) is its first in (distance, smaller end, larger end)."""
    low, high = np.minimum(rows, index[rows]), np.maximum(rows, index[rows])
    order = np.lexsort((high, low, distance[rows], component[rows]))
    sorted_rows = rows[order]
    _, first = np.unique(component[sorted_rows], return_index=True)
    return sorted_rows[first]


def _join(component: np.ndarray, edges: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join components along their shortest edges; the distinct edges, and the new component of every point.

    ``edges`` holds one row a component. Following edges from component to component ends in two that chose the same
    edge; the smaller of them becomes the root, and pointers are halved until all lead to roots.
    """
    names = component[edges]
    target = np.arange(component.size)
    target[names] = component[index[edges]]
    mutual = target[target[names]] == names
    root = mutual & (names < target[names])
    target[names[root]] = names[root]
    while True:
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    return edges[~root], target[component]


def prim(backend: Backend, condensed: np.ndarray, n: int, report: Callable[[int], None]) -> Merges:
    """The tree from condensed dissimilarities, read once, vertex by vertex. O(n²) time, O(n) memory."""
    pairs, heights = backend.spanning_tree(condensed, n, report)
    return Merges(pairs, heights, n, edges=True)
