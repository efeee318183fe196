"""How far a tree is to be trusted: cophenetic correlation on a sample, and suggested numbers of clusters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.distance import pdist
from gpuclust.hierarchy.leaf_tree import LeafTree
from gpuclust.hierarchy.suggest import suggest_k
from gpuclust.hierarchy.validity import as_linkage

#: Observations that figures are estimated from, at most, and the largest number of clusters that is considered.
SAMPLE, MOST_CLUSTERS = 1000, 10


def assess(
    Z: NDArray[np.float64],
    points: NDArray[Any] | None,
    condensed: NDArray[Any] | None,
    metric: str,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    """What a report says of a tree.

    Parameters
    ----------
    Z : ndarray of float64, shape (n - 1, 4)
    points, condensed : ndarray, shape (n, m), or (n (n - 1) / 2,), the other one None
    metric : str
    arguments : dict
        The metric's own: p, w.

    Returns
    -------
    dict
        ``cophenetic_correlation`` (None where distances do not vary), ``sample`` (observations that it is estimated
        from), ``suggestions``: a list of ``method``, ``k``, ``score`` and ``caveat``.

    Notes
    -----
    O(n) for the suggestions, O(s² m) for a sample of s = 1,000 at most.
    """
    n = len(Z) + 1
    chosen = np.arange(n)
    if n > SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))
    if points is not None:
        given = pdist(np.asarray(points[chosen]), metric, device="cpu", **arguments)
    else:
        assert condensed is not None
        given = _among(condensed, chosen, n)
    known = points if points is not None and not arguments else None  # the silhouette takes no arguments of metrics
    suggestions = suggest_k(Z, known, MOST_CLUSTERS, metric=metric, sample=SAMPLE)
    return {
        "cophenetic_correlation": _correlation(given, cophenetic_among(Z, chosen)),
        "sample": len(chosen),
        "suggestions": [asdict(suggestion) for suggestion in suggestions.values()],
    }


def cophenetic_among(Z: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cophenetic distances of some observations, condensed, in the order given; O(n + s²)."""
    tree = LeafTree(as_linkage(Z))
    order = np.argsort(tree.start[chosen])
    positions = tree.start[chosen][order]
    s = len(chosen)
    if s < 2:
        return np.empty(0)
    # The latest merge between neighbours of the sample, and from there between all: running maxima.
    between = np.maximum.reduceat(tree.gap, positions[:-1])
    if positions[-1] < tree.n - 1:  # the last range ends at the last leaf of the sample, not of the tree
        between[-1] = tree.gap[positions[-2] : positions[-1]].max()
    latest = np.zeros((s, s), dtype=np.int64)
    for row in range(s - 1):
        merges = np.maximum.accumulate(between[row:])
        latest[order[row], order[row + 1 :]] = merges
        latest[order[row + 1 :], order[row]] = merges
    return tree.height[latest[np.triu_indices(s, 1)]]


def _among(condensed: NDArray[Any], chosen: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """The dissimilarities of some of n observations."""
    first, second = np.triu_indices(len(chosen), 1)
    i, j = chosen[first], chosen[second]
    return np.asarray(condensed[n * i - i * (i + 1) // 2 + j - i - 1], dtype=np.float64)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if np.isfinite(scale) and scale > 0 else None
