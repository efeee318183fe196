"""Nearest neighbours in float64, found by tiles in single precision: most GPUs compute float64 at 1/64 of its rate.

Points, or centroids, are multiplied by a power of two that makes the largest coordinate about one, and rounded. The
rounded ones are the first of two parts, the rest being less than the last bit of the first, so the bound is that of
centroids in two parts, `gpuclust.core.centroids.loosened`, with the epsilon of single precision (derived in
docs/summaries-exactness.md). What may be the nearest by that bound is computed in float64, and chosen by it: the
result has the bits of a search in float64.

The bound is relative to a point's coordinates. Where those are many times the distances between neighbours, for tight
clusters far apart, it excludes little, and everything is compared in float64. A search of some rows measures that.
"""

from __future__ import annotations

from math import frexp, inf
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import Kernel, xp
from gpuclust.kernels.cuda.nearest import BLOCKS, fold
from gpuclust.kernels.cuda.pairwise import DevicePoints, derived
from gpuclust.kernels.cuda.screen_kernels import DOUBLE, SINGLE, search_kernel
from gpuclust.kernels.cuda.tile import geometry

#: Points below which everything is compared in float64.
FEWEST = 64 if launch.SIMULATED else 1024
#: Largest exponent of the power of two: its square is a float64.
MOST = 500
#: Rows of the search that measures whether the screen pays.
SAMPLE = 16 if launch.SIMULATED else 1024
#: Coordinates that are rounded at a time.
PIECE = 1 << 23
#: The screen pays if the slack exceeds `SMALL` of the dissimilarity to the nearest in at most `WIDE` of the rows.
SMALL, WIDE = 1 / 64, 1 / 20


def scale_of(features: Any) -> float | None:
    """The power of two by which features (m, n) in float64 are multiplied; None where they are not screened."""
    if features.dtype != DOUBLE or features.size == 0:
        return None
    largest = float(launch.download(xp.maximum(features.max(), -features.min())))
    exponent = -frexp(largest)[1] if 0 < largest < inf else MOST + 1
    return 2.0**exponent if abs(exponent) <= MOST else None


