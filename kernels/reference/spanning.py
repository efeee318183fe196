"""Minimum spanning tree by Prim's algorithm: the shortest edge between what is in the tree and what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def spanning_tree(condensed: np.ndarray, n: int, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n - 1, 2) and lengths of the edges of a minimum spanning tree."""
    square = np.full((n, n), np.inf, condensed.dtype)
    upper = np.triu_indices(n, 1)
    square[upper] = condensed
    square.T[upper] = condensed
    outside = np.arange(n) > 0
    start = np.zeros(n, np.int64)  # of each point outside, the nearest inside
    length = square[0].copy()
    pairs, heights = [], []
    while outside.any():
        y = int(np.where(outside, length, np.inf).argmin())
        pairs.append((start[y], y))
        heights.append(length[y])
        outside[y] = False
        closer = outside & (square[y] < length)
        start[closer], length[closer] = y, square[y][closer]
        report(len(pairs))
    return np.array(pairs), np.array(heights, condensed.dtype)
