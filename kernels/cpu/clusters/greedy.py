"""The generic algorithm for linkages with inversions (centroid, median): one merge a step, over lower bounds.

Every row keeps its nearest cluster among later rows, or a lower bound of that distance. The row with the smallest
bound is searched again until its bound is exact; then it is the closest pair (Müllner 2011, section 3.1). The union
takes the row of the later cluster; bounds of earlier rows are lowered where the union is nearer.

The algorithm is the same for both sources of distances (`gpuclust.kernels.cpu.clusters.greedy_sources`): cluster
centroids, from which a row is computed, and a stored matrix of squares, whose rows are updated. Centroids have two
parts (`gpuclust.core.centroids`). A row is computed from the rounded ones; where that, and how far they are rounded,
leaves open which distance is smaller, both are computed anew from both parts, and those are compared
(`gpuclust.kernels.cpu.space.rounded`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit
from gpuclust.core.jit import compiled, jitable, named, ranges, run, uncounted
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import STRIP
from gpuclust.kernels.cpu.clusters.greedy_sources import BLOCK, Source, centroid_source, stored_source
from gpuclust.kernels.cpu.matrix import minima, tiles
from gpuclust.kernels.cpu.matrix.fill import SMALL
from gpuclust.kernels.cpu.matrix.minima import nearest_of
from gpuclust.kernels.cpu.matrix.stored import Stored
from gpuclust.kernels.cpu.matrix.tiles import TILE, tile_rows
from gpuclust.kernels.cpu.space import rounded, simd
from gpuclust.kernels.cpu.space.rounded import bounds


class Search(NamedTuple):
    """State of the algorithm by row of the matrix; arrays of one length, a multiple of TILE if rows are in tiles."""

    ids: np.ndarray  # id of the cluster in the row, -1: not in use
    size: np.ndarray
    near: np.ndarray  # nearest cluster among later rows
    bound: np.ndarray  # lower bound of its distance; infinite where no later row is in use
    exact: np.ndarray  # whether the bound is the distance to ``near``
    gone: np.ndarray  # infinite where no cluster is, otherwise 0
    order: np.ndarray  # 0, 1, ...: ties go to the earlier row

    @classmethod
    def start(cls, n: int, dtype: np.dtype) -> Search:
        """The state for ``n`` clusters of one observation, whose nearest neighbours are not known."""
        length = tile_rows(n) * TILE
        bound, gone = np.full(length, -np.inf, dtype), np.zeros(length, dtype)
        ids, near, exact = np.arange(length), np.zeros(length, np.int64), np.zeros(length, np.bool_)
        bound[n:], gone[n:], ids[n:] = np.inf, np.inf, -1
        return cls(ids, np.ones(length, dtype), near, bound, exact, gone, np.arange(length))

    def compact(self) -> tuple[np.ndarray, Search]:
        """The rows in use, and the search state with only those."""
        rows = np.flatnonzero(self.ids >= 0)
        place = np.zeros(self.ids.size, np.int64)
        place[rows] = np.arange(rows.size)
        new = Search.start(rows.size, self.bound.dtype)
        for name in ("ids", "size", "bound", "exact"):
            getattr(new, name)[: rows.size] = getattr(self, name)[rows]
        # ``near`` of the last row in use is arbitrary: its bound is infinite.
        new.near[: rows.size] = place[np.minimum(self.near[rows], self.ids.size - 1)]
        return rows, new


class Kernels(NamedTuple):
    """Compiled functions for a source of distances; ``merge_few`` makes all merges of a few clusters."""

    search_rows: Callable[..., Any]
    merge: Callable[..., Any]
    merge_few: Callable[..., Any]


@cache
def kernels(source: Source, dtype: np.dtype) -> Kernels:
    distances, unite, rounds, precise = source.distances, source.unite, source.rounds, source.precise
    error_of, errors_of = source.error, source.errors
    factors_of, farther = bounds(dtype)
    infinity, zero, one = dtype.type(np.inf), dtype.type(0), dtype.type(1)
    stamp = jit.stamp(rounded, simd, minima, tiles, *source.modules)

    @uncounted
    @named(source.name)
    def nearest(state, x, out, gone, order, least, m):
        """The nearest later row of x, and its distance; ``out`` holds the distances of rounded centroids."""
        first = x + 1
        found, place = nearest_of(out[first : gone.size], gone[first:], order, least)
        if rounds and place >= 0:
            error = error_of(state, x)
            if error > zero:
                factors = factors_of(m)
                limit = farther(farther(found, error, factors), error, factors)
                found, place = infinity, -1
                for begin in range(first, out.size, TILE):
                    block = out[begin : begin + TILE]
                    hits = 0
                    for k in range(block.size):
                        hits += block[k] <= limit
                    if hits == 0:
                        continue
                    for k in range(block.size):
                        if not (block[k] <= limit and block[k] < infinity):
                            continue
                        y = begin + k
                        if block[k] <= farther(found, errors_of(state, x, y), factors):
                            value = precise(state, x, y)
                            if value < found:
                                found, place = value, y - first
        return found, first + place

    @uncounted
    @named(source.name)
    def search_stored(state, x, search_state, out, least, m):
        """Find the nearest later row of x."""
        _, _, near, bound, exact, gone, order = search_state
        bound[x], place = nearest_stored(state, x, gone, order, least)
        near[x], exact[x] = x + 1 + place, True

    @uncounted
    @named(source.name)
    def search_written(state, x, search_state, out, least, m):
        _, _, near, bound, exact, gone, order = search_state
        distances(state, x, x + 1, out)
        values = out[x + 1 : gone.size]
        away = gone[x + 1 :]
        for k in range(values.size):
            values[k] += away[k]
        bound[x], near[x] = nearest(state, x, out, gone, order, least, m)
        exact[x] = True

    nearest_stored = source.nearest
    search = search_written if nearest_stored is None else search_stored

    # `merge_few` calls these two. It cannot call kernels, which hash differently in every process (test_cache.py).
    @jitable
    @named(source.name)
    def search_each(state, search_state, begin, end, m):
        gone = search_state[5]
        out, least = np.full(gone.size, np.inf, gone.dtype), np.empty(gone.size // STRIP + 1, gone.dtype)
        for x in range(begin, end):
            search(state, x, search_state, out, least, m)

    @jitable
    @named(source.name)
    def merge_some(state, search_state, counted, next_id, wanted, m, pairs, heights):
        """Make ``wanted`` merges; returns the number of rows searched, -1 if distances are infinite."""
        ids, size, near, bound, exact, gone, order = search_state
        out = np.full(gone.size, np.inf, gone.dtype)
        other, least = np.empty(gone.size, gone.dtype), np.empty(gone.size // STRIP + 1, gone.dtype)
        factors = factors_of(m)
        scans = 0
        for done in range(wanted):
            while True:
                _, a = nearest_of(bound, gone, order, least)
                if a < 0:
                    return -1  # every distance has overflowed
                if exact[a]:
                    break
                search(state, a, search_state, out, least, m)
                scans += 1
            b = near[a]
            d = bound[a]
            pairs[done, 0] = ids[a]
            pairs[done, 1] = ids[b]
            heights[done] = d
            unite(state, a, b, d, size[a], size[b], size, out, other)
            if counted:
                size[b] += size[a]
            ids[a] = -1
            ids[b] = next_id + done
            gone[a] = np.inf
            bound[a] = np.inf
            for k in range(out.size):
                out[k] += gone[k]
            # Earlier rows: the union may be nearer than their bound, and it replaces a or b.
            wider, room = one, zero  # as in ``farther``
            if rounds and error_of(state, b) > zero:
                room = farther(zero, error_of(state, b), factors)
                wider = factors[0]
            for begin in range(0, b, TILE):
                end = min(begin + TILE, b)
                values, bounds, nears = out[begin:end], bound[begin:end], near[begin:end]
                hits = 0
                for k in range(values.size):
                    reached = (values[k] <= bounds[k] * wider + room) & (values[k] < infinity)
                    hits += reached | (nears[k] == a) | (nears[k] == b)
                if hits > 0:
                    for k in range(values.size):
                        x, value = begin + k, values[k]
                        reached = (value <= bounds[k] * wider + room) & (value < infinity)
                        if not (reached | (nears[k] == a) | (nears[k] == b)) or ids[x] < 0:
                            continue
                        reach = farther(bounds[k], errors_of(state, b, x), factors)
                        if rounds and value < infinity and value <= reach:
                            value = precise(state, b, x)
                        if value < bounds[k]:
                            bound[x] = value
                            near[x] = b
                            exact[x] = True
                        elif nears[k] == a or nears[k] == b:
                            # Still exact if b was the nearest, and the union is as near: nothing earlier is.
                            exact[x] = exact[x] and nears[k] == b and value == bounds[k]
                            near[x] = b
                        elif value == bounds[k] and exact[x] and b < nears[k]:
                            near[x] = b
            bound[b], near[b] = nearest(state, b, out, gone, order, least, m)
            exact[b] = True
        return scans

    @compiled
    @named(source.name)
    def search_rows(state, search_state, begin, end, m):
        stamp  # noqa: B018
        search_each(state, search_state, begin, end, m)

    @compiled
    @named(source.name)
    def merge(state, search_state, counted, next_id, wanted, m, pairs, heights):
        stamp  # noqa: B018
        return merge_some(state, search_state, counted, next_id, wanted, m, pairs, heights)

    @compiled
    @named(source.name)
    def merge_few(state, length, counted, m, pairs, heights):
        stamp  # noqa: B018
        n = heights.size + 1
        bound, gone = np.full(length, -infinity), np.zeros(length, heights.dtype)
        ids, near, exact = np.arange(length), np.zeros(length, np.int64), np.zeros(length, np.bool_)
        bound[n:], gone[n:], ids[n:] = infinity, infinity, -1
        search_state = Search(ids, np.ones(length, heights.dtype), near, bound, exact, gone, np.arange(length))
        search_each(state, search_state, 0, n, m)
        return merge_some(state, search_state, counted, n, n - 1, m, pairs, heights)

    return Kernels(search_rows, merge, merge_few)


#: Rows in a piece of work of the first search.
PIECE = 64


class Generic:
    """The state of the generic algorithm on the CPU (see `gpuclust.core.backend.Generic`)."""

    tiled = False  # whether rows of distances are read in whole tiles

    def __init__(self, n: int, dtype: np.dtype, source: Source, state: tuple[Any, ...], counted: bool) -> None:
        self.kernels = kernels(source, dtype)
        self.n, self.dtype = n, dtype
        self.state = state
        self.counted = counted
        self.search: Search | None = None  # until the first merge

    def start(self) -> Search:
        """The state of the search before the first merge."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Numbers read to compute the distance of one pair."""
        return 1

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, self.dtype)
        if self.search is None and wanted == self.n - 1 and self.n <= SMALL:
            length = tile_rows(self.n) * TILE if self.tiled else self.n
            scans = self.kernels.merge_few(self.state, length, self.counted, self.width, pairs, heights)
            return pairs, heights, scans
        self.search = search = self.start() if self.search is None else self.search
        scans = self.kernels.merge(self.state, search, self.counted, next_id, wanted, self.width, pairs, heights)
        return pairs, heights, scans


