"""The generic algorithm for linkages with inversions (centroid, median): one merge a step, over lower bounds.

Every row keeps its nearest cluster among later rows, or a lower bound of that distance. The row with the smallest
bound is searched again until its bound is exact; then it is the closest pair (Mullner 2011, section 3.1). The union
takes the row of the later cluster; earlier rows learn of it if it is nearer than their bound.

The algorithm is the same for two sources of distances: cluster centroids, from which a row is computed, and a stored
matrix of squares, whose rows are updated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from gpuclust import methods, metrics
from gpuclust.kernels.cpu import launch, pairwise, tiles
from gpuclust.kernels.cpu.fill import SMALL
from gpuclust.kernels.cpu.launch import compiled, named, ranges, run, uncounted
from gpuclust.kernels.cpu.stored import Stored
from gpuclust.kernels.cpu.tiles import TILE, nearest_in, read_row, tile_rows, write_row
from gpuclust.methods import Method
from gpuclust.metrics import Metric, Points

#: Clusters a block when a row is computed from centroids.
BLOCK = 512


#: distances(state, x, first, out), unite(state, a, b, d, sa, sb, size, out, other), modules they are made of, name.
Source = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], str]


class Search(NamedTuple):
    """What the algorithm knows of each row; arrays of one length, a multiple of TILE."""

    ids: np.ndarray  # id of the cluster in the row, -1: not in use
    size: np.ndarray
    near: np.ndarray  # nearest cluster among later rows
    bound: np.ndarray  # its distance or less; infinite where there is no later row, or none in use
    exact: np.ndarray  # whether the bound is the distance to ``near``
    gone: np.ndarray  # infinite where no cluster is, otherwise 0
    order: np.ndarray  # 0, 1, ...: ties go to the earlier row

    @classmethod
    def start(cls, n: int, dtype: np.dtype) -> Search:
        """``n`` clusters of one observation, of which nothing is known."""
        length = tile_rows(n) * TILE
        used = np.arange(length) < n
        bound = np.where(used, -np.inf, np.inf).astype(dtype)
        ids = np.where(used, np.arange(length), -1)
        gone = np.where(used, 0, np.inf).astype(dtype)
        near = np.zeros(length, np.int64)
        return cls(ids, np.ones(length, dtype), near, bound, np.zeros(length, bool), gone, np.arange(length))

    def compact(self) -> tuple[np.ndarray, Search]:
        """The rows in use, and the search state with only those."""
        rows = np.flatnonzero(self.ids >= 0)
        place = np.zeros(self.ids.size, np.int64)
        place[rows] = np.arange(rows.size)
        new = Search.start(rows.size, self.bound.dtype)
        for name in ("ids", "size", "bound", "exact"):
            getattr(new, name)[: rows.size] = getattr(self, name)[rows]
        # Of the last row in use ``near`` means nothing: its bound is infinite.
        new.near[: rows.size] = place[np.minimum(self.near[rows], self.ids.size - 1)]
        return rows, new


@cache
def centroid_source(metric: Metric, dtype: np.dtype) -> Source:
    """Distances from centroids. State: (features, summary, p, scratch)."""
    row_of_distances = pairwise.row_kernel(metric, False)

    @uncounted
    @named(metric.name, dtype)
    def distances(state, x, first, out):
        features, summary, p, scratch = state
        n = features.shape[1]
        for begin in range(first, n, BLOCK):
            end = min(begin + BLOCK, n)
            row_of_distances(features, summary, x, features, summary, begin, end, summary, p, out[begin:end], scratch)

    @uncounted
    @named(metric.name, dtype)
    def unite(state, a, b, d, sa, sb, size, out, other):
        features = state[0]
        for k in range(features.shape[0]):
            features[k, b] = (sa * features[k, a] + sb * features[k, b]) / (sa + sb)
        distances(state, b, 0, out)

    return distances, unite, (metrics, pairwise), f"centroids_{metric.name}_{dtype}"


@cache
def stored_source(method: Method, dtype: np.dtype) -> Source:
    """Squared distances from a tiled matrix. State: (matrix, tile rows)."""
    update = register_jitable(method.update)

    @uncounted
    @named(method.name, dtype)
    def distances(state, x, first, out):
        matrix, rows = state
        read_row(matrix, rows, x, first // TILE, out)

    @uncounted
    @named(method.name, dtype)
    def unite(state, a, b, d, sa, sb, size, out, other):
        matrix, rows = state
        read_row(matrix, rows, a, 0, out)
        read_row(matrix, rows, b, 0, other)
        for k in range(out.size):
            out[k] = update(out[k], other[k], d, sa, sb, size[k])
        write_row(matrix, rows, b, out)

    return distances, unite, (methods, tiles), f"stored_{method.name}_{dtype}"


@cache
def kernels(
    source: Source,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The compiled ``search_rows`` and ``merge`` for a source of distances."""
    distances, unite, modules, source_name = source
    stamp = launch.stamp(tiles, *modules)

    @uncounted
    @named(source_name)
    def search(state, x, search_state, out):
        """The nearest of row x among later rows."""
        _, _, near, bound, exact, gone, order = search_state
        infinity = gone.dtype.type(np.inf)
        distances(state, x, x + 1, out)
        values = out[x + 1 : gone.size]
        away = gone[x + 1 :]
        for k in range(values.size):
            values[k] += away[k]
        low, _, place = nearest_in(values, order, infinity, -1, -1)
        bound[x] = low
        near[x] = x + 1 + place
        exact[x] = True

    @compiled
    @named(source_name)
    def search_rows(state, search_state, begin, end):
        stamp  # noqa: B018
        out = np.full(search_state[5].size, np.inf, search_state[5].dtype)
        for x in range(begin, end):
            search(state, x, search_state, out)

    @compiled
    @named(source_name)
    def merge(state, search_state, counted, next_id, wanted, pairs, heights):
        """Make ``wanted`` merges; returns the number of rows searched, -1 if distances are infinite."""
        stamp  # noqa: B018
        ids, size, near, bound, exact, gone, order = search_state
        out = np.full(gone.size, np.inf, gone.dtype)
        other = np.empty(gone.size, gone.dtype)
        infinity = gone.dtype.type(np.inf)
        scans = 0
        for done in range(wanted):
            while True:
                _, _, a = nearest_in(bound, order, infinity, -1, -1)
                if a < 0:
                    return -1  # every distance has overflowed
                if exact[a]:
                    break
                search(state, a, search_state, out)
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
            # Earlier rows: the union may be nearer than what they know, and it replaces a or b.
            for begin in range(0, b, TILE):
                end = min(begin + TILE, b)
                values, bounds, nears = out[begin:end], bound[begin:end], near[begin:end]
                hits = 0
                for k in range(values.size):
                    hits += ((values[k] <= bounds[k]) & (values[k] < infinity)) | (nears[k] == a) | (nears[k] == b)
                if hits > 0:
                    for k in range(values.size):
                        x = begin + k
                        if ids[x] < 0:
                            continue
                        if values[k] < bounds[k]:
                            bound[x] = values[k]
                            near[x] = b
                            exact[x] = True
                        elif nears[k] == a or nears[k] == b:
                            # Still exact if b was the nearest, and the union is as near: nothing earlier is.
                            exact[x] = exact[x] and nears[k] == b and values[k] == bounds[k]
                            near[x] = b
                        elif values[k] == bounds[k] and exact[x] and b < nears[k]:
                            near[x] = b
            low, _, place = nearest_in(out[b + 1 :], order, infinity, -1, -1)
            bound[b] = low
            near[b] = b + 1 + place
            exact[b] = True
        return scans

    return search_rows, merge


