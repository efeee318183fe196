"""Clusters as summaries on the CPU: size and centroid stand for a row of a dissimilarity matrix. O(n m) memory.

Dissimilarities are computed when they are needed, so what counts is how few rows are searched. Every cluster keeps a
list of its nearest clusters, and a limit for all others (`gpuclust.kernels.cpu.summary_kernels`). As long as the
first on the list is below the limit it is the nearest of all, whatever has merged: that is proven, with a margin for
rounding. A union's list is made of those of its parts. Only where nothing is proven a cluster is searched
(`gpuclust.kernels.cpu.summary_search`), and then all computed dissimilarities are compared.
"""

from __future__ import annotations

import numpy as np

from gpuclust import centroids
from gpuclust.kernels.cpu.launch import ranges, run
from gpuclust.kernels.cpu.summary_chain import Chain, Rows
from gpuclust.kernels.cpu.summary_kernels import kernels
from gpuclust.kernels.cpu.summary_search import BLOCK, LEAF, screen, screen_kernel, walk_kernel
from gpuclust.kernels.cpu.summary_space import Boxes, Space, boxes
from gpuclust.methods import Method
from gpuclust.metrics import Points
from gpuclust.sizes import listed

#: Rows a piece of work of a search.
ROWS = 64
#: Rows a piece of work that goes over all lists.
LISTS = 4096
#: Coordinates of pairs not worth a second thread, some 100 microseconds.
SMALL = 1 << 19


class Summaries:
    """Sizes and centroids of ``n`` clusters, with the nearest clusters of each (see `gpuclust.backends.Stored`).

    Attributes
    ----------
    n, scanned, nearest, distance
        As in the protocol. Of pairs that merge, ``distance`` is computed from both parts of the centroids.
    centers, low : ndarray, shape (n, m)
        Centroids in two parts (`gpuclust.centroids`).
    near, held, limit : ndarray, shapes (n, listed), (n, listed) and (n,)
        The nearest clusters of each row by (dissimilarity, id), -1 where there are fewer on the list, their
        dissimilarities as compared: of rounded centroids; and what all others are at least away.
    """

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        self.n = points.n
        self.width = len(points.features)
        self.method = method
        features = centroids.without_offset(points.features)
        self.centers = np.ascontiguousarray(features.T)
        self.low = np.zeros_like(self.centers)
        dtype = self.centers.dtype
        self.scatter = np.zeros(self.n, dtype)  # of no use to some linkages
        self.size = size
        self.metric, self.p = points.metric, points.p
        with np.errstate(over="ignore"):
            longest = np.sqrt((self.centers * self.centers).sum(axis=1).max())
        self.unit = dtype.type(longest * np.finfo(dtype).eps)
        shape = self.n, listed(self.width)
        self.near, self.held = np.full(shape, -1, np.int32), np.full(shape, np.inf, dtype)
        self.limit = np.zeros(self.n, dtype)
        self.walks = self.width <= 6
        self.state: Chain | None = None
        if not np.isfinite(longest):
            self.scanned = self.n
            self.nearest, self.distance = np.zeros(self.n, np.int64), np.full(self.n, -np.inf, dtype)
            return
        self.space = Space(self.centers)
        self._know(np.arange(self.n), np.arange(self.n))

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
        kernel = kernels(method, self.held.dtype)
        place = np.full(self.n, -1, np.int32)
        place[first] = np.arange(first.size)
        if self.state is not None:
            self.state.settle()
            self.state = None
        order = place.copy()
        fresh = np.flatnonzero(second >= 0)
        place[second[fresh]] = fresh
        smallest, largest = size.min(), size.max()
        pieces = ranges(first.size, LISTS)
        run(kernel.unite, [(self.centers, self.low, size, self.scatter, first, second, *piece) for piece in pieces])
        self.centers, self.low, self.scatter = self.centers[first], self.low[first], self.scatter[first]
        self.n, self.size = first.size, new_size
        near, held = (
            np.empty((self.n, self.near.shape[1]), np.int32),
            np.empty((self.n, self.near.shape[1]), size.dtype),
        )
        limit = np.empty(self.n, size.dtype)
        old = size, smallest, largest, self.unit, self.near, self.held, self.limit
        own = self.centers, new_size, self.scatter, new_id
        common = (*own, first, second, place, between, *old, near, held, limit)
        run(kernel.carry, [(*common, *piece) for piece in pieces])
        self.near, self.held, self.limit = near, held, limit
        self.space.follow(order, self.centers)
        self._know(new_id, np.flatnonzero(~(held[:, 0] < limit)))

    def _know(self, ids: np.ndarray, unknown: np.ndarray) -> None:
        """Search the rows whose lists prove nothing; then the nearest of all is known."""
        self.scanned = unknown.size
        if self.n > 1 and unknown.size:
            self._search(ids, unknown)
        self.nearest = self.near[:, 0].astype(np.int64)
        self.distance = self.held[:, 0].copy()
        refine = kernels(self.method, self.held.dtype).refine
        own = self.centers, self.low, self.size, self.scatter, self.near, self.distance
        run(refine, [(*own, *piece) for piece in ranges(self.n, LISTS)])

    def _search(self, ids: np.ndarray, rows: np.ndarray) -> None:
        spot = np.empty(self.n, np.int64)
        spot[self.space.order] = np.arange(self.n)
        rows = rows[np.argsort(spot[rows])]
        dtype = self.held.dtype
        own = self.centers, self.size, self.scatter, ids, self.near, self.held, self.limit
        margin = self.size.max(), self.unit
        if self.walks:
            tree = self._boxes(LEAF)
            kernel = walk_kernel(self.method, dtype)
            run(kernel, [(*own, tree, *margin, rows, *piece) for piece in ranges(rows.size, ROWS)])
            return
        tree = self._boxes(BLOCK)
        ready = screen(tree, self.method)
        rows = rows[np.lexsort((self.size[rows], np.arange(rows.size) // ROWS))]
        places = spot[rows]
        kernel = screen_kernel(self.method, dtype)
        run(kernel, [(*own, tree, ready, *margin, rows, places, *piece) for piece in ranges(rows.size, ROWS)])

    def _boxes(self, leaf: int) -> Boxes:
        return boxes(self.space.order, self.centers, self.size, self.scatter, leaf)

    @property
    def features(self) -> np.ndarray:
        """Rounded centroids as other kernels take them, (m, n)."""
        return np.ascontiguousarray(self.centers.T)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        if self.state is None:
            rows = Rows(self.centers, self.low, size, self.scatter, ids, self.near, self.held, self.limit)
            self.state = Chain(method, rows, self.unit, self._boxes(LEAF) if self.walks else None)
        return self.state.merge(next_id, wanted)
