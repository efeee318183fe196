"""All distances of two sets of points or of one, for the caller: computed in slabs, on their way to the host.

A result on the host may be larger than the device's memory. One that stays on the device is written in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core.points import Points
from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.pairwise import DevicePoints
from gpuclust.kernels.cuda.pairwise import pairwise as fill

#: Bytes of distances that are held at a time.
SLAB = 1 << 14 if launch.SIMULATED else 1 << 28


@cache
def upper_kernel(dtype: np.dtype) -> Kernel:
    """Copy the part of a slab right of the diagonal to condensed order; rows from ``begin`` on."""
    number = real(dtype)

    @kernel(number[:, ::1], INT, INT, number[::1])
    @named(dtype)
    def upper(slab, begin, across, out):
        n = np.int64(slab.shape[1])
        r = np.int64(cuda.blockIdx.x) // across
        i = begin + r
        j = (np.int64(cuda.blockIdx.x) % across) * THREADS + cuda.threadIdx.x
        if i < j < n:  # row i starts r (n - 1) - (begin + ... + i - 1) numbers after row ``begin``
            start = r * (n - 1) - (i * (i - 1) - begin * (begin - 1)) // 2
            out[np.uint64(start + j - i - 1)] = slab[np.uint64(r), np.uint64(j)]

    return upper


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in ("float64", "float32"):
        yield upper_kernel(np.dtype(dtype))


def pairwise(A: Points, B: Points, out: Any) -> Any:
    """Distances of every point of A to every point of B into ``out`` (nA, nB), on the host or the device.

    O(nA nB m) time; memory for the points and, with ``out`` on the host, a slab.
    """
    left, right = DevicePoints(A), DevicePoints(B)
    if not isinstance(out, np.ndarray):
        fill(left, right, 0, out)
        return out
    for begin, end, slab in _slabs(A.n, B.n, left.dtype):
        fill(left, right, begin, slab)
        launch.download(slab, out[begin:end])
    return out


def condensed(points: Points, out: Any) -> Any:
    """Distances of all pairs of points into ``out`` (n (n - 1) / 2,), on the host or the device.

    O(n² m) time; memory for the points and one or two slabs.
    """
    n = points.n
    where = DevicePoints(points)
    across = launch.blocks_for(n)
    done = 0
    for begin, end, slab in _slabs(n, n, where.dtype):
        fill(where, where, begin, slab)
        count = (end - begin) * (n - 1) - (end * (end - 1) - begin * (begin - 1)) // 2
        on_host = isinstance(out, np.ndarray)
        part = launch.empty(count, where.dtype) if on_host else out[done : done + count]
        if count:
            upper_kernel(where.dtype)((end - begin) * across, slab, begin, across, part)
        if on_host:
            launch.download(part, out[done : done + count])
        done += count
    return out


def _slabs(rows: int, columns: int, dtype: np.dtype) -> Iterator[tuple[int, int, Any]]:
    """Ranges of rows, each with an array for their distances; one array serves all."""
    height = max(1, min(rows, SLAB // max(1, columns * dtype.itemsize)))
    slab = launch.empty((height, columns), dtype)
    for begin in range(0, rows, height):
        end = min(begin + height, rows)
        yield begin, end, slab[: end - begin]
