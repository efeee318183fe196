"""A stored dissimilarity matrix: a full square, pairs merged one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise


def nearest_to(row: np.ndarray, ids: np.ndarray) -> int:
    """Position of the smallest dissimilarity of a row; of equal ones that of the smallest id."""
    smallest = np.flatnonzero(row == row.min())
    return int(smallest[ids[smallest].argmin()])


def nearest_of_rows(square: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """`nearest_to` of every row."""
    order = np.argsort(ids)
    return np.asarray(order[square[:, order].argmin(axis=1)])


def scalars(values: np.ndarray) -> list[Any]:
    """The numbers of an array one by one, as what computes with the same rounding, the fastest there is."""
    return values.tolist() if values.dtype == np.float64 else list(values)


def unite(square: np.ndarray, method: Method, a: int, b: int, between: np.floating, size: np.ndarray) -> None:
    """Replace row and column a by those of the union of a and b."""
    others = np.ones(len(square), bool)
    others[[a, b]] = False
    d, sa, sb = (scalars(np.array([number], square.dtype))[0] for number in (between, size[a], size[b]))
    rows = zip(*(scalars(values[others]) for values in (square[:, a], square[:, b], size)), strict=True)
    square[a, others] = [method.update(xa, xb, d, sa, sb, sx) for xa, xb, sx in rows]
    square[others, a] = square[a, others]


class Stored:
    """See `gpuclust.core.backend.Stored`."""

    width = 1

    def __init__(self, square: np.ndarray) -> None:
        self.square = square
        if not np.isfinite(square).all():
            self.nearest, self.distance = np.zeros(self.n, np.int64), np.full(self.n, -np.inf, square.dtype)
            return
        np.fill_diagonal(self.square, np.inf)
        self.find_nearest(np.arange(self.n))

    @property
    def n(self) -> int:
        return len(self.square)

    @classmethod
    def from_points(cls, points: Points) -> Stored:
        square = pairwise.pairwise(points, points)
        lower = np.tril_indices(len(square))
        square[lower] = square.T[lower]  # every pair in one orientation
        np.fill_diagonal(square, 0)
        return cls(square)

    @classmethod
    def from_condensed(cls, condensed: np.ndarray, n: int, squared: bool) -> Stored:
        square = np.zeros((n, n), condensed.dtype)
        square[np.triu_indices(n, 1)] = condensed * condensed if squared else condensed
        return cls(square + square.T)

    def find_nearest(self, ids: np.ndarray) -> None:
        self.scanned = self.n
        rows = np.arange(self.n)
        self.nearest = nearest_of_rows(self.square, ids)
        self.distance = self.square[rows, self.nearest]

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
        size = size.copy()
        for place, (a, b) in enumerate(zip(first, second, strict=True)):
            if b >= 0:
                unite(self.square, method, a, b, between[place], size)
                size[a] = new_size[place]
        self.square = self.square[np.ix_(first, first)]
        self.find_nearest(new_id)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        pairs: list[tuple[int, int]] = []
        heights: list[np.floating] = []
        scans = 0
        links: list[int] = []
        while len(pairs) < wanted:
            if not links:
                links = [int(np.flatnonzero(ids >= 0)[0])]
            x = links[-1]
            if ids[self.nearest[x]] != nearest_id[x]:
                row = np.where(ids >= 0, self.square[x], np.inf)
                y = nearest_to(row, np.where(ids >= 0, ids, ids.size + next_id + wanted))
                self.nearest[x], nearest_id[x], self.distance[x] = y, ids[y], row[y]
                scans += 1
            y = int(self.nearest[x])
            if len(links) < 2 or links[-2] != y:
                links.append(y)
                continue
            del links[-2:]
            a, b = min(x, y), max(x, y)
            pairs.append((ids[a], ids[b]))
            heights.append(self.distance[x])
            unite(self.square, method, a, b, self.distance[x], size)
            if method.counted:
                size[a] += size[b]
            ids[a], ids[b] = next_id + len(pairs) - 1, -1
            nearest_id[a] = -2  # to be scanned when the chain reaches it
        return np.array(pairs), np.array(heights, self.square.dtype), scans
