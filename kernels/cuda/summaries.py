"""Matrix-free clusters on the device: dissimilarities in closed form from size, centroid and scatter. O(n m) memory.

Dissimilarities are computed when they are needed. A row keeps its nearest cluster until that merges. So a round
searches the nearest of new clusters, and of rows whose nearest has merged. The other rows are compared with the new
clusters, of which only rounding can make one nearer: nearly all tiles are left after one comparison of each pair.
(The CPU keeps lists of several clusters for each row and searches fewer rows; here registers for lists would cost
more time than the searches.) No bound of exact arithmetic is relied on: all comparisons are of dissimilarities
computed from both parts of the centroids, and pairs that tiles of first parts skip are farther by a margin for the
second parts. In few dimensions, and for points in clusters, tiles that are too far are skipped by boxes.
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
from gpuclust.kernels.cuda.nearest import division
from gpuclust.kernels.cuda.reduce import Parts, blocks_for
from gpuclust.kernels.cuda.screen import Places, Screen, Search, Side, Weights
from gpuclust.kernels.cuda.screen_kernels import SINGLE, search_kernel
from gpuclust.kernels.cuda.side_kernels import keep_kernel
from gpuclust.kernels.cuda.summary_chain import chain_kernel
from gpuclust.kernels.cuda.summary_kernels import unite_kernel
from gpuclust.kernels.cuda.summary_rows import Rows, after_round, rows_of
from gpuclust.kernels.cuda.tile import geometry


class Summaries:
    """Sizes and centroids of ``n`` clusters, with the nearest cluster of each (see `gpuclust.core.backend.Stored`).

    Attributes
    ----------
    n, scanned, nearest, distance
        As in the protocol.
    features, low, sizes, held
        On the device: the parts of the centroids (m, n), sizes, and the dissimilarities to ``nearest``.
    order : ndarray of shape (n,)
        Rows by increasing id; None: not known.
    place : array of shape (n,)
        Where clusters stand in an order by place, that of their first points in a kd-tree; None where boxes of those
        would not pay.
    """

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        self.n = self.scanned = points.n
        self.width = len(points.features)
        self.metric, self.p = points.metric, points.p
        self.total = size.sum()
        self.order: np.ndarray | None = np.arange(self.n)
        moved = replace(points, features=centroids.without_offset(launch.upload(points.features)))
        self.features = moved.features
        self.low = launch.full(self.features.shape, 0, self.features.dtype)
        self.scatter = launch.full(self.n, 0, self.features.dtype)  # some linkages do not use it
        self.sizes = launch.upload(size)
        self.held = launch.full(self.n, np.inf, self.dtype)
        enough = self.n >= screen.FEWEST
        self.by_products = enough and halves.available(self.width)
        self.scale = screen.scale_of(self.features, self.by_products) if enough else None
        points_only = bool((size == 1).all())
        rows, near = xp.arange(self.n), launch.full(self.n, -1, np.int64)
        located = boxes.located(moved)
        by_boxes = points_only and located is not None
        self.place = None if located is None else located.position
        if self.scale is not None and not by_boxes:
            some = rows[:: max(1, self.n // screen.SAMPLE)].copy()
            self._update(method, self._search(method), near, some, rows)
            self._settle(method, some)
        if points_only and (by_boxes or self.scale is None):
            self.nearest, self.distance = boxes.search_all(moved)
            self.held = launch.upload(self.distance)
            self._settle(method, rows)
            return
        self._update(method, self._search(method), near, rows, rows)
        self.nearest, self.distance = launch.download(near), launch.download(self.held)

    def _settle(self, method: Method, rows: Any) -> None:
        """Search without products, or in the working dtype, if screening does not pay, by the nearest of ``rows``."""
        while self.scale is not None and not self._screen(method).pays(xp.take(self.held, rows), rows):
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
        if self.order is None:
            self.order = first[np.argsort(new_id, kind="stable")]
        whole, searched = after_round(first, second, new_size, self.nearest, self.order)
        self.n, self.order, self.scanned = first.size, rows_of(whole.parts).order, searched
        rows = rows_of(whole.upload())
        told, near = self._unite(method, rows)
        self.place = None if self.place is None else xp.take(self.place, rows.first)
        search = self._search(method, rows.zeros)
        self._update(method, search, near, rows.divided[:searched], rows.order)
        self._update(method, search, near, rows.divided[searched:], rows.fresh, bounded=True)
        numbers = launch.download(told)
        self.nearest, self.distance = numbers[: self.n], numbers[self.n :].view(self.dtype)[: self.n]

    def _screen(self, method: Method, zeros: Any = None) -> Screen:
        """The clusters as searches compare them first."""
        weights = Weights(method, self.sizes, self.scatter, float(self.total), zeros)
        return Screen.of(self.features, self.scale, self.by_products and self.scale is not None, weights)

    def _unite(self, method: Method, rows: Rows) -> tuple[Any, Any]:
        """The centroids of the new rows, their scatter, and how far the nearest of each is if that still exists.

        Returns one array of what the host is told, and the part of it that is ``nearest``.
        """
        n, dtype = rows.first.size, self.dtype
        features, low = (launch.empty((self.width, n), dtype) for _ in range(2))
        whole, scatter = launch.empty(n + -(-n * dtype.itemsize // 8), np.int64), launch.empty(n, dtype)
        near, held = whole[:n], whole[n:].view(dtype)[:n]
        unite_kernel(self.metric, method, dtype)(
            launch.blocks_for((self.width + 1) * n),
            self.features,
            self.low,
            self.sizes,
            self.scatter,
            self.held,
            rows.first,
            rows.second,
            rows.near,
            features,
            low,
            scatter,
            held,
            near,
        )
        self.features, self.low, self.sizes, self.scatter, self.held = features, low, rows.size, scatter, held
        return whole, near

    def _search(self, method: Method, zeros: Any = None) -> Search:
        """Searches of the clusters as they are now."""
        seen = self._screen(method, zeros)
        boxed = self.place is not None and not seen.by_products
        run = search_kernel(self.metric, method, self.dtype, seen.dtype, seen.by_products, boxed)
        exact = self.features, self.low, self.sizes, self.scatter
        return Search(run, geometry(self.metric, seen.dtype), seen, exact, self.p)

    def _update(
        self, method: Method, search: Search, near: Any, rows: Any, others: Any, bounded: bool = False
    ) -> None:
        """Update the nearest clusters of ``rows`` by those among ``others``.

        Others have increasing ids, larger than those of all nearest clusters so far. ``bounded``: each row has a
        nearest cluster, which few of the others are nearer than.
        """
        if rows.size == 0 or others.size == 0:
            return
        sample, places, columns = None, None, others
        if self.place is not None and not search.screen.by_products:
            rows = xp.take(rows, xp.argsort(xp.take(self.place, rows)))
            places = self._places(method, search, rows, others)
            columns = xp.take(others, places.label)
        elif not bounded and search.samples(rows.size, others.size):
            sample = Side.of(search.screen, others, self.dtype, step=screen.PART)
        left = Side.of(search.screen, rows, self.dtype, self.held if bounded else None)
        value, index = search.slots(left, Side.of(search.screen, columns, self.dtype), sample, places)
        lanes, blocks = division(len(value), rows.size)
        keep_kernel(self.dtype)(blocks, value, index, lanes, rows, others, self.held, near)

    def _places(self, method: Method, search: Search, rows: Any, others: Any) -> Places:
        """An order of ``others`` in which those of a tile lie close together, by id among those."""
        size, many = search.shape.columns, others.size
        label = xp.argsort(xp.take(self.place, others))
        label = xp.take(label, xp.lexsort(xp.stack((label, xp.arange(many) // size))))
        tiles, down = -(-many // size), -(-rows.size // search.shape.rows)
        return Places(label.astype(np.int32), boxes.chunks_for(tiles, down), method.scatter is not None)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        n, dtype, self.order = self.n, self.dtype, None
        run = chain_kernel(self.metric, method, dtype)
        blocks = blocks_for(run, n)
        whole = launch.upload(
            np.concatenate((ids, self.nearest, nearest_id, np.zeros(2 * n + 2 * wanted + 1, np.int64)))
        )
        sizes = launch.upload(np.concatenate((size, np.zeros(wanted, dtype))).astype(dtype, copy=False))
        self.sizes = sizes[:n]
        union = launch.empty((2, max(1, self.width)), dtype)
        run(
            blocks,
            self.features,
            self.low,
            union,
            self.sizes,
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
