"""The command line: options and output of each command.

Nothing heavy is imported here, so that ``gpuclust --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gpuclust.app import cli_options as options
from gpuclust.app.batch.command import EPILOG, batch
from gpuclust.app.options import READING, Options, accepts, from_command_line
from gpuclust.app.terminal import ProgressBar, plain_errors, stoppable

app = typer.Typer(
    name="gpuclust",
    help="Exact hierarchical clustering with SciPy's contract, on CUDA GPUs or on all CPU cores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import gpuclust

        print(f"gpuclust {gpuclust.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="""[bold]Examples[/bold]

gpuclust run points.csv --method ward --clusters 5

gpuclust run points.npy --metric cityblock --distance 2.5 --out out/cityblock

gpuclust run arrays.npz:X --method complete --inconsistent 1.2 --depth 4 --no-plots

Exit codes: 0 done, 2 the data or an option is at fault, 1 anything else, 130 stopped by Ctrl-C.""",
)
@accepts()
def run(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Rows of numbers: .npy (memory-mapped), .npz (FILE.npz:NAME picks an array), .csv, .tsv or .txt, "
            "with or without a header, a column may name the rows; .parquet or .feather. One dimension: condensed "
            "distances.",
            show_default=False,
        ),
    ],
    *,
    memory_limit: options.MemoryLimit = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results; out/NAME unless given.", rich_help_panel="Output"),
    ] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Draw no pictures.", rich_help_panel="Output")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html and scatter.png too.", rich_help_panel="Output")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print run.json instead of a summary.", rich_help_panel="Output")
    ] = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    **given: Any,
) -> None:
    """Cluster one data set, and write the results into a folder.

    The folder gets Z.npy (linkage matrix), labels.csv (row from 0, name,
    label from 1), dendrogram.png, elbow.png, and run.json (parameters,
    versions, device, algorithm, seconds, peak memory).

    Without --clusters, --distance or --inconsistent the tree is not cut:
    no labels.csv is written, and the number of clusters that the elbow
    suggests is only printed. Look at the dendrogram before believing it.

    Results of an earlier run are replaced; files that gpuclust did not
    write, or that were changed since, are not, unless --overwrite says so.
    """
    with plain_errors(debug):
        from gpuclust.app.data.standard_input import spooled
        from gpuclust.app.job.job import Job
        from gpuclust.app.job.printed import default_folder, print_summary
        from gpuclust.app.job.runner import run as run_job

        with spooled(data) as path:
            job = Job(
                path,
                out or default_folder(path),
                memory_limit=memory_limit,
                plots=not no_plots,
                report=report,
                overwrite=overwrite,
                **from_command_line(given),
            )
            with ProgressBar(quiet) as bar:
                result = run_job(job, bar)
        if as_json:
            print(json.dumps(result.record, indent=2))
        elif not quiet:
            print_summary(job, result)


app.command(epilog=EPILOG)(batch)


@app.command(
    epilog="""[bold]Examples[/bold]

gpuclust plan 1000000 2 --method ward

gpuclust plan points.npy --method average --memory-limit 8GB

Exit codes: 0 it fits, 1 it does not, 2 the data or an option is at fault.""",
)
@accepts("method", "metric", *READING, "dtype", "device")
def plan(
    what: Annotated[
        str, typer.Argument(metavar="N|FILE", help="Number of observations, or a data file.", show_default=False)
    ],
    features: Annotated[
        int | None,
        typer.Argument(
            metavar="[M]", help="Number of features; without it, condensed distances.", show_default=False
        ),
    ] = None,
    *,
    memory_limit: options.MemoryLimit = None,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="auto, or the one to plan with.", rich_help_panel="Machine")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    debug: options.Debug = False,
    **given: Any,
) -> None:
    """Plan a linkage without computing it.

    Prints the algorithm, the device, the reasons, and the predicted memory
    with the limit; if it does not fit, changes that would make it fit. Only
    the header of a .npy or .npz file is read.
    """
    with plain_errors(debug):
        from gpuclust.app import plan_report
        from gpuclust.app.data.standard_input import spooled
        from gpuclust.plan import plan as planned

        chosen = Options(**from_command_line(given))
        with spooled(what) as path:
            n, m, how = plan_report.size_of(path, features, **chosen.arguments_of("read_points"))
        found = planned(
            n,
            m,
            chosen.method,
            chosen.metric_of_linkage,
            chosen.dtype,
            chosen.device,
            memory_limit,
            algorithm=algorithm,
        )
        plan_report.show(found, as_json, how)
    if not found.fits:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures and results.")] = Path("out/demo"),
    points: Annotated[int, typer.Option("--points", min=100, help="Size of the last, generated data set.")] = 20_000,
    examples: Annotated[
        Path | None, typer.Option("--examples", help="Folder with digits.npz; the package's unless given.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")] = "auto",
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Demonstrate gpuclust: the SciPy tutorial's figures, handwritten digits, and 20,000 points timed against SciPy.

    Takes about a minute, most of it for SciPy, if that is installed. Exit code 1 if any figure differs.
    """
    with plain_errors(debug):
        from gpuclust.app import demo as demonstration

        equal = demonstration.run(out, points=points, examples=examples, device=device, overwrite=overwrite)
    if not equal:
        raise typer.Exit(1)


