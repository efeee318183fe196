"""Clusters of points that are searched without a matrix, while a matrix of them would not fit.

Dissimilarities of clusters are computed from their points whenever a row is searched, and dropped: O(n m) memory, but
O(n m) time for every point of a searched row. When few enough clusters are left, their matrix is stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points

#: A backend's search of clusters for the nearest of all others: rows and dissimilarities.
Search = Callable[[Points, Method, Clusters, np.ndarray], tuple[np.ndarray, np.ndarray]]

#: Rows searched between two reports, so that Ctrl-C takes effect.
ROWS_BETWEEN_REPORTS = 4096


def silent() -> None:
    """Report nothing."""


class MatrixFree:
    """Implementation of `gpuclust.core.backend.Stored` by searches from points.

    A nearest neighbour remains the nearest until it merges, because no merge of a reducible linkage brings clusters
    nearer. So a round searches unions, and rows whose nearest has merged.

    Attributes
    ----------
    n, scanned, nearest, distance, width
        As in the protocol.
    clusters : Clusters
        Their rows are in order of age. Rows here are those of a matrix: a union takes the row of its first part.
    row : ndarray of shape (n,), int64
        The row in ``clusters`` of each row here; -1: not in use.
    """

    def __init__(
        self,
        nearest_cluster: Search,
        points: Points,
        method: Method,
        clusters: Clusters,
        report: Callable[[], None] = silent,
    ) -> None:
        self.nearest_cluster, self.points, self.method, self.report = nearest_cluster, points, method, report
        self.clusters = clusters
        self.width = len(points.features)
        self.n = count = clusters.ids.size
        self.row: np.ndarray = np.arange(count)
        self.nearest: np.ndarray = np.full(count, -1)  # -1: unknown
        self.distance = np.full(count, np.inf, points.dtype)
        self._search(np.arange(count))

    @property
    def ids(self) -> np.ndarray:
        """Ids of the clusters by row, before a chain runs."""
        return self.clusters.ids[self.row]

    @property
    def size(self) -> np.ndarray:
        """Their sizes, for a Lance-Williams update."""
        return self.clusters.total[self.row]

    def _search(self, rows: np.ndarray) -> None:
        """Find the nearest of some rows."""
        self.scanned = rows.size
        if self.clusters.ids.size < 2:
            return
        back = np.empty(self.clusters.ids.size, np.int64)
        used = np.flatnonzero(self.row >= 0)
        back[self.row[used]] = used
        for begin in range(0, rows.size, ROWS_BETWEEN_REPORTS):
            part = rows[begin : begin + ROWS_BETWEEN_REPORTS]
            found, distance = self.nearest_cluster(self.points, self.method, self.clusters, self.row[part])
            self.nearest[part], self.distance[part] = back[found], distance
            self.report()

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
        united = np.flatnonzero(second >= 0)  # reciprocal nearest neighbours
        place = np.full(self.n, -1)  # new places of rows that have not merged
        place[first] = np.arange(first.size)
        place[first[united]] = -1
        row = self.row[first]
        if united.size:
            row = self._unite(first[united], second[united], int(new_id[united[0]]))[row]
        nearest: np.ndarray = self.nearest[first]
        nearest = np.where(nearest >= 0, place[nearest], -1)
        self.n = first.size
        self.row, self.nearest, self.distance = row, nearest, self.distance[first]
        self._search(np.flatnonzero(nearest < 0))

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        pairs: list[tuple[int, int]] = []
        heights: list[np.floating] = []
        scans = 0
        links: list[int] = []
        linked = np.zeros(self.n, bool)
        while len(pairs) < wanted:
            if not links:
                links = [int(np.flatnonzero(ids >= 0)[0])]
                linked[links] = True
            x = links[-1]
            if ids[self.nearest[x]] != nearest_id[x]:
                self._search(np.array([x]))
                nearest_id[x] = ids[self.nearest[x]]
                scans += 1
                if not np.isfinite(self.distance[x]):
                    return np.array(pairs), np.array(heights), -1
            y = int(self.nearest[x])
            before = links[-2] if len(links) > 1 else -1
            # By rounding, a computed mean may be nearer to an earlier cluster of the chain; that one is not used.
            if not linked[y] and (before < 0 or self.distance[x] < self.distance[before]):
                links.append(y)
                linked[y] = True
                continue
            y = before
            del links[-2:]
            linked[[x, y]] = False
            a, b = min(x, y), max(x, y)
            pairs.append((ids[a], ids[b]))
            heights.append(self.distance[y])
            moved = self._unite(np.array([a]), np.array([b]), next_id + len(pairs) - 1)
            self.row = np.where(self.row >= 0, moved[self.row], -1)
            self.row[b] = -1
            if method.counted:
                size[a] += size[b]
            ids[a], ids[b] = next_id + len(pairs) - 1, -1
            nearest_id[a] = -2  # to be searched when the chain reaches it
        self.nearest[ids[self.nearest] != nearest_id] = -1
        return np.array(pairs), np.array(heights, self.distance.dtype), scans

    def _unite(self, one: np.ndarray, other: np.ndarray, next_id: int) -> np.ndarray:
        """Unite the clusters of rows; return the new row of each old one."""
        self.clusters, moved = self.clusters.unite(self.row[one], self.row[other], next_id, self.method.counted)
        return moved
