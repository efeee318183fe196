"""The generic algorithm for centroid and median linkage of points with few features, on a kd-tree of centroids.

Each cluster has a lower bound of the distance to its nearest neighbour. The cluster with the smallest bound (of equal
ones that of the earliest row) is searched: if the bound is exact, it belongs to the closest pair; otherwise it is
raised. Clusters whose bound a union lowers are found through the tree too, since each node stores the largest bound
below it. So a merge costs a few descents of the tree instead of a pass over all clusters.

Distances and ties are those of `gpuclust.kernels.cpu.clusters.greedy`: from both parts of centroids, feature by
feature; of equal distances the pair with the earliest row, then the earliest partner. Boxes are around rounded
centroids. Gaps of boxes are summed in the order of the features, so that they bound the distances of rounded
centroids; `gpuclust.kernels.cpu.space.rounded` relates these to the distances of the centroids in two parts.

Müllner 2011, Modern hierarchical, agglomerative clustering algorithms, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit
from gpuclust.core.jit import compiled, jitable, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.space import boxes, kdtree, rounded
from gpuclust.kernels.cpu.space.boxes import LEAF, leaf_of
from gpuclust.kernels.cpu.space.rounded import bounds

#: The tree is used from POINTS times the squared number of features on, and up to FEATURES features: a merge takes 5
#: microseconds with two, 20 with four, 150 with eight, and a pass over all of 20,000 clusters 17 to 47.
POINTS, FEATURES = 1200, 8
#: Clusters in a piece of work of the first search.
PIECE = 4096
#: Capacity of the stack of a descent.
STACK = 64


class Rows(NamedTuple):
    """Clusters in the order of the tree; a union takes the place, and the row, of the later of its parts.

    Attributes
    ----------
    centers : ndarray of shape (n, 2 m)
        Centroids in two parts: all ``high``, then all ``low``.
    size, bound, error : ndarray of shape (n,)
        ``bound`` is a lower bound of the squared distance to the nearest; infinite for clusters that have merged.
        ``error`` bounds the distance of the centroid from its rounded value.
    ids, outer : ndarray of shape (n,), int64
        The id of each cluster (-1: none any more), and its row, by which ties are decided.
    """

    centers: np.ndarray
    size: np.ndarray
    bound: np.ndarray
    ids: np.ndarray
    outer: np.ndarray
    error: np.ndarray


class Nodes(NamedTuple):
    """A complete tree over the rows; node i has the children 2 i + 1 and 2 i + 2.

    Attributes
    ----------
    low, high : ndarray of shape (nodes, m)
        Corners of the box of each.
    farthest : ndarray of shape (nodes,)
        The largest bound, of clusters that are there.
    error : ndarray of shape (nodes,)
        The largest error.
    earliest : ndarray of shape (nodes,), int64
        The smallest row.
    best : ndarray of shape (nodes,), int64
        The place of the smallest bound, of equal ones that of the smallest row.
    starts : ndarray of shape (leaves + 1,), int64
        The first place of each leaf.
    """

    low: np.ndarray
    high: np.ndarray
    farthest: np.ndarray
    error: np.ndarray
    earliest: np.ndarray
    best: np.ndarray
    starts: np.ndarray


class TreeGeneric:
    """See `gpuclust.core.backend.Generic`. O(n m) memory; O(log n) time a merge as a rule."""

    width = 1  # a call of many merges is short

    def __init__(self, points: Points, method: Method) -> None:
        n, dtype = points.n, points.features.dtype
        self.counted = method.counted
        self.dtype = dtype
        centers = np.zeros((n, 2 * len(points.features)), dtype)
        centers[:, : len(points.features)] = centroids.without_offset(points.features).T
        bound, ids = np.full(n, -np.inf, dtype), np.arange(n)
        self.rows = Rows(centers, np.ones(n, dtype), bound, ids, ids.copy(), np.zeros(n, dtype))
        del centers
        self._arrange()
        search_all = _kernels(dtype)[1]
        run(search_all, [(self.rows, self.nodes, *piece) for piece in ranges(n, PIECE)])
        _kernels(dtype)[0](self.rows, self.nodes)

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        pairs, heights = np.empty((wanted, 2), np.int64), np.empty(wanted, self.dtype)
        scans = _kernels(self.dtype)[2](self.rows, self.nodes, self.counted, next_id, pairs, heights)
        return pairs, heights, scans

    def compact(self) -> None:
        kept = np.flatnonzero(self.rows.ids >= 0)
        self.rows = Rows(*(part[kept] for part in self.rows))
        self._arrange()

    def _arrange(self) -> None:
        """Reorder the rows by a new kd-tree."""
        n, m = self.rows.centers.shape[0], self.rows.centers.shape[1] // 2
        order = kdtree.build(np.ascontiguousarray(self.rows.centers[:, :m].T), LEAF).order
        self.rows = Rows(*(part[order] for part in self.rows))
        leaves = 1 << kdtree.depth_for(n, LEAF)
        nodes = 2 * leaves - 1
        corners, most = np.empty((2, nodes, m), self.dtype), np.empty((2, nodes), self.dtype)
        whole = np.empty((2, nodes), np.int64)
        starts = n * np.arange(leaves + 1) // leaves
        self.nodes = Nodes(corners[0], corners[1], most[0], most[1], whole[0], whole[1], starts)
        _kernels(self.dtype)[0](self.rows, self.nodes)


def pays(points: Points) -> bool:
    """Whether searches by tree are faster than passes over all clusters, by measurements (see `POINTS`)."""
    m = len(points.features)
    return points.metric.name == "sqeuclidean" and 1 <= m <= FEATURES and points.n >= POINTS * m * m


@cache
def _kernels(dtype: np.dtype) -> tuple[Callable[..., Any], ...]:
    """``fit(rows, nodes)``, ``search_all(rows, nodes, begin, end)`` and ``merge(...)``."""
    infinity, zero = dtype.type(np.inf), dtype.type(0)
    united, difference = jitable(centroids.united), jitable(centroids.difference)
    factors_of, farther = bounds(dtype)
    stamp = jit.stamp(centroids, kdtree, rounded, boxes)

    @uncounted
    @named(dtype)
    def first(rows, a, b):
        """Which of two places has the smaller bound; a row is in use before one that is not. -1: no place."""
        if a < 0 or b < 0:
            return max(a, b)
        bound, outer = rows[2], rows[4]
        if bound[b] < bound[a] or (bound[b] == bound[a] and outer[b] < outer[a]):
            return b
        return a

    # Not the fit of `space.boxes`: of the six minima of a node only the two corners are common to both.
    @uncounted
    @named(dtype)
    def fit_leaf(rows, nodes, leaf):
        centers, _, bound, ids, outer, error = rows
        low, high, farthest, most, earliest, best, starts = nodes
        node = starts.size - 2 + leaf
        m = low.shape[1]
        for k in range(m):
            low[node, k], high[node, k] = infinity, -infinity
        farthest[node], most[node], earliest[node], best[node] = -infinity, zero, 2**62, -1
        for x in range(starts[leaf], starts[leaf + 1]):
            if ids[x] < 0:
                continue
            for k in range(m):
                low[node, k] = min(low[node, k], centers[x, k])
                high[node, k] = max(high[node, k], centers[x, k])
            farthest[node] = max(farthest[node], bound[x])
            most[node] = max(most[node], error[x])
            earliest[node] = min(earliest[node], outer[x])
            best[node] = first(rows, best[node], x)

    @uncounted
    @named(dtype)
    def fit_node(rows, nodes, node):
        low, high, farthest, most, earliest, best, _ = nodes
        a, b = 2 * node + 1, 2 * node + 2
        for k in range(low.shape[1]):
            low[node, k] = min(low[a, k], low[b, k])
            high[node, k] = max(high[a, k], high[b, k])
        farthest[node] = max(farthest[a], farthest[b])
        most[node] = max(most[a], most[b])
        earliest[node] = min(earliest[a], earliest[b])
        best[node] = first(rows, best[a], best[b])

    @uncounted
    @named(dtype)
    def renew(rows, nodes, x):
        """Update the nodes above the place x."""
        starts = nodes[6]
        leaf = leaf_of(starts, x)
        fit_leaf(rows, nodes, leaf)
        node = starts.size - 2 + leaf
        while node > 0:
            node = (node - 1) // 2
            fit_node(rows, nodes, node)

    @uncounted
    @named(dtype)
    def gap(centers, x, nodes, node):
        """The squared distance of a rounded centroid to a box; infinite if the box is empty."""
        low, high = nodes[0], nodes[1]
        total = zero
        for k in range(low.shape[1]):
            d = max(low[node, k] - centers[x, k], centers[x, k] - high[node, k])
            d = max(d, zero)
            total += d * d
        return total

    @uncounted
    @named(dtype)
    def square(centers, x, y):
        m = centers.shape[1] // 2
        total = zero
        for k in range(m):
            d = difference(centers[x, k], centers[x, m + k], centers[y, k], centers[y, m + k])
            total += d * d
        return total

    # Each search has a descent of its own: the condition to skip a node, its bound and the visit of a leaf are all
    # that a descent consists of. One with these as inlined callbacks took 0.97 to 1.01 of the CPU time (centroid
    # linkage, 20,000 points in 2 and 4 dimensions) and more lines; with plain callbacks 1.5 times the CPU time.
    @uncounted
    @named(dtype)
    def nearest(rows, nodes, x, factors, stack, gaps):
        """Place and squared distance of the nearest neighbour of x; ties go to the smallest row."""
        centers, _, _, ids, outer, error = rows
        most, earliest, starts = nodes[3], nodes[4], nodes[6]
        leaves = starts.size - 2
        found, at = infinity, -1
        stack[0], gaps[0] = 0, zero
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            limit = farther(found, error[x] + most[node], factors)
            # Nothing can be nearer if the distance found is zero, or equals the limit and there is no error.
            tied = found == zero or (gaps[top] == found and limit == found)
            if not gaps[top] < infinity or gaps[top] > limit or (tied and at >= 0 and earliest[node] > outer[at]):
                continue
            if node < leaves:
                a, b = 2 * node + 1, 2 * node + 2
                da, db = gap(centers, x, nodes, a), gap(centers, x, nodes, b)
                if db < da:
                    a, b, da, db = b, a, db, da
                stack[top], gaps[top] = b, db
                stack[top + 1], gaps[top + 1] = a, da
                top += 2
                continue
            for y in range(starts[node - leaves], starts[node - leaves + 1]):
                if y == x or ids[y] < 0:
                    continue
                value = square(centers, x, y)
                if value < found or (value == found and at >= 0 and outer[y] < outer[at]):
                    found, at = value, y
        return at, found

    @uncounted
    @named(dtype)
    def tell(rows, nodes, x, factors, stack):
        """Lower the bounds of the clusters whose nearest neighbour is now x."""
        centers, _, bound, ids, _, error = rows
        farthest, most, starts = nodes[2], nodes[3], nodes[6]
        leaves = starts.size - 2
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if not gap(centers, x, nodes, node) < farther(farthest[node], error[x] + most[node], factors):
                continue
            if node < leaves:
                stack[top], stack[top + 1] = 2 * node + 2, 2 * node + 1
                top += 2
                continue
            lowered = -1
            for y in range(starts[node - leaves], starts[node - leaves + 1]):
                if y == x or ids[y] < 0:
                    continue
                value = square(centers, x, y)
                if value < bound[y]:
                    bound[y] = value
                    lowered = y
            if lowered >= 0:
                renew(rows, nodes, lowered)

    @uncounted
    @named(dtype)
    def merge_all(rows, nodes, counted, next_id, pairs, heights, stack, gaps):
        centers, size, bound, ids, outer, error = rows
        best = nodes[5]
        m = nodes[0].shape[1]
        factors = factors_of(m)
        scans = 0
        for done in range(heights.size):
            while True:
                x = best[0]
                y, d = nearest(rows, nodes, x, factors, stack, gaps)
                scans += 1
                if not d < infinity:
                    return -1  # every distance has overflowed
                if d == bound[x]:
                    break
                bound[x] = d
                renew(rows, nodes, x)
            a, b = (x, y) if outer[x] < outer[y] else (y, x)
            pairs[done, 0], pairs[done, 1] = ids[a], ids[b]
            heights[done] = d
            x, y = (a, b) if size[a] >= size[b] else (b, a)  # the larger one moves less
            sx, sy = size[x], size[y]
            error[b] = zero
            for k in range(m):
                high, low = united(centers[x, k], centers[x, m + k], centers[y, k], centers[y, m + k], sx, sy)
                centers[b, k], centers[b, m + k] = high, low
                error[b] += abs(low)
            if counted:
                size[b] = sx + sy
            ids[a], ids[b] = -1, next_id + done
            bound[a] = bound[b] = infinity
            renew(rows, nodes, a)
            renew(rows, nodes, b)
            _, bound[b] = nearest(rows, nodes, b, factors, stack, gaps)
            renew(rows, nodes, b)
            tell(rows, nodes, b, factors, stack)
        return scans

    @compiled
    @named(dtype)
    def fit(rows, nodes):
        stamp  # noqa: B018
        starts = nodes[6]
        for leaf in range(starts.size - 1):
            fit_leaf(rows, nodes, leaf)
        for node in range(starts.size - 3, -1, -1):
            fit_node(rows, nodes, node)

    @compiled
    @named(dtype)
    def search_all(rows, nodes, begin, end):
        stamp  # noqa: B018
        stack, gaps = np.empty(2 * STACK, np.int64), np.empty(2 * STACK, dtype)
        factors = factors_of(nodes[0].shape[1])
        for x in range(begin, end):
            _, rows[2][x] = nearest(rows, nodes, x, factors, stack, gaps)

    @compiled
    @named(dtype)
    def merge(rows, nodes, counted, next_id, pairs, heights):
        """Returns the number of searches for a closest pair, -1 if distances are infinite."""
        stamp  # noqa: B018
        stack, gaps = np.empty(2 * STACK, np.int64), np.empty(2 * STACK, dtype)
        return merge_all(rows, nodes, counted, next_id, pairs, heights, stack, gaps)

    return fit, search_all, merge
