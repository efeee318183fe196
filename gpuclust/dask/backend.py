"""The backend of a Dask cluster: searches are tasks of its workers, everything else is done by the client's CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.core import preparation
from gpuclust.core.backend import LeafTree, Outgoing, Searched
from gpuclust.core.backend import Stored as StoredMatrix
from gpuclust.core.clusters import Clusters
from gpuclust.core.component_search import ByPoints
from gpuclust.core.jit import ranges
from gpuclust.core.matrix_free import MatrixFree, silent
from gpuclust.core.methods import METHODS, Method
from gpuclust.core.points import Points
from gpuclust.dask import tasks
from gpuclust.dask.cluster import Cluster
from gpuclust.dask.matrix import ShardedRows
from gpuclust.dask.searches import (
    ALONE,
    COMPUTED,
    MOST,
    ByRows,
    ClusterSearch,
    ShardedBoxes,
    ShardedSummaries,
    cost_of,
)
from gpuclust.dask.shared import metric_form, packed
from gpuclust.kernels.cpu.backend import CpuBackend
from gpuclust.kernels.cpu.clusters.cluster_search import nearest_cluster
from gpuclust.kernels.cpu.clusters.summaries import Summaries
from gpuclust.kernels.cpu.matrix.cophenetic import strip_count
from gpuclust.kernels.cpu.points.boruvka import LISTED, ByBoxes
from gpuclust.kernels.cpu.points.index import Screened, boxed
from gpuclust.kernels.cpu.points.knn import SHARE
from gpuclust.plan import Plan


class DaskBackend(CpuBackend):
    """The CPU of the client, with searches by a cluster (see `gpuclust.core.backend.Backend`).

    Tasks search for neighbour lists of points, edges out of components, and nearest clusters. The client searches
    trees in few dimensions, which takes less time than a round trip, stores matrices, and merges.

    Parameters
    ----------
    cluster : Cluster
    on_gpu : bool
        Whether workers that have a GPU search for edges out of components on it.
    local : Plan, optional
        Of what the client may take where workers hold the matrix of clusters; by default the client does.
    """

    def __init__(self, cluster: Cluster, on_gpu: bool = False, local: Plan | None = None) -> None:
        self.cluster, self.on_gpu, self.local = cluster, on_gpu, local

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Summaries:
        if not _known(points, method):
            return super().summarise(points, method, size)
        return ShardedSummaries(self.cluster, points, method, size)

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        squares, finish = preparation.by_order(points)
        if not _known(points) or not _known(squares):
            return super().knn(points, k)
        arranged = boxed(squares, k, SHARE)
        if arranged is None:
            alone = points.n**2 * cost_of(points) < ALONE
            return super().knn(points, k) if alone else ByRows(self.cluster, points).knn(points, k)
        searched = ShardedBoxes(self.cluster, arranged) if isinstance(arranged, Screened) else arranged
        index, distance = searched.knn(k)
        return index, finish(distance)

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> StoredMatrix:  # type: ignore[override]
        local = self.local
        if local is None or clusters.ids.size <= local.most_clusters or not _known(points, method):
            return super().store_clusters(points, method, clusters)
        return ShardedRows(self.cluster, points, method, clusters, local.most_clusters, local.limit)

    def search_clusters(
        self,
        points: Points,
        method: Method,
        clusters: Clusters,
        report: Callable[[], None] = silent,
        bounded: bool = False,
    ) -> Searched:
        if bounded or not _known(points, method):
            return super().search_clusters(points, method, clusters, report, bounded)
        return MatrixFree(ClusterSearch(self.cluster, points, nearest_cluster), points, method, clusters, report)

    def outgoing(self, points: Points) -> Outgoing:
        if not _known(points):
            return super().outgoing(points)
        if not self.on_gpu:
            arranged = boxed(points, LISTED)
            if isinstance(arranged, Screened):
                return ByBoxes(ShardedBoxes(self.cluster, arranged))
            if arranged is not None:
                return ByBoxes(arranged)
        search = ByRows(self.cluster, points, self.on_gpu)
        return ByPoints(points, search.nearest, search.outside)

    def correlate(self, points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
        work = points.n**2 / 2 * cost_of(points)
        if work < ALONE or not _known(points):
            return super().correlate(points, tree, shift, centre)
        strips = strip_count(points.n)
        sums = np.empty((strips, 3))
        shared, linkage = self.cluster.share("points", *packed(points)), self.cluster.share("tree", *tree.arrays)
        parts = ranges(strips, max(1, round(strips / min(max(1, work / COMPUTED), MOST))))

        def take(place: int, answer: tuple[np.ndarray, ...]) -> None:
            sums[slice(*parts[place])] = answer[0]

        arguments = [(shared, linkage, shift, centre, *part) for part in parts]
        self.cluster.each("cophenetic-correlation", tasks.correlate, arguments, take)
        return sums.sum(axis=0)


def _known(points: Points, method: Method | None = None) -> bool:
    """Whether workers find the metric and the linkage in their tables."""
    return metric_form(points.metric) is not None and (method is None or METHODS.get(method.name) is method)
