"""Complete, average and weighted linkage of few features: a kd-tree of the clusters' centres is searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.costs import ROUNDS, Footprint, Work
from gpuclust.core.device import Device
from gpuclust.core.sizes import FUSED, LAST, stored_bytes

if TYPE_CHECKING:
    from gpuclust.core.clusters import Merges

#: Largest number of features at which bounds leave few clusters to search. Measured at 20,000 points: with 2 to 5
#: features twice as fast as a matrix (1.3 times on heavy-tailed data), with 6 the same (half as fast on such data).
FEW_FEATURES = 5


class ClusterTree(Algorithm):
    """Rounds on clusters searched through a kd-tree; a matrix of the last ones only."""

    name = "cluster tree"
    deferred = True
    host = (1, 110)

    def applies(self, problem: Problem) -> bool:
        method, metric = problem.method, problem.facts
        if not method.reducible or method.pairs is None or problem.condensed or problem.features > FEW_FEATURES:
            return False
        closed = method.scatter is not None and metric.squared
        return not closed and not metric.heavy and metric.convex

    def rank(self, problem: Problem, device: Device) -> float:
        # A GPU is faster with a matrix. But means of pairs are rounded differently from updates of a matrix, and bits
        # must not depend on the device.
        matrix_first = problem.n <= FUSED or (device.on_gpu and problem.method.pairs == "largest")
        return 4 if matrix_first else 1

    def reason(self, problem: Problem) -> str:
        return (
            f"With {problem.features} features bounds leave few clusters to search: "
            "a matrix of the last ones only is stored."
        )

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        matrix = stored_bytes(min(LAST, max(2, problem.n // 2)), problem.dtype, device)
        # Points in two pools, rows in two copies, and a tree, before there is a matrix.
        early = 8 * problem.feature_bytes + (90 + 14 * problem.width) * problem.n
        return Footprint(self.fixed(problem, device, on_device), matrix, matrix, early)

    def work(self, problem: Problem) -> Work:
        # A GPU has no tree: it searches all clusters. A CPU takes 7 microseconds a point at 100,000 in the plane.
        return Work(0, 0, 30, 0, 3 * ROUNDS, linear=7000)

    def reproduced(self, problem: Problem) -> bool:
        """Means of distances are summed in the order of the tree."""
        return super().reproduced(problem) and problem.method.pairs == "largest"

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.rounds import from_points

        return from_points(run.backend, run.points, run.problem.method, run.report, run.most_clusters, tree=True)
