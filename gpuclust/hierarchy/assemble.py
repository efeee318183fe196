"""SciPy's linkage matrix Z from the merges that an algorithm found."""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Merges
from gpuclust.core.first_call import brief
from gpuclust.core.jit import aside, compiled, ranges

#: Rows of Z made by one call of a kernel, so that Ctrl-C takes effect.
ROWS = 1 << 18
#: Heights that are sorted in the calling thread, in less than a millisecond.
FEW = 1 << 14
#: Heights that a stable sort takes no longer for than another sort and a search for equal ones.
STABLE = 200


@compiled
def _lift(begin: int, end: int, pairs: np.ndarray, heights: np.ndarray) -> None:
    """Raise heights that rounding has made lower than those of their children, for a reducible linkage."""
    n = heights.size + 1
    for merge in range(begin, end):
        for side in range(2):
            part = pairs[merge, side] - n
            if part >= 0 and heights[part] > heights[merge]:
                heights[merge] = heights[part]


@compiled
def _rows_of_merges(
    begin: int,
    end: int,
    renamed: np.ndarray,
    pairs: np.ndarray,
    heights: np.ndarray,
    order: np.ndarray,
    Z: np.ndarray,
) -> None:
    """Renumber clusters by the sorted order of merges, the smaller id first, and count observations."""
    n = order.size + 1
    for row in range(begin, end):
        merge = order[row]
        renamed[merge] = n + row
        a = pairs[merge, 0]
        b = pairs[merge, 1]
        size = 0.0
        if a >= n:
            a = renamed[a - n]
            size += Z[a - n, 3]
        else:
            size += 1.0
        if b >= n:
            b = renamed[b - n]
            size += Z[b - n, 3]
        else:
            size += 1.0
        Z[row, 0] = min(a, b)
        Z[row, 1] = max(a, b)
        Z[row, 2] = heights[merge]
        Z[row, 3] = size


@compiled
def _rows_of_edges(
    begin: int,
    end: int,
    parent: np.ndarray,
    name: np.ndarray,
    pairs: np.ndarray,
    heights: np.ndarray,
    order: np.ndarray,
    Z: np.ndarray,
) -> None:
    """Join the ends of each edge, shortest first (Kruskal), with union-find by size and path halving.

    ``parent`` (int32) is another observation, or of the root of a cluster its size, negative; ``name`` (uint32) of a
    root is the number of the cluster. Only these eight bytes of an observation are read in random order.
    """
    n = order.size + 1
    for row in range(begin, end):  # reads that wait for no other
        Z[row, 0] = pairs[order[row], 0]
        Z[row, 1] = pairs[order[row], 1]
        Z[row, 2] = heights[order[row]]
    for row in range(begin, end):
        a = np.int64(Z[row, 0])
        b = np.int64(Z[row, 1])
        while parent[a] >= 0:
            if parent[parent[a]] >= 0:
                parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] >= 0:
            if parent[parent[b]] >= 0:
                parent[b] = parent[parent[b]]
            b = parent[b]
        one = np.int64(name[a])
        other = np.int64(name[b])
        size = np.int64(parent[a]) + np.int64(parent[b])
        if parent[a] > parent[b]:
            a, b = b, a
        parent[a] = size
        parent[b] = a
        name[a] = n + row
        Z[row, 0] = min(one, other)
        Z[row, 1] = max(one, other)
        Z[row, 3] = -size


def _by_height(heights: np.ndarray, edges: np.ndarray | None) -> np.ndarray:
    """A stable argsort: equal heights stay in their order or, with ``edges``, come in the order of their ends.

    NumPy's argsort that is not stable is several times faster than the stable one, unless there are few, and seldom
    are heights equal.
    """
    if edges is None and heights.size <= STABLE:
        return heights.argsort(kind="stable")
    if (heights[1:] > heights[:-1]).all():  # as edges from a GPU are
        return np.arange(heights.size)
    order = np.argsort(heights)
    in_order = heights[order]
    if not (in_order[1:] == in_order[:-1]).any():
        return order
    if edges is None:
        return np.argsort(heights, kind="stable")
    a, b = edges.T
    by_ends = np.argsort(np.minimum(a, b) << 32 | np.maximum(a, b))  # ends are below 2^31, and edges are distinct
    return np.asarray(by_ends[np.argsort(heights[by_ends], kind="stable")])


def assemble(merges: Merges) -> np.ndarray:
    """The linkage matrix of ``merges``, float64 of shape (n - 1, 4), in O(n log n).

    Each row holds the two clusters that merge (smaller id first), the height, and the number of observations in the
    new cluster. Rows are sorted stably by height, in the order of the merges where heights are equal, so a cluster is
    always formed before it merges further. Edges of equal height may be ordered by their ends (`Merges.by_ends`).
    Merges with inversions (centroid, median) keep their order.
    """
    count = merges.heights.size
    heights = merges.heights.astype(np.float64, copy=False)
    pieces = ranges(count, ROWS)
    if merges.monotone and not merges.edges:
        for piece in pieces:
            brief(_lift, count)(*piece, merges.pairs, heights)
    edges = merges.pairs if merges.by_ends else None
    if not merges.monotone:
        order = np.arange(count)
    else:
        order = _by_height(heights, edges) if count <= FEW else aside(lambda: _by_height(heights, edges))
    Z = np.empty((count, 4))
    rows_of = brief(_rows_of_edges if merges.edges else _rows_of_merges, count)
    known: tuple[np.ndarray, ...] = (np.empty(count, np.int64),)
    if merges.edges:
        known = np.full(count + 1, -1, np.int32), np.arange(count + 1, dtype=np.uint32)
    for piece in pieces:
        rows_of(*piece, *known, merges.pairs, heights, order, Z)
    return Z
