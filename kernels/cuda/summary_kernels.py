"""Kernels of matrix-free clusters (`gpuclust.kernels.cuda.summaries`): searches, unions and the chain."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, nearest, reduce, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, THREADS, Kernel, cuda, device, kernel, named, real, types
from gpuclust.kernels.cuda.nearest import column_minima, fold_lines, nearer, pitches, row_minima
from gpuclust.kernels.cuda.reduce import grid_minimum, parts_signature
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
    stamp = launch.stamp(centroids, methods, metrics, nearest, points, scalar, tile)

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


@cache
def chain_kernel(metric: Metric, method: Method, dtype: np.dtype) -> Kernel:
    """As in `gpuclust.kernels.cpu.clusters.summary_kernels`, by all threads: see `gpuclust.kernels.cuda.chain`.

    ``scans[0]`` becomes the number of rows searched, -1 if dissimilarities are infinite. A search costs two
    synchronisations of the grid, and a merge two and a search.
    """
    spread = method.scatter is not None
    scatter_of = translated(method.scatter or nothing, dtype)
    united = translated(centroids.united, dtype)
    square, between = squares(metric, dtype), dissimilarities(method, dtype)
    minimum = grid_minimum(dtype)
    counted = method.counted
    number = real(dtype)
    zero, infinity = dtype.type(0), dtype.type(np.inf)
    stamp = launch.stamp(centroids, methods, metrics, points, reduce, scalar)

    @kernel(
        number[:, ::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        INT[::1],
        INT[::1],
        INT[::1],
        number[::1],
        INT[:, ::1],
        INT,
        INT,
        INT[:, ::1],
        number[::1],
        INT[::1],
        *parts_signature(dtype),
        cooperative=True,
    )
    @named(metric.name, method.name, dtype)
    def chain(
        features,
        low,
        union,
        size,
        scatter,
        ids,
        nearest,
        nearest_id,
        distance,
        link,
        next_id,
        wanted,
        pairs,
        heights_made,
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
        n = np.int64(features.shape[1])
        top = np.int64(-1)
        top_id = np.int64(-1)
        length = np.int64(0)
        start = np.int64(0)
        found = np.int64(0)
        done = np.int64(0)
        live = np.int64(0)
        total = zero
        turn = np.int64(0)
        for k in range(n):
            if ids[k] >= 0:
                live += 1
        joined = np.int64(-1)  # a union that has just been made, to be searched, and others to learn of it
        while done < wanted or joined >= 0:
            if joined >= 0:
                x = joined
            else:
                popped = False
                while length > 0 and ids[top] != top_id:
                    length -= 1
                    popped = True
                    if length > 0:
                        top = link[0, length - 1]
                        top_id = link[1, length - 1]
                if popped:  # before a new link overwrites a place that another thread still reads
                    cuda.cg.this_grid().sync()
                if length == 0 or length == n:
                    while ids[start] < 0:
                        start += 1
                    top = start
                    top_id = ids[start]
                    length = np.int64(1)
                    if me == 0:
                        link[0, 0] = top
                        link[1, 0] = top_id
                x = top
            y = nearest[x]
            if joined >= 0 or y < 0 or ids[y] != nearest_id[x]:
                best = infinity
                key = np.int64(-1)
                place = np.int64(-1)
                for k in range(me, n, threads):
                    if ids[k] >= 0 and k != x:
                        value = between(square(features, low, x, features, low, k), size, scatter, x, k)
                        if value < best or (value == best and ids[k] < key):
                            best = value
                            key = ids[k]
                            place = np.int64(k)
                        if joined >= 0 and value < distance[k]:
                            distance[k] = value
                            nearest[k] = x
                            nearest_id[k] = ids[x]
                d, key, y = minimum(best, key, place, held, keys, places, parts, part_keys, part_places, turn)
                turn = 1 - turn
                found += 1
                if y < 0:
                    found = np.int64(-1)  # every dissimilarity has overflowed
                    break
                if me == 0:
                    distance[x] = d
                    nearest_id[x] = key
                    nearest[x] = y
                cuda.cg.this_grid().sync()
                if joined >= 0:
                    joined = np.int64(-1)
                    continue
            if nearest[y] != x or nearest_id[y] != ids[x]:
                if me == 0:
                    link[0, length] = y
                    link[1, length] = ids[y]
                top = y
                top_id = ids[y]
                length += 1
                continue
            a = min(x, y)
            b = max(x, y)
            sa = size[a]
            sb = size[b]
            if me == 0:
                pairs[done, 0] = ids[a]
                pairs[done, 1] = ids[b]
                total = square(features, low, a, features, low, b)
                heights_made[done] = between(total, size, scatter, a, b)
            for f in range(me, features.shape[0], threads):
                if sa >= sb:  # the larger one moves less, which rounds less
                    union[0, f], union[1, f] = united(features[f, a], low[f, a], features[f, b], low[f, b], sa, sb)
                else:
                    union[0, f], union[1, f] = united(features[f, b], low[f, b], features[f, a], low[f, a], sb, sa)
            cuda.cg.this_grid().sync()
            for f in range(me, features.shape[0], threads):
                features[f, a] = union[0, f]
                low[f, a] = union[1, f]
            if me == 0:
                if spread:
                    scatter[a] = scatter_of(total, scatter[a], scatter[b], sa, sb)
                if counted:
                    size[a] = sa + sb
                ids[a] = next_id + done
                ids[b] = -1
            cuda.cg.this_grid().sync()
            done += 1
            live -= 1
            if live == 1:
                break
            joined = a
        if me == 0:
            scans[0] = found

    return chain


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    metric = metrics.METRICS["sqeuclidean"]
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        for method in methods.METHODS.values():
            if method.geometric is not None or method.scatter is not None:
                yield search_kernel(metric, method, dtype)
                yield unite_kernel(metric, method, dtype)
                yield chain_kernel(metric, method, dtype)
