"""Inconsistency coefficients, and maxima of heights and statistics over subtrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.arguments import whole_number
from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled, ranges, run
from gpuclust.hierarchy.validity import as_inconsistency, as_linkage

_VISITS_PER_PIECE = 1 << 22  # some 20 ms of work


@compiled
def _statistics(Z: np.ndarray, depth: int, first: int, last: int, R: np.ndarray) -> None:
    """Rows ``first`` to ``last - 1`` of the inconsistency matrix.

    Heights are added one by one, children before parents, left before right, as in SciPy: variances that are nearly
    zero are differences of sums, which depend on the order.
    """
    n = Z.shape[0] + 1
    path = np.empty(depth, dtype=np.int64)
    turn = np.empty(depth, dtype=np.int64)
    for i in range(first, last):
        count = 0.0
        total = 0.0
        squares = 0.0
        k = 0
        path[0] = i
        turn[0] = 0
        while k >= 0:
            node = path[k]
            side = turn[k]
            if k < depth - 1 and side < 2:
                turn[k] = side + 1
                child = np.int64(Z[node, side])
                if child >= n:
                    k += 1
                    path[k] = child - n
                    turn[k] = 0
                continue
            height = Z[node, 2]
            count += 1.0
            total += height
            squares += height * height
            k -= 1
        mean = total / count
        variance = (squares - total * total / count) / max(count - 1.0, 1.0)
        R[i, 0] = mean
        R[i, 2] = count
        if variance > 0.0:
            deviation = np.sqrt(variance)
            R[i, 1] = deviation
            R[i, 3] = (Z[i, 2] - mean) / deviation
        else:  # rounding can make it negative
            R[i, 1] = 0.0
            R[i, 3] = 0.0


@compiled
def _largest_below(Z: np.ndarray, table: np.ndarray, column: int, result: np.ndarray) -> None:
    """For each merge the maximum of ``table[:, column]`` over itself and the merges below it."""
    n = Z.shape[0] + 1
    for i in range(n - 1):
        largest = table[i, column]
        for side in range(2):
            child = np.int64(Z[i, side]) - n
            if child >= 0 and result[child] > largest:
                largest = result[child]
        result[i] = largest


def inconsistency(Z: np.ndarray, d: int) -> np.ndarray:
    """`inconsistent` of a checked ``Z``."""
    d = whole_number(d, "d (the depth)", 0, fraction=True)
    rows = Z.shape[0]
    R = np.empty((rows, 4))
    levels = int(max(1, min(d, rows)))
    statistics = brief(_statistics, rows * min(levels, 8))
    run(lambda first, last: statistics(Z, levels, first, last, R), ranges(rows, max(1, _VISITS_PER_PIECE // levels)))
    return R


def largest_below(Z: np.ndarray, table: np.ndarray, column: int) -> np.ndarray:
    """Maximum of ``table[:, column]`` over each merge of a checked ``Z`` and all merges below it, shape (n - 1,)."""
    result = np.empty(Z.shape[0])
    brief(_largest_below, len(Z))(Z, table, column, result)
    return result


def inconsistent(Z: ArrayLike, d: int = 2) -> np.ndarray:
    r"""Inconsistency statistics of a linkage matrix.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    d : int, optional
        How many levels of merges are looked at: a merge itself and the merges up to ``d - 1`` levels below it.

    Returns
    -------
    R : ndarray of shape (n - 1, 4), float64
        Row i describes the heights looked at for merge i: their mean, their standard
        deviation (``count - 1`` in the denominator), how many they are, and the inconsistency coefficient
        ``(Z[i, 2] - R[i, 0]) / R[i, 1]``, 0 where the standard deviation is 0.

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a valid linkage matrix (see `is_valid_linkage`), or ``d`` is not a whole number >= 0.

    Notes
    -----
    O(n min(d, height of the tree)) time, on all threads.

    Examples
    --------
    >>> from gpuclust.hierarchy import inconsistent, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> inconsistent(Z)
    array([[1.        , 0.        , 1.        , 0.        ],
           [2.        , 0.        , 1.        , 0.        ],
           [2.83333333, 2.36290781, 3.        , 1.12855299]])
    """
    return inconsistency(as_linkage(Z), d)


def maxdists(Z: ArrayLike) -> np.ndarray:
    """The largest height in each cluster.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.

    Returns
    -------
    MD : ndarray
        float64, shape (n - 1,): ``MD[i]`` is the largest height of merge i and the merges below it. It differs from
        ``Z[i, 2]`` only where there are inversions (centroid and median linkage).

    Raises
    ------
    TypeError, ValueError
        ``Z`` is not a valid linkage matrix (see `is_valid_linkage`).

    Notes
    -----
    O(n) time.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, maxdists
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> maxdists(Z)
    array([1. , 2. , 5.5])
    """
    Z = as_linkage(Z)
    return largest_below(Z, Z, 2)


def maxinconsts(Z: ArrayLike, R: ArrayLike) -> np.ndarray:
    """The largest inconsistency coefficient in each cluster.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    R : array_like of shape (n - 1, 4)
        Inconsistency matrix of ``Z`` (see `inconsistent`).

    Returns
    -------
    MI : ndarray
        float64, shape (n - 1,): ``MI[i]`` is the largest ``R[j, 3]`` over merge i and the merges j below it.

    Raises
    ------
    TypeError, ValueError
        ``Z`` or ``R`` is not valid, or they have different numbers of rows.

    Notes
    -----
    O(n) time.

    Examples
    --------
    >>> from gpuclust.hierarchy import inconsistent, linkage, maxinconsts
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> maxinconsts(Z, inconsistent(Z)).round(4)
    array([0.    , 0.    , 1.1286])
    """
    return largest_below(*matched(Z, R), 3)


def maxRstat(Z: ArrayLike, R: ArrayLike, i: int) -> np.ndarray:
    """The largest value of one column of the inconsistency matrix in each cluster.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    R : array_like of shape (n - 1, 4)
        Inconsistency matrix of ``Z`` (see `inconsistent`).
    i : int
        Column of ``R``: 0 to 3.

    Returns
    -------
    MR : ndarray
        float64, shape (n - 1,): ``MR[j]`` is the largest ``R[q, i]`` over merge j and the merges q below it.

    Raises
    ------
    TypeError, ValueError
        ``Z`` or ``R`` is not valid, they have different numbers of rows, or ``i`` is not a column of ``R``.

    Notes
    -----
    O(n) time.

    Examples
    --------
    >>> from gpuclust.hierarchy import inconsistent, linkage, maxRstat
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> maxRstat(Z, inconsistent(Z), 0)  # column 0: the mean height
    array([1.        , 2.        , 2.83333333])
    """
    Z, R = matched(Z, R)
    return largest_below(Z, R, whole_number(i, "i", 0, 3))


def matched(Z: ArrayLike, R: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both matrices, checked, of as many rows."""
    Z = as_linkage(Z)
    R = as_inconsistency(R)
    if Z.shape[0] != R.shape[0]:
        raise ValueError(
            "The inconsistency matrix and linkage matrix each have a different number of rows: "
            f"{R.shape[0]} and {Z.shape[0]}."
        )
    return Z, R
