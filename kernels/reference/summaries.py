"""Clusters as summaries (size, centroid, scatter): dissimilarities are computed anew whenever they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference.stored import nearest_of_rows, nearest_to


class Summaries:
    """See `gpuclust.core.backend.Stored`; centroids in two parts as in `gpuclust.core.centroids`."""

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        self.method = method
        self.width = len(points.features)
        self.high = centroids.without_offset(points.features)
        self.low = np.zeros_like(self.high)
        self.scatter = np.zeros(points.n, self.high.dtype)
        self.find_nearest(size, np.arange(points.n))

    @property
    def n(self) -> int:
        return self.high.shape[1]

    def dissimilarities(self, rows: np.ndarray, size: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Of some clusters to all others, from both parts of their centroids; infinite to rows not in use."""
        square = np.zeros((rows.size, self.n), self.high.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for high, low in zip(self.high, self.low, strict=True):
                d = centroids.difference(high[rows, None], low[rows, None], high[None, :], low[None, :])
                square += d * d
            if self.method.geometric is not None:
                square = self.method.geometric(square, size[rows, None], size[None, :])
            else:
                square = square + (self.scatter[rows, None] + self.scatter[None, :])
        square[np.arange(rows.size), rows] = np.inf
        square[:, ids < 0] = np.inf
        return square

    def nearest_in_use(self, x: int, size: np.ndarray, ids: np.ndarray) -> tuple[int, Any]:
        """The nearest cluster of one, and its dissimilarity; of equal ones the smallest id."""
        row = self.dissimilarities(np.array([x]), size, ids)[0]
        y = nearest_to(row, np.where(ids >= 0, ids, np.iinfo(ids.dtype).max))
        return y, row[y]

    def square(self, x: int, y: int) -> Any:
        """The squared distance of two centroids from both parts of them."""
        total = self.high.dtype.type(0)
        for d in centroids.difference(self.high[:, x], self.low[:, x], self.high[:, y], self.low[:, y]):
            total += d * d
        return total

    def find_nearest(self, size: np.ndarray, ids: np.ndarray) -> None:
        square = self.dissimilarities(np.arange(self.n), size, ids)
        others = ~np.eye(self.n, dtype=bool)
        self.scanned = self.n
        if not np.isfinite(square[others]).all():
            self.nearest, self.distance = np.zeros(self.n, np.int64), np.full(self.n, -np.inf, size.dtype)
            return
        self.nearest = nearest_of_rows(square, ids)
        self.distance = square[np.arange(self.n), self.nearest]

    def unite(self, a: int, b: int, size: np.ndarray) -> None:
        """Move centroid a to that of the union of a and b."""
        high, low, scatter = self.high, self.low, self.scatter
        if self.method.scatter is not None:
            scatter[a] = self.method.scatter(self.square(a, b), scatter[a], scatter[b], size[a], size[b])
        x, y = (a, b) if size[a] >= size[b] else (b, a)  # the larger one moves less, which rounds less
        high[:, a], low[:, a] = centroids.united(high[:, x], low[:, x], high[:, y], low[:, y], size[x], size[y])

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
        for a, b in zip(first, second, strict=True):
            if b >= 0:
                self.unite(a, b, size)
        self.high, self.low = self.high[:, first].copy(), self.low[:, first].copy()
        self.scatter = self.scatter[first]
        self.find_nearest(new_size, new_id)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        pairs: list[tuple[int, int]] = []
        heights: list[Any] = []
        scans = 0
        links: list[tuple[int, int]] = []  # rows, and the ids they had
        while len(pairs) < wanted:
            while links and ids[links[-1][0]] != links[-1][1]:
                links.pop()
            if not links or len(links) == self.n:
                start = int(np.flatnonzero(ids >= 0)[0])
                links = [(start, ids[start])]
            x = links[-1][0]
            y, between = self.nearest_in_use(x, size, ids)
            back, _ = self.nearest_in_use(y, size, ids)
            scans += 2
            if not np.isfinite(between):
                return np.empty((wanted, 2), np.int64), np.empty(wanted, size.dtype), -1
            if back != x:
                links.append((y, ids[y]))
                continue
            a, b = min(x, y), max(x, y)
            pairs.append((ids[a], ids[b]))
            heights.append(between)
            self.unite(a, b, size)
            if method.counted:
                size[a] += size[b]
            ids[a], ids[b] = next_id + len(pairs) - 1, -1
        return np.array(pairs), np.array(heights, size.dtype), scans
