"""Quality of a hierarchical clustering: cophenetic correlation on a sample, and suggested numbers of clusters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.distance import pdist
from gpuclust.hierarchy.leaf_tree import LeafTree
from gpuclust.hierarchy.suggest import suggest_k
from gpuclust.hierarchy.validity import as_linkage

#: Largest number of observations in a sample, and largest number of clusters that is considered.
SAMPLE, MOST_CLUSTERS = 1000, 10


def assess(
    Z: NDArray[np.float64],
    points: NDArray[Any] | None,
    condensed: NDArray[Any] | None,
    metric: str,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    """Assess a tree.

    Parameters
    ----------
    Z : ndarray of shape (n - 1, 4)
    points : ndarray of shape (n, m) or None
    condensed : ndarray of shape (n (n - 1) / 2,) or None
        Condensed dissimilarities, if there are no points.
    metric : str
    arguments : dict
        Arguments of the metric: p, w.

    Returns
    -------
    dict
        ``cophenetic_correlation`` (None if all distances are equal), ``sample`` (number of observations that it is
        estimated from), ``suggestions``: a list of ``method``, ``k``, ``score`` and ``caveat``.

    Notes
    -----
    O(n) time for the suggestions, O(s² m) for the correlation on a sample of s <= 1,000 observations.
    """
    n = len(Z) + 1
    chosen: np.ndarray = np.arange(n)
    if n > SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))
    given = distances_among(points if condensed is None else condensed, chosen, metric, arguments)
    known = points if points is not None and not arguments else None  # the silhouette takes no p and w
    suggestions = suggest_k(Z, known, MOST_CLUSTERS, metric=metric, sample=SAMPLE)
    return {
        "cophenetic_correlation": _correlation(given, cophenetic_among(Z, chosen)),
        "sample": len(chosen),
        "suggestions": [asdict(suggestion) for suggestion in suggestions.values()],
    }


def distances_among(
    values: NDArray[Any] | None, chosen: NDArray[np.int64], metric: str, arguments: dict[str, Any]
) -> NDArray[np.float64]:
    """Return the condensed distances of chosen observations, of points (n, m) or condensed distances."""
    assert values is not None
    if values.ndim == 2:
        return pdist(np.asarray(values[chosen]), metric, device="cpu", **arguments)
    return _among(values, chosen, int((1 + np.sqrt(1 + 8 * values.size)) / 2))


def cophenetic_among(Z: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the condensed cophenetic distances of s chosen observations in O(n + s²) time."""
    tree = LeafTree(as_linkage(Z))
    order = np.argsort(tree.start[chosen])
    positions = tree.start[chosen][order]
    s = len(chosen)
    if s < 2:
        return np.empty(0)
    # The last merge between sample neighbours in leaf order; between any two it is the maximum of those in between.
    between = np.maximum.reduceat(tree.gap, positions[:-1])
    if positions[-1] < tree.n - 1:  # the last range ends at the sample's last leaf
        between[-1] = tree.gap[positions[-2] : positions[-1]].max()
    latest = np.zeros((s, s), dtype=np.int64)
    for row in range(s - 1):
        merges = np.maximum.accumulate(between[row:])
        latest[order[row], order[row + 1 :]] = merges
        latest[order[row + 1 :], order[row]] = merges
    return tree.height[latest[np.triu_indices(s, 1)]]


def _among(condensed: NDArray[Any], chosen: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return the condensed dissimilarities of chosen ones of n observations."""
    first, second = np.triu_indices(len(chosen), 1)
    i, j = chosen[first], chosen[second]
    return np.asarray(condensed[n * i - i * (i + 1) // 2 + j - i - 1], dtype=np.float64)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / scale if np.isfinite(scale) and scale > 0 else None
