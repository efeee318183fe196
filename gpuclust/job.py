"""One data set, from its file to a folder of results: linkage matrix, labels, pictures, and a record of the run.

Every file is written whole or not at all, and run.json last: a folder with a run.json holds a complete result.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuclust import methods, metrics
from gpuclust.errors import InputFileError
from gpuclust.files import DataSet, read_points, sha256_of, split_key
from gpuclust.hierarchy.cut import fcluster
from gpuclust.linkage import Linkage, compute
from gpuclust.memory import peak_memory
from gpuclust.observations import check_observations
from gpuclust.output import atomic_write, output_folder
from gpuclust.plan import check_euclidean
from gpuclust.results import ELBOW_MERGES, Cut, draw, forget_earlier, suggest_clusters, write_labels, write_linkage

PACKAGES = ("gpuclust", "numpy", "numba", "llvmlite", "matplotlib", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")


class Observer(Protocol):
    """What is told about the progress of a job."""

    def phase(self, text: str) -> None:
        """A part of the job begins."""

    def __call__(self, done: int, total: int) -> None:
        """So much of it is done."""


@dataclass(frozen=True)
class Job:
    """What to cluster, how, and where to leave the results. Fields are the options of `linkage` and `fcluster`."""

    data: str
    out: Path
    method: str = "average"
    metric: str = "euclidean"
    p: float | None = None
    weights: tuple[float, ...] | None = None
    cut: Cut | None = None
    dtype: str = "float64"
    device: str = "auto"
    memory_limit: str | None = None
    plots: bool = True

    def check(self) -> None:
        """Refuse options that can't be right, before anything is read.

        Raises
        ------
        ValueError
            An unknown method or metric, options that don't go together, or a cut that can't be.
        """
        method, metric = methods.resolve(self.method), metrics.resolve(self.metric, self.p)
        if not isinstance(metric, metrics.Metric):
            raise ValueError(f"metric must be a name, got {self.metric!r}")
        minkowski = metrics.METRICS["minkowski"]
        if self.p is not None and self.metric.lower() not in (minkowski.name, *minkowski.aliases):
            raise ValueError(f"p is the exponent of metric minkowski; it means nothing to {self.metric}")
        if self.weights is not None and not metric.accepts_weights:
            raise ValueError(f"metric {metric.name} takes no weights")
        check_euclidean(method, metric.name)
        if self.cut is not None:
            self.cut.check()

    def metric_arguments(self) -> dict[str, Any]:
        """p and w, where they are given."""
        given = {"p": self.p, "w": None if self.weights is None else np.array(self.weights)}
        return {name: value for name, value in given.items() if value is not None}


@dataclass
class Result:
    """What a job found.

    Attributes
    ----------
    linkage : Linkage
        The linkage matrix, and how it was computed.
    labels : (n,) int or None
        Cluster of each row, from 1; ``None`` without a cut.
    suggested : int or None
        Number of clusters at the elbow of the last merges; ``None`` with fewer than three merges.
    record : dict
        What run.json holds.
    """

    linkage: Linkage
    labels: NDArray[Any] | None
    suggested: int | None
    record: dict[str, Any] = field(default_factory=dict)


class _Silent:
    def phase(self, text: str) -> None:
        pass

    def __call__(self, done: int, total: int) -> None:
        pass


def run(job: Job, observer: Observer | None = None) -> Result:
    """Do a job; see the module's text for what it leaves behind.

    Raises
    ------
    InputFileError, OutputError, ValueError
        The data, the output folder or an option is at fault. Nothing is written then, and a folder made for the
        results is taken away again.
    DoesNotFit, BackendUnavailable
        As `linkage`.
    """
    observer = observer or _Silent()
    started, clock = datetime.now(timezone.utc), _Clock(observer)
    job.check()
    with output_folder(job.out) as folder:
        with clock("reading"):
            data = read_points(job.data)
            _check_fits(job, data)
            digest = sha256_of(data.path)
        with clock("linkage"):
            linkage = compute(
                data.values,
                job.method,
                job.metric,
                dtype=job.dtype,
                device=job.device,
                progress=observer,
                memory_limit=job.memory_limit,
                **job.metric_arguments(),
            )
        Z = linkage.Z
        labels = None
        with clock("cutting"):
            if job.cut is not None:
                labels = fcluster(Z, job.cut.threshold, criterion=job.cut.criterion, depth=job.cut.depth)
            suggested = suggest_clusters(Z)
        result = Result(linkage, labels, suggested)
        with clock("writing"):
            forget_earlier(folder)
            files = [write_linkage(folder, Z)]
            if labels is not None:
                files.append(write_labels(folder, labels, data.names))
        if job.plots:
            with clock("drawing"):
                files += draw(folder, Z, job.cut, labels, data.names)
        result.record = {
            "gpuclust": _version("gpuclust"),
            "started": started.isoformat(timespec="seconds"),
            "input": _describe(data, job.data, len(Z) + 1, digest),
            "parameters": {**asdict(job), "out": str(job.out)},
            "device": linkage.plan.device,
            "algorithm": linkage.plan.algorithm,
            "reason": linkage.plan.reason,
            "result": _summary(result),
            "seconds": {**clock.seconds, "total": clock.total()},
            "seconds_of_linkage": {phase: round(spent, 4) for phase, spent in linkage.seconds.items()},
            "row_scans": linkage.scans,
            "peak_memory_bytes": peak_memory(),
            "predicted_memory_bytes": linkage.plan.memory,
            "versions": {"python": platform.python_version(), **{p: v for p in PACKAGES if (v := _version(p))}},
            "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
            "files": [*files, "run.json"],
        }
        with atomic_write(folder / "run.json", "w") as file:
            file.write(json.dumps(result.record, indent=2, allow_nan=False) + "\n")
        return result


def _check_fits(job: Job, data: DataSet) -> None:
    """What can be said about options and data together, before the long work begins."""
    values = data.values
    if values.ndim == 1 and (job.p is not None or job.weights is not None):
        raise ValueError(f"{data.path}: holds condensed distances, to which p and weights mean nothing")
    if values.ndim == 2 and len(values) < 2:
        raise InputFileError(f"{data.path}: holds {len(values)} row, at least 2 are needed")
    try:
        check_observations(values)
    except ValueError as error:
        raise InputFileError(f"{data.path}: {error}") from error
    if job.weights is not None and len(job.weights) != values.shape[1]:
        raise ValueError(f"{len(job.weights)} weights were given for {values.shape[1]} columns")
    wanted = job.cut.threshold if job.cut is not None and job.cut.criterion == "maxclust" else 1
    if values.ndim == 2 and wanted > len(values):
        raise ValueError(f"{wanted:g} clusters were asked for, but there are {len(values)} rows")


class _Clock:
    """Seconds by phase."""

    def __init__(self, observer: Observer) -> None:
        self.seconds: dict[str, float] = {}
        self._observer = observer
        self._start = time.perf_counter()

    def total(self) -> float:
        return round(time.perf_counter() - self._start, 4)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self._observer.phase(phase)
        start = time.perf_counter()
        yield
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.perf_counter() - start, 4)


def _describe(data: DataSet, given: str, n: int, digest: str) -> dict[str, Any]:
    values = data.values
    return {
        "path": str(data.path.resolve()),
        "key": split_key(given)[1],
        "kind": "points" if values.ndim == 2 else "condensed distances",
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "n": n,
        "columns": data.columns,
        "row_names": data.names is not None,
        "bytes": data.path.stat().st_size,
        "sha256": digest,
    }


def _summary(result: Result) -> dict[str, Any]:
    Z, labels = result.linkage.Z, result.labels
    sizes = None if labels is None else np.bincount(labels)[1:].tolist()
    return {
        "last_heights": Z[-ELBOW_MERGES:, 2].tolist(),
        "clusters": None if sizes is None else len(sizes),
        "cluster_sizes": sizes if sizes is None or len(sizes) <= 1000 else sorted(sizes, reverse=True)[:1000],
        "suggested_clusters": result.suggested,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
