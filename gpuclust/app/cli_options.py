"""Options that several commands have, each once. Light to import."""

from __future__ import annotations

from typing import Annotated

import typer

Method = Annotated[
    str, typer.Option("--method", "-m", help="single, complete, average, weighted, centroid, median or ward.")
]
Metric = Annotated[str, typer.Option("--metric", "-d", help="Any metric of scipy.spatial.distance.pdist, by name.")]
P = Annotated[float | None, typer.Option("--p", help="Exponent, for metric minkowski.")]
Weights = Annotated[str | None, typer.Option("--weights", help="A weight for each column, like 1,1,0.5.")]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Columns to use, by name, or by number from 0 among all columns of the file, like sepal,petal or 0,2.",
    ),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a text table is a header; found out unless given.",
        show_default=False,
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="COLUMN",
        help="The column of a table that names the rows, by name or number, or none; found out unless given.",
    ),
]
Precomputed = Annotated[
    bool, typer.Option("--precomputed", help="The data are distances: condensed, or a square matrix.")
]
Clusters = Annotated[
    int | None, typer.Option("--clusters", "-k", help="Cut into so many clusters.", rich_help_panel="Cut")
]
Distance = Annotated[
    float | None, typer.Option("--distance", "-t", help="Cut at this height.", rich_help_panel="Cut")
]
Inconsistent = Annotated[
    float | None, typer.Option("--inconsistent", help="Most inconsistency in a cluster.", rich_help_panel="Cut")
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", help="Levels compared by --inconsistent; 2 unless given.", rich_help_panel="Cut"),
]
MinSize = Annotated[
    int | None,
    typer.Option("--min-size", help="Leave out smaller clusters: their rows get label 0.", rich_help_panel="Cut"),
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="float64, or float32: half the memory.", rich_help_panel="Machine")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.", rich_help_panel="Machine")]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", help="Most memory to use, like 8GB.", rich_help_panel="Machine")
]
LabelsFormat = Annotated[
    str, typer.Option("--labels-format", help="csv, or parquet (with pyarrow).", rich_help_panel="Output")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files in the way that gpuclust did not write, or that were changed since. Never an input.",
        rich_help_panel="Output",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors and warnings.", rich_help_panel="Output")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show Python's traceback of an error.")]


def numbers(text: str) -> tuple[float, ...]:
    """Weights, from what stands behind --weights."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--weights must be numbers with commas between, like 1,1,0.5; got {text!r}") from None


def columns_of(text: str) -> tuple[str | int, ...]:
    """Columns, from what stands behind --columns; a number may be a name, which the file decides."""
    return tuple(part.strip() for part in text.split(","))
