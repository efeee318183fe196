"""Trace of a linkage: the primitives that it calls on its backend, with the sizes that determine their cost.

The algorithms are the same on every device, so a run on the CPU gives the numbers of rows searched, of rounds and of
clusters on a GPU, to which `benchmarks.model` assigns costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core import metrics
from gpuclust.core.backend import Backend
from gpuclust.core.clusters import Clusters
from gpuclust.core.component_search import ByPoints
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import WIDE_ON_GPU
from gpuclust.kernels.cpu.points import nearest


class Call(NamedTuple):
    """One call of a primitive; sizes that do not apply are 0.

    Attributes
    ----------
    name : str
    n, m : int
        Clusters (or points) before the call, features.
    rows : int
        Rows that were searched.
    pairs : int
        Dissimilarities of two points that were computed, where that is not rows times n; of summaries those computed
        in addition, with new clusters.
    left, merged : int
        Clusters after the call, and how many of them are new.
    screened : bool
        Whether a GPU compares them in single precision first, where they are in float64.
    products : bool
        Whether it compares them by products of tensor cores.
    """

    name: str
    n: int
    m: int = 0
    rows: int = 0
    pairs: int = 0
    left: int = 0
    merged: int = 0
    screened: bool = False
    products: bool = False


def squares(points: Points) -> bool:
    """Return whether points are ordered by squared distances, without weights."""
    return metrics.ordering(points.metric).name == "sqeuclidean" and points.weights is None


def screens(points: Points) -> bool:
    """Return whether `gpuclust.kernels.cuda.screen` applies, if it pays."""
    return squares(points) and points.dtype == np.float64


def multiplies(points: Points) -> bool:
    """Return whether `gpuclust.kernels.cuda.halves` applies, if it pays."""
    return len(points.features) >= WIDE_ON_GPU and squares(points)


def listed_pairs(clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray) -> int:
    """Return the number of pairs of points of ``rows`` and of the clusters that hold their listed neighbours."""
    owner, size = clusters.row_of_point, clusters.size
    asking = np.flatnonzero(np.isin(owner, rows))
    first, second = np.divmod(np.unique(owner[asking, None] * size.size + owner[neighbours[asking]]), size.size)
    return int((size[first] * size[second])[first != second].sum())


class TracedStored:
    """A stored matrix (or summaries) that records the calls of its methods."""

    def __init__(self, stored: Any, name: str, m: int, calls: list[Call], screened: bool, products: bool) -> None:
        self.stored, self.kind, self.m, self.calls = stored, name, m, calls
        self.screened, self.products = screened, products
        self.scanned = stored.scanned

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stored, name)

    def merge(self, method: Method, first: np.ndarray, second: np.ndarray, *rest: Any) -> None:
        n, united = self.stored.n, second >= 0
        gone = np.zeros(n, bool)
        gone[first[united]] = gone[second[united]] = True
        alone = self.stored.nearest[first[~united]]
        self.stored.merge(method, first, second, *rest)
        self.scanned, merged = self.stored.scanned, int(united.sum())
        compared = 0
        if self.kind == "summaries" and merged:  # the CPU has lists, a GPU searches where the nearest has merged
            self.scanned = merged + int(gone[alone].sum())
            compared = (first.size - self.scanned) * merged  # the other rows with new clusters
        call = Call(f"{self.kind}.merge", n, self.m, self.scanned, compared, first.size, merged)
        self.calls.append(call._replace(screened=self.screened, products=self.products))

    def chain(self, *arguments: Any) -> Any:
        result = self.stored.chain(*arguments)
        self.calls.append(Call(f"{self.kind}.chain", self.stored.n, self.m, result[2], 0, 0, len(result[0])))
        return result


class TracedBackend:
    """A backend that records the calls of its primitives in ``calls``."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def _note(self, name: str, points: Points, rows: int = 0, pairs: int = 0, left: int = 0) -> None:
        call = Call(name, points.n, len(points.features), rows, pairs, left)
        self.calls.append(call._replace(screened=screens(points), products=multiplies(points)))

    def outgoing(self, points: Points) -> ByPoints:
        """Search all points, as on a GPU, which has no kd-tree."""
        return ByPoints(points, self._nearest, self._nearest_outside)

    def _nearest(self, points: Points) -> Any:
        self._note("nearest", points, points.n)
        return nearest.nearest(points)

    def _nearest_outside(self, points: Points, component: np.ndarray, rows: np.ndarray) -> Any:
        self._note("nearest_outside", points, rows.size)
        return nearest.nearest_outside(points, component, rows)

    def knn(self, points: Points, k: int) -> Any:
        self._note("knn", points, points.n)
        return self.backend.knn(points, k)

    def nearest_among(
        self, points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
    ) -> Any:
        self._note("nearest_among", points, rows.size, listed_pairs(clusters, neighbours, rows), clusters.ids.size)
        return self.backend.nearest_among(points, method, clusters, neighbours, rows)

    def store_points(self, points: Points) -> TracedStored:
        self._note("store_points", points, points.n)
        return self._traced(self.backend.store_points(points), "stored", points)

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> TracedStored:
        self._note("store_clusters", points, clusters.ids.size, points.n * points.n // 2, clusters.ids.size)
        return self._traced(self.backend.store_clusters(points, method, clusters), "stored", points)

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> TracedStored:
        self._note("nearest", points, points.n)
        return self._traced(self.backend.summarise(points, method, size), "summaries", points)

    def _traced(self, stored: Any, name: str, points: Points) -> TracedStored:
        products = name == "summaries" and multiplies(points)
        return TracedStored(stored, name, len(points.features), self.calls, screens(points), products)


def trace(run: Callable[[Backend], Any], backend: Backend) -> list[Call]:
    """Return the calls that ``run(backend)`` makes."""
    traced = TracedBackend(backend)
    run(traced)  # type: ignore[arg-type]
    return traced.calls
