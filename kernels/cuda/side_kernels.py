"""Kernels around searches by a screen (`gpuclust.kernels.cuda.screen`): what is compared, how far, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from gpuclust.core import centroids, methods
from gpuclust.core.methods import Method
from gpuclust.kernels.cuda import halves, launch, minima, nearest, scalar
from gpuclust.kernels.cuda.halves import SPREAD, product_error
from gpuclust.kernels.cuda.launch import INT, SIMULATED, THREADS, Kernel, cuda, kernel, named, real, types
from gpuclust.kernels.cuda.nearest import INT32, fold_place
from gpuclust.kernels.cuda.scalar import translated
from gpuclust.kernels.cuda.screen_kernels import DOUBLE, SINGLE
from gpuclust.kernels.cuda.summary_kernels import unchanged

WORD = np.dtype("uint32")


@cache
def round_kernel(dtype: np.dtype, screen: np.dtype) -> Kernel:
    """Features times ``scale`` in the type of the screen, and the sum of the absolute coordinates of each point.

    A thread a point. Nothing is written to ``seen`` if that has no rows: the features are compared as they are.
    """
    number, shown = real(dtype), real(screen)
    rounded, double = (screen.type, float) if SIMULATED else (shown, types.float64)

    @kernel(number[:, ::1], number, shown[:, ::1], types.float64[::1])
    @named(dtype, screen)
    def round_features(features, scale, seen, length):
        x = np.int64(cuda.grid(1))
        if x >= features.shape[1]:
            return
        total = 0.0
        for f in range(features.shape[0]):
            value = rounded(features[f, x] * scale)
            if seen.shape[0] > 0:
                seen[f, x] = value
            total += abs(double(value))
        length[x] = total

    return round_features


@cache
def weigh_kernel(method: Method | None, dtype: np.dtype, screen: np.dtype, by_products: bool) -> Kernel:
    """Norm, part and slack of each cluster (see `gpuclust.kernels.cuda.screen.Screen`) or (``method`` None) point.

    ``length`` are sums of absolute coordinates, or by products squared norms, with ``rest`` and ``most`` of
    `gpuclust.kernels.cuda.halves.Halves`, and ``relative`` the error of a sum of ``m`` products. ``total`` is the
    size of all clusters, ``square`` that of the scale, ``eps`` and ``lost`` are of the type of the screen.
    """
    number, seen, double = real(dtype), real(screen), types.float64
    rounded = screen.type if SIMULATED else seen
    wide = float if SIMULATED else double
    closed = method is not None and method.geometric is not None
    spread = method is not None and method.scatter is not None
    geometric = translated((method and method.geometric) or unchanged, DOUBLE)
    slack_of, error = translated(centroids.slack, DOUBLE), translated(product_error, DOUBLE)
    mul, bits = scalar.arithmetic(DOUBLE).mul, halves.float_of_bits()
    stamp = launch.stamp(centroids, halves, methods, scalar)
    kind = [*(["products"] if by_products else []), "points" if method is None else method.name]

    @kernel(
        double[::1],
        double[::1],
        INT[::1],
        number[::1],
        number[::1],
        double,
        double,
        double,
        double,
        double,
        double,
        seen[::1],
        seen[::1],
        seen[::1],
    )
    @named(*kind, dtype, screen)
    def weigh(length, rest, most, size, scatter, total, square, m, relative, eps, lost, norm, part, slack):
        stamp  # noqa: B018 (captured: see gpuclust.core.closures.stamp)
        x = np.int64(cuda.grid(1))
        if x >= length.size:
            return
        reach = 1.0
        if closed:
            reach = geometric(1.0, wide(size[x]), total)
        if by_products:
            largest = bits(most[0])
            unit = rest[x] + bits(most[1])
            missing = mul(mul(SPREAD, unit), unit) + mul(
                2.0, error(sqrt(mul(length[x], largest)), length[x] + largest, relative)
            )
            around = mul(reach, missing) + slack_of(0.0, reach, m, 0.0, lost)
            norm[x] = rounded(length[x])
        else:
            around = slack_of(length[x], reach, m, eps, lost)
        slack[x] = rounded(around)
        if spread:
            part[x] = rounded(mul(wide(scatter[x]), square))
        elif closed:
            part[x] = rounded(0.5 / geometric(1.0, wide(size[x]), wide(size[x])))
        else:
            part[x] = rounded(around)

    return weigh


@cache
def gather_kernel(dtype: np.dtype, screen: np.dtype, exact: np.dtype) -> Kernel:
    """Every ``step``-th of ``rows``: their features, in ``dtype``, and what belongs to them; see `screen.Side`.

    A row looks as far as the dissimilarity ``held`` to its nearest, if ``bounded``. It belongs to its number, or, if
    there are labels, to its label.
    """
    given, seen, number = types.uint32 if dtype == WORD else real(dtype), real(screen), real(exact)
    rounded = screen.type if SIMULATED else seen
    loosened, most = translated(centroids.loosened, screen), np.finfo(screen).max
    stamp = launch.stamp(centroids, scalar)

    @kernel(
        given[:, ::1],
        seen[::1],
        seen[::1],
        seen[::1],
        INT[::1],
        INT32[::1],
        number[::1],
        types.boolean,
        seen,
        number,
        INT,
        given[:, ::1],
        seen[::1],
        seen[::1],
        seen[::1],
        seen[::1],
        INT32[::1],
    )
    @named(*(["words"] if dtype == WORD else []), exact, screen)
    def gather(
        features,
        norm,
        part,
        slack,
        rows,
        label,
        held,
        bounded,
        growth,
        scale,
        step,
        some,
        some_norm,
        some_part,
        some_slack,
        reach,
        own,
    ):
        stamp  # noqa: B018
        place = np.int64(cuda.grid(1))
        f = place // own.size
        k = place % own.size
        if f > features.shape[0]:
            return
        x = rows[k * step]
        if f < features.shape[0]:
            some[f, k] = features[f, x]
            return
        some_norm[k] = norm[x]
        some_part[k] = part[x]
        some_slack[k] = slack[x]
        reach[k] = min(loosened(rounded(held[x] * scale), slack[x], growth), most) if bounded else most
        own[k] = label[x] if label.size > 0 else x

    return gather


@cache
def box_kernel(screen: np.dtype) -> Kernel:
    """Boxes (2 m + 1, tiles) of tiles of ``size``: the corners, low and high, and the ``part`` that is nearest.

    That is the smallest where parts are ``spread``, the largest otherwise. A thread a row and tile.
    """
    seen = real(screen)

    @kernel(seen[:, ::1], seen[::1], INT, types.boolean, seen[:, ::1])
    @named(screen)
    def box(features, part, size, spread, boxes):
        place = np.int64(cuda.grid(1))
        m, tiles = np.int64(features.shape[0]), np.int64(boxes.shape[1])
        f = place // tiles
        tile = place % tiles
        if f > m:
            return
        begin = tile * size
        low = high = features[f, begin] if f < m else part[begin]
        for x in range(begin + 1, min(begin + size, np.int64(features.shape[1]))):
            other = features[f, x] if f < m else part[x]
            low = min(low, other)
            high = max(high, other)
        if f < m:
            boxes[f, tile] = low
            boxes[m + f, tile] = high
        else:
            boxes[2 * m, tile] = low if spread else high

    return box


@cache
def lower_kernel(screen: np.dtype) -> Kernel:
    """Lower ``reach`` to what is certain if some others, in slots, are ``least`` away by the screen."""
    seen = real(screen)
    loosened = translated(centroids.loosened, screen)
    stamp = launch.stamp(centroids, scalar)

    @kernel(seen[:, ::1], seen[::1], seen, seen[::1])
    @named(screen)
    def lower(least, slack, growth, reach):
        stamp  # noqa: B018
        k = np.int64(cuda.grid(1))
        if k >= reach.size:
            return
        low = reach[k]
        for slot in range(least.shape[0]):
            low = min(low, least[slot, k])
        reach[k] = min(reach[k], loosened(loosened(low, slack[k], growth), slack[k], growth))

    return lower


@cache
def keep_kernel(dtype: np.dtype) -> Kernel:
    """Replace the nearest of ``rows``, and its dissimilarity, where what the slots hold is smaller.

    ``indices`` count ``columns``; ``lanes`` threads fold the slots of a row, as in `nearest.fold_kernel`.
    """
    number = real(dtype)
    folded = fold_place(dtype)
    stamp = launch.stamp(minima, nearest)

    @kernel(number[:, ::1], INT32[:, ::1], INT, INT[::1], INT[::1], number[::1], INT[::1])
    @named(dtype)
    def keep(values, indices, lanes, rows, columns, held, near):
        stamp  # noqa: B018
        lane_value = cuda.shared.array(THREADS, number)
        lane_index = cuda.shared.array(THREADS, INT32)
        place, low, at = folded(values, indices, rows.size, lanes, lane_value, lane_index)
        if place >= 0 and low < held[rows[place]]:
            held[rows[place]] = low
            near[rows[place]] = columns[at]

    return keep


def kernels() -> Iterator[Kernel]:
    """Every kernel of this module, for the catalogue."""
    forms: list[Any] = [None, *(method for method in methods.METHODS.values() if method.geometric or method.scatter)]
    for dtype in (DOUBLE, SINGLE):
        for method in forms:
            yield weigh_kernel(method, dtype, SINGLE, True)
            if method is not None or dtype == DOUBLE:
                yield weigh_kernel(method, dtype, SINGLE, False)
        yield keep_kernel(dtype)
        yield round_kernel(dtype, SINGLE)
        yield lower_kernel(dtype)
        yield box_kernel(dtype)
        yield gather_kernel(SINGLE, SINGLE, dtype)
        yield gather_kernel(WORD, SINGLE, dtype)
    for method in forms[1:]:
        yield weigh_kernel(method, DOUBLE, DOUBLE, False)
    yield round_kernel(DOUBLE, DOUBLE)
    yield gather_kernel(DOUBLE, DOUBLE, DOUBLE)
