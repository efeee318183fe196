"""Reference: dissimilarities of clusters from their points, by loops over pairs."""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise


def between(square: np.ndarray, method: Method, clusters: Clusters, c: int, q: int) -> np.floating:
    """Dissimilarity of clusters c < q: the largest, or the weighted mean, over their pairs of points."""
    result = square.dtype.type(0)
    for a in range(clusters.start[c], clusters.start[c + 1]):
        inner = square.dtype.type(0)
        for b in range(clusters.start[q], clusters.start[q + 1]):
            value = square[clusters.members[a], clusters.members[b]]
            inner = max(inner, value) if method.pairs == "largest" else inner + clusters.weight[b] * value
        result = max(result, inner) if method.pairs == "largest" else result + clusters.weight[a] * inner
    return result if method.pairs == "largest" else result / (clusters.total[c] * clusters.total[q])


def between_clusters(points: Points, method: Method, clusters: Clusters) -> np.ndarray:
    """The square matrix of all dissimilarities of clusters."""
    square = pairwise.pairwise(points, points)
    count = clusters.ids.size
    result = np.zeros((count, count), square.dtype)
    for c in range(count):
        for q in range(c + 1, count):
            result[c, q] = result[q, c] = between(square, method, clusters, c, q)
    return result


def nearest_among(
    points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For the clusters ``rows``: row and dissimilarity of the nearest that holds a listed neighbour of a member."""
    square = pairwise.pairwise(points, points)
    row_of = clusters.row_of_point
    index = np.full(rows.size, -1)
    distance = np.full(rows.size, np.inf, square.dtype)
    for place, c in enumerate(rows):
        members = clusters.members[clusters.start[c] : clusters.start[c + 1]]
        for q in sorted(set(row_of[neighbours[members]].ravel()) - {c}):
            value = between(square, method, clusters, min(c, q), max(c, q))
            if value < distance[place]:
                index[place], distance[place] = q, value
    return index, distance
