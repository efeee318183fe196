"""THE table of what may be said of one data set: each option is one field of `Options`.

From a field come the options of ``gpuclust run``, ``batch``, ``plan`` and ``compare``, the columns and keys of
manifests, the defaults of `gpuclust.batch.run`, the field of a `Job`, what run.json records, and the command and the
program that a report prints. Light to import: ``gpuclust --help`` must answer at once.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gpuclust.app import option as parsers
from gpuclust.app.cut import CUTS, Cut
from gpuclust.app.option import MOST, Option, option, shortened, takes

LABELS_FORMATS = ("csv", "parquet")
_CUT, _MACHINE, _OUTPUT = "Cut", "Machine", "Output"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is done with one data set: the options of `linkage` and `fcluster`, and how its file is read."""

    method: str = option(
        "average", parsers.text, "single, complete, average, weighted, ward, centroid or median.", short="-m"
    )
    metric: str = option(
        "euclidean",
        parsers.text,
        "Any metric of scipy.spatial.distance.pdist, by name; gower for columns of numbers and of text.",
        short="-d",
    )
    p: float | None = option(None, parsers.exponent, "Exponent, for metric minkowski.", shown=float)
    weights: tuple[float, ...] | None = option(
        None, parsers.weights, "A weight for each column, like 1,1,0.5; ward, centroid and median take them too."
    )
    columns: tuple[str | int, ...] | None = option(
        None,
        parsers.columns,
        "Columns to use, by name, or by number from 0 among all columns of the file, like sepal,petal or 0,2.",
        call="read_points",
        argument="columns",
    )
    exclude: tuple[str | int, ...] | None = option(
        None,
        parsers.columns,
        "Columns to leave out, by name or number. Text and identifiers are left out unless --columns are given.",
        call="read_points",
        argument="exclude",
    )
    header: bool | None = option(
        None,
        parsers.flag,
        "Whether the first line of a text table is a header; found out unless given.",
        shown=bool,
        call="read_points",
        argument="header",
    )
    index: str | int | None = option(
        None,
        parsers.column,
        "The column of a table that names the rows, by name or number, or none; found out unless given.",
        metavar="COLUMN",
        call="read_points",
        argument="index",
    )
    decimal: str | None = option(
        None,
        parsers.one_of(".", ","),
        "Decimal mark of a text table, . or , (the other one may separate thousands); found out unless given.",
        metavar="MARK",
        call="read_points",
        argument="decimal",
    )
    missing: str = option(
        "auto",
        parsers.one_of("auto", "error", "drop", "mean", "median"),
        "Missing values: error, drop (leave such rows out), or fill in the mean or median of the column; auto drops "
        "rows unless they are more than half (metric gower: compares rows by the columns that both have).",
        call="read_points",
        argument="missing",
    )
    transpose: bool = option(
        False,
        parsers.flag,
        "Cluster the columns of the table instead of its rows.",
        shown=bool,
        call="read_points",
        argument="transpose",
    )
    standardize: str | None = option(
        None,
        parsers.one_of("zscore", "minmax", "robust", "log1p"),
        "Scale each column: zscore, minmax or robust; or log1p: log(1 + x) of each value.",
        call="read_points",
        argument="standardize",
    )
    pca: int | None = option(
        None,
        parsers.whole,
        "Replace the columns by this number of principal components.",
        shown=int,
        metavar="K",
        call="read_points",
        argument="pca",
    )
    precomputed: bool = option(
        False,
        parsers.flag,
        "The data are distances: condensed, a square matrix, a triangle of one, or in PHYLIP form.",
        shown=bool,
        call="read_points",
        argument="distances",
    )
    clusters: float | tuple[float, ...] | None = option(
        None,
        parsers.thresholds,
        "Cut into this number of clusters; several, like 2,5,10, give a column of labels each.",
        short="-k",
        metavar="K",
        panel=_CUT,
    )
    distance: float | tuple[float, ...] | None = option(
        None, parsers.thresholds, "Cut at this height, or at several.", short="-t", metavar="HEIGHT", panel=_CUT
    )
    inconsistent: float | tuple[float, ...] | None = option(
        None,
        parsers.thresholds,
        "Largest inconsistency coefficient within a cluster, or several.",
        metavar="T",
        panel=_CUT,
    )
    depth: int | None = option(
        None,
        parsers.whole,
        "Levels compared by --inconsistent; 2 unless given.",
        shown=int,
        panel=_CUT,
        call="fcluster",
        argument="depth",
    )
    min_size: int = option(
        1,
        parsers.whole,
        "Leave out smaller clusters: their rows get label 0.",
        shown=int,
        panel=_CUT,
        call="fcluster",
        argument="min_size",
    )
    dtype: str = option(
        "float64",
        parsers.text,
        "float64, or float32: half the memory.",
        panel=_MACHINE,
        call="linkage",
        argument="dtype",
    )
    device: str = option("auto", parsers.text, "auto, cpu, cuda or cuda:1.", panel=_MACHINE)
    labels_format: str = option("csv", parsers.text, "csv, or parquet (with pyarrow).", panel=_OUTPUT)
    write: tuple[str, ...] = option(
        (),
        parsers.some_of("clustered", "newick", "hclust"),
        "Further files: clustered (clustered.csv: input with labels), newick (tree.nwk), hclust (hclust.json for R).",
        metavar="NAME",
        panel=_OUTPUT,
    )
    heatmap: bool = option(
        False,
        parsers.flag,
        "Draw heatmap.png too: z-scores of the columns, rows and columns in the order of their trees.",
        shown=bool,
        panel=_OUTPUT,
    )
    format: tuple[str, ...] = option(
        ("png",), parsers.some_of("png", "svg", "pdf"), "Formats of pictures: png, svg, pdf.", panel=_OUTPUT
    )

    @property
    def cut(self) -> Cut | None:
        """How the tree is cut, by the first of several cuts; None if it is not."""
        return next(iter(self.cuts.values()), None)

    @property
    def cuts(self) -> dict[str, Cut]:
        """How the tree is cut, by the headings of labels: ``label``, or of several cuts ``clusters_5``."""
        for name, criterion in CUTS.items():
            given = getattr(self, name)
            if given is None:
                continue
            several = given if isinstance(given, (list, tuple)) else (given,)
            titles = [f"{name}_{threshold:.15g}" for threshold in several] if len(several) > 1 else ["label"]
            depth = 2 if self.depth is None else self.depth
            made = [Cut(criterion, float(threshold), depth, self.min_size) for threshold in several]
            return dict(zip(titles, made, strict=True))
        return {}

    @property
    def gower(self) -> bool:
        """Whether Gower's dissimilarities are computed from columns of numbers and of categories."""
        return str(self.metric).lower() == GOWER

    @property
    def metric_of_linkage(self) -> str:
        """The metric that `linkage` takes: the default for Gower's dissimilarities, which it gets condensed."""
        return TABLE["metric"][1] if self.gower else self.metric

    def given(self) -> dict[str, Any]:
        """The options that are not as by default."""
        return {name: value for name, (_, default) in TABLE.items() if (value := getattr(self, name)) != default}

    def arguments_of(self, call: str) -> dict[str, Any]:
        """What is passed to `read_points`, `linkage` or `fcluster` by name, where it is not as by default."""
        given = self.given().items()
        found = {OPTIONS[name].argument: value for name, value in given if OPTIONS[name].call == call}
        return found | {"mixed": True} if self.gower and call == "read_points" else found

    def check(self) -> None:
        """Refuse options that can't be right, before anything is read.

        Raises
        ------
        ValueError
            An unknown method or metric, options that don't go together, or a cut that can't be.
        """
        from gpuclust.core import methods, metrics
        from gpuclust.errors import unknown_name
        from gpuclust.plan import check_euclidean, working_type

        if self.gower:
            self._refuse(NOT_OF_GOWER, "metric gower")
        method, metric = methods.resolve(self.method), metrics.resolve(self.metric_of_linkage, self.p)
        if not isinstance(metric, metrics.Metric):
            raise ValueError(f"metric must be a name, got {self.metric!r}")
        minkowski = metrics.METRICS["minkowski"]
        if self.p is not None and self.metric.lower() not in (minkowski.name, *minkowski.aliases):
            raise ValueError(f"p is the exponent of metric minkowski; it means nothing to {self.metric}")
        if self.weights is not None and not metric.accepts_weights:
            raise ValueError(f"metric {metric.name} takes no weights")
        check_euclidean(method, metric.name)
        if self.weights is not None and not all(0 <= weight < math.inf for weight in self.weights):
            raise ValueError(f"weights must be numbers >= 0, got {', '.join(f'{w:g}' for w in self.weights)}")
        if self.precomputed:
            self._refuse(NOT_OF_DISTANCES, "precomputed distances")
        if (self.columns is not None and not self.columns) or (self.exclude is not None and not self.exclude):
            raise ValueError("columns and exclude must name at least one column")
        if self.pca is not None and self.pca < 1:
            raise ValueError(f"the number of principal components must be at least 1, got {self.pca}")
        working_type(self.dtype)
        self._check_cut()
        if self.labels_format not in LABELS_FORMATS:
            raise unknown_name("format of labels", self.labels_format, LABELS_FORMATS)

    def _refuse(self, names: tuple[str, ...], what: str) -> None:
        if any(name in self.given() for name in names):
            raise ValueError(f"{', '.join(names[:-1])} and {names[-1]} mean nothing to {what}")

    def _check_cut(self) -> None:
        if sum(getattr(self, name) is not None for name in CUTS) > 1:
            raise ValueError("give one of clusters, distance and inconsistent, not several")
        if self.depth is not None and self.inconsistent is None:
            raise ValueError("depth goes with inconsistent")
        if not 1 <= self.min_size <= MOST:
            raise ValueError(f"the smallest size of a cluster must be from 1 to {MOST:,}, got {self.min_size}")
        for cut in self.cuts.values():
            cut.check()
        if not self.cuts and "clustered" in self.write:
            raise ValueError("clustered.csv holds labels: give a cut, clusters, distance or inconsistent")
        if "clustered" in self.write and (self.precomputed or self.transpose):
            raise ValueError(
                "clustered.csv repeats the rows of a table: it goes with neither precomputed nor transpose"
            )
        if not self.cuts and self.min_size > 1:
            raise ValueError("a smallest size of clusters goes with a cut: clusters, distance or inconsistent")


