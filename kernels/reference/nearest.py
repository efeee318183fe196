"""Reference: nearest neighbours, by the first minimum of whole rows of distances."""

from __future__ import annotations

import numpy as np

from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise


def nearest(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Index of every point's nearest neighbour (smallest index on ties) and its distance."""
    return nearest_outside(points, np.arange(points.n), np.arange(points.n))


def nearest_outside(points: Points, component: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``rows`` the nearest point of another component, and its distance."""
    distance = pairwise.pairwise(points, points)[rows]
    if np.isnan(distance).any():
        return np.zeros(rows.size, np.int64), np.full(rows.size, -np.inf, distance.dtype)
    distance[component[rows][:, None] == component[None, :]] = np.inf
    index = distance.argmin(axis=1)
    return index, distance[np.arange(rows.size), index]
