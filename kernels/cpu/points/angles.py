"""Cosine and correlation distances as half the squared distances of points on a sphere, for searches by products.

The computed distance and half the square in exact arithmetic differ by some rounding errors of numbers up to two: the
dot product and the norms have a relative error of (m + 4) eps each, at most, and the points on the sphere one of
m eps. So a search on the sphere that looks that much farther finds all that is near enough, and the distance itself
decides.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gpuclust.core import metrics
from gpuclust.core.jit import jitable, named, uncounted
from gpuclust.core.points import Metric, Points
from gpuclust.kernels.cpu.clusters.product_kernels import Form
from gpuclust.kernels.cpu.space import pairwise
from gpuclust.kernels.cpu.space.screen import root_of


def on_sphere(points: Points) -> np.ndarray:
    """Points, (m, n), whose squared distances are the distances of points of an `angular` metric, up to rounding."""
    norms = np.sqrt(2 * np.einsum("kj,kj->j", points.features, points.features, dtype=np.float64))
    features = np.empty_like(points.features)
    for given, made in zip(points.features, features, strict=True):
        np.divide(given, norms, out=made, casting="same_kind")
    return features


def margin(m: int, dtype: np.dtype) -> float:
    """The most by which a computed distance and the square on the sphere differ, twice over."""
    return (4 * m + 64) * float(np.finfo(dtype).eps)


@cache
def distance_function(metric: Metric | None, dtype: np.dtype) -> Callable[..., Any]:
    """``distance(rows, norms, x, y)``, for compiled code: of two rows, features in order, as everywhere.

    Without a metric it is the squared distance.
    """
    metric = metric or metrics.METRICS["sqeuclidean"]
    step, finish = jitable(metric.step), jitable(metric.finish)
    one = np.dtype(dtype).type(1)

    @uncounted
    @named(metric.name, dtype)
    def distance(rows, norms, x, y):
        a = b = rows.dtype.type(0)
        for k in range(rows.shape[1]):
            a, b = step(a, b, rows[x, k], rows[y, k], one, one)
        return finish(a, b, norms[x], norms[y], one)

    return distance


@cache
def form_of_metric(metric: Metric, dtype: np.dtype) -> Form:
    """The form for `product_search`: centers on the sphere; ``low`` are the rows, and ``scatter`` their norms."""
    step, finish = jitable(metric.step), jitable(metric.finish)
    number = np.dtype(dtype).type
    one, eps = number(1), float(np.finfo(dtype).eps)

    @uncounted
    @named(metric.name, dtype)
    def geometric(square, sa, sb):
        return square

    @uncounted
    @named(metric.name, dtype)
    def reach(size, largest):
        return one

    @uncounted
    @named(metric.name, dtype)
    def slack(center, size, largest):
        return number((4 * center.size + 64) * eps)

    @uncounted
    @named(metric.name, dtype)
    def loosened(far, slack, m):
        return far + slack

    @uncounted
    @named(metric.name, dtype)
    def lowered(limit, center, size, largest, steps):
        return limit

    @uncounted
    @named(metric.name, dtype)
    def compared_four(centers, low, size, scatter, x, four, out):
        s = t = u = v = rest = number(0)
        mine = low[x]
        a, b, c, d = low[four[0]], low[four[1]], low[four[2]], low[four[3]]
        for k in range(mine.size):
            s, rest = step(s, rest, mine[k], a[k], one, one)
            t, rest = step(t, rest, mine[k], b[k], one, one)
            u, rest = step(u, rest, mine[k], c[k], one, one)
            v, rest = step(v, rest, mine[k], d[k], one, one)
        out[0] = finish(s, rest, scatter[x], scatter[four[0]], one)
        out[1] = finish(t, rest, scatter[x], scatter[four[1]], one)
        out[2] = finish(u, rest, scatter[x], scatter[four[2]], one)
        out[3] = finish(v, rest, scatter[x], scatter[four[3]], one)

    @uncounted
    @named(metric.name, dtype)
    def root(most, more, x, size, scatter, largest, m, scale):
        return root_of(loosened(most, more, m), 0.0, 0.0, scale)

    return Form(metric.name, False, geometric, reach, slack, loosened, lowered, compared_four, root)


def modules() -> tuple[Any, ...]:
    """Modules for the stamp (`gpuclust.core.jit.stamp`) of kernels that use these functions."""
    return sys.modules[__name__], metrics, pairwise
