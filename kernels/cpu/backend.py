"""The CPU backend: compiled kernels on all cores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from gpuclust.core.backend import LeafTree, Outgoing, Searched
from gpuclust.core.clusters import Clusters
from gpuclust.core.component_search import ByPoints
from gpuclust.core.device import Device
from gpuclust.core.matrix_free import MatrixFree, silent
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import CONTRACTED
from gpuclust.kernels.cpu.clusters import candidates, cluster_search, cluster_tree, greedy, greedy_tree
from gpuclust.kernels.cpu.clusters.greedy_square import SquareGeneric
from gpuclust.kernels.cpu.clusters.summaries import Summaries
from gpuclust.kernels.cpu.clusters.summary_square import SummarySquare
from gpuclust.kernels.cpu.matrix import components, cophenetic, prim
from gpuclust.kernels.cpu.matrix.square import Square
from gpuclust.kernels.cpu.matrix.stored import Stored
from gpuclust.kernels.cpu.points import boruvka, knn, nearest
from gpuclust.kernels.cpu.space import pairwise


class CpuBackend:
    """See `gpuclust.core.backend.Backend`."""

    name = Device("cpu")
    _active = nullcontext()

    def active(self) -> AbstractContextManager[None]:
        return self._active

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Summaries:
        return Summaries(points, method, size)

    def store_points(self, points: Points) -> Stored:
        return Stored.from_points(points)

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> Stored:
        return Stored.from_clusters(points, method, clusters)

    def store_condensed(self, condensed: np.ndarray, n: int, squared: bool, overwrite: bool = False) -> Stored:
        return Stored.from_condensed(condensed, n, squared, overwrite)

    def square_of_points(self, points: Points) -> Square:
        return Square.from_points(points)

    def square_of_summaries(self, points: Points, method: Method) -> SummarySquare | None:
        square = SummarySquare(points, method)
        return square if square.distinct else None

    def square_of_condensed(self, condensed: np.ndarray, n: int, squared: bool) -> Square:
        return Square.from_condensed(condensed, n, squared)

    def pairwise(self, A: Points, B: Points, out: np.ndarray) -> np.ndarray:
        return pairwise.pairwise(A, B, out)

    def condensed(self, points: Points, out: np.ndarray) -> np.ndarray:
        return pairwise.condensed(points, out)

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        return knn.knn(points, k)

    def nearest_among(
        self, points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return candidates.nearest_among(points, method, clusters, neighbours, rows)

    def search_clusters(
        self,
        points: Points,
        method: Method,
        clusters: Clusters,
        report: Callable[[], None] = silent,
        bounded: bool = False,
    ) -> Searched:
        if bounded:
            return cluster_tree.ClusterTree(points, method, clusters)
        return MatrixFree(cluster_search.nearest_cluster, points, method, clusters, report)

    def outgoing(self, points: Points) -> Outgoing:
        return boruvka.outgoing(points) or ByPoints(points, nearest.nearest, nearest.nearest_outside)

    def tree_of_points(self, points: Points, report: Callable[[int], None]) -> None:
        return None

    def spanning_tree(
        self, condensed: np.ndarray, n: int, report: Callable[[int], None], room: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        found = components.spanning_tree(condensed, n, report, room) if n > CONTRACTED else None
        return found or prim.spanning_tree(condensed, n, report)

    def generic_points(self, points: Points, method: Method) -> greedy.Generic | greedy_tree.TreeGeneric:
        if greedy_tree.pays(points):
            return greedy_tree.TreeGeneric(points, method)
        return greedy.CentroidGeneric(points, method)

    def generic_stored(self, matrix: Stored, method: Method) -> greedy.Generic:
        return greedy.StoredGeneric(matrix, method)

    def generic_square(self, square: Square, method: Method) -> SquareGeneric:
        return SquareGeneric(square, method)

    def correlate(self, points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
        return cophenetic.correlate(points, tree, shift, centre)


def backend() -> CpuBackend:
    return CpuBackend()
