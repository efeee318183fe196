"""The nearest-neighbour chain: merges one after the other, where few clusters could merge at once.

A chain runs from a cluster to its nearest, to that one's nearest, and so on; (dissimilarity, smaller id, larger id)
falls at every step, so it ends at a pair of reciprocal nearest neighbours, which merges. A reducible linkage leaves
the rest of the chain as it is. A row is scanned only when the chain reaches it and its nearest cluster is no longer
there: at most three scans a merge, on any input (Murtagh 1983).

The chains of `summary_chain` and `cluster_tree_kernels` are not this one with another policy: their dissimilarities
are computed with rounding errors, so they never return to an earlier link, and their lists and bounds change with
each merge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, jitable, named
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.kernels.cpu.matrix.tiles import TILE, nearest_in, read_row, write_row


@cache
def chain_kernel(method: methods.Method, dtype: np.dtype) -> Callable[..., Any]:
    update = jitable(method.update)
    counted = method.counted
    stamp = jit.stamp(methods, tiles)

    @compiled
    @named(method.name, dtype)
    def chain(matrix, size, ids, nearest, nearest_id, distance, next_id, wanted, pairs, heights):
        """Make ``wanted`` merges; returns the number of rows scanned, -1 if distances are infinite.

        ``ids[x]`` is the id of the cluster in row x, -1 when the row is no longer in use. ``nearest[x]`` is its
        nearest cluster, still right if that row holds ``nearest_id[x]``: clusters born later have larger ids and
        are no nearer. Ids of the pairs merged go to ``pairs``, their dissimilarities to ``heights``.
        """
        stamp  # noqa: B018
        n = size.size
        rows = (n + TILE - 1) // TILE
        one = np.empty(rows * TILE, matrix.dtype)
        other = np.empty(rows * TILE, matrix.dtype)
        sizes = np.ones(rows * TILE, matrix.dtype)
        for k in range(n):
            sizes[k] = size[k]
        gone = np.zeros(rows * TILE, matrix.dtype)  # infinite in rows that are no longer in use
        for x in range(n):
            if ids[x] < 0:
                gone[x] = np.inf
        infinity = gone.dtype.type(np.inf)
        link = np.empty(n, np.int64)  # the chain
        length = 0
        start = 0
        scans = 0
        done = 0
        while done < wanted:
            if length == 0:
                while ids[start] < 0:
                    start += 1
                link[0] = start
                length = 1
            x = link[length - 1]
            if nearest[x] < 0 or ids[nearest[x]] != nearest_id[x]:
                read_row(matrix, rows, x, 0, one)
                for k in range(one.size):
                    one[k] += gone[k]
                distance[x], nearest_id[x], nearest[x] = nearest_in(one[:n], ids, infinity, -1, -1)
                if nearest[x] < 0:
                    return -1  # every distance has overflowed
                scans += 1
            y = nearest[x]
            if length < 2 or link[length - 2] != y:
                link[length] = y
                length += 1
                continue
            length -= 2
            a = min(x, y)
            b = max(x, y)
            pairs[done, 0] = ids[a]
            pairs[done, 1] = ids[b]
            heights[done] = distance[x]
            read_row(matrix, rows, a, 0, one)
            read_row(matrix, rows, b, 0, other)
            d = distance[x]
            sa = size[a]
            sb = size[b]
            for k in range(one.size):
                one[k] = update(one[k], other[k], d, sa, sb, sizes[k])
            write_row(matrix, rows, a, one)
            if counted:
                size[a] = sa + sb
                sizes[a] = size[a]
            ids[a] = next_id + done
            ids[b] = -1  # was the nearest of a, which is searched again
            gone[b] = np.inf
            done += 1
        return scans

    return chain
