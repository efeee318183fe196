"""Fill a tiled matrix from points, or from condensed dissimilarities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.kernels.cuda import launch, scalar, tiles
from gpuclust.kernels.cuda.launch import INT, THREADS, TILE, Kernel, cuda, kernel, named, real, types
from gpuclust.kernels.cuda.pairwise import DevicePoints, pairwise
from gpuclust.kernels.cuda.scalar import arithmetic
from gpuclust.kernels.cuda.tiles import tile_start


@cache
def slab_kernel(dtype: np.dtype) -> Kernel:
    """Copy rows of a square of dissimilarities to a tiled matrix; a pair from its earlier row.

    ``slab[r, c]`` is the entry of row ``begin + r`` and column ``left + c``, where a tile begins.
    """
    number = real(dtype)
    infinity = dtype.type(np.inf)
    stamp = launch.stamp(tiles)

    @kernel(number[:, ::1], INT, INT, INT, number[::1])
    @named(dtype)
    def place_slab(slab, begin, left, n, matrix):
        stamp  # noqa: B018
        rows = (n + TILE - 1) // TILE
        place = np.int64(cuda.grid(1))
        across = rows * TILE - left
        x = begin + place // across
        y = left + place % across
        if x >= begin + slab.shape[0] or y // TILE < x // TILE:
            return
        start = tile_start(x // TILE, y // TILE, rows)
        value = slab[x - begin, y - left] if x < y < n else infinity
        matrix[start + (x & (TILE - 1)) * TILE + (y & (TILE - 1))] = value

    return place_slab


@cache
def condensed_kernel(dtype: np.dtype) -> Kernel:
    """Fill a matrix from condensed dissimilarities, squared if asked; a block a tile."""
    number = real(dtype)
    infinity = dtype.type(np.inf)
    mul = arithmetic(dtype).mul
    stamp = launch.stamp(scalar, tiles)

    @kernel(number[::1], number[::1], INT, types.boolean)
    @named(dtype)
    def fill_condensed(matrix, condensed, n, squared):
        stamp  # noqa: B018
        rows = (n + TILE - 1) // TILE
        tile_row = np.int64(cuda.blockIdx.x) // rows
        tile_column = np.int64(cuda.blockIdx.x) % rows
        if tile_column < tile_row:
            return
        begin = tile_start(tile_row, tile_column, rows)
        for k in range(cuda.threadIdx.x, TILE * TILE, THREADS):
            x = tile_row * TILE + k // TILE
            y = tile_column * TILE + (k & (TILE - 1))
            value = infinity
            if x < y < n:
                value = condensed[n * x - x * (x + 1) // 2 + y - x - 1]
                if squared:
                    value = mul(value, value)
            matrix[begin + k] = value

    return fill_condensed


#: Bytes of distances that are held at a time while a matrix is filled.
_SLAB = 1 << 14 if launch.SIMULATED else 1 << 26


def fill_points(matrix: Any, where: DevicePoints) -> None:
    """Fill a matrix with the distances of points, a slab of rows at a time, from their tile on. O(n² m) time."""
    n = where.n
    padded = tiles.tile_rows(n) * TILE
    matrix[tiles.tiled_size(n) - TILE * TILE :] = np.inf  # rows past the last point
    most = max(1, min(n, _SLAB // (n * where.dtype.itemsize)))
    slab = launch.empty(most * n, where.dtype)
    for begin in range(0, n, most):
        left, height = begin // TILE * TILE, min(most, n - begin)
        part = slab[: height * (n - left)].reshape((height, n - left))
        pairwise(where, where, begin, part, left)
        slab_kernel(where.dtype)(launch.blocks_for(height * (padded - left)), part, begin, left, n, matrix)


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        yield condensed_kernel(dtype)
        yield slab_kernel(dtype)
