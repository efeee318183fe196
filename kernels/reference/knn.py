"""The k nearest neighbours, from sorted rows of distances."""

from __future__ import annotations

import numpy as np


def knn(square: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) of the nearest other points, by (distance, index), and their distances, from all distances."""
    square = square.copy()
    np.fill_diagonal(square, np.inf)
    index = np.argsort(square, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(square, index, axis=1)
