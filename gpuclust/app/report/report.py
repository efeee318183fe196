"""report.html: one data set's result on one page that needs no other file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.files import split_key
from gpuclust.app.data.mixed import profiled
from gpuclust.app.data.output import atomic_write
from gpuclust.app.data.remote import origin
from gpuclust.app.data.standard_input import shown
from gpuclust.app.job.job import scaled
from gpuclust.app.options import command_line
from gpuclust.core.text import displayed
from gpuclust.plotting.as_clustered import View, view_of, view_of_distances
from gpuclust.report import assessment
from gpuclust.report.page import Page

if TYPE_CHECKING:
    from gpuclust.app.job.job import Job
    from gpuclust.app.job.runner import Result


def assess(job: Job, Z: NDArray[np.float64], values: NDArray[Any]) -> dict[str, Any]:
    """Assess the tree of points or condensed distances (`gpuclust.report.assessment`)."""
    points, condensed = (values, None) if values.ndim == 2 else (None, values)
    return assessment.assess(Z, points, condensed, job.metric, job.metric_arguments())


def write_report(folder: Path, job: Job, result: Result, data: DataSet) -> str:
    """Write the page, and return its name."""
    points, view = to_scatter(job, data)
    clustered = scaled(job, data.values)
    shown = profiled(data)
    page = Page(
        title=displayed(job.out.resolve().name),
        method=job.method,
        metric=job.metric,
        Z=result.linkage.Z,
        assessment=result.record["assessment"],
        p=job.p,
        weighted=job.weights is not None,
        labels=result.labels,
        cut=None if job.cut is None else job.cut.in_words(),
        height=result.height,
        names=data.names,
        points=points,
        features=data.values.shape[1] if data.values.ndim == 2 else None,
        view=view,
        distances=lambda chosen: assessment.distances_among(clustered, chosen, job.metric, job.metric_arguments()),
        columns=data.columns if shown is None else shown[1],
        values=None if shown is None else shown[0],
        min_size=job.min_size,
        rows=data.rows,
        labels_file=None if result.labels is None else f"labels.{job.labels_format}",
        warnings=result.record["warnings"],
    )
    text = page.html("run.html", record=result.record, command=command(job), program=program(job))
    with atomic_write(folder / "report.html", "w") as file:
        file.write(text)
    return "report.html"


def to_scatter(job: Job, data: DataSet) -> tuple[NDArray[Any], View]:
    """The points of a job, and their transformation for the plot; for distances points that have about these."""
    if data.values.ndim != 2:
        return view_of_distances(data.values)
    return data.values, view_of(data.values, job.metric, job.p, job.weights, data.columns)


def command(job: Job) -> str:
    """The command that repeats this job."""
    data = origin(job.data) or (job.data if split_key(job.data)[1] else shown(Path(job.data).absolute()))
    parts = ["gpuclust", "run", data, *command_line(job), "--report", "--out", str(job.out)]
    return " ".join(map(_quoted, parts))


def _quoted(part: str) -> str:
    """Quote for a shell; file names that are not valid text as in bash and zsh."""
    shown = displayed(part.replace("\\", "\\\\").replace("'", "\\'"))
    return shlex.quote(part) if displayed(part) == part else f"$'{shown}'"


def program(job: Job) -> str:
    """The Python program that repeats this job."""
    file, key = split_key(job.data)
    place = str(file.absolute()) if key is None else f"{file.absolute()}:{key}"
    linkage = _arguments(job.arguments_of("linkage"))
    distances = _arguments(
        {name: value.tolist() if name == "w" else value for name, value in job.metric_arguments().items()}
    )
    lines = ["import gpuclust", "from gpuclust.app.data.files import read_points", ""]
    url = origin(job.data)
    if url is not None:
        lines.insert(2, "from gpuclust.app.data.remote import fetched")
        lines.append(f"with fetched({url!r}) as path:")
    read = f"read_points({'path' if url else repr(place)}{_arguments(job.arguments_of('read_points'))})"
    read += "" if job.gower else ".values"
    lines.append(f"{'    ' if url else ''}X = {read}")
    if job.gower:
        lines.insert(2, "from gpuclust.app.data.mixed import as_gower")
        lines.append(f"Z = gpuclust.linkage(as_gower(X).values, {job.method!r}{linkage})")
    elif job.precomputed:
        lines.insert(2, "from gpuclust.distance import squareform")
        lines.append("y = X if X.ndim == 1 else squareform(X)")
        lines.append(f"Z = gpuclust.linkage(y, {job.method!r}{linkage})")
    elif distances:
        lines.append(f"y = gpuclust.pdist(X, {job.metric!r}{distances})")
        lines.append(f"Z = gpuclust.linkage(y, {job.method!r}{linkage})")
    else:
        if job.scaled:
            lines.append(f"X = X * [weight**0.5 for weight in {list(job.weights or ())}]")
        lines.append(f"Z = gpuclust.linkage(X, {job.method!r}, {job.metric!r}{linkage})")
    for title, cut in job.cuts.items():
        name = "labels" if title == "label" else re.sub("[^a-z0-9]", "_", title)
        arguments = f"{cut.threshold:.17g}, {cut.criterion!r}{_arguments(job.arguments_of('fcluster'))}"
        lines.append(f"{name} = gpuclust.fcluster(Z, {arguments})")
    return "\n".join(lines)


def _arguments(named: dict[str, Any]) -> str:
    return "".join(
        f", {name}={list(value) if isinstance(value, tuple) else value!r}" for name, value in named.items()
    )
