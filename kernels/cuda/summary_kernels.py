"""Kernels of matrix-free clusters (`gpuclust.kernels.cuda.summaries`): searches and unions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, minima, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.minima import column_minima, fold_lines, nearer, pitches, row_minima
from gpuclust.kernels.cuda.scalar import arithmetic, terms, translated
from gpuclust.kernels.cuda.tile import distance_tile, geometry


@cache
def search_kernel(metric: Metric, method: Method, dtype: np.dtype) -> Kernel:
    """Nearest of clusters G for a tile of clusters F, in one chunk of tile columns a block.

    Tiles are of the first parts of the centroids. What may be the nearest of a row by those (``slack_F`` and
    ``growth`` are those of `gpuclust.core.centroids.loosened`) is computed again, from both parts.

    ``label_F`` and ``label_G`` are row numbers: a cluster doesn't meet itself. Chunk c of ``chunks`` (the slots of
    the result) is tile columns c, c + chunks, ... With ``note`` the least dissimilarity of a tile row to each of G,
    by first parts, goes to its slot of ``least``.
    """
    distances = distance_tile(metric, False, dtype)
    spread = method.scatter is not None
    geometric = translated(method.geometric or unchanged, dtype)
    square, loosened = squares(metric, dtype), translated(centroids.loosened, dtype)
    mul = arithmetic(dtype).mul
    down, across = geometry(metric, dtype)
    rows, columns = SIDE * down, SIDE * across
    of_rows, of_columns = row_minima(dtype, down, across), column_minima(dtype, down, across)
    pitch = pitches(dtype, rows, columns)[0]
    fold = fold_lines(dtype, rows, pitch)
    smaller = nearer(dtype)
    pool = SIDE * max(pitches(dtype, rows, columns))
    number = real(dtype)
    one, infinity = dtype.type(1), dtype.type(np.inf)
    stamp = launch.stamp(centroids, methods, metrics, minima, points, scalar, tile)

    @kernel(
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        number[::1],
        INT[::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        INT[::1],
        number,
        number,
        types.boolean,
        number[:, ::1],
        types.int32[:, ::1],
        number[:, ::1],
        resident=1 if dtype.itemsize == 8 else 2,  # in float64 two do not fit the registers
    )
    @named(metric.name, method.name, dtype)
    def search(
        F,
        low_F,
        size_F,
        scatter_F,
        slack_F,
        label_F,
        G,
        low_G,
        size_G,
        scatter_G,
        label_G,
        growth,
        p,
        note,
        value,
        index,
        least,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), number)
        pool_value = cuda.shared.array(pool, number)
        pool_index = cuda.shared.array(pool, types.int32)
        reached = cuda.shared.array(rows, number)
        count = np.int64(F.shape[1])
        n = np.int64(G.shape[1])
        chunks = np.int64(value.shape[0])
        thread = cuda.threadIdx.x & (THREADS - 1)
        chunk = np.int64(cuda.blockIdx.x) % chunks
        tile_row = np.int64(cuda.blockIdx.x) // chunks
        row = tile_row * rows
        slack = slack_F[min(row + (thread & (rows - 1)), count - 1)]
        best = infinity
        which = np.int32(-1)
        for column in range(chunk * columns, n, chunks * columns):
            distances(F, size_F, row, count, G, size_G, column, n, size_F, p, values)
            for i in range(down):
                x = row + thread // SIDE + SIDE * i
                last = np.uint64(min(x, count - 1))
                own = scatter_F[last] if spread else size_F[last]
                label = label_F[last]
                for j in range(across):
                    y = np.uint64(min(column + (thread & (SIDE - 1)) + SIDE * j, n - 1))
                    if not (x < count and label_G[y] != label):
                        values[i, j] = infinity
                    elif spread:
                        values[i, j] += own + scatter_G[y]
                    else:
                        values[i, j] = mul(geometric(one, own, size_G[y]), values[i, j])
            if note:
                low, at = of_columns(values, pool_value, pool_index)
                if thread < columns and column + thread < n:
                    least[tile_row, column + thread] = low
            low, at = of_rows(values, pool_value, pool_index)
            if thread < rows:  # the nearest is no farther than this, and by first parts no farther than that
                reached[thread] = loosened(min(best, loosened(low, slack, growth)), slack, growth)
            cuda.syncthreads()
            hits = np.uint64(
                0
            )  # bits of pairs: the loops over their features must not index ``values``, in registers
            for i in range(down):
                most = reached[thread // SIDE + SIDE * i]
                for j in range(across):
                    if values[i, j] <= most and values[i, j] < infinity:
                        hits |= np.uint64(1) << np.uint64(across * i + j)
            if cuda.syncthreads_or(np.int32(hits != np.uint64(0))):
                for i in range(down):
                    x = min(row + thread // SIDE + SIDE * i, count - 1)
                    low = infinity
                    at = np.int32(0)
                    for j in range(across):
                        if (hits >> np.uint64(across * i + j)) & np.uint64(1):
                            y = min(column + (thread & (SIDE - 1)) + SIDE * j, n - 1)
                            total = square(F, low_F, x, G, low_G, y)
                            if spread:
                                total += scatter_F[x] + scatter_G[y]
                            else:
                                total = geometric(total, size_F[x], size_G[y])
                            if total < low:
                                low = total
                                at = np.int32(SIDE * j)
                    slot = (thread & (SIDE - 1)) * pitch + thread // SIDE + SIDE * i
                    pool_value[slot] = low
                    pool_index[slot] = at + np.int32(thread & (SIDE - 1))
                low, at = fold(pool_value, pool_index)
                if low < infinity:
                    best, which = smaller(best, which, low, np.int32(column + at))
        if thread < rows and row + thread < count:
            value[chunk, row + thread] = best
            index[chunk, row + thread] = which

    return search


def unchanged(square, sa, sb):
    """Substitute for the geometric form of a linkage that has none; not called."""
    return square


def nothing(square, va, vb, sa, sb):
    """Substitute for the scatter of a linkage that has none; not called."""
    return va


@cache
def squares(metric: Metric, dtype: np.dtype):
    """The device function that gives the squared distance of two centroids from both parts of them.

    Summed as in a tile of distances, so that of points, which have no second part, it has the same bits.
    """
    difference = translated(centroids.difference, dtype)
    step = terms(metric, False, dtype, fused=True).step
    zero = dtype.type(0)

    @device
    @named(metric.name, dtype)
    def square(F, low_F, x, G, low_G, y):
        total = zero
        for f in range(F.shape[0]):
            total, _ = step(total, zero, difference(F[f, x], low_F[f, x], G[f, y], low_G[f, y]), zero, zero, zero)
        return total

    return square


@cache
def dissimilarities(method: Method, dtype: np.dtype):
    """The device function that gives the dissimilarity of a pair from the squared distance of its centroids."""
    spread = method.scatter is not None
    geometric = translated(method.geometric or unchanged, dtype)

    @device
    @named(method.name, dtype)
    def between(total, size, scatter, x, y):
        if spread:
            return total + (scatter[x] + scatter[y])
        return geometric(total, size[x], size[y])

    return between


@cache
def unite_kernel(metric: Metric, method: Method, dtype: np.dtype) -> Kernel:
    """Centroids and scatter of the new rows: those of ``first``, united with ``second`` unless that is -1.

    A thread a coordinate, and for the scatter one more a row.
    """
    united = translated(centroids.united, dtype)
    spread = method.scatter is not None
    scatter_of = translated(method.scatter or nothing, dtype)
    square = squares(metric, dtype)
    number = real(dtype)
    stamp = launch.stamp(centroids, methods, metrics, points, scalar)

    @kernel(
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        INT[::1],
        INT[::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
    )
    @named(metric.name, method.name, dtype)
    def unite(features, low, size, scatter, first, second, new_features, new_low, new_scatter):
        stamp  # noqa: B018
        place = np.int64(cuda.grid(1))
        f = place // first.size
        row = place % first.size
        if f > features.shape[0]:
            return
        a = first[row]
        b = second[row]
        if f == features.shape[0]:
            spreads = scatter[a]
            if spread and b >= 0:
                spreads = scatter_of(
                    square(features, low, a, features, low, b), spreads, scatter[b], size[a], size[b]
                )
            new_scatter[row] = spreads
            return
        if b >= 0 and size[b] > size[a]:  # the larger one moves less, which rounds less
            a, b = b, a
        high, rest = features[f, a], low[f, a]
        if b >= 0:
            high, rest = united(high, rest, features[f, b], low[f, b], size[a], size[b])
        new_features[f, row] = high
        new_low[f, row] = rest

    return unite


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    metric = metrics.METRICS["sqeuclidean"]
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        for method in methods.METHODS.values():
            if method.geometric is not None or method.scatter is not None:
                yield search_kernel(metric, method, dtype)
                yield unite_kernel(metric, method, dtype)
