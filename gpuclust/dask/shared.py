"""Values that tasks on workers share, and what a worker derives from them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.core import metrics
from gpuclust.core.points import Metric, Points

#: Forms of a metric that points may be prepared for; "" is the metric itself.
_FORMS = ("", "weighted_form", "wide_form", "bits")


class Shared:
    """A tuple of values, the result of a task, and what was derived from them on this worker.

    Derived values live as long as this object: where Dask drops or spills it, they are dropped too, and where it is
    received or recomputed they are made again. They are never sent.
    """

    def __init__(self, *values: Any) -> None:
        self.values = values
        self.saved: dict[str, Any] = {}
        self.lock = threading.RLock()

    def derived(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make()`` returned when it was first called on this worker."""
        with self.lock:
            if name not in self.saved:
                self.saved[name] = make()
            return self.saved[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.values

    def __sizeof__(self) -> int:  # the size that Dask plans with
        return 1000 + sum(value.nbytes for value in self.values if isinstance(value, np.ndarray))


def metric_form(metric: Metric) -> tuple[str, str] | None:
    """The name of a metric and of its form, by which another process finds it; None if it is not in the table.

    A metric is a key of compiled kernels, so a copy of its functions would not do.
    """
    for name, known in metrics.METRICS.items():
        for form in _FORMS:
            if metric is (getattr(known, form) if form else known):
                return name, form
    return None


def packed(points: Points) -> tuple[Any, ...]:
    """Points as values to share; `unpacked` is the inverse."""
    return (
        metric_form(points.metric),
        points.features,
        points.summary,
        points.weights,
        points.p,
        points.exponent,
    )


def unpacked(shared: Shared) -> Points:
    """The points of shared values."""

    def make() -> Points:
        (name, form), *rest = shared.values[:6]
        metric = metrics.METRICS[name]
        return Points(getattr(metric, form) if form else metric, *rest)

    return shared.derived("points", make)
