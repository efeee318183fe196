"""The CUDA backend: compiled kernels on one device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from gpuclust.core.backend import LeafTree
from gpuclust.core.clusters import Clusters
from gpuclust.core.component_search import ByPoints
from gpuclust.core.device import Device
from gpuclust.core.matrix_free import MatrixFree, silent
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import (
    boxes,
    candidates,
    cluster_search,
    components,
    cophenetic,
    distances,
    generic,
    launch,
    neighbours,
    spanning,
)
from gpuclust.kernels.cuda.stored import Stored
from gpuclust.kernels.cuda.summaries import Summaries


class CudaBackend:
    """See `gpuclust.core.backend.Backend`.

    Arrays that a caller passes in or gets back are the host's; what is kept between calls stays on the device. Work
    is queued on CuPy's current stream of the device that is current (`active` makes it this one), and a call returns
    when its results are on the host.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = Device(f"cuda:{index}")

    def active(self) -> AbstractContextManager[None]:
        """Make this device the current one."""
        return launch.on_device(self.index)

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Summaries:
        return Summaries(points, method, size)

    def store_points(self, points: Points) -> Stored:
        return Stored.from_points(points)

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> Stored:
        return Stored.from_clusters(points, method, clusters)

    def store_condensed(self, condensed: np.ndarray, n: int, squared: bool, overwrite: bool = False) -> Stored:
        return Stored.from_condensed(condensed, n, squared)

    def square_of_points(self, points: Points) -> None:
        return None

    def square_of_summaries(self, points: Points, method: Method) -> None:
        return None

    def square_of_condensed(self, condensed: np.ndarray, n: int, squared: bool) -> None:
        return None

    def pairwise(self, A: Points, B: Points, out: Any) -> Any:
        return distances.pairwise(A, B, out)

    def condensed(self, points: Points, out: Any) -> Any:
        return distances.condensed(points, out)

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        return neighbours.knn(points, k)

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
    ) -> MatrixFree:
        return MatrixFree(cluster_search.nearest_cluster, points, method, clusters, report)

    def outgoing(self, points: Points) -> ByPoints:
        return ByPoints(points, boxes.search_all, boxes.search_outside, boxes.rows_at_once)

    def tree_of_points(self, points: Points, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray, int]:
        return components.tree(points, report)

    def spanning_tree(
        self, condensed: np.ndarray, n: int, report: Callable[[int], None], room: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        return spanning.spanning_tree(condensed, n, report)

    def generic_points(self, points: Points, method: Method) -> generic.Generic:
        return generic.CentroidGeneric(points, method)

    def generic_stored(self, matrix: Stored, method: Method) -> generic.Generic:
        return generic.StoredGeneric(matrix, method)

    def generic_square(self, square: Any, method: Method) -> Any:
        raise NotImplementedError("there are no square arrays here")

    def correlate(self, points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
        return cophenetic.correlate(points, tree, shift, centre)


def backend(index: int = 0) -> CudaBackend:
    return CudaBackend(index)
