"""Distances by the metric table and nothing else: the specification of every backend's pairwise kernels."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from gpuclust.points import Points


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar function of the metric table, for NumPy arrays: ``sqrt`` and ``max`` then work element by element.

    ``max(a, x)`` keeps a where x is NaN, which is what ``np.fmax`` does.
    """
    assert isinstance(function, FunctionType)
    names = {**function.__globals__, "__builtins__": builtins, "sqrt": np.sqrt, "max": np.fmax}
    return FunctionType(function.__code__, names, function.__name__)


def pairwise(A: Points, B: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of every point of A to every point of B, (nA, nB), of their dtype; O(nA nB m)."""
    step, finish = on_arrays(A.metric.step), on_arrays(A.metric.finish)
    dtype = A.features.dtype
    a = np.zeros((A.n, B.n), dtype)
    b = np.zeros((A.n, B.n), dtype)
    with np.errstate(all="ignore"):  # a distance may well be NaN, or infinite
        for k in range(len(A.features)):
            weight = dtype.type(1) if A.weights is None else A.weights[k]
            a, b = step(a, b, A.features[k][:, None], B.features[k][None, :], weight, A.p)
        distances = finish(a, b, A.summary[:, None], B.summary[None, :], A.p)
    if out is None:
        out = np.empty((A.n, B.n), dtype)
    out[...] = distances
    return out


def condensed(points: Points, out: np.ndarray | None = None) -> np.ndarray:
    """Distances of all pairs of points, in condensed order, (n (n - 1) / 2,); O(n² m)."""
    upper = pairwise(points, points)[np.triu_indices(points.n, 1)]
    if out is None:
        return upper
    out[...] = upper
    return out
