"""Which algorithms compute a linkage exactly, the best first, and why. A new one is made known to the plan here."""

from __future__ import annotations

from typing import NamedTuple

from gpuclust import methods, metrics
from gpuclust.errors import unknown_name
from gpuclust.sizes import FUSED, TREE_FEATURES

#: Single linkage of so few points is done from a condensed matrix: no pass over them costs less than one merge.
SMALL = 512
#: Centroids of more features cost more to compare than a row of a stored matrix costs to update.
WIDE = 96

#: With no more features, bounds leave few clusters to look at. Measured at 20,000 points: with 2 to 5 features twice
#: as fast as a matrix (on heavy-tailed ones 1.3 times), with 6 the same, and half as fast on heavy-tailed ones.
FEW_FEATURES = 5

#: Every algorithm, by the name that a plan gives it and a caller may ask for.
ALGORITHMS = (
    "spanning tree",
    "spanning tree, stored",
    "summaries",
    "stored",
    "stored, all pairs",
    "cluster tree",
    "hybrid",
    "generic",
    "generic, stored",
)
#: What a caller says who leaves it to the plan.
AUTO = "auto"


class Option(NamedTuple):
    """An algorithm that would do, and why it is taken where it is."""

    algorithm: str
    reason: str


def options(
    n: int, m: int | None, method: methods.Method, metric: str, asked: str = AUTO, card: bool = False
) -> list[Option]:
    """The algorithms for a linkage of ``n`` points of ``m`` features (None: condensed dissimilarities).

    The first is the fastest where there is memory enough. Where no two dissimilarities are equal
    all give the same tree. If one is ``asked`` for, only that.

    Raises
    ------
    ValueError
        If there is no such algorithm, or it is not for this linkage and input.
    """
    known = _of_condensed(method) if m is None else _of_points(n, m, method, metric, card)
    if isinstance(asked, str) and asked == AUTO:
        return known
    if not isinstance(asked, str) or asked not in ALGORITHMS:
        raise unknown_name("algorithm", asked, (AUTO, *ALGORITHMS))
    chosen = [Option(asked, "It was asked for.") for option in known if option.algorithm == asked]
    if not chosen:
        what = "condensed dissimilarities" if m is None else f"points ({metric})"
        allowed = ", ".join(repr(name) for name in (AUTO, *(option.algorithm for option in known)))
        raise ValueError(f"{method.name} linkage of {what} has no algorithm {asked!r}. Allowed: {allowed}.")
    return chosen


def _of_condensed(method: methods.Method) -> list[Option]:
    if method.name == "single":
        return [Option("spanning tree", "Single linkage is the minimum spanning tree: no matrix is stored.")]
    if method.reducible:
        return [Option("stored", "Rounds of reciprocal nearest neighbours on half a matrix.")]
    return [Option("generic, stored", "One merge a step over lower bounds on half a matrix: there are no points.")]


def _of_points(n: int, m: int, method: methods.Method, metric: str, card: bool) -> list[Option]:
    if method.name == "single":
        how = " A kd-tree finds it on the CPU if a search of some points shows that its boxes prune."
        trees = m <= TREE_FEATURES and metrics.bounded_by_boxes(metric)
        reason = "Single linkage is the minimum spanning tree: no matrix is stored."
        tree = Option("spanning tree", reason + how if trees else reason)
        matrix = Option("spanning tree, stored", "So few points: the minimum spanning tree of all their distances.")
        return [matrix, tree] if n <= SMALL else [tree, matrix]
    if not method.reducible:
        slim = Option(
            "generic", "One merge a step over lower bounds; distances come from centroids: no matrix is stored."
        )
        wide = f"with {m} features a row of it is cheaper than centroids"
        matrix = Option("generic, stored", f"One merge a step over lower bounds on half a matrix: {wide}.")
        return [slim, matrix] if m <= WIDE else [matrix, slim]
    stored = Option("stored", "Rounds of reciprocal nearest neighbours on half a matrix.")
    if method.geometric is not None:
        reason = "Rounds of reciprocal nearest neighbours on sizes and centroids: no matrix is stored."
        return [Option("summaries", reason), stored]
    hybrid = Option("hybrid", "Rounds from points until half a matrix of the clusters that are left fits.")
    if method.scatter is None or metric not in metrics.SQUARED:
        if metrics.is_heavy(metric):
            dear = f"{metric} distances are dear, so each is computed once: half a matrix of all points."
            return [Option("stored, all pairs", dear), stored, hybrid]
        if m > FEW_FEATURES or not metrics.is_convex(metric):
            return [stored, hybrid]
        reason = f"With {m} features bounds leave few clusters to search: a matrix of the last ones only is stored."
        tree = Option("cluster tree", reason)
        # A card is quicker with a matrix. Means of pairs are rounded in another way than updates of a matrix, though,
        # and a device must not decide about bits.
        matrix_first = n <= FUSED or (card and method.pairs == "largest")
        return [stored, hybrid, tree] if matrix_first else [tree, stored, hybrid]
    reason = "Rounds of reciprocal nearest neighbours on sizes, centroids and scatter: no matrix is stored."
    summaries = Option("summaries", reason)
    return [summaries, stored, hybrid] if m <= WIDE else [stored, summaries, hybrid]
