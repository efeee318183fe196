"""Nearest-neighbour chain of matrix-free clusters, on their neighbour lists (`summary_kernels`).

A list is updated when the chain reaches its cluster: merged entries are looked up by union-find, and dissimilarities
to them are computed anew. A cluster is searched only if its list does not prove the nearest one: in few dimensions by
a descent of a tree whose boxes grow with the unions in them, otherwise by its row of dissimilarities, or with many
features by that of stored squared distances (`stored_squares`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, jit, methods, metrics
from gpuclust.core.jit import compiled, named, uncounted
from gpuclust.core.methods import Method
from gpuclust.kernels.cpu.clusters import stored_squares, stored_unions, summary_kernels, summary_search
from gpuclust.kernels.cpu.clusters.stored_squares import Squares, search_function
from gpuclust.kernels.cpu.clusters.stored_unions import unite_squares
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows, limits, list_functions, pair_functions
from gpuclust.kernels.cpu.clusters.summary_search import horizon, walk_function
from gpuclust.kernels.cpu.space import boxes, four_rows, pairwise
from gpuclust.kernels.cpu.space.boxes import Boxes, fit_children, leaf_of

#: Clusters in a block when a row of dissimilarities is computed.
BLOCK = 512
#: Merges in a call where searches descend a tree, and numbers read by the searches of a call otherwise.
WALKS = 4096
ENTRIES = 400_000_000
#: How a cluster is searched: by a tree, by its computed row of dissimilarities, by its row of stored squares.
WALK, ROW, STORED = "walk", "row", "stored"


class Progress(NamedTuple):
    """State of the nearest-neighbour chain, beside the clusters themselves.

    Attributes
    ----------
    parent : ndarray of shape (n,), int64
        For union-find: the row that a cluster went into, or its own.
    entry_id : ndarray of shape (n, listed), int64
        Ids of listed clusters when their dissimilarities were computed.
    level : ndarray of shape (n,), int64
        Depth of the unions in a cluster since the start of the chain.
    set_at, known_at : ndarray of shape (n,), int64
        Merges made when the limit was found, and when the nearest was known last.
    counts : ndarray of shape (5,), int64
        Merges made, the greatest level, clusters left, a number of the caller's before which none is in use, and the
        chain's length.
    gone : ndarray of shape (n,)
        Infinite at the rows of clusters that have merged into others, 0 elsewhere.
    features : ndarray of shape (m, n)
        First parts of the centroids, for rows of dissimilarities that are computed; otherwise without columns.
    squares : tuple of ndarrays
        The fields of `stored_squares.Squares`.
    inner, outer : ndarray of shape (n,), int64
        The row of each cluster by the caller's number, and the other way round.
    link, link_id : ndarray of shape (n,), int64
        The chain, and the ids its clusters had.
    """

    parent: np.ndarray
    entry_id: np.ndarray
    level: np.ndarray
    set_at: np.ndarray
    known_at: np.ndarray
    counts: np.ndarray
    gone: np.ndarray
    features: np.ndarray
    squares: tuple[np.ndarray, ...]
    inner: np.ndarray
    outer: np.ndarray
    link: np.ndarray
    link_id: np.ndarray


class Chain:
    """The chain between two rounds: clusters merge in place, and no row moves."""

    def __init__(
        self, method: Method, rows: Rows, outer: np.ndarray, tree: Boxes | None, squares: Squares | None = None
    ) -> None:
        n, m = rows.centers.shape
        dtype = rows.size.dtype
        self.kind = WALK if tree is not None else ROW if squares is None else STORED
        if tree is None:
            empty = np.empty(0, dtype)
            tree = Boxes(rows.centers[:0], empty, empty, *(rows.centers[:0],) * 2, empty, empty, outer[:0])
        features = np.ascontiguousarray(rows.centers.T) if self.kind == ROW else np.empty((m, 0), dtype)
        inner = np.empty(n, np.int64)
        inner[outer] = np.arange(n)
        level, set_at = np.zeros((2, n), np.int64)
        gone = np.where(rows.ids < 0, dtype.type(np.inf), dtype.type(0))
        progress = Progress(
            np.arange(n),
            rows.ids[rows.near],
            level,
            set_at,
            np.full(n, -1),
            np.array([0, 0, np.count_nonzero(rows.ids >= 0), 0, 0]),
            gone,
            features,
            tuple(stored_squares.none() if squares is None else squares),
            inner,
            outer,
            *np.empty((2, n), np.int64),
        )
        live = rows.size[rows.ids >= 0]
        self.kernels = chain_kernels(method, dtype, self.kind)
        self.state = rows, progress, tree, live.min(), live.sum()

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        """See `gpuclust.core.backend.Stored.chain`; a call takes well below a second, for Ctrl-C."""
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, self.state[0].size.dtype)
        counts = self.state[1].counts
        counts[4] = 0
        scans = done = 0
        while done < wanted:
            end = min(wanted, done + self._merges_in_a_call())
            made = self.kernels[0](*self.state, next_id + done, pairs[done:end], heights[done:end])
            if made < 0:
                return pairs, heights, -1
            scans += made
            done = end
        return pairs, heights, scans

    def _merges_in_a_call(self) -> int:
        if self.kind == WALK:
            return WALKS
        left, (_, m) = int(self.state[1].counts[2]), self.state[0].centers.shape
        numbers = left * m if self.kind == ROW else 8 * left + 8 * self.state[0].near.shape[1] * m
        return max(1, ENTRIES // numbers)

    @property
    def ids(self) -> np.ndarray:
        """Id of the cluster in each row, -1 if the row is no longer in use."""
        return self.state[0].ids

    def settle(self) -> None:
        """Update all lists and limits."""
        self.kernels[1](*self.state)


@cache
def chain_kernels(method: Method, dtype: np.dtype, kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    walks, stored = kind == WALK, kind == STORED
    row_of_distances = pairwise.row_kernel(metrics.METRICS["sqeuclidean"], False)
    pair, insert = pair_functions(method, dtype), list_functions(dtype)
    between, square, compared, join = pair.between, pair.square, pair.compared, pair.join
    compared_four = pair.compared_four
    lowered, slack, loosened, united = limits(method, dtype)
    walk, search_squares = walk_function(method, dtype), search_function(method, dtype)
    counted = method.counted
    relative = float(np.finfo(dtype).eps)
    stored_modules = stored_squares, stored_unions
    modules = centroids, methods, metrics, pairwise, four_rows, summary_kernels, summary_search, boxes
    stamp = jit.stamp(*stored_modules, *modules)

    @uncounted
    @named(method.name, dtype)
    def gather(rows, progress, x, a, b, union):
        """Make the list of x from those of rows a and b (-1: none), and the limit of what does not fit on it."""
        centers, low, size, scatter, ids, near, held, _ = rows
        parent, entry_id = progress[0], progress[1]
        values, which, four, exact = union
        listed = near.shape[1]
        count = 0
        for side in range(2):
            row = a if side == 0 else b
            if row < 0:
                continue
            for entry in range(listed):
                old = np.int64(near[row, entry])
                if old < 0:
                    break
                y = old
                while parent[y] != y:
                    parent[y] = parent[parent[y]]
                    y = parent[y]
                known = y == x
                for at in range(count):
                    known |= which[at] == y
                if known:
                    continue
                same = b < 0 and y == old and ids[y] == entry_id[row, entry]
                values[count], which[count] = held[row, entry] if same else -1, y
                count += 1
        some = 0
        for at in range(count):  # four at a time take as long as one: see `compared_four`
            if values[at] < 0:
                four[some], four[4 + some] = which[at], at
                some += 1
            if some == 4 or (some > 0 and at == count - 1):
                for side in range(some, 4):
                    four[side] = four[0]
                compared_four(centers, low, size, scatter, x, four, exact)
                for side in range(some):
                    values[four[4 + side]] = exact[side]
                some = 0
        for begin in range(1, count):
            value, y, at = values[begin], which[begin], begin
            while at > 0 and (value < values[at - 1] or (value == values[at - 1] and ids[y] < ids[which[at - 1]])):
                values[at], which[at] = values[at - 1], which[at - 1]
                at -= 1
            values[at], which[at] = value, y
        for entry in range(listed):
            here = entry < count
            near[x, entry] = which[entry] if here else -1
            held[x, entry] = values[entry] if here else np.inf
            entry_id[x, entry] = ids[which[entry]] if here else -1
        return values[listed] if count > listed else centers.dtype.type(np.inf)

    @uncounted
    @named(method.name, dtype)
    def limit_now(rows, progress, x, largest):
        """The limit of x after the unions made since it was found, bounded by their depth or their number."""
        centers, _, size, _, _, _, _, limit = rows
        count = progress[5]
        steps = min(count[1], count[0] - progress[3][x])
        return lowered(limit[x], centers[x], size[x], largest, steps + 1)

    @uncounted
    @named(method.name, dtype)
    def update(rows, progress, x, largest, union):
        """Update the list of x; return whether it proves that its first entry is the nearest."""
        centers, _, size, _, _, near, held, limit = rows
        left_out = gather(rows, progress, x, x, np.int64(-1), union)
        most = limit_now(rows, progress, x, largest)
        if left_out < np.inf:
            most = min(most, lowered(left_out, centers[x], size[x], largest, 1))
        limit[x] = most
        progress[3][x] = progress[5][0]
        if near[x, 0] < 0 or not held[x, 0] < most:
            return False
        for entry in range(1, near.shape[1]):
            if not held[x, entry] < most:
                near[x, entry] = -1
                held[x, entry] = np.inf
        return True

    @uncounted
    @named(method.name, dtype, kind)
    def search(rows, progress, tree, x, largest, out, scratch, stack, bounds, room):
        """Fill the list of x from computed dissimilarities."""
        centers, low, size, scatter, ids, near, held, limit = rows
        entry_id, gone, features = progress[1], progress[6], progress[7]
        n, m = centers.shape
        last = near.shape[1] - 1
        left = progress[5][2]
        far = horizon(held[x], left)
        if walks:
            walk(x, low, ids, near[x], held[x], far, tree, largest, stack, bounds)
        elif stored:
            search_squares(rows, progress[8], x, far, largest, room)
        else:
            more = slack(centers[x], size[x], largest)
            for begin in range(0, n, BLOCK):
                end = min(begin + BLOCK, n)
                row_of_distances(features, size, x, features, size, begin, end, size, size[x], out, scratch)
                values = out[: end - begin]
                for k in range(values.size):
                    values[k] = between(values[k], size, scatter, x, begin + k) + gone[begin + k]
                most = loosened(min(far, held[x, last]), more, m)
                hits = 0
                for k in range(values.size):
                    hits += values[k] <= most
                if hits > 0:
                    for k in range(values.size):
                        y = begin + k
                        if values[k] <= most and values[k] < np.inf and y != x:
                            value = compared(centers, low, size, scatter, x, y)
                            if value <= far:
                                insert(near[x], held[x], ids, y, value)
        for entry in range(last + 1):
            y = near[x, entry]
            entry_id[x, entry] = ids[y] if y >= 0 else -1
        progress[3][x] = progress[5][0]
        far = min(far, held[x, last])
        limit[x] = lowered(far, centers[x], size[x], largest, 1) if left - 1 > last + 1 else np.inf

    @uncounted
    @named(method.name, dtype)
    def fit(tree, ids, row):
        """Refit the boxes from the leaf of a row up to the root."""
        centers, size, scatter, low, high, least_size, least_scatter, starts = tree
        m = centers.shape[1]
        leaf = leaf_of(starts, row)
        begin, end = starts[leaf], starts[leaf + 1]
        node = starts.size - 2 + leaf
        for k in range(m):
            low[node, k], high[node, k] = np.inf, -np.inf
        least_size[node], least_scatter[node] = np.inf, np.inf
        for here in range(begin, end):
            if ids[here] >= 0:
                for k in range(m):
                    low[node, k] = min(low[node, k], centers[here, k])
                    high[node, k] = max(high[node, k], centers[here, k])
                least_size[node] = min(least_size[node], size[here])
                least_scatter[node] = min(least_scatter[node], scatter[here])
        while node > 0:
            node = (node - 1) // 2
            fit_children(node, low, high, least_size, least_scatter)

    @uncounted
    @named(method.name, dtype, kind)
    def move(rows, progress, tree, a, b):
        """Update the boxes, or the transposed centroids if there are any, after a has taken in b."""
        centers, ids = rows[0], rows[4]
        gone, features = progress[6], progress[7]
        gone[b] = np.inf
        if walks:
            fit(tree, ids, a)
            fit(tree, ids, b)
        elif not stored:
            for k in range(centers.shape[1]):
                features[k, a] = centers[a, k]

    # The steps of the chain are called from here only: Numba compiles a function anew for callers with other options.
    @uncounted
    @named(method.name, dtype, kind)
    def unite(rows, progress, tree, a, b, smallest, largest, new_id, union):
        """Merge the clusters in rows a and b, and make the list of the union; returns their dissimilarity."""
        centers, low, size, scatter, ids, _, _, limit = rows
        parent, _, level, set_at, _, count, _, _, squares, _, _, _, _ = progress
        height = compared(centers, low, size, scatter, a, b)
        ours = limit_now(rows, progress, a, largest)
        theirs = limit_now(rows, progress, b, largest)
        most = united(ours, theirs, height, size[a], size[b], smallest, largest)
        if stored:
            apart, m = float(square(centers, low, a, b)), centers.shape[1]
            unite_squares(squares, a, b, float(size[a]), float(size[b]), apart, (m + 8) * relative)
        join(centers, low, size, scatter, a, b)
        if counted:
            size[a] += size[b]
        ids[a], ids[b] = new_id, -1
        parent[b] = a
        level[a] = max(level[a], level[b]) + 1
        count[0] += 1
        count[1] = max(count[1], level[a])
        count[2] -= 1
        move(rows, progress, tree, a, b)
        left_out = gather(rows, progress, a, a, b, union)
        if left_out < np.inf:
            most = min(most, lowered(left_out, centers[a], size[a], largest, 1))
        limit[a], set_at[a] = most, count[0]
        return height

    @compiled
    @named(method.name, dtype, kind)
    def chain(rows, progress, tree, smallest, largest, next_id, pairs, heights):
        """Returns the number of rows searched, -1 if dissimilarities are infinite."""
        stamp  # noqa: B018
        ids, near, held = rows[4:7]
        known_at, count, _, _, _, inner, outer, link, link_id = progress[4:]
        n, listed = near.shape
        out, scratch = np.empty(BLOCK, held.dtype), np.empty(BLOCK, held.dtype)
        four, exact = np.empty(8, np.int64), np.empty(4, held.dtype)
        union = np.empty(2 * listed, held.dtype), np.empty(2 * listed, np.int64), four, exact
        room = np.empty(n if stored else 0, held.dtype), np.empty(listed, held.dtype), four, exact
        stack, bounds = np.empty(64, np.int64), np.empty(64, held.dtype)
        length = count[4]
        scans = 0
        for done in range(heights.size):
            y = 0
            while True:
                while length > 0 and ids[link[length - 1]] != link_id[length - 1]:
                    length -= 1
                if length == 0 or length == n:
                    while ids[inner[count[3]]] < 0:
                        count[3] += 1
                    link[0] = inner[count[3]]
                    link_id[0] = ids[link[0]]
                    length = 1
                x = link[length - 1]
                for side in range(2):
                    z = x if side == 0 else y
                    if known_at[z] != count[0]:
                        if not update(rows, progress, z, largest, union):
                            search(rows, progress, tree, z, largest, out, scratch, stack, bounds, room)
                            scans += 1
                        if near[z, 0] < 0 or not held[z, 0] < np.inf:
                            return -1  # every dissimilarity has overflowed
                        known_at[z] = count[0]
                    if side == 0:
                        y = np.int64(near[x, 0])
                if near[y, 0] == x:
                    break
                link[length] = y
                link_id[length] = ids[y]
                length += 1
            a, b = (x, y) if outer[x] < outer[y] else (y, x)
            pairs[done, 0], pairs[done, 1] = ids[a], ids[b]
            heights[done] = unite(rows, progress, tree, a, b, smallest, largest, next_id + done, union)
            if count[2] == 1:
                break
        count[4] = length
        return scans

    @compiled
    @named(method.name, dtype, kind)
    def settle(rows, progress, tree, smallest, largest):
        stamp  # noqa: B018
        ids, near = rows[4], rows[5]
        both, dtype = 2 * near.shape[1], rows[0].dtype
        union = np.empty(both, dtype), np.empty(both, np.int64), np.empty(8, np.int64), np.empty(4, dtype)
        for x in range(near.shape[0]):
            if ids[x] >= 0:
                update(rows, progress, x, largest, union)

    return chain, settle
