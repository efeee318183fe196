"""The table of algorithms. A new one is a file with an `Algorithm` and a line here. Light to import."""

from __future__ import annotations

from typing import NamedTuple

from gpuclust.algorithms.base import Algorithm, Problem
from gpuclust.algorithms.cluster_tree import ClusterTree
from gpuclust.algorithms.generic import Generic, StoredGeneric
from gpuclust.algorithms.spanning_tree import SpanningTree, StoredSpanningTree
from gpuclust.algorithms.stored import Hybrid, Stored, StoredAllPairs
from gpuclust.algorithms.summaries import Summaries
from gpuclust.core.device import CPU, Device
from gpuclust.errors import unknown_name

#: Every algorithm by its name.
ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        SpanningTree(),
        StoredSpanningTree(),
        Summaries(),
        Stored(),
        StoredAllPairs(),
        ClusterTree(),
        Hybrid(),
        Generic(),
        StoredGeneric(),
    )
}
#: The name with which a caller leaves the choice to the plan.
AUTO = "auto"


class Option(NamedTuple):
    """An algorithm that applies, and the reason to choose it."""

    algorithm: Algorithm
    reason: str


def options(problem: Problem, asked: str = AUTO, device: Device = CPU) -> list[Option]:
    """The algorithms that apply to a problem, the fastest first; if one is ``asked`` for, only that one.

    If no two dissimilarities are equal, all give the same tree.

    Raises
    ------
    ValueError
        If there is no such algorithm, or it does not apply.
    """
    known = [algorithm for algorithm in ALGORITHMS.values() if algorithm.applies(problem)]
    known.sort(key=lambda algorithm: algorithm.rank(problem, device))
    if isinstance(asked, str) and asked == AUTO:
        return [Option(algorithm, algorithm.reason(problem)) for algorithm in known]
    if not isinstance(asked, str) or asked not in ALGORITHMS:
        raise unknown_name("algorithm", asked, (AUTO, *ALGORITHMS))
    if ALGORITHMS[asked] not in known:
        what = "condensed dissimilarities" if problem.condensed else f"points ({problem.metric})"
        allowed = ", ".join(repr(name) for name in (AUTO, *(algorithm.name for algorithm in known)))
        raise ValueError(f"{problem.method.name} linkage of {what} has no algorithm {asked!r}. Allowed: {allowed}.")
    return [Option(ALGORITHMS[asked], "It was asked for.")]
