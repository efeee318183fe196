"""Single linkage as a minimum spanning tree, whose edges sorted by length are the merges.

Its heights are the lengths of the tree's edges, the same for every minimum spanning tree, so single linkage is exact
to the last bit, ties or not (Gower, Ross 1969, Minimum spanning trees and single linkage cluster analysis).
"""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.costs import ROUNDS, Footprint, Work, box_bytes, screened
from gpuclust.core.clusters import Merges
from gpuclust.core.device import Device
from gpuclust.core.sizes import BY_TREE, CONTRACTED, LISTED, TREE_FEATURES
from gpuclust.errors import overflow

#: Up to this number of points all distances are computed and stored first: cheaper than rounds of searches.
SMALL = 1024
#: Largest number of components, as a fraction of the observations, whose matrix is stored for condensed input. The
#: first round of Borůvka's algorithm leaves 0.33 on a line, 0.31 in the plane, 0.25 if they are independent.
COMPONENTS = 0.36

_REASON = "Single linkage is the minimum spanning tree: no matrix is stored."
_GIVEN = (
    "Single linkage is the minimum spanning tree: on the CPU two passes, if no two of its edges are equally long."
)


class SpanningTree(Algorithm):
    """Borůvka's algorithm on points; on condensed dissimilarities its first round, and Prim's on what that leaves."""

    name = "spanning tree"
    other_kernels = CONTRACTED
    host = (1, 180)
    gpu = (3, 164)

    def applies(self, problem: Problem) -> bool:
        return problem.method.name == "single"

    def rank(self, problem: Problem, device: Device) -> float:
        return 1

    def reason(self, problem: Problem) -> str:
        if problem.condensed and problem.n > CONTRACTED:
            return _GIVEN
        if not problem.condensed and problem.features <= TREE_FEATURES and problem.facts.euclidean_like:
            return f"{_REASON} A kd-tree finds it on the CPU if a search of some points shows that its boxes prune."
        return _REASON

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        if problem.condensed and not device.on_gpu:
            return Footprint(self.fixed(problem, device, on_device), _component_bytes(problem))
        if device.on_gpu or problem.condensed:
            return Footprint(self.fixed(problem, device, on_device))
        n, m, width = problem.n, problem.features, problem.width
        if problem.facts.euclidean_like and m <= BY_TREE:
            # The points once more in the order of a tree, its boxes, lists of neighbours.
            return Footprint(int(2.3 * problem.feature_bytes) + (105 + 10 * width) * n)
        if boxes := box_bytes(n, m, problem.metric, width, LISTED):
            return Footprint(problem.feature_bytes + boxes + (120 + 10 * width) * n)
        return Footprint(self.fixed(problem, device, on_device))

    def work(self, problem: Problem) -> Work:
        if problem.condensed:
            return Work(6.0, 0, 0, 0.5, 0, 1)
        if problem.features <= BY_TREE and problem.facts.euclidean_like:
            return Work(0, 0, 0.6, 0, ROUNDS // 2, linear=2000)  # measured at a million points in the plane
        if screened(problem.metric, problem.features):
            return Work(0.08, 0.010, 0.6, 0, ROUNDS // 2)  # n = 20,000, m = 16 and 64, with AVX-512
        return Work(0.6, 0.10, 0.6, 0, ROUNDS // 2)

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.boruvka import boruvka

        if run.problem.condensed:
            return _of_condensed(run, run.condensed, run.matrix)
        return boruvka(run.backend, run.points, run.report)


def _component_bytes(problem: Problem) -> int:
    """Bytes of the matrix of components of condensed dissimilarities on the CPU."""
    return int((COMPONENTS * problem.n) ** 2) * problem.width if problem.n > CONTRACTED else 0


def _of_condensed(run: Run, condensed: np.ndarray, room: int = 0) -> Merges:
    """The tree of condensed dissimilarities: O(n²) time, O(n) memory and ``room`` for a matrix of components."""
    n = run.problem.n
    pairs, heights = run.backend.spanning_tree(condensed, n, run.report, room)
    return Merges(pairs, heights, n, edges=True)


class StoredSpanningTree(Algorithm):
    """Prim's algorithm on the stored distances of all pairs of points."""

    name = "spanning tree, stored"
    other_kernels = CONTRACTED
    host = (1, 110)

    def applies(self, problem: Problem) -> bool:
        return problem.method.name == "single" and not problem.condensed

    def rank(self, problem: Problem, device: Device) -> float:
        return 0 if problem.n <= SMALL else 2

    def reason(self, problem: Problem) -> str:
        return f"Up to {SMALL} points: the minimum spanning tree of all their distances, which are computed first."

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        matrix = problem.pair_bytes
        room = 0 if device.on_gpu else _component_bytes(problem)
        return Footprint(self.fixed(problem, device, on_device), matrix + room, matrix)

    def work(self, problem: Problem) -> Work:
        return Work(3.0, 0.10, 0.6, 0.5, 0, 1)

    def run(self, run: Run) -> Merges:
        from gpuclust.core.observations import all_finite

        problem = run.problem
        distances = np.empty(problem.n * (problem.n - 1) // 2, problem.dtype)
        run.backend.condensed(run.points, distances)
        if not all_finite(distances):
            raise overflow(problem.dtype)
        return _of_condensed(run, distances, run.matrix - problem.pair_bytes)
