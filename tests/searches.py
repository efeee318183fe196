"""The searches of which the backends' primitives are made, called one by one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from gpuclust.core.backend import Backend

#: Module, search of all points, and search of some points among those of other components.
_SEARCHES = {
    "cpu": ("points.nearest", "nearest", "nearest_outside"),
    "cuda": ("boxes", "search_all", "search_outside"),
    "reference": ("nearest", "nearest", "nearest_outside"),
}

Found = tuple[np.ndarray, np.ndarray]


def nearest(backend: Backend, points: Any) -> Found:
    """Every point's nearest neighbour (smallest index on ties) and its distance."""
    module, name, _ = _SEARCHES[backend.name.family]
    return getattr(import_module(f"gpuclust.kernels.{backend.name.family}.{module}"), name)(points)


def nearest_outside(backend: Backend, points: Any, component: np.ndarray, rows: np.ndarray) -> Found:
    """The same for the points in ``rows``, among points of other components."""
    module, _, name = _SEARCHES[backend.name.family]
    return getattr(import_module(f"gpuclust.kernels.{backend.name.family}.{module}"), name)(points, component, rows)


def nearest_cluster(backend: Backend, points: Any, method: Any, clusters: Any, rows: np.ndarray) -> Found:
    """Row and dissimilarity of the nearest of all other clusters, for each cluster in ``rows``."""
    room = "cpu.clusters" if backend.name.family == "cpu" else backend.name.family
    module = import_module(f"gpuclust.kernels.{room}.cluster_search")
    return module.nearest_cluster(points, method, clusters, rows)