@app.command(
    epilog="""[bold]Examples[/bold]

gpuclust compare points.csv --method ward --against scipy,fastcluster

gpuclust compare big.npy --sample 20000 --threads 8 --timeout 3600 --json

Exit codes: 0 all agree, 1 heights differ or a program failed or took too long, 2 the data or an option is at fault,
130 stopped by Ctrl-C."""
)
@accepts("method", "metric", "p", *READING, "clusters", "dtype", "device")
def compare(
    data: Annotated[str, typer.Argument(metavar="DATA", help="As for gpuclust run: points, or condensed distances.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            "-a",
            help="Programs, with commas between, of scipy, fastcluster, fastcluster.linkage_vector, sklearn and "
            "quitefastmst. By default the installed ones of scipy, fastcluster and sklearn.",
            show_default=False,
        ),
    ] = None,
    *,
    sample: Annotated[
        int | None, typer.Option("--sample", help="Size of a random sample of the observations.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random sample.")] = 0,
    repeat: Annotated[int, typer.Option("--repeat", help="Calls of each program; the fastest counts.")] = 1,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds after which a program is stopped.")] = 600.0,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads of each multithreaded program.", min=1)
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", help="Skip programs that need more, like 8GB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    debug: options.Debug = False,
    **given: Any,
) -> None:
    """Compare gpuclust with other programs on your data.

    Each program runs in a process of its own, after a small warm-up call.
    Prints seconds, peak memory of the process, the largest difference of
    merge heights, and whether the clusters are the same (without --clusters,
    of a cut into the number that the elbow suggests). A program that does
    not support the task, or would not fit into memory, is skipped with the
    reason.
    """
    with plain_errors(debug):
        from gpuclust.app.compare import compare as comparison
        from gpuclust.app.data.standard_input import spooled
        from gpuclust.core.memory import parse_bytes

        names = None if against is None else [name.strip() for name in against.split(",") if name.strip()]
        most = None if memory_limit is None else parse_bytes(memory_limit)
        chosen = Options(**from_command_line(given))
        task = comparison.Task(chosen.method, chosen.metric_of_linkage, chosen.p, chosen.dtype, chosen.device, most)
        if isinstance(chosen.clusters, tuple):
            raise ValueError("--clusters must be one number for compare")
        clusters = None if chosen.clusters is None else int(chosen.clusters)
        how = comparison.Options(clusters, sample, seed, repeat, timeout, threads)
        with spooled(data) as path:
            well = comparison.run(path, names, task, how, as_json, **chosen.arguments_of("read_points"))
    if not well:
        raise typer.Exit(1)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="Check the workers of a Dask cluster instead: tcp://HOST:PORT.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Describe this machine, and check that gpuclust computes correct results on it.

    Prints driver, GPUs, versions and the folder of compiled kernels, and
    what is missing if a GPU cannot be used. Then every primitive is checked
    on the CPU and on every GPU, and all linkages. Takes less than a minute.
    Exit code 1 if a check fails; a missing GPU is no failure.
    """
    with plain_errors(debug):
        if scheduler is not None:
            from gpuclust.app import doctor_cluster

            well = doctor_cluster.run(scheduler, as_json)
        else:
            from gpuclust.app import doctor as examination

            well = examination.run(as_json)
    if not well:
        raise typer.Exit(1)


def main() -> None:
    """The ``gpuclust`` program."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the terminal's encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    code = stoppable(lambda: app(prog_name="gpuclust"))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
    except ValueError:  # closed
        pass
    if code == 128 + signal.SIGPIPE:  # nothing more can be said, also not when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
