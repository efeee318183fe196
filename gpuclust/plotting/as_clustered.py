"""Points as their metric sees them, for a scatter plot: columns weighted or standardised, rows of length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.core import metrics


@dataclass(frozen=True)
class View:
    """How points are changed before they are drawn.

    Attributes
    ----------
    change : callable
        Rows of points to as many rows, float64.
    note : str
        What that is, in words; empty if nothing is changed.
    columns : sequence of str or None
        Names of the columns.
    """

    change: Callable[[NDArray[Any]], NDArray[np.float64]]
    note: str = ""
    columns: Sequence[str] | None = None


def as_float(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The same points."""
    return np.asarray(rows, dtype=np.float64)


#: Points as they are.
AS_THEY_ARE = View(as_float)


def view_of(
    points: NDArray[Any],
    metric: str,
    p: float | None = None,
    weights: Sequence[float] | None = None,
    columns: Sequence[str] | None = None,
) -> View:
    """How points are seen by a metric.

    Euclidean distances of what is drawn are those that were clustered for euclidean (weighted too), seuclidean,
    mahalanobis, and, up to a monotone function, sqeuclidean, cosine and correlation. For cityblock and minkowski
    columns have the scale that they have there. For other metrics points are drawn as they are, without columns of
    weight 0.
    """
    known = metrics.resolve(metric, p)
    name = known.name if isinstance(known, metrics.Metric) else "euclidean"
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    if name in ("cosine", "correlation"):
        return View(_directions(name == "correlation", w), _DIRECTIONS[name] + _WEIGHTED * (w is not None), columns)
    if name == "mahalanobis":
        turn = _whitening(points)
        return View(lambda rows: as_float(rows) @ turn, "columns decorrelated", None)
    if name == "seuclidean":
        scale = 1 / np.sqrt(np.var(points, axis=0, ddof=1, dtype=np.float64))
        scale = scale if w is None else scale * np.sqrt(w)
        return View(
            lambda rows: as_float(rows) * scale, "columns standardised" + _WEIGHTED * (w is not None), columns
        )
    if w is None:
        return View(as_float, "", columns)
    if name in ("euclidean", "sqeuclidean"):
        scale = np.sqrt(w)
    elif name in ("cityblock", "minkowski"):
        scale = w ** (1 / (1.0 if name == "cityblock" else p or 2.0))
    else:
        scale = (w > 0).astype(np.float64)
    return View(lambda rows: as_float(rows) * scale, _WEIGHTED.removeprefix(", "), columns)


_WEIGHTED = ", columns weighted"
_DIRECTIONS = {"cosine": "rows scaled to length 1", "correlation": "rows centred and scaled to length 1"}


def _directions(centred: bool, w: NDArray[np.float64] | None) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Points of the unit sphere, whose distances order pairs as cosine, or correlation, does."""

    def change(rows: NDArray[Any]) -> NDArray[np.float64]:
        rows = as_float(rows)
        if centred:
            rows = rows - np.average(rows, axis=1, weights=w)[:, np.newaxis]
        if w is not None:
            rows = rows * np.sqrt(w)
        rows = rows / np.abs(rows).max(axis=1, keepdims=True)  # squares of very large or small numbers are none
        return np.asarray(rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True)))

    return change


def _whitening(points: NDArray[Any]) -> NDArray[np.float64]:
    """What points are multiplied with, so that Euclidean distances become Mahalanobis ones."""
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.sqrt(variances))
