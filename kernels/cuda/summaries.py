"""Matrix-free clusters on the device: dissimilarities in closed form from size, centroid and scatter. O(n m) memory.

Dissimilarities are computed when they are needed. A row keeps its nearest cluster until that merges. Only new
clusters can be nearer; those are searched in any case, which gives their least dissimilarity to every other row, and
rows for which it is small enough search the new clusters again. So a round searches the new clusters, and rows whose
nearest has merged. (The CPU keeps lists of several clusters for each row and searches fewer rows; here registers for
lists would cost more time than the searches.) No bound of exact arithmetic is relied on: all comparisons are of
dissimilarities computed from both parts of the centroids, and pairs that tiles of first parts skip are farther by a
margin for the second parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import boxes, launch, nearest
from gpuclust.kernels.cuda.launch import xp
from gpuclust.kernels.cuda.reduce import Parts, blocks_for
from gpuclust.kernels.cuda.summary_chain import chain_kernel
from gpuclust.kernels.cuda.summary_kernels import search_kernel, unite_kernel
from gpuclust.kernels.cuda.tile import geometry

#: Bytes of minima of columns that are held at a time.
_SLAB = 1 << 12 if launch.SIMULATED else 1 << 26


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
        self.features = launch.upload(moved.features)
        self.low = launch.full(self.features.shape, 0, self.features.dtype)
        self.scatter = launch.full(self.n, 0, self.features.dtype)  # some linkages do not use it
        if (size == 1).all():
            self.nearest, self.distance = boxes.search_all(moved)
            self.held = launch.upload(self.distance)
            return
        rows = np.arange(self.n)
        self.held = launch.full(self.n, np.inf, self.dtype)
        sizes, near = launch.upload(size), launch.full(self.n, -1, np.int64)
        self._search(method, sizes, near, rows, rows[:0], rows)
        self._tell(near)

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
        sizes = launch.upload(new_size)
        least = self._search(method, sizes, nearest_row, empty, fresh, kept)
        rows = launch.upload(kept)
        reached = centroids.loosened(xp.take(self.held, rows), self._slack(method, rows, sizes), self.growth)
        again = kept[launch.download(xp.flatnonzero(least <= reached))]
        self._search(method, sizes, nearest_row, np.concatenate((again, fresh)), fresh[:0], fresh)
        self.n, self.scanned = first.size, empty.size + fresh.size
        self._tell(nearest_row)

    def _tell(self, near: Any) -> None:
        """Copy the nearest cluster of each, and its dissimilarity, to the host."""
        self.nearest, self.distance = launch.download(near), launch.download(self.held)

    def _slack(self, method: Method, rows: Any, sizes: Any) -> Any:
        """Of some clusters: see `gpuclust.core.centroids.slack`."""
        kind = np.finfo(self.dtype)
        reach = method.geometric(1, xp.take(sizes, rows), self.total) if method.geometric is not None else 1
        length = abs(xp.take(self.features, rows, axis=1)).sum(axis=0)
        slack = centroids.slack(length, reach, self.width, float(kind.eps), float(kind.smallest_subnormal))
        return slack.astype(self.dtype)

    @property
    def growth(self) -> Any:
        """See `gpuclust.core.centroids.loosened`."""
        return self.dtype.type(centroids.growth(self.width, float(np.finfo(self.dtype).eps)))

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

    def _search(
        self, method: Method, sizes: Any, near: Any, rows: np.ndarray, noted: np.ndarray, others: np.ndarray
    ) -> Any:
        """Update the nearest clusters of ``rows`` and ``noted`` by those among ``others``.

        Others have increasing ids, larger than those of all nearest clusters so far. Returns the least dissimilarity
        of each to the noted ones.
        """
        least = launch.full(others.size, np.inf, self.dtype)
        if others.size == 0:
            return least
        run = search_kernel(self.metric, method, self.dtype)
        shape = geometry(self.metric, self.dtype)
        columns = launch.upload(others)
        G, low_G = (xp.take(part, columns, axis=1) for part in (self.features, self.low))
        size_G, scatter_G = xp.take(sizes, columns), xp.take(self.scatter, columns)
        across = -(-others.size // shape.columns)
        for which, note in ((rows, False), (noted, True)):
            # As many rows at a time as there is memory for the minima of columns, of each row of tiles.
            step = shape.rows * max(1, _SLAB // (others.size * self.dtype.itemsize)) if note else max(1, which.size)
            for begin in range(0, which.size, step):
                part = launch.upload(which[begin : begin + step])
                down = -(-part.size // shape.rows)
                chunks = min(across, max(1, nearest.BLOCKS * launch.current_device().multiprocessors // down))
                value = launch.empty((chunks, part.size), self.dtype)
                index = launch.empty((chunks, part.size), np.int32)
                slots = launch.empty((down if note else 1, others.size if note else 1), self.dtype)
                run(
                    down * chunks,
                    xp.take(self.features, part, axis=1),
                    xp.take(self.low, part, axis=1),
                    xp.take(sizes, part),
                    xp.take(self.scatter, part),
                    self._slack(method, part, sizes),
                    part,
                    G,
                    low_G,
                    size_G,
                    scatter_G,
                    columns,
                    self.growth,
                    self.p,
                    note,
                    value,
                    index,
                    slots,
                )
                if note:
                    least = xp.minimum(least, slots.min(axis=0))
                found, at = launch.full(part.size, np.inf, self.dtype), launch.full(part.size, -1, np.int32)
                nearest.fold(value, index, 0, part.size, found, at)
                better = found < xp.take(self.held, part)
                self.held[part] = xp.where(better, found, xp.take(self.held, part))
                near[part] = xp.where(better, xp.take(columns, xp.maximum(at, 0)), xp.take(near, part))
        return least

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