class CentroidGeneric(Generic):
    """On centroids in two parts, which are moved as clusters merge: O(n m) memory."""

    def __init__(self, points: Points, method: Method) -> None:
        high = centroids.without_offset(points.features)
        scratch = np.empty(BLOCK, high.dtype)
        error, largest = np.zeros(points.n, high.dtype), np.zeros(1, high.dtype)
        state = (high, np.zeros(high.shape, high.dtype), error, largest, points.summary, points.p, scratch)
        source = centroid_source(points.metric, scratch.dtype)
        super().__init__(points.n, scratch.dtype, source, state, method.counted)

    def start(self) -> Search:
        search = Search.start(self.n, self.dtype)
        pieces = [(self._own_scratch(), search, *piece, self.width) for piece in ranges(self.n, PIECE)]
        run(self.kernels.search_rows, pieces, threads=self.n > SMALL)
        return search

    @property
    def width(self) -> int:
        return int(self.state[0].shape[0])

    def _own_scratch(self) -> tuple[Any, ...]:
        return (*self.state[:-1], np.empty(BLOCK, self.dtype))

    def compact(self) -> None:
        if self.search is None:  # nothing has merged
            return
        rows, self.search = self.search.compact()
        high, low, error, *rest = self.state
        self.state = ()  # one old array is held at a time
        high = np.take(high, rows, axis=1)
        low = np.take(low, rows, axis=1)
        largest, summary, p, scratch = rest
        self.state = (high, low, error[rows], largest, summary[: rows.size], p, scratch)


class StoredGeneric(Generic):
    """On a stored matrix of squares, which is updated in place."""

    tiled = True

    def __init__(self, matrix: Stored, method: Method) -> None:
        self.matrix, self.method = matrix, method
        dtype = matrix.matrix.dtype
        state = matrix.matrix, tile_rows(matrix.n)
        super().__init__(matrix.n, dtype, stored_source(method, dtype), state, method.counted)

    def start(self) -> Search:
        matrix, search = self.matrix, Search.start(self.n, self.dtype)
        # The nearest of all rows bounds the nearest of later ones.
        search.bound[: matrix.n] = matrix.distance
        search.near[: matrix.n] = matrix.nearest
        search.exact[: matrix.n] = matrix.nearest > np.arange(matrix.n)
        return search

    def compact(self) -> None:
        if self.search is None:
            return
        size = self.search.size[: self.matrix.n]
        rows, self.search = self.search.compact()
        none = np.full(rows.size, -1)
        self.matrix.merge(self.method, rows, none, size[rows], size, size[rows], self.search.ids[: rows.size])
        self.state = (self.matrix.matrix, tile_rows(rows.size))
