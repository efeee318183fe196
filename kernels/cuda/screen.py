"""Nearest neighbours in float64, found by tiles in single precision: most GPUs compute float64 at 1/64 of its rate.

With many features tensor cores compare points in half precision first (`gpuclust.kernels.cuda.halves`).

Points, or centroids, are multiplied by a power of two that makes the largest coordinate about one, and rounded. The
rounded ones are the first of two parts, the rest being less than the last bit of the first, so the bound is that of
centroids in two parts, `gpuclust.core.centroids.loosened`, with the epsilon of single precision (derived in
docs/summaries-exactness.md). What may be the nearest by that bound is computed in float64, and chosen by it: the
result has the bits of a search in float64.

The bound is relative to a point's coordinates. Where those are many times the distances between neighbours, for tight
clusters far apart, it excludes little, and everything is compared in float64. A search of some rows measures that.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp, inf
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import centroids
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import halves, launch
from gpuclust.kernels.cuda.halves import Halves
from gpuclust.kernels.cuda.launch import Kernel, xp
from gpuclust.kernels.cuda.nearest import BLOCKS, fold
from gpuclust.kernels.cuda.pairwise import DevicePoints, derived
from gpuclust.kernels.cuda.screen_kernels import DOUBLE, SINGLE, gather_kernel, search_kernel
from gpuclust.kernels.cuda.tile import geometry

#: Points below which everything is compared in float64.
FEWEST = 64 if launch.SIMULATED else 1024
#: Largest exponent of the power of two: its square is a float64.
MOST = 500
#: Rows of the search that measures whether the screen pays.
SAMPLE = 16 if launch.SIMULATED else 1024
#: The same for the power of two of float32, which stays as it is but for products.
MOST_SINGLE = 60
#: Chunks of columns from which on one in `PART` of the columns is compared first.
CHUNKS, PART = (2, 4) if launch.SIMULATED else (8, 8)
#: Coordinates that are rounded at a time.
PIECE = 1 << 23
#: The screen pays if the slack exceeds `SMALL` of the dissimilarity to the nearest in at most `WIDE` of the rows. One
#: by products may compute some more pairs again.
SMALL, SMALL_BY_PRODUCTS, WIDE = 1 / 64, 1 / 8, 1 / 20


def scale_of(features: Any, by_products: bool = False) -> float | None:
    """The power of two by which features (m, n) are multiplied; None where they are not screened.

    In float32 they are screened by products only.
    """
    if features.size == 0 or not (features.dtype == DOUBLE or by_products):
        return None
    most = MOST if features.dtype == DOUBLE else MOST_SINGLE
    largest = float(launch.download(xp.maximum(features.max(), -features.min())))
    exponent = -frexp(largest)[1] if 0 < largest < inf else most + 1
    return 2.0**exponent if abs(exponent) <= most else None


class Screen(NamedTuple):
    """Clusters, or points, as tiles compare them.

    Attributes
    ----------
    features : array of shape (m, n), or (words, n) of `gpuclust.kernels.cuda.halves`
        First parts of the centroids, multiplied by the square root of ``scale``.
    norm : array of shape (n,)
        Squared norms of the rounded ones, which only products use.
    part : array of shape (n,)
        What a cluster adds to the scatter of a pair, in the scale of the features, or half of the reciprocal of its
        weight, so that the squared distance of two is divided by the sum of both; of points not used.
    slack : array of shape (n,)
        Term of `gpuclust.core.centroids.loosened`, in the scale of the features.
    scale, growth : float
        See `gpuclust.kernels.cuda.screen_kernels.search_kernel`.
    """

    features: Any
    norm: Any
    part: Any
    slack: Any
    scale: float
    growth: float

    @classmethod
    def of(
        cls,
        features: Any,
        scale: float | None,
        reach: Any = 1.0,
        part: Any = None,
        by_products: bool = False,
    ) -> Screen:
        """Of first parts of centroids; ``reach`` as for `gpuclust.core.centroids.slack`. ``scale`` None: as given.

        ``part`` is in the scale of the features already.
        """
        m = len(features)
        square = 1.0 if scale is None else scale * scale
        kind = np.finfo(SINGLE if by_products else features.dtype if scale is None else SINGLE)
        lost = float(kind.smallest_subnormal)
        if by_products:
            assert scale is not None
            held = Halves.of(features, scale)
            seen, norm = held.words, held.norm.astype(kind.dtype)
            slack = (reach * held.slack(m) + centroids.slack(0.0, reach, m, 0.0, lost)).astype(kind.dtype)
        else:
            seen, length = _rounded(features, scale)
            norm = slack = centroids.slack(length, reach, m, float(kind.eps), lost).astype(kind.dtype)
        part = slack if part is None else part.astype(kind.dtype)
        return cls(seen, norm, part, slack, square, centroids.growth(m, float(kind.eps)))

    @property
    def by_products(self) -> bool:
        return bool(self.features.dtype == np.uint32)

    @property
    def dtype(self) -> np.dtype:
        """The type of screened dissimilarities."""
        return np.dtype(self.norm.dtype)

    def loosened(self, far: Any, rows: Any) -> Any:
        """Finite upper bounds of the screened dissimilarities of rows, for exact ones of at most ``far``."""
        scaled = (far * self.scale).astype(self.dtype)
        bound = centroids.loosened(scaled, xp.take(self.slack, rows), self.dtype.type(self.growth))
        return xp.minimum(bound, np.finfo(self.dtype).max)

    def twice_loosened(self, least: Any, rows: Any) -> Any:
        """Upper bounds of the screened dissimilarity to the nearest of rows, if to some other it is ``least``."""
        slack, growth = xp.take(self.slack, rows), self.dtype.type(self.growth)
        return centroids.loosened(centroids.loosened(least, slack, growth), slack, growth)

    def pays(self, held: Any, rows: Any) -> bool:
        """Whether it excludes nearly all but the nearest of ``rows``, at dissimilarities ``held``."""
        small = SMALL_BY_PRODUCTS if self.by_products else SMALL
        wide = xp.take(self.slack, rows) > held * (self.scale * small)
        return bool(launch.download(wide.sum()) <= WIDE * rows.size)


def _rounded(features: Any, scale: float | None) -> tuple[Any, Any]:
    """Features in single precision, or as given, and the sum of the absolute coordinates of each point."""
    m, n = features.shape
    seen = features if scale is None else launch.empty((m, n), SINGLE)
    length = launch.full(n, 0, np.float64)
    for k in range(0, m, max(1, PIECE // n)):
        part = slice(k, k + max(1, PIECE // n))
        if scale is not None:
            seen[part] = features[part] * scale
        length += abs(seen[part]).sum(axis=0, dtype=np.float64)
    return seen, length


class Side(NamedTuple):
    """Rows of a search, or what they are compared with: screened, their numbers, and what they belong to."""

    features: Any
    norm: Any
    part: Any
    rows: Any
    own: Any  # of type int32

    @classmethod
    def of(cls, screen: Screen, rows: Any, own: Any = None) -> Side:
        """Each belongs to itself, if not to one of ``own``."""
        m, count = len(screen.features), rows.size
        norm, part = launch.empty(count, screen.dtype), launch.empty(count, screen.dtype)
        made = cls(launch.empty((m, count), screen.features.dtype), norm, part, rows, launch.empty(count, np.int32))
        gather = gather_kernel(np.dtype(screen.features.dtype), screen.dtype)
        gather(launch.blocks_for((m + 1) * count), *screen[:3], rows, *made[:3], made.own)
        return made if own is None else made._replace(own=own)

    def every(self, step: int) -> Side:
        """One in ``step``, evenly."""
        return Side(self.features[:, ::step].copy(), *(each[::step].copy() for each in self[1:]))


class Search(NamedTuple):
    """Searches of some clusters, or points, among others.

    ``exact`` are features, their second parts, sizes and scatter, which decide.
    """

    run: Kernel
    shape: Any
    screen: Screen
    exact: tuple[Any, ...]
    p: Any

    def nearest(self, left: Side, right: Side, reach: Any = None) -> tuple[Any, Any]:
        """Place among ``right`` and dissimilarity of the nearest of each of ``left``; -1 and infinite: there is none.

        With ``reach`` only those at most that far by the screen.

        Few rows are searched in many chunks of columns, each of which would find minima of its own, and compute them
        again. So a part of the columns is compared first, which bounds how far a row has to look.
        """
        count, dtype = left.rows.size, self.exact[0].dtype
        down, chunks = self._division(left, right)
        if reach is None:
            reach = launch.full(count, np.finfo(self.screen.dtype).max, self.screen.dtype)
            if chunks >= CHUNKS:
                least = self.least(right.every(PART), left)
                reach = xp.minimum(self.screen.twice_loosened(least, left.rows), reach)
        value, index = launch.empty((chunks, count), dtype), launch.empty((chunks, count), np.int32)
        none = launch.empty((1, 1), self.screen.dtype)
        self._run(down * chunks, left, right, reach, False, value, index, none)
        found, at = launch.full(count, np.inf, dtype), launch.full(count, -1, np.int32)
        fold(value, index, 0, count, found, at)
        return at, found

    def least(self, left: Side, right: Side) -> Any:
        """The least dissimilarity, by the screen, of each of ``right`` to those of ``left``."""
        down, chunks = self._division(left, right)
        shape = chunks, left.rows.size
        none = launch.empty(shape, self.exact[0].dtype), launch.empty(shape, np.int32)
        slots = launch.empty((down, right.rows.size), self.screen.dtype)
        self._run(down * chunks, left, right, left.norm, True, *none, slots)
        return slots.min(axis=0)

    def _division(self, left: Side, right: Side) -> tuple[int, int]:
        """Rows of tiles, and chunks of columns."""
        down, across = -(-left.rows.size // self.shape.rows), -(-right.rows.size // self.shape.columns)
        return down, min(across, max(1, BLOCKS * launch.current_device().multiprocessors // down))

    def _run(self, blocks: int, left: Side, right: Side, reach: Any, note: bool, *found: Any) -> None:
        screen, slack = self.screen, xp.take(self.screen.slack, left.rows)
        self.run(
            blocks,
            *left[:3],
            slack,
            reach,
            *left[3:],
            *right,
            *self.exact,
            screen.growth,
            screen.scale,
            self.p,
            note,
            *found,
        )


class Screened:
    """Points on the device, with their screen."""

    def __init__(self, where: DevicePoints, scale: float, by_products: bool) -> None:
        self.n = where.n
        self.screen = Screen.of(where.features, scale, by_products=by_products)
        run, shape = (
            search_kernel(where.metric, None, where.dtype, SINGLE, by_products),
            geometry(where.metric, SINGLE),
        )
        exact = where.features, where.features, where.summary, where.summary
        self._search = Search(run, shape, self.screen, exact, where.p)
        self.everyone = xp.arange(self.n)

    def search(self, component: Any, rows: Any) -> tuple[Any, Any]:
        """Index and distance of the nearest point of another component, for each of ``rows``."""
        everyone = Side(*self.screen[:3], self.everyone, component)
        some = everyone if rows is self.everyone else Side.of(self.screen, rows, xp.take(component, rows))
        return self._search.nearest(some, everyone)


def screened(points: Points) -> Screened | None:
    """Points with a screen; None where it does not apply or does not pay. Computed once a device, as boxes are."""
    if points.metric.name != "sqeuclidean" or points.weights is not None or points.n < FEWEST:
        return None
    return derived(points, _screened)


def _screened(points: Points) -> Screened | None:
    where = DevicePoints(points)
    for by_products, scale in screens(where.features):
        found = Screened(where, scale, by_products)
        some = found.everyone[:: max(1, found.n // SAMPLE)].copy()
        if found.screen.pays(found.search(found.everyone.astype(np.int32), some)[1], some):
            return found
    return None


def screens(features: Any) -> Iterator[tuple[bool, float]]:
    """Screens to try for features (m, n), the fastest first: whether they are by products, and their scale."""
    by_products = halves.available(len(features))
    scale = scale_of(features, by_products)
    if scale is not None:
        yield from ((True, scale),) * by_products
        yield from ((False, scale),) * (features.dtype == DOUBLE)
