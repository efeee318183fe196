"""Dissimilarities of clusters from those of their points, pair after pair."""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method


def between_clusters(square: np.ndarray, method: Method, clusters: Clusters) -> np.ndarray:
    """All dissimilarities of clusters, from those of points: the largest, or the weighted mean, over pairs of points.

    Of two clusters c < q the sum over the points of q is the inner one. Sums are taken in the order of
    ``clusters.members``, for all pairs of clusters at once.
    """
    largest = method.pairs == "largest"
    inner = _over_members(square.T, clusters, largest)  # of each cluster q and point
    result = _over_members(inner.T, clusters, largest)  # of each cluster c and cluster q
    if not largest:
        result /= clusters.total[:, None] * clusters.total[None, :]
    later = np.tril_indices(len(result), -1)
    result[later] = result.T[later]
    np.fill_diagonal(result, 0)
    return result


def _over_members(values: np.ndarray, clusters: Clusters, largest: bool) -> np.ndarray:
    """The largest, or the weighted sum, of the rows of ``values`` that are members of each cluster."""
    sizes = np.diff(clusters.start)
    result = np.zeros((sizes.size, values.shape[1]), values.dtype)
    for k in range(sizes.max()):
        rows = np.flatnonzero(sizes > k)
        places = clusters.start[rows] + k
        members = values[clusters.members[places]]
        if largest:
            result[rows] = np.fmax(result[rows], members)
        else:
            result[rows] += clusters.weight[places, None] * members
    return result


def nearest_among(
    square: np.ndarray, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For the clusters ``rows``: row and dissimilarity of the nearest that holds a listed neighbour of a member."""
    row_of = clusters.row_of_point
    every = between_clusters(square, method, clusters)
    listed = np.zeros(every.shape, bool)
    listed[row_of[:, None], row_of[neighbours]] = True
    np.fill_diagonal(listed, False)
    among = np.where(listed, every, np.inf)[rows]
    index = among.argmin(axis=1)
    distance = among[np.arange(rows.size), index]
    return np.where(distance < np.inf, index, -1), distance
