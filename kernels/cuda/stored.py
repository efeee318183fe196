"""A stored dissimilarity matrix on the device (see `gpuclust.core.backend.Stored` for the contract)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core.clusters import Clusters
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cuda import aggregate, chain, fill, launch, rounds, tiles
from gpuclust.kernels.cuda.between import Grouped
from gpuclust.kernels.cuda.pairwise import DevicePoints


class Stored:
    """Dissimilarities of ``n`` clusters in the tiles of half a matrix, with the nearest cluster of each.

    The matrix stays on the device, with one band of tile rows to make the next one in, or with a whole second matrix
    if there is memory for one. ``nearest`` and ``distance`` are on the host.
    """

    width = 1

    def __init__(self, n: int, dtype: np.dtype, write: Callable[[Any], None]) -> None:
        self.n = self.scanned = n
        self.matrix = launch.empty(tiles.tiled_size(n), dtype)
        self.spare: Any = None
        self.minima = tiles.Minima(n, np.dtype(dtype))
        write(self.matrix)
        self.nearest, self.distance = self.minima.of_matrix(self.matrix, n, launch.upload(np.arange(n)))

    @classmethod
    def from_points(cls, points: Points) -> Stored:
        where = DevicePoints(points)
        return cls(points.n, where.dtype, lambda matrix: fill.fill_points(matrix, where))

    @classmethod
    def from_clusters(cls, points: Points, method: Method, clusters: Clusters) -> Stored:
        grouped = Grouped(points, method, clusters)
        return cls(grouped.count, points.dtype, lambda matrix: aggregate.fill_clusters(matrix, grouped))

    @classmethod
    def from_condensed(cls, condensed: np.ndarray, n: int, squared: bool) -> Stored:
        rows = tiles.tile_rows(n)

        def write(matrix: Any) -> None:
            fill.condensed_kernel(condensed.dtype)(rows * rows, matrix, launch.upload(condensed), n, squared)

        return cls(n, condensed.dtype, write)

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
        if self.spare is None:
            self.spare = launch.empty(self._spare_size(first.size), self.matrix.dtype)
        self.matrix, self.spare, self.nearest, self.distance = rounds.merge_round(
            self.matrix, self.spare, self.minima, method, first, second, between, size, new_size, new_id
        )
        self.n = self.scanned = first.size

    def _spare_size(self, count: int) -> int:
        """Numbers of a second matrix if that leaves half of the free memory, or else of a band."""
        whole = tiles.tiled_size(count)
        if 2 * whole * self.matrix.dtype.itemsize <= launch.free_memory()[0]:
            return whole
        return max(whole // 8, tiles.tile_rows(count) * tiles.TILE**2)

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        return chain.chain(
            self.matrix,
            self.n,
            method,
            size,
            ids,
            self.nearest,
            nearest_id,
            self.distance,
            next_id,
            wanted,
        )
