"""Searches divided into tasks; what they find is joined by (distance, smaller id, larger id)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import ranges
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import WIDE
from gpuclust.dask import tasks
from gpuclust.dask.cluster import Cluster
from gpuclust.dask.cluster import Share as SharedValues
from gpuclust.dask.replicas import snapshot
from gpuclust.dask.shared import packed
from gpuclust.kernels.cpu.clusters.screen_pairs import Share, join_lists, set_limits
from gpuclust.kernels.cpu.clusters.summaries import Summaries
from gpuclust.kernels.cpu.clusters.summary_kernels import Rows
from gpuclust.kernels.cpu.matrix.fill import nearer
from gpuclust.kernels.cpu.points import component_edges, nearest
from gpuclust.kernels.cpu.points.component_edges import ComponentEdges
from gpuclust.kernels.cpu.points.index import Screened

#: Pairs of points times features that a task compares, screened and computed in full: some tenths of a second.
SCREENED, COMPUTED = 1.5e10, 2e9
#: The least of a task of a round, screened, and the parts that a round has if they are larger: it waits for the last.
LEAST, PARTS = 2e9, 16
#: Pairs times features of a search that the client does itself, computed in full and screened: it takes less time
#: than a round trip in which workers also bring their clusters up to date.
ALONE, SCREENED_ALONE = 1.5e9, 8e9
#: Most tasks of a search.
MOST = 500


def cost_of(points: Points) -> int:
    """Work of a distance in units of that of a feature."""
    return len(points.features) + 6


def sides_of(boxes: int, work: float) -> int:
    """Sides of shares of all pairs: a power of two, with one task for each two of them."""
    sides = 1
    while sides < boxes and sides * (sides + 1) / 2 < min(work / SCREENED, MOST):
        sides *= 2
    return sides


def parts_of(rows: int, work: float, each: float) -> list[tuple[int, int]]:
    """Ranges of rows for tasks of ``each`` work, of ``work`` in all."""
    count = int(min(max(1, work / each), MOST, max(1, rows // 16)))
    return ranges(rows, max(1, -(-rows // count)))


def all_lists(
    cluster: Cluster,
    what: str,
    function: Callable[..., Any],
    shared: SharedValues,
    starts: np.ndarray,
    ids: np.ndarray,
    near: np.ndarray,
    held: np.ndarray,
    work: float,
) -> None:
    """Fill the lists of all rows, which are empty, from the shares of all pairs of boxes that begin at ``starts``.

    First each side is compared with itself: it holds most of what is near, by the order of a tree. What is on the
    lists then bounds the searches of two sides, which find less, and send less.
    """
    sides = sides_of(starts.size - 1, work)

    def compare(shares: list[Share], bounded: bool, homes: Sequence[str] = ()) -> None:
        rows = [[share.rows(starts, side) for side in sorted({share.one, share.other})] for share in shares]

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            for at, own in enumerate(rows[place]):
                join_lists(near[own], held[own], ids, *answer[2 * at : 2 * at + 2])

        bounds = [np.concatenate([held[own, -1] for own in both]) if bounded else None for both in rows]
        arguments = [(shared, near.shape[1], *share, bound) for share, bound in zip(shares, bounds, strict=True)]
        cluster.each(what, function, arguments, take, homes=homes)

    # Dask would give the first tasks to the worker that has the points, where they wait for each other.
    compare([Share(sides, side, side) for side in range(sides)], False, cluster.homes(sides))
    if sides > 1:
        compare([Share(sides, *pair) for pair in itertools.combinations(range(sides), 2)], True)


def part_of_round(work: float) -> float:
    """Work of a task of a screened round."""
    return min(SCREENED, max(LEAST, work / PARTS))


class ShardedBoxes:
    """`Screened` points whose searches are tasks (`gpuclust.kernels.cpu.points.boruvka.Arranged`)."""

    search_dominates: ClassVar[bool] = True

    def __init__(self, cluster: Cluster, arranged: Screened) -> None:
        self._cluster, self._arranged = cluster, arranged
        self.n, self.order = arranged.n, arranged.order
        self._points = cluster.share("points", *packed(arranged.points), arranged.order)
        self._cost = cost_of(arranged.points)

    def at(self, which: np.ndarray) -> ShardedBoxes:
        return ShardedBoxes(self._cluster, self._arranged.at(which))

    def originals(self) -> np.ndarray | None:
        return self._arranged.originals()

    def lists(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        work = self.n * self.n / 2 * self._cost
        if work < SCREENED_ALONE:
            return self._arranged.lists(k)
        near, held = np.full((self.n, k), -1, np.int32), np.full((self.n, k), np.inf, self._arranged.points.dtype)
        own = self._points, self._arranged.starts, self.order, near, held, work
        all_lists(self._cluster, "neighbour-lists", tasks.lists, *own)
        return near, held

    def knn(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and distances of the nearest others of each point."""
        near, held = self.lists(k)
        index, distance = np.empty(near.shape, np.int64), np.empty_like(held)
        index[self.order], distance[self.order] = np.where(near >= 0, self.order[near], -1), held
        return index, distance

    def outside(
        self, here: np.ndarray, best: np.ndarray, near: np.ndarray, bound: np.ndarray, searched: np.ndarray
    ) -> None:
        work = searched.size * self.n * self._cost
        if work < SCREENED_ALONE:
            self._arranged.outside(here, best, near, bound, searched)
            return
        shared = self._cluster.share("components", here.astype(np.int32), best, searched)
        parts = parts_of(searched.size, work, part_of_round(work))

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            rows = searched[slice(*parts[place])]
            found = answer[0] >= 0
            near[rows[found]], bound[rows[found]] = answer[0][found], answer[1][found]

        arguments = [(self._points, shared, *part) for part in parts]
        self._cluster.each("edges-out-of-components", tasks.outside_boxes, arguments, take)

    def between(self, here: np.ndarray, count: int, bound: np.ndarray) -> ComponentEdges | None:
        work = self.n * self.n / 2 * self._cost
        if work < SCREENED_ALONE:
            return self._arranged.between(here, count, bound)
        if len(self._arranged.points.features) < WIDE or count > component_edges.MOST:
            return None
        shared = self._cluster.share("components", here.astype(np.int32), bound)
        parts = int(min(max(1, work / part_of_round(work)), MOST))
        answers: list[tuple[np.ndarray, ...]] = [()] * parts
        arguments = [(self._points, shared, place, parts) for place in range(parts)]
        self._cluster.each("edges-between-components", tasks.edges_between, arguments, answers.__setitem__)
        return component_edges.joined(answers, bound.dtype, here, self.order)


