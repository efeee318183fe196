"""Linkages whose dissimilarity has a closed form in sizes, centroids and scatter: no matrix is stored.

Ward's linkage, and average and weighted linkage of squared distances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.costs import ROUNDS, Footprint, Work
from gpuclust.core.device import Device
from gpuclust.core.sizes import BY_TREE, FUSED, LISTED, LISTED_WIDE, WIDE, prepared_bytes, square_bytes, squares_bytes

if TYPE_CHECKING:
    from gpuclust.core.clusters import Merges

#: Largest number of features with which all dissimilarities of up to `FUSED` points are stored on the CPU. Measured
#: up to there: 1.1 to 10 times as fast as searches.
STORED = 256


#: Said of searches on the CPU.
BY_PRODUCTS = f"From {WIDE} features on the CPU searches by matrix products of integers, exactly."


class Summaries(Algorithm):
    """Rounds of reciprocal nearest neighbours on sizes, centroids and scatter."""

    name = "summaries"
    host = (4.2, 150)  # the points, centroids in two parts, and one part once more after a round
    gpu = (7, 264)
    few_features = 3.5  # copies on the host with fewer features than `WIDE`, where rows are removed in place

    def applies(self, problem: Problem) -> bool:
        method = problem.method
        closed = method.geometric is not None or (method.scatter is not None and problem.facts.squared)
        return method.reducible and closed and not problem.condensed

    def rank(self, problem: Problem, device: Device) -> float:
        return 2.5 if problem.method.geometric is not None and problem.updated(FUSED) else 1

    def reason(self, problem: Problem) -> str:
        parts = "sizes and centroids" if problem.method.geometric is not None else "sizes, centroids and scatter"
        reason = f"Rounds of reciprocal nearest neighbours on {parts}: no matrix is stored."
        return f"{reason} {BY_PRODUCTS}" if problem.features >= WIDE else reason

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        few = not device.on_gpu and problem.features < WIDE
        fixed = self.fixed(problem, device, on_device, self.few_features if few else None)
        if not device.on_gpu:  # lists before and after a round, and boxes to compare with
            listed = LISTED if few else LISTED_WIDE
            # Candidates of the first search are freed before centroids have second parts, which take as much.
            fixed += problem.n * (2 * listed * (4 + problem.width) + prepared_bytes(problem.features))
            if not few:  # squared distances of clusters; merged ones have left the other room
                most = min(problem.n, FUSED)
                fixed += max(0, squares_bytes(most) - 2 * (problem.n - most) * problem.features * problem.width)
            if problem.n <= FUSED and problem.features <= STORED:
                return Footprint(fixed, square_bytes(problem.n, problem.dtype))
        return Footprint(fixed)

    def work(self, problem: Problem) -> Work:
        if problem.features <= BY_TREE and problem.facts.euclidean_like:
            return Work(0, 0, 1.3, 0, ROUNDS, linear=4500)
        return Work(0.1, 0.035, 1.3, 0, ROUNDS)

    def screened(self, problem: Problem) -> bool:
        return problem.method.geometric is not None and problem.n > FUSED

    def run(self, run: Run) -> Merges:
        from gpuclust.algorithms.rounds import from_summaries

        points = run.points if run.problem.method.scatter is None else run.squares
        return from_summaries(run.backend, points, run.problem.method, run.report, run.square)
