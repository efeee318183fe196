"""The nearest cluster of each of some clusters, from whole rows of dissimilarities."""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference import candidates, pairwise
from gpuclust.kernels.reference.stored import nearest_of_rows


def nearest_cluster(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and dissimilarity of the nearest cluster of each of ``rows``."""
    square = candidates.between_clusters(pairwise.pairwise(points, points), method, clusters)
    np.fill_diagonal(square, np.inf)
    index = nearest_of_rows(square[rows], clusters.ids)
    return index, square[rows, index]
