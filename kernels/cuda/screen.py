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
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import halves, launch
from gpuclust.kernels.cuda.halves import Halves, relative_error
from gpuclust.kernels.cuda.launch import Kernel, xp
from gpuclust.kernels.cuda.nearest import BLOCKS, fold
from gpuclust.kernels.cuda.pairwise import DevicePoints, derived
from gpuclust.kernels.cuda.screen_kernels import DOUBLE, SINGLE, search_kernel
from gpuclust.kernels.cuda.side_kernels import box_kernel, gather_kernel, lower_kernel, round_kernel, weigh_kernel
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


class Weights(NamedTuple):
    """What the dissimilarities of clusters are made of besides centroids: sizes, of all ``total``, or scatter.

    ``zeros`` is room for `gpuclust.kernels.cuda.halves.Halves.most`, used up.
    """

    method: Method | None
    size: Any
    scatter: Any
    total: float
    zeros: Any = None


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
        cls, features: Any, scale: float | None, by_products: bool = False, weights: Weights | None = None
    ) -> Screen:
        """Of points, or of clusters: first parts of centroids, and ``weights``. ``scale`` None: as they are."""
        m, n = features.shape
        exact, square = np.dtype(features.dtype), 1.0 if scale is None else scale * scale
        screen = SINGLE if by_products or scale is not None else exact
        kind = np.finfo(screen)
        part, slack = launch.empty(n, screen), launch.empty(n, screen)
        if by_products:
            assert scale is not None
            seen, length, rest, most = Halves.of(features, scale, weights and weights.zeros)
            norm = launch.empty(n, screen)
        else:
            length, norm = launch.empty(n, np.float64), slack  # norms are not used, nor are rests
            seen, rest, most = features, length, launch.empty(0, np.int64)
            shown = launch.empty((0 if scale is None else m, n), screen)
            round_kernel(exact, screen)(launch.blocks_for(n), features, scale or 1.0, shown, length)
            if scale is not None:
                seen = shown
        method, size, scatter, total = (weights or Weights(None, launch.empty(0, exact), launch.empty(0, exact), 0))[
            :4
        ]
        weigh_kernel(method, exact, screen, by_products)(
            launch.blocks_for(n),
            length,
            rest,
            most,
            size,
            scatter,
            total,
            square,
            m,
            relative_error(m),
            0.0 if by_products else float(kind.eps),
            float(kind.smallest_subnormal),
            norm,
            part,
            slack,
        )
        return cls(seen, norm, part, slack, square, centroids.growth(m, float(kind.eps)))

    @property
    def by_products(self) -> bool:
        return bool(self.features.dtype == np.uint32)

    @property
    def dtype(self) -> np.dtype:
        """The type of screened dissimilarities."""
        return np.dtype(self.norm.dtype)

    def pays(self, held: Any, rows: Any) -> bool:
        """Whether it excludes nearly all but the nearest of ``rows``, at dissimilarities ``held``."""
        small = SMALL_BY_PRODUCTS if self.by_products else SMALL
        wide = xp.take(self.slack, rows) > held * (self.scale * small)
        return bool(launch.download(wide.sum()) <= WIDE * rows.size)


