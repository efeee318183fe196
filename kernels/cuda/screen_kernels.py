"""The nearest by tiles in single precision, and the candidates compared in full: the kernel of `screen`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import box_kernels, launch, minima, products, reduce, scalar, summary_kernels, tile
from gpuclust.kernels.cuda.box_kernels import box_bound
from gpuclust.kernels.cuda.launch import (
    INT,
    SIDE,
    SIMULATED,
    THREADS,
    Kernel,
    cuda,
    device,
    kernel,
    named,
    real,
    types,
)
from gpuclust.kernels.cuda.minima import fold_lines, least_of_columns, nearer, pitches, places
from gpuclust.kernels.cuda.products import product_tile
from gpuclust.kernels.cuda.reduce import block_minimum
from gpuclust.kernels.cuda.scalar import arithmetic, translated
from gpuclust.kernels.cuda.summary_kernels import squares, unchanged
from gpuclust.kernels.cuda.tile import distance_tile, geometry

SINGLE, DOUBLE = np.dtype("float32"), np.dtype("float64")


#: Threads of a block with pairs that are near, above which minima of rows by the screen come first.
MANY = THREADS // 4


class Comparison(NamedTuple):
    """Device functions of a pair's squared distance, and of a part for each of the two (see `search_kernel`)."""

    dissimilar: Callable[..., Any]
    within: Callable[..., Any]


@cache
def comparison(method: Method | None, dtype: np.dtype) -> Comparison:
    """``dissimilar(square, x, y)``, and ``within(square, most, x, y)``: whether that is at most ``most``."""
    mul, fma = arithmetic(dtype)
    form = (method.name if method else "points"), dtype
    spread, fused = method is not None and method.scatter is not None, dtype == SINGLE

    @device
    @named(*form)
    def dissimilar(square, x, y):
        if spread:
            return square + (x + y)
        return square / (x + y)

    @device
    @named(*form)
    def within(square, most, x, y):
        if spread:
            return square <= (most - x) - y
        if not fused:
            return square <= mul(most, y) + mul(most, x)
        return square <= fma(most, y, mul(most, x))

    @device
    @named(*form)
    def as_it_is(square, x, y):
        return square

    @device
    @named(*form)
    def within_limit(square, most, x, y):
        return square <= most

    return Comparison(dissimilar, within) if method else Comparison(as_it_is, within_limit)


