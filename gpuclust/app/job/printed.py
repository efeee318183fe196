"""The summary of a run that ``gpuclust run`` prints, and the folder that it uses unless one is given."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from gpuclust.app.data.files import split_key
from gpuclust.app.data.text_file import uncompressed
from gpuclust.app.job.job import Job
from gpuclust.app.job.runner import Result
from gpuclust.app.terminal import console
from gpuclust.core.text import displayed

#: Clusters listed, the largest first.
LISTED = 10


def default_folder(data: str) -> Path:
    """Return ``out/digits-pixels`` for ``examples/digits.npz:pixels``."""
    path, key = split_key(data)
    stem = Path(uncompressed(path.name)).stem
    return Path("out") / (stem if key is None else f"{stem}-{key}")


def print_summary(job: Job, result: Result) -> None:
    """Print a table of the data, the linkage, the clusters, the time and the files."""
    record, screen = result.record, console()
    given = record["input"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    shape = " x ".join(f"{length:,}" for length in given["shape"])
    table.add_row("data", f"{shape}, {given['kind']}")
    where = f"on {record['device']} ({record['algorithm']})"
    table.add_row("linkage", f"{job.method}, {job.metric}, {job.dtype}, {where}")
    heights = " ".join(f"{height:.6g}" for height in record["result"]["last_heights"][-4:])
    table.add_row("last heights", heights)
    if result.labels is None:
        table.add_row("clusters", "not cut: give --clusters, --distance or --inconsistent to get labels")
    else:
        table.add_row("clusters", _sizes(record["result"]["cluster_sizes"], record["result"]["clusters"]))
        for title, clusters in list(record["result"]["cuts"].items())[1:]:
            table.add_row("", f"{title} (labels): {clusters:,}")
    if result.suggested is not None:
        table.add_row("elbow suggests", f"{result.suggested} clusters (look at the dendrogram before you believe it)")
    seconds = record["seconds"]
    parts = ", ".join(f"{name} {spent:.2f}" for name, spent in seconds.items() if name != "total")
    table.add_row("seconds", f"{seconds['total']:.2f} ({parts})")
    if record["peak_memory_bytes"] is not None:
        table.add_row("peak memory", f"{record['peak_memory_bytes'] / 1e6:,.0f} MB")
    table.add_row("results", Text(displayed(f"{job.out}: {', '.join(record['files'])}")))
    screen.print(table)


def _sizes(sizes: list[int], clusters: int) -> str:
    listed = ", ".join(f"{size:,}" for size in sorted(sizes, reverse=True)[:LISTED])
    return f"{clusters:,} of sizes {listed}{', ...' if clusters > LISTED else ''}"
