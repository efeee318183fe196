"""Merges as algorithms find them, before they are put into the order and numbering of Z. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Merges:
    """The merges of an algorithm, before they are numbered as in Z.

    Attributes
    ----------
    pairs : ndarray of int64, shape (n - 1, 2)
        Merge ``k`` joins two clusters and makes the one with id ``n + k``; ids below n are observations. A spanning
        tree (``edges=True``) names observations only: each pair is an edge of the tree.
    heights : ndarray of float, shape (n - 1,)
        The dissimilarity at which each pair merged.
    scans : int
        Rows of the dissimilarity matrix that were searched for a minimum, the measure of work.
    edges : bool
        Pairs are edges between observations; which clusters they join follows from their order by height.
    by_ends : bool
        Edges of equal height come by (smaller end, larger end), in whatever order they were found.
    monotone : bool
        Heights never decrease along the tree, so Z is sorted by height. Otherwise merges keep their order.
    """

    pairs: np.ndarray
    heights: np.ndarray
    scans: int = 0
    edges: bool = False
    by_ends: bool = False
    monotone: bool = True


class Merging:
    """Merges made so far, and the rows scanned for them."""

    def __init__(self, n: int, dtype: np.dtype) -> None:
        self.pairs = np.empty((n - 1, 2), np.int64)
        self.heights = np.empty(n - 1, dtype)
        self.done = 0
        self.scans = 0

    def add(self, pairs: np.ndarray, heights: np.ndarray, scans: int) -> None:
        stop = self.done + len(heights)
        self.pairs[self.done : stop] = pairs
        self.heights[self.done : stop] = heights
        self.done = stop
        self.scans += scans
