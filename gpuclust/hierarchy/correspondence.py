"""Comparisons: of a tree with distances, and of two labelings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.distance import num_obs_y
from gpuclust.hierarchy.validity import as_linkage


def correspond(Z: ArrayLike, Y: ArrayLike) -> bool:
    """Whether a linkage matrix and condensed distances have the same number of observations.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    Y : array_like of shape (k (k - 1) / 2,)
        Condensed distances.

    Returns
    -------
    bool
        True if ``k == n``.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a linkage matrix, or ``Y`` is not one-dimensional, empty, or of a length that is not k (k - 1) /
        2.

    Notes
    -----
    O(n) time: ``Z`` is checked, and the length of ``Y``.

    Examples
    --------
    >>> from gpuclust.hierarchy import correspond, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> correspond(Z, [1.0, 5.0, 7.0, 4.0, 6.0, 2.0])
    True
    """
    return num_obs_y(Y) == as_linkage(Z, cast=False).shape[0] + 1


def is_isomorphic(T1: ArrayLike, T2: ArrayLike) -> bool:
    """Whether two labelings are the same partition up to the names of the labels.

    Parameters
    ----------
    T1, T2 : array_like of shape (n,)
        A label for each observation.

    Returns
    -------
    bool
        True if any two observations share a label in ``T1`` exactly when they do in ``T2``.

    Raises
    ------
    ValueError
        One is not one-dimensional, or their lengths differ.

    Notes
    -----
    O(n) for integer labels whose range is not much larger than n, O(n log n) for others. SciPy's function takes
    ``[1, 2, 3, 4]`` and ``[1, 2, 1, 2]`` for the same partition; this one does not.

    Examples
    --------
    >>> from gpuclust.hierarchy import is_isomorphic
    >>> is_isomorphic([1, 1, 2], [5, 5, 3])
    True
    >>> is_isomorphic([1, 1, 2], [5, 3, 3])
    False
    """
    given = [np.asarray(T1), np.asarray(T2)]
    for name, labels in zip(("T1", "T2"), given, strict=True):
        if labels.ndim != 1:
            raise ValueError(f"{name} must be one-dimensional, got shape {labels.shape}.")
    if given[0].shape != given[1].shape:
        raise ValueError(
            f"T1 and T2 must have the same number of elements, got {given[0].shape[0]} and {given[1].shape[0]}."
        )
    if given[0].shape[0] == 0:
        return True
    first, second = _codes(given[0]), _codes(given[1])
    return _determines(first, second) and _determines(second, first)


def adjusted_rand_index(T1: ArrayLike, T2: ArrayLike) -> float:
    """Agreement of two labelings, corrected for chance.

    Parameters
    ----------
    T1, T2 : array_like of shape (n,)
        A label for each observation.

    Returns
    -------
    float
        1 for the same partition, about 0 for independent labelings.

    Notes
    -----
    O(n log n) time, O(n) memory, whatever the number of clusters.

    References
    ----------
    Hubert, Arabie (1985), Comparing partitions, Journal of Classification 2, 193-218, equation 5.
    """

    def pairs(labels: np.ndarray) -> int:
        sizes = np.unique(labels, return_counts=True)[1].astype(np.int64)
        return int((sizes * (sizes - 1) // 2).sum())

    first, second = _codes(np.asarray(T1)), _codes(np.asarray(T2))
    n = len(first)
    within, others = pairs(first), pairs(second)
    together = pairs(first * (int(second.max()) + 1) + second)
    expected = within * others / (n * (n - 1) // 2)
    most = (within + others) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _codes(labels: np.ndarray) -> np.ndarray:
    """Codes of labels, integers from 0 to at most n + 1023, so that a product of two fits int64."""
    if labels.dtype.kind in "iu":
        low, high = int(labels.min()), int(labels.max())
        if high - low < len(labels) + 1024:
            wide = labels if labels.dtype.kind == "u" else labels.astype(np.int64)
            return (wide - wide.dtype.type(low)).astype(np.int64)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _determines(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether each label of ``first`` occurs with only one label of ``second``."""
    partner = np.empty(int(first.max()) + 1, dtype=np.int64)
    partner[first] = second
    return bool((partner[first] == second).all())
