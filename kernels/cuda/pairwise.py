"""Matrices of distances on the device, by distance tiles."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics, points
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cuda import launch, scalar, tile
from gpuclust.kernels.cuda.launch import INT, SIDE, Kernel, cuda, kernel, named, real
from gpuclust.kernels.cuda.tile import distance_tile, feature, geometry


@cache
def pairwise_kernel(metric: Metric, weighted: bool, dtype: np.dtype) -> Kernel:
    """Distances of points of F from ``begin`` on to all points of G, ``out[r, c]``; a block makes one tile."""
    distances = distance_tile(metric, weighted, dtype)
    down, across = geometry(metric, dtype)
    number, given = real(dtype), feature(metric, dtype)
    stamp = launch.stamp(metrics, points, scalar, tile)

    @kernel(given[:, ::1], number[::1], given[:, ::1], number[::1], number[::1], number, INT, number[:, ::1])
    @named(metric.name, weighted, dtype)
    def pairwise(F, sF, G, sG, w, p, begin, out):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        values = cuda.local.array((down, across), number)
        n = G.shape[1]
        tiles = (n + SIDE * across - 1) // (SIDE * across)
        row = (cuda.blockIdx.x // tiles) * (SIDE * down)
        column = (cuda.blockIdx.x % tiles) * (SIDE * across)
        distances(F, sF, begin + row, begin + out.shape[0], G, sG, column, n, w, p, values)
        x0 = cuda.threadIdx.x % SIDE
        y0 = cuda.threadIdx.x // SIDE
        for i in range(down):
            r = row + y0 + SIDE * i
            for j in range(across):
                c = column + x0 + SIDE * j
                if r < out.shape[0] and c < n:
                    out[np.uint64(r), np.uint64(c)] = values[i, j]

    return pairwise


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    for metric, weighted, dtype in scalar.forms():
        yield pairwise_kernel(metric, weighted, dtype)


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


def pairwise(A: DevicePoints, B: DevicePoints, begin: int, out: Any) -> None:
    """Distances of points ``begin`` .. of A to all points of B into ``out``, a device array; O(rows n m)."""
    shape = geometry(A.metric, A.dtype)
    blocks = -(-out.shape[0] // shape.rows) * -(-B.n // shape.columns)
    fill = pairwise_kernel(A.metric, A.weighted, A.dtype)
    fill(blocks, A.features, A.summary, B.features, B.summary, A.weights, A.p, begin, out)
