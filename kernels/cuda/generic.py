"""The generic algorithm for linkages with inversions (centroid, median) as one cooperative kernel.

The algorithm is that of `gpuclust.kernels.cpu.clusters.greedy`. Every thread keeps the bounds of its own rows.
Finding the row with the smallest bound takes one synchronisation of the grid, searching it again one more, and a
merge one for the nearest of the union, and on centroids one for the union's place: some four in all, with few
searches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import centroids, methods
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import generic_sources, launch, reduce
from gpuclust.kernels.cuda.generic_sources import Source, centroid_source, stored_source
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real, types, xp
from gpuclust.kernels.cuda.pairwise import DevicePoints
from gpuclust.kernels.cuda.reduce import Parts, block_minimum, blocks_for, grid_minimum, parts_signature
from gpuclust.kernels.cuda.stored import Stored
from gpuclust.kernels.cuda.tiles import tile_rows


@cache
def search_kernel(source: Source, dtype: np.dtype) -> Kernel:
    """The nearest of every row among later rows; a block a row."""
    distance = source.distance
    number = real(dtype)
    infinity = dtype.type(np.inf)
    smallest = block_minimum(dtype)
    stamp = launch.stamp(generic_sources, reduce, *source.modules)

    @kernel(source.data, number, INT, number[::1], INT[::1], types.boolean[::1])
    @named(source.name, dtype)
    def search_rows(data, p, n, bound, near, exact):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        held = cuda.shared.array(THREADS, number)
        places = cuda.shared.array(THREADS, INT)
        thread = cuda.threadIdx.x & (THREADS - 1)
        x = np.int64(cuda.blockIdx.x)
        best = infinity
        place = x
        for k in range(x + 1 + thread, n, THREADS):
            value = distance(data, p, x, k)
            if value < best:
                best = value
                place = np.int64(k)
        best, place, _ = smallest(best, place, place, held, places, places)
        if thread == 0:
            bound[x] = best
            near[x] = place
            exact[x] = True

    return search_rows


@cache
def merge_kernel(source: Source, counted: bool, dtype: np.dtype) -> Kernel:
    """Make ``wanted`` merges; ``scans[0]`` becomes the number of rows searched, -1 if distances are infinite."""
    distance, place_union, unite, settle = source.distance, source.place, source.unite, source.settle
    moves = place_union is not None
    minimum = grid_minimum(dtype)
    number = real(dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(generic_sources, reduce, *source.modules)
    if not moves:
        place_union = settle

    @kernel(
        source.data,
        number[::1],
        number,
        INT[::1],
        number[::1],
        INT[::1],
        number[::1],
        types.boolean[::1],
        INT,
        INT,
        INT[:, ::1],
        number[::1],
        INT[::1],
        *parts_signature(dtype),
        cooperative=True,
    )
    @named(source.name, counted, dtype)
    def merge(
        data,
        union,
        p,
        ids,
        size,
        near,
        bound,
        exact,
        next_id,
        wanted,
        pairs,
        heights,
        scans,
        parts,
        part_keys,
        part_places,
    ):
        stamp  # noqa: B018
        held = cuda.shared.array(THREADS, number)
        keys = cuda.shared.array(THREADS, INT)
        places = cuda.shared.array(THREADS, INT)
        me = np.int64(cuda.grid(1))
        threads = np.int64(cuda.gridsize(1))
        n = np.int64(ids.size)
        found = np.int64(0)
        done = np.int64(0)
        turn = np.int64(0)
        a = np.int64(-1)
        while done < wanted:
            # One of two minima: the smallest bound of all rows, or the nearest of row a, which was not exact.
            best = infinity
            key = np.int64(-1)
            if a < 0:
                for k in range(me, n, threads):
                    if bound[k] < best:
                        best = bound[k]
                        key = np.int64(k)
            else:
                for k in range(me, n, threads):
                    if k > a and ids[k] >= 0:
                        value = distance(data, p, a, k)
                        if value < best:
                            best = value
                            key = np.int64(k)
            d, key, k = minimum(best, key, key, held, keys, places, parts, part_keys, part_places, turn)
            turn = 1 - turn
            if a >= 0:
                if me == a % threads:
                    bound[a] = d
                    near[a] = k if k >= 0 else a
                    exact[a] = True
                found += 1
                a = np.int64(-1)
                continue
            if k < 0:
                found = np.int64(-1)  # every distance has overflowed
                break
            a = k
            if not exact[a]:
                continue
            b = near[a]
            id_a = ids[a]
            id_b = ids[b]
            sa = size[a]
            sb = size[b]
            if moves:
                place_union(data, union, a, b, sa, sb, me, threads)
                cuda.cg.this_grid().sync()
            best = infinity
            key = np.int64(-1)
            for k in range(me, n, threads):
                if ids[k] < 0 or k == a or k == b:  # noqa: SIM109 (compiled)
                    continue
                value = unite(data, union, p, a, b, k, d, sa, sb, size[k])
                if k > b:
                    if value < best:
                        best = value
                        key = np.int64(k)
                elif value < bound[k]:
                    bound[k] = value
                    near[k] = b
                    exact[k] = True
                elif near[k] == a or near[k] == b:
                    # Still exact if b was the nearest, and the union is as near: nothing earlier is.
                    exact[k] = exact[k] and near[k] == b and value == bound[k]
                    near[k] = b
                elif value == bound[k] and exact[k] and b < near[k]:
                    near[k] = b
            low, key, k = minimum(best, key, key, held, keys, places, parts, part_keys, part_places, turn)
            turn = 1 - turn
            if moves:
                settle(data, union, b, me, threads)
            if me == 0:
                pairs[done, 0] = id_a
                pairs[done, 1] = id_b
                heights[done] = d
            if me == a % threads:
                ids[a] = -1
                bound[a] = infinity
            if me == b % threads:
                ids[b] = next_id + done
                bound[b] = low
                near[b] = k if k >= 0 else b
                exact[b] = True
                if counted:
                    size[b] = sa + sb
            done += 1
            a = np.int64(-1)
        if me == 0:
            scans[0] = found

    return merge


class Generic:
    """The state of the generic algorithm on the device (see `gpuclust.core.backend.Generic`)."""

    def __init__(self, source: Source, dtype: np.dtype, n: int, counted: bool) -> None:
        self.source, self.dtype, self.counted = source, np.dtype(dtype), counted
        self.ids = launch.upload(np.arange(n))
        self.size = launch.full(n, 1, dtype)
        self.near = launch.full(n, 0, np.int64)
        self.bound = launch.full(n, -np.inf, dtype)
        self.exact = launch.full(n, False, np.bool_)
        self.union = launch.full(1, 0, dtype)

    @property
    def data(self) -> tuple[Any, Any]:
        """The data of `Source.distance`, and its scalar."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Numbers read to compute the distance of one pair."""
        return 1

    def merge(self, next_id: int, wanted: int) -> tuple[np.ndarray, np.ndarray, int]:
        run = merge_kernel(self.source, self.counted, self.dtype)
        blocks = blocks_for(run, self.ids.size)
        whole = launch.full(2 * wanted + 1, 0, np.int64)
        heights = launch.full(wanted, 0, self.dtype)
        pairs = whole[: 2 * wanted].reshape((wanted, 2))
        data, p = self.data
        run(
            blocks,
            data,
            self.union,
            p,
            self.ids,
            self.size,
            self.near,
            self.bound,
            self.exact,
            next_id,
            wanted,
            pairs,
            heights,
            whole[2 * wanted :],
            *Parts(blocks, self.dtype).arrays,
        )
        found = launch.download(whole)
        return found[:-1].reshape(wanted, 2), launch.download(heights), int(found[-1])

    def compact(self) -> None:
        used = launch.download(self.ids) >= 0
        kept = np.flatnonzero(used)
        place = np.cumsum(used) - 1  # of a row not in use: that of the one before
        rows = launch.upload(kept)
        self.near = xp.take(launch.upload(np.maximum(place, 0)), xp.take(self.near, rows))
        for name in ("ids", "size", "bound", "exact"):
            setattr(self, name, xp.take(getattr(self, name), rows))
        self.move(kept, rows)

    def move(self, kept: np.ndarray, rows: Any) -> None:
        """Keep only these rows of the data; the same numbers on the host and on the device."""
        raise NotImplementedError