class ByRows:
    """Searches of all distances, row by row, for `gpuclust.core.component_search.ByPoints` and others."""

    def __init__(self, cluster: Cluster, points: Points, on_gpu: bool = False) -> None:
        self._cluster, self._on_gpu, self._cost = cluster, on_gpu, cost_of(points)
        self._points, self._n = cluster.share("points", *packed(points)), points.n

    def nearest(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Index and distance of the nearest neighbour of every point."""
        if self._on_gpu:
            return self.outside(points, np.arange(self._n), np.arange(self._n))
        work = self._n * self._n / 2 * self._cost
        if work < ALONE:
            return nearest.nearest(points)
        # Row i is compared with those after it, so ranges of equal work get longer.
        count = len(parts_of(self._n, work, COMPUTED))
        borders = np.unique((self._n - self._n * np.sqrt(1 - np.arange(count + 1) / count)).astype(int)).tolist()
        parts = list(itertools.pairwise(borders))
        index, distance = np.full(self._n, -1), np.full(self._n, np.inf, points.dtype)

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            index[:], distance[:] = nearer((index, distance), (answer[0], answer[1]))

        arguments = [(self._points, *part) for part in parts]
        self._cluster.each("nearest-neighbours", tasks.minima_of_rows, arguments, take)
        return index, distance

    def outside(self, points: Points, component: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each of ``rows`` the nearest point of another component, and its distance."""
        work = rows.size * self._n * self._cost
        if work < ALONE and not self._on_gpu:
            return nearest.nearest_outside(points, component, rows)
        shared = self._cluster.share("components", component, rows)
        parts = [(*part, self._on_gpu) for part in parts_of(rows.size, work, COMPUTED)]
        index, distance = np.full(rows.size, -1), np.full(rows.size, np.inf, points.dtype)
        self._fill("edges-out-of-components", tasks.outside_points, (self._points, shared), parts, index, distance)
        return index, distance

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and distances of the nearest others of every point."""
        work = self._n * self._n * self._cost
        parts = parts_of(self._n, work, COMPUTED)
        index, distance = np.empty((self._n, k), np.int64), np.empty((self._n, k), points.dtype)
        self._fill("neighbour-lists", tasks.knn_of_rows, (self._points, k), parts, index, distance)
        return index, distance

    def _fill(
        self,
        what: str,
        function: Callable[..., Any],
        common: tuple[Any, ...],
        parts: list[tuple[Any, ...]],
        index: np.ndarray,
        distance: np.ndarray,
    ) -> None:
        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            begin, end = parts[place][:2]
            index[begin:end], distance[begin:end] = answer

        self._cluster.each(what, function, [(*common, *part) for part in parts], take)


class ClusterSearch:
    """Searches of clusters of points for the nearest (`gpuclust.core.matrix_free.Search`)."""

    def __init__(self, cluster: Cluster, points: Points, local: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
        self._cluster, self._local, self._cost = cluster, local, cost_of(points)
        self._points = cluster.share("points", *packed(points))

    def __call__(
        self, points: Points, method: Method, clusters: Clusters, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        sizes = clusters.size[rows]
        work = float(sizes.sum()) * points.n * self._cost
        if work < ALONE:
            return self._local(points, method, clusters, rows)
        whole = clusters.ids, clusters.members, clusters.start, clusters.weight, clusters.total
        shared = self._cluster.share("partition", *whole)
        bins = (np.cumsum(sizes) - 1) // max(1, int(sizes.sum() * COMPUTED / work))
        parts = np.split(rows, np.flatnonzero(np.diff(bins)) + 1)
        begins = np.cumsum([0, *(part.size for part in parts)])
        index, distance = np.full(rows.size, -1), np.empty(rows.size, points.dtype)

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            own = slice(begins[place], begins[place + 1])
            index[own], distance[own] = answer

        arguments = [(self._points, method.name, shared, part) for part in parts]
        self._cluster.each("nearest-cluster", tasks.nearest_cluster, arguments, take)
        return index, distance


class ShardedSummaries(Summaries):
    """Clusters by size, centroid and scatter, whose searches are tasks on replicas of them.

    A worker brings its replica up to date by the log of merges. After a chain, which the client makes alone, the log
    begins anew with the clusters that are left.
    """

    def __init__(self, cluster: Cluster, points: Points, method: Method, size: np.ndarray) -> None:
        self._cluster = cluster
        self._base: SharedValues | None = None
        self._log: list[SharedValues] = []
        super().__init__(points, method, size)

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        if self.state is not None:
            self._base, self._log = None, []
        elif self._base is not None:
            entry = first, second, between, size, new_size, new_id
            if not self._log:  # merges change these in place, and the cluster may ask for what it was given again
                self.centers, self.low, self.scatter = self.centers.copy(), self.low.copy(), self.scatter.copy()
            self._log.append(self._cluster.share("merges", *entry))
        super().merge(method, first, second, between, size, new_size, new_id)

    def _search(self, ids: np.ndarray, rows: np.ndarray) -> None:
        work = rows.size * self.n * (self.width + 6)
        new = self.is_new(rows)
        if self.walks or self.squares is not None or work / (2 if new else 1) < SCREENED_ALONE:
            super()._search(ids, rows)
            return
        if self._base is None:
            self._base, self._log = self._cluster.share("partition", *snapshot(self, ids)), []
        if new:
            starts = self.screened().starts
            all_lists(
                self._cluster,
                "nearest-cluster",
                tasks.summary_lists,
                self._base,
                starts,
                ids,
                self.near,
                self.held,
                work / 2,
            )
            own = self.centers, self.low, self.size, self.scatter, ids, self.near, self.held, self.limit
            set_limits(self.method, Rows(*own))
            return
        parts = [rows[slice(*part)] for part in parts_of(rows.size, work, part_of_round(work))]

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            own = parts[place]
            self.near[own], self.held[own], self.limit[own] = answer

        arguments = [(part, self.near[part], self.held[part], self._base, *self._log) for part in parts]
        self._cluster.each("nearest-cluster", tasks.summary_rows, arguments, take)
