"""Centroids to more than working precision: each coordinate is the sum of two numbers, ``high + low``.

A rounded centroid has an error in the last bit of its coordinates, which may be a large part of the distance between
two tight clusters far from the origin. So dissimilarities are computed from both parts. Clusters that are far away
are skipped by the first parts (``high``) alone, with a margin for the second: `loosened` here, and
`gpuclust.kernels.cpu.space.rounded` for centroid and median linkage.

The scalar functions here are plain arithmetic without literals: the reference backend calls them on arrays, others
compile them, and float32 stays float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.devices import array_module


def without_offset(features: Any) -> Any:
    """Features of shape (m, n), each translated towards the origin where that is exact; a copy.

    A feature whose values all lie between c and 2 c is moved by one of them: such differences are exact (Sterbenz).
    The other features are not far from the origin in terms of their spread, and stay.
    """
    array = array_module(features)
    if array is np:  # in half the time of the methods of an array, for a few points
        low = np.minimum.reduce(features, axis=1, keepdims=True)
        high = np.maximum.reduce(features, axis=1, keepdims=True)
    else:
        low, high = features.min(axis=1, keepdims=True), features.max(axis=1, keepdims=True)
    narrow = (low > 0) | (high < 0)
    if not array.count_nonzero(narrow):
        return features.copy()
    near, far = array.where(low > 0, low, high), array.where(low > 0, high, low)
    # Halves, since twice a large number may overflow; exact but for numbers next to zero, which stay too.
    narrow &= (abs(far / 2) <= abs(near)) & (abs(far) > np.finfo(features.dtype).tiny * 4)
    return features - array.where(narrow, near, array.zeros_like(near))


def united(ah: Any, al: Any, bh: Any, bl: Any, sa: Any, sb: Any) -> Any:
    """A coordinate of the union of two clusters of sizes sa and sb, in two parts.

    The union of clusters with equal centroids has the same centroid.
    """
    move = sb / (sa + sb) * ((bh - ah) + (bl - al)) + al
    high = ah + move
    moved = high - ah
    return high, (ah - (high - moved)) + (move - moved)  # the rounding error (Knuth)


def difference(ah: Any, al: Any, bh: Any, bl: Any) -> Any:
    """A coordinate's difference from both parts; antisymmetric in a and b, to the last bit."""
    return (ah - bh) + (al - bl)


def slack(length: Any, reach: Any, m: int, eps: float, denormal: float) -> Any:
    """The term that `loosened` adds for a cluster, in float64 or in the type of ``length``.

    Parameters
    ----------
    length : float
        The sum of the absolute coordinates of the cluster's centroid.
    reach : float
        The most that a dissimilarity of this cluster is of the squared distance of centroids.
    m : int
        The number of coordinates.
    eps, denormal : float
        Of the floating-point type.
    """
    unit = eps * length
    return unit * unit * reach * 4096 + denormal * (2 * m + 8) * (1 + reach)


def growth(m: int, eps: float) -> float:
    """The factor by which `loosened` multiplies."""
    return 1 + 2.0**-10 + (4 * m + 64) * eps


def loosened(far: Any, slack: Any, growth: Any) -> Any:
    """Upper bound of a pair's dissimilarity from first parts, if that from both parts is at most ``far``.

    And the other way round. The roots of the two differ by the unit of `slack` and a relative ``(m + 8) eps`` at
    most; and ``(a + b)**2 <= (1 + t) a**2 + (1 + 1 / t) b**2``, here for t = 1 / 2048. See
    docs/summaries-exactness.md.
    """
    return far * growth + slack
