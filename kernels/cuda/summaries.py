"""Matrix-free clusters on the device: dissimilarities in closed form from size, centroid and scatter. O(n m) memory.

Dissimilarities are computed when they are needed. A row keeps its nearest cluster until that merges. So a round
searches the nearest of new clusters, and of rows whose nearest has merged. The other rows are compared with the new
clusters, of which only rounding can make one nearer: nearly all tiles are left after one comparison of each pair.
(The CPU keeps lists of several clusters for each row and searches fewer rows; here registers for lists would cost
more time than the searches.) No bound of exact arithmetic is relied on: all comparisons are of dissimilarities
computed from both parts of the centroids, and pairs that tiles of first parts skip are farther by a margin for the
second parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import boxes, halves, launch, screen
from gpuclust.kernels.cuda.launch import xp
from gpuclust.kernels.cuda.reduce import Parts, blocks_for
from gpuclust.kernels.cuda.screen import Screen, Search, Side
from gpuclust.kernels.cuda.screen_kernels import SINGLE, keep_kernel, search_kernel
from gpuclust.kernels.cuda.summary_chain import chain_kernel
from gpuclust.kernels.cuda.summary_kernels import unite_kernel
from gpuclust.kernels.cuda.tile import geometry


class Summaries:
    """Sizes and centroids of ``n`` clusters, with the nearest cluster of each (see `gpuclust.core.backend.Stored`).

    Attributes
    ----------
    n, scanned, nearest, distance
        As in the protocol.
    features, low, held
        On the device: the parts of the centroids (m, n), and the dissimilarities to ``nearest``.
    """

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        self.n = self.scanned = points.n
        self.width = len(points.features)
        self.metric, self.p = points.metric, points.p
        self.total = size.sum()
        moved = replace(points, features=centroids.without_offset(points.features))
        self.features = launch.resident(moved.features)
        self.low = launch.full(self.features.shape, 0, self.features.dtype)
        self.scatter = launch.full(self.n, 0, self.features.dtype)  # some linkages do not use it
        self.held = launch.full(self.n, np.inf, self.dtype)
        enough = self.n >= screen.FEWEST
        self.by_products = enough and halves.available(self.width)
        self.scale = screen.scale_of(self.features, self.by_products) if enough else None
        points_only, sizes = bool((size == 1).all()), launch.upload(size)
        rows, near = np.arange(self.n), launch.full(self.n, -1, np.int64)
        by_boxes = points_only and boxes.located(moved) is not None
        if self.scale is not None and not by_boxes:
            some = rows[:: max(1, self.n // screen.SAMPLE)]
            self._update(self._search(method, sizes), near, some, rows)
            self._settle(method, sizes, some)
        if points_only and (by_boxes or self.scale is None):
            self.nearest, self.distance = boxes.search_all(moved)
            self.held = launch.upload(self.distance)
            self._settle(method, sizes, rows)
            return
        self._update(self._search(method, sizes), near, rows, rows)
        self._tell(near)

    def _settle(self, method: Method, sizes: Any, rows: np.ndarray) -> None:
        """Search without products, or in the working dtype, if screening does not pay, by the nearest of ``rows``."""
        some = launch.upload(rows)
        while self.scale is not None and not self._screen(method, sizes).pays(xp.take(self.held, some), some):
            if not self.by_products or self.dtype == SINGLE:
                self.scale = None
            self.by_products = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.features.dtype)

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
        kept, fresh = np.flatnonzero(second < 0), np.flatnonzero(second >= 0)
        place = np.full(self.n, -1)
        place[first[kept]] = kept
        near = np.full(first.size, -1)
        known = kept[self.nearest[first[kept]] >= 0]
        near[known] = place[self.nearest[first[known]]]
        empty = kept[near[kept] < 0]
        kept = kept[np.argsort(new_id[kept], kind="stable")]  # of equal ones the first is the nearest
        self._unite(method, first, second, size)
        nearest_row = launch.upload(near)
        self.held = xp.where(nearest_row >= 0, xp.take(self.held, launch.upload(first)), np.inf).astype(self.dtype)
        search = self._search(method, launch.upload(new_size))
        self._update(search, nearest_row, np.concatenate((empty, fresh)), np.concatenate((kept, fresh)))
        self._update(search, nearest_row, kept[near[kept] >= 0], fresh, bounded=True)
        self.n, self.scanned = first.size, empty.size + fresh.size
        self._tell(nearest_row)

    def _tell(self, near: Any) -> None:
        """Copy the nearest cluster of each, and its dissimilarity, to the host."""
        self.nearest, self.distance = launch.download(near), launch.download(self.held)

    def _screen(self, method: Method, sizes: Any) -> Screen:
        """The clusters as searches compare them first."""
        reach, part = 1.0, self.scatter
        if method.geometric is not None:
            reach, part = method.geometric(1, sizes, self.total), 0.5 / method.geometric(1, sizes, sizes)
        elif self.scale is not None:
            part = part * self.scale**2
        by_products = self.by_products and self.scale is not None
        return Screen.of(self.features, self.scale, reach, part, by_products)

    def _unite(self, method: Method, first: np.ndarray, second: np.ndarray, size: np.ndarray) -> None:
        """The centroids of the new rows, and their scatter."""
        shape = (self.width, first.size)
        features, low = launch.empty(shape, self.dtype), launch.empty(shape, self.dtype)
        scatter = launch.empty(first.size, self.dtype)
        unite_kernel(self.metric, method, self.dtype)(
            launch.blocks_for((self.width + 1) * first.size),
            self.features,
            self.low,
            launch.upload(size),
            self.scatter,
            launch.upload(first),
            launch.upload(second),
            features,
            low,
            scatter,
        )
        self.features, self.low, self.scatter = features, low, scatter

    def _search(self, method: Method, sizes: Any) -> Search:
        """Searches of the clusters as they are now."""
        seen = self._screen(method, sizes)
        run = search_kernel(self.metric, method, self.dtype, seen.dtype, seen.by_products)
        exact = self.features, self.low, sizes, self.scatter
        return Search(run, geometry(self.metric, seen.dtype), seen, exact, self.p)

    def _update(self, search: Search, near: Any, rows: np.ndarray, others: np.ndarray, bounded: bool = False) -> None:
        """Update the nearest clusters of ``rows`` by those among ``others``.

        Others have increasing ids, larger than those of all nearest clusters so far. ``bounded``: each row has a
        nearest cluster, which few of the others are nearer than.
        """
        if rows.size == 0 or others.size == 0:
            return
        part, columns = launch.upload(rows), launch.upload(others)
        left, right = Side.of(search.screen, part), Side.of(search.screen, columns)
        reach = search.screen.loosened(xp.take(self.held, part), part) if bounded else None
        at, found = search.nearest(left, right, reach)
        keep_kernel(self.dtype)(launch.blocks_for(rows.size), part, columns, found, at, self.held, near)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype = self.n, self.dtype
        run = chain_kernel(self.metric, method, dtype)
        blocks = blocks_for(run, n)
        whole = launch.upload(
            np.concatenate((ids, self.nearest, nearest_id, np.zeros(2 * n + 2 * wanted + 1, np.int64)))
        )
        sizes = launch.upload(np.concatenate((size, np.zeros(wanted, dtype))).astype(dtype, copy=False))
        union = launch.empty((2, max(1, self.width)), dtype)
        run(
            blocks,
            self.features,
            self.low,
            union,
            sizes[:n],
            self.scatter,
            whole[:n],
            whole[n : 2 * n],
            whole[2 * n : 3 * n],
            self.held,
            whole[3 * n : 5 * n].reshape((2, n)),
            next_id,
            wanted,
            whole[5 * n : 5 * n + 2 * wanted].reshape((wanted, 2)),
            sizes[n:],
            whole[5 * n + 2 * wanted :],
            *Parts(blocks, dtype).arrays,
        )
        numbers, heights = launch.download(whole), launch.download(sizes)
        ids[:], self.nearest, nearest_id[:] = numbers[:n], numbers[n : 2 * n], numbers[2 * n : 3 * n]
        size[:] = heights[:n]
        gone = (self.nearest < 0) | (ids[self.nearest] != nearest_id)
        self.nearest[(ids >= 0) & gone] = -1
        pairs = numbers[5 * n : 5 * n + 2 * wanted].reshape((wanted, 2))
        return pairs, heights[n:], int(numbers[-1])
