"""Each component's shortest edge outwards, where a kd-tree pays; see `gpuclust.backends.Outgoing`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.kernels.cpu.launch import ranges, run
from gpuclust.kernels.cpu.tree_outgoing import (
    advance,
    component_of_nodes,
    join_minima,
    search_kernel,
    take_found,
    to_search,
)
from gpuclust.kernels.cpu.tree_points import TreePoints, arrange, arrange_if_quicker
from gpuclust.metrics import Points

#: Neighbours on the lists that the first rounds go by.
LISTED = 6
#: Points searched in one piece of work.
PIECE = 4096


class ByTree:
    """The step of Borůvka's algorithm on a kd-tree. Equal points are joined first, and only one of them is searched.

    O(n m) memory.
    """

    def __init__(self, arranged: TreePoints) -> None:
        self._n = arranged.n
        self._original = arranged.originals()
        kept = None
        if self._original is not None:
            kept = np.flatnonzero(self._original == np.arange(self._n))
            distinct = arrange(arranged.points.at(kept))
            assert distinct is not None
            arranged = distinct
        self._arranged = arranged
        tree = arranged.tree
        self._ids = tree.order if kept is None else kept[tree.order]
        count = arranged.n
        self._listed, self._lengths = arranged.lists(max(1, min(LISTED, count - 1)))
        self._near = self._listed[:, 0].copy()
        self._bound = self._lengths[:, 0].copy()
        self._of_node = np.empty(tree.low.shape[0], np.int64)
        self.scans = self._n

    def shortest(
        self, component: np.ndarray, count: int, report: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids, near, bound = self._ids, self._near, self._bound
        dtype = bound.dtype
        if count == self._n:  # the first round
            ends = np.arange(count)
            others = np.empty(count, np.int64)
            lengths = np.empty(count, dtype)
            others[ids] = ids[near]
            lengths[ids] = bound
            self._join_equals(others, lengths)
            return ends, others, lengths
        here = component[ids]
        best, best_at = self._known(here, count)
        searched = to_search(here, near, bound, best)
        if searched.size:
            self._search(here, best.copy(), searched)
            take_found(here, ids, near, bound, searched, best, best_at)
            self.scans += searched.size
            report()
        return ids[best_at], ids[near[best_at]], best

    def _join_equals(self, others: np.ndarray, lengths: np.ndarray) -> None:
        """The first edges of points that have an equal: to the smallest index of these."""
        if self._original is None:
            return
        copies = np.flatnonzero(self._original != np.arange(self._n))
        originals = self._original[copies]
        others[copies] = originals
        others[originals[::-1]] = copies[::-1]  # the first of them is written last
        lengths[copies] = lengths[originals] = 0

    def _known(self, here: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The shortest edge of each component that lists and earlier searches give, and where it starts."""
        parts: list[tuple[np.ndarray, np.ndarray]] = []

        def minima() -> tuple[np.ndarray, np.ndarray]:
            parts.append((np.full(count, np.inf, self._bound.dtype), np.full(count, -1)))
            return parts[-1]

        common = (here, self._ids, self._listed, self._lengths, self._near, self._bound)
        length = max(self._ids.size // 8 + 1, PIECE)
        run(advance, [(*common, begin, end) for begin, end in ranges(self._ids.size, length)], minima)
        for other in parts[1:]:
            join_minima(self._ids, self._near, *parts[0], *other)
        return parts[0]

    def _search(self, here: np.ndarray, limit: np.ndarray, searched: np.ndarray) -> None:
        arranged = self._arranged
        points, tree = arranged.points, arranged.tree
        component_of_nodes(here, tree.depth, self._of_node)
        kernel = search_kernel(points.metric, points.weights is not None, self._bound.dtype)
        common = (*arranged.arguments(), self._ids, tree.low, tree.high, tree.depth, here, self._of_node, limit)
        common += (self._near, self._bound, searched)
        run(kernel, [(*common, begin, end) for begin, end in ranges(searched.size, PIECE)])


def outgoing(points: Points) -> ByTree | None:
    """A search by tree where that is measured to be quicker than one of all points."""
    arranged = arrange_if_quicker(points, LISTED)
    return None if arranged is None else ByTree(arranged)
