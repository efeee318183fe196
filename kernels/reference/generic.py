"""Greedy clustering: the closest pair of all, by smaller row and then smaller column, at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise
from gpuclust.kernels.reference.stored import Stored, unite


class Generic:
    """See `gpuclust.core.backend.Generic`; ``union(a, b, d, size)`` brings ``square`` up to date, b the union."""

    width = 1

    def __init__(self, square: np.ndarray, union: Callable[..., None], method: Method) -> None:
        self.square, self.union, self.counted = square, union, method.counted
        self.dtype = square.dtype
        self.ids = np.arange(len(square))
        self.size = np.ones(len(square), square.dtype)

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        pairs, heights = [], []
        later = np.zeros(len(self.square), np.int64)  # of each row, its nearest cluster in a later row
        distance = np.full(len(self.square), np.inf, self.dtype)
        stale = self.ids >= 0
        for done in range(wanted):
            for x in np.flatnonzero(stale):
                row = np.where(self.ids[x + 1 :] >= 0, self.square[x, x + 1 :], np.inf)
                later[x] = x + 1 + row.argmin() if row.size else x
                distance[x] = row.min() if row.size else np.inf
            a = int(distance.argmin())
            b, d = int(later[a]), distance[a]
            if not np.isfinite(d):
                return np.empty((wanted, 2), np.int64), np.empty(wanted, self.dtype), -1
            pairs.append((self.ids[a], self.ids[b]))
            heights.append(d)
            self.union(a, b, d, self.size)
            if self.counted:
                self.size[b] += self.size[a]
            self.ids[a], self.ids[b] = -1, next_id + done
            distance[a] = np.inf
            stale = (later == a) | (later == b) | ~(self.square[:, b] > distance)
            stale[b + 1 :] = False
            stale[b] = True
            stale &= self.ids >= 0
        return np.array(pairs), np.array(heights, self.dtype), wanted

    def compact(self) -> None:
        """Nothing moves: rows not in use are skipped."""


def from_points(points: Points, method: Method) -> Generic:
    """On centroids in two parts; the larger of two clusters, or the earlier one, is moved to their union."""
    high = centroids.without_offset(points.features)
    low = np.zeros_like(high)

    def union(a: int, b: int, d: np.floating, size: np.ndarray) -> None:
        x, y = (a, b) if size[a] >= size[b] else (b, a)
        high[:, b], low[:, b] = centroids.united(high[:, x], low[:, x], high[:, y], low[:, y], size[x], size[y])
        total = np.zeros(points.n, high.dtype)
        for difference in centroids.difference(high, low, high[:, [b]], low[:, [b]]):
            total += difference * difference
        engine.square[b] = engine.square[:, b] = total

    moved = replace(points, features=high)
    engine = Generic(pairwise.pairwise(moved, moved), union, method)
    return engine


def from_stored(matrix: Stored, method: Method) -> Generic:
    """On a matrix of squares."""

    def union(a: int, b: int, d: np.floating, size: np.ndarray) -> None:
        unite(engine.square, method, a, b, d, size)  # the union stands in row a: it belongs in row b
        engine.square[b] = engine.square[a]
        engine.square[:, b] = engine.square[:, a]

    engine = Generic(matrix.square, union, method)
    return engine
