"""Nearest clusters by a kd-tree of their centres, for points of few features: no matrix, O(n m) memory.

The distance is a convex function, so clusters are at least as far apart as their centres, both by the largest and by
the mean over pairs of points. A search goes down the tree, nearer node first, and computes the dissimilarity to a
cluster from the points of both, unless a bound says that it is no nearer than the best so far. For complete linkage
only points at the border of a cluster are kept (`gpuclust.kernels.cpu.clusters.hull`).

After Yu, Wang, Gu, Dhulipala, Shun 2021, ParChain: A framework for parallel hierarchical agglomerative clustering
using nearest-neighbor chain (section 4: range queries of radius bounded by the best so far).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import ranges, run
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.clusters.cluster_tree_kernels import Pool, Rows, Tree, kernels
from gpuclust.kernels.cpu.space import kdtree

#: Largest number of centres in a leaf.
LEAF = 8
#: Rows in a piece of work: of a search, and of a copy.
SEARCHED, CARRIED = 128, 4096


class ClusterTree:
    """See `gpuclust.core.backend.Searched`.

    Rows are in the order of a kd-tree, so that neighbours in space are neighbours in memory.
    """

    def __init__(self, points: Points, method: Method, clusters: Clusters) -> None:
        features, dtype = points.features, points.features.dtype
        self.dtype, self.p, self.method = dtype, points.p, method
        self.width = 1
        weighted = points.weights is not None
        self.weights = points.weights if points.weights is not None else points.summary[:0]
        largest = method.pairs == "largest"
        self.kernels = kernels(points.metric, weighted, largest, dtype)
        low, high = features.min(axis=1), features.max(axis=1)
        with np.errstate(over="ignore"):
            diameter = np.sqrt(((high - low) ** 2).sum())
        self.diameter = dtype.type(diameter)
        self.n = count = clusters.ids.size
        place = kdtree.build(np.ascontiguousarray(features[:, clusters.members[clusters.start[:-1]]]), LEAF).order
        sizes = clusters.size[place]
        begin = np.cumsum(sizes) - sizes
        order = np.arange(clusters.members.size) + np.repeat(clusters.start[place] - begin, sizes)
        members = clusters.members[order]
        self.pool = Pool(np.ascontiguousarray(features[:, members].T), members, clusters.weight[order])
        self.used = members.size
        self.rows = Rows(clusters.ids[place], begin, sizes.copy(), clusters.total[place], *self._room(count))
        run(
            self.kernels.describe,
            [(self.pool, self.rows, self.diameter, *r) for r in ranges(count, CARRIED)],
        )
        self.nearest: np.ndarray = np.full(count, -1)  # -1: unknown
        self.distance = np.full(count, np.inf, dtype)
        self._plant()
        self._search(np.arange(count))

    @property
    def ids(self) -> np.ndarray:
        """Ids of the clusters by row; -1: not in use."""
        return self.rows.ids

    @property
    def size(self) -> np.ndarray:
        """Their sizes, for a Lance-Williams update."""
        return self.rows.total

    @property
    def clusters(self) -> Clusters:
        """The remaining clusters in order of age; for complete linkage without points that cannot be the farthest."""
        live = np.flatnonzero(self.rows.ids >= 0)
        live = live[np.argsort(self.rows.ids[live])]
        sizes = self.rows.length[live]
        start = np.concatenate(([0], np.cumsum(sizes)))
        order = np.arange(start[-1]) + np.repeat(self.rows.begin[live] - start[:-1], sizes)
        return Clusters(
            self.rows.ids[live], self.pool.which[order], start, self.pool.weight[order], self.rows.total[live]
        )

    def _room(self, count: int) -> tuple[np.ndarray, ...]:
        m = self.pool.X.shape[1]
        return *(np.empty((count, m), self.dtype) for _ in range(3)), np.empty(count, self.dtype)

    def _plant(self) -> None:
        """Build a new kd-tree of the centres."""
        tree = kdtree.build(np.ascontiguousarray(self.rows.centre.T), LEAF)
        count, depth = self.n, tree.depth
        leaves = 1 << depth
        border = (count * np.arange(leaves + 1)) >> depth
        live = np.empty(2 * leaves - 1, np.int64)
        live[leaves - 1 :] = np.diff(border)
        for level in range(depth - 1, -1, -1):
            below = live[(2 << level) - 1 : (4 << level) - 1]
            live[(1 << level) - 1 : (2 << level) - 1] = below[::2] + below[1::2]
        leaf = np.empty(count, np.int64)
        leaf[tree.order] = np.repeat(np.arange(leaves - 1, 2 * leaves - 1), np.diff(border))
        error = np.zeros(2 * leaves - 1, self.dtype)
        np.maximum.at(error, leaf, self.rows.error)
        for level in range(depth - 1, -1, -1):
            below = error[(2 << level) - 1 : (4 << level) - 1]
            error[(1 << level) - 1 : (2 << level) - 1] = np.maximum(below[::2], below[1::2])
        self.depth = depth
        self.tree = Tree(tree.order, tree.low, tree.high, live, leaf, error)

    def _search(self, todo: np.ndarray) -> None:
        """Find the nearest of some rows."""
        self.scanned = todo.size
        bounds = self.tree, self.depth, self.weights, self.p
        common = (self.pool, self.rows, *bounds, todo, self.nearest, self.distance)
        run(self.kernels.search, [(*common, *piece) for piece in ranges(todo.size, SEARCHED)])

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        united = second >= 0
        place = np.full(self.n, -1)  # new places of rows that have not merged
        place[first[~united]] = np.flatnonzero(~united)
        nearest: np.ndarray = self.nearest[first]
        nearest = np.where(nearest >= 0, place[nearest], -1)
        nearest[united] = -1
        self._carry(first, second, new_id)
        self.n = first.size
        self.nearest, self.distance = nearest, self.distance[first]
        self._plant()
        self._search(np.flatnonzero(nearest < 0))

    def _carry(self, first: np.ndarray, second: np.ndarray, new_id: np.ndarray, room: int = 0) -> None:
        """Move rows to a new pool of points with spare capacity."""
        old, rows = self.pool, self.rows
        sizes = rows.length[first] + np.where(second >= 0, rows.length[second], 0)
        places = np.cumsum(sizes) - sizes
        self.used = int(sizes.sum())
        capacity = self.used + room
        self.pool = Pool(
            np.empty((capacity, old.X.shape[1]), self.dtype),
            np.empty(capacity, np.int64),
            np.empty(capacity, self.dtype),
        )
        count = first.size
        whole = (np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, self.dtype))
        self.rows = Rows(new_id.copy(), *whole, *self._room(count))
        common: tuple[Any, ...] = (
            old,
            rows,
            first,
            second,
            self.pool,
            places,
            self.rows,
            self.method.counted,
            self.diameter,
        )
        run(self.kernels.carry, [(*common, *piece) for piece in ranges(count, CARRIED)])

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, self.dtype)
        link, linked = np.empty(self.n + 1, np.int64), np.zeros(self.n, bool)
        counts = np.zeros(4, np.int64)
        done = scans = length = 0
        while done < wanted:
            self.kernels.chain(
                self.pool, self.used, self.rows, self.tree, self.depth, self.weights, self.p, self.method.counted,
                self.diameter, self.nearest, nearest_id, self.distance, link, linked, length, next_id + done,
                wanted - done, pairs[done:], heights[done:], counts,
            )  # fmt: skip
            if counts[1] < 0:
                return pairs, heights, -1
            length, self.used = int(counts[2]), int(counts[3])
            done, scans = done + int(counts[0]), scans + int(counts[1])
            if done < wanted:
                self._make_room()
        size[:], ids[:] = self.rows.total, self.rows.ids
        self.nearest[(ids[self.nearest] != nearest_id) | (self.nearest < 0)] = -1
        return pairs, heights, scans

    def _make_room(self) -> None:
        """Close the gaps that unions have left in the pool, and double what is used."""
        everyone = np.arange(self.n)
        self.rows.length[self.rows.ids < 0] = 0
        self._carry(everyone, np.full(self.n, -1), self.rows.ids, int(self.rows.length.sum()) + 1024)
