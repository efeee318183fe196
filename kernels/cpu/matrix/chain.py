"""The nearest-neighbour chain: merges one after the other, where few clusters could merge at once.

A chain runs from a cluster to its nearest, to that one's nearest, and so on; (dissimilarity, smaller id, larger id)
falls at every step, so it ends at a pair of reciprocal nearest neighbours, which merges. A reducible linkage leaves
the rest of the chain as it is. A row is searched only when the chain reaches it and its nearest cluster is no longer
there: at most three searches a merge, on any input (Murtagh 1983).

Left of the diagonal each number of a row has a cache line of its own, so reading a row of tiles takes far longer than
its bytes would. A search reads those tiles only whose bounds are as low as what it finds
(`gpuclust.kernels.cpu.matrix.minima`); a merge reads two rows, and writes one while its lines are in cache.

The chains of `summary_chain` and `cluster_tree_kernels` are not this one with another policy: their dissimilarities
are computed with rounding errors, so they never return to an earlier link, and their lists and bounds change with
each merge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import jit, methods
from gpuclust.core.jit import compiled, jitable, named, run, uncounted
from gpuclust.kernels.cpu.matrix import minima, tiles
from gpuclust.kernels.cpu.matrix.fill import SMALL
from gpuclust.kernels.cpu.matrix.minima import least_of, lower, nearest_by, place_in
from gpuclust.kernels.cpu.matrix.tiles import PITCH, TILE, read_part, read_row, tile_rows, tile_start, write_row
from gpuclust.kernels.cpu.space import simd


class Source(NamedTuple):
    """Where a search reads a tile of a row; arrays for compiled code."""

    matrix: np.ndarray
    rows: int
    room: np.ndarray  # for a row of a tile


@uncounted
def _least_in(source, gone, x, tile):
    read_part(source.matrix, source.rows, x, tile, source.room)
    return least_of(source.room, gone[tile * TILE : (tile + 1) * TILE], 0, TILE)


@uncounted
def _place_in(source, gone, ids, x, tile, best, place):
    read_part(source.matrix, source.rows, x, tile, source.room)
    begin, end = tile * TILE, (tile + 1) * TILE
    found = place_in(source.room, gone[begin:end], ids[begin:end], 0, TILE, best, -1)
    if found >= 0 and (place < 0 or ids[begin + found] < ids[place]):
        return begin + found
    return place


nearest_in_tiles = nearest_by("tiles", _least_in, _place_in)


@cache
def bounds_kernel(dtype: np.dtype) -> Callable[..., Any]:
    """The least of each row of each tile, of one row of tiles, and of each column."""
    stamp = jit.stamp(tiles, minima, simd)

    @compiled
    @named(dtype)
    def bounds_of_tiles(matrix, bound, row):
        stamp  # noqa: B018
        rows = bound.shape[0]
        none = np.zeros(TILE, matrix.dtype)
        for tile in range(row, rows):
            start = tile_start(row, tile, rows)
            low = bound[row, tile * TILE : (tile + 1) * TILE]
            low[:] = np.inf
            for r in range(TILE):
                values = matrix[start + r * PITCH : start + r * PITCH + TILE]
                for k in range(TILE):
                    low[k] = values[k] if values[k] < low[k] else low[k]
                bound[tile, row * TILE + r] = least_of(values, none, 0, TILE)

    return bounds_of_tiles


def bounds(matrix: np.ndarray, n: int) -> np.ndarray:
    """Lower bounds of the dissimilarities of each cluster (columns) to those of each row of tiles (rows)."""
    rows = tile_rows(n)
    bound = np.empty((rows, rows * TILE), matrix.dtype)
    run(bounds_kernel(matrix.dtype), [(matrix, bound, row) for row in range(rows)], threads=n > SMALL)
    return bound


@cache
def chain_kernel(method: methods.Method, dtype: np.dtype) -> Callable[..., Any]:
    update = jitable(method.update)
    counted = method.counted
    stamp = jit.stamp(methods, tiles, minima, simd)

    @compiled
    @named(method.name, dtype)
    def chain(matrix, bound, size, ids, nearest, nearest_id, distance, next_id, wanted, pairs, heights):
        """Make ``wanted`` merges; returns the number of rows searched, -1 if distances are infinite.

        ``ids[x]`` is the id of the cluster in row x, -1 when the row is no longer in use. ``nearest[x]`` is its
        nearest cluster, still right if that row holds ``nearest_id[x]``: clusters born later have larger ids and
        are no nearer. Ids of the pairs merged go to ``pairs``, their dissimilarities to ``heights``.
        """
        stamp  # noqa: B018
        n, count = size.size, bound.shape[0]
        width = count * TILE
        one, other = np.empty(width, matrix.dtype), np.empty(width, matrix.dtype)
        source = Source(matrix, count, np.empty(TILE, matrix.dtype))
        sizes = np.ones(width, matrix.dtype)
        gone = np.zeros(width, matrix.dtype)  # infinite in rows that are no longer in use
        for x in range(n):
            sizes[x] = size[x]
            if ids[x] < 0:
                gone[x] = np.inf
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
                distance[x], nearest[x] = nearest_in_tiles(source, gone, ids, bound, x, count)
                if nearest[x] < 0:
                    return -1  # every distance has overflowed
                nearest_id[x] = ids[nearest[x]]
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
            read_row(matrix, count, b, 0, other)
            read_row(matrix, count, a, 0, one)
            d = distance[x]
            sa = size[a]
            sb = size[b]
            for k in range(width):
                one[k] = update(one[k], other[k], d, sa, sb, sizes[k])
            one[a] = np.inf
            write_row(matrix, count, a, one)
            if counted:
                size[a] = sa + sb
                sizes[a] = size[a]
            ids[a] = next_id + done
            ids[b] = -1  # was the nearest of a, which is searched again
            gone[b] = np.inf
            lower(bound, a // TILE, one, 0, width)
            for tile in range(count):
                bound[tile, a] = least_of(one, gone, tile * TILE, (tile + 1) * TILE)
            done += 1
        return scans

    return chain
