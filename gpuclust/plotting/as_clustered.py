"""Transformations of points for scatter plots that correspond to their metric: scaled columns, rows of length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.core import metrics
from gpuclust.core.metric_rows import ranked
from gpuclust.core.points import Parameters
from gpuclust.plotting.embedding import embedded


@dataclass(frozen=True)
class View:
    """Transformation of points before they are drawn.

    Attributes
    ----------
    change : callable
        Rows of points to as many rows, float64.
    note : str
        Description of the transformation; empty if it is the identity.
    columns : sequence of str or None
        Names of the columns.
    """

    change: Callable[[NDArray[Any]], NDArray[np.float64]]
    note: str = ""
    columns: Sequence[str] | None = None


def as_float(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The points in float64, untransformed."""
    return np.asarray(rows, dtype=np.float64)


#: The identity.
AS_THEY_ARE = View(as_float)


def view_of(
    points: NDArray[Any],
    metric: str,
    p: float | None = None,
    weights: Sequence[float] | None = None,
    columns: Sequence[str] | None = None,
) -> View:
    """The transformation that corresponds to a metric.

    Euclidean distances in the plot are the clustered ones for euclidean (weighted too), seuclidean, mahalanobis, and,
    up to a monotone function, sqeuclidean, cosine, correlation and spearman. Haversine is drawn as a map. For
    cityblock and minkowski columns are scaled as in the metric. For other metrics points are not transformed, but
    columns of weight 0 are omitted.
    """
    known = metrics.resolve(metric, p)
    name = known.name if isinstance(known, metrics.Metric) else "euclidean"
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    if name in ("cosine", "correlation"):
        return View(_directions(name == "correlation", w), _DIRECTIONS[name] + _WEIGHTED * (w is not None), columns)
    if name == "spearman":
        unit = _directions(True, None)
        return View(lambda rows: unit(ranked(as_float(rows), Parameters())[0]), "ranks within each row", None)
    if name.startswith("haversine"):
        names = None if columns is None else [columns[1], columns[0]]
        return View(lambda rows: as_float(rows)[:, ::-1], "longitude and latitude", names)
    if name == "nan_euclidean":
        means = np.nan_to_num(np.nanmean(as_float(points), axis=0))
        fill = "missing values at the mean of their column"
        return View(lambda rows: np.where(np.isnan(as_float(rows)), means, as_float(rows)), fill, columns)
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


def view_of_distances(condensed: NDArray[Any]) -> tuple[NDArray[np.float64], View]:
    """Points in the plane for condensed distances, and their view with the names of the axes."""
    points, shares = embedded(condensed)
    names = [f"scaling axis {i} ({share:.0%})" for i, share in enumerate(shares, start=1)]
    return points, View(as_float, "multidimensional scaling of the distances", names)


_WEIGHTED = ", columns weighted"
_DIRECTIONS = {"cosine": "rows scaled to length 1", "correlation": "rows centred and scaled to length 1"}


def _directions(centred: bool, w: NDArray[np.float64] | None) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Projection to the unit sphere, where Euclidean distances have the order of cosine or correlation."""

    def change(rows: NDArray[Any]) -> NDArray[np.float64]:
        rows = as_float(rows)
        if centred:
            rows = rows - np.average(rows, axis=1, weights=w)[:, np.newaxis]
        if w is not None:
            rows = rows * np.sqrt(w)
        rows = rows / np.abs(rows).max(
            axis=1, keepdims=True
        )  # squares of very large or small numbers over- or underflow
        return np.asarray(rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True)))

    return change


def _whitening(points: NDArray[Any]) -> NDArray[np.float64]:
    """The matrix after multiplication with which Euclidean distances are Mahalanobis distances."""
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.sqrt(variances))
