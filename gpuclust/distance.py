"""Distances between points: the functions of ``scipy.spatial.distance`` that work on whole sets of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import combinations
from typing import Any

import numpy as np

from gpuclust import metrics
from gpuclust.backends import select
from gpuclust.condensed import is_valid_dm, is_valid_y, num_obs_dm, num_obs_y, result_array, squareform
from gpuclust.points import check_points

__all__ = ["cdist", "is_valid_dm", "is_valid_y", "num_obs_dm", "num_obs_y", "pdist", "squareform"]

Array = np.ndarray


def pdist(
    X: Any,
    metric: str | Callable[..., float] = "euclidean",
    *,
    out: Array | None = None,
    device: str = "auto",
    dtype: Any = None,
    **kwargs: Any,
) -> Array:
    """Distances of all pairs of points, as `scipy.spatial.distance.pdist` gives them.

    Parameters
    ----------
    X : (n, m) array_like
        Points: real numbers or booleans.
    metric : str or callable
        A name (`gpuclust.metrics.METRICS` lists them), or a function of two points, which is called n (n - 1) / 2
        times and is therefore slow.
    out : (n (n - 1) / 2,) ndarray, optional
        Where to put the result: C-contiguous, of the type of the result.
    device : {"auto", "cpu"}
        Where to compute.
    dtype : {"float64", "float32"}, optional
        What to compute in, and the type of the result; float64 if not given, whatever the type of X.
    **kwargs
        p, Minkowski's exponent (2 if not given); w, (m,) weights of the features; V, (m,) variances for seuclidean;
        VI, (m, m) inverse covariance for mahalanobis (both the points' own if not given). For a callable, whatever
        it takes.

    Returns
    -------
    (n (n - 1) / 2,) ndarray
        Condensed distances. For euclidean, sqeuclidean, cityblock and chebyshev without weights the bits are
        SciPy's, for the others they agree to about 1e-12.

    Raises
    ------
    ValueError
        For points, a metric, a parameter or an ``out`` that cannot be used.
    TypeError
        For a parameter that the metric does not take.
    DoesNotFit
        If the result is larger than the memory that is available.
    BackendUnavailable
        If the device cannot be used.

    Notes
    -----
    O(n² m) time, on all processors.
    """
    kernels, dtype = _kernels(device), dtype or "float64"
    points = check_points(X, "X", not callable(metric))
    pairs = len(points) * (len(points) - 1) // 2
    if callable(metric):
        (points,), kwargs = _for_function(metric, kwargs, points)
        result = result_array((pairs,), dtype, out, "pdist")
        for k, (x, y) in enumerate(combinations(points, 2)):
            result[k] = metric(x, y, **kwargs)
        return result
    ready = metrics.prepare(points, metric, dtype=dtype, **_table_arguments(kwargs))
    result = result_array((pairs,), dtype, out, "pdist")
    return kernels.condensed(ready, result)


def cdist(
    XA: Any,
    XB: Any,
    metric: str | Callable[..., float] = "euclidean",
    *,
    out: Array | None = None,
    device: str = "auto",
    dtype: Any = None,
    **kwargs: Any,
) -> Array:
    """Distances of every point of one set to every point of another, as `scipy.spatial.distance.cdist` gives them.

    Parameters
    ----------
    XA, XB : (nA, m) and (nB, m) array_like
        Points: real numbers or booleans.
    metric, out, device, dtype, **kwargs
        As for `pdist`; ``out`` has shape (nA, nB), V and VI default to those of all points together.

    Returns
    -------
    (nA, nB) ndarray

    Raises
    ------
    ValueError, TypeError, DoesNotFit, BackendUnavailable
        As for `pdist`, and ``ValueError`` if XA and XB differ in their number of features.

    Notes
    -----
    O(nA nB m) time, on all processors.
    """
    kernels, dtype = _kernels(device), dtype or "float64"
    A, B = (check_points(X, name, not callable(metric)) for X, name in ((XA, "XA"), (XB, "XB")))
    if A.shape[1] != B.shape[1]:
        raise ValueError(
            "XA and XB must have the same number of columns (i.e. feature dimension), "
            f"got {A.shape[1]} and {B.shape[1]}."
        )
    shape = (len(A), len(B))
    if callable(metric):
        (A, B), kwargs = _for_function(metric, kwargs, A, B)
        result = result_array(shape, dtype, out, "cdist")
        for i, x in enumerate(A):
            for j, y in enumerate(B):
                result[i, j] = metric(x, y, **kwargs)
        return result
    a, b = metrics.prepare_pair(A, B, metric, dtype=dtype, **_table_arguments(kwargs))
    result = result_array(shape, dtype, out, "cdist")
    return kernels.pairwise(a, b, result)


def _kernels(device: str) -> Any:
    return import_module(f"gpuclust.kernels.{select(device).name}.pairwise")


def _table_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in kwargs:
        if name not in ("p", "w", "V", "VI"):
            raise TypeError(f"unknown parameter {name!r}: metrics take p, w, V or VI.")
    return kwargs


def _for_function(
    function: Callable[..., float], kwargs: dict[str, Any], *sets: Array
) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Points and arguments for a Python function.

    One that bears the name of a metric (SciPy's ``seuclidean``, say) gets what that metric would: booleans or
    float64, and the V or VI of the points.
    """
    given = {name: value for name, value in kwargs.items() if value is not None}
    metric = metrics.BY_ALIAS.get(getattr(function, "__name__", ""))
    if metric is None:
        return sets, given
    sets = tuple(np.ascontiguousarray(X, bool if metric.boolean else np.float64) for X in sets)
    return sets, metrics.complete(metric, np.concatenate(sets), given)
