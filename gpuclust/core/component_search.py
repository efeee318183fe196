"""Shortest edge out of each component by nearest-neighbour searches of points: for any metric, on any backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled
from gpuclust.core.points import Points
from gpuclust.errors import overflow

#: Points searched between two reports, so that Ctrl-C takes effect, where a backend does not give their number.
ROWS_BETWEEN_REPORTS = 8192

#: Index and distance of every point's nearest neighbour.
Nearest = Callable[[Points], tuple[np.ndarray, np.ndarray]]
#: The same for some points, among those of other components: (points, component, rows).
NearestOutside = Callable[[Points, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class ByPoints:
    """Implementation of `gpuclust.core.backend.Outgoing` by two searches of a backend.

    A point's nearest neighbour remains the nearest point outside its component until it joins the component, and then
    its distance is still a lower bound. So a point is searched again only if its neighbour has joined its component,
    and the bound is not above the shortest edge that its component has already.

    O(n m) time for a point searched, O(n) for a round; O(n m) memory.
    """

    def __init__(
        self,
        points: Points,
        nearest: Nearest,
        nearest_outside: NearestOutside,
        rows_at_once: Callable[[Points], int] = lambda points: ROWS_BETWEEN_REPORTS,
    ) -> None:
        self._points, self._nearest_outside = points, nearest_outside
        self.points, self.copies = np.arange(points.n), np.empty((0, 2), np.int64)
        self._index, self._distance = nearest(points)
        if not np.isfinite(self._distance).all():
            raise overflow(self._distance.dtype)
        self._rows_at_once = rows_at_once(points)
        self.scans = points.n

    def shortest(
        self, component: np.ndarray, count: int, report: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        limit = np.full(count, np.inf, self._distance.dtype)
        rows = brief(_to_search, component.size)(component, self._index, self._distance, limit)
        for begin in range(0, rows.size, self._rows_at_once):
            part = rows[begin : begin + self._rows_at_once]
            found = self._nearest_outside(self._points, component, part)
            self._index[part], self._distance[part] = found
            report()
        self.scans += rows.size
        ends = brief(_shortest, component.size)(component, self._index, self._distance, count)
        return ends, self._index[ends], self._distance[ends]


@compiled
def _to_search(component: np.ndarray, index: np.ndarray, distance: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Points whose neighbour is inside, and that may yet have the shortest edge; fills the components' ``limit``."""
    n = index.size
    for x in range(n):
        if component[index[x]] != component[x]:
            limit[component[x]] = min(limit[component[x]], distance[x])
    rows = np.empty(n, np.int64)
    size = 0
    for x in range(n):
        if component[index[x]] == component[x] and distance[x] <= limit[component[x]]:
            rows[size] = x
            size += 1
    return rows[:size].copy()


@compiled
def _shortest(component: np.ndarray, index: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """For each component the point whose edge is its first in (distance, smaller end, larger end)."""
    ends = np.full(count, -1)
    for x in range(index.size):
        y, own = index[x], component[x]
        if component[y] == own:
            continue
        best = ends[own]
        if best < 0 or distance[x] < distance[best]:
            ends[own] = x
        elif distance[x] == distance[best]:
            low, other = min(x, y), min(best, index[best])
            if low < other or (low == other and max(x, y) < max(best, index[best])):
                ends[own] = x
    return ends
