"""The distance tile: all pairs of a few points with a few others, by one block, in registers.

A block of ``SIDE`` x ``SIDE`` threads takes ``rows`` points of F and ``columns`` points of G. It processes the
features ``DEPTH`` at a time: the block copies their values of its points to shared memory, then each thread reads
those of its own points, and adds the step of the metric to its own pairs: ``down`` rows, ``SIDE`` apart, times
``across`` columns, ``SIDE`` apart. For 8 x 8 pairs that is 16 reads of shared memory for 128 operations in float32.
A warp reads two values of the rows (broadcast) and 16 adjacent ones of the columns: no bank conflicts. Sums run in
the order of the features, as everywhere. An odd number of features is filled up with zeros: the step of two zeros
adds nothing in any metric.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.points import Metric
from gpuclust.kernels.cuda.launch import SIDE, SIMULATED, THREADS, cuda, inlined, named, real, types
from gpuclust.kernels.cuda.scalar import terms

#: Features in a step: the number of values of every point in shared memory.
DEPTH = 4 if SIMULATED else 8
#: Features between two tests for the last one.
PAIR = 2


class Geometry(NamedTuple):
    """Pairs a thread: ``down`` rows times ``across`` columns; pairs a block: ``rows`` times ``columns``."""

    down: int
    across: int

    @property
    def rows(self) -> int:
        return SIDE * self.down

    @property
    def columns(self) -> int:
        return SIDE * self.across


def feature(metric: Metric, dtype: np.dtype) -> Any:
    """Numba's type of features: a number, or a word of bits."""
    return types.uint64 if metric.words else real(dtype)


def geometry(metric: Metric, dtype: np.dtype) -> Geometry:
    """As many pairs for each thread as registers hold: 64 sums in float32, half as many in float64 or of words.

    For expensive steps sharing the reads gains nothing, and unrolling them would fill the instruction cache.
    """
    if SIMULATED:
        return Geometry(4, 2)
    if metric.heavy:
        return Geometry(2, 2)
    sums = 128 // np.dtype(dtype).itemsize * 2 // (2 if metric.two_sums or metric.words else 1)
    return {64: Geometry(8, 8), 32: Geometry(8, 4), 16: Geometry(4, 4)}[sums]


def resident(metric: Metric) -> int:
    """Blocks that should fit on a multiprocessor at once: two, so that one computes while the other waits for memory.

    With one, a thread has the registers of both, and spills none of its sums.
    """
    return 1 if metric.crowded else 2


@cache
def distance_tile(metric: Metric, weighted: bool, dtype: np.dtype, fused: bool = True) -> Callable[..., None]:
    """The device function ``distances(F, sF, row, row_end, G, sG, column, column_end, w, p, out)``.

    For all threads of a block to call together, with ``THREADS`` threads. ``out`` is a local array (down, across).
    Entry (i, j) of thread (x, y) = (t % SIDE, t // SIDE) becomes the distance of point ``row + y + SIDE i`` of F to
    point ``column + x + SIDE j`` of G; of points from ``row_end`` or ``column_end`` on it means nothing. F (m, nF)
    and G (m, nG) are features, sF and sG summaries, w (m,) feature weights, not read if not ``weighted``. Not
    ``fused``: float32 has the CPU's bits, too (see `gpuclust.kernels.cuda.scalar`).
    """
    step, finish = terms(metric, weighted, dtype, fused)
    two_sums = metric.two_sums
    down, across = geometry(metric, dtype)
    rows, columns = SIDE * down, SIDE * across
    number, given = real(dtype), feature(metric, dtype)
    zero = np.dtype(dtype).type(0)
    nothing = np.uint64(0) if metric.words else zero
    depth = np.uint64(DEPTH)

    @inlined
    @named(*([] if fused else ["unfused"]), metric.name, weighted, dtype)
    def distances(F, sF, row, row_end, G, sG, column, column_end, w, p, out):
        left = cuda.shared.array((DEPTH, rows), given)
        right = cuda.shared.array((DEPTH, columns), given)
        second = cuda.local.array((down, across), number) if two_sums else out
        xs = cuda.local.array(down, given)
        ys = cuda.local.array(across, given)
        thread = cuda.threadIdx.x & (THREADS - 1)  # known to be non-negative, which keeps indices simple
        x0 = thread & (SIDE - 1)
        y0 = thread // SIDE
        m = F.shape[0]
        for i in range(down):
            for j in range(across):
                out[i, j] = zero
                if two_sums:
                    second[i, j] = zero
        # A thread copies some features of one point of each side; past the last point, those of the last one.
        # Indices are unsigned: Numba checks signed ones for being negative.
        r = np.uint64(thread & (rows - 1))
        c = np.uint64(thread & (columns - 1))
        first_r = np.uint64(thread // rows)
        first_c = np.uint64(thread // columns)
        source_r = np.uint64(min(row + (thread & (rows - 1)), row_end - 1))
        source_c = np.uint64(min(column + (thread & (columns - 1)), column_end - 1))
        features = np.uint64(m)
        base = np.uint64(0)
        while base < features:
            cuda.syncthreads()
            if base + depth <= features:
                for part in range(DEPTH * rows // THREADS):
                    k = first_r + np.uint64(part * (THREADS // rows))
                    left[k, r] = F[base + k, source_r]
                for part in range(DEPTH * columns // THREADS):
                    k = first_c + np.uint64(part * (THREADS // columns))
                    right[k, c] = G[base + k, source_c]
            else:
                for part in range(DEPTH * rows // THREADS):
                    k = first_r + np.uint64(part * (THREADS // rows))
                    left[k, r] = F[base + k, source_r] if base + k < features else nothing
                for part in range(DEPTH * columns // THREADS):
                    k = first_c + np.uint64(part * (THREADS // columns))
                    right[k, c] = G[base + k, source_c] if base + k < features else nothing
            cuda.syncthreads()
            k = np.uint64(0)
            until = min(depth, features - base)
            while k < until:
                for turn in range(PAIR):  # two at a time: a loop of constant length is unrolled
                    at = k + np.uint64(turn)
                    weight = zero
                    if weighted and base + at < features:
                        weight = w[base + at]
                    for i in range(down):
                        xs[i] = left[at, np.uint64(y0 + SIDE * i)]
                    for j in range(across):
                        ys[j] = right[at, np.uint64(x0 + SIDE * j)]
                    for i in range(down):
                        for j in range(across):
                            if two_sums:
                                out[i, j], second[i, j] = step(out[i, j], second[i, j], xs[i], ys[j], weight, p)
                            else:
                                out[i, j], _ = step(out[i, j], zero, xs[i], ys[j], weight, p)
                k += np.uint64(PAIR)
            base += depth
        for i in range(down):
            sx = sF[min(row + y0 + SIDE * i, row_end - 1)]
            for j in range(across):
                sy = sG[min(column + x0 + SIDE * j, column_end - 1)]
                out[i, j] = finish(out[i, j], second[i, j] if two_sums else zero, sx, sy, p)

    return distances
