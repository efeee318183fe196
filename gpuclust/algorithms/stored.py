"""Reducible linkages on a stored dissimilarity matrix, by rounds of reciprocal nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.cluster_tree import FEW_FEATURES
from gpuclust.algorithms.costs import LISTS_ON_GPU, ROUNDS, Footprint, Work, box_bytes
from gpuclust.core.device import Device
from gpuclust.core.sizes import FILLED, FUSED, NEIGHBOURS, SQUARE, WIDE, fused, stored_bytes

if TYPE_CHECKING:
    from gpuclust.core.clusters import Merges

#: Fraction of the points left as clusters after the rounds that neighbour lists prove, by number of features and by
#: linkage (largest: complete; mean: average, weighted). Measured on Gaussian data; it hardly depends on n, and is
#: smaller for data with structure. The true number is known before the matrix is allocated.
FEATURES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
LEFT = {
    "largest": (0.08, 0.14, 0.205, 0.26, 0.34, 0.40, 0.47, 0.52, 0.57, 0.60, 0.66, 0.69, 0.71),
    "mean": (0.05, 0.08, 0.13, 0.175, 0.27, 0.34, 0.43, 0.49, 0.55, 0.59, 0.64, 0.68, 0.73),
}


def clusters_left(problem: Problem) -> int:
    """Clusters that the rounds proven by neighbour lists are expected to leave, with 3 % to spare."""
    share = np.interp(np.log(problem.features), np.log(FEATURES), LEFT[problem.method.pairs or "mean"])
    return int(1.03 * problem.n * float(share))


class Stored(Algorithm):
    """A matrix of the clusters that the first rounds leave, or of all observations if there are no such rounds."""

    name = "stored"
    overwrites = True

    def applies(self, problem: Problem) -> bool:
        return problem.method.reducible and problem.method.name != "single"

    def rank(self, problem: Problem, device: Device) -> float:
        return 2

    def reason(self, problem: Problem) -> str:
        return "Rounds of reciprocal nearest neighbours on half a matrix."

    def stores_all(self, problem: Problem) -> bool:
        """Whether the matrix is of all observations."""
        pairs = problem.method.pairs
        return problem.condensed or pairs is None or problem.n <= fused(pairs)

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        fixed = self.fixed(problem, device, on_device)
        if self.stores_all(problem):
            return self.all_pairs(problem, device, fixed)
        n, m, width = problem.n, problem.features, problem.width
        lists = NEIGHBOURS * n * (8 + width) * (LISTS_ON_GPU if device.on_gpu else 1)
        boxes = 0 if device.on_gpu else box_bytes(n, m, problem.metric, width, NEIGHBOURS)
        in_order = 0 if device.on_gpu else problem.feature_bytes  # the features in the order of clusters
        matrix = stored_bytes(clusters_left(problem), problem.dtype, device)
        return Footprint(fixed + in_order, matrix, self.least(problem, device, matrix), lists + boxes)

    def least(self, problem: Problem, device: Device, matrix: int) -> int:
        """Bytes of the smallest matrix it would do with."""
        return matrix

    def work(self, problem: Problem) -> Work:
        if problem.condensed:
            return Work(6.5, 0, 0, 7.5, ROUNDS)
        return Work(2.2, 0.18, 2, 4, ROUNDS)

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.rounds import from_matrix, from_points, from_square
        from gpuclust.algorithms.unions import uniting

        problem = run.problem
        if problem.condensed:
            square = run.stored_square()
            if square is not None:
                return from_square(square, problem.method)
            given = run.condensed, problem.n, problem.method.on_squares
            matrix = run.backend.store_condensed(*given, run.overwrite)
            return from_matrix(matrix, problem.method, run.report, uniting(run.backend))
        return from_points(run.backend, run.points, problem.method, run.report, run.most_clusters, square=run.square)


class StoredAllPairs(Stored):
    """A matrix of all points, for expensive metrics and few points: each distance is computed once."""

    name = "stored, all pairs"

    def applies(self, problem: Problem) -> bool:
        points = super().applies(problem) and problem.method.pairs is not None and not problem.condensed
        return points and (problem.facts.heavy or self.few(problem))

    def few(self, problem: Problem) -> bool:
        """Whether lists of neighbours, which `Stored` would begin with, take longer than the matrix."""
        few = fused(problem.method.pairs) < problem.n <= (FILLED if problem.features >= WIDE else SQUARE)
        return few and problem.features > FEW_FEATURES and not problem.facts.squared

    def rank(self, problem: Problem, device: Device) -> float:
        return 0

    def reason(self, problem: Problem) -> str:
        if not problem.facts.heavy:
            return "So few points that all distances are computed first, and stored: half a matrix."
        return (
            f"{problem.metric} distances are expensive (a logarithm or a power for each feature), "
            "so all are computed once and stored: half a matrix of all points."
        )

    def stores_all(self, problem: Problem) -> bool:
        return True

    def work(self, problem: Problem) -> Work:
        return Work(8.0, 7.0, 0.5, 8, ROUNDS)

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.rounds import from_matrix, from_square
        from gpuclust.algorithms.unions import uniting

        square = run.stored_square()
        if square is not None:
            return from_square(square, run.problem.method)
        matrix = run.backend.store_points(run.points)
        return from_matrix(matrix, run.problem.method, run.report, uniting(run.backend))


class Hybrid(Stored):
    """Searches from points until half a matrix of the remaining clusters fits."""

    name = "hybrid"
    adjustable = True
    deferred = True

    def applies(self, problem: Problem) -> bool:
        return super().applies(problem) and problem.method.pairs is not None and not problem.condensed

    def rank(self, problem: Problem, device: Device) -> float:
        return 3

    def reason(self, problem: Problem) -> str:
        return "Rounds from points until half a matrix of the clusters that are left fits."

    def stores_all(self, problem: Problem) -> bool:
        return False

    def least(self, problem: Problem, device: Device, matrix: int) -> int:
        return stored_bytes(min(FUSED, max(2, clusters_left(problem) // 2)), problem.dtype, device)

    def work(self, problem: Problem) -> Work:
        return Work(4.4, 0.36, 4, 4, ROUNDS)
