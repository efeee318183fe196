"""Matrix-free clusters on the CPU: dissimilarities in closed form from size, centroid and scatter. O(n m) memory.

Dissimilarities are computed when they are needed, so time depends on how many rows are searched. Every cluster keeps
a list of its nearest clusters, and a limit for all others (`gpuclust.kernels.cpu.clusters.summary_kernels`). As long
as the first on the list is below the limit it is the nearest of all, whatever has merged: that is proven, with a
margin for rounding (docs/summaries-exactness.md). A union's list is made from those of its parts. A cluster is
searched (`gpuclust.kernels.cpu.clusters.summary_search`) only where its list proves nothing; then all computed
dissimilarities are compared.
"""

from __future__ import annotations

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.jit import ranges, run
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import LISTED, LISTED_WIDE, WIDE
from gpuclust.kernels.cpu.clusters import ahead, product_search, stored_squares, stored_unions
from gpuclust.kernels.cpu.clusters.product_kernels import form_of
from gpuclust.kernels.cpu.clusters.screen_pairs import ALL, Share, search_all
from gpuclust.kernels.cpu.clusters.summary_chain import Chain
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows, kernels
from gpuclust.kernels.cpu.clusters.summary_search import screen_kernel, walk_kernel
from gpuclust.kernels.cpu.space import kdtree
from gpuclust.kernels.cpu.space.boxes import LEAF, Boxes, Leaves
from gpuclust.kernels.cpu.space.removal import keep_rows
from gpuclust.kernels.cpu.space.screen import Screen, box_size, rows_a_piece, screen
from gpuclust.kernels.cpu.space.strips import Strips, strips

#: Searches descend a tree up to three features, and with each further one if there are four times as many points.
#: Measured on normal, clustered and Cauchy points of 3 to 8 features, 25,000 to 400,000 of them: equal time there.
WALKED = 25_000
#: Rows in a piece of work of a search.
ROWS = 64
#: Rows in a piece of work that goes over all lists.
LISTS = 4096


