"""Clusters as summaries on the CPU: size and centroid stand for a row of a dissimilarity matrix. O(n m) memory.

Dissimilarities are computed when they are needed, so what counts is how few rows are searched. Every row keeps a list
of its few nearest clusters. As long as one of them is there, only new clusters can be nearer. Those are searched
anyway, and tell how near they come to every other row; rows for which that is near enough look at the new clusters
again. So a round searches new clusters, and rows whose list is used up. No bound of exact arithmetic is relied on:
all comparisons are of computed dissimilarities.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpuclust import centroids
from gpuclust.kernels.cpu import nearest
from gpuclust.kernels.cpu.launch import ranges, run
from gpuclust.kernels.cpu.summary_kernels import Kernels, kernels
from gpuclust.methods import Method
from gpuclust.metrics import Points

#: Rows a piece of work.
ROWS = 64
#: Neighbours a row keeps: with one, half as many rows again are searched; more than four hardly help.
LISTED = 4
#: Coordinates of pairs not worth a second thread, some 100 microseconds.
SMALL = 1 << 19


class Summaries:
    """Sizes and centroids of ``n`` clusters, with the nearest clusters of each (see `gpuclust.backends.Stored`).

    Attributes
    ----------
    n, scanned, nearest, distance
        As in the protocol. ``distance`` is computed with both parts of the centroids.
    near, held : ndarray, shape (n, LISTED)
        The nearest clusters of each row by (dissimilarity, id), -1 where there are fewer in the list, and their
        dissimilarities as compared: of rounded centroids. All other clusters come after the last in the list.
    """

    def __init__(self, points: Points, method: Method) -> None:
        self.n = self.scanned = points.n
        self.width = len(points.features)
        self.metric, self.p = points.metric, points.p
        self.features = centroids.without_offset(points.features)
        self.low = np.zeros_like(self.features)  # see gpuclust.centroids
        self.scatter = np.zeros(self.n, self.features.dtype)  # of no use to some linkages
        self.nearest, self.distance = nearest.nearest(replace(points, features=self.features))
        self.near = np.full((self.n, LISTED), -1)
        self.held = np.full((self.n, LISTED), np.inf, self.distance.dtype)
        self.near[:, 0], self.held[:, 0] = self.nearest, self.distance

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
        kernel = kernels(self.metric, method, self.held.dtype)
        kept, fresh = np.flatnonzero(second < 0), np.flatnonzero(second >= 0)
        place = np.full(self.n, -1)
        place[first[kept]] = kept
        near = np.empty((first.size, LISTED), np.int64)
        held = np.empty(near.shape, self.held.dtype)
        kernel.carry(first, place, self.near, self.held, near, held)
        self._unite(kernel, first, second, size)
        self.n, self.near, self.held = first.size, near, held
        empty = kept[near[kept, 0] < 0]
        common = self.features, new_size, self.scatter, new_id, self.p, near, held
        least = self._search(kernel, common, empty, fresh, kept)
        last = np.maximum((near[kept] >= 0).sum(axis=1) - 1, 0)
        self._search(kernel, common, kept[least < held[kept, last]], fresh, fresh)
        self.scanned = empty.size + fresh.size
        self.nearest = near[:, 0].copy()
        self.distance = np.empty(self.n, held.dtype)
        kernel.refine(self.features, self.low, new_size, self.scatter, near, self.distance)

    def _unite(self, kernel: Kernels, first: np.ndarray, second: np.ndarray, size: np.ndarray) -> None:
        """The centroids of the new rows, and their scatter."""
        shape = len(self.features), first.size
        features, low, scatter = (np.empty(part, size.dtype) for part in (shape, shape, first.size))
        kernel.unite(self.features, self.low, size, self.scatter, first, second, features, low, scatter)
        self.features, self.low, self.scatter = features, low, scatter

    def _search(
        self, kernel: Kernels, common: tuple[Any, ...], rows: np.ndarray, fresh: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        """Search ``rows`` and ``fresh`` among the others; how near the fresh ones come to each of those."""
        features, size, scatter, *_ = common
        parts = [np.full(others.size, np.inf, size.dtype)]

        def least() -> tuple[np.ndarray]:
            parts.append(parts[0].copy())
            return (parts[-1],)

        columns = np.take(features, others, axis=1), size[others], scatter[others], others
        pieces = []
        for clusters, note in ((rows, False), (fresh, True)):
            clusters = clusters[np.argsort(size[clusters], kind="stable")]
            own = np.searchsorted(others, clusters)  # where a cluster would meet itself
            pieces += [(*common, *columns, clusters, own, *piece, note) for piece in ranges(clusters.size, ROWS)]
        run(kernel.search, pieces, least, threads=len(pieces) * ROWS * columns[0].size > SMALL)
        return np.minimum.reduce(parts)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, self.held.dtype)
        distance = self.held[:, 0].copy()
        scans = kernels(self.metric, method, self.held.dtype).chain(
            self.features,
            self.low,
            self.p,
            size,
            self.scatter,
            ids,
            self.nearest,
            nearest_id,
            distance,
            next_id,
            wanted,
            pairs,
            heights,
        )
        self.near[:], self.held[:] = -1, np.inf
        self.near[:, 0], self.held[:, 0] = self.nearest, distance
        return pairs, heights, scans
