"""Linkage matrices for tests, valid by construction, at any size up to millions of leaves.

All return float64 ``(n-1, 4)`` as SciPy does: row ``i`` forms cluster ``n+i``, the smaller id stands left.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core.jit import compiled


@compiled
def _merge_at_random(u, left, right):
    """Each step merges two live clusters drawn by the two uniform numbers ``u[i]``."""
    n = left.shape[0] + 1
    live = np.arange(n)
    for i in range(n - 1):
        alive = n - i
        p = min(int(u[i, 0] * alive), alive - 1)
        q = min(int(u[i, 1] * (alive - 1)), alive - 2)
        if q >= p:
            q += 1
        left[i] = min(live[p], live[q])
        right[i] = max(live[p], live[q])
        live[p] = n + i
        live[q] = live[alive - 1]


@compiled
def _count_leaves(left, right, count):
    n = left.shape[0] + 1
    for i in range(n - 1):
        a = count[left[i] - n] if left[i] >= n else 1
        b = count[right[i] - n] if right[i] >= n else 1
        count[i] = a + b


def from_children(left: np.ndarray, right: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The linkage matrix with these children and heights; the counts are filled in."""
    Z = np.empty((len(left), 4))
    count = np.empty(len(left), dtype=np.int64)
    _count_leaves(np.ascontiguousarray(left, dtype=np.int64), np.ascontiguousarray(right, dtype=np.int64), count)
    Z[:, 0], Z[:, 1], Z[:, 2], Z[:, 3] = left, right, heights, count
    return Z


def random_linkage(
    n: int, seed: int, ties: bool = False, inversions: bool = False, flips: bool = False
) -> np.ndarray:
    """A random tree over ``n`` leaves (depth about ``2 ln n``).

    Heights are sorted random numbers in [0, 1); ``ties`` rounds them to about ten values (zero among them);
    ``inversions`` shuffles them, so that about half of the nodes lie below one of their children; ``flips``
    swaps the two children of half of the rows.
    """
    rng = np.random.default_rng(seed)
    left = np.empty(n - 1, dtype=np.int64)
    right = np.empty(n - 1, dtype=np.int64)
    _merge_at_random(rng.random((n - 1, 2)), left, right)
    heights = rng.random(n - 1)
    if ties:
        heights = np.floor(heights * 10) / 10
    if not inversions:
        heights.sort()
    if flips:
        flip = rng.random(n - 1) < 0.5
        left, right = np.where(flip, right, left), np.where(flip, left, right)
    return from_children(left, right, heights)


def caterpillar(n: int) -> np.ndarray:
    """One cluster that takes in leaf after leaf: depth ``n - 1``, heights 1, 2, ..."""
    row = np.arange(n - 1)
    left, right = row + 1, row + n - 1
    left[0], right[0] = 0, 1
    return from_children(left, right, row + 1.0)


def balanced(n: int) -> np.ndarray:
    """Row ``i`` merges clusters ``2i`` and ``2i+1``: depth ``ceil(log2 n)``, heights 1, 2, ..."""
    row = np.arange(n - 1)
    return from_children(2 * row, 2 * row + 1, row + 1.0)
