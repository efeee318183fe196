"""The nearest neighbours of every point, exactly, by the kernels that linkage uses."""

from __future__ import annotations

from collections.abc import Callable
from operator import index as whole_number
from typing import Any

import numpy as np

from gpuclust.algorithms import costs
from gpuclust.algorithms.costs import LISTS_ON_GPU, box_bytes, screened, selection_slab_bytes
from gpuclust.core import metrics, preparation
from gpuclust.core.backend import Backend
from gpuclust.core.bits import words_of
from gpuclust.core.device import CPU, Device
from gpuclust.core.first_call import backend_for
from gpuclust.core.memory import available_memory, format_bytes, parse_bytes
from gpuclust.core.observations import holder, place, to_host
from gpuclust.core.points import check_points
from gpuclust.core.preparation import for_function, table_arguments
from gpuclust.core.real_arrays import real_array
from gpuclust.core.sizes import MOST, TREE_FEATURES
from gpuclust.errors import DoesNotFit
from gpuclust.plan import working_type


def nearest_neighbors(
    X: Any,
    k: int = 1,
    metric: str | Callable[..., float] = "euclidean",
    *,
    device: str = "auto",
    dtype: str = "float64",
    memory_limit: int | str | None = None,
    **kwargs: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other points of every point, exactly.

    Parameters
    ----------
    X : array_like of shape (n, m)
        From two to 2^31 - 1 points: real numbers or booleans. Also on a CUDA device, as for `gpuclust.linkage`.
    k : int
        Neighbours wanted, from 1 to n - 1.
    metric : str or callable
        As for `gpuclust.distance.pdist`; a callable is called n² times and is therefore slow.
    device : {"auto", "cuda", "cuda:1", ..., "cpu"}
        Device of the computation; "auto" uses a GPU if one is available and faster.
    dtype : {"float64", "float32"}
        Type of the computation, and of the distances.
    memory_limit : int or str, optional
        Bytes this call may take, or text such as ``"8GB"``; by default what is available.
    **kwargs
        p, w, V, VI and packed, as for `gpuclust.distance.pdist`.

    Returns
    -------
    distances : ndarray of shape (n, k) of ``dtype``
        Distances of point i to its nearest others, increasing.
    indices : ndarray of shape (n, k) of int64
        Which points these are. A point is no neighbour of its own, an equal point is one. Of equal distances the
        smaller index comes first; euclidean and seuclidean distances are compared before the root is taken. -1, at an
        infinite distance, where there are fewer than k others at a finite one.

    Raises
    ------
    ValueError
        For points, a metric, a parameter or a ``k`` that cannot be used, or a row that the metric is not defined for.
    TypeError
        For a ``k`` that is no whole number, or a parameter that the metric does not take.
    DoesNotFit
        If more memory is needed than there is, or than ``memory_limit``; raised before it is asked for.
    BackendUnavailable
        If the device cannot be used.

    See Also
    --------
    scipy.spatial.KDTree.query, sklearn.neighbors.NearestNeighbors : return the same, in this order.

    Notes
    -----
    On the CPU a kd-tree is searched (Friedman, Bentley, Finkel 1977, An algorithm for finding best matches in
    logarithmic expected time, section 3) if the metric is euclidean, sqeuclidean, seuclidean, cityblock, chebyshev or
    minkowski, and the search of a few points by tree compares only a small share of all pairs: O(n log n) time as a
    rule. Otherwise all distances are computed and none is stored: O(n² m) time. Those of euclidean and sqeuclidean
    are screened first, in single precision with a proven bound of the error, and computed where that leaves them in
    question. O(n (m + k)) memory.

    Examples
    --------
    >>> from gpuclust.distance import nearest_neighbors
    >>> distances, indices = nearest_neighbors([[0.0], [1.0], [5.0]])
    >>> indices.ravel()
    array([1, 0, 1])
    """
    dtype = working_type(dtype)
    points = check_points(real_array(X, "X", numbers=not callable(metric)), "X", not callable(metric))
    n, m = points.shape
    k = checked_count(k, n)
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    device = Device(device)
    if callable(metric):
        _check_memory(n, m, k, "callable", dtype, CPU, limit)
        return _by_function(to_host(points), k, metric, dtype, kwargs)
    table_arguments(kwargs)
    found = metrics.simplest(metrics.named(metric), kwargs.get("p"))
    name, width = found.name, np.dtype(dtype).itemsize
    bits = preparation.bits_form(found, points, **kwargs) is not None
    m = kwargs.get("packed") or m
    numbers = words_of(m) * 8 // width if bits else m  # of the working type, that take the memory of a point
    if device.automatic:
        held = holder(points)
        moved = (0 if held is not None else n * numbers * width) + n * k * (8 + width)
        device, _ = costs.choose(costs.neighbours(name, m), n, numbers, dtype, moved, held)
    kind = ("neighbours", name, dtype, kwargs.get("w") is not None, m <= TREE_FEATURES, bits)
    with (
        backend_for(device, kind, lambda: 0 if found.heavy else n * n, numbers, limit) as backend,
        backend.active(),
    ):
        _check_memory(n, numbers, k, name, dtype, backend.name, limit)
        here = place(points, backend.name, preparation.keeps_points(metric, **kwargs))
        return by_backend(backend, here, k, metric, dtype, kwargs)


def by_backend(
    backend: Backend, points: Any, k: int, metric: str, dtype: str, kwargs: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbours by a metric of the table, of points in the memory of a backend."""
    ready = preparation.prepare(points, metric, dtype=dtype, **kwargs)
    preparation.refuse_undefined(ready)
    index, distance = backend.knn(ready, checked_count(k, ready.n))
    return _marked(preparation.unscaled(distance, ready.exponent), index)


def checked_count(k: Any, n: int) -> int:
    try:
        number = whole_number(k)
    except TypeError:
        raise TypeError(f"k must be a whole number, got {k!r}.") from None
    if n < 2:
        raise ValueError(f"X: at least 2 points are needed, got {n}.")
    if n > MOST:
        raise ValueError(f"X: at most {MOST:,} points can be searched, got {n:,}.")
    if not 1 <= number <= n - 1:
        raise ValueError(f"k must be from 1 to {n - 1}, the number of other points, got {number}.")
    return number


def memory_needed(n: int, m: int, k: int, metric: str, dtype: str, device: Device) -> int:
    """Bytes of a search in addition to its input: points twice, the tree, and lists before and after conversion."""
    width = np.dtype(dtype).itemsize
    lists = n * k * (8 + width)
    if device.on_gpu:
        rounded = 4 if width == 8 and screened(metric, m) else 0
        return n * m * (width + rounded) + LISTS_ON_GPU * lists + selection_slab_bytes(n, width)
    boxes = box_bytes(n, m, metric, width, k)
    return n * m * width + max(n * m * width, boxes) + 48 * n + 2 * lists


def _check_memory(n: int, m: int, k: int, metric: str, dtype: str, device: Device, limit: int | None) -> None:
    needed = memory_needed(n, m, k, metric, dtype, device)
    if limit is None and device.on_gpu:
        from gpuclust.kernels.cuda.launch import free_memory

        limit = free_memory()[0]
    elif limit is None:
        limit = available_memory() if needed > 2**26 else needed
    if needed > limit:
        fewer = int(k * limit / needed)
        raise DoesNotFit(
            f"{k} neighbours of {n:,} x {m:,} points need {format_bytes(needed)} of memory on {device}, and "
            f"{format_bytes(limit)} may be used. What would fit: "
            f"{f'at most about {fewer} neighbours' if fewer else 'fewer points'}"
            f"{', or dtype=float32' if dtype == 'float64' else ''}."
        )


def _by_function(
    points: np.ndarray, k: int, function: Callable[..., float], dtype: str, kwargs: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbours by a Python function, row by row."""
    (points,), kwargs = for_function(function, kwargs, points)
    n = len(points)
    distances, indices = np.empty((n, k), dtype), np.empty((n, k), np.int64)
    for i in range(n):
        row = np.array([np.inf if i == j else function(points[i], points[j], **kwargs) for j in range(n)], dtype)
        row[np.isnan(row)] = np.inf
        indices[i] = np.argsort(row, kind="stable")[:k]
        distances[i] = row[indices[i]]
    return _marked(distances, indices)


def _marked(distances: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace neighbours at no finite distance by index -1 and distance inf."""
    none = ~np.isfinite(distances)
    distances[none] = np.inf
    indices[none] = -1
    return distances, indices
