"""The nearest by tiles in single precision, and the candidates compared in full: the kernel of `screen`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, minima, products, scalar, summary_kernels, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, SIMULATED, THREADS, Kernel, cuda, kernel, named, real, types
from gpuclust.kernels.cuda.minima import fold_lines, least_of_columns, nearer, pitches, places, row_minima
from gpuclust.kernels.cuda.products import product_tile
from gpuclust.kernels.cuda.scalar import arithmetic, translated
from gpuclust.kernels.cuda.summary_kernels import squares, unchanged
from gpuclust.kernels.cuda.tile import distance_tile, geometry

SINGLE, DOUBLE = np.dtype("float32"), np.dtype("float64")


@cache
def search_kernel(
    metric: Metric, method: Method | None, dtype: np.dtype, screen: np.dtype, by_products: bool = False
) -> Kernel:
    """Nearest of G for a tile of F, clusters or (``method`` None) points; in one chunk of tile columns a block.

    Tiles are of first parts of centroids in the type ``screen``, multiplied by a power of two, ``scale`` being its
    square; ``by_products`` of words with two halves each (`gpuclust.kernels.cuda.products`), with their squared
    ``norm``, which others do not use. What may be the nearest of a row by those (``slack_F`` and ``growth`` are those
    of `gpuclust.core.centroids.loosened`, for the screen) is computed again in ``dtype``, from both parts of the
    centroids in ``features`` and ``low``. The nearest is chosen by that.

    Most tiles hold nothing that is near enough for any of their rows, by what is known from earlier ones: they are
    left after one comparison of each pair. At first it is ``reach_F`` that is known: what is farther by the screen is
    not the nearest of a row.

    Column x of F stands for column ``row_F[x]`` of ``features``, as those of G do. Where ``own_F[x] == own_G[y]``
    x and y are not compared. Chunk c of ``chunks`` (the slots of the result) is tile columns c, c + chunks, ... With
    ``note`` the least dissimilarity of a tile row to each of G, by the screen, goes to its slot of ``least``.
    """
    distances = product_tile() if by_products else distance_tile(metric, False, screen)
    spread, closed = method is not None and method.scatter is not None, method is not None
    form = (method and method.geometric) or unchanged
    geometric, screened_form = translated(form, dtype), translated(form, screen)
    square, loosened = squares(metric, dtype, two_parts=closed), translated(centroids.loosened, screen)
    mul = arithmetic(screen).mul
    down, across = geometry(metric, screen)
    rows, columns = SIDE * down, SIDE * across
    form_of_tile = screen, down, across, by_products
    of_rows, write_least = row_minima(*form_of_tile), least_of_columns(*form_of_tile)
    place, pitch = places(by_products), pitches(dtype, rows, columns)[0]
    fold = fold_lines(dtype, rows, pitch)
    smaller = nearer(dtype)
    pool = SIDE * max(pitches(screen, rows, columns))
    number, seen, alike, room = real(dtype), real(screen), screen == dtype, SIDE * pitch
    given = types.uint32 if by_products else seen
    rounded = screen.type if SIMULATED else seen
    one, infinity, exact_infinity = screen.type(1), screen.type(np.inf), dtype.type(np.inf)
    largest = np.finfo(screen).max
    stamp = launch.stamp(centroids, methods, metrics, minima, points, products, scalar, summary_kernels, tile)
    kind = ["points"] if not closed else [] if alike or by_products else ["screened"]
    if by_products:
        kind.insert(0, "products")

    @kernel(
        given[:, ::1],
        seen[::1],
        seen[::1],
        seen[::1],
        seen[::1],
        seen[::1],
        INT[::1],
        types.int32[::1],
        given[:, ::1],
        seen[::1],
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
        number[:, ::1],
        types.int32[:, ::1],
        seen[:, ::1],
        resident=1 if screen == DOUBLE else 2,  # in float64 two do not fit the registers
        oldest=products.OLDEST if by_products else launch.OLDEST,
    )
    @named(*kind, metric.name, *([method.name] if method else []), dtype)
    def search(
        F,
        norm_F,
        size_F,
        scatter_F,
        slack_F,
        reach_F,
        row_F,
        own_F,
        G,
        norm_G,
        size_G,
        scatter_G,
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
        value,
        index,
        least,
    ):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), seen)
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
        if thread < rows:
            x = np.uint64(min(row + thread, count - 1))
            reached[thread] = reach_F[x]
            own_here[thread] = own_F[x]
            if closed:
                here[thread] = scatter_F[x] if spread else size_F[x]
        for column in range(chunk * columns, n, chunks * columns):
            if thread < columns:
                y = np.uint64(min(column + thread, n - 1))
                own_there[thread] = own_G[y]
                if closed:
                    there[thread] = scatter_G[y] if spread else size_G[y]
            distances(F, norm_F, row, count, G, norm_G, column, n, norm_F, p, values)
            if closed:
                cuda.syncthreads()
                for i in range(down):
                    mine = here[y0 + SIDE * i]
                    label = own_here[y0 + SIDE * i]
                    for j in range(across):
                        y = x0 + SIDE * j
                        if own_there[y] == label:
                            values[i, j] = infinity
                        elif spread:
                            values[i, j] += mine + there[y]
                        else:
                            values[i, j] = mul(screened_form(one, mine, there[y]), values[i, j])
            if note and closed:
                write_least(values, pool_value, pool_index, least, tile_row, column, n)
            near = False
            for i in range(down):
                most = reached[y0 + SIDE * i]
                for j in range(across):
                    near |= values[i, j] <= most
            if not cuda.syncthreads_or(np.int32(near or (note and not closed))):
                continue
            if not closed:
                for i in range(down):
                    label = own_here[y0 + SIDE * i]
                    for j in range(across):
                        if own_there[x0 + SIDE * j] == label:
                            values[i, j] = infinity
                if note:
                    write_least(values, pool_value, pool_index, least, tile_row, column, n)
            below, at = of_rows(values, pool_value, pool_index)
            if thread < rows:  # the nearest is no farther than this, and by the screen no farther than that
                far = min(rounded(best * scale), loosened(below, slack, growth))
                reached[thread] = min(loosened(far, slack, growth), largest)
            cuda.syncthreads()
            near = False
            for i in range(down):
                most = reached[y0 + SIDE * i]
                for j in range(across):
                    near |= values[i, j] <= most
            if cuda.syncthreads_or(np.int32(near)):
                hits = np.uint64(0)  # bits of pairs: loops over features must not index ``values``, in registers
                for i in range(down):
                    most = reached[y0 + SIDE * i]
                    for j in range(across):
                        if values[i, j] <= most:
                            hits |= np.uint64(1) << np.uint64(across * i + j)
                for i in range(down):
                    x = row_F[min(row + y0 + SIDE * i, count - 1)]
                    nearest = exact_infinity
                    at = np.int32(0)
                    for j in range(across):
                        if (hits >> np.uint64(across * i + j)) & np.uint64(1):
                            y = row_G[min(column + x0 + SIDE * j, n - 1)]
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
                if nearest < exact_infinity:
                    best, which = smaller(best, which, nearest, np.int32(column + at))
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
        for method in forms:
            for dtype in (DOUBLE, SINGLE):
                yield search_kernel(metric, method, dtype, SINGLE, by_products)
    for method in forms:
        yield search_kernel(metric, method, DOUBLE, DOUBLE)
