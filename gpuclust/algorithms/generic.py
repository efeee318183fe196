"""Centroid and median linkage, which have inversions: the generic algorithm, one merge a step over lower bounds.

A union of two clusters can be nearer to another cluster than both of its parts were, so pairs cannot merge out of
order: the merges are those of the greedy algorithm, found by lower bounds of nearest-neighbour dissimilarities
(Müllner 2011, Modern hierarchical, agglomerative clustering algorithms, section 3.1). The steps are made inside one
primitive of the backend; here the remaining clusters are moved together each time half of them have been merged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gpuclust.algorithms.base import Algorithm, Problem, Run
from gpuclust.algorithms.costs import Footprint, Work
from gpuclust.core.clusters import Merges
from gpuclust.core.device import Device
from gpuclust.core.sizes import BY_TREE
from gpuclust.errors import overflow

if TYPE_CHECKING:
    from gpuclust.core.backend import Generic as State

#: Largest number of features at which comparing centroids costs less than updating a row of a stored matrix.
NARROW = 96
#: Number of points up to which fewer features (`sizes.UPDATED`) are enough for that.
FEW = 512
#: Up to this number, clusters are finished without moving them together again.
TAIL = 384
#: Merges between two reports are bounded by rows times clusters, so that Ctrl-C takes effect.
STEP = 200_000_000


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
        if problem.features <= BY_TREE and problem.facts.euclidean_like:
            return Work(0, 0, 1.3, 0, 0, 2, linear=16_000)  # one thread
        return Work(0.6, 0.17, 1.3, 0, 0, 2)

    def run(self, run: Run) -> Merges:
        state = run.backend.generic_points(run.points, run.problem.method)
        return greedy(state, run.problem.n, run.report)


class StoredGeneric(Algorithm):
    """On a stored matrix of squared dissimilarities."""

    name = "generic, stored"
    host = (1, 140)

    def applies(self, problem: Problem) -> bool:
        return not problem.method.reducible

    def rank(self, problem: Problem, device: Device) -> float:
        return 0 if problem.features > NARROW or problem.updated(FEW) else 2

    def reason(self, problem: Problem) -> str:
        if problem.condensed:
            return "One merge a step over lower bounds on half a matrix: there are no points."
        wide = f"with {problem.features} features a row of it is cheaper than centroids"
        return f"One merge a step over lower bounds on half a matrix: {wide}."

    def footprint(self, problem: Problem, device: Device, on_device: bool = False) -> Footprint:
        return self.all_pairs(problem, device, self.fixed(problem, device, on_device))

    def work(self, problem: Problem) -> Work:
        if problem.condensed:
            return Work(8.0, 0, 0, 3, 0, 2)
        return Work(8.0, 0.10, 0.5, 3, 0, 2)

    def run(self, run: Run) -> Merges:
        problem = run.problem
        square = run.stored_square()
        if square is not None:
            if not square.finite:
                raise overflow(problem.dtype)
            return greedy(run.backend.generic_square(square, problem.method), problem.n, run.report)
        if problem.condensed:
            matrix = run.backend.store_condensed(run.condensed, problem.n, problem.method.on_squares)
        else:
            matrix = run.backend.store_points(run.points)
        if not np.isfinite(matrix.distance).all():
            raise overflow(matrix.distance.dtype)
        return greedy(run.backend.generic_stored(matrix, problem.method), matrix.n, run.report)


def greedy(engine: State, n: int, report: Callable[[int], None]) -> Merges:
    """All merges, in greedy order, with squared heights. O(n²) time on most data, O(n³) at worst."""
    pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, engine.dtype)
    scans = n
    done = 0
    while done < n - 1:
        live = n - done
        target = done + (live // 2 if live > TAIL else live - 1)
        while done < target:
            stop = min(target, done + max(1, STEP // (live * engine.width)))
            made, at, rows = engine.merge(n + done, stop - done)
            if rows < 0:
                raise overflow(engine.dtype)
            scans += rows
            if stop - done == n - 1:
                return Merges(made, at, scans, monotone=False)
            pairs[done:stop], heights[done:stop] = made, at
            done = stop
            report(done)
        if done < n - 1:
            engine.compact()
    return Merges(pairs, heights, scans, monotone=False)
