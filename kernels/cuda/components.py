"""The minimum spanning tree of points by Borůvka's algorithm, all on the device: the host waits twice a round.

Rounds are those of `gpuclust.algorithms.boruvka` with the searches of `gpuclust.core.component_search`: a point is
searched again if its nearest neighbour has joined its component and the shortest edge known of that is not shorter.
So the tree is the same, however components are numbered. Its edges come by length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core.points import Points
from gpuclust.errors import overflow
from gpuclust.kernels.cuda import boxes, component_kernels, launch
from gpuclust.kernels.cuda.launch import blocks_for, xp


class Components:
    """Points with the nearest neighbour of each outside its component.

    Attributes
    ----------
    component : array of shape (n,), int32
        Numbers from 0 to ``count`` - 1.
    count, searched : int
        Components, and points searched so far.
    """

    def __init__(self, points: Points) -> None:
        self.points, self.count = points, points.n
        self.searched = points.n
        self.index, self.distance = boxes.all_on_device(points)
        if not launch.download(xp.isfinite(self.distance).all()):
            raise overflow(self.dtype)
        self.component = xp.arange(points.n).astype(np.int32)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.distance.dtype)

    def _bits(self) -> Any:
        """Distances as integers of the same order, zeros of both signs as one."""
        whole = (self.distance + self.dtype.type(0)).view(f"int{8 * self.dtype.itemsize}").astype(np.int64)
        return whole ^ ((whole >> 63) & np.iinfo(np.int64).max)  # of negative ones all but the sign are reversed

    def _limits(self, bits: Any) -> Any:
        limit = launch.full(self.count, component_kernels.NONE, np.int64)
        component_kernels.limits(blocks_for(self.points.n), self.component, self.index, bits, limit)
        return limit

    def search(self, report: Callable[[], None]) -> None:
        """Find neighbours outside where they have joined the component."""
        bits, n = self._bits(), self.points.n
        again = launch.empty(n, np.bool_)
        component_kernels.inside(blocks_for(n), self.component, self.index, bits, self._limits(bits), again)
        rows = xp.flatnonzero(again)
        self.searched += rows.size
        step = boxes.rows_at_once(self.points) if rows.size else 1
        for begin in range(0, rows.size, step):
            part = rows[begin : begin + step]
            self.index[part], self.distance[part] = boxes.outside_on_device(self.points, self.component, part)
            report()

    def join(self) -> tuple[Any, Any]:
        """Join components along their shortest edges; returns the ends of these, (k, 2), and their lengths."""
        count, bits = self.count, self._bits()
        edge = launch.full(count, component_kernels.NONE, np.int64)
        where = self.component, self.index
        component_kernels.edges(blocks_for(self.points.n), *where, bits, self._limits(bits), edge)
        end, parent, root = (launch.empty(count, np.int32) for _ in range(3))
        kept = launch.empty(count, np.bool_)
        component_kernels.ends(blocks_for(count), *where, edge, count, end, parent)
        component_kernels.roots(blocks_for(count), parent, count, root, kept)
        for _ in range(count.bit_length()):  # no way to a root is longer than ``count``
            root = xp.take(root, root)
        number = xp.cumsum(root == xp.arange(count), dtype=np.int64) - 1
        self.component = xp.take(xp.take(number, root), self.component).astype(np.int32)
        ends = xp.take(end, xp.flatnonzero(kept))
        if ends.size == 0:
            raise overflow(self.dtype)
        self.count -= ends.size
        return xp.stack((ends, xp.take(self.index, ends)), axis=1), xp.take(self.distance, ends)


def tree(points: Points, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray, int]:
    """Ends (n - 1, 2) and lengths of the edges, by length, and the number of points searched.

    ``report`` is called with the number of edges found. At most log2(n) rounds; O(n) memory besides the searches'.
    """
    if points.n < 2:
        return np.empty((0, 2), np.int64), np.empty(0, points.dtype), points.n
    state, found = Components(points), []
    while state.count > 1:
        state.search(lambda: report(points.n - state.count))
        found.append(state.join())
        report(points.n - state.count)
    pairs, lengths = (xp.concatenate(parts) for parts in zip(*found, strict=True))
    order = xp.argsort(lengths)  # a million edges take the host some 40 ms
    pairs, lengths = launch.download(xp.take(pairs, order, axis=0)), launch.download(xp.take(lengths, order))
    return pairs.astype(np.int64), lengths, state.searched
