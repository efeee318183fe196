"""Results of a comparison (`gpuclust.app.compare.compare`), and their display."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from gpuclust.app.compare.peers import Task
from gpuclust.core.memory import format_bytes
from gpuclust.core.text import displayed
from gpuclust.core.version import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Tolerance of heights relative to the largest: programs that compute squares keep half of the digits.
TOLERANCE = {"float64": 1e-7, "float32": 1e-4}


@dataclass
class Run:
    """Result of one program.

    Attributes
    ----------
    program, version : str, str or None
    status : {"done", "skipped", "failed", "timeout"}
    reason : str
        Why the status is not "done".
    seconds : float or None
        Seconds of the fastest call, without reading data and compiling.
    peak_memory_bytes : int or None
        Peak of the whole process on the host, without GPU memory.
    times : float or None
        Its seconds divided by gpuclust's.
    height_difference, relative_difference : float or None
        Largest difference from gpuclust's heights, both sorted: absolute, and relative to the height (to the largest
        one where one of the two is zero).
    same_clusters : bool or None
        Whether the cuts give the same partition.
    adjusted_rand_index : float or None
        Agreement of the partitions; 1 if they are equal.
    """

    program: str
    version: str | None
    status: str
    reason: str = ""
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    times: float | None = None
    height_difference: float | None = None
    relative_difference: float | None = None
    same_clusters: bool | None = None
    adjusted_rand_index: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Results of all programs; the first of ``runs`` is gpuclust.

    Attributes
    ----------
    task : Task
    n, m : int, int or None
        Observations and features; ``m`` is None for condensed distances.
    clusters : int
        Number of clusters of the cut; if ``suggested``, that of the elbow.
    largest_height : float
        Largest height of gpuclust's tree.
    equal_distances : float
        Share of the distances among some of the observations that occur more than once: the tree is not unique then.
    """

    task: Task
    n: int
    m: int | None
    clusters: int
    suggested: bool
    largest_height: float
    equal_distances: float
    runs: list[Run] = field(default_factory=list)

    def differs(self, run: Run) -> bool:
        """Whether a program's heights differ from ours by more than rounding."""
        allowed = TOLERANCE[self.task.dtype] * self.largest_height
        return run.height_difference is not None and not run.height_difference <= allowed

    @property
    def ok(self) -> bool:
        """Whether every program that was started succeeded, with the same heights."""
        return not any(run.status in ("failed", "timeout") or self.differs(run) for run in self.runs)

    def to_json(self) -> str:
        record = asdict(self)
        record["task"] = self.task._asdict()
        return json.dumps({"gpuclust": __version__, **record, "ok": self.ok}, indent=2)


def show(found: Comparison, data: str, screen: Console) -> None:
    """Print a comparison."""
    task = found.task
    shape = f"{found.n:,} observations, condensed" if found.m is None else f"{found.n:,} x {found.m:,} points"
    metric = "" if found.m is None else f", {task.metric}{'' if task.p is None else f' with p = {task.p:g}'}"
    screen.print(f"[bold]{task.method} linkage[/]{metric}, {task.dtype}: ", end="")
    screen.print(displayed(f"{data}, {shape}"), markup=False)
    screen.print(_table(found))
    for run in found.runs:
        if run.status != "done":
            colour = "yellow" if run.status == "skipped" else "bold red"
            screen.print(f"[{colour}]{run.program} {'' if run.status == 'timeout' else run.status}[/]: ", end="")
            screen.print(displayed(run.reason), markup=False)
    versions = [f"{run.program} {run.version}" for run in found.runs if run.status == "done" and run.version]
    screen.print(f"Versions: {', '.join(versions)}. Memory is the peak of the whole process.")
    if found.suggested and any(run.status == "done" for run in found.runs[1:]):
        screen.print(f"{found.clusters} clusters is the number that the elbow suggests; --clusters sets another one.")
    if any(found.differs(run) for run in found.runs):
        screen.print(
            "[bold red]Heights differ by more than rounding.[/] "
            + (
                f"{found.equal_distances:.2%} of the distances (between the first observations) occur more than "
                "once: more than one tree is right then."
                if found.equal_distances
                else "No distance (between the first observations) occurs twice, so one of the programs is wrong."
            )
        )


def _table(found: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("program", no_wrap=True)
    for heading in ("seconds", "of ours", "memory", "height diff", "relative"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"{found.clusters} clusters", no_wrap=True)
    for run in found.runs:
        if run.status != "done":
            continue
        table.add_row(
            run.program,
            f"{run.seconds:.3g}",
            f"{run.times:.2f}x",
            "" if run.peak_memory_bytes is None else format_bytes(run.peak_memory_bytes),
            "" if run.height_difference is None else f"{run.height_difference:.1e}",
            "" if run.relative_difference is None else f"{run.relative_difference:.1e}",
            _agreement(run),
            style="bold red" if found.differs(run) else None,
        )
    return table


def _agreement(run: Run) -> str:
    if run.same_clusters is None:
        return ""
    return "the same" if run.same_clusters else f"Rand index {run.adjusted_rand_index:.3f}"
