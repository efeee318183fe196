"""Kernels of matrix-free clusters (`gpuclust.kernels.cuda.summaries`): unions, and functions of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gpuclust.core import centroids, methods, metrics, points
from gpuclust.core.methods import Method
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch, scalar
from gpuclust.kernels.cuda.launch import INT, Kernel, cuda, device, kernel, named, real
from gpuclust.kernels.cuda.scalar import terms, translated


def unchanged(square, sa, sb):
    """Substitute for the geometric form of a linkage that has none; not called."""
    return square


def nothing(square, va, vb, sa, sb):
    """Substitute for the scatter of a linkage that has none; not called."""
    return va


@cache
def squares(metric: Metric, dtype: np.dtype, two_parts: bool = True):
    """The device function that gives the squared distance of two centroids from both parts of them, or of points.

    Summed as in a tile of distances, so that of points, which have no second part, it has the same bits.
    """
    difference = translated(centroids.difference, dtype)
    step = terms(metric, False, dtype, fused=True).step
    zero = dtype.type(0)

    @device
    @named(metric.name, two_parts, dtype)
    def square(F, low_F, x, G, low_G, y):
        total = zero
        for f in range(F.shape[0]):
            if two_parts:
                apart = difference(F[f, x], low_F[f, x], G[f, y], low_G[f, y])
            else:
                apart = F[f, x] - G[f, y]
            total, _ = step(total, zero, apart, zero, zero, zero)
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

    And the row's nearest ``near``, with the dissimilarity ``held`` to it, infinite if that is -1. A thread a
    coordinate, and for the rest one more a row.
    """
    united = translated(centroids.united, dtype)
    spread = method.scatter is not None
    scatter_of = translated(method.scatter or nothing, dtype)
    square = squares(metric, dtype)
    number, infinity = real(dtype), dtype.type(np.inf)
    stamp = launch.stamp(centroids, methods, metrics, points, scalar)

    @kernel(
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        number[::1],
        INT[::1],
        INT[::1],
        INT[::1],
        number[:, ::1],
        number[:, ::1],
        number[::1],
        number[::1],
        INT[::1],
    )
    @named(metric.name, method.name, dtype)
    def unite(
        features,
        low,
        size,
        scatter,
        held,
        first,
        second,
        near,
        new_features,
        new_low,
        new_scatter,
        new_held,
        new_near,
    ):
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
            new_held[row] = held[a] if near[row] >= 0 else infinity
            new_near[row] = near[row]
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
                yield unite_kernel(metric, method, dtype)
