"""Keyword arguments of metrics: p, w, V and VI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core import metrics
from gpuclust.core.points import Array


def table_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """``kwargs``, or a ``TypeError`` for what no metric of the table takes."""
    for name in kwargs:
        if name not in ("p", "w", "V", "VI"):
            raise TypeError(f"unknown parameter {name!r}: metrics take p, w, V or VI.")
    return kwargs


def for_function(
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
