"""Partitions of a tree after given numbers of merges, one in each column."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.arguments import real_numbers
from gpuclust.core.jit import compiled, ranges, run
from gpuclust.hierarchy.inconsistent import largest_below
from gpuclust.hierarchy.runs import label_runs, leaf_runs
from gpuclust.hierarchy.validity import as_linkage

_LEAVES_PER_PIECE = 1 << 18  # labels in a piece of work


@compiled
def _breadth_first(Z: np.ndarray, queue: np.ndarray) -> None:
    """All merges, the root first, level by level, right before left."""
    n = Z.shape[0] + 1
    queue[0] = n - 2
    filled = 1
    for head in range(n - 1):
        p = np.int64(queue[head])
        for side in range(1, -1, -1):
            child = np.int64(Z[p, side])
            if child >= n:
                queue[filled] = child - n
                filled += 1


@compiled
def _number_by_first(run_of: np.ndarray, number: np.ndarray, column: np.ndarray) -> None:
    """Renumber clusters 0, 1, ... in the order of their first observations. ``number``: scratch, shape (n + 1,)."""
    number[:] = -1
    used = 0
    for i in range(run_of.shape[0]):
        cluster = run_of[i]
        if number[cluster] < 0:
            number[cluster] = used
            used += 1
        column[i] = number[cluster]


@compiled
def _inner_leaves(Z: np.ndarray, leaf: np.ndarray) -> None:
    """``leaf[p]``: some observation of the left and some of the right child of merge p."""
    n = Z.shape[0] + 1
    for p in range(n - 1):
        for side in range(2):
            child = np.int64(Z[p, side])
            leaf[p, side] = child if child < n else leaf[child - n, 0]


@compiled
def _merge_on(columns: np.ndarray, merges: np.ndarray, leaf: np.ndarray) -> None:
    """Fill all columns but the first, each with one more merge than the one before."""
    n = columns.shape[1]
    for c in range(1, columns.shape[0]):
        before, after = columns[c - 1], columns[c]
        a, b = before[leaf[merges[c - 1], 0]], before[leaf[merges[c - 1], 1]]
        kept, dropped = min(a, b), max(a, b)
        for i in range(n):
            group = before[i]
            after[i] = kept if group == dropped else group - (group > dropped)


def _merge_times(Z: np.ndarray) -> np.ndarray:
    """When each merge is done: a permutation of 0 to n-2 as float64, children before parents.

    By height; equal heights as SciPy takes them, deeper merges first and from left to right. Where some cluster is
    lower than one inside it, by the largest height within each, and of equal ones in the order of the rows.
    """
    heights = np.ascontiguousarray(Z[:, 2])
    merges = len(heights)
    by_row = np.arange(merges, dtype=np.float64)
    if (heights[1:] > heights[:-1]).all():
        return by_row
    times = np.empty(merges)
    largest = largest_below(Z, Z, 2)
    if (largest != heights).any():
        times[np.argsort(largest, kind="stable")] = by_row
        return times
    queue = np.empty(merges, dtype=np.int32)
    _breadth_first(Z, queue)
    deepest_first = queue[::-1]
    times[deepest_first[np.argsort(heights[deepest_first], kind="stable")]] = by_row
    return times


def cut_tree(Z: ArrayLike, n_clusters: ArrayLike | None = None, height: ArrayLike | None = None) -> np.ndarray:
    """Partitions of a tree into given numbers of clusters, or at given heights.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    n_clusters : int or array_like of int, optional
        Numbers of clusters, shape (c,), >= 1; above n they mean n.
    height : float or array_like of float, optional
        Heights, shape (c,): all merges below a height are done.

    Returns
    -------
    ndarray
        int64, shape (n, c), Fortran order: column j has the cluster of each observation for ``n_clusters[j]`` or
        ``height[j]``, numbered 0, 1, ... in the order of their first observations. With neither given shape (n, n):
        column j is the partition after j merges.

    Raises
    ------
    TypeError
        ``Z``, ``n_clusters`` or ``height`` does not hold numbers.
    ValueError
        ``Z`` is not a valid linkage matrix, both ``n_clusters`` and ``height`` are given, a number of clusters is
        not whole or below 1, a height is NaN, or either has more than one dimension.

    Notes
    -----
    k clusters are what n-k merges leave. They are done by height, whatever the order of the rows; equal heights in
    the order in which SciPy takes them. In a tree with inversions (centroid and median linkage) a merge can be lower
    than those it rests on; merges are then done by the largest height within each cluster (`maxdists`), of equal ones
    in the order of the rows, and a cut at a height keeps those clusters whose merges are all below it, as
    ``fcluster(criterion="distance")`` does. SciPy's results for such trees are not partitions of the tree (SciPy
    issues 7977 and 8063), and it leaves a column of zeros for n clusters unless that column is the first.

    O(n) time for each column, on all threads.

    Examples
    --------
    >>> from gpuclust.hierarchy import cut_tree, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> cut_tree(Z, n_clusters=2).ravel()
    array([0, 0, 1, 1])
    >>> cut_tree(Z, height=[1.5, 3.0])
    array([[0, 0],
           [0, 0],
           [1, 1],
           [2, 1]])
    """
    Z = as_linkage(Z, cast=False)
    n = Z.shape[0] + 1
    if n_clusters is not None and height is not None:
        raise ValueError("At least one of either height or n_clusters must be None")
    if height is not None:
        heights = np.atleast_1d(real_numbers(height, "height"))
        level = largest_below(Z, Z, 2)
        thresholds = np.nextafter(heights, -np.inf)
    else:
        wanted = (
            np.arange(n, 0, -1.0)
            if n_clusters is None
            else np.atleast_1d(real_numbers(n_clusters, "n_clusters", nan=True))
        )
        refused = ~((wanted >= 1) & (wanted == np.floor(wanted)) & (wanted < np.inf))
        if refused.any():
            raise ValueError(f"n_clusters must be whole numbers >= 1, got {wanted[refused][0]:g}.")
        level = _merge_times(Z)
        thresholds = n - wanted - 1  # the time of the last merge done

    order, barrier = leaf_runs(Z, level)
    groups = np.empty((len(thresholds), n), dtype=np.int64)

    def label_columns(first: int, last: int) -> None:
        run_of = np.empty(n, dtype=np.int32)
        number = np.empty(n + 1, dtype=np.int32)
        for column in range(first, last):
            label_runs(order, barrier, float(thresholds[column]), 1, run_of)
            _number_by_first(run_of, number, groups[column])

    if n_clusters is not None or height is not None:
        run(label_columns, ranges(len(thresholds), max(1, _LEAVES_PER_PIECE // n)))
        return groups.T

    merge_at = np.argsort(level)
    leaf = np.empty((n - 1, 2), dtype=np.int64)
    _inner_leaves(Z, leaf)

    def merge_on(first: int, last: int) -> None:
        label_columns(first, first + 1)
        _merge_on(groups[first:last], merge_at[first:last], leaf)

    run(merge_on, ranges(n, max(1, 16 * _LEAVES_PER_PIECE // n)))
    return groups.T