class Side(NamedTuple):
    """Rows of a search, or what they are compared with.

    Attributes
    ----------
    features, norm, part, slack
        Their columns of a `Screen`.
    reach : array
        How far they look at first, by the screen.
    rows : array
        Their numbers.
    own : array of type int32
        What they belong to.
    """

    features: Any
    norm: Any
    part: Any
    slack: Any
    reach: Any
    rows: Any
    own: Any

    @classmethod
    def of(cls, screen: Screen, rows: Any, exact: Any, held: Any = None, label: Any = None, step: int = 1) -> Side:
        """Every ``step``-th of ``rows``; each belongs to itself, or to its ``label``.

        Their nearest are at most ``held`` away, if that is given. ``exact`` is the type of dissimilarities.
        """
        m, count, bounded = len(screen.features), -(-rows.size // step), held is not None
        held = launch.empty(0, exact) if held is None else held
        label = launch.empty(0, np.int32) if label is None else label
        norm, part, slack, reach = (launch.empty(count, screen.dtype) for _ in range(4))
        some = launch.empty((m, count), screen.features.dtype)
        made = cls(some, norm, part, slack, reach, rows, launch.empty(count, np.int32))
        gather_kernel(np.dtype(some.dtype), screen.dtype, np.dtype(exact))(
            launch.blocks_for((m + 1) * count),
            *screen[:4],
            rows,
            label,
            held,
            bounded,
            screen.growth,
            screen.scale,
            step,
            *made[:5],
            made.own,
        )
        return made


class Places(NamedTuple):
    """What a search by boxes needs besides rows and columns that stand by place.

    ``label`` are the columns' numbers by id, increasing within a tile; ``spread`` as for `box_kernel`.
    """

    label: Any
    chunks: int
    spread: bool


class Search(NamedTuple):
    """Searches of some clusters, or points, among others.

    ``exact`` are features, their second parts, sizes and scatter, which decide.
    """

    run: Kernel
    shape: Any
    screen: Screen
    exact: tuple[Any, ...]
    p: Any

    def nearest(self, left: Side, right: Side, sample: Side | None = None) -> tuple[Any, Any]:
        """Place among ``right`` and dissimilarity of the nearest of each of ``left``; -1 and infinite: none."""
        value, index = self.slots(left, right, sample)
        count = left.rows.size
        found, at = launch.full(count, np.inf, value.dtype), launch.full(count, -1, np.int32)
        fold(value, index, 0, count, found, at)
        return at, found

    def slots(
        self, left: Side, right: Side, sample: Side | None = None, places: Places | None = None
    ) -> tuple[Any, Any]:
        """`nearest`, of chunks of the columns, (chunks, rows): dissimilarities, places. ``left.reach`` is used up.

        Few rows are searched in many chunks of columns, each of which would find minima of its own, and compute them
        again. So ``sample``, a part of the columns, is compared first, which bounds how far a row has to look.
        """
        count, (down, chunks) = left.rows.size, self._division(left, right)
        if sample is not None:
            least = self.least(sample, left)
            lower_kernel(self.screen.dtype)(
                launch.blocks_for(count), least, left.slack, self.screen.growth, left.reach
            )
        none = launch.empty((1, 1), self.screen.dtype)
        where = none, none, left.own
        if places is not None:
            chunks = places.chunks
            boxes = (self._boxes(left, self.shape.rows, places), self._boxes(right, self.shape.columns, places))
            where = *boxes, places.label
        value, index = launch.empty((chunks, count), self.exact[0].dtype), launch.empty((chunks, count), np.int32)
        self._run(down * chunks, left, right, False, where, value, index, none)
        return value, index

    def _boxes(self, side: Side, size: int, places: Places) -> Any:
        m, tiles = len(side.features), -(-side.own.size // size)
        boxes = launch.empty((2 * m + 1, tiles), self.screen.dtype)
        blocks = launch.blocks_for((m + 1) * tiles)
        box_kernel(self.screen.dtype)(blocks, side.features, side.part, size, places.spread, boxes)
        return boxes

    def samples(self, rows: int, columns: int) -> bool:
        """Whether a search of so many rows is one in many chunks of columns."""
        return self._chunks(rows, columns)[1] >= CHUNKS

    def least(self, left: Side, right: Side) -> Any:
        """The least dissimilarity, by the screen, of each of ``right`` to those of ``left``, in slots."""
        down, chunks = self._division(left, right)
        shape = chunks, left.own.size
        none = launch.empty(shape, self.exact[0].dtype), launch.empty(shape, np.int32)
        slots = launch.empty((down, right.own.size), self.screen.dtype)
        self._run(down * chunks, left, right, True, (slots, slots, left.own), *none, slots)
        return slots

    def _division(self, left: Side, right: Side) -> tuple[int, int]:
        return self._chunks(left.own.size, right.own.size)

    def _chunks(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows of tiles, and chunks of columns."""
        down, across = -(-rows // self.shape.rows), -(-columns // self.shape.columns)
        return down, min(across, max(1, BLOCKS * launch.current_device().multiprocessors // down))

    def _run(self, blocks: int, left: Side, right: Side, note: bool, where: tuple[Any, ...], *found: Any) -> None:
        screen = self.screen
        theirs = right.features, right.norm, right.part, right.rows, right.own
        self.run(blocks, *left, *theirs, *self.exact, screen.growth, screen.scale, self.p, note, *where, *found)


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
        screen, exact = self.screen, self._search.exact[0].dtype
        right = Side(*screen[:4], screen.slack, self.everyone, component)
        left = Side.of(screen, rows, exact, label=component)
        sample = None
        if self._search.samples(rows.size, self.n):
            sample = Side.of(screen, self.everyone, exact, label=component, step=PART)
        return self._search.nearest(left, right, sample)


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