class CentroidGeneric(Generic):
    """On centroids in two parts, which are moved as clusters merge: O(n m) memory."""

    def __init__(self, points: Points, method: Method) -> None:
        where = DevicePoints(points)
        super().__init__(centroid_source(where.dtype), where.dtype, points.n, method.counted)
        m = len(points.features)
        self.centers = launch.full((2 * m, points.n), 0, where.dtype)
        self.centers[:m] = centroids.without_offset(where.features)
        self.union = launch.full(max(1, 2 * m), 0, where.dtype)
        search_kernel(self.source, where.dtype)(
            points.n, self.centers, 0, points.n, self.bound, self.near, self.exact
        )

    @property
    def data(self) -> tuple[Any, Any]:
        return self.centers, 0

    @property
    def width(self) -> int:
        return int(self.centers.shape[0])

    def move(self, kept: np.ndarray, rows: Any) -> None:
        self.centers = xp.take(self.centers, rows, axis=1)


class StoredGeneric(Generic):
    """On a stored matrix of squares, which is updated in place."""

    def __init__(self, matrix: Stored, method: Method) -> None:
        dtype = np.dtype(matrix.matrix.dtype)
        super().__init__(stored_source(method, dtype), dtype, matrix.n, method.counted)
        self.matrix, self.method = matrix, method
        # The nearest of all rows bounds the nearest of later ones.
        self.bound = launch.upload(matrix.distance)
        self.near = launch.upload(matrix.nearest)
        self.exact = launch.upload(matrix.nearest > np.arange(matrix.n))

    @property
    def data(self) -> tuple[Any, Any]:
        return self.matrix.matrix, tile_rows(self.matrix.n)

    def move(self, kept: np.ndarray, rows: Any) -> None:
        none = np.full(kept.size, -1)
        size = np.ones(self.matrix.n, self.dtype)  # nothing is united, so no size is used
        self.matrix.merge(self.method, kept, none, size[kept], size, size[kept], kept)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        points = centroid_source(dtype)
        yield search_kernel(points, dtype)
        for method in methods.METHODS.values():
            if not method.reducible:
                yield merge_kernel(points, method.counted, dtype)
                yield merge_kernel(stored_source(method, dtype), method.counted, dtype)
