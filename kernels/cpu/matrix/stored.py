"""A stored dissimilarity matrix on the CPU (see `gpuclust.core.backend.Stored` for the contract)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core import methods
from gpuclust.core.clusters import Clusters
from gpuclust.core.jit import ranges
from gpuclust.core.memory import available_memory
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.matrix import chain, fill, rounds, tiles
from gpuclust.kernels.cpu.space import pairwise

#: Condensed dissimilarities read in a piece of work.
PAIRS_READ = 1 << 21


class Stored:
    """Dissimilarities of ``n`` clusters in the tiles of half a matrix, with the nearest cluster of each."""

    width = 1

    #: Condensed dissimilarities that are stored by the first round of merges; whether their squares are, and whether
    #: over them.
    condensed: np.ndarray | None = None
    squared = overwrite = False

    def __init__(self, n: int, matrix: np.ndarray, nearest: np.ndarray, distance: np.ndarray) -> None:
        self.n = self.scanned = n
        self._matrix, self.nearest, self.distance = matrix, nearest, distance
        self._buffer = matrix
        self._bound: np.ndarray | None = None  # of a chain, until the next round

    @classmethod
    def filled(cls, n: int, dtype: np.dtype, kernel: Callable[..., Any], pairs: int, *arguments: Any) -> Stored:
        matrix = np.empty(tiles.tiled_size(n), dtype)
        return cls(n, matrix, *fill.fill(kernel, matrix, n, pairs, *arguments))

    @classmethod
    def from_points(cls, points: Points) -> Stored:
        weighted = points.weights is not None
        weights = points.weights if weighted else points.summary[:0]
        kernel = fill.points_kernel(points.metric, weighted, points.dtype)
        features = points.features
        pairs = pairwise.affordable(points.metric, len(features))
        return cls.filled(points.n, points.dtype, kernel, pairs, features, points.summary, weights, points.p)

    @classmethod
    def from_clusters(cls, points: Points, method: Method, clusters: Clusters) -> Stored:
        weighted = points.weights is not None
        weights = points.weights if weighted else points.summary[:0]
        dtype = points.dtype
        kernel = fill.clusters_kernel(points.metric, weighted, method.pairs == "largest", dtype)
        features = np.ascontiguousarray(points.features[:, clusters.members])
        summary = points.summary[clusters.members]
        borders = np.append(clusters.start[:: tiles.TILE], clusters.start[-1])
        longest = int(np.diff(borders).max())
        shape = (clusters.start, clusters.weight, clusters.total, longest)
        pairs = pairwise.affordable(points.metric, len(features)) * clusters.ids.size**2 // points.n**2
        return cls.filled(clusters.ids.size, dtype, kernel, pairs, features, summary, weights, points.p, *shape)

    @classmethod
    def from_condensed(cls, condensed: np.ndarray, n: int, squared: bool, overwrite: bool = False) -> Stored:
        kernel = fill.condensed_kernel(condensed.dtype)
        pieces = [(condensed, n, squared, *rows) for rows in ranges(n, max(1, PAIRS_READ // n))]
        matrix = cls(n, condensed[:0], *fill.shared_minima(kernel, pieces, n, condensed.dtype))
        matrix.condensed, matrix.squared, matrix.overwrite = condensed, squared, overwrite
        return matrix

    @property
    def matrix(self) -> np.ndarray:
        """The tiles; of condensed dissimilarities before any merge all are stored now."""
        if self.condensed is not None:
            same, ones = np.arange(self.n), np.ones(self.n, self.distance.dtype)
            alone = np.full(self.n, -1)
            self.merge(methods.METHODS["complete"], same, alone, self.distance, ones, ones, same)
        return self._matrix

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
        source, given = self._matrix, self.condensed
        if given is not None:
            over = self.overwrite and rounds.fits_over(self.n, first.size)
            size_of_new = tiles.tiled_size(first.size)
            if self.overwrite and not over and size_of_new * given.itemsize > available_memory():
                raise MemoryError("a matrix that the plan does not count")  # see `overwrite` of `gpuclust.linkage`
            self._buffer = given if over else np.empty(size_of_new, given.dtype)
            source, self.condensed = given, None
        merges = rounds.Round.of(first, second, between, size, new_size, new_id)
        self._matrix, self.nearest, self.distance = rounds.merge_round(
            source, method, merges, self._buffer, given is not None, self.squared
        )
        self.n, self._bound = first.size, None
        self.scanned = self.n

    def chain(
        self, method: Method, size: np.ndarray, ids: np.ndarray, nearest_id: np.ndarray, next_id: int, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        matrix = self.matrix
        if self._bound is None:
            self._bound = chain.bounds(matrix, self.n)
        pairs = np.empty((wanted, 2), np.int64)
        heights = np.empty(wanted, matrix.dtype)
        scans = chain.chain_kernel(method, matrix.dtype)(
            matrix, self._bound, size, ids, self.nearest, nearest_id, self.distance, next_id, wanted, pairs, heights
        )
        return pairs, heights, scans
