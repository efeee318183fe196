"""Partitions of points into weighted clusters, and the merges that an algorithm finds. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clusters:
    """A partition of points; clusters are numbered by row, in increasing order of their ids.

    Attributes
    ----------
    ids : ndarray of shape (C,), int64
        Ids of the clusters, increasing: points come first, unions after them by age.
    members : ndarray of shape (n,), int64
        The points, cluster after cluster.
    start : ndarray of shape (C + 1,), int64
        Where each cluster starts in ``members``.
    weight : ndarray of shape (n,), float
        Weight of each entry of ``members``: one, or what repeated halving has left of it (weighted linkage).
    total : ndarray of shape (C,), float
        Sum of the weights of each cluster; the cluster sizes that a Lance-Williams update takes.
    """

    ids: np.ndarray
    members: np.ndarray
    start: np.ndarray
    weight: np.ndarray
    total: np.ndarray

    @classmethod
    def of_points(cls, n: int, dtype: np.dtype) -> Clusters:
        """Every point on its own."""
        return cls(np.arange(n), np.arange(n), np.arange(n + 1), np.ones(n, dtype), np.ones(n, dtype))

    @property
    def size(self) -> np.ndarray:
        """Number of points in each cluster."""
        return np.diff(self.start)

    @property
    def row_of_point(self) -> np.ndarray:
        """The cluster of each point."""
        row = np.empty(self.members.size, np.int64)
        row[self.members] = np.repeat(np.arange(self.ids.size), self.size)
        return row

    def unite(
        self, first: np.ndarray, second: np.ndarray, next_id: int, counted: bool
    ) -> tuple[Clusters, np.ndarray]:
        """Unite rows ``first`` with rows ``second``; the new clusters, and the new row of each old row.

        Clusters left alone keep their order, unions follow in the order given, with ids from ``next_id``.
        """
        count = self.ids.size
        alone = np.ones(count, bool)
        alone[first] = alone[second] = False
        rest = np.flatnonzero(alone)
        new_row = np.empty(count, np.int64)
        new_row[rest] = np.arange(rest.size)
        new_row[first] = new_row[second] = rest.size + np.arange(first.size)
        # Old rows in the order in which their members follow each other: of a union those of its first part first.
        rows = np.concatenate((rest, np.stack((first, second), axis=1).ravel()))
        sizes = self.size[rows]
        ends = np.cumsum(sizes)
        order = np.arange(self.members.size) + np.repeat(self.start[rows] - (ends - sizes), sizes)
        start = np.zeros(rest.size + first.size + 1, np.int64)
        start[1:] = np.concatenate((ends[: rest.size], ends[rest.size + 1 :: 2]))
        weight = self.weight[order]
        if counted:
            total = np.concatenate((self.total[rest], self.total[first] + self.total[second]))
        else:
            total = np.ones(start.size - 1, self.total.dtype)
            weight[start[rest.size] :] /= 2
        ids = np.concatenate((self.ids[rest], next_id + np.arange(first.size)))
        return Clusters(ids, self.members[order], start, weight, total), new_row


@dataclass(frozen=True)
class Merges:
    """The merges of an algorithm, before they are numbered as in Z.

    Attributes
    ----------
    pairs : ndarray of shape (n - 1, 2), int64
        Merge ``k`` joins two clusters and makes the one with id ``n + k``; ids below n are observations. A spanning
        tree (``edges=True``) names observations only: each pair is an edge of the tree.
    heights : ndarray of shape (n - 1,), float
        The dissimilarity at which each pair merged.
    scans : int
        Rows of the dissimilarity matrix that were searched for a minimum, the measure of work.
    edges : bool
        Pairs are edges between observations; which clusters they join follows from their order by height.
    by_ends : bool
        Edges of equal height come by (smaller end, larger end), in whatever order they were found.
    monotone : bool
        Heights never decrease along the tree, so Z is sorted by height. Otherwise merges keep their order.
    """

    pairs: np.ndarray
    heights: np.ndarray
    scans: int = 0
    edges: bool = False
    by_ends: bool = False
    monotone: bool = True


class Merging:
    """Merges made so far, and the rows scanned for them."""

    def __init__(self, n: int, dtype: np.dtype) -> None:
        self.pairs = np.empty((n - 1, 2), np.int64)
        self.heights = np.empty(n - 1, dtype)
        self.done = 0
        self.scans = 0

    @property
    def next_id(self) -> int:
        """The id of the cluster that the next merge makes."""
        return self.heights.size + 1 + self.done

    def room(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the pairs and the heights of the next merges go, of which there are at most ``count``."""
        part = slice(self.done, self.done + count)
        return self.pairs[part], self.heights[part]

    def add(self, pairs: np.ndarray, heights: np.ndarray, scans: int) -> None:
        here, there = self.room(len(heights))
        here[:], there[:] = pairs, heights
        self.done += len(heights)
        self.scans += scans
