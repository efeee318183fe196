"""Other programs for hierarchical clustering: how each is called, what it supports, and its memory.

``python -m gpuclust.app.compare.peers JOB`` runs one of them: see `main`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from gpuclust.core.memory import peak_memory
from gpuclust.core.observations import observations_of
from gpuclust.core.version import package_version

Call = Callable[[np.ndarray], Any]

#: Numbers of points of the warm-up call: gpuclust compiles all kernels that it needs, other programs only import.
WARM_OURS, WARM = 4000, 200
#: Linkages that fastcluster computes without a matrix.
VECTOR = ("single", "ward", "centroid", "median")
#: Metrics of SciPy that scikit-learn lacks, and those that its single linkage lacks in addition.
NOT_IN_SKLEARN = ("jensenshannon", "matching")
NOT_IN_ITS_SINGLE = ("mahalanobis", "seuclidean")
#: Bytes per pair of observations: condensed distances in float64, and a copy of them.
COPIED = 16


class Task(NamedTuple):
    """The linkage to compute. Only gpuclust takes ``device``, ``dtype`` and ``memory_limit``."""

    method: str
    metric: str = "euclidean"
    p: float | None = None
    dtype: str = "float64"
    device: str = "auto"
    memory_limit: int | None = None


class Size(NamedTuple):
    """Observations and features; ``m`` is None for condensed distances."""

    n: int
    m: int | None

    @property
    def pairs(self) -> int:
        return self.n * (self.n - 1) // 2

    @property
    def input_bytes(self) -> int:
        return 8 * (self.pairs if self.m is None else self.n * self.m)


@dataclass(frozen=True)
class Peer:
    """A program.

    Attributes
    ----------
    module, distribution : str
        Names of the module and of the distribution.
    load : callable
        Returns for a task the function to time, of points or condensed distances.
    cannot : callable
        Returns for a task and a size why the program does not support it; empty if it does.
    memory : callable
        Returns for a size the bytes needed in addition to the input.
    tree : callable
        Converts a result to a linkage matrix.
    """

    module: str
    distribution: str
    load: Callable[[Task], Call]
    cannot: Callable[[Task, Size], str]
    memory: Callable[[Size], int]
    tree: Callable[[Any], np.ndarray] = np.asarray
    warm: int = WARM

    @property
    def installed(self) -> bool:
        return find_spec(self.module) is not None

    @property
    def version(self) -> str | None:
        return package_version(self.distribution)


def _gpuclust(task: Task) -> Call:
    from gpuclust.compute import compute

    options: dict[str, Any] = {"dtype": task.dtype, "device": task.device, "memory_limit": task.memory_limit}
    options |= {} if task.p is None else {"p": task.p}
    return lambda data: compute(data, task.method, task.metric, **options).Z


def _like_scipy(module: str) -> Callable[[Task], Call]:
    """Return the loader of a package whose `linkage` has SciPy's signature."""

    def load(task: Task) -> Call:
        linkage = importlib.import_module(module).linkage
        if task.p is None:
            return lambda data: linkage(data, task.method, task.metric)
        from scipy.spatial.distance import pdist

        return lambda data: linkage(pdist(data, task.metric, p=task.p) if data.ndim == 2 else data, task.method)

    return load


def _vector(task: Task) -> Call:
    from fastcluster import linkage_vector

    return lambda data: linkage_vector(data, task.method, task.metric)


def _vector_cannot(task: Task, size: Size) -> str:
    if size.m is None:
        return "takes points only"
    if task.method not in VECTOR:
        return f"supports {', '.join(VECTOR)} linkage, not {task.method}"
    return "takes no p here" if task.p is not None else ""


def _sklearn(task: Task) -> Call:
    from sklearn.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(linkage=task.method, metric=task.metric, compute_distances=True)
    return model.fit


def _sklearn_cannot(task: Task, size: Size) -> str:
    if size.m is None:
        return "takes no condensed distances"
    if task.method not in ("single", "complete", "average", "ward"):
        return f"supports single, complete, average and ward linkage, not {task.method}"
    if task.p is not None:
        return "takes no p"
    unknown = NOT_IN_SKLEARN + (NOT_IN_ITS_SINGLE if task.method == "single" else ())
    return f"has no metric {task.metric} in {task.method} linkage" if task.metric in unknown else ""


