"""Reference: the k nearest neighbours, by sorting whole rows of distances."""

from __future__ import annotations

import numpy as np

from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise


def knn(points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) of the nearest other points, by (distance, index), and their distances."""
    square = pairwise.pairwise(points, points)
    np.fill_diagonal(square, np.inf)
    index = np.argsort(square, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(square, index, axis=1)
