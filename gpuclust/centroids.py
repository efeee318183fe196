"""Centroids to more than working precision: each coordinate is the sum of two numbers, ``high + low``.

A centroid that is rounded is off by the last bit of its coordinates, which is much of the distance between two tight
clusters that are far from the origin. So the dissimilarity of a pair that merges, which becomes a height, is computed
from both parts. Centroid and median linkage compare such dissimilarities too; what they compute from rounded
centroids (``high``) only tells which pairs are worth it. Other linkages compare rounded centroids.

The scalar functions here are plain arithmetic without literals: the reference backend calls them on arrays, others
compile them, and float32 stays float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.devices import array_module


def without_offset(features: Any) -> Any:
    """Features (m, n), each moved towards the origin where that loses nothing; a copy.

    A feature whose values all lie between c and 2 c is moved by one of them: such differences are exact (Sterbenz).
    The other features are not far from the origin in terms of their spread, and stay.
    """
    array = array_module(features)
    low, high = features.min(axis=1, keepdims=True), features.max(axis=1, keepdims=True)
    near, far = array.where(low > 0, low, high), array.where(low > 0, high, low)
    narrow = (low > 0) | (high < 0)
    # Halves, since twice a large number may overflow; exact but for numbers next to zero, which stay too.
    narrow &= (abs(far / 2) <= abs(near)) & (abs(far) > np.finfo(features.dtype).tiny * 4)
    return features - array.where(narrow, near, array.zeros_like(near))


def united(ah: Any, al: Any, bh: Any, bl: Any, sa: Any, sb: Any) -> Any:
    """A coordinate of the union of two clusters of sizes sa and sb, in two parts.

    Written so that clusters in one place stay in that place.
    """
    move = sb / (sa + sb) * ((bh - ah) + (bl - al)) + al
    high = ah + move
    moved = high - ah
    return high, (ah - (high - moved)) + (move - moved)  # what rounding took (Knuth)


def difference(ah: Any, al: Any, bh: Any, bl: Any) -> Any:
    """A coordinate's difference from both parts; with a and b exchanged, the same bits but for the sign."""
    return (ah - bh) + (al - bl)