class Screen(NamedTuple):
    """Clusters, or points, as tiles compare them.

    Attributes
    ----------
    features : array of shape (m, n)
        First parts of the centroids, multiplied by the square root of ``scale``.
    size, scatter, slack : arrays of shape (n,)
        Scatter and slack in the scale of the features; of points only the slack is used.
    scale, growth : float
        See `gpuclust.kernels.cuda.screen_kernels.search_kernel`.
    """

    features: Any
    size: Any
    scatter: Any
    slack: Any
    scale: float
    growth: float

    @classmethod
    def of(
        cls, features: Any, scale: float | None, reach: Any = 1.0, size: Any = None, scatter: Any = None
    ) -> Screen:
        """Of first parts of centroids; ``reach`` as for `gpuclust.core.centroids.slack`. ``scale`` None: as given."""
        m, n = features.shape
        seen = features if scale is None else launch.empty((m, n), SINGLE)
        square = 1.0 if scale is None else scale * scale
        kind, length = np.finfo(seen.dtype), launch.full(n, 0, np.float64)
        for k in range(0, m, max(1, PIECE // n)):
            part = slice(k, k + max(1, PIECE // n))
            if scale is not None:
                seen[part] = features[part] * scale
            length += abs(seen[part]).sum(axis=0, dtype=np.float64)
        slack = centroids.slack(length, reach, m, float(kind.eps), float(kind.smallest_subnormal)).astype(seen.dtype)
        if scatter is None:
            size = scatter = slack
        elif scale is not None:
            size, scatter = size.astype(SINGLE), (scatter * square).astype(SINGLE)
        return cls(seen, size, scatter, slack, square, centroids.growth(m, float(kind.eps)))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.features.dtype)

    def loosened(self, far: Any, rows: Any) -> Any:
        """Upper bounds of the screened dissimilarities of rows, for exact ones of at most ``far``."""
        kind = self.dtype.type
        scaled = (far * self.scale).astype(self.dtype)
        return centroids.loosened(scaled, xp.take(self.slack, rows), kind(self.growth))

    def pays(self, held: Any, rows: Any) -> bool:
        """Whether it excludes nearly all but the nearest of ``rows``, at dissimilarities ``held``."""
        wide = xp.take(self.slack, rows) > held * (self.scale * SMALL)
        return bool(launch.download(wide.sum()) <= WIDE * rows.size)


class Side(NamedTuple):
    """Rows of a search, or what they are compared with: screened, their numbers, and what they belong to."""

    features: Any
    size: Any
    scatter: Any
    rows: Any
    own: Any  # of type int32

    @classmethod
    def of(cls, screen: Screen, rows: Any, own: Any) -> Side:
        size, scatter = (xp.take(each, rows) for each in (screen.size, screen.scatter))
        return cls(xp.take(screen.features, rows, axis=1), size, scatter, rows, own)


def search(
    run: Kernel,
    shape: Any,
    screen: Screen,
    left: Side,
    right: Side,
    exact: tuple[Any, ...],
    p: Any,
    note: bool = False,
) -> tuple[Any, Any, Any]:
    """Place among ``right`` and dissimilarity of the nearest of each of ``left`` (-1 and infinite: there is none).

    ``exact`` are features, their second parts, sizes and scatter. With ``note`` also the least dissimilarity, by the
    screen, of each of ``right``.
    """
    count, others, dtype = left.rows.size, right.rows.size, exact[0].dtype
    down, across = -(-count // shape.rows), -(-others // shape.columns)
    chunks = min(across, max(1, BLOCKS * launch.current_device().multiprocessors // down))
    value, index = launch.empty((chunks, count), dtype), launch.empty((chunks, count), np.int32)
    slots = launch.empty((down if note else 1, others if note else 1), screen.dtype)
    run(
        down * chunks,
        *left[:3],
        xp.take(screen.slack, left.rows),
        *left[3:],
        *right,
        *exact,
        screen.growth,
        screen.scale,
        p,
        note,
        value,
        index,
        slots,
    )
    found, at = launch.full(count, np.inf, dtype), launch.full(count, -1, np.int32)
    fold(value, index, 0, count, found, at)
    return at, found, slots.min(axis=0) if note else None


class Screened:
    """Points on the device, with their screen."""

    def __init__(self, where: DevicePoints, scale: float) -> None:
        self.n, self.p = where.n, where.p
        self.exact = where.features, where.features, where.summary, where.summary
        self.screen = Screen.of(where.features, scale)
        self.shape = geometry(where.metric, SINGLE)
        self.run = search_kernel(where.metric, None, DOUBLE, SINGLE)
        self.everyone = xp.arange(self.n)

    def search(self, component: Any, rows: Any) -> tuple[Any, Any]:
        """Index and distance of the nearest point of another component, for each of ``rows``."""
        everyone = Side(*self.screen[:3], self.everyone, component)
        some = everyone if rows is self.everyone else Side.of(self.screen, rows, xp.take(component, rows))
        return search(self.run, self.shape, self.screen, some, everyone, self.exact, self.p)[:2]


def screened(points: Points) -> Screened | None:
    """Points with a screen; None where it does not apply or does not pay. Computed once a device, as boxes are."""
    if points.metric.name != "sqeuclidean" or points.weights is not None or points.n < FEWEST:
        return None
    return derived(points, _screened) if points.dtype == DOUBLE else None


def _screened(points: Points) -> Screened | None:
    where = DevicePoints(points)
    scale = scale_of(where.features)
    if scale is None:
        return None
    found = Screened(where, scale)
    some = found.everyone[:: max(1, found.n // SAMPLE)].copy()
    return found if found.screen.pays(found.search(found.everyone.astype(np.int32), some)[1], some) else None
