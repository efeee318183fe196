"""Reference: cophenetic distances and their products with distances, as square matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuclust.core.points import Points
from gpuclust.kernels.reference import pairwise

if TYPE_CHECKING:
    from gpuclust.core.backend import LeafTree


def heights(tree: LeafTree) -> np.ndarray:
    """Height at which the leaves at two positions come together: that of the latest merge between them."""
    square = np.zeros((tree.n, tree.n))
    for q in range(tree.n - 1):
        latest = np.maximum.accumulate(tree.gap[q:])
        square[q, q + 1 :] = square[q + 1 :, q] = tree.height[latest]
    return square


def cophenetic(tree: LeafTree) -> np.ndarray:
    """Condensed cophenetic distances of the observations."""
    square = np.empty((tree.n, tree.n))
    square[np.ix_(tree.leaves, tree.leaves)] = heights(tree)
    return square[np.triu_indices(tree.n, 1)]


def correlate(points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
    """Sums over pairs of y, y² and y z: y a distance of points (in leaf order) less shift, z a height less centre."""
    upper = np.triu_indices(tree.n, 1)
    y = pairwise.pairwise(points, points)[upper].astype(np.float64) - shift
    z = heights(tree)[upper] - centre
    return np.array((y.sum(), (y * y).sum(), (y * z).sum()))