class Summaries:
    """Sizes and centroids of ``n`` clusters, with the nearest clusters of each (see `gpuclust.core.backend.Stored`).

    Rows are in the order of a kd-tree, so that clusters near in space are near in memory; ``outer`` holds the
    caller's number of each row.

    Attributes
    ----------
    n, scanned, nearest, distance
        As in the protocol.
    outer : ndarray of shape (n,), int64
        The caller's number of each row.
    centers, low : ndarray of shape (n, m)
        Centroids in two parts (`gpuclust.core.centroids`). Until something has merged ``low`` has no rows: all are
        zero.
    total : float
        Sum of all sizes, which bounds the size of every cluster.
    largest : float
        The largest absolute coordinate at the start.
    near, held, limit : ndarray of shapes (n, listed), (n, listed) and (n,)
        The nearest clusters of each row by (dissimilarity, id), -1 where there are fewer on the list, their
        dissimilarities, and a lower bound of the dissimilarity to all others.
    """

    squares: stored_squares.Squares | None = None
    #: Whether nothing else reads the arrays, so that rows may be removed in place.
    alone = True

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        self.n = self.begun = points.n
        self.width = len(points.features)
        self.listed = LISTED if self.width < WIDE else max(LISTED, LISTED_WIDE)
        self.method = method
        features = centroids.without_offset(points.features)
        dtype = features.dtype
        self.metric, self.p = points.metric, points.p
        self.walks = self.width <= 3 or self.n >= WALKED * 4 ** (self.width - 3)
        self.state: Chain | None = None
        with np.errstate(over="ignore"):
            squares = np.zeros(self.n, dtype)
            self.largest = 0.0
            for values in features:
                squares += values * values
                self.largest = max(self.largest, float(values.max()), -float(values.min()))
            longest = np.sqrt(squares.max())
            del squares
        if not np.isfinite(longest):
            self.scanned = self.n
            self.nearest, self.distance = np.zeros(self.n, np.int64), np.full(self.n, -np.inf, dtype)
            return
        ahead.begin(method, dtype, self.width, self.walks)
        self.outer = kdtree.order_of(features, LEAF)
        self.leaves = Leaves(self.n, LEAF)
        self.centers = kdtree.rows_of(features, self.outer)
        del features
        self.low = self.centers[:0]
        self.scatter = np.zeros(self.n, dtype)  # some linkages do not use it
        self.size = size[self.outer]
        self.total = self.size.sum()
        shape = self.n, self.listed
        self.near, self.held = np.full(shape, -1, np.int32), np.full(shape, np.inf, dtype)
        self.limit = np.zeros(self.n, dtype)
        self._know(self.outer, np.arange(self.n))

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        if self.state is not None:
            self.state.settle()
            self.state = None
        kernel = kernels(method, self.held.dtype)
        number = np.full(self.n, -1)  # the new number of each cluster that keeps its row
        number[first] = np.arange(first.size)
        outer = number[self.outer]
        kept = np.flatnonzero(outer >= 0)
        outer = outer[kept]
        inner = _inverse(self.outer)
        partner = second[outer]
        fresh = np.flatnonzero(partner >= 0)
        partner[fresh] = inner[partner[fresh]]
        place = np.full(self.n, -1, np.int32)  # the new row of each old one, unions having that of both parts
        place[kept] = np.arange(kept.size)
        place[partner[fresh]] = fresh
        smallest = self.size.min()
        self._two_parts()
        if self.squares is not None:
            pairs = partner >= 0
            stored_unions.unite(self.squares, method, self.centers, self.low, self.size, kept[pairs], partner[pairs])
            self.squares = self.squares.keep(kept)
        pieces = ranges(kept.size, LISTS)
        own = self.centers, self.low, self.size, self.scatter
        run(kernel.unite, [(*own, kept, partner, *piece) for piece in pieces])
        if self.alone:
            keep_rows([self.centers, self.low], kept)
        else:
            self.centers, self.low = self.centers[kept], self.low[kept]
        self.scatter = self.scatter[kept]
        near = np.empty((kept.size, self.listed), np.int32)
        held = np.empty(near.shape, self.held.dtype)
        limit = np.empty(kept.size, held.dtype)
        old = self.size, smallest, self.total, self.near, self.held, self.limit
        ids, self.n, self.outer, self.size = new_id[outer], kept.size, outer, new_size[outer]
        own = self.centers, self.low, self.size, self.scatter
        common = (*own, ids, kept, partner, place, between[outer], *old)
        if self.listed:
            run(kernel.carry, [(*common, near, held, limit, *piece) for piece in pieces])
        self.near, self.held, self.limit = near, held, limit
        del old, own, common
        self.leaves.keep(kept)
        if self.leaves.worn and self.squares is None:  # with stored squares no box is searched
            self._arrange()
            ids = new_id[self.outer]
        self._know(ids, self._unproven())

    def _two_parts(self) -> None:
        """Allocate the second parts of centroids, which unions have."""
        if len(self.low) < self.n:
            self.low = np.zeros_like(self.centers)

    def _arrange(self) -> None:
        """Reorder the rows by a new kd-tree."""
        order = kdtree.order_of(np.ascontiguousarray(self.centers.T), LEAF)
        self.leaves = Leaves(self.n, LEAF)
        place = np.append(_inverse(order), -1).astype(np.int32)
        self.near = place[self.near[order]]
        for name in ("outer", "centers", "low", "scatter", "size", "held", "limit"):
            setattr(self, name, getattr(self, name)[order])

    def _unproven(self) -> np.ndarray:
        """Rows whose lists do not prove a nearest cluster."""
        return np.flatnonzero(~(self.held[:, 0] < self.limit))

    def _know(self, ids: np.ndarray, unknown: np.ndarray) -> None:
        """Search the rows whose lists do not prove a nearest cluster; then that of every row is known."""
        self.scanned = unknown.size
        if self.n > 1 and unknown.size:
            self._search(ids, unknown)
        self.nearest, self.distance = np.empty(self.n, np.int64), np.empty(self.n, self.held.dtype)
        self.nearest[self.outer] = self.outer[self.near[:, 0]]
        self.distance[self.outer] = self.held[:, 0]

    def _search(self, ids: np.ndarray, rows: np.ndarray) -> None:
        dtype = self.held.dtype
        own = self.centers, self.low, self.size, self.scatter, ids, self.near, self.held, self.limit
        largest = self.size.max()
        if self.walks:
            tree = self._boxes(LEAF)
            kernel = walk_kernel(self.method, dtype)
            run(kernel, [(*own, tree, largest, rows, *piece) for piece in ranges(rows.size, ROWS)])
            return
        new = self.is_new(rows)
        if not new:
            self._store_squares()
            if self.squares is not None:
                stored_squares.search_rows(self.method, Rows(*own), self.squares, rows, ROWS)
                return
        ready = self.screened()
        if new and (isinstance(ready, Strips) or ready.least.size > 1):
            search_all_rows(self.method, Rows(*own), ready)
        else:
            search_some_rows(self.method, Rows(*own), ready, rows)

    def _store_squares(self) -> None:
        """Store squared distances from now on, if so few clusters are left that they fit."""
        merged = self.begun - self.n
        columns = stored_squares.columns_for(self.n, self.width, merged, self.held.itemsize)
        if self.squares is None and columns > 0:
            self._two_parts()
            self.squares = stored_squares.squares_of(self.centers, self.low, columns)

    def is_new(self, rows: np.ndarray) -> bool:
        """Whether these are all clusters, none of which has merged or been searched."""
        return rows.size == self.n and not len(self.low) and not (self.near >= 0).any()

    def screened(self) -> Screen | Strips:
        """The clusters in boxes, prepared for comparisons."""
        most = box_size(self.n, self.width)
        spread = self.method.scatter is not None
        if self.width < WIDE:
            return screen(self._boxes(most), spread)
        # Leaves become unequal as clusters merge, which leaves lanes idle; with many features that costs more than
        # boxes that are no leaves. Unions lie between their parts, but for rounding.
        own = self.centers, self.size, self.scatter
        return strips(own, Leaves(self.n, most).starts, self.largest * (1 + 2.0**-10), spread)

    def _boxes(self, leaf: int) -> Boxes:
        return self.leaves.boxes(self.centers, self.size, self.scatter, leaf)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        if self.state is None:
            self._two_parts()
            own = self.centers, self.low, self.size, self.scatter, ids[self.outer]
            rows = Rows(*own, self.near, self.held, self.limit)
            self._store_squares()
            self.state = Chain(method, rows, self.outer, self._boxes(LEAF) if self.walks else None, self.squares)
        made = self.state.merge(next_id, wanted)
        size[self.outer], ids[self.outer] = self.size, self.state.ids
        return made


def search_all_rows(method: Method, lists: Rows, ready: Screen | Strips, share: Share = ALL) -> None:
    """Fill the lists and limits of all rows, which are empty; with a ``share`` as `screen_pairs.search_all`."""
    if isinstance(ready, Strips):
        product_search.search_all(form_of(method, lists.centers.dtype), lists, ready, share)
    else:
        search_all(method, lists, ready, share)


def search_some_rows(method: Method, lists: Rows, ready: Screen | Strips, rows: np.ndarray) -> None:
    """Complete the lists of some rows, and set their limits."""
    (n, m), dtype = lists.centers.shape, lists.centers.dtype
    if isinstance(ready, Strips):
        product_search.search_rows(form_of(method, dtype), lists, ready, rows)
        return
    length = rows_a_piece(n, m, ROWS)
    rows = rows[np.lexsort((lists.size[rows], np.arange(rows.size) // length))]
    kernel, largest = screen_kernel(method, dtype), lists.size.max()
    run(kernel, [(*lists, ready, largest, rows, *piece, n) for piece in ranges(rows.size, length)])


def _inverse(order: np.ndarray) -> np.ndarray:
    """The inverse of a permutation."""
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return place
