"""One data set: its file, what is done with it, and where the results go; reading it, and cutting its tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.files import read_points
from gpuclust.app.data.mixed import as_gower
from gpuclust.app.data.precomputed import as_distances
from gpuclust.app.job.results import cut_height
from gpuclust.app.options import Options
from gpuclust.core import methods, metrics
from gpuclust.core.memory import parse_bytes
from gpuclust.core.observations import check_observations
from gpuclust.errors import ClusterWarning, InputFileError, warn
from gpuclust.hierarchy.cut import fcluster


@dataclass(frozen=True)
class Job(Options):
    """A data set, its options (`gpuclust.app.options.Options`), and the folder of its results.

    Attributes
    ----------
    data : str
        A path, with the array of an .npz file after a colon.
    out : Path
        The output folder.
    memory_limit : str, optional
        Bytes that the job may use, or text such as ``"8GB"``.
    plots : bool
        Whether pictures are drawn.
    report : bool
        Whether report.html is written, and scatter.png drawn with the pictures.
    overwrite : bool
        Whether results may replace files that gpuclust did not write, or that were changed since; never an input.
    """

    data: str
    out: Path
    memory_limit: str | None = field(default=None, kw_only=True)
    plots: bool = field(default=True, kw_only=True)
    report: bool = field(default=False, kw_only=True)
    overwrite: bool = field(default=False, kw_only=True)

    @property
    def scaled(self) -> bool:
        """Whether weights scale the columns: for linkages that take Euclidean distances only."""
        return self.weights is not None and methods.resolve(self.method).on_squares

    def metric_arguments(self) -> dict[str, Any]:
        """The arguments p and w of the metric, if given."""
        given = {"p": self.p, "w": None if self.weights is None or self.scaled else np.array(self.weights)}
        return {name: value for name, value in given.items() if value is not None}


#: Headings of columns that are taken for geographic coordinates.
_LATITUDES, _LONGITUDES = {"lat", "latitude"}, {"lon", "lng", "long", "longitude"}


def warn_of_degrees(job: Job, data: DataSet) -> None:
    """Warn of Euclidean distances between degrees of latitude and longitude."""
    heads = {name.strip().lower(): name for name in data.columns or ()}
    found = [heads[name] for names in (_LATITUDES, _LONGITUDES) for name in sorted(names & set(heads))[:1]]
    if len(found) == 2 and data.values.ndim == 2 and "euclidean" in metrics.resolve(job.metric).name:  # type: ignore[union-attr]
        chosen = ",".join(found)
        warn(
            f"{data.path}: columns {found[0]!r} and {found[1]!r} are taken for geographic coordinates: their "
            f"Euclidean distance is none on the Earth; --columns {chosen} --metric haversine_degrees gives that",
            ClusterWarning,
        )


#: A column whose standard deviation is this many times the median one causes a warning, in tables of few columns.
_DOMINANT, _MOST_COLUMNS = 30, 50


def warn_of_scales(job: Job, data: DataSet) -> None:
    """Warn of a column that dominates the distances, such as one in grams beside others in kilograms."""
    values = data.values
    if data.columns is None or values.ndim == 1 or not 2 <= values.shape[1] <= _MOST_COLUMNS:
        return
    metric: metrics.Metric = metrics.resolve(job.metric)  # type: ignore[assignment]
    weighs = metric.euclidean_like and metric.shift and "w" in metric.parameters  # seuclidean scales by itself
    if not weighs or job.standardize or job.weights or job.pca:
        return
    with np.errstate(over="ignore", invalid="ignore"):  # infinite deviations are refused by the linkage
        spread = values.std(axis=0)
    column, median = int(spread.argmax()), float(np.median(spread))
    if median > 0 and np.isfinite(spread).all() and spread[column] > _DOMINANT * median:
        times = f"{spread[column] / median:.0f} times"
        warn(
            f"{data.path}: column {data.columns[column]!r} varies {times} as much as the median column, and "
            "dominates the distances; --standardize zscore gives columns equal weight",
            ClusterWarning,
        )


def load(job: Job) -> DataSet:
    """The data of a job: points, or condensed distances."""
    limit = None if job.memory_limit is None else parse_bytes(job.memory_limit)
    data = read_points(job.data, limit=limit, **job.arguments_of("read_points"))
    if job.gower:
        return as_gower(data, limit)
    return as_distances(data) if job.precomputed else data


def scaled(job: Job, values: NDArray[Any]) -> NDArray[Any]:
    """Points with columns scaled by the roots of the weights, if these are not an argument of the metric."""
    if not job.scaled or values.ndim == 1:
        return values
    return values * np.sqrt(np.array(job.weights))


def cut(job: Job, Z: NDArray[np.float64]) -> tuple[dict[str, NDArray[Any]], float | None]:
    """Labels by heading, and the height at which a line shows the first cut; None where there is no such height."""
    options = job.arguments_of("fcluster")
    smallest = options.pop("min_size", 1)
    found: dict[str, NDArray[Any]] = {}
    height = None
    for title, cut in job.cuts.items():
        labels = fcluster(Z, cut.threshold, cut.criterion, **options)  # type: ignore[arg-type]
        if not found:
            height = cut_height(Z, cut, int(labels.max()))
        if smallest > 1:
            labels = fcluster(Z, cut.threshold, cut.criterion, **options, min_size=smallest)  # type: ignore[arg-type]
        found[title] = labels
    return found, height


def check_fits(job: Job, data: DataSet) -> None:
    """Check the options against the data, before the linkage is computed."""
    values = data.values
    if values.ndim == 1 and (job.p is not None or job.weights is not None or job.heatmap):
        raise ValueError(f"{data.path}: holds condensed distances, to which p, weights and heatmap mean nothing")
    if values.ndim == 2 and len(values) < 2:
        raise InputFileError(f"{data.path}: holds {len(values)} row, at least 2 are needed")
    try:
        check_observations(values, gaps=metrics.allows_gaps(job.metric_of_linkage))
    except ValueError as error:
        raise InputFileError(f"{data.path}: {error}") from error
    if job.weights is not None and len(job.weights) != values.shape[1]:
        raise ValueError(f"{len(job.weights)} weights were given for {values.shape[1]} columns")
    wanted = max((cut.threshold for cut in job.cuts.values() if cut.criterion == "maxclust"), default=1)
    if "clustered" in job.write and data.original is None:
        raise ValueError(f"{data.path}: holds condensed distances, and clustered.csv repeats the rows of a table")
    if values.ndim == 2 and wanted > len(values):
        raise ValueError(f"{wanted:g} clusters were asked for, but there are {len(values)} rows")
