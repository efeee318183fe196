"""The reference backend in plain Python and NumPy: slow, and the specification of the others.

It is the specification that the others are tested by.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpuclust.core.backend import LeafTree
from gpuclust.core.clusters import Clusters
from gpuclust.core.component_search import ByPoints
from gpuclust.core.device import Device
from gpuclust.core.matrix_free import MatrixFree, silent
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.core.sizes import FUSED
from gpuclust.kernels.reference import (
    candidates,
    cluster_search,
    cophenetic,
    generic,
    knn,
    nearest,
    pairwise,
    spanning,
)
from gpuclust.kernels.reference.screened import Screened
from gpuclust.kernels.reference.stored import Stored
from gpuclust.kernels.reference.summaries import Summaries


class ReferenceBackend:
    """See `gpuclust.core.backend.Backend`."""

    name = Device("reference")

    def __init__(self) -> None:
        self._square: tuple[Points, np.ndarray] | None = None

    def distances(self, points: Points) -> np.ndarray:
        """All distances of points, kept until those of others are asked for. Not to be changed."""
        if self._square is None or self._square[0] is not points:
            self._square = points, pairwise.pairwise(points, points)
        return self._square[1]

    def active(self) -> AbstractContextManager[None]:
        return nullcontext()

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Summaries:
        many = points.n > FUSED and method.geometric is not None
        return (Screened if many else Summaries)(points, method, size)

    def store_points(self, points: Points) -> Stored:
        return Stored.from_points(points)

    def store_clusters(self, points: Points, method: Method, clusters: Clusters) -> Stored:
        return Stored(candidates.between_clusters(self.distances(points), method, clusters))

    def store_condensed(self, condensed: np.ndarray, n: int, squared: bool, overwrite: bool = False) -> Stored:
        return Stored.from_condensed(condensed, n, squared)

    def square_of_points(self, points: Points) -> None:
        return None

    def square_of_summaries(self, points: Points, method: Method) -> None:
        return None

    def square_of_condensed(self, condensed: np.ndarray, n: int, squared: bool) -> None:
        return None

    def pairwise(self, A: Points, B: Points, out: np.ndarray) -> np.ndarray:
        return pairwise.pairwise(A, B, out)

    def condensed(self, points: Points, out: np.ndarray) -> np.ndarray:
        return pairwise.condensed(points, out)

    def knn(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        return knn.knn(self.distances(points), k)

    def nearest_among(
        self, points: Points, method: Method, clusters: Clusters, neighbours: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return candidates.nearest_among(self.distances(points), method, clusters, neighbours, rows)

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
        return ByPoints(points, nearest.nearest, nearest.nearest_outside)

    def tree_of_points(self, points: Points, report: Callable[[int], None]) -> None:
        return None

    def spanning_tree(
        self, condensed: np.ndarray, n: int, report: Callable[[int], None], room: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        return spanning.spanning_tree(condensed, n, report)

    def generic_points(self, points: Points, method: Method) -> generic.Generic:
        return generic.from_points(points, method)

    def generic_stored(self, matrix: Stored, method: Method) -> generic.Generic:
        return generic.from_stored(matrix, method)

    def generic_square(self, square: Any, method: Method) -> Any:
        raise NotImplementedError("there are no square arrays here")

    def correlate(self, points: Points, tree: LeafTree, shift: float, centre: float) -> np.ndarray:
        return cophenetic.correlate(points, tree, shift, centre)


def backend() -> ReferenceBackend:
    return ReferenceBackend()