@cache
def search_kernel(
    metric: Metric,
    method: Method | None,
    dtype: np.dtype,
    screen: np.dtype,
    by_products: bool = False,
    boxed: bool = False,
) -> Kernel:
    """Nearest of G for a tile of F, clusters or (``method`` None) points; in one chunk of tile columns a block.

    Tiles are of first parts of centroids in the type ``screen``, multiplied by a power of two, ``scale`` being its
    square; ``by_products`` of words with two halves each (`gpuclust.kernels.cuda.products`), with their squared
    ``norm``, which others do not use. What may be the nearest of a row by those (``slack_F`` and ``growth`` are those
    of `gpuclust.core.centroids.loosened`, for the screen) is computed again in ``dtype``, from both parts of the
    centroids in ``features`` and ``low``. The nearest is chosen by that.

    The screened dissimilarity of a pair with squared distance D is ``D / (part_F[x] + part_G[y])``, or with scatter
    ``D + part_F[x] + part_G[y]`` (see `gpuclust.kernels.cuda.screen.Screen`), so it is compared with a limit by one
    operation more than D. Most tiles hold nothing that is near enough for any of their rows, by what is known from
    earlier ones: they are left after that. Where many are near, minima of rows by the screen come first, which leave
    few. At first it is ``reach_F`` that is known: what is farther by the screen is not the nearest of a row.

    Column x of F stands for column ``row_F[x]`` of ``features``, as those of G do. Where ``own_F[x] == own_G[y]``
    x and y are not compared. Chunk c of ``chunks`` (the slots of the result) is tile columns c, c + chunks, ... With
    ``note`` only the least dissimilarity of a tile row to each of G is computed, by the screen, for its slot of
    ``least``.

    ``boxed``: the tile whose box is nearest comes first, and of the others only those in whose box something may be
    near enough for some row, which leaves out nothing but tiles without a near pair. ``box_F`` and ``box_G`` are of
    `gpuclust.kernels.cuda.side_kernels.box_kernel`. Ties go to the smaller ``label_G``, which increase within a tile,
    and the result is one of them.
    """
    distances = product_tile() if by_products else distance_tile(metric, False, screen)
    spread, closed = method is not None and method.scatter is not None, method is not None
    geometric = translated((method and method.geometric) or unchanged, dtype)
    square, loosened = squares(metric, dtype, two_parts=closed), translated(centroids.loosened, screen)
    dissimilar, within = comparison(method, screen)
    down, across = geometry(metric, screen)
    rows, columns = SIDE * down, SIDE * across
    form_of_tile = screen, down, across, by_products
    write_least = least_of_columns(*form_of_tile)
    place = places(by_products)
    pitch, screened_pitch = pitches(dtype, rows, columns)[0], pitches(screen, rows, columns)[0]
    fold, fold_screened = fold_lines(dtype, rows, pitch), fold_lines(screen, rows, screened_pitch)
    pool = SIDE * max(pitches(screen, rows, columns))
    number, seen, alike, room = real(dtype), real(screen), screen == dtype, SIDE * pitch
    given = types.uint32 if by_products else seen
    rounded = screen.type if SIMULATED else seen
    of_one = np.uint32((1 << across) - 1)
    zero, infinity, exact_infinity = screen.type(0), screen.type(np.inf), dtype.type(np.inf)
    nan, nothing = screen.type(np.nan), np.int32(-1)
    bound, smaller, smallest = box_bound(metric, False, screen), nearer(dtype), block_minimum(screen)
    others = box_kernels, centroids, methods, metrics, minima, points, products, reduce, scalar, summary_kernels, tile
    stamp = launch.stamp(*others)
    kind = ["points"] if not closed else [] if alike or by_products else ["screened"]
    if boxed:
        kind.append("boxes")
    if by_products:
        kind.insert(0, "products")

    @kernel(
        given[:, ::1],
        seen[::1],
        seen[::1],
        seen[::1],
        seen[::1],
        INT[::1],
        types.int32[::1],
        given[:, ::1],
        seen[::1],
        seen[::1],
        INT[::1],
        types.int32[::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        seen,
        number,
        seen,
        types.boolean,
        seen[:, ::1],
        seen[:, ::1],
        types.int32[::1],
        number[:, ::1],
        types.int32[:, ::1],
        seen[:, ::1],
        resident=1 if screen == DOUBLE or boxed else 2,  # in float64, and with boxes, two do not fit the registers
        oldest=products.OLDEST if by_products else launch.OLDEST,
    )
    @named(*kind, metric.name, *([method.name] if method else []), dtype)
    def search(
        F,
        norm_F,
        part_F,
        slack_F,
        reach_F,
        row_F,
        own_F,
        G,
        norm_G,
        part_G,
        row_G,
        own_G,
        features,
        low,
        size,
        scatter,
        growth,
        scale,
        p,
        note,
        box_F,
        box_G,
        label_G,
        value,
        index,
        least,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), seen)
        theirs = cuda.local.array(across, seen)
        pool_value = cuda.shared.array(pool, seen)
        pool_index = cuda.shared.array(pool, types.int32)
        if alike:
            exact_value = pool_value
        else:
            exact_value = cuda.shared.array(room, number)
        reached = cuda.shared.array(rows, seen)
        own_here = cuda.shared.array(rows, types.int32)
        here = cuda.shared.array(rows, seen)
        own_there = cuda.shared.array(columns, types.int32)
        there = cuda.shared.array(columns, seen)
        count = np.int64(F.shape[1])
        n = np.int64(G.shape[1])
        chunks = np.int64(value.shape[0])
        thread = cuda.threadIdx.x & (THREADS - 1)
        y0, x0 = place(thread)
        chunk = np.int64(cuda.blockIdx.x) % chunks
        tile_row = np.int64(cuda.blockIdx.x) // chunks
        row = tile_row * rows
        slack = slack_F[min(row + (thread & (rows - 1)), count - 1)]
        best = exact_infinity
        which = np.int32(-1)
        mine = zero
        if thread < rows:
            x = np.uint64(min(row + thread, count - 1))
            reached[thread] = reach_F[x]
            own_here[thread] = own_F[x]
            here[thread] = part_F[x]
        column = (chunk - chunks) * columns
        tiles = np.int64(box_G.shape[1])
        begin, k, first = chunk, np.int64(THREADS), np.int64(-1)  # of groups of tiles, one for each thread
        if boxed:
            bounds = cuda.shared.array(THREADS, seen)
            m = F.shape[0]
            low_F, high_F, low_G, high_G = box_F[:m], box_F[m : 2 * m], box_G[:m], box_G[m : 2 * m]
            beside = box_F[2 * m, tile_row]
            nearest_box, at = infinity, nothing
            for t in range(chunk + chunks * thread, tiles, chunks * THREADS):
                apart = bound(low_F, high_F, tile_row, low_G, high_G, t, norm_F, p)
                if apart < nearest_box:
                    nearest_box, at = apart, np.int32(t)
            _, at, _ = smallest(nearest_box, at, at, bounds, pool_index, pool_index)
            first = np.int64(at)
            column = first * columns
        while True:
            if not boxed:
                column += chunks * columns
                if column >= n:
                    break
            elif column < 0:  # the next tile in which something may be near enough
                cuda.syncthreads()
                most = reached[0]
                for i in range(1, rows):
                    most = max(most, reached[i])
                while column < 0 and (k < THREADS or begin < tiles):
                    if k < THREADS:
                        t = begin + chunks * (k - THREADS)
                        if bounds[k] == bounds[k] and within(bounds[k], most, beside, box_G[2 * m, t]):
                            column = t * columns
                        k += 1
                    else:
                        t = begin + chunks * thread
                        apart = nan
                        if t < tiles and t != first:
                            apart = bound(low_F, high_F, tile_row, low_G, high_G, t, norm_F, p)
                        hit = apart == apart and within(apart, most, beside, box_G[2 * m, min(t, tiles - 1)])
                        cuda.syncthreads()
                        bounds[thread] = apart
                        k = np.int64(0) if cuda.syncthreads_or(np.int32(hit)) else np.int64(THREADS)
                        begin += chunks * THREADS
                if column < 0:
                    break
            corner = column
            if boxed:
                column = np.int64(-1)
            if thread < columns:
                y = np.uint64(min(corner + thread, n - 1))
                own_there[thread] = own_G[y]
                there[thread] = part_G[y]
            distances(F, norm_F, row, count, G, norm_G, corner, n, norm_F, p, values)
            if closed:
                cuda.syncthreads()
            for j in range(across):
                theirs[j] = there[x0 + SIDE * j] if closed else zero
            if note:
                for i in range(down):
                    label = own_here[y0 + SIDE * i]
                    if closed:
                        mine = here[y0 + SIDE * i]
                    for j in range(across):
                        if own_there[x0 + SIDE * j] == label:
                            values[i, j] = infinity
                        else:
                            values[i, j] = dissimilar(values[i, j], mine, theirs[j])
                write_least(values, pool_value, pool_index, least, tile_row, corner, n)
                continue
            near = False
            for i in range(down):
                most = reached[y0 + SIDE * i]
                if closed:
                    mine = here[y0 + SIDE * i]
                for j in range(across):
                    near |= within(values[i, j], most, mine, theirs[j])
            threads = cuda.syncthreads_count(np.int32(near))
            if threads == 0:
                continue
            if threads > MANY:
                for i in range(down):
                    label = own_here[y0 + SIDE * i]
                    if closed:
                        mine = here[y0 + SIDE * i]
                    below = infinity
                    for j in range(across):
                        if own_there[x0 + SIDE * j] != label:
                            below = min(below, dissimilar(values[i, j], mine, theirs[j]))
                    pool_value[x0 * screened_pitch + y0 + SIDE * i] = below
                    pool_index[x0 * screened_pitch + y0 + SIDE * i] = 0
                below, _ = fold_screened(pool_value, pool_index)
                if thread < rows:  # the nearest is no farther than this by the exact one, and than that by the screen
                    far = loosened(below, slack, growth)
                    reached[thread] = min(reached[thread], loosened(far, slack, growth))
                cuda.syncthreads()
            hits = np.uint64(0)  # bits of pairs: loops over features must not index ``values``, in registers
            if near:
                for i in range(down):
                    most = reached[y0 + SIDE * i]
                    if closed:
                        mine = here[y0 + SIDE * i]
                    for j in range(across):
                        if within(values[i, j], most, mine, theirs[j]):
                            hits |= np.uint64(1) << np.uint64(across * i + j)
            for i in range(down):
                nearest = exact_infinity
                at = np.int32(0)
                of_row = np.uint32(hits >> np.uint64(across * i)) & of_one
                if of_row != 0:
                    x = row_F[min(row + y0 + SIDE * i, count - 1)]
                    label = own_here[y0 + SIDE * i]
                    for j in range(across):
                        if (of_row >> np.uint32(j)) & np.uint32(1) and own_there[x0 + SIDE * j] != label:
                            y = row_G[min(corner + x0 + SIDE * j, n - 1)]
                            total = square(features, low, x, features, low, y)
                            if spread:
                                total += scatter[x] + scatter[y]
                            elif closed:
                                total = geometric(total, size[x], size[y])
                            if total < nearest:
                                nearest = total
                                at = np.int32(SIDE * j)
                slot = x0 * pitch + y0 + SIDE * i
                exact_value[slot] = nearest
                pool_index[slot] = at + np.int32(x0)
            nearest, at = fold(exact_value, pool_index)
            if boxed and nearest < exact_infinity:
                best, which = smaller(best, which, nearest, label_G[min(corner + at, n - 1)])
                reached[thread] = min(reached[thread], loosened(rounded(best * scale), slack, growth))
            elif nearest < best:  # columns of later tiles are larger
                best, which = nearest, np.int32(corner + at)
                reached[thread] = min(reached[thread], loosened(rounded(best * scale), slack, growth))
        if thread < rows and row + thread < count:
            value[chunk, row + thread] = best
            index[chunk, row + thread] = which

    return search


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    metric = metrics.METRICS["sqeuclidean"]
    forms = [method for method in methods.METHODS.values() if method.geometric or method.scatter]
    for by_products in (False, True):
        yield search_kernel(metric, None, DOUBLE, SINGLE, by_products)
        if by_products:
            yield search_kernel(metric, None, SINGLE, SINGLE, by_products)
        for method in forms:
            for dtype in (DOUBLE, SINGLE):
                yield search_kernel(metric, method, dtype, SINGLE, by_products)
    for method in forms:
        yield search_kernel(metric, method, DOUBLE, DOUBLE)
        for dtype, screen in ((DOUBLE, DOUBLE), (DOUBLE, SINGLE), (SINGLE, SINGLE)):
            yield search_kernel(metric, method, dtype, screen, boxed=True)
