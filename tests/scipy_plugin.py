"""A pytest plugin that replaces SciPy's functions by gpuclust's, to run SciPy's own tests (``-p scipy_plugin``).

Every public name of ``scipy.cluster.hierarchy``, and the functions of ``scipy.spatial.distance`` that gpuclust has,
are replaced before any test module is imported. A name that gpuclust lacks is an error at once: nothing is skipped
silently. SciPy's compiled internals stay; its tests compare with them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import scipy.cluster.hierarchy
import scipy.spatial.distance
from scipy._lib import _array_api

import gpuclust.distance
import gpuclust.hierarchy

HIERARCHY = (*scipy.cluster.hierarchy.__all__, "ClusterWarning")
DISTANCE = ("pdist", "cdist", "squareform", "is_valid_dm", "is_valid_y", "num_obs_dm", "num_obs_y")

#: Tests left out, by name without parameters, and why.
LEFT_OUT = {
    "test_Heap": "tests a compiled class inside SciPy, no public name",
}

#: Metrics that SciPy 1.17 has removed.
REMOVED = ("kulczynski1", "sokalmichener")

#: (module, name) -> (SciPy's, ours)
replaced: dict[tuple[str, str], tuple[object, object]] = {}


def _knows_test_names(ours: Callable[..., Any]) -> Callable[..., Any]:
    """``ours`` with SciPy's private metric names: "test_cosine" is the callable ``scipy.spatial.distance.cosine``."""

    @functools.wraps(ours)
    def with_test_names(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(ours).bind(*args, **kwargs)
        metric = bound.arguments.get("metric")
        if isinstance(metric, str) and metric.startswith("test_"):
            bound.arguments["metric"] = getattr(scipy.spatial.distance, metric.removeprefix("test_"), metric)
        return ours(*bound.args, **bound.kwargs)

    return with_test_names


def _replace(theirs: ModuleType, ours: dict[str, Any]) -> None:
    """Originals are all taken before the first is replaced; our modules are added to SciPy's table of array types."""
    pairs = {name: (getattr(theirs, name), new) for name, new in ours.items()}
    table = getattr(_array_api, "xp_capabilities_table", {})  # since SciPy 1.16
    for name, (old, new) in pairs.items():
        if old in table:
            table[new] = table[old]
        setattr(theirs, name, new)
        replaced[theirs.__name__, name] = (old, new)


_replace(scipy.cluster.hierarchy, {name: getattr(gpuclust.hierarchy, name) for name in HIERARCHY})
distances = {name: getattr(gpuclust.distance, name) for name in DISTANCE}
distances |= {name: _knows_test_names(distances[name]) for name in ("pdist", "cdist")}
_replace(scipy.spatial.distance, distances)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the table names, and make sure that the test modules hold ours."""
    out = [
        item
        for item in items
        if getattr(item, "originalname", item.name) in LEFT_OUT or any(name in item.name for name in REMOVED)
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
    originals = {id(old): f"{module}.{name}" for (module, name), (old, _) in replaced.items()}
    for module in {item.module.__name__ for item in items if isinstance(item, pytest.Function)}:
        for name, value in vars(sys.modules[module]).items():
            if id(value) in originals:
                raise pytest.UsageError(f"{module}.{name} is still SciPy's {originals[id(value)]}.")