def _sklearn_tree(model: Any) -> np.ndarray:
    """Return the linkage matrix of a fitted model, which has no cluster sizes."""
    n = model.n_leaves_
    size = np.ones(2 * n - 1)
    for i, (left, right) in enumerate(model.children_):
        size[n + i] = size[left] + size[right]
    return np.column_stack([np.sort(model.children_), model.distances_, size[n:]])


def _quitefastmst(task: Task) -> Call:
    from quitefastmst import mst_euclid

    return lambda data: mst_euclid(data, M=1)  # Euclidean distances; quitefastmst 0.9.0 refuses 0


def _quitefastmst_cannot(task: Task, size: Size) -> str:
    if task.method != "single" or task.metric != "euclidean" or task.p is not None or size.m is None:
        return "makes spanning trees of points: Euclidean single linkage only"
    return ""


def _tree_of_edges(result: Any) -> np.ndarray:
    from gpuclust.core.clusters import Merges
    from gpuclust.hierarchy.assemble import assemble

    heights, pairs = result[:2]
    return assemble(Merges(np.asarray(pairs, dtype=np.int64), np.asarray(heights, dtype=np.float64), edges=True))


def _anything(task: Task, size: Size) -> str:
    return ""


#: Programs by the names that ``--against`` takes.
PEERS = {
    "gpuclust": Peer(
        "gpuclust",
        "gpuclust",
        _gpuclust,
        _anything,
        lambda size: 0,  # it checks its own plan
        warm=WARM_OURS,
    ),
    "scipy": Peer(
        "scipy", "scipy", _like_scipy("scipy.cluster.hierarchy"), _anything, lambda size: COPIED * size.pairs
    ),
    "fastcluster": Peer(
        "fastcluster",
        "fastcluster",
        _like_scipy("fastcluster"),
        _anything,
        lambda size: COPIED * size.pairs,
    ),
    "fastcluster.linkage_vector": Peer(
        "fastcluster", "fastcluster", _vector, _vector_cannot, lambda size: size.input_bytes + 100 * size.n
    ),
    "sklearn": Peer(
        "sklearn",
        "scikit-learn",
        _sklearn,
        _sklearn_cannot,
        lambda size: COPIED * size.pairs,
        _sklearn_tree,
    ),
    "quitefastmst": Peer(
        "quitefastmst",
        "quitefastmst",
        _quitefastmst,
        _quitefastmst_cannot,
        lambda size: 3 * size.input_bytes + 200 * size.n,
        _tree_of_edges,
    ),
}


def part_of(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Select the observations ``rows`` (increasing) of points or condensed distances."""
    if data.ndim == 2:
        return np.ascontiguousarray(data[rows])
    n = observations_of(data.size)
    place = [n * i + rows[k + 1 :] - (i + 2) * (i + 1) // 2 for k, i in enumerate(rows.tolist())]
    return np.concatenate([data[row] for row in place])


def main() -> None:
    """Run one program on one data set; the job is JSON in the first argument.

    The job holds ``peer``, ``task`` (the fields of `Task`), ``data`` (a .npy file), ``n``, ``repeat`` and ``tree``
    (the file for the linkage matrix). Prints JSON: seconds of the fastest call, and peak memory.
    """
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # stops at once, also inside compiled code
    job = json.loads(sys.argv[1])
    peer = PEERS[job["peer"]]
    call = peer.load(Task(**job["task"]))
    data = np.load(job["data"])
    call(part_of(data, np.arange(min(job["n"], peer.warm))))
    best = float("inf")
    for _ in range(job["repeat"]):
        started = time.perf_counter()
        result = call(data)
        best = min(best, time.perf_counter() - started)
    memory = peak_memory()
    np.save(job["tree"], peer.tree(result))
    print(json.dumps({"seconds": best, "peak_memory_bytes": memory}))


def _end_with_parent() -> None:
    """Make Linux kill this process when its parent has ended."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
