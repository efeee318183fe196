"""The nearest-neighbour chain as one cooperative kernel: no host round trip per merge.

The algorithm is that of `gpuclust.kernels.cpu.matrix.chain`. All threads follow the chain; its top two links are in
registers. A scan of a row takes one synchronisation of the grid, and a merge two: when all threads have read what the
merge changes, and when it is changed. On a device each takes about two microseconds, so one block merges the last
clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import methods
from gpuclust.kernels.cuda import launch, reduce, scalar, tiles
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.reduce import Parts, blocks_for, grid_minimum, parts_signature
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.tiles import entry


@cache
def chain_kernel(method: methods.Method, dtype: np.dtype) -> Kernel:
    """Make ``wanted`` merges; ``scans[0]`` becomes the number of rows scanned, -1 if distances are infinite."""
    update = translated(method.update, dtype)
    minimum = grid_minimum(dtype)
    counted = method.counted
    number = real(dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(methods, reduce, scalar, tiles)

    @kernel(
        number[::1],
        number[::1],
        INT[::1],
        INT[::1],
        INT[::1],
        number[::1],
        INT[::1],
        INT,
        INT,
        INT[:, ::1],
        number[::1],
        INT[::1],
        *parts_signature(dtype),
        cooperative=True,
    )
    @named(method.name, dtype)
    def chain(
        matrix,
        size,
        ids,
        nearest,
        nearest_id,
        distance,
        link,
        next_id,
        wanted,
        pairs,
        heights,
        scans,
        parts,
        part_keys,
        part_places,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        held = cuda.shared.array(THREADS, number)
        keys = cuda.shared.array(THREADS, INT)
        places = cuda.shared.array(THREADS, INT)
        me = np.int64(cuda.grid(1))
        threads = np.int64(cuda.gridsize(1))
        n = np.int64(size.size)
        rows = (n + TILE - 1) // TILE
        top = np.int64(-1)
        below = np.int64(-1)
        length = np.int64(0)
        start = np.int64(0)
        found = np.int64(0)
        done = np.int64(0)
        turn = np.int64(0)
        while done < wanted:
            if length == 0:
                while ids[start] < 0:
                    start += 1
                top = start
                below = np.int64(-1)
                length = np.int64(1)
                if me == 0:
                    link[0] = start
            x = top
            y = nearest[x]
            d = distance[x]
            if y < 0 or ids[y] != nearest_id[x]:
                best = infinity
                key = np.int64(-1)
                place = np.int64(-1)
                for k in range(me, n, threads):
                    if ids[k] >= 0 and k != x:
                        value = matrix[entry(x, k, rows)]
                        if value < best or (value == best and ids[k] < key):
                            best = value
                            key = ids[k]
                            place = k
                d, key, y = minimum(best, key, place, held, keys, places, parts, part_keys, part_places, turn)
                turn = 1 - turn
                if y < 0:
                    found = np.int64(-1)  # every distance has overflowed
                    break
                if me == 0:
                    distance[x] = d
                    nearest_id[x] = key
                    nearest[x] = y
                found += 1
            if below != y:
                if me == 0:
                    link[length] = y
                below = x
                top = y
                length += 1
                continue
            a = min(x, y)
            b = max(x, y)
            sa = size[a]
            sb = size[b]
            for k in range(me, n, threads):
                if ids[k] >= 0 and k != a and k != b:
                    at = entry(a, k, rows)
                    matrix[at] = update(matrix[at], matrix[entry(b, k, rows)], d, sa, sb, size[k])
            id_a = ids[a]
            id_b = ids[b]
            cuda.cg.this_grid().sync()
            if me == 0:
                pairs[done, 0] = id_a
                pairs[done, 1] = id_b
                heights[done] = d
                if counted:
                    size[a] = sa + sb
                ids[a] = next_id + done
                nearest[a] = -1
                ids[b] = -1
            cuda.cg.this_grid().sync()
            done += 1
            length -= 2
            if length > 0:
                top = link[length - 1]
            below = np.int64(-1)
            if length > 1:
                below = link[length - 2]
        if me == 0:
            scans[0] = found

    return chain


def chain(
    matrix: Any,
    n: int,
    method: methods.Method,
    size: np.ndarray,
    ids: np.ndarray,
    nearest: np.ndarray,
    nearest_id: np.ndarray,
    distance: np.ndarray,
    next_id: int,
    wanted: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """``wanted`` merges of a matrix on the device; the other arrays are the host's, and are brought up to date."""
    dtype = np.dtype(matrix.dtype)
    run = chain_kernel(method, dtype)
    whole = launch.upload(np.concatenate((ids, nearest, nearest_id, np.zeros(n + 2 * wanted + 1, np.int64))))
    real_part = launch.upload(np.concatenate((size, distance, np.zeros(wanted, dtype))).astype(dtype, copy=False))
    blocks = blocks_for(run, n)
    run(
        blocks,
        matrix,
        real_part[:n],
        whole[:n],
        whole[n : 2 * n],
        whole[2 * n : 3 * n],
        real_part[n : 2 * n],
        whole[3 * n : 4 * n],
        next_id,
        wanted,
        whole[4 * n : 4 * n + 2 * wanted].reshape((wanted, 2)),
        real_part[2 * n :],
        whole[4 * n + 2 * wanted :],
        *Parts(blocks, dtype).arrays,
    )
    numbers, heights = launch.download(whole), launch.download(real_part)
    ids[:], nearest[:], nearest_id[:] = numbers[:n], numbers[n : 2 * n], numbers[2 * n : 3 * n]
    size[:], distance[:] = heights[:n], heights[n : 2 * n]
    pairs = numbers[4 * n : 4 * n + 2 * wanted].reshape((wanted, 2))
    return pairs, heights[2 * n :], int(numbers[-1])


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for method in methods.METHODS.values():
        for dtype in (np.dtype("float64"), np.dtype("float32")):
            if method.reducible and method.name != "single":
                yield chain_kernel(method, dtype)
