"""Centroid and median linkage, which have inversions: the generic algorithm, one merge a step over lower bounds.

Müllner (2011), Modern hierarchical, agglomerative clustering algorithms, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.costs import Footprint, Work
from gpuclust.algorithms.summaries import WIDE
from gpuclust.core import metrics
from gpuclust.core.device import Device
from gpuclust.core.layout import stored_bytes
from gpuclust.core.sizes import BY_TREE
from gpuclust.errors import overflow

if TYPE_CHECKING:
    from gpuclust.core.merges import Merges


class Generic(Algorithm):
    """On centroids: no matrix is stored."""

    name = "generic"
    host = (3.5, 46)  # the points, centroids in two parts, and one part of half of them once more
    gpu = (4, 100)

    def applies(self, problem: Problem) -> bool:
        return not problem.method.reducible and not problem.condensed

    def rank(self, problem: Problem, device: Device) -> float:
        return 1

    def reason(self, problem: Problem) -> str:
        return "One merge a step over lower bounds; distances come from centroids: no matrix is stored."

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        parts = 0 if device.on_gpu else 8 * problem.width * problem.n  # sizes, bounds, errors, and boxes
        return Footprint(self.fixed(problem, device, on_device) + parts)

    def work(self, problem: Problem) -> Work:
        if problem.features <= BY_TREE and metrics.bounded_by_boxes(problem.metric):
            return Work(0, 0, 1.3, 0, 0, 2, linear=16_000)  # one thread
        return Work(0.6, 0.17, 1.3, 0, 0, 2)

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.greedy import greedy

        state = run.backend.generic_points(run.points, run.problem.method)
        return greedy(state, run.problem.n, run.report)


class StoredGeneric(Algorithm):
    """On a stored matrix of squared dissimilarities."""

    name = "generic, stored"
    host = (1, 140)

    def applies(self, problem: Problem) -> bool:
        return not problem.method.reducible

    def rank(self, problem: Problem, device: Device) -> float:
        return 0 if problem.features > WIDE else 2

    def reason(self, problem: Problem) -> str:
        if problem.condensed:
            return "One merge a step over lower bounds on half a matrix: there are no points."
        wide = f"with {problem.features} features a row of it is cheaper than centroids"
        return f"One merge a step over lower bounds on half a matrix: {wide}."

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        matrix = stored_bytes(problem.n, problem.dtype, device)
        return Footprint(self.fixed(problem, device, on_device), matrix, matrix)

    def work(self, problem: Problem) -> Work:
        if problem.condensed:
            return Work(8.0, 0, 0, 3, 0, 2)
        return Work(8.0, 0.10, 0.5, 3, 0, 2)

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.greedy import greedy

        problem = run.problem
        if problem.condensed:
            matrix = run.backend.store_condensed(run.condensed, problem.n, problem.method.on_squares)
        else:
            matrix = run.backend.store_points(run.points)
        if not np.isfinite(matrix.distance).all():
            raise overflow(matrix.distance.dtype)
        return greedy(run.backend.generic_stored(matrix, problem.method), matrix.n, run.report)