#: Options by name, with their defaults, and without.
TABLE: dict[str, tuple[Option, Any]] = {
    each.name: (each.metadata["option"], each.default) for each in fields(Options)
}
OPTIONS: dict[str, Option] = {name: known for name, (known, _) in TABLE.items()}
#: The names of all of them, for docstrings.
NAMES = textwrap.fill(", ".join(OPTIONS), 72)
#: Options of points, which mean nothing to precomputed distances.
NOT_OF_DISTANCES = ("p", "weights", "columns", "exclude", "missing", "transpose", "standardize", "pca", "heatmap")
#: The metric of columns of numbers and of categories, and options that mean nothing to it.
GOWER = "gower"
NOT_OF_GOWER = ("p", "weights", "transpose", "standardize", "pca", "precomputed", "heatmap")
#: Options of reading a file.
READING = tuple(name for name, known in OPTIONS.items() if known.call == "read_points")


def accepts(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command of typer these options in place of its ``**options``; without names, all of them."""
    return takes({name: TABLE[name] for name in names or TABLE})


def from_command_line(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of options, from what stands on the command line; those that are as by default are left out.

    Raises
    ------
    ValueError
        A value of the wrong kind.
    """
    found = {}
    for name, value in given.items():
        if value is None or value == TABLE[name][1]:
            continue
        try:
            found[name] = OPTIONS[name].parse(value)
        except ValueError as error:
            raise ValueError(f"--{name.replace('_', '-')} {error}, got {shortened(value)}") from None
    return {name: value for name, value in found.items() if value != TABLE[name][1]}


def recorded(parameters: Mapping[str, Any]) -> Options:
    """The options that run.json has recorded."""
    given = {name: parameters[name] for name in OPTIONS}
    found: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return Options(**found)


def command_line(options: Options) -> list[str]:
    """What stands on the command line for these options, but for the machine's."""
    given = options.given().items()
    parts = [OPTIONS[name].flags(name, value) for name, value in given if name != "device"]
    return [part for flags in parts for part in flags]
