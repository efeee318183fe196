"""Dissimilarities of clusters for the generic algorithm, from centroids or a stored matrix: device functions."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids, methods
from gpuclust.core.methods import Method
from gpuclust.kernels.cuda import scalar, tiles
from gpuclust.kernels.cuda.launch import device, named, real
from gpuclust.kernels.cuda.scalar import arithmetic, translated
from gpuclust.kernels.cuda.tiles import entry


class Source(NamedTuple):
    """Functions that compute distances on the device.

    ``distance(data, p, x, k)`` of two rows; ``place(data, union, a, b, sa, sb, me, threads)``, the union's place,
    for all threads, before a synchronisation (None: nothing to do);
    ``unite(data, union, p, a, b, k, d, sa, sb, sk)``, the distance of row k to the union, which belongs in row b;
    ``settle(data, union, b, me, threads)``, what is to be done when all have them.
    """

    name: str
    data: Any
    distance: Any
    place: Any
    unite: Any
    settle: Any
    modules: tuple[Any, ...]


@cache
def centroid_source(dtype: np.dtype) -> Source:
    """Squared distances from centroids in two parts (`gpuclust.core.centroids`), (2 m, n): ``high``, then ``low``."""
    united, difference = translated(centroids.united, dtype), translated(centroids.difference, dtype)
    mul = arithmetic(dtype).mul
    zero = dtype.type(0)

    @device
    @named(dtype)
    def distance(data, p, x, k):
        m = data.shape[0] // 2
        total = zero
        for f in range(m):
            d = difference(data[f, x], data[m + f, x], data[f, k], data[m + f, k])
            total += mul(d, d)
        return total

    @device
    @named(dtype)
    def place(data, union, a, b, sa, sb, me, threads):
        m = data.shape[0] // 2
        x, y, sx, sy = (a, b, sa, sb) if sa >= sb else (b, a, sb, sa)  # the larger one moves less
        for f in range(me, m, threads):
            union[f], union[m + f] = united(data[f, x], data[m + f, x], data[f, y], data[m + f, y], sx, sy)

    @device
    @named(dtype)
    def unite(data, union, p, a, b, k, d, sa, sb, sk):
        m = data.shape[0] // 2
        total = zero
        for f in range(m):
            d = difference(union[f], union[m + f], data[f, k], data[m + f, k])
            total += mul(d, d)
        return total

    @device
    @named(dtype)
    def settle(data, union, b, me, threads):
        for f in range(me, data.shape[0], threads):
            data[f, b] = union[f]

    return Source("centroids_sqeuclidean", real(dtype)[:, ::1], distance, place, unite, settle, (centroids, scalar))


@cache
def stored_source(method: Method, dtype: np.dtype) -> Source:
    """Squared distances from a tiled matrix; ``union`` is not used, but for its length: tile rows."""
    update = translated(method.update, dtype)

    @device
    @named(method.name, dtype)
    def distance(data, p, x, k):
        return data[entry(x, k, np.int64(p))]

    @device
    @named(method.name, dtype)
    def unite(data, union, p, a, b, k, d, sa, sb, sk):
        rows = np.int64(p)
        at = entry(b, k, rows)
        value = update(data[entry(a, k, rows)], data[at], d, sa, sb, sk)
        data[at] = value
        return value

    @device
    @named(method.name, dtype)
    def settle(data, union, b, me, threads):
        pass

    return Source(f"stored_{method.name}", real(dtype)[::1], distance, None, unite, settle, (methods, scalar, tiles))
