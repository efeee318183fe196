"""Prim's algorithm for a minimum spanning tree of condensed dissimilarities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.core.backend import Backend
from gpuclust.core.merges import Merges


def prim(backend: Backend, condensed: np.ndarray, n: int, report: Callable[[int], None]) -> Merges:
    """The tree from condensed dissimilarities, read once, vertex by vertex. O(n²) time, O(n) memory."""
    pairs, heights = backend.spanning_tree(condensed, n, report)
    return Merges(pairs, heights, n, edges=True)
