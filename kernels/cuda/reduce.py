"""The minimum over all threads of a cooperative launch, for kernels that make many steps in one launch.

Such a kernel has ``blocks`` x ``THREADS`` threads that all take the same decisions from the same data. Element k of
every array belongs to thread ``k mod threads``: only that thread changes it, and may read it at any time. Changes by
another thread may be read after the next minimum, which is a barrier for all threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import THREADS, cuda, device, named, real, types

#: Fewest elements for each thread at which more blocks are worth the cost of synchronising them.
SHARE = 8
#: Blocks are never more than this (for tests: never other than this, if it is set), or than can run at once.
MOST = 1024
FIXED: int | None = None


@device
def grid_sync():
    """Wait for all threads of the launch."""
    cuda.cg.this_grid().sync()


@cache
def block_minimum(dtype: np.dtype) -> Any:
    """The device function ``minimum(value, key, place, held, keys, places)`` for all threads of a block.

    All get the smallest (value, key) and its place. ``held``, ``keys`` and ``places`` are shared, THREADS long; where
    the key is the place, both may be one array.
    """

    @device
    @named(dtype)
    def minimum(value, key, place, held, keys, places):
        thread = cuda.threadIdx.x & (THREADS - 1)
        cuda.syncthreads()  # before these arrays are used again
        held[thread] = value
        keys[thread] = key
        places[thread] = place
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if thread < half:
                other = held[thread + half]
                if other < held[thread] or (other == held[thread] and keys[thread + half] < keys[thread]):
                    held[thread] = other
                    keys[thread] = keys[thread + half]
                    places[thread] = places[thread + half]
            half //= 2
        cuda.syncthreads()
        return held[0], keys[0], places[0]

    return minimum


@cache
def grid_minimum(dtype: np.dtype) -> Any:
    """The device function ``minimum(value, key, place, held, keys, places, parts, part_keys, part_places, turn)``.

    For all threads of the launch; all get the smallest (value, key) and its place. ``held``, ``keys`` and ``places``
    are shared, THREADS long; the ``parts`` are device arrays (2, blocks). ``turn`` alternates between 0 and 1 from
    call to call, so that a block that is ahead does not overwrite what another still reads.

    One synchronisation of the grid.
    """

    of_block = block_minimum(dtype)

    @device
    @named(dtype)
    def minimum(value, key, place, held, keys, places, parts, part_keys, part_places, turn):
        thread = cuda.threadIdx.x & (THREADS - 1)
        blocks = cuda.gridDim.x
        for stage in range(2):
            value, key, place = of_block(value, key, place, held, keys, places)
            if stage == 0:
                if thread == 0:
                    parts[turn, cuda.blockIdx.x] = value
                    part_keys[turn, cuda.blockIdx.x] = key
                    part_places[turn, cuda.blockIdx.x] = place
                cuda.cg.this_grid().sync()
                value = parts[turn, 0]
                key = part_keys[turn, 0]
                place = part_places[turn, 0]
                for block in range(thread, blocks, THREADS):
                    other = parts[turn, block]
                    if other < value or (other == value and part_keys[turn, block] < key):
                        value = other
                        key = part_keys[turn, block]
                        place = part_places[turn, block]
        return value, key, place

    return minimum


def parts_signature(dtype: Any) -> tuple[Any, ...]:
    """Types of the three device arrays of `Parts.arrays`."""
    return real(dtype)[:, ::1], types.int64[:, ::1], types.int64[:, ::1]


class Parts:
    """Device arrays for the minima of blocks."""

    def __init__(self, blocks: int, dtype: Any) -> None:
        self.arrays = (
            launch.empty((2, blocks), dtype),
            launch.empty((2, blocks), np.int64),
            launch.empty((2, blocks), np.int64),
        )


def blocks_for(kernel: launch.Kernel, n: int) -> int:
    """Blocks for arrays of ``n`` elements: one for few elements, where synchronisation costs more than the work."""
    if FIXED is not None:
        return min(FIXED, kernel.most_blocks())
    if n <= SHARE * THREADS:
        return 1
    return min(-(-n // (SHARE * THREADS)), launch.current_device().multiprocessors, kernel.most_blocks(), MOST)
