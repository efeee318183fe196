"""Nearest-neighbour search with bounding boxes: points in a spatial order, and a box for each tile of them.

Points are put in the order of a kd-tree, so that the ``columns`` points of a tile lie close together. A block takes a
tile of points, computes the tile whose box is nearest first, and then of all others those whose box is not farther
than the largest of its points' minima so far. Boxes are compared by the same rounded steps as points, and rounding
keeps order, so no distance is smaller than the bound of its tile: the result has the bits of
`gpuclust.kernels.cuda.nearest`, and ties go to the smaller index as there. (Within a tile points stand by index, and
minima of tiles are compared by index.)

Whether that pays is measured on a few tiles: in few dimensions, and where points lie in clusters, a tile is compared
with about ten others, and elsewhere with all of them.

Bentley 1975, Multidimensional binary search trees used for associative searching.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.component_search import ROWS_BETWEEN_REPORTS
from gpuclust.core.points import Points, on_arrays
from gpuclust.kernels.cuda import launch, nearest
from gpuclust.kernels.cuda.box_kernels import boxes_kernel
from gpuclust.kernels.cuda.launch import xp
from gpuclust.kernels.cuda.nearest import fold, on_host
from gpuclust.kernels.cuda.pairwise import DevicePoints, derived
from gpuclust.kernels.cuda.screen import screened
from gpuclust.kernels.cuda.tile import geometry

#: Tiles of points below which everything is compared at once; and with more features than that, ten times as many.
FEWEST, WIDE = (4, 40) if launch.SIMULATED else (32, 12)
#: Tiles of a chunk at least, and blocks for each multiprocessor where there are that many tiles.
CHUNK, BLOCKS = 64, 4
#: One tile in this many is searched to measure whether boxes pay.
SAMPLED = 32
#: They do if no more than this fraction of the pairs is computed; the other search computes each pair once for both.
PAYS = 0.3
#: Instructions of a search of some points, about 0.1 to 0.3 seconds, so that Ctrl-C takes effect.
WORK = 2e12


class Boxes(NamedTuple):
    """Corners (m, tiles) of the bounding boxes of tiles of points."""

    low: Any
    high: Any

    @classmethod
    def of(cls, features: Any, size: int) -> Boxes:
        """Of ``size`` points each; the last one has what is left."""
        m, n = features.shape
        tiles = -(-n // size)
        held = xp.take(features, xp.minimum(xp.arange(tiles * size), n - 1), axis=1).reshape(m, tiles, size)
        return cls(held.min(axis=2), held.max(axis=2))

    def on_host(self) -> np.ndarray:
        """Both, (2, m, tiles)."""
        return launch.download(xp.stack((self.low, self.high)))


def chunks_for(tiles: int, down: int) -> int:
    """Chunks of columns, for so many tiles of columns, and of rows."""
    return max(1, min(tiles // CHUNK, BLOCKS * launch.current_device().multiprocessors // down))


def only(component: Any, size: int, none: int) -> Any:
    """The component of all points of a tile of ``size``, or ``none``."""
    tiles = -(-component.size // size)
    held = xp.take(component, xp.minimum(xp.arange(tiles * size), component.size - 1)).reshape(tiles, size)
    least = held.min(axis=1)
    return xp.where(least == held.max(axis=1), least, none).astype(np.int32)


def kd_order(features: Any, size: int) -> Any:
    """An order of points (m, n) in which every ``size`` of them lie close together; by index among those.

    Segments of tiles are halved at the border of a tile, across the longest side of their box, until each is one
    tile. O(n log² n) time, on the device but for the few boxes.
    """
    n = int(features.shape[1])
    tiles = -(-n // size)
    order = xp.arange(n)
    tile_of = xp.arange(n) // size
    borders = np.array([0, tiles])
    while True:
        lengths = np.diff(borders)
        if lengths.max() <= 1:
            break
        low, high = Boxes.of(xp.take(features, order, axis=1), size).on_host()
        sides = np.maximum.reduceat(high, borders[:-1], axis=1) - np.minimum.reduceat(low, borders[:-1], axis=1)
        segment = launch.upload(np.repeat(np.arange(lengths.size), lengths))
        axis = launch.upload(np.repeat(sides.argmax(axis=0), lengths))
        key = xp.take(features.reshape(-1), xp.take(axis, tile_of) * n + order)
        order = order[xp.lexsort(xp.stack((key, xp.take(segment, tile_of).astype(key.dtype))))]
        halved = borders[:-1] + (lengths + 1) // 2
        borders = np.unique(np.concatenate((borders, halved)))
    return order[xp.lexsort(xp.stack((order, tile_of)))]


class Located:
    """Points in the order of `kd_order`, with the boxes of their tiles."""

    def __init__(self, where: DevicePoints) -> None:
        self.metric, self.weighted, self.weights, self.p = where.metric, where.weighted, where.weights, where.p
        self.shape = geometry(where.metric, where.dtype)
        self.dtype, self.n = where.dtype, where.n
        self.order = kd_order(where.features, self.shape.columns)
        self.features = xp.take(where.features, self.order, axis=1)
        self.summary = xp.take(where.summary, self.order)
        self.label = self.order.astype(np.int32)
        self.boxes = Boxes.of(self.features, self.shape.columns)
        self.share = 1.0  # of the pairs, that a search computes

    @property
    def tiles(self) -> int:
        return int(self.boxes.low.shape[1])

    @cached_property
    def position(self) -> Any:
        """Where each point stands in the order."""
        position = launch.empty(self.n, np.int64)
        position[self.order] = xp.arange(self.n)
        return position

    @cached_property
    def pays(self) -> bool:
        """Whether boxes save more than they cost, measured on a few tiles."""
        far = on_arrays(self.metric.step)
        low, high = self.boxes.on_host()
        total = other = self.dtype.type(0)
        weights = launch.download(self.weights) if self.weighted else np.ones(len(low), self.dtype)
        with np.errstate(over="ignore"):
            for f in range(len(low)):
                total, other = far(total, other, high[f].max(), low[f].min(), weights[f], self.p)
        if not np.isfinite(total):  # a distance may overflow, which the other search detects
            return False
        rows, several = self.shape.rows, max(1, self.tiles // SAMPLED)
        begins = range(0, self.n, max(rows, self.n // several // rows * rows))[:several]
        some = np.concatenate([np.arange(begin, min(begin + rows, self.n)) for begin in begins])
        component = xp.arange(self.n).astype(np.int32)
        *_, computed = self.search(component, launch.upload(some), chunks=1)
        self.share = float(launch.download(computed).sum()) / (self.tiles * -(-some.size // rows))
        return self.share <= PAYS

    def search(self, component: Any, positions: Any, chunks: int | None = None) -> tuple[Any, Any, Any]:
        """The nearest outside the own component, for points at ``positions``, which increase.

        ``component`` (n,), int32, is by position. In one chunk of columns fewest tiles are computed; in several a few
        points keep more of the device busy. Returns indices, distances, and tiles computed by each block.
        """
        count, rows, columns = int(positions.size), self.shape.rows, self.shape.columns
        F = xp.take(self.features, positions, axis=1)
        component_F = xp.take(component, positions)
        boxes = Boxes.of(F, rows)
        down = -(-count // rows)
        chunks = chunks or chunks_for(self.tiles, down)
        value, which = launch.empty((chunks, count), self.dtype), launch.empty((chunks, count), np.int32)
        computed = launch.empty(down * chunks, np.int64)
        boxes_kernel(self.metric, self.weighted, self.dtype)(
            down * chunks,
            F,
            xp.take(self.summary, positions),
            component_F,
            *boxes,
            only(component_F, rows, -2),
            self.features,
            self.summary,
            component,
            *self.boxes,
            only(component, columns, -1),
            self.label,
            self.weights,
            self.p,
            value,
            which,
            computed,
        )
        distance, index = launch.full(count, np.inf, self.dtype), launch.full(count, -1, np.int32)
        fold(value, which, 0, count, distance, index)
        return index, distance, computed


def located(points: Points) -> Located | None:
    """Points in spatial order; None where boxes do not pay. Computed once a device, while their features exist."""
    m, n = points.features.shape
    tiles = n // geometry(points.metric, np.dtype(points.features.dtype)).columns
    if points.metric.euclidean_like and m > 0 and tiles >= FEWEST * (1 if m <= WIDE else 10):
        return derived(points, _located)
    return None


def _located(points: Points) -> Located | None:
    found = Located(DevicePoints(points))
    return found if found.pays else None


def search_all(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """`gpuclust.kernels.cuda.nearest.nearest`, by boxes or a screen where that pays."""
    return on_host(*all_on_device(points))


def all_on_device(points: Points) -> tuple[Any, Any]:
    """`search_all`, with indices of type int32, as arrays on the device."""
    where = located(points)
    if where is None:
        held = screened(points)
        if held is None:
            return nearest.all_on_device(points)
        return held.search(held.everyone.astype(np.int32), held.everyone)
    index, distance, _ = where.search(xp.arange(where.n).astype(np.int32), xp.arange(where.n))
    return _placed(where.order, index, distance)


def _placed(places: Any, index: Any, distance: Any) -> tuple[Any, Any]:
    """Both at ``places``, a permutation."""
    found, lengths = launch.empty(places.size, np.int32), launch.empty(places.size, distance.dtype)
    found[places], lengths[places] = index, distance
    return found, lengths


def rows_at_once(points: Points) -> int:
    """Rows that `search_outside` searches in about `WORK` instructions, and at least `ROWS_BETWEEN_REPORTS`.

    A search of some rows takes the time of some 30 launches besides.
    """
    where = located(points)
    if where is None and points.dtype == np.float64 and screened(points) is None:
        return ROWS_BETWEEN_REPORTS  # one in float64 takes 64 times as long on most GPUs
    m, n = points.features.shape
    return max(ROWS_BETWEEN_REPORTS, int(WORK / (n * (32 + 4 * m) * (1 if where is None else where.share))))


def search_outside(points: Points, component: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`gpuclust.kernels.cuda.nearest.nearest_outside`, by boxes or a screen where that pays."""
    if rows.size == 0:
        return np.empty(0, np.int64), np.empty(0, points.dtype)
    return on_host(*outside_on_device(points, launch.upload(component.astype(np.int32)), launch.upload(rows)))


def outside_on_device(points: Points, component: Any, rows: Any) -> tuple[Any, Any]:
    """`search_outside`, with components and indices of type int32, as arrays on the device; for at least one row."""
    where = located(points)
    if where is None:
        held = screened(points)
        return nearest.outside_on_device(points, component, rows) if held is None else held.search(component, rows)
    places = xp.take(where.position, rows)
    turn = xp.argsort(places)
    index, distance, _ = where.search(xp.take(component, where.order), xp.take(places, turn))
    return _placed(turn, index, distance)
