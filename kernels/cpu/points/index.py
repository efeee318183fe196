"""Nearest neighbours, and nearest points of other components, screened box by box in single precision.

For squared Euclidean distances, and for cosine and correlation distances of many features, in dimensions too high for
a kd-tree to skip much. The results have the bits of a search of all distances (`gpuclust.kernels.cpu.space.screen`),
in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np

from gpuclust.core import jit
from gpuclust.core.duplicates import groups
from gpuclust.core.jit import compiled, named, ranges, run, uncounted
from gpuclust.core.methods import METHODS
from gpuclust.core.points import Metric, Points
from gpuclust.core.sizes import BY_TREE, FEWEST, WIDE
from gpuclust.kernels.cpu.clusters import product_search
from gpuclust.kernels.cpu.clusters.product_kernels import form_of
from gpuclust.kernels.cpu.clusters.screen_pairs import ALL, Share, empty_lists, search_all
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows
from gpuclust.kernels.cpu.points import angles, component_edges
from gpuclust.kernels.cpu.points.component_edges import ComponentEdges, Table
from gpuclust.kernels.cpu.points.tree_points import SHARE, TreePoints, arrange, quicker, worth_a_tree
from gpuclust.kernels.cpu.space import kdtree, screen
from gpuclust.kernels.cpu.space.boxes import Boxes, Leaves, leaf_of
from gpuclust.kernels.cpu.space.screen import (
    Screen,
    approach,
    box_size,
    out_of_reach,
    root_of,
    rows_a_piece,
    threshold,
)
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, lowest_bit, others, squares, sums_at_most
from gpuclust.kernels.cpu.space.strips import Strips, strips

#: Rows in a piece of work.
ROWS = 64
#: Features of all points that are moved at a time.
PERMUTED = 16
#: Largest fraction of all pairs that a tree may compare to be preferred to screening. Measured on 20,000 to 100,000
#: points of 4 to 32 features: a tree takes 100 to 150 times that fraction of the time of screening.
SCREENED = 1 / 128


class Screened:
    """Points in the order of a kd-tree, whose leaves are screened. O(n m) memory.

    Attributes
    ----------
    n : int
    points : Points
        In the order they were given.
    order : ndarray of shape (n,), int64
        The point at each position.
    search_dominates : bool
        See `gpuclust.kernels.cpu.points.boruvka.Arranged`.
    """

    search_dominates: ClassVar[bool] = True

    def __init__(self, points: Points, order: np.ndarray | None = None) -> None:
        """``order``: that of a kd-tree whose leaves are no larger than the boxes, if there is one."""
        self.points, self.n = points, points.n
        m, dtype = len(points.features), points.features.dtype
        most = box_size(self.n, m)
        features = angles.on_sphere(points) if points.metric.angular else points.features
        self.order = kdtree.order_of(features, most) if order is None else order
        self._rows = kdtree.rows_of(features, self.order)
        del features
        self._ones, self._zeros = np.ones(self.n, dtype), np.zeros(self.n, dtype)
        # Rows and summaries from which distances are computed, if not from the same rows.
        self._given, self._summary = self._rows[:0], self._zeros
        if points.metric.angular:
            self._given, self._summary = kdtree.rows_of(points.features, self.order), points.summary[self.order]
        self._leaves, self._most = Leaves(self.n, most), most
        self._ready: Screen | Strips | None = None

    def at(self, which: np.ndarray) -> Screened:
        """Some of the points."""
        return Screened(self.points.at(which))

    def originals(self) -> np.ndarray | None:
        """Smallest index of an equal point for each point; ``None`` if no two are known to be equal."""
        if self.points.metric.angular:
            return None  # by rounding, the distance of a point to its copy need not be zero
        group = groups(self.points)
        count = int(group.max()) + 1
        if count == self.n:
            return None
        first = np.empty(count, np.int64)
        first[group[::-1]] = np.arange(self.n)[::-1]
        return first[group]

    def lists(self, k: int, share: Share = ALL, bounds: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, k) and distances of the nearest others of each position, by (distance, index).

        -1 and infinite behind the last where there are fewer than k others. O(n² m) time, O(n k) memory. With a
        ``share`` among the pairs that it holds, and only the lists of its rows, from which entries farther than
        their ``bounds`` may be left out (see `gpuclust.kernels.cpu.clusters.screen_pairs.empty_lists`).
        """
        dtype = self._rows.dtype
        near, held = np.empty((self.n, k), np.int32), np.empty((self.n, k), dtype)
        empty_lists(near, held, share, self.starts, bounds)
        own = self._rows, self._given, self._ones, self._summary, self.order, near, held, np.empty(self.n, dtype)
        if len(self.points.features) < WIDE:
            search_all(METHODS["centroid"], Rows(*own), self._screen(), share)
        elif self.points.metric.angular:
            product_search.search_all(
                angles.form_of_metric(self.points.metric, dtype), Rows(*own), self._strips(), share
            )
        else:
            product_search.search_all(form_of(METHODS["centroid"], dtype), Rows(*own), self._strips(), share)
        return near, held

    @property
    def starts(self) -> np.ndarray:
        """The first position of each box, and n."""
        return self._leaves.starts

    def _boxes(self) -> Boxes:
        return self._leaves.boxes(self._rows, self._ones, self._zeros, self._most)

    def _strips(self) -> Strips:
        """The boxes prepared for products."""
        if not isinstance(self._ready, Strips):
            self._ready = None
            tree = self._boxes()
            self._ready = strips(tree[:3], tree.starts, tree.largest, True)
        return self._ready

    def _screen(self) -> Screen:
        """The boxes prepared for comparisons by differences."""
        if not isinstance(self._ready, Screen):
            self._ready = None
            self._ready = screen.screen(self._boxes(), True)
        return self._ready

    def knn(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `lists`, by index of the point instead of its position."""
        position, found = self.lists(k)
        index, distance = np.empty((self.n, k), np.int64), np.empty_like(found)
        for begin, end in ranges(self.n, 1 << 16):
            here = position[begin:end]
            index[self.order[begin:end]] = np.where(here >= 0, self.order[here], -1)
            distance[self.order[begin:end]] = found[begin:end]
        return index, distance

    def outside(
        self, here: np.ndarray, best: np.ndarray, near: np.ndarray, bound: np.ndarray, searched: np.ndarray
    ) -> None:
        """Search the positions ``searched`` for what is nearest of another component.

        ``here`` is the component of each position. ``near`` and ``bound`` are set where something is found that is
        not farther than ``best`` of the component, which is lowered on the way.
        """
        padded = np.zeros(self.n + LANES, np.int32)
        padded[: self.n] = here
        angular = self.points.metric.angular
        kernel = outside_kernel(self.points.metric if angular else None, self._rows.dtype)
        more = angles.margin(self._rows.shape[1], self._rows.dtype) if angular else 0.0
        given = (self._given if angular else self._rows), self._summary, more
        common = (self._rows, *given, self.order, padded, best, near, bound, self._screen(), searched)
        rows = rows_a_piece(self.n, self._rows.shape[1], ROWS)
        run(kernel, [(*common, *piece) for piece in ranges(searched.size, rows)])

    def between(self, here: np.ndarray, count: int, bound: np.ndarray) -> ComponentEdges | None:
        m = self._rows.shape[1]
        if m < WIDE or count > component_edges.most_components(self.n, m, self._rows.itemsize):
            return None
        return component_edges.edges(self.by_component(here)(bound), here, self.order)

    def by_component(self, here: np.ndarray) -> Callable[..., Table]:
        """A function of the bounds of `between`, and of the part of all pairs that is compared, for the table.

        The points are moved, so nothing can be searched afterwards.
        """
        rows, m = self._rows, self._rows.shape[1]
        order = np.argsort(here, kind="stable")
        self._ready = None
        for array in (rows, self._given):
            for start in range(0, array.shape[1] if array.size else 0, PERMUTED):
                array[:, start : start + PERMUTED] = array[order, start : start + PERMUTED]
        here, ids = here[order], self.order[order]
        most = max(box_size(self.n, m), LANES)  # as many rows are compared with a box at a time
        tree = Leaves(self.n, most).boxes(rows, self._ones, self._zeros, most)
        ready = strips(tree[:3], tree.starts, tree.largest, True)
        angular = self.points.metric.angular
        points = (rows, self._given, self._summary[order]) if angular else (rows, rows, self._zeros)
        metric = self.points.metric if angular else None

        def find(bound: np.ndarray, part: tuple[int, int] = (0, 1)) -> Table:
            return component_edges.find(points, metric, ready, ids, here, bound[order], part)

        return find


def boxed(points: Points, k: int, share: float = SHARE) -> TreePoints | Screened | None:
    """Points arranged for the fastest search for lists of k neighbours; ``None`` if that computes all distances.

    By tree, if it compares no more than a fraction of all pairs on a sample: ``share``, or `SCREENED` if the
    alternative is screening. With few features both take equally long then, and only one has to be compiled.
    """
    screens = _can_be_screened(points)
    if screens and len(points.features) > BY_TREE:
        share = SCREENED
    arranged = arrange(points) if worth_a_tree(points, k) else None
    if arranged is not None and quicker(arranged, k, share):
        return arranged
    if not screens:
        return None
    order = None if arranged is None else arranged.tree.order
    del arranged  # with its copy of the points
    return Screened(points, order)


def _can_be_screened(points: Points) -> bool:
    """Whether points can be screened: their metric and number allow it, without weights or overflow."""
    features, metric = points.features, points.metric
    if points.weights is not None or points.n < FEWEST or not len(features):
        return False
    if metric.angular:
        return len(features) >= WIDE and bool(((points.summary > 0) & np.isfinite(points.summary)).all())
    if not metric.screened:
        return False
    with np.errstate(over="ignore"):
        reach = np.array([values.max() - values.min() for values in features])
        return bool(np.isfinite((reach * reach).sum() * reach.dtype.type(4)))


@cache
def outside_kernel(angular: Metric | None, dtype: np.dtype) -> Callable[..., Any]:
    """See `Screened.outside`; for ``searched[begin:end]``. Of an angular metric, or of squared distances.

    Rows are screened; the distances of ``given`` decide, which exceed screened ones by ``more`` at most.

    ``best`` is lowered as shorter edges are found, also by other threads: that saves work and changes no result.
    """
    eps, denormal = float(np.finfo(np.float32).eps), float(np.finfo(dtype).smallest_subnormal)
    infinity = dtype.type(np.inf)
    stamp = jit.stamp(*angles.modules(), *screen.modules())
    kind = "square" if angular is None else angular.name

    distance = angles.distance_function(angular, dtype)

    @uncounted
    @named(kind, dtype)
    def search(rows, given, summary, more, ids, here, best, near, bound, ready, searched, begin, end, buffers):
        features, other, _, middle, extent, radius, starts, scale, scales, zooms = ready
        group, ours, gaps, values, todo, found, found_at = buffers
        m = rows.shape[1]
        lost = 2 * denormal * (m + 2)
        boxes, _, width = features.shape
        precise = float(scale)
        for place in range(end - begin):
            for k in range(m):
                group[k, place] = rows[searched[begin + place], k]
            found[place], found_at[place] = infinity, -1
        home = leaf_of(starts, searched[begin])
        # The loops here, in `summary_search` and in `screen_pairs` share their steps (`space.screen`, `space.simd`),
        # not their order: the limits differ (component, factor of sizes, both lists of a pair), and so does the final
        # test.
        for step in range(boxes):
            box = home ^ step
            left = starts[box]
            zoom = zooms[box]
            approach(group, middle[box], extent[box], scales[box], ours, gaps)
            error = 2 * eps * radius[box]
            count = 0
            for place in range(end - begin):
                most = min(found[place], best[here[searched[begin + place]]])
                root = root_of(most + more, lost, 0.0, precise)
                if gaps[place] <= threshold(root * zoom, error, m):
                    lost_sight = gaps[place] == np.inf and root < np.inf
                    if lost_sight and out_of_reach(group, place, middle[box], extent[box], scale, zoom, root):
                        continue
                    todo[count] = place
                    count += 1
            for extra in range(TOGETHER - 1):
                todo[count + extra] = todo[max(count - 1, 0)]
            for four in range(0, count, TOGETHER):
                squares(features[box], ours, todo, four, values)
                for side in range(min(TOGETHER, count - four)):
                    place = todo[four + side]
                    x = searched[begin + place]
                    own = here[x]
                    most = min(found[place], best[own])
                    near_enough = threshold(root_of(most + more, lost, 0.0, precise) * zoom, error, m)
                    for start in range(0, width, LANES):
                        bits = sums_at_most(values[side], other[box], start, near_enough)
                        if bits == np.uint64(0):
                            continue
                        bits &= others(here, left + start, own)
                        if bits == np.uint64(0):
                            continue
                        while bits:
                            y = left + start + lowest_bit(bits)
                            bits &= bits - np.uint64(1)
                            value = distance(given, summary, x, y)
                            if value < found[place] or (
                                value == found[place] and (found_at[place] < 0 or ids[y] < ids[found_at[place]])
                            ):
                                found[place], found_at[place] = value, y
                        if found[place] < most:
                            most = found[place]
                            best[own] = min(best[own], most)
                            near_enough = threshold(root_of(most + more, lost, 0.0, precise) * zoom, error, m)
        for place in range(end - begin):
            x = searched[begin + place]
            if found_at[place] >= 0 and found[place] <= best[here[x]]:
                near[x] = found_at[place]
                bound[x] = found[place]

    @compiled
    @named(kind, dtype)
    def outside_by_tiles(rows, given, summary, more, ids, here, best, near, bound, ready, searched, begin, end):
        stamp  # noqa: B018
        m, count, width = rows.shape[1], end - begin, ready[0].shape[2]
        buffers = (
            np.empty((m, count), rows.dtype),
            np.empty((m, count), np.float32),
            np.empty(count, np.float32),
            np.empty((TOGETHER, width), np.float32),
            np.empty(count + TOGETHER, np.int64),
            np.empty(count, rows.dtype),
            np.empty(count, np.int64),
        )
        search(rows, given, summary, more, ids, here, best, near, bound, ready, searched, begin, end, buffers)

    return outside_by_tiles
