"""Distances between points: the functions of ``scipy.spatial.distance`` that work on whole sets of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from gpuclust.algorithms import costs
from gpuclust.core import metrics, preparation
from gpuclust.core.backend import Backend
from gpuclust.core.bits import words_of
from gpuclust.core.device import Device
from gpuclust.core.devices import check_output, to_output
from gpuclust.core.first_call import backend_for
from gpuclust.core.memory import format_bytes, result_array
from gpuclust.core.observations import holder, place, to_host
from gpuclust.core.points import check_points
from gpuclust.core.preparation import for_function, table_arguments
from gpuclust.core.real_arrays import real_array
from gpuclust.core.text import documented
from gpuclust.distance.condensed import is_valid_dm, is_valid_y, num_obs_dm, num_obs_y, squareform
from gpuclust.distance.neighbors import nearest_neighbors as nearest_neighbors
from gpuclust.errors import DoesNotFit
from gpuclust.plan import working_type

__all__ = [
    "cdist",
    "is_valid_dm",
    "is_valid_y",
    "nearest_neighbors",
    "num_obs_dm",
    "num_obs_y",
    "pdist",
    "squareform",
]

Array = np.ndarray


@documented(formulas=metrics.FORMULAS)
def pdist(
    X: Any,
    metric: str | Callable[..., float] = "euclidean",
    *,
    out: Array | None = None,
    device: str = "auto",
    dtype: Any = None,
    output: str = "numpy",
    **kwargs: Any,
) -> Array:
    """Distances of all pairs of points, as `scipy.spatial.distance.pdist` gives them.

    Parameters
    ----------
    X : array_like of shape (n, m)
        Points: real numbers or booleans. Also on a CUDA device, as for `gpuclust.linkage`.
    metric : str or callable
        A name (`gpuclust.core.metrics.METRICS` lists them), or a function of two points, which is called n (n - 1) /
        2 times and is therefore slow.
    out : ndarray of shape (n (n - 1) / 2,), optional
        Where to put the result: C-contiguous, of the type of the result.
    device : {"auto", "cuda", "cuda:1", ..., "cpu"}
        Device of the computation; "auto" uses a GPU if one is available and faster.
    dtype : {"float64", "float32"}, optional
        Type of the computation, and of the result; float64 if not given, whatever the type of X.
    output : {"numpy", "cupy"}
        Where to leave the result: "cupy" for a CuPy array on the device.
    **kwargs
        p, Minkowski's exponent (2 if not given); w, (m,) weights of the features; V, (m,) variances for seuclidean;
        VI, (m, m) inverse covariance for mahalanobis (both the points' own if not given); packed, the number of
        features m if rows are packed bits (see Notes). For a callable, whatever it takes.

    Returns
    -------
    ndarray of shape (n (n - 1) / 2,)
        Condensed distances. For euclidean, sqeuclidean, cityblock and chebyshev without weights the bits are
        SciPy's, for the others they agree to about 1e-12; where SciPy's squares or powers underflow or overflow they
        are right all the same. NaN where a distance is not defined: of constant rows in correlation, zero vectors in
        cosine.

    Raises
    ------
    ValueError
        For points, a metric, a parameter or an ``out`` that cannot be used.
    TypeError
        For a parameter that the metric does not take.
    DoesNotFit
        If the result is larger than the memory that is available.
    BackendUnavailable
        If the device cannot be used, or CuPy is requested and not available.

    Notes
    -----
    O(n² m) time, on all processors. The metrics, where a sum is over the features of two points x and y, w is 1
    unless given, and ``[...]`` is 1 where the condition holds and 0 elsewhere:

    {formulas}

    Features that are all 0 or 1 are packed into 64-bit words and counted 64 at a time in dice, hamming, jaccard,
    rogerstanimoto, russellrao, sokalsneath and yule without weights: n m / 8 bytes. X may hold packed bits already:
    ``numpy.packbits(X, axis=1)``, of dtype uint8 and shape (n, ceil(m / 8)), in either bit order (``bitorder``), with
    zeros after the last feature, and ``packed=m``.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.distance import pdist
    >>> pdist([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    array([ 5., 10.,  5.])
    >>> pdist([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], "cityblock", w=[1.0, 2.0])
    array([11., 22., 11.])
    >>> X = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], np.uint8)
    >>> pdist(np.packbits(X, axis=1), "jaccard", packed=3)
    array([0.5, 1. , 1. ])
    """
    dtype = "float64" if dtype is None else working_type(dtype)
    _check_output(output, out)
    points = check_points(real_array(X, "X", numbers=not callable(metric)), "X", not callable(metric))
    n = len(points)
    shape = (n * (n - 1) // 2,)
    if callable(metric):
        Device(device)
        (points,), kwargs = for_function(metric, kwargs, to_host(points))
        result = result_array(shape, dtype, out, "pdist")
        for k, (x, y) in enumerate(combinations(points, 2)):
            result[k] = metric(x, y, **kwargs)
        return to_output(result, output)
    arguments = table_arguments(kwargs)
    kind, terms = _kind(metric, arguments, dtype, points)
    with _backend(device, n, terms, dtype, shape[0], holder(points), kind) as backend, backend.active():
        points = place(points, backend.name, preparation.keeps_points(metric, **arguments))
        ready = preparation.prepare(points, metric, dtype=dtype, **arguments)
        result = _result(shape, dtype, out, "pdist", backend, output)
        return to_output(preparation.unscaled(backend.condensed(ready, result), ready.exponent), output)


def cdist(
    XA: Any,
    XB: Any,
    metric: str | Callable[..., float] = "euclidean",
    *,
    out: Array | None = None,
    device: str = "auto",
    dtype: Any = None,
    output: str = "numpy",
    **kwargs: Any,
) -> Array:
    """Distances of every point of one set to every point of another, as `scipy.spatial.distance.cdist` gives them.

    Parameters
    ----------
    XA, XB : array_like of shape (nA, m) and (nB, m)
        Points: real numbers or booleans. Also on a CUDA device.
    metric, out, device, dtype, output, **kwargs
        As for `pdist`; ``out`` has shape (nA, nB), V and VI default to those of all points together.

    Returns
    -------
    ndarray of shape (nA, nB)

    Raises
    ------
    ValueError, TypeError, DoesNotFit, BackendUnavailable
        As for `pdist`, and ``ValueError`` if XA and XB differ in their number of features.

    Notes
    -----
    O(nA nB m) time, on all processors.

    Examples
    --------
    >>> from gpuclust.distance import cdist
    >>> cdist([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([[0.],
           [5.]])
    """
    dtype = "float64" if dtype is None else working_type(dtype)
    _check_output(output, out)
    table = not callable(metric)
    A, B = (check_points(real_array(X, name, numbers=table), name, table) for X, name in ((XA, "XA"), (XB, "XB")))
    if A.shape[1] != B.shape[1]:
        raise ValueError(
            "XA and XB must have the same number of columns (i.e. feature dimension), "
            f"got {A.shape[1]} and {B.shape[1]}."
        )
    shape = (len(A), len(B))
    if callable(metric):
        Device(device)
        (A, B), kwargs = for_function(metric, kwargs, to_host(A), to_host(B))
        result = result_array(shape, dtype, out, "cdist")
        for i, x in enumerate(A):
            for j, y in enumerate(B):
                result[i, j] = metric(x, y, **kwargs)
        return to_output(result, output)
    arguments = table_arguments(kwargs)
    held = holder(A) if holder(A) == holder(B) else None
    kind, terms = _kind(metric, arguments, dtype, A, B)
    n = (len(A) * len(B)) ** 0.5
    with _backend(device, n, terms, dtype, len(A) * len(B), held, kind) as backend, backend.active():
        keep = preparation.keeps_points(metric, **arguments)
        A, B = (place(X, backend.name, keep) for X in (A, B))
        a, b = preparation.prepare_pair(A, B, metric, dtype=dtype, **arguments)
        result = _result(shape, dtype, out, "cdist", backend, output)
        return to_output(preparation.unscaled(backend.pairwise(a, b, result), a.exponent), output)


def _kind(metric: Any, arguments: dict[str, Any], dtype: str, *sets: Any) -> tuple[tuple[object, ...] | None, int]:
    """What decides which kernels are compiled, None where only those have the right bits; and steps of a distance."""
    found = metrics.simplest(metrics.named(metric), arguments.get("p"))
    bits = all(preparation.bits_form(found, X, **arguments) is not None for X in sets)
    terms = words_of(arguments.get("packed") or sets[0].shape[1]) if bits else sets[0].shape[1]
    return None if found.heavy else ("pairs", found.name, arguments.get("w") is not None, dtype, bits), terms


def device_for(device: str, n: float, m: int, dtype: Any, results: int, held: int | None = None) -> Device:
    """The device for ``results`` distances, n² or half as many, of points of m features in the memory of ``held``."""
    chosen = Device(device)
    if chosen.automatic:
        dtype = np.dtype(dtype)
        brought = 0 if held is not None else int(n * m)
        chosen, _ = costs.choose(costs.MATRIX, n, m, dtype.name, (brought + results) * dtype.itemsize, held)
    return chosen


@contextmanager
def _backend(
    device: str, n: float, m: int, dtype: Any, results: int, held: int | None, kind: tuple[object, ...] | None
) -> Iterator[Backend]:
    with backend_for(
        device_for(device, n, m, dtype, results, held), kind or (), lambda: 0 if kind is None else int(n * n), m
    ) as backend:
        yield backend


def _check_output(output: str, out: Any) -> None:
    check_output(output)
    if output != "numpy" and out is not None:
        raise ValueError(f"out is where a NumPy result goes; it does not go with output={output!r}.")


def _result(shape: tuple[int, ...], dtype: Any, out: Any, what: str, backend: Backend, output: str) -> Any:
    """The array to fill: on the host, or on the device if the result stays there."""
    if output == "numpy" or not backend.name.on_gpu:
        return result_array(shape, dtype, out, what)
    from gpuclust.kernels.cuda import launch

    needed, available = prod(shape) * np.dtype(dtype).itemsize, launch.free_memory()[0]
    if needed > available:
        raise DoesNotFit(
            f"The result of {what}, {shape} numbers of type {np.dtype(dtype)}, takes {format_bytes(needed)} on "
            f"{backend.name}; {format_bytes(available)} are free. output='numpy' leaves it on the host."
        )
    return launch.empty(shape, dtype)
