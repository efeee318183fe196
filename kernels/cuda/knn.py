"""The k nearest neighbours of every point: slabs of distances, and a selection that reads each of them once.

A block goes through a row of the slab and keeps what is below the limit, the k-th smallest so far, in a buffer in
shared memory. When that fills up it is sorted, the k smallest stay, and the last of them is the new limit. In a row
in random order the limit falls so fast that the buffer is filled only a few times. To be independent of the order of
the data, the row is read in strides of about 0.618 of its length, which cover it evenly. Pairs (distance, index) are
all different, so the selection does not depend on the order in the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import gcd
from typing import Any

import numpy as np

from gpuclust.core import metrics
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, scalar
from gpuclust.kernels.cuda.launch import INT, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.pairwise import DevicePoints, pairwise
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.tile import geometry

INT32 = types.int32
#: Bytes of a slab of distances.
SLAB = 2**28
#: Values a thread reads at a time, and values a block then reads: a piece of a row.
SHARE = 4
PIECE = SHARE * THREADS
#: Places of the buffer: a piece may be added to as many as that. Neighbours found by one pass over a row.
CAPACITY = 2 * PIECE
MOST = PIECE // 2


@cache
def sort_pairs(dtype: np.dtype) -> Callable[..., Any]:
    """The device function ``sort(value, index, count)``: the first ``count`` pairs in shared memory, bitonically.

    For all threads of a block. Everything from ``count`` to the next power of two is overwritten by (inf, largest).
    """
    infinity = dtype.type(np.inf)
    last = np.int32(2**31 - 1)
    one, threads = np.uint64(1), np.uint64(THREADS)  # indices are unsigned: signed ones are checked for wraparound

    @device
    @named(dtype)
    def sort(value, index, count):
        thread = cuda.threadIdx.x & (THREADS - 1)
        size = one
        while size < np.uint64(count):
            size += size
        place = np.uint64(count) + np.uint64(thread)
        while place < size:
            value[place] = infinity
            index[place] = last
            place += threads
        run = one + one
        while run <= size:
            apart = run >> one
            while apart > 0:
                cuda.syncthreads()
                pair = np.uint64(thread)
                while pair + pair < size:
                    first = pair + pair - (pair & (apart - one))
                    second = first + apart
                    a = value[first]
                    b = value[second]
                    i = index[first]
                    j = index[second]
                    above = a > b or (a == b and i > j)
                    if above == ((first & run) == 0):
                        value[first] = b
                        value[second] = a
                        index[first] = j
                        index[second] = i
                    pair += threads
                apart >>= one
            run += run
        cuda.syncthreads()

    return sort


@cache
def select_kernel(dtype: np.dtype) -> Kernel:
    """The nearest of row r of a slab, which is point ``rows[r]``, by (distance, index); a block a row.

    ``stride`` is prime to the number of pieces of a row. Row r of ``distance`` and ``index`` is filled, `MOST` places
    at a time. -1 and infinite past the last distance that is below infinity.
    """
    sort = sort_pairs(dtype)
    number = real(dtype)
    infinity = dtype.type(np.inf)
    last = np.int32(2**31 - 1)

    @kernel(number[:, ::1], INT[::1], INT, number[:, ::1], INT32[:, ::1], resident=4)
    @named(dtype)
    def select(slab, rows, stride, distance, index):
        value = cuda.shared.array(CAPACITY, number)
        which = cuda.shared.array(CAPACITY, INT32)
        filled = cuda.shared.array(1, INT32)
        read = cuda.local.array(SHARE, number)
        thread = cuda.threadIdx.x & (THREADS - 1)
        n = np.int64(slab.shape[1])
        row = np.int64(cuda.blockIdx.x)
        own = rows[row]
        pieces = (n + PIECE - 1) // PIECE
        low = -infinity  # the last pair that earlier passes found: below all others
        low_at = np.int32(-1)
        done = np.int64(0)
        while done < distance.shape[1]:
            wanted = min(distance.shape[1] - done, MOST)
            enough = max(2 * wanted, THREADS)
            limit = infinity
            limit_at = np.int32(-1)
            cuda.syncthreads()
            if thread == 0:
                filled[0] = 0
            cuda.syncthreads()
            piece = np.int64(0)
            for step in range(pieces):
                start = piece * PIECE + thread
                if (piece + 1) * PIECE <= n:
                    for k in range(SHARE):  # all reads first, so that they overlap
                        read[k] = slab[np.uint64(row), np.uint64(start + THREADS * k)]
                else:
                    for k in range(SHARE):
                        c = start + THREADS * k
                        read[k] = slab[np.uint64(row), np.uint64(c)] if c < n else infinity
                for k in range(SHARE):
                    v = read[k]
                    if v <= limit:  # seldom
                        c = start + THREADS * k
                        enters = c != own and v < infinity and (v < limit or c < limit_at)
                        if enters and (v > low or (v == low and c > low_at)):
                            place = cuda.atomic.add(filled, 0, 1)
                            value[place] = v
                            which[place] = c
                piece += stride
                if piece >= pieces:
                    piece -= pieces
                cuda.syncthreads()
                count = np.int64(filled[0])
                if count > enough or step == pieces - 1:
                    sort(value, which, count)
                    if count >= wanted:
                        limit = value[wanted - 1]
                        limit_at = which[wanted - 1]
                        count = wanted
                    cuda.syncthreads()
                    if thread == 0:
                        filled[0] = count
                cuda.syncthreads()
            count = np.int64(filled[0])
            for place in range(thread, wanted, THREADS):
                distance[row, done + place] = value[place] if place < count else infinity
                index[row, done + place] = which[place] if place < count else -1
            low, low_at = limit, limit_at if limit < infinity else last
            done += wanted

    return select


@cache
def finish_kernel(metric: Metric, dtype: np.dtype) -> Kernel:
    """Distances of a metric from those of the metric that it is compared by, in place."""
    finish = translated(metric.finish, dtype)
    number = real(dtype)
    zero = dtype.type(0)
    stamp = launch.stamp(metrics, scalar)

    @kernel(number[::1], number)
    @named(metric.name, dtype)
    def finish_distances(distance, p):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        place = np.int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if place < distance.size:
            distance[place] = finish(distance[place], zero, zero, zero, p)

    return finish_distances


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield select_kernel(dtype)
        for metric in metrics.METRICS.values():
            if metric.monotone_of is not None and metric.prepared_as is None:
                yield finish_kernel(metric, dtype)


def _stride(pieces: int) -> int:
    """Stride that covers a number of pieces evenly: about 0.618 of it, and prime to it."""
    step = max(1, round(pieces * 0.618))
    while gcd(step, pieces) > 1:
        step -= 1
    return step


def slab_rows(n: int, metric: Metric, dtype: np.dtype) -> int:
    """Points whose distances to all others are held at a time: as many as `SLAB` holds, at least one row of tiles."""
    return min(n, max(geometry(metric, dtype).rows, SLAB // (n * dtype.itemsize)))


def slabs(
    some: DevicePoints, where: DevicePoints, fill: Callable[[slice, Any], Any] | None = None
) -> Iterator[tuple[slice, Any]]:
    """Distances of points to all others, some rows at a time; one array serves all. ``fill(rows, out)`` if given."""
    height = min(some.n, slab_rows(where.n, where.metric, where.dtype))
    slab = launch.empty((height, where.n), where.dtype)
    for begin in range(0, some.n, height):
        part = slice(begin, min(begin + height, some.n))
        held = slab[: part.stop - begin]
        if fill is None:
            pairwise(some, where, begin, held)
        else:
            fill(part, held)
        yield part, held


def select(slab: Any, rows: Any, distance: Any, index: Any) -> None:
    """The nearest of the points ``rows`` by a slab of their distances: into all columns of the arrays."""
    stride = _stride(-(-slab.shape[1] // PIECE))
    select_kernel(slab.dtype)(len(slab), slab, rows, stride, distance, index)
