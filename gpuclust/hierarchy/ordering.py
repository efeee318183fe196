"""Leaf order of a dendrogram: positions of clusters, and optimal ordering.

A cluster covers an interval of the leaf order. Its position is its parent's, plus the size of the left sibling for a
right child, so one pass over the merges from the last to the first gives all positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.core.observations import check_observations, count, warn_of_square
from gpuclust.distance import pdist
from gpuclust.hierarchy.shortest_order import in_leaf_order, shortest_order
from gpuclust.hierarchy.validity import as_linkage, children, sizes


@compiled
def _place(left: np.ndarray, right: np.ndarray, size: np.ndarray, start: np.ndarray) -> None:
    """Fill ``start`` from the root, at position 0, down."""
    n = left.shape[0] + 1
    start[2 * n - 2] = 0
    for i in range(n - 2, -1, -1):
        start[left[i]] = start[n + i]
        start[right[i]] = start[n + i] + size[left[i]]


def leaf_positions(Z: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """First position and size of each cluster in the leaf order of a dendrogram.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.

    Returns
    -------
    start, size : ndarray of shape (2 n - 1,), int64
        Cluster ``c`` holds the leaves at positions ``start[c]`` to
        ``start[c] + size[c] - 1``; for a leaf ``start`` is its position and ``size`` is 1.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix; see `is_valid_linkage`.

    Notes
    -----
    O(n) time, 48 n bytes.

    Examples
    --------
    >>> from gpuclust.hierarchy import leaf_positions, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> first, past = leaf_positions(Z)
    >>> first
    array([0, 1, 2, 3, 0, 2, 0])
    >>> past
    array([1, 1, 1, 1, 2, 2, 4])
    """
    Z = as_linkage(Z)
    size = sizes(Z)
    start = np.empty_like(size)
    brief(_place, len(Z))(*children(Z), size, start)
    return start, size


def leaves_list(Z: ArrayLike) -> np.ndarray:
    """The leaves of a tree from left to right.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.

    Returns
    -------
    ndarray
        Observation numbers, int32, shape (n,).

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix; see `is_valid_linkage`.

    Notes
    -----
    O(n) time, whatever the depth of the tree.

    Examples
    --------
    >>> from gpuclust.hierarchy import leaves_list, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> leaves_list(Z)
    array([0, 1, 2, 3], dtype=int32)
    """
    Z = as_linkage(Z, cast=False)
    n = Z.shape[0] + 1
    start, _ = leaf_positions(Z)
    leaves = np.empty(n, dtype=np.int32)
    leaves[start[:n]] = np.arange(n, dtype=np.int32)
    return leaves


def optimal_leaf_ordering(
    Z: ArrayLike, y: ArrayLike, metric: str | Callable[..., float] = "euclidean", **metric_arguments: Any
) -> np.ndarray:
    """Order the leaves so that the sum of distances between neighbouring leaves is the least the tree allows.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    y : array_like of shape (n (n - 1) / 2,) or (n, m)
        Condensed distances, or points.
    metric : str or callable
        Distance between points, as for `pdist`; ignored for condensed distances.
    **metric_arguments
        What `pdist` takes with the metric: ``p``, ``w``, ``V``, ``VI``.

    Returns
    -------
    ndarray
        ``Z`` with the children of some rows exchanged, shape (n - 1, 4). No other turn of the branches has a smaller
        sum of distances between neighbouring leaves. The last row keeps its children as they are (the reversed
        order is as good); of equally good orders the one that comes first in the present leaf order is taken.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix, or ``y`` is not real, not finite, or of another number of observations.

    Warns
    -----
    ClusterWarning
        Points that look like a square distance matrix.

    Notes
    -----
    O(n^3) additions in the worst case (a balanced tree: n^3 / 6), fewer the more uneven the tree, on all threads;
    8 n^2 bytes beyond the input.

    SciPy's function decides how to turn a cluster before its surroundings are known, so that its sum is often larger
    than the minimum (SciPy issue 11227); where SciPy finds the minimum, and it is unique, the results are equal.

    Examples
    --------
    >>> from gpuclust.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    >>> from gpuclust.distance import pdist
    >>> y = pdist([[0.0], [5.0], [1.0], [7.0]])
    >>> leaves_list(optimal_leaf_ordering(linkage(y, "average"), y))
    array([0, 2, 1, 3], dtype=int32)
    """
    Z = as_linkage(Z, cast=False)
    n = Z.shape[0] + 1
    # The condensed distances are freed here if they were made from points.
    dist = in_leaf_order(_condensed(y, n, metric, metric_arguments), leaves_list(Z).astype(np.int64))
    swap = shortest_order(dist, _bounds(Z))
    ordered = Z.copy()
    ordered[swap, 0], ordered[swap, 1] = Z[swap, 1], Z[swap, 0]
    return ordered


def _condensed(
    y: ArrayLike, n: int, metric: str | Callable[..., float], metric_arguments: dict[str, Any]
) -> np.ndarray:
    """Condensed float64 distances of ``n`` observations from what the user gave."""
    given = check_observations(y)
    if count(given) != n:
        raise ValueError(f"`y` is of {count(given)} observations (shape {given.shape}), but Z is of {n}.")
    if given.ndim == 2:
        warn_of_square(given)
        given = check_observations(pdist(given, metric, **metric_arguments))  # a metric may give NaN
    return np.ascontiguousarray(given, dtype=np.float64)


def _bounds(Z: np.ndarray) -> np.ndarray:
    """Where the children and grandchildren of each merge stand, as `shortest_order` wants it."""
    n = Z.shape[0] + 1
    start, size = leaf_positions(Z)
    left, right = children(Z)
    parting = start.copy()  # of a leaf: its own position
    parting[n:] = start[right]
    ends = start[right] + size[right]
    places = np.column_stack((start[left], parting[left], start[right], parting[right], ends))
    return np.hstack((places, np.maximum(np.column_stack((left, right)) - n, -1)))
