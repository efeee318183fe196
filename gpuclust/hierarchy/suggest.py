"""Suggested numbers of clusters by four methods, each with a caveat.

No method finds the number of clusters of every data set. Look at the dendrogram and, where methods disagree, at the
data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core.arguments import whole_number
from gpuclust.core.real_arrays import real_array
from gpuclust.hierarchy.cut import fcluster_many
from gpuclust.hierarchy.inconsistent import inconsistency, largest_below
from gpuclust.hierarchy.validity import as_linkage

_DEPTH = 5  # levels that the inconsistency method compares
FEWEST_MERGES = 3  # a second difference takes three heights
#: Differences of heights below the first, relative to the largest height, are rounding errors, as are standard
#: deviations below the second, which are roots of differences of sums.
_ROUNDING, _SPREAD = 1e-9, 1e-6

CAVEATS = {
    "acceleration": (
        "An elbow needs a point on either side, so the answer is never one cluster; and consecutive merges may lie "
        "in different branches of the tree, so jumps of clusters with different variances are mixed up."
    ),
    "inconsistency": (
        f"The coefficients depend strongly on the depth (here {_DEPTH}), and they treat heights, which grow by "
        "nature, as if they were normally distributed."
    ),
    "largest gap": (
        "Only the widest range of heights without a merge counts; where clusters have different spreads, no single "
        "height separates them all, and the last merges win merely by being large."
    ),
    "silhouette": (
        "It favours compact, equally wide, convex clusters, cannot judge one cluster, and is estimated from a sample."
    ),
}


class Acceleration(NamedTuple):
    """The elbow of the last merges.

    Attributes
    ----------
    counts : ndarray of shape (l,), int64
        1, 2, ...: clusters that are left after each merge, the last merge first.
    heights : ndarray of shape (l,), float64
        Their heights.
    rates : ndarray of shape (l - 2,), float64
        Second differences of the heights; ``rates[j]`` belongs to ``counts[j] + 1``.
    k : int
        The number of clusters with the largest rate.

    Examples
    --------
    >>> from gpuclust.hierarchy import acceleration, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> acceleration(Z).heights
    array([5.5, 2. , 1. ])
    """

    counts: np.ndarray
    heights: np.ndarray
    rates: np.ndarray
    k: int


@dataclass(frozen=True)
class Suggestion:
    """A number of clusters that one method suggests.

    Attributes
    ----------
    method : str
        "acceleration", "inconsistency", "largest gap" or "silhouette".
    k : int
        Number of clusters.
    score : float
        The criterion, which is largest for this k: a second difference of heights, an inconsistency coefficient, a
        difference of heights, or a mean silhouette.
    caveat : str
        A reason why the suggestion may be wrong.

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, suggest_k
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> suggestion = suggest_k(Z)["acceleration"]
    >>> suggestion.method, suggestion.k
    ('acceleration', 2)
    """

    method: str
    k: int
    score: float
    caveat: str


def acceleration(Z: ArrayLike, last: int = 10) -> Acceleration:
    """The "elbow": where the heights of the last merges have their largest second difference.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    last : int, optional
        How many merges to look at, at least 3; all of them if there are fewer. The last ones are the highest,
        whatever the order of the rows of ``Z``.

    Returns
    -------
    Acceleration
        ``(counts, heights, rates, k)``, the last merge first; 2 <= k < ``last``.

    Raises
    ------
    TypeError
        ``Z`` does not hold numbers, or ``last`` is not a whole number.
    ValueError
        ``Z`` is not a valid linkage matrix or has fewer than 3 merges, or ``last`` is below 3.

    Notes
    -----
    O(n) time, O(n log n) where the rows of ``Z`` are not in the order of heights.

    Examples
    --------
    >>> from gpuclust.hierarchy import acceleration, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> elbow = acceleration(Z)
    >>> elbow.k
    2
    >>> elbow.rates
    array([2.5])
    """
    Z = as_linkage(Z)
    last = whole_number(last, "last", FEWEST_MERGES)  # to have a second difference
    if len(Z) < FEWEST_MERGES:
        raise ValueError(f"An elbow takes at least {FEWEST_MERGES} merges, but Z has {len(Z)}.")
    heights = Z[_by_height(Z)[-last:], 2][::-1].copy()
    rates = np.diff(heights, 2)
    return Acceleration(np.arange(1, len(heights) + 1), heights, rates, int(rates.argmax()) + 2)


def _by_height(Z: np.ndarray) -> np.ndarray:
    """The merges by the largest height in each cluster, ties by row."""
    levels = largest_below(Z, Z, 2)
    return np.arange(len(Z)) if (levels[1:] >= levels[:-1]).all() else np.argsort(levels, kind="stable")


def suggest_k(
    Z: ArrayLike,
    X: ArrayLike | None = None,
    max_k: int = 10,
    *,
    metric: str | Callable[..., float] = "euclidean",
    sample: int = 1000,
    seed: int = 0,
) -> dict[str, Suggestion]:
    """Suggest numbers of clusters between 2 and ``max_k`` by several methods, which may disagree.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    X : array_like of shape (n, m), optional
        The points; with them the silhouette is tried too.
    max_k : int, optional
        The largest number of clusters considered, at least 2.
    metric : str or callable, optional
        Metric between points, for the silhouette.
    sample : int, optional
        How many points the silhouette is estimated from, at least 2.
    seed : int, optional
        Seed for drawing them.

    Returns
    -------
    dict of str to Suggestion
        By method:

        - "acceleration": the largest second difference of heights (see `acceleration`);
        - "inconsistency": the clusters before the merge with the largest inconsistency coefficient, of depth 5;
        - "largest gap": the clusters at the widest range of heights, between two merges, without a merge;
        - "silhouette": the largest mean silhouette of the sampled points [1]_.

        A method that does not apply (too few merges, heights all equal up to rounding, no ``X``) is absent.

    Raises
    ------
    TypeError
        ``Z`` does not hold numbers, or ``max_k``, ``sample`` or ``seed`` is not a whole number.
    ValueError
        ``Z`` is not a valid linkage matrix, ``X`` is not n points, ``max_k`` or ``sample`` is below 2, or ``seed`` is
        negative.

    Notes
    -----
    O(n) time, for the silhouette O(n max_k + sample² (m + max_k²)).

    References
    ----------
    .. [1] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis",
       Journal of Computational and Applied Mathematics 20 (1987).

    Examples
    --------
    >>> from gpuclust.hierarchy import linkage, suggest_k
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> found = suggest_k(Z)
    >>> found["largest gap"].k
    2
    """
    Z = as_linkage(Z)
    max_k, sample = whole_number(max_k, "max_k", 2), whole_number(sample, "sample", 2)
    seed = whole_number(seed, "seed", 0)
    n = len(Z) + 1
    most = min(max_k, n)
    found: dict[str, tuple[int, float]] = {}
    if len(Z) >= FEWEST_MERGES:
        elbow = acceleration(Z, last=max(max_k + 1, FEWEST_MERGES))
        found["acceleration"] = elbow.k, elbow.rates[elbow.k - 2]

    # The merges after which 1, 2, ... most - 1 clusters are left.
    R = inconsistency(Z, _DEPTH)[_by_height(Z)[::-1][: most - 1]]
    highest = Z[:, 2].max()
    coefficients = np.where(R[:, 1] > _SPREAD * highest, R[:, 3], 0.0)
    found["inconsistency"] = int(coefficients.argmax()) + 2, coefficients.max()
    gaps = np.diff(np.sort(largest_below(Z, Z, 2)))[::-1][: most - 1]  # none below the first merge: n clusters
    if len(gaps):
        found["largest gap"] = int(gaps.argmax()) + 2, gaps.max()
    noise = _ROUNDING * highest
    least = {"acceleration": noise, "largest gap": noise, "inconsistency": 0.0, "silhouette": -np.inf}
    if X is not None:
        best = _best_silhouette(Z, real_array(X, "X"), most, metric, sample, seed)
        if best is not None:
            found["silhouette"] = best

    return {
        method: Suggestion(method, k, float(score), CAVEATS[method])
        for method, (k, score) in found.items()
        if score > least[method]
    }


def _best_silhouette(
    Z: np.ndarray, X: np.ndarray, most: int, metric: str | Callable[..., float], sample: int, seed: int
) -> tuple[int, float] | None:
    """The number of clusters with the largest mean silhouette on a sample, and that mean."""
    from gpuclust.distance import cdist

    n = len(Z) + 1
    if X.ndim != 2 or len(X) != n:
        raise ValueError(f"X must hold the {n} points of Z, got shape {X.shape}.")
    chosen: np.ndarray = np.arange(n)
    if sample < n:
        chosen = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    distances = cdist(X[chosen], X[chosen], metric)
    best = None
    for labels in fcluster_many(Z, np.arange(2, most + 1), "maxclust"):
        mean = _silhouette(distances, labels[chosen])
        if mean is not None and (best is None or mean > best[1]):
            best = int(labels.max()), mean
    return best


def _silhouette(distances: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean silhouette of points with labels; None if they are all alike, or all different, or a distance is NaN.

    For a point with mean distance a to the others of its cluster, and b to the nearest other cluster, it is
    (b - a) / max(a, b); 0 if it is alone or both are 0.
    """
    names, own = np.unique(labels, return_inverse=True)
    points = np.arange(len(labels))
    if not 1 < len(names) < len(labels):
        return None
    member = np.zeros((len(labels), len(names)))
    member[points, own] = 1.0
    count = member.sum(axis=0)
    total = distances @ member
    within = total[points, own] / np.maximum(count[own] - 1, 1)
    mean = total / count
    mean[points, own] = np.inf
    between = mean.min(axis=1)
    larger = np.maximum(within, between)
    score = np.where((count[own] > 1) & (larger > 0), (between - within) / np.where(larger > 0, larger, 1.0), 0.0)
    return None if np.isnan(score).any() else float(score.mean())
