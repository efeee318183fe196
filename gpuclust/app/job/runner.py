"""Run a job: from a file to a folder with the linkage matrix, labels, pictures, and a record of the run.

Every file is written whole or not at all, and run.json last: a folder with a run.json holds a complete result. Files
that gpuclust did not write are neither replaced nor removed; see `gpuclust.app.data.ownership`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.files import split_key
from gpuclust.app.data.output import discard_left_behind, output_folder, staging
from gpuclust.app.data.ownership import OutputFolder, exclusive, inodes
from gpuclust.app.data.remote import origin
from gpuclust.app.job.exports import EXPORTS, write_export
from gpuclust.app.job.job import Job, check_fits, cut, load, scaled, warn_of_degrees, warn_of_scales
from gpuclust.app.job.record import PACKAGES, Source, describe, identity, list_files, summary, version
from gpuclust.app.job.results import (
    PICTURES,
    RESULTS,
    draw,
    forgiven,
    write_labels,
    write_linkage,
)
from gpuclust.app.terminal import ProgressBar
from gpuclust.compute import Linkage, compute
from gpuclust.core.memory import peak_memory
from gpuclust.errors import PictureWarning, warn
from gpuclust.report.page import suggested_clusters


class Observer(Protocol):
    """Receiver of the progress of a job."""

    def phase(self, text: str) -> None:
        """A phase of the job begins."""

    def read(self, how: str) -> None:
        """The input was read as this line says."""

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` steps of the phase are done."""


@dataclass
class Result:
    """Result of a job.

    Attributes
    ----------
    linkage : Linkage
        The linkage matrix, and how it was computed.
    labels : ndarray of shape (n,), int, or None
        Cluster of each row, from 1; ``None`` without a cut.
    height : float or None
        Height of the line that shows the cut; ``None`` if no height separates its clusters.
    suggested : int or None
        Number of clusters at the elbow of the last merges; ``None`` with fewer than three merges.
    record : dict
        Content of run.json.
    cuts : dict
        Labels of all cuts by their headings in labels.csv.
    """

    linkage: Linkage
    labels: NDArray[Any] | None
    height: float | None
    suggested: int | None
    record: dict[str, Any] = field(default_factory=dict)
    cuts: dict[str, NDArray[Any]] = field(default_factory=dict)


def run(
    job: Job,
    observer: Observer | None = None,
    *,
    source: Source | None = None,
    warned: list[Any] | None = None,
    own_folder: bool = False,
) -> Result:
    """Run a job, and write its results into its folder.

    Parameters
    ----------
    job : Job
    observer : Observer, optional
        Receiver of progress.
    source : Source, optional
        The hash of the input, if it was computed before.
    warned : list, optional
        Warnings recorded during the job, for run.json.
    own_folder : bool
        Whether the output folder was made for these results: a changed file in it is then renamed, instead of causing
        an error.

    Returns
    -------
    Result

    Raises
    ------
    InputFileError, OutputError, ValueError
        The data, the output folder or an option is invalid. Nothing is written then, and a folder created for the
        results is removed. `OutputRefused`, before anything is computed: a result would replace the input, or a file
        that gpuclust did not write.
    DoesNotFit, BackendUnavailable
        As `linkage`.
    """
    observer = observer or ProgressBar(quiet=True)
    started, clock = datetime.now(timezone.utc), _Clock(observer)
    job.check()
    with output_folder(job.out) as folder, exclusive(folder):
        results = _results(job, folder, own_folder)
        results.check(_names(job))
        discard_left_behind(folder)
        with clock("reading"):
            source = source or Source.of(job)
            data = _read(job, observer)
            source.check_unchanged()
            mapped = isinstance(data.values, np.memmap)
            if not mapped:
                source.check_content()
        with clock("linkage"):
            points = scaled(job, data.values)
            linkage = compute(
                points,
                job.method,
                job.metric_of_linkage,
                device=job.device,
                progress=observer,
                memory_limit=job.memory_limit,
                **job.metric_arguments(),
                **job.arguments_of("linkage"),
            )
        if mapped:  # it was read until now
            source.check_content()
        with clock("cutting"):
            cuts, height = cut(job, linkage.Z)
            labels = next(iter(cuts.values()), None)
            result = Result(linkage, labels, height, suggested_clusters(linkage.Z), cuts=cuts)
        result.record = _record(job, source, data, result, started)
        result.record["warnings"] = [" ".join(str(warning.message).split()) for warning in warned or ()]
        failed: dict[str, str] = {}
        if job.report:
            from gpuclust.app.report.report import assess

            with clock("assessing"), forgiven(failed, "report.html"):
                result.record["assessment"] = assess(job, linkage.Z, points)
        try:
            _write(job, result, data, clock, results, failed)
        except BaseException:  # a full disk, say: no part of a result is left; an earlier one if nothing was replaced
            if results.replaced:
                results.forget_all()
            raise
    for text in _lost(failed):
        warn(text, PictureWarning)
    return result


def _read(job: Job, observer: Observer) -> DataSet:
    """The data of a job, with warnings of what is likely a mistake."""
    data = load(job)
    check_fits(job, data)
    warn_of_degrees(job, data)
    warn_of_scales(job, data)
    if ";" in data.how:  # more than the shape: an array is read as it is
        observer.read(data.how)
    return data


