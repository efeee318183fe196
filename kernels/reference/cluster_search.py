"""Reference: nearest clusters, by the minimum of whole rows."""

from __future__ import annotations

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.reference import candidates
from gpuclust.kernels.reference.stored import nearest_to


def nearest_cluster(
    points: Points, method: Method, clusters: Clusters, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and dissimilarity of the nearest cluster of each of ``rows``."""
    square = candidates.between_clusters(points, method, clusters)
    np.fill_diagonal(square, np.inf)
    index = np.array([nearest_to(square[x], clusters.ids) for x in rows], np.int64)
    return index, square[rows, index]
