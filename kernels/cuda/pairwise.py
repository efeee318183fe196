"""Matrices of distances on the device, by distance tiles."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import launch, minima, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, THREADS, Kernel, cuda, inlined, kernel, named, real, xp
from gpuclust.kernels.cuda.minima import places
from gpuclust.kernels.cuda.tile import distance_tile, feature, geometry


@cache
def tile_writer(dtype: np.dtype, down: int, across: int, products: bool = False) -> Callable[..., None]:
    """The device function ``write(values, out, row, column)``: the pairs of a thread to a tile of ``out``."""
    place = places(products)

    @inlined
    @named(*(["products"] if products else []), dtype, down, across)
    def write(values, out, row, column):
        y0, x0 = place(cuda.threadIdx.x & (THREADS - 1))
        for i in range(down):
            r = row + y0 + SIDE * i
            for j in range(across):
                c = column + x0 + SIDE * j
                if r < out.shape[0] and c < out.shape[1]:
                    out[np.uint64(r), np.uint64(c)] = values[i, j]

    return write


@cache
def pairwise_kernel(metric: Metric, weighted: bool, dtype: np.dtype, fused: bool = True) -> Kernel:
    """Distances ``out[r, c]`` of points of F from ``begin`` on to those of G from ``left`` on; a block makes a tile.

    Not ``fused``: with the CPU's bits in float32, too.
    """
    distances = distance_tile(metric, weighted, dtype, *([] if fused else [False]))
    down, across = geometry(metric, dtype)
    write = tile_writer(dtype, down, across)
    number, given = real(dtype), feature(metric, dtype)
    stamp = launch.stamp(metrics, minima, points, scalar, tile)

    @kernel(given[:, ::1], number[::1], given[:, ::1], number[::1], number[::1], number, INT, INT, number[:, ::1])
    @named(*([] if fused else ["unfused"]), metric.name, weighted, dtype)
    def pairwise(F, sF, G, sG, w, p, begin, left, out):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), number)
        width = out.shape[1]
        tiles = (width + SIDE * across - 1) // (SIDE * across)
        row = (cuda.blockIdx.x // tiles) * (SIDE * down)
        column = (cuda.blockIdx.x % tiles) * (SIDE * across)
        distances(F, sF, begin + row, begin + out.shape[0], G, sG, left + column, left + width, w, p, values)
        write(values, out, row, column)

    return pairwise


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        yield pairwise_kernel(metric, weighted, dtype)
        if scalar.fuses(metric, weighted, dtype):
            yield pairwise_kernel(metric, weighted, dtype, fused=False)


class DevicePoints:
    """`Points` on the device, copied there once and cached; not to be changed."""

    def __init__(self, points: Points) -> None:
        self.metric, self.p = points.metric, points.p
        self.weighted = points.weights is not None
        self.features = launch.resident(points.features)
        self.summary = launch.resident(points.summary)
        self.weights = self.summary[:0] if points.weights is None else launch.resident(points.weights)

    @property
    def n(self) -> int:
        return int(self.features.shape[1])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.summary.dtype)

    def at(self, rows: Any) -> DevicePoints:
        """Some of the points, in this order."""
        some = copy(self)
        some.features, some.summary = xp.take(self.features, rows, axis=1), xp.take(self.summary, rows)
        return some


_derived: dict[tuple[Any, ...], tuple[weakref.ref[Any], Any]] = {}


def derived(points: Points, make: Callable[[Points], Any]) -> Any:
    """``make(points)``, computed once for each device, while the features of the points exist."""
    owner = points.features
    form = points.metric.name, points.weights is None, float(points.p)
    key = (id(owner), launch.current_index(), make, *form)
    known = _derived.get(key)
    if known is None or known[0]() is not owner:
        known = weakref.ref(owner, lambda _: _derived.pop(key, None)), make(points)
        _derived[key] = known
    return known[1]


def pairwise(A: DevicePoints, B: DevicePoints, begin: int, out: Any, left: int = 0, fused: bool = True) -> None:
    """Distances of points ``begin`` .. of A to points ``left`` .. of B into ``out``, a device array; O(rows n m).

    Not ``fused``: they are the CPU's bits in float32, too.
    """
    shape = geometry(A.metric, A.dtype)
    blocks = -(-out.shape[0] // shape.rows) * -(-out.shape[1] // shape.columns)
    form = A.metric, A.weighted, A.dtype
    fill = pairwise_kernel(*form) if fused or not scalar.fuses(*form) else pairwise_kernel(*form, fused=False)
    fill(blocks, A.features, A.summary, B.features, B.summary, A.weights, A.p, begin, left, out)
