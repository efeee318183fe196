"""Leaders: the cluster of the tree that equals each flat cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.jit import aside, compiled
from gpuclust.hierarchy.validity import as_linkage


@compiled
def _postorder(Z: np.ndarray, first: np.ndarray, visit: np.ndarray) -> None:
    """``visit``: the merges, each after those below it, left before right. ``first``: where a branch begins."""
    n = Z.shape[0] + 1
    first[n - 2] = 0
    for p in range(n - 2, -1, -1):
        begin = np.int64(first[p])
        visit[begin + np.int64(Z[p, 3]) - 2] = p
        left, right = np.int64(Z[p, 0]), np.int64(Z[p, 1])
        if left >= n:
            first[left - n] = begin
            begin += np.int64(Z[left - n, 3]) - 1
        if right >= n:
            first[right - n] = begin


@compiled
def _find_leaders(
    Z: np.ndarray, visit: np.ndarray, label: np.ndarray, mixed: np.ndarray, L: np.ndarray, M: np.ndarray
) -> int:
    """Fill ``L`` and ``M``; return -1, or the cluster at which there are more leaders than labels.

    ``label`` has those of the observations and room for those of the clusters, of which some are ``mixed``.
    """
    n = Z.shape[0] + 1
    found = 0
    for step in range(n - 1):
        p = np.int64(visit[step])
        left, right = np.int64(Z[p, 0]), np.int64(Z[p, 1])
        if not mixed[left] and not mixed[right] and label[left] == label[right]:
            label[n + p] = label[left]
            continue
        mixed[n + p] = True
        for side in range(2):
            child = right if side else left
            if not mixed[child]:
                if found == L.shape[0]:
                    return int(n + p)
                L[found] = child
                M[found] = label[child]
                found += 1
    if not mixed[2 * n - 2]:
        L[found] = 2 * n - 2
        M[found] = label[2 * n - 2]
    return -1


def _id_type(n: int) -> type[np.signedinteger[Any]]:
    """Integer type of the cluster ids of ``n`` observations: SciPy's, where that is wide enough."""
    return np.int32 if 2 * n - 2 < 2**31 else np.int64


def leaders(Z: ArrayLike, T: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of the tree that holds the observations of each flat cluster, and no others.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    T : ndarray of shape (n,), int32
        The flat cluster of each observation (any integers), as `fcluster` gives it.

    Returns
    -------
    L : ndarray
        int32, shape (k,) for k different numbers in ``T``: ids of clusters of the tree (an observation if below n,
        otherwise row ``L[j] - n`` of ``Z``). Of more than 2^30 observations int64.
    M : ndarray of shape (k,), int32
        The flat cluster of which ``L[j]`` is the leader.

    Raises
    ------
    TypeError
        ``Z`` does not hold numbers, or ``T`` is not one-dimensional int32.
    ValueError
        ``Z`` is not a valid linkage matrix, ``T`` has another length than n, or some flat cluster is not all of a
        cluster of the tree (as the observations that ``fcluster(min_size=...)`` leaves out are not).

    Notes
    -----
    O(n) time, besides counting the numbers in ``T``.

    Examples
    --------
    >>> from gpuclust.hierarchy import fcluster, leaders, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> nodes, labels = leaders(Z, fcluster(Z, 3.0, "distance"))
    >>> nodes, labels
    (array([4, 5], dtype=int32), array([1, 2], dtype=int32))
    """
    Z = as_linkage(Z)
    n = Z.shape[0] + 1
    flat = np.ascontiguousarray(T)
    if flat.dtype != np.int32 or flat.ndim != 1:
        raise TypeError(f"T must be a 1-D array of dtype int32, got {flat.ndim}-D {flat.dtype}.")
    if flat.shape[0] != n:
        raise ValueError(f"Mismatch: len(T)!=Z.shape[0] + 1: {flat.shape[0]} labels for {n} observations.")
    count = len(aside(lambda: np.unique(flat)))
    L = np.zeros(count, dtype=_id_type(n))
    M = np.zeros(count, dtype=np.int32)
    visit = np.empty(n - 1, dtype=np.int32)
    _postorder(Z, np.empty(n - 1, dtype=np.int32), visit)
    label = np.empty(2 * n - 1, dtype=np.int32)
    label[:n] = flat
    wrong = _find_leaders(Z, visit, label, np.zeros(2 * n - 1, dtype=bool), L, M)
    if wrong >= 0:
        raise ValueError(
            f"T is not a valid assignment vector. Error found when examining linkage node {wrong} (< 2n-1): "
            "some flat cluster is not all of one cluster of the tree."
        )
    return L, M
