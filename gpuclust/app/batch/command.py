"""``gpuclust batch``: its options, and the printed plan and summary. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpuclust.app import cli_options as options
from gpuclust.app.options import NAMES, accepts, from_command_line
from gpuclust.app.terminal import FAILED, allow_unwinding, console, plain_errors, say_how_to_stop
from gpuclust.core.text import displayed, documented

if TYPE_CHECKING:
    from gpuclust.app.batch.outcome import Outcome
    from gpuclust.app.batch.prepare import Settings

EPILOG = """[bold]Examples[/bold]

gpuclust batch measurements/ --out out/all --method ward --clusters 5

gpuclust batch "runs/*.npy" extra.csv --out out/runs --distance 2.5 --plots none

gpuclust batch manifest.toml --out out/study --dry-run

gpuclust batch --verify out/study

Killed or stopped, the same command goes on where it was: what is complete for the same content and options is not
done again. Where Ctrl-C is ignored (in the background of a script), stop it with kill PID. Exit codes: 0 all
complete, 1 some data set failed (--verify: a file is not as it was written) or the Dask cluster was lost, 2 nothing
could be begun, 130 stopped by Ctrl-C, 143 by kill."""

#: Time to write the summary after Ctrl-C.
_UNWIND_SECONDS = 10.0
#: Failures listed at the end of a batch.
_LISTED = 10


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="Files (.npy, .npz, .csv, .tsv, .txt, .parquet, .feather), patterns, folders (with all folders in "
        "them), and manifests: .toml, or .csv with a column named path.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results.", rich_help_panel="Output")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Processes on the CPU; one a core unless given.", rich_help_panel="Machine", min=1
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler (tcp://host:8786): the workers of its cluster do the data sets.",
        rich_help_panel="Machine",
    ),
]
ClusterTimeout = Annotated[
    float,
    typer.Option(
        "--cluster-timeout",
        metavar="SECONDS",
        help="With --scheduler: end the batch if the cluster is without workers for this long.",
        rich_help_panel="Machine",
    ),
]
Plots = Annotated[
    str,
    typer.Option(
        "--plots",
        help="Pictures as .png: all, none, or auto: for up to 200 data sets. Reports have drawings anyway.",
        rich_help_panel="Output",
    ),
]
NoReports = Annotated[bool, typer.Option("--no-reports", help="Write no report.html.", rich_help_panel="Output")]
LogFormat = Annotated[
    str, typer.Option("--log-format", help="text, or json: one object a line on stdout.", rich_help_panel="Output")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan of every data set, and do nothing.")]
Verify = Annotated[
    Path | None,
    typer.Option(
        "--verify",
        metavar="OUT",
        help="Compute nothing: check that all files of a finished batch are as they were written.",
    ),
]


@accepts()
@documented(options=NAMES)
def batch(
    inputs: Inputs = None,
    *,
    out: Out = None,
    memory_limit: options.MemoryLimit = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster_timeout: ClusterTimeout = 600.0,
    plots: Plots = "auto",
    no_reports: NoReports = False,
    log_format: LogFormat = "text",
    dry_run: DryRun = False,
    overwrite: options.Overwrite = False,
    verify: Verify = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    **given: Any,
) -> None:
    """Cluster many data sets, each into a folder of its own.

    Each folder in --out gets Z.npy, labels.csv, dendrogram.png, elbow.png,
    scatter.png, run.json and report.html, a page that needs no other file.
    summary.csv and index.html cover all of them. A data set that fails gets
    error.json, and stops no other one.

    Files that gpuclust did not write are neither replaced nor removed, unless
    --overwrite says so; a link in --out is not followed.

    Options are defaults: a manifest may say otherwise for each data set, by
    the columns or keys path, name, key (of an .npz file), and
    {options}
    """
    with plain_errors(debug):
        if verify is not None:
            well = _verify(verify, inputs, out)
        elif not inputs or out is None:
            raise ValueError(f"{'a data set' if out else '--out'} is missing; see gpuclust batch --help")
        else:
            from gpuclust.app.batch.prepare import Settings

            device = str(given.pop("device"))
            defaults = from_command_line(given)
            settings = Settings(workers, memory_limit, device, plots, not no_reports, overwrite, defaults)
            _check_defaults(settings, out)
            if dry_run:
                well = _print_plan(inputs, out, settings, log_format)
            else:
                well = _run(inputs, out, settings, scheduler, cluster_timeout, log_format, quiet)
    if not well:
        raise typer.Exit(FAILED)


def _check_defaults(settings: Settings, out: Path) -> None:
    from gpuclust.app.batch.entry import Entry

    Entry("", settings.defaults, "").job(out).check()


def _run(
    inputs: list[str],
    out: Path,
    settings: Settings,
    scheduler: str | None,
    timeout: float,
    log_format: str,
    quiet: bool,
) -> bool:
    """Run a batch and print its summary; return whether no data set failed."""
    from gpuclust.app.batch.engine import iterate
    from gpuclust.app.batch.log import listener_for
    from gpuclust.dask.connection import connect

    listener = listener_for(log_format, quiet)
    allow_unwinding(_UNWIND_SECONDS)
    if not quiet:
        say_how_to_stop()
    client = None if scheduler is None else connect(scheduler)
    finished = iterate(
        inputs,
        out,
        workers=settings.workers,
        memory_limit=settings.memory_limit,
        device=settings.device,
        plots=settings.plots,
        reports=settings.reports,
        overwrite=settings.overwrite,
        listener=listener,
        client=client,
        timeout=timeout,
        **settings.defaults,
    )
    outcomes = sorted(finished, key=lambda outcome: outcome.index)
    if log_format == "text":
        _print_errors(outcomes) if quiet else _print_summary(outcomes, out)
    return all(outcome.ok for outcome in outcomes)


def _verify(out: Path, inputs: list[str] | None, other: Path | None) -> bool:
    """Print the changed files in the folder of a batch; return whether there are none."""
    from gpuclust.app.batch.verify import verify

    if inputs or other is not None:
        raise ValueError("--verify takes the folder of a finished batch, and neither data sets nor --out")
    wrong, complete = verify(out)
    for line in wrong:
        print(displayed(line))
    print(f"{complete:,} data sets are as they were written{f'; {len(wrong):,} files are not' if wrong else ''}")
    return not wrong


def _print_plan(inputs: list[str], out: Path, settings: Settings, log_format: str) -> bool:
    """Print the plan of each data set; return whether all of them can be run."""
    import json

    from rich.table import Table
    from rich.text import Text

    from gpuclust.app.batch.folders import Folders
    from gpuclust.app.batch.inputs import collect
    from gpuclust.app.batch.prepare import inputs_of, prepare
    from gpuclust.core.memory import format_bytes

    settings.check()
    named = collect(inputs, settings.defaults, out)
    folders = Folders(out, overwrite=settings.overwrite, inputs=inputs_of(named, inputs))
    tasks, refused = prepare(named, out, settings, folders)
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    for head in ("data set", "data", "method", "cut", "algorithm", "device", "memory"):
        table.add_column(head, justify="right" if head == "memory" else "left", overflow="fold")
    for task in sorted(tasks, key=lambda task: -task.estimate.cost):
        plan, job = task.estimate.plan, task.job
        cut = ", ".join(map(str, job.cuts.values())) or "-"
        if log_format == "json":
            known = {} if plan is None else {"n": plan.n, "m": plan.m, "algorithm": plan.algorithm}
            planned = {
                "event": "plan",
                "name": task.name,
                "data": job.data,
                "method": job.method,
                "cut": cut,
                **known,
            }
            device = "cpu" if plan is None else plan.device
            print(json.dumps({**planned, "device": device, "memory": task.estimate.memory}))
        elif plan is None:
            table.add_row(Text(displayed(task.name)), "cannot be looked at: reading it will tell", job.method, cut)
        else:
            shape = f"{plan.n:,} x {plan.m:,}" if plan.m is not None else f"{plan.n:,}, distances"
            memory = format_bytes(task.estimate.memory)
            table.add_row(Text(displayed(task.name)), shape, job.method, cut, plan.algorithm, plan.device, memory)
    for outcome, _ in refused:
        if log_format == "json":
            print(json.dumps({"event": "refused", "name": outcome.name, "message": outcome.error}))
        else:
            table.add_row(Text(displayed(outcome.name)), Text(displayed(f"refused: {outcome.error}")))
    if log_format != "json":
        screen = console()
        screen.print(table)
        workers = "one process a core" if settings.workers is None else f"{settings.workers} processes"
        screen.print(
            f"{len(tasks):,} data sets to {displayed(out)}, the largest first, {workers}, "
            f"{format_bytes(settings.limit)} of memory for all that run together.",
            markup=False,
        )
    return not refused and all(task.estimate.plan is not None for task in tasks)


def _print_errors(outcomes: list[Outcome]) -> None:
    """Print the errors on standard error, one line each."""
    import sys

    for outcome in outcomes:
        if not outcome.ok:
            print(displayed(f"gpuclust: error: {outcome.name}: {outcome.error}"), file=sys.stderr, flush=True)


def _print_summary(outcomes: list[Outcome], out: Path) -> None:
    from collections import Counter

    from gpuclust.core.text import displayed

    counts = Counter(outcome.status for outcome in outcomes)
    said = ", ".join(f"{counts[status]:,} {status}" for status in ("done", "unchanged", "failed") if counts[status])
    print(f"{len(outcomes):,} data sets: {said}")
    bad = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in bad[:_LISTED]:
        print(displayed(f"  {outcome.name}: {outcome.error}"))
    if len(bad) > _LISTED:
        print(f"  and {len(bad) - _LISTED:,} more: see summary.csv")
    print(displayed(f"results: {out / 'index.html'}"))
