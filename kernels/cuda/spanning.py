"""Minimum spanning tree of condensed dissimilarities (Prim) as one cooperative kernel.

Every thread keeps the distances of its own vertices to the tree. An edge costs one synchronisation of the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from gpuclust.kernels.cuda import launch, reduce
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.reduce import Parts, blocks_for, grid_minimum, parts_signature


@cache
def tree_kernel(dtype: np.dtype) -> Kernel:
    """Add ``wanted`` edges to the tree, of which there are ``done``; ``near[y]`` is -1 when y is inside."""
    minimum = grid_minimum(dtype)
    number = real(dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(reduce)

    @kernel(
        number[::1],
        INT,
        INT[::1],
        number[::1],
        INT,
        INT,
        INT[:, ::1],
        number[::1],
        *parts_signature(dtype),
        cooperative=True,
    )
    @named(dtype)
    def grow_tree(condensed, n, near, distance, wanted, done, pairs, heights, parts, part_keys, part_places):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        held = cuda.shared.array(THREADS, number)
        keys = cuda.shared.array(THREADS, INT)
        places = cuda.shared.array(THREADS, INT)
        me = np.int64(cuda.grid(1))
        threads = np.int64(cuda.gridsize(1))
        x = np.int64(0)
        if done > 0:
            x = pairs[done - 1, 1]
        turn = np.int64(0)
        for edge in range(done, done + wanted):
            best = infinity
            key = np.int64(-1)
            place = np.int64(-1)
            for y in range(me, n, threads):
                if y == x:
                    near[y] = -1
                if near[y] < 0:
                    continue
                low, high = min(x, y), max(x, y)
                value = condensed[n * low - low * (low + 1) // 2 + high - low - 1]
                if value < distance[y]:
                    distance[y] = value
                    near[y] = x
                if distance[y] < best:
                    best = distance[y]
                    key = np.int64(y)
                    place = near[y]
            best, key, place = minimum(best, key, place, held, keys, places, parts, part_keys, part_places, turn)
            turn = 1 - turn
            if me == 0:
                pairs[edge, 0] = place
                pairs[edge, 1] = key
                heights[edge] = best
            x = key

    return grow_tree


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield tree_kernel(dtype)


#: Edges between two reports: a fraction of a second.
STEP = 1 << 15


def spanning_tree(condensed: np.ndarray, n: int, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n - 1, 2) and lengths of the edges of a minimum spanning tree. O(n²) time."""
    dtype = np.dtype(condensed.dtype)
    run = tree_kernel(dtype)
    blocks = blocks_for(run, n)
    table = launch.upload(condensed)
    near = launch.full(n, 0, np.int64)
    distance = launch.full(n, np.inf, dtype)
    pairs = launch.full((n - 1, 2), 0, np.int64)
    heights = launch.full(n - 1, 0, dtype)
    parts = Parts(blocks, dtype).arrays
    for done in range(0, n - 1, STEP):
        wanted = min(STEP, n - 1 - done)
        run(blocks, table, n, near, distance, wanted, done, pairs, heights, *parts)
        report(done + wanted)
    return launch.download(pairs), launch.download(heights)
