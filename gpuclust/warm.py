"""warm(): compile kernels ahead of time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuclust import hierarchy
from gpuclust.compute import compute
from gpuclust.core.compiling import alone
from gpuclust.core.device import CPU, Device
from gpuclust.core.first_call import compiling, note
from gpuclust.core.methods import METHODS, resolve
from gpuclust.distance import pdist
from gpuclust.linkage import linkage

#: Points: few for one matrix of all, and enough for every part of an algorithm to run; features: few enough for a
#: kd-tree, and more.
SHAPES = ((400, 8), (4000, 2), (4000, 8))
#: Observations of condensed dissimilarities: enough for single linkage to contract components.
CONDENSED = 600


def warm(
    method: str | Sequence[str] | None = None,
    metric: str = "euclidean",
    dtype: str = "float64",
    device: str = "auto",
) -> float:
    """Compile the kernels of common jobs, and keep them on disk for later processes.

    Without this, a small job runs uncompiled at first, and the first large one waits for the compiler, some 5 to
    20 s.

    Parameters
    ----------
    method : str or sequence of str, optional
        Linkages to compile for; by default all seven.
    metric : str
        A metric of `gpuclust.distance.pdist`. Ward, centroid and median linkage are compiled for euclidean only.
    dtype : {"float64", "float32"}
        What is computed in.
    device : {"auto", "cuda", "cuda:1", ..., "cpu"}
        Where: "auto" compiles for the CPU, on which small jobs run.

    Returns
    -------
    float
        Seconds that it took. Next to nothing if the kernels are on disk already.

    Raises
    ------
    ValueError
        For a method, metric, dtype or device that does not exist, or no method at all.
    TypeError
        If ``method`` is neither a name nor a sequence of names.
    BackendUnavailable
        If the device asked for cannot be used.

    Examples
    --------
    >>> from gpuclust import warm
    >>> seconds = warm("single", device="cpu")
    """
    started = time.perf_counter()
    names = _names(method)
    place = Device(device)
    place = CPU if place.automatic else place
    with compiling():
        for name in names:
            rule = resolve(name)
            used = "euclidean" if rule.on_squares else metric
            for n, m in SHAPES:
                X = np.random.default_rng(0).random((n, m)) + 0.1
                Z = linkage(X, name, used, dtype=dtype, device=place)
            linkage(pdist(X[:CONDENSED], used, dtype=dtype, device=place), name, dtype=dtype, device=place)
        T, R = hierarchy.fcluster(Z, 5, "maxclust"), hierarchy.inconsistent(Z)
        calls: dict[str, dict[str, Any]] = {
            "cophenet": {},
            "cut_tree": {"n_clusters": 5},
            "dendrogram": {"truncate_mode": "lastp", "no_plot": True},
            "fcluster": {"t": 1.0},
            "inconsistent": {},
            "leaders": {"T": T},
            "leaves_list": {},
            "maxRstat": {"R": R, "i": 3},
            "maxdists": {},
            "maxinconsts": {"R": R},
        }
        for name, arguments in calls.items():
            getattr(hierarchy, name)(Z, **arguments)
            note(("hierarchy", name))
        hierarchy.suggest_k(Z)
    return time.perf_counter() - started


def main(method: str, metric: str, dtype: str, algorithm: str, n: int, m: int | None, folder: str, name: str) -> None:
    """Compile the kernels of a kind of jobs, by a job on random points; see `gpuclust.core.compilers`.

    ``name`` is that of the kind, for a lock in a folder: if another process has it, that compiles them.
    """
    with alone(folder, name, patience=0) as mine:
        if mine:
            X = np.random.default_rng(0).random((n, m or 2)) + 0.1
            y = pdist(X, device="cpu") if m is None else X
            compute(y, method, "euclidean" if m is None else metric, dtype=dtype, device="cpu", algorithm=algorithm)


def _names(method: str | Sequence[str] | None) -> list[str]:
    if method is None:
        return list(METHODS)
    names = [method] if isinstance(method, str) else method
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"method must be the name of a linkage or a list of names, got {method!r}.")
    if not names:
        raise ValueError("method must name at least one linkage, got an empty list.")
    return list(names)
