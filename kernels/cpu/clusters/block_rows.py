"""Some rows of the square matrix of dissimilarities of clusters: the part of it that one worker of a cluster keeps.

Each row holds the dissimilarities to all clusters. So the merge of two others changes it without any other row, and
that of its own cluster takes one: the row of the partner. Merges are made in the order of
`gpuclust.kernels.cpu.matrix.rounds`, so every number has the bits that it has there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import compiled, jitable, named, ranges
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.clusters.cluster_search import rows_of_clusters
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.rounds import Round
from gpuclust.kernels.cpu.matrix.tiles import TILE, nearest_in

#: Numbers that one call of a kernel reads: some hundredths of a second.
READ = 1 << 24


@cache
def merge_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    update = jitable(method.update)
    stamp = jit.stamp(methods)

    @compiled
    @named(method.name, dtype)
    def merge_rows(buffer, others, n, merges, mine, places, partners, begin, end):
        """New rows ``mine[begin:end]``, each written to the front of the buffer in place of old ones.

        Row r is made of that at ``places[r]`` and its partner: in the buffer, at ``partners[r]``; none (-1); or in
        ``others``, of which -2 is the first. Of two unions, the merge of the smaller row comes first.
        """
        stamp  # noqa: B018
        count, unions = merges.first.size, merges.unions
        one, other, out = np.empty(n, buffer.dtype), np.empty(n, buffer.dtype), np.empty(count, buffer.dtype)
        for r in range(begin, end):
            p, b = mine[r], partners[r]
            one[:] = buffer[places[r] * n : (places[r] + 1) * n]
            size = merges.new_size[p]
            if b == -1:
                for q in range(count):
                    out[q] = one[merges.first[q]]
                for u in range(unions.size):
                    x, y = one[merges.first_parts[u]], one[merges.second_parts[u]]
                    gap, sa, sb = merges.gaps[u], merges.first_sizes[u], merges.second_sizes[u]
                    out[unions[u]] = update(x, y, gap, sa, sb, size)
            else:
                if b >= 0:
                    other[:] = buffer[b * n : (b + 1) * n]
                else:
                    other[:] = others[-2 - b]
                d, own, joined = merges.between[p], merges.size[merges.first[p]], merges.size[merges.second[p]]
                for q in range(count):
                    k = merges.first[q]
                    out[q] = update(one[k], other[k], d, own, joined, merges.size[k])
                for u in range(unions.size):
                    q, j, k = unions[u], merges.first_parts[u], merges.second_parts[u]
                    gap, sa, sb = merges.gaps[u], merges.first_sizes[u], merges.second_sizes[u]
                    if q < p:
                        x = update(one[j], one[k], gap, sa, sb, own)
                        y = update(other[j], other[k], gap, sa, sb, joined)
                        out[q] = update(x, y, d, own, joined, merges.new_size[q])
                    elif q > p:
                        x = update(one[j], other[j], d, own, joined, sa)
                        y = update(one[k], other[k], d, own, joined, sb)
                        out[q] = update(x, y, gap, sa, sb, size)
            out[p] = np.inf
            buffer[r * count : (r + 1) * count] = out

    return merge_rows


@cache
def pair_kernel(method: Method, dtype: np.dtype) -> Callable[..., Any]:
    update = jitable(method.update)
    stamp = jit.stamp(methods)

    @compiled
    @named(method.name, dtype)
    def merge_pair(values, own, size, a, b, d, sa, sb, partner):
        """Merge row b into row a, in place; ``partner`` is row b where row a is among these."""
        stamp  # noqa: B018
        for r in range(own.size):
            row = values[r]
            if own[r] == a:
                for k in range(row.size):
                    row[k] = update(row[k], partner[k], d, sa, sb, size[k])
                row[a] = np.inf
            elif own[r] != b:
                row[a] = update(row[a], row[b], d, sa, sb, size[own[r]])
            row[b] = np.inf

    return merge_pair


@cache
def minima_kernel(dtype: np.dtype) -> Callable[..., Any]:
    stamp = jit.stamp(tiles)

    @compiled
    @named(dtype)
    def minima(values, own, ids, which, checked, nearest, distance):
        """The nearest cluster of rows ``which``; ``checked``: -inf for a row with a number that is not finite."""
        stamp  # noqa: B018
        infinity = values.dtype.type(np.inf)
        for at in range(which.size):
            row, x = values[which[at]], own[which[at]]
            distance[at], _, nearest[at] = nearest_in(row, ids, infinity, -1, -1)
            if checked:
                for k in range(row.size):
                    if not row[k] < infinity and k != x:
                        distance[at] = -infinity

    return minima


class BlockRows:
    """Rows ``own`` (increasing) of the matrix of ``n`` clusters, in a buffer that shrinks as clusters merge.

    Attributes
    ----------
    steps : int
        Merges and rounds of merges that were made.
    size, ids : ndarray of shape (n,)
        Sizes and ids of all clusters.
    """

    def __init__(
        self, method: Method, own: np.ndarray, size: np.ndarray, ids: np.ndarray, buffer: np.ndarray
    ) -> None:
        self.method, self.own, self.size, self.ids, self.buffer, self.steps = method, own, size, ids, buffer, 0

    @classmethod
    def filled(cls, points: Points, method: Method, clusters: Clusters, own: np.ndarray) -> BlockRows:
        n = clusters.ids.size
        buffer = np.empty(own.size * n, points.dtype)
        rows_of_clusters(points, method, clusters, own, buffer.reshape(own.size, n))
        return cls(method, own, clusters.total.copy(), clusters.ids.copy(), buffer)

    @property
    def values(self) -> np.ndarray:
        """The rows, of shape (own.size, n)."""
        return self.buffer.reshape(self.own.size, self.ids.size)

    def merge(self, merges: Round, foreign: np.ndarray, others: np.ndarray) -> None:
        """Make a round of merges; ``others`` are the rows ``foreign`` of partners that are not among these."""
        n, count = self.ids.size, merges.first.size
        place = np.full(n, -1)
        place[foreign] = -2 - np.arange(foreign.size)
        place[self.own] = np.arange(self.own.size)
        mine = np.flatnonzero(place[merges.first] >= 0)
        second = merges.second[mine]
        partners = np.where(second >= 0, place[second], -1)
        if (partners[second >= 0] == -1).any():
            raise ValueError("The row of a partner is missing.")
        kernel = merge_kernel(self.method, self.buffer.dtype)
        arguments = self.buffer, others, n, merges, mine, place[merges.first[mine]], partners
        for part in ranges(mine.size, max(1, READ // n)):
            kernel(*arguments, *part)
        self.own, self.size, self.ids = mine, merges.new_size.copy(), merges.new_id.copy()
        self.buffer.resize(mine.size * count, refcheck=False)
        self.steps += 1

    def merge_pair(self, whole: np.ndarray, numbers: np.ndarray, others: np.ndarray) -> None:
        """Merge one pair: ``whole`` has its rows and the id of the union, ``numbers`` dissimilarity and sizes."""
        a, b, new_id = (int(number) for number in whole)
        partner = self.values[self.own == b] if b in self.own else others
        partner = partner[0].copy() if a in self.own else self.size
        pair_kernel(self.method, self.buffer.dtype)(self.values, self.own, self.size, a, b, *numbers, partner)
        if self.method.counted:
            self.size[a] = numbers[1] + numbers[2]
        self.ids[a] = new_id
        self.steps += 1

    def minima(self, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The nearest cluster of some rows, by default of all, and its dissimilarity; ties go to the smaller id."""
        which = np.arange(self.own.size) if rows is None else np.searchsorted(self.own, rows)
        nearest, distance = np.empty(which.size, np.int64), np.empty(which.size, self.buffer.dtype)
        kernel = minima_kernel(self.buffer.dtype)
        for begin, end in ranges(which.size, max(1, READ // self.ids.size)):
            checked = self.steps == 0
            kernel(
                self.values, self.own, self.ids, which[begin:end], checked, nearest[begin:end], distance[begin:end]
            )
        return nearest, distance

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Some of the rows."""
        return self.values[np.searchsorted(self.own, rows)]

    def upper(self, rows: np.ndarray) -> tuple[np.ndarray]:
        """Of some rows, one after the other, what the tiles of half a matrix hold."""
        return (np.concatenate([row[x // TILE * TILE :] for x, row in zip(rows, self.rows(rows), strict=True)]),)
