"""Squared distances by matrix products on tensor cores: the tile, and a kernel that writes a slab of them.

``|x - y|² = |x|² + |y|² - 2 x.y`` for points in half precision (`gpuclust.kernels.cuda.halves`, which also has the
bound of the error). A warp multiplies 16 rows by 8 columns, over 16 features, in one instruction; its threads hold
the sums, a pair of rows and a pair of columns each:

* thread (g, t) = (lane // 4, lane % 4) has the sums of rows g and g + 8, and columns 2 t and 2 t + 1;
* it gives features 2 t, 2 t + 1, 2 t + 8 and 2 t + 9 of those two rows, and of column g.

The 8 warps of a block stand in 2 rows and 4 columns. Rows and columns of products are numbered so that a thread has
the pairs of a distance tile (`gpuclust.kernels.cuda.tile`): rows ``y + SIDE i`` and columns ``x + SIDE j`` of it,
where only (y, x) is another function of the thread: `gpuclust.kernels.cuda.minima.places`.

PTX ISA, section "Matrix fragments for mma.m16n8k16 with floating point type".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import frexp
from typing import Any

import numpy as np

from gpuclust.core import metrics
from gpuclust.kernels.cuda import launch, minima, pairwise, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, SIMULATED, THREADS, Kernel, cuda, inlined, kernel, named, types
from gpuclust.kernels.cuda.minima import places
from gpuclust.kernels.cuda.pairwise import tile_writer
from gpuclust.kernels.cuda.scalar import arithmetic
from gpuclust.kernels.cuda.tile import geometry

SINGLE = np.dtype("float32")
#: Features of a product, and the words of 32 bits, of two features each, that they are kept in.
FEATURES, WORDS = 16, 8
#: The oldest compute capability with these products.
OLDEST = (8, 0)
#: Threads of a warp, and of those that share a row.
WARP, ACROSS = 32, 4
#: Products that the worst of tensor cores adds at a time.
TOGETHER = 4
#: Distances in shared memory between words of the same point: threads of a warp read 32 different banks.
LEFT, RIGHT = 8, 4


def truncated_sum(c: float, x: np.ndarray, y: np.ndarray) -> float:
    """``c + x.y`` of halves as tensor cores may compute it at worst, by the model in docs/products.md.

    Four products at a time are aligned with the sum so far, by the largest of them, cut off there and added, and
    the result is cut off.
    """
    for k in range(0, x.size, TOGETHER):
        terms = [c, *(x[k : k + TOGETHER].astype(float) * y[k : k + TOGETHER].astype(float))]
        if not any(terms[1:]):
            continue
        unit = _unit(max(map(abs, terms)))
        c = unit * sum(int(term / unit) for term in terms)
        unit = _unit(abs(c))
        c = unit * int(c / unit)
    return c


def _unit(largest: float) -> float:
    """The last place of a number in single precision."""
    return 2.0 ** (frexp(largest)[1] - 24) if largest else 1.0


def multiply_by_threads(c0, c1, c2, c3, a0, a1, a2, a3, b0, b1):
    """What `multiply` gives, in the simulator: the threads of a warp show each other their numbers.

    All threads of a block call it together.
    """
    left = cuda.shared.array((THREADS, 4), types.uint32)
    right = cuda.shared.array((THREADS, 2), types.uint32)
    thread = cuda.threadIdx.x
    left[thread] = a0, a1, a2, a3
    right[thread] = b0, b1
    cuda.syncthreads()
    warp = thread // WARP * WARP
    g, t = (thread - warp) // ACROSS, thread % ACROSS
    sums = []
    for lower, column, c in ((0, 2 * t, c0), (0, 2 * t + 1, c1), (1, 2 * t, c2), (1, 2 * t + 1, c3)):
        of_row, of_column = (slice(warp + ACROSS * k, warp + ACROSS * (k + 1)) for k in (g, column))
        x = np.concatenate((left[of_row, lower], left[of_row, lower + 2])).view(np.float16)
        y = np.concatenate((right[of_column, 0], right[of_column, 1])).view(np.float16)
        sums.append(np.float32(truncated_sum(float(c), x, y)))
    cuda.syncthreads()
    return sums


if SIMULATED:
    multiply: Any = multiply_by_threads
else:
    from llvmlite import ir
    from numba.cuda import cgutils
    from numba.cuda.extending import intrinsic

    @intrinsic
    def multiply(typing, c0, c1, c2, c3, a0, a1, a2, a3, b0, b1):  # type: ignore[no-untyped-def]
        """Four sums of products of a warp, in float32; ``a`` and ``b`` are words of two halves. See the module."""
        signature = types.UniTuple(types.float32, 4)(*[types.float32] * 4, *[types.uint32] * 6)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            number, word = ir.FloatType(), ir.IntType(32)
            made = ir.LiteralStructType([number] * 4)
            text = (
                "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
            )
            kind = ir.FunctionType(made, [word] * 6 + [number] * 4)
            call = ir.InlineAsm(kind, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
            found = builder.call(call, [*arguments[4:], *arguments[:4]])
            return cgutils.pack_array(builder, [builder.extract_value(found, k) for k in range(4)])

        return signature, generate


def shape() -> Any:
    """The pairs of a thread: those of a distance tile in single precision."""
    return geometry(metrics.METRICS["sqeuclidean"], SINGLE)


@cache
def product_tile() -> Callable[..., None]:
    """The device function ``squares(F, norm_F, row, row_end, G, norm_G, column, column_end, w, p, out)``.

    As `gpuclust.kernels.cuda.tile.distance_tile`, of points as words (words, n), of which there is a multiple of
    `WORDS`, and their squared norms; ``w`` and ``p`` are not used.
    """
    down, across = shape()
    fma = arithmetic(SINGLE).fma
    place = places(True)
    zero, two = SINGLE.type(0), SINGLE.type(-2)
    loads = WORDS * SIDE * down // THREADS
    rows, columns = SIDE * down, SIDE * across
    half, tall, wide = across // 2, rows + LEFT, columns + RIGHT

    @inlined
    @named("products")
    def squares(F, norm_F, row, row_end, G, norm_G, column, column_end, w, p, out):
        left = cuda.shared.array((WORDS, tall), types.uint32)
        right = cuda.shared.array((WORDS, wide), types.uint32)
        of_rows = cuda.shared.array(rows, types.float32)
        of_columns = cuda.shared.array(columns, types.float32)
        ahead = cuda.local.array((2, loads), types.uint32)
        low = cuda.local.array(half, types.uint32)
        high = cuda.local.array(half, types.uint32)
        thread = cuda.threadIdx.x & (THREADS - 1)
        y0, x0 = place(thread)
        lane = thread & (WARP - 1)
        # The column of which a thread gives features, and the first of the four words that it gives.
        given = np.uint64((x0 & ~(ACROSS - 1)) + (lane // (2 * ACROSS)) + SIDE * ((lane // ACROSS) & 1))
        word = np.uint64(lane & (ACROSS - 1))
        for i in range(down):
            for j in range(across):
                out[i, j] = zero
        r = np.uint64(thread & (rows - 1))
        first = np.uint64(thread // rows)
        source_r = np.uint64(min(row + (thread & (rows - 1)), row_end - 1))
        source_c = np.uint64(min(column + (thread & (columns - 1)), column_end - 1))
        words = np.uint64(F.shape[0])
        for part in range(loads):
            k = first + np.uint64(part * (THREADS // rows))
            ahead[0, part] = F[k, source_r]
            ahead[1, part] = G[k, source_c]
        cuda.syncthreads()  # norms of a tile before are not needed any more
        if thread < rows:
            of_rows[r] = norm_F[source_r]
        if thread < columns:
            of_columns[np.uint64(thread)] = norm_G[source_c]
        base = np.uint64(0)
        while base < words:
            cuda.syncthreads()
            for part in range(loads):
                k = first + np.uint64(part * (THREADS // rows))
                left[k, r] = ahead[0, part]
                right[k, r] = ahead[1, part]
            cuda.syncthreads()
            base += np.uint64(WORDS)
            if base < words:  # while these are multiplied, the next ones are read
                for part in range(loads):
                    k = base + first + np.uint64(part * (THREADS // rows))
                    ahead[0, part] = F[k, source_r]
                    ahead[1, part] = G[k, source_c]
            for j in range(0, across, 2):
                low[j // 2] = right[word, given + np.uint64(SIDE * j)]
                high[j // 2] = right[word + np.uint64(ACROSS), given + np.uint64(SIDE * j)]
            for i in range(0, down, 2):
                a0 = left[word, np.uint64(y0 + SIDE * i)]
                a1 = left[word, np.uint64(y0 + SIDE * (i + 1))]
                a2 = left[word + np.uint64(ACROSS), np.uint64(y0 + SIDE * i)]
                a3 = left[word + np.uint64(ACROSS), np.uint64(y0 + SIDE * (i + 1))]
                for j in range(0, across, 2):
                    out[i, j], out[i, j + 1], out[i + 1, j], out[i + 1, j + 1] = multiply(
                        out[i, j],
                        out[i, j + 1],
                        out[i + 1, j],
                        out[i + 1, j + 1],
                        a0,
                        a1,
                        a2,
                        a3,
                        low[j // 2],
                        high[j // 2],
                    )
        for i in range(down):
            norm = of_rows[np.uint64(y0 + SIDE * i)]
            for j in range(across):
                out[i, j] = fma(two, out[i, j], norm + of_columns[np.uint64(x0 + SIDE * j)])

    return _one_by_one() if SIMULATED else squares


def _one_by_one() -> Callable[..., None]:
    """`product_tile` for the small blocks of the simulator, which have no warps."""
    down, across = shape()
    place = places(True)

    def squares(F, norm_F, row, row_end, G, norm_G, column, column_end, w, p, out):
        cuda.syncthreads()
        y0, x0 = place(cuda.threadIdx.x)
        for i in range(down):
            r = min(row + y0 + SIDE * i, row_end - 1)
            x = F[:, r].copy().view(np.float16)
            for j in range(across):
                c = min(column + x0 + SIDE * j, column_end - 1)
                y = G[:, c].copy().view(np.float16)
                total = np.float32(truncated_sum(0.0, x, y))
                out[i, j] = (norm_F[r] + norm_G[c]) - np.float32(2) * total
        cuda.syncthreads()

    return squares


@cache
def slab_kernel() -> Kernel:
    """Squares ``out[r, c]`` of points of F from ``begin`` and of G from ``left`` on; a block makes a tile."""
    squares = product_tile()
    down, across = shape()
    write = tile_writer(SINGLE, down, across, products=True)
    stamp = launch.stamp(minima, pairwise, tile)

    @kernel(
        types.uint32[:, ::1],
        types.float32[::1],
        types.uint32[:, ::1],
        types.float32[::1],
        INT,
        INT,
        types.float32[:, ::1],
        resident=2,
        oldest=OLDEST,
    )
    @named(SINGLE)
    def squares_slab(F, norm_F, G, norm_G, begin, left, out):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), types.float32)
        width = np.int64(out.shape[1])
        tiles = (width + SIDE * across - 1) // (SIDE * across)
        row = (np.int64(cuda.blockIdx.x) // tiles) * (SIDE * down)
        column = (np.int64(cuda.blockIdx.x) % tiles) * (SIDE * across)
        end = begin + out.shape[0]
        squares(F, norm_F, begin + row, end, G, norm_G, left + column, left + width, norm_F, values[0, 0], values)
        write(values, out, row, column)

    return squares_slab


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    yield slab_kernel()