#: Rows searched by one piece of work at the start.
PIECE = 64


class Generic:
    """The state of the generic algorithm on the CPU (see `gpuclust.backends.Generic`)."""

    def __init__(self, source: Any, state: tuple[Any, ...], search: Search, counted: bool) -> None:
        self.search_rows, self.merge_kernel = kernels(source)
        self.state = state
        self.search = search
        self.counted = counted

    @property
    def width(self) -> int:
        """Numbers read to know the distance of one pair."""
        return 1

    @property
    def dtype(self) -> np.dtype:
        return self.search.bound.dtype

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, self.dtype)
        scans = self.merge_kernel(self.state, self.search, self.counted, next_id, wanted, pairs, heights)
        return pairs, heights, scans


class CentroidGeneric(Generic):
    """On centroids, which are moved as clusters merge: O(n m) memory."""

    def __init__(self, points: Points, method: Method) -> None:
        scratch = np.empty(BLOCK, points.features.dtype)
        state = (points.features.copy(), points.summary, points.p, scratch)
        super().__init__(
            centroid_source(points.metric, scratch.dtype),
            state,
            Search.start(points.n, scratch.dtype),
            method.counted,
        )
        run(
            self.search_rows,
            [(self._own_scratch(), self.search, *piece) for piece in ranges(points.n, PIECE)],
            threads=points.n > SMALL,
        )

    @property
    def width(self) -> int:
        return int(self.state[0].shape[0])

    def _own_scratch(self) -> tuple[Any, ...]:
        return (*self.state[:3], np.empty(BLOCK, self.dtype))

    def compact(self) -> None:
        rows, self.search = self.search.compact()
        features, summary, p, scratch = self.state
        self.state = (np.ascontiguousarray(features[:, rows]), summary[: rows.size], p, scratch)


class StoredGeneric(Generic):
    """On a stored matrix of squares, which is updated in place."""

    def __init__(self, matrix: Stored, method: Method) -> None:
        search = Search.start(matrix.n, matrix.matrix.dtype)
        # The nearest of all rows bounds the nearest of later ones.
        search.bound[: matrix.n] = matrix.distance
        search.near[: matrix.n] = matrix.nearest
        search.exact[: matrix.n] = matrix.nearest > np.arange(matrix.n)
        self.matrix, self.method = matrix, method
        super().__init__(
            stored_source(method, matrix.matrix.dtype), (matrix.matrix, tile_rows(matrix.n)), search, method.counted
        )

    def compact(self) -> None:
        size = self.search.size[: self.matrix.n]
        rows, self.search = self.search.compact()
        none = np.full(rows.size, -1)
        self.matrix.merge(self.method, rows, none, size[rows], size, size[rows], self.search.ids[: rows.size])
        self.state = (self.matrix.matrix, tile_rows(rows.size))
