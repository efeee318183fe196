"""Reference: minimum spanning tree, by the shortest edge between vertices inside and outside of the tree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def spanning_tree(condensed: np.ndarray, n: int, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n - 1, 2) and lengths of the edges of a minimum spanning tree."""
    square = np.full((n, n), np.inf, condensed.dtype)
    upper = np.triu_indices(n, 1)
    square[upper] = condensed
    square.T[upper] = condensed
    inside = np.arange(n) == 0
    pairs, heights = [], []
    while not inside.all():
        crossing = np.where(inside[:, None] & ~inside[None, :], square, np.inf)
        x, y = np.unravel_index(crossing.argmin(), crossing.shape)
        pairs.append((x, y))
        heights.append(square[x, y])
        inside[y] = True
        report(len(pairs))
    return np.array(pairs), np.array(heights, condensed.dtype)