def _record(job: Job, source: Source, data: DataSet, result: Result, started: datetime) -> dict[str, Any]:
    """What run.json tells of the input, the options, the result and the machine."""
    linkage = result.linkage
    return {
        "gpuclust": version("gpuclust"),
        "identity": identity(job, source),
        "started": started.isoformat(timespec="seconds"),
        "input": describe(data, job.data, len(linkage.Z) + 1, source),
        "parameters": {**asdict(job), "data": origin(job.data) or job.data, "out": str(job.out)},
        "device": linkage.plan.device,
        "algorithm": linkage.plan.algorithm,
        "reason": linkage.plan.reason,
        "result": summary(result),
        "seconds_of_linkage": {phase: round(spent, 4) for phase, spent in linkage.seconds.items()},
        "row_scans": linkage.scans,
        "predicted_memory_bytes": linkage.plan.memory,
        "versions": {"python": platform.python_version(), **{p: v for p in PACKAGES if (v := version(p))}},
        "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
    }


def _results(job: Job, folder: Path, own_folder: bool) -> OutputFolder:
    given = inodes([split_key(job.data)[0]])
    return OutputFolder(folder, RESULTS, is_run=True, overwrite=job.overwrite, keep=own_folder, inputs=given)


def _names(job: Job) -> list[str]:
    """Names of the files that a job may write, beside run.json."""
    names = ["Z.npy"]
    if job.cut is not None:
        names.append(f"labels.{job.labels_format}")
    names += [EXPORTS[name] for name in job.write]
    if job.plots:
        chosen = {"scatter": job.report, "heatmap": job.heatmap}
        drawn = [picture for picture in PICTURES if chosen.get(picture, True)]
        names += [f"{picture}.{form}" for picture in drawn for form in job.format]
    return [*names, "report.html"] if job.report else names


def _write(
    job: Job, result: Result, data: DataSet, clock: _Clock, results: OutputFolder, failed: dict[str, str]
) -> None:
    """Write all results: Z and labels, which are expensive, before the pictures, and run.json last.

    Adds to ``failed`` why a picture or the report could not be made.
    """
    Z, record = result.linkage.Z, result.record
    with staging(results.path) as staged:
        with clock("writing"):
            files = [write_linkage(staged, Z)]
            if result.labels is not None:
                files.append(write_labels(staged, result.cuts, data.names, job.labels_format, data.rows))
            files += [
                write_export(staged, name, data, Z, result.cuts, job.method.lower(), job.metric) for name in job.write
            ]
        hashes = {}
        if job.plots:
            hashes = results.commit(staged, files)
            with clock("drawing"):
                files, not_drawn = _draw(job, staged, Z, result.height, data, result.labels)
            failed |= not_drawn
        record["warnings"] += _lost(failed)
        if job.report and "report.html" not in failed:
            from gpuclust.app.report.report import write_report

            with clock("reporting"), forgiven(failed, "report.html"):
                files.append(write_report(staged, job, result, data))
            record["warnings"] += _lost({name: why for name, why in failed.items() if name == "report.html"})
        hashes |= results.commit(staged, files)
    record["failed_pictures"] = failed
    record["seconds"] = {**clock.seconds, "total": clock.total()}
    record["peak_memory_bytes"] = peak_memory()
    record["kept"] = results.said
    list_files(record, results.path, hashes)
    result.record = results.complete(record)


def add_pictures(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    """Draw the pictures of a complete result that has none, and return its new record; only the cut is recomputed."""
    with exclusive(job.out), staging(job.out) as staged:
        results = _results(job, job.out, own_folder=True)
        data, Z = load(job), np.load(job.out / "Z.npy")
        cuts, height = cut(job, Z)
        labels = next(iter(cuts.values()), None)
        drawn, failed = _draw(job, staged, Z, height, data, labels)
        hashes = {**record["hashes"], **results.commit(staged, drawn)}
        record = {**record, "parameters": {**record["parameters"], "plots": True}}
        record["failed_pictures"] = {**record["failed_pictures"], **failed}
        record["warnings"] = [*record["warnings"], *_lost(failed)]
        list_files(record, job.out, hashes)
        return results.complete(record)


def _draw(
    job: Job, folder: Path, Z: NDArray[np.float64], height: float | None, data: DataSet, labels: NDArray[Any] | None
) -> tuple[list[str], dict[str, str]]:
    """Draw the pictures; return their names, and the errors of others. See `gpuclust.app.job.results.draw`."""
    drawn: list[str] = []
    failed: dict[str, str] = {}
    points, view = None, None
    if job.report:
        from gpuclust.app.report.report import to_scatter

        with forgiven(failed, f"scatter.{job.format[0]}"):
            points, view = to_scatter(job, data)
    heat = None
    if job.heatmap:
        from gpuclust.plotting.clustermap import paint_scores

        heat = partial(
            paint_scores,
            values=data.values,
            names=data.names,
            columns=data.columns,
            Z=Z,
            labels=labels,
            method=job.method,
        )
    with forgiven(failed, f"dendrogram.{job.format[0]}"):
        drawn, not_drawn = draw(folder, Z, height, data.names, points, labels, view, job.format, heat)
        failed |= not_drawn
    return drawn, failed


def _lost(failed: dict[str, str]) -> list[str]:
    """A warning for each picture or report that could not be made."""
    return [f"{name} could not be made ({why}); no other result depends on it" for name, why in failed.items()]


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
