"""Rounds of reciprocal nearest neighbours from points, for as long as a matrix of the clusters would not fit.

Dissimilarities of clusters are computed from their points whenever a row is searched, and dropped: O(n m) memory, but
O(n m) time for every point of a searched row. When the clusters left are few enough, they go on as a stored matrix.

A nearest neighbour stays nearest until it merges, because a reducible linkage brings nothing nearer. After that its
dissimilarity is still a lower bound. Where many pairs merge at once, all rows without a neighbour are searched again.
Where few do (a hub that everything is nearest to), only rows that a chain of nearest neighbours reaches are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.algorithms.candidates import reciprocal_pairs
from gpuclust.backends import Backend
from gpuclust.clusters import Clusters
from gpuclust.errors import overflow
from gpuclust.hierarchy.assemble import Merging
from gpuclust.methods import Method
from gpuclust.metrics import Points

#: A round of fewer than one pair in so many clusters is not worth searching all rows for.
SHARE = 24
#: Rows searched between two looks at the clock, and two reports.
ROWS_BETWEEN_REPORTS = 4096


def shrink(
    backend: Backend,
    points: Points,
    method: Method,
    merges: Merging,
    clusters: Clusters,
    wanted: int,
    report: Callable[[int], None],
) -> Clusters:
    """Make merges until ``wanted`` clusters are left, or a few less; the clusters that are left.

    For linkages that are a largest or a mean over pairs of points. O(n² m) time a round, O(n m) memory.
    """
    n = points.n

    def search(rows: np.ndarray) -> None:
        for begin in range(0, rows.size, ROWS_BETWEEN_REPORTS):
            part = rows[begin : begin + ROWS_BETWEEN_REPORTS]
            nearest[part], distance[part] = backend.nearest_cluster(points, method, clusters, part)
            report(merges.done)
        merges.scans += rows.size
        if not np.isfinite(distance[rows]).all():
            raise overflow(distance.dtype)

    count = clusters.ids.size
    nearest = np.full(count, -1)  # -1: not known, and ``distance`` is a lower bound
    distance = np.zeros(count, points.features.dtype)
    search(np.arange(count))
    while count > wanted:
        first, second = reciprocal_pairs(nearest)
        few = 1
        while first.size == 0:  # the pair that is nearest of all is found at last
            unknown = np.flatnonzero(nearest < 0)
            search(unknown[np.argsort(distance[unknown], kind="stable")[:few]])
            first, second = reciprocal_pairs(nearest)
            few *= 2
        pairs = np.stack((clusters.ids[first], clusters.ids[second]), axis=1)
        merges.add(pairs, distance[first], 0)
        clusters, row = clusters.unite(first, second, n + merges.done - first.size, method.counted)
        nearest, distance = _follow(nearest, distance, first, row, clusters.ids.size)
        count = clusters.ids.size
        report(merges.done)
        if first.size * SHARE >= count:
            search(np.flatnonzero(nearest < 0))
    return clusters


def _follow(
    nearest: np.ndarray, distance: np.ndarray, first: np.ndarray, row: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest clusters (-1: not known any more) and distances or lower bounds by new rows."""
    merged = np.zeros(row.size, bool)
    merged[first] = merged[nearest[first]] = True
    known = ~merged & (nearest >= 0)
    known[known] = ~merged[nearest[known]]
    new_nearest = np.full(count, -1)
    new_distance = np.empty(count, distance.dtype)
    new_distance[row] = distance  # of a union that of its parts: it is no nearer to anything
    new_nearest[row[known]] = row[nearest[known]]
    return new_nearest, new_distance
