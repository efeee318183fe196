"""Flat clusters: one cut of a tree, many cuts in one pass, and clustering of points in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpuclust.core import methods, metrics
from gpuclust.core.arguments import real_number, real_numbers, whole_number
from gpuclust.core.devices import check_output, to_output
from gpuclust.core.first_call import brief
from gpuclust.core.jit import compiled, run
from gpuclust.core.real_arrays import real_array, to_host
from gpuclust.errors import unknown_name
from gpuclust.hierarchy.inconsistent import inconsistency, largest_below, matched
from gpuclust.hierarchy.runs import label_runs, leaf_runs
from gpuclust.hierarchy.validity import as_linkage

_CRITERIA = ("inconsistent", "distance", "maxclust", "monocrit", "maxclust_monocrit")


def fcluster(
    Z: ArrayLike,
    t: float,
    criterion: str = "inconsistent",
    depth: int = 2,
    R: ArrayLike | None = None,
    monocrit: ArrayLike | None = None,
    *,
    min_size: int = 1,
    output: str = "numpy",
) -> np.ndarray:
    """Form flat clusters by cutting the tree of a linkage matrix.

    Parameters
    ----------
    Z : array_like of shape (n - 1, 4)
        Linkage matrix.
    t : float
        Threshold for the criteria 'inconsistent', 'distance' and 'monocrit'; for 'maxclust' and 'maxclust_monocrit'
        the largest number of clusters (>= 1; fractions are truncated).
    criterion : {'inconsistent', 'distance', 'maxclust', 'monocrit', 'maxclust_monocrit'}, optional
        A merge and everything below it become one flat cluster

        - 'inconsistent': if it and all merges below it have inconsistency coefficients <= ``t``;
        - 'distance': if it and all merges below it have heights <= ``t``, so that no two observations of a cluster
          have a cophenetic distance above ``t``;
        - 'maxclust': as 'distance', for the smallest height that leaves no more than ``t`` clusters;
        - 'monocrit': if ``monocrit[i] <= t`` for it (and it is not part of a larger cluster);
        - 'maxclust_monocrit': as 'monocrit', for a value of ``monocrit`` that leaves no more than ``t`` clusters:
          the smallest such value where ``monocrit`` does not decrease from row to row, otherwise the one that
          SciPy's bisection of the rows ends at.
    depth : int, optional
        Levels for the inconsistency coefficient, >= 0; no meaning for the other criteria.
    R : array_like of shape (n - 1, 4), optional
        Inconsistency matrix for 'inconsistent'; computed if not given.
    monocrit : array_like of shape (n - 1,), optional
        Statistic of each merge for the last two criteria. It should be monotonic: at least as large as
        that of every merge below.
    min_size : int, optional
        Clusters of fewer observations are left out: their observations get label 0, and only the other clusters
        are numbered. For 'maxclust' they count as clusters.
    output : {'numpy', 'cupy'}, optional
        Where to leave the result: 'cupy' for a CuPy array on the current device.

    Returns
    -------
    T : ndarray of shape (n,), int32
        The number of the flat cluster of each observation, 1, 2, ...; numbered as SciPy does.

    Raises
    ------
    TypeError
        ``Z``, ``R`` or ``monocrit`` does not hold numbers, or ``t``, ``depth`` or ``min_size`` is not one.
    ValueError
        ``Z`` or ``R`` is not valid, ``R`` or ``monocrit`` has another number of rows or is missing, ``t`` is NaN or
        (as a number of clusters) below 1, ``depth`` is not a whole number >= 0, ``min_size`` is below 1, or the
        criterion or ``output`` is unknown.
    BackendUnavailable
        CuPy is requested and not available.

    Notes
    -----
    O(n) time, whatever the depth of the tree ('maxclust': O(n log n) where rows are not in the order of heights).

    The rows of ``Z`` may come in any order in which children precede their parents. Where a merge is lower than one
    below it (an inversion, as centroid and median linkage have them) 'distance' and 'maxclust' go by the largest
    height within each cluster (`maxdists`), as SciPy's do. SciPy's 'maxclust' bisects the rows also where these
    heights do not increase along them, and may then leave fewer clusters than ``t`` allows.

    Examples
    --------
    >>> from gpuclust.hierarchy import fcluster, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> fcluster(Z, 3.0, "distance")
    array([1, 1, 2, 2], dtype=int32)
    >>> fcluster(Z, 3, "maxclust")
    array([1, 1, 2, 3], dtype=int32)
    """
    check_output(output)
    T = fcluster_many(Z, [real_number(t, "t")], criterion, depth, R, monocrit, min_size=min_size)[0]
    return to_output(T, output)


def fcluster_many(
    Z: ArrayLike,
    t: ArrayLike,
    criterion: str = "inconsistent",
    depth: int = 2,
    R: ArrayLike | None = None,
    monocrit: ArrayLike | None = None,
    *,
    min_size: int = 1,
) -> np.ndarray:
    """Cut a tree at many thresholds, or into many numbers of clusters, in one pass.

    Parameters
    ----------
    Z, criterion, depth, R, monocrit, min_size
        As for `fcluster`.
    t : array_like of shape (c,)
        Thresholds or numbers of clusters, in any order.

    Returns
    -------
    T : ndarray of shape (c, n), int32
        Row j is ``fcluster(Z, t[j], ...)``.

    Raises
    ------
    TypeError, ValueError
        As `fcluster`.

    Notes
    -----
    O(n) time for the common part, then O(n) for each cut, on all threads.

    Examples
    --------
    >>> from gpuclust.hierarchy import fcluster_many, linkage
    >>> Z = linkage([[0.0], [1.0], [5.0], [7.0]], "average")
    >>> fcluster_many(Z, [1.5, 3.0], "distance")
    array([[1, 1, 2, 3],
           [1, 1, 2, 2]], dtype=int32)
    """
    Z = as_linkage(Z)
    if not isinstance(criterion, str) or criterion not in _CRITERIA:
        raise ValueError(f"Invalid cluster formation criterion: {unknown_name('criterion', criterion, _CRITERIA)}")
    n = Z.shape[0] + 1
    min_size = min(whole_number(min_size, "min_size", 1, fraction=True), n + 1)
    depth = whole_number(depth, "depth", 0, fraction=True)
    wanted = real_numbers(t, "t")
    if wanted.ndim != 1:
        raise ValueError(f"t must be one-dimensional, got shape {wanted.shape}.")

    level = _levels(Z, criterion, depth, R, monocrit)
    order, barrier = leaf_runs(Z, level)
    thresholds = wanted
    if criterion.startswith("maxclust"):
        thresholds = _thresholds(level, barrier, wanted, criterion)

    T = np.empty((len(wanted), n), dtype=np.int32)
    labelled = brief(label_runs, 2 * n * len(wanted))
    run(
        lambda j: labelled(order, barrier, float(thresholds[j]), min_size, T[j]),
        ((j,) for j in range(len(wanted))),
    )
    if criterion.startswith("maxclust"):  # SciPy numbers the observations themselves, not their sequence
        T[wanted >= n] = np.arange(1, n + 1) if min_size == 1 else 0
    return T


def _levels(Z: np.ndarray, criterion: str, depth: int, R: ArrayLike | None, monocrit: ArrayLike | None) -> np.ndarray:
    """The value of each merge that the threshold is compared with, float64, shape (n - 1,)."""
    if criterion in ("distance", "maxclust"):
        return largest_below(Z, Z, 2)
    if criterion == "inconsistent":
        if R is not None:
            return largest_below(*matched(Z, R), 3)
        return largest_below(Z, inconsistency(Z, depth), 3)
    if monocrit is None:
        raise ValueError(f"criterion {criterion!r} needs monocrit, one number for each merge.")
    level = np.ascontiguousarray(to_host(real_array(monocrit, "monocrit", TypeError)), dtype=np.float64)
    if level.shape != (Z.shape[0],):
        raise ValueError(f"monocrit must have shape ({Z.shape[0]},), one number for each merge, got {level.shape}.")
    if criterion == "maxclust_monocrit" and np.isnan(level).any():
        raise ValueError(f"monocrit must not contain NaN (row {int(np.isnan(level).argmax())}).")
    return level


@compiled
def _search(level: np.ndarray, barriers: np.ndarray, wanted: np.ndarray, found: np.ndarray) -> None:
    """SciPy's search for each ``wanted``: bisect the rows of Z, as if ``level`` increased along them.

    A threshold leaves as many clusters as there are barriers above it, plus one (``barriers`` are sorted). Where
    ``level`` does not increase the row found is not always the best one, but it is the one that SciPy finds. The
    level of the root, in the last row, leaves one cluster, so there is always a row.
    """
    for j in range(wanted.shape[0]):
        below, enough = -1, level.shape[0]
        while enough - below > 1:
            middle = (below + enough) >> 1
            clusters = 1 + barriers.shape[0] - np.searchsorted(barriers, level[middle], side="right")
            if clusters > wanted[j]:
                below = middle
            else:
                enough = middle
        found[j] = level[enough]


def _thresholds(level: np.ndarray, barrier: np.ndarray, wanted: np.ndarray, criterion: str) -> np.ndarray:
    """The threshold for each wanted number of clusters."""
    if (wanted < 1).any():
        raise ValueError(f"t must be at least 1 for a maxclust criterion, got {wanted.min():g}.")
    increasing = (level[1:] >= level[:-1]).all()  # then the levels are the barriers, in order
    if criterion == "maxclust":  # largest heights never decrease from child to parent
        ordered = level if increasing else np.sort(level)
        return ordered[len(ordered) - np.minimum(np.floor(wanted), len(ordered)).astype(np.int64)]
    found = np.empty(len(wanted))
    _search(level, level if increasing else np.sort(barrier), np.floor(wanted), found)
    return found


def separating_height(Z: np.ndarray, criterion: str, threshold: float, clusters: int) -> float | None:
    """The height of the line that shows a cut, None if no height separates its clusters.

    For a cut by distance it is the threshold, for a number of clusters the mean of the heights of the last merge
    below and the first one above the cut. None for a cut by inconsistency, for one cluster, and for trees with
    inversions.
    """
    heights = Z[:, 2]
    if criterion == "distance":
        return threshold
    if criterion != "maxclust" or clusters < 2 or (np.diff(heights) < 0).any():
        return None
    above = float(heights[len(heights) - clusters + 1])
    below = float(heights[len(heights) - clusters]) if clusters <= len(heights) else 0.0
    return (above + below) / 2


def fclusterdata(
    X: ArrayLike,
    t: float,
    criterion: str = "inconsistent",
    metric: str | Callable[..., float] = "euclidean",
    depth: int = 2,
    method: str = "single",
    R: ArrayLike | None = None,
    *,
    min_size: int = 1,
    p: float | None = None,
    w: ArrayLike | None = None,
    V: ArrayLike | None = None,
    VI: ArrayLike | None = None,
) -> np.ndarray:
    """Cluster points and form flat clusters, in one call.

    Parameters
    ----------
    X : array_like of shape (n, m)
        n points with m features.
    t, criterion, depth, R, min_size
        As for `fcluster`.
    metric : str or callable, optional
        Metric between points, as for `gpuclust.distance.pdist`.
    method : str, optional
        Linkage method, as for `gpuclust.linkage`.
    p, w, V, VI : optional
        Arguments of the metric, as for `gpuclust.distance.pdist`.

    Returns
    -------
    T : ndarray of shape (n,), int32
        The number of the flat cluster of each point.

    Raises
    ------
    TypeError
        ``X`` is not two-dimensional, ``metric`` is neither a name nor callable, or as `fcluster`.
    ValueError
        As `gpuclust.linkage` and `fcluster`.

    Notes
    -----
    O(n²) time; memory as `gpuclust.linkage` needs it.

    Examples
    --------
    >>> from gpuclust.hierarchy import fclusterdata
    >>> fclusterdata([[0.0], [1.0], [5.0], [7.0]], 2, "maxclust")
    array([1, 1, 2, 2], dtype=int32)
    """
    from gpuclust.linkage import linkage

    rule = methods.resolve(method)
    points: Any = real_array(X, "X")
    if points.ndim != 2:
        raise TypeError(f"The observation matrix X must be an n by m array, got {points.ndim} dimensions.")
    arguments: dict[str, Any] = metrics.given(p=p, w=w, V=V, VI=VI)
    if rule.on_squares and (arguments or not (isinstance(metric, str) and metric == "euclidean")):
        # From points these methods mean Euclidean distance; this function, like SciPy's, takes any metric.
        from gpuclust.distance import pdist

        points, arguments = pdist(points, metric, **arguments), {}
    return fcluster(linkage(points, method, metric, **arguments), t, criterion, depth, R, min_size=min_size)
