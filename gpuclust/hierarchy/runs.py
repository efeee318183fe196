"""Flat clusters as runs of a leaf sequence, the common part of all cuts of a tree.

In an order of the leaves in which each cluster of the tree is contiguous, a flat clustering is a set of runs, given
by the neighbours between which it parts. Each gap between neighbours belongs to the merge that joins them, so a cut
at a threshold is one pass over n - 1 numbers, and cuts at many thresholds share the sequence.

The sequence is that in which SciPy numbers flat clusters: left branch before right branch, except that a leaf comes
after a sibling that is not a leaf. Clusters are numbered as they come.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled


@compiled
def _walk(
    Z: np.ndarray,
    level: np.ndarray,
    start: np.ndarray,
    lowest: np.ndarray,
    order: np.ndarray,
    barrier: np.ndarray,
) -> None:
    """From the root down: ``start`` is the first position of each merge, ``lowest`` the least level above it."""
    n = Z.shape[0] + 1
    start[n - 2] = 0
    lowest[n - 2] = np.nan
    for p in range(n - 2, -1, -1):
        first, second = np.int64(Z[p, 0]), np.int64(Z[p, 1])
        if first < n <= second:
            first, second = second, first
        low = lowest[p]
        if level[p] < low or low != low:
            low = level[p]
        begin = np.int64(start[p])
        if first < n:
            order[begin] = first
            middle = begin + 1
        else:
            start[first - n] = begin
            lowest[first - n] = low
            middle = begin + np.int64(Z[first - n, 3])
        if second < n:
            order[middle] = second
        else:
            start[second - n] = middle
            lowest[second - n] = low
        barrier[middle - 1] = low


def leaf_runs(Z: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The leaf sequence, and the threshold from which each leaf is in one cluster with the next one.

    Parameters
    ----------
    Z : ndarray
        Checked linkage matrix, shape (n - 1, 4).
    level : ndarray of shape (n - 1,), float64
        At threshold t, a merge whose level is <= t makes one flat cluster of everything
        below it. A NaN is above every threshold.

    Returns
    -------
    order : ndarray of shape (n,), int32
        The leaves in sequence.
    barrier : ndarray
        float64, shape (n - 1,): ``order[q]`` and ``order[q + 1]`` are in one cluster if and only if
        ``barrier[q] <= t``: it is the least level of the merges that hold both, NaN if they are all NaN. Where
        levels never decrease from child to parent it is the level of the merge that joins the two.

    Notes
    -----
    O(n) time, 24 n bytes.
    """
    n = Z.shape[0] + 1
    order = np.empty(n, dtype=np.int32)
    barrier = np.empty(n - 1)
    brief(_walk, 4 * n)(Z, level, np.empty(n - 1, dtype=np.int32), np.empty(n - 1), order, barrier)
    return order, barrier


@compiled
def label_runs(order: np.ndarray, barrier: np.ndarray, threshold: float, min_size: int, T: np.ndarray) -> int:
    """Number the runs of one cut and return how many there are.

    Parameters
    ----------
    order, barrier : ndarray
        From `leaf_runs`.
    threshold : float
        Neighbours part where ``barrier <= threshold`` is false.
    min_size : int
        Runs of fewer leaves get label 0 and no number.
    T : ndarray
        int32, shape (n,), C-contiguous, filled with the label of each observation: 1, 2, ...
    """
    n = order.shape[0]
    label = 0
    if min_size <= 1:
        label = 1
        T[order[0]] = label
        for q in range(1, n):
            label += not barrier[q - 1] <= threshold
            T[order[q]] = label
        return label
    first = 0
    for q in range(n):
        if q == n - 1 or not barrier[q] <= threshold:
            given = 0
            if q + 1 - first >= min_size:
                label += 1
                given = label
            for r in range(first, q + 1):
                T[order[r]] = given
            first = q + 1
    return label
