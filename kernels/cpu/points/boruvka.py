"""Shortest edge out of each component, with bounding boxes; see `gpuclust.core.backend.Outgoing`.

Between rounds each point keeps its nearest point outside its component, from a list of nearest neighbours made once,
or, once the list is used up, a lower bound. A point is searched again only if its bound is not above the shortest
edge that its component has so far, and only up to that length.

A round need not give every component its edge. If searches cost more than rounds, the components that need most of
them are deferred. They grow meanwhile by the edges of others, and the largest, whose interior points have used up
their lists, is never searched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np

from gpuclust.core.jit import ranges, run
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.points.component_edges import ComponentEdges
from gpuclust.kernels.cpu.points.index import boxed
from gpuclust.kernels.cpu.points.tree_boruvka import (
    advance,
    join_minima,
    take_found,
    to_search,
)

#: Neighbours on the lists from which the first rounds are made.
LISTED = 6
#: Points searched in a round, as a fraction of all, from which on the edges between all components are found instead.
CROWDED = 1 / 16
#: Points in a piece of work that goes over all lists.
PIECE = 4096


class Arranged(Protocol):
    """Points in a spatial order; positions are places in that order (`TreePoints`, `Screened`)."""

    search_dominates: ClassVar[bool]  # searching some points costs more than a round: large components wait

    @property
    def n(self) -> int: ...

    @property
    def order(self) -> np.ndarray:
        """The point at each position."""

    def at(self, which: np.ndarray) -> Arranged:
        """Some of the points, arranged anew."""

    def originals(self) -> np.ndarray | None:
        """Smallest index of an equal point for each point; ``None`` if no two are known to be equal."""

    def lists(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, k) and distances of the nearest others of each position, by (distance, index)."""

    def outside(
        self, here: np.ndarray, best: np.ndarray, near: np.ndarray, bound: np.ndarray, searched: np.ndarray
    ) -> None:
        """Search positions for what is nearest of another component and not farther than ``best`` of their own.

        ``here`` is the component of each position. Sets ``near`` and ``bound`` where something is found, and may
        lower ``best`` to what is.
        """

    def between(self, here: np.ndarray, count: int, bound: np.ndarray) -> ComponentEdges | None:
        """The shortest edges between all pairs of components; ``None`` if that is not quicker than other searches.

        ``bound`` is a lower bound of the distance of each position to other components. Nothing can be searched
        afterwards.
        """


class ByBoxes:
    """The step of Borůvka's algorithm on points in spatial order; one point stands for all that are equal to it.

    O(n m) memory.
    """

    def __init__(self, arranged: Arranged) -> None:
        original = arranged.originals()
        self.points = arranged.order
        self.copies = np.empty((0, 2), np.int64)
        if original is not None:
            alone = original == np.arange(original.size)
            kept, copies = np.flatnonzero(alone), np.flatnonzero(~alone)
            self.copies = np.stack((original[copies], copies), axis=1)
            arranged = arranged.at(kept)
            self.points = kept[arranged.order]
        self._arranged = arranged
        self._edges: ComponentEdges | None = None
        self.scans = arranged.n
        if arranged.n > 1:
            self._listed, self._lengths = arranged.lists(min(LISTED, arranged.n - 1))
            self._near = self._listed[:, 0].copy()
            self._bound = self._lengths[:, 0].copy()

    def shortest(
        self, component: np.ndarray, count: int, report: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        near, bound = self._near, self._bound
        if self._edges is not None:
            return self._edges.shortest(component, count)
        if count == near.size:  # the first round
            return np.arange(count), near.astype(np.int64), bound.copy()
        best, best_at = self._known(component, count)
        searched = to_search(component, near, bound, best)
        if searched.size > CROWDED * near.size:
            self._edges = self._arranged.between(component, count, bound)
            if self._edges is not None:
                self.scans += near.size
                return self._edges.shortest(component, count)
        if searched.size:
            waiting = np.empty(0, np.int64)
            if self._arranged.search_dominates:
                searched, waiting = _cheapest(component, searched, count)
            self._arranged.outside(component, best.copy(), near, bound, searched)
            take_found(component, self.points, near, bound, searched, best, best_at)
            best_at[waiting] = -1
            self.scans += searched.size
            report()
        return best_at, near[best_at].astype(np.int64), best

    def _known(self, here: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Shortest edge of each component known from lists and earlier searches, and its start."""
        parts: list[tuple[np.ndarray, np.ndarray]] = []

        def minima() -> tuple[np.ndarray, np.ndarray]:
            parts.append((np.full(count, np.inf, self._bound.dtype), np.full(count, -1)))
            return parts[-1]

        common = (here, self.points, self._listed, self._lengths, self._near, self._bound)
        length = max(here.size // 8 + 1, PIECE)
        run(advance, [(*common, begin, end) for begin, end in ranges(here.size, length)], minima)
        for other in parts[1:]:
            join_minima(self.points, self._near, *parts[0], *other)
        return parts[0]


def _cheapest(here: np.ndarray, searched: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions to search, so that at least half of the components get their edges; the components deferred."""
    needed = np.bincount(here[searched], minlength=count)
    allowed = np.partition(needed, (count - 1) // 2)[(count - 1) // 2]
    if allowed == needed.max() and (needed == allowed).sum() > 1:
        return searched, np.empty(0, np.int64)
    return searched[needed[here[searched]] <= allowed], np.flatnonzero(needed > allowed)


def outgoing(points: Points) -> ByBoxes | None:
    """A search by boxes where that is faster than computing all distances."""
    arranged = boxed(points, LISTED)
    return None if arranged is None else ByBoxes(arranged)
