"""Products of cophenetic distances with distances in streamed slabs, on the device.

Two leaves come together at the latest merge in the gaps between their positions in leaf order. For a range of gaps
that is the later of two windows that cover it, each as long as the largest power of two in it; the latest merge of
every such window is in a table of n log n numbers, which stays in the cache. So pairs are independent of each other,
unlike on the CPU, where each row follows from the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.core.points import Points
from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.pairwise import DevicePoints, pairwise
from gpuclust.kernels.cuda.scalar import arithmetic

if TYPE_CHECKING:
    from gpuclust.core.backend import LeafTree

_F8, _I4 = types.float64, types.int32
#: Bytes of distances that are held at a time.
_SLAB = 1 << 14 if launch.SIMULATED else 1 << 28
#: Columns that one thread of a block sums up on its own, THREADS apart.
_SHARE = 8


@device
def latest(table, width, q, r):
    """The latest merge in the gaps between positions q < r; ``table`` holds rows of ``width`` windows."""
    level = np.int64(0)
    while (np.int64(2) << level) <= r - q:
        level += 1
    first = table[level * width + q]
    last = table[level * width + r - (np.int64(1) << level)]
    return max(first, last)


@cache
def table_kernel() -> Kernel:
    """Row ``level`` of the table from the one before: windows of twice the length."""

    @kernel(_I4[::1], INT, INT)
    @named("int32")
    def windows(table, width, level):
        q = np.int64(cuda.grid(1))
        half = np.int64(1) << (level - 1)
        if q + 2 * half <= width:
            before = (level - 1) * width
            table[level * width + q] = max(table[before + q], table[before + q + half])

    return windows


@cache
def correlate_kernel(dtype: np.dtype) -> Kernel:
    """Sums of one row of a slab of distances over a stretch of columns: y, y² and y z."""
    number = real(dtype)
    mul = arithmetic(np.dtype("float64")).mul

    @kernel(number[:, ::1], INT, _I4[::1], _F8[::1], _F8, _F8, INT, INT, _F8[:, ::1])
    @named(dtype)
    def correlate(slab, begin, table, height, shift, centre, n, across, sums):
        held = cuda.shared.array((3, THREADS), _F8)
        thread = cuda.threadIdx.x
        block = np.int64(cuda.blockIdx.x)
        q = begin + block // across
        r = (block % across) * (THREADS * _SHARE) + thread
        total = 0.0
        squares = 0.0
        product = 0.0
        for _ in range(_SHARE):
            if q < r < n:
                y = np.float64(slab[block // across, r]) - shift
                total += y
                squares += mul(y, y)
                product += mul(y, height[latest(table, n - 1, q, r)] - centre)
            r += THREADS
        held[0, thread] = total
        held[1, thread] = squares
        held[2, thread] = product
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if thread < half:
                for k in range(3):
                    held[k, thread] += held[k, thread + half]
            half //= 2
        if thread == 0:
            for k in range(3):
                sums[block, k] = held[k, 0]

    return correlate


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    yield table_kernel()
    for dtype in ("float64", "float32"):
        yield correlate_kernel(np.dtype(dtype))


def _table(tree: LeafTree) -> Any:
    """The latest merge of every window of 1, 2, 4, ... gaps: level after level."""
    width = tree.n - 1
    levels = max(1, width.bit_length())
    table = launch.empty(levels * width, np.int32)
    table[:width] = launch.upload(tree.gap.astype(np.int32))
    for level in range(1, levels):
        table_kernel()(launch.blocks_for(width), table, width, level)
    return table


def correlate(points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
    """Sums over pairs of y, y² and y z: y a distance of points (in leaf order) less shift, z a height less centre.

    O(n² m) time; O(n log n + n m) memory and a slab of distances. Sums are made in a fixed order.
    """
    n = tree.n
    where = DevicePoints(points)
    table, height = _table(tree), launch.upload(tree.height)
    rows = max(1, min(n, _SLAB // (n * points.dtype.itemsize)))
    across = -(-n // (THREADS * _SHARE))
    slab = launch.empty((rows, n), points.dtype)
    parts = []
    for begin in range(0, n, rows):
        held = slab[: min(rows, n - begin)]
        pairwise(where, where, begin, held)
        sums = launch.empty((len(held) * across, 3), np.float64)
        correlate_kernel(where.dtype)(len(held) * across, held, begin, table, height, shift, centre, n, across, sums)
        parts.append(launch.download(sums).sum(axis=0))
    return np.sum(parts, axis=0)
