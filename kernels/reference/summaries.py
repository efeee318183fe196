"""Reference: matrix-free clusters; all dissimilarities are computed anew for each search."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference.stored import nearest_to


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

    def dissimilarities(self, size: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Dissimilarities of all clusters, from both parts of their centroids; infinite to rows not in use."""
        square = np.zeros((self.n, self.n), self.high.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for high, low in zip(self.high, self.low, strict=True):
                d = centroids.difference(high[:, None], low[:, None], high[None, :], low[None, :])
                square += d * d
            if self.method.geometric is not None:
                square = self.method.geometric(square, size[:, None], size[None, :])
            else:
                square = square + (self.scatter[:, None] + self.scatter[None, :])
        np.fill_diagonal(square, np.inf)
        square[:, ids < 0] = np.inf
        return square

    def square(self, x: int, y: int) -> Any:
        """The squared distance of two centroids from both parts of them."""
        total = self.high.dtype.type(0)
        for d in centroids.difference(self.high[:, x], self.low[:, x], self.high[:, y], self.low[:, y]):
            total += d * d
        return total

    def find_nearest(self, size: np.ndarray, ids: np.ndarray) -> None:
        square = self.dissimilarities(size, ids)
        others = ~np.eye(self.n, dtype=bool)
        self.scanned = self.n
        if not np.isfinite(square[others]).all():
            self.nearest, self.distance = np.zeros(self.n, np.int64), np.full(self.n, -np.inf, size.dtype)
            return
        self.nearest = np.array([nearest_to(row, ids) for row in square])
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
            square = self.dissimilarities(size, ids)
            while links and ids[links[-1][0]] != links[-1][1]:
                links.pop()
            if not links or len(links) == self.n:
                start = int(np.flatnonzero(ids >= 0)[0])
                links = [(start, ids[start])]
            x = links[-1][0]
            y = nearest_to(square[x], np.where(ids >= 0, ids, next_id + wanted))
            back = nearest_to(square[y], np.where(ids >= 0, ids, next_id + wanted))
            scans += 2
            if not np.isfinite(square[x, y]):
                return np.empty((wanted, 2), np.int64), np.empty(wanted, size.dtype), -1
            if back != x:
                links.append((y, ids[y]))
                continue
            a, b = min(x, y), max(x, y)
            pairs.append((ids[a], ids[b]))
            heights.append(square[a, b])
            self.unite(a, b, size)
            if method.counted:
                size[a] += size[b]
            ids[a], ids[b] = next_id + len(pairs) - 1, -1
        return np.array(pairs), np.array(heights, size.dtype), scans
