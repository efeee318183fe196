"""Result files of a job: linkage matrix, labels and pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.output import OutputError, atomic_write, save_figure
from gpuclust.app.job.exports import EXPORTS
from gpuclust.core.text import displayed, guarded
from gpuclust.hierarchy.cut import separating_height
from gpuclust.hierarchy.suggest import FEWEST_MERGES
from gpuclust.report.page import ELBOW_MERGES

if TYPE_CHECKING:
    from gpuclust.app.cut import Cut
    from gpuclust.plotting.as_clustered import View

#: Characters of a row's name in a picture.
LONGEST_NAME = 30
#: Number of merges, from the top, whose heights are written into the dendrogram.
ANNOTATED = 12

#: Pictures of a job.
PICTURES = ("dendrogram", "elbow", "scatter", "heatmap")
#: Files that a job may leave beside run.json.
RESULTS = (
    "Z.npy",
    "labels.csv",
    "labels.parquet",
    *EXPORTS.values(),
    *(f"{picture}.{form}" for picture in PICTURES for form in ("png", "svg", "pdf")),
    "report.html",
)


def write_linkage(folder: Path, Z: NDArray[np.float64]) -> str:
    """Write Z.npy, and return its name."""
    with atomic_write(folder / "Z.npy") as file:
        np.save(file, Z)
    return "Z.npy"


def write_labels(
    folder: Path,
    labels: NDArray[Any] | Mapping[str, NDArray[Any]],
    names: list[str] | None,
    form: str = "csv",
    rows: NDArray[Any] | None = None,
) -> str:
    """Write labels.csv or labels.parquet, and return its name.

    The columns are row (from 0), name (if rows have names) and label (from 1). In labels.csv a name that a
    spreadsheet would take for a formula gets a leading ``'`` (`gpuclust.core.text.guarded`).

    Parameters
    ----------
    folder : Path
    labels : ndarray of shape (n,), or dict of them
        Labels; those of several cuts by heading.
    names : list of str or None
    form : {"csv", "parquet"}
    rows : ndarray of shape (n,), optional
        Numbers of the rows in the input, where some were left out.
    """
    columns = dict(labels) if isinstance(labels, Mapping) else {"label": labels}
    n = len(next(iter(columns.values())))
    numbers = np.arange(n) if rows is None else rows
    if form == "parquet":
        from gpuclust.app.data.columnar import write_columnar

        named = {} if names is None else {"name": names}
        with atomic_write(folder / "labels.parquet") as file:
            write_columnar(file, {"row": numbers, **named, **columns})
        return "labels.parquet"
    parts: list[Iterable[Any]] = [numbers.tolist(), *(column.tolist() for column in columns.values())]
    if names is not None:
        parts.insert(1, map(guarded, names))
    with atomic_write(folder / "labels.csv", "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["row", *([] if names is None else ["name"]), *columns])
        table.writerows(zip(*parts, strict=True))
    return "labels.csv"


def read_labels(folder: Path, form: str = "csv", title: str = "label") -> NDArray[Any]:
    """Read the labels written by `write_labels` from the column with this heading."""
    if form == "parquet":
        from gpuclust.app.data.columnar import read_columnar
        from gpuclust.app.data.reading import Reading

        return read_columnar(folder / "labels.parquet", Reading([title])).values[:, 0]
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        return np.array([int(row[title]) for row in csv.DictReader(file)])


def draw(
    folder: Path,
    Z: NDArray[np.float64],
    height: float | None,
    names: list[str] | None,
    points: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    view: View | None = None,
    formats: Sequence[str] = ("png",),
    heat: Callable[[Any], Any] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Draw the dendrogram; an elbow plot if there are enough merges; scatter plot and heat map where given.

    Parameters
    ----------
    folder : Path
    Z : ndarray of shape (n - 1, 4)
    height : float or None
        Height of the line that shows the cut.
    names : list of str or None
        Names of the observations.
    points : ndarray of shape (n, m), optional
    labels : ndarray of shape (n,), optional
        Clusters of the observations. A cluster has the same colour in all pictures.
    view : View, optional
        Transformation of the points that corresponds to the metric.
    formats : sequence of {"png", "svg", "pdf"}
    heat : callable, optional
        Draws the heat map in place of given axes.

    Returns
    -------
    drawn : list of str
    failed : dict
        Messages of the errors, by picture.
    """
    from gpuclust.plotting import fancy_dendrogram, plot_elbow
    from gpuclust.plotting.as_clustered import AS_THEY_ARE
    from gpuclust.plotting.scatter import scatter

    highest = np.sort(Z[:, 2])[::-1]
    options: dict[str, Any] = {
        "annotate_above": highest[ANNOTATED] if len(highest) > ANNOTATED else 0.0,
        "max_d": height,
        "leaf_rotation": 90.0,
    }
    options |= {"color_threshold": 0.0} if labels is None else {"clusters": labels}
    if names is not None:
        options["labels"] = [displayed(name, most=LONGEST_NAME) for name in names]
    pictures: dict[str, tuple[Callable[[Any], Any], tuple[float, float]]] = {
        "dendrogram": (lambda ax: fancy_dendrogram(Z, ax=ax, **options), (12.0, 7.0))
    }
    if len(Z) >= FEWEST_MERGES:
        pictures["elbow"] = (lambda ax: plot_elbow(Z, last=ELBOW_MERGES, ax=ax), (8.0, 6.0))
    if points is not None:
        clusters = np.ones(len(points), dtype=np.int32) if labels is None else labels
        paint = partial(scatter, points, clusters, highlight=None, left_out=0, view=view or AS_THEY_ARE)
        pictures["scatter"] = (lambda ax: paint(ax=ax), (9.0, 6.0))
    if heat is not None:
        pictures["heatmap"] = (heat, (9.0, 6.0))
    drawn: list[str] = []
    failed: dict[str, str] = {}
    for picture, (paint_on, size) in pictures.items():
        for form in formats:
            name = f"{picture}.{form}"
            with forgiven(failed, name):
                save_figure(folder / name, paint_on, size)
                drawn.append(name)
    return drawn, failed


@contextmanager
def forgiven(failed: dict[str, str], name: str) -> Iterator[None]:
    """Record in ``failed`` why a picture or report could not be made, instead of raising the error.

    `OutputError` is raised all the same: other files could not be written either.
    """
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"


def cut_height(Z: NDArray[np.float64], cut: Cut, clusters: int) -> float | None:
    """The height of the line that shows a cut (`gpuclust.hierarchy.cut.separating_height`)."""
    return separating_height(Z, cut.criterion, cut.threshold, clusters)
