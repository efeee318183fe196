"""One data set in gpuclust and in other programs: seconds, peak memory, differences of heights and of clusters.

Each program runs in a process of its own (`gpuclust.app.compare.peers`), one after the other, on data that lie in a
file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.app.compare.comparison import Comparison, Run, show
from gpuclust.app.compare.peers import PEERS, Size, Task, part_of
from gpuclust.app.data.files import read_points
from gpuclust.app.data.output import atomic_write
from gpuclust.app.job.results import suggest_clusters
from gpuclust.app.terminal import ProgressBar, console
from gpuclust.core import methods, metrics
from gpuclust.core.memory import available_memory, format_bytes
from gpuclust.core.observations import check_observations, count
from gpuclust.core.rounded import not_negative
from gpuclust.core.text import displayed
from gpuclust.distance import pdist
from gpuclust.errors import GpuclustError, InputFileError, unknown_name
from gpuclust.hierarchy.correspondence import adjusted_rand_index, is_isomorphic
from gpuclust.hierarchy.cut import fcluster
from gpuclust.plan import check_euclidean, plan

if TYPE_CHECKING:
    from rich.console import Console

OURS = "gpuclust"
#: What is compared where nothing is said: those of these that are installed.
DEFAULT = ("scipy", "fastcluster", "sklearn")
#: Bytes of a process that has only imported what it needs.
PROCESS = 200_000_000
#: Variables that say how many threads a program may take: ours, OpenMP's, and those of BLAS.
THREADS = ("GPUCLUST_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

PEER_MISSING = "{} is not installed: pip install {} (or 'gpuclust[bench]' for all that can be compared with)"
NONE_INSTALLED = f"None of {', '.join(DEFAULT)} is installed: pip install scipy (or 'gpuclust[bench]' for all)"


class ComparisonError(GpuclustError, RuntimeError):
    """A comparison that cannot be made: a program that is not installed, or gpuclust itself came to no end."""


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes
    ----------
    clusters : int or None
        Into how many clusters to cut; None for the elbow's suggestion.
    sample, seed : int or None, int
        Take so many observations only, drawn at random.
    repeat : int
        Calls of each program; the fewest seconds count.
    timeout : float
        Seconds after which a program is stopped.
    threads : int or None
        Threads of each program that knows threads; None for what each takes by itself.
    """

    clusters: int | None = None
    sample: int | None = None
    seed: int = 0
    repeat: int = 1
    timeout: float = 600.0
    threads: int | None = None

    def check(self) -> None:
        """``ValueError`` for a number that is out of range."""
        for name, least in (("clusters", 1), ("sample", 2), ("repeat", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be a number of seconds above zero, got {self.timeout}")


AVERAGE, AS_USUAL = Task("average"), Options()


def run(
    data: str,
    against: Sequence[str] | None = None,
    task: Task = AVERAGE,
    options: Options = AS_USUAL,
    as_json: bool = False,
    screen: Console | None = None,
    *,
    header: bool | None = None,
    index: str | int | None = None,
) -> bool:
    """Compare on a file, and print what came of it; whether all is well (`Comparison.ok`).

    ``header`` and ``index`` are those of `gpuclust.app.data.files.read_points`.
    """
    names = choose(against)
    read = read_points(data, header=header, index=index)
    values = read.values
    with ProgressBar(quiet=as_json) as bar:
        try:
            found = compare(values, names, task, options, bar.phase)
        except InputFileError as error:
            raise InputFileError(f"{data}: {error}") from error
    screen = screen or console()
    if as_json:
        print(found.to_json(), file=screen.file)
    else:
        screen.print(displayed(read.how), markup=False)
        show(found, data, screen)
    return found.ok


def choose(against: Sequence[str] | None) -> list[str]:
    """The programs that are asked for, or the usual ones that are installed.

    Raises
    ------
    ValueError
        For a name that there is not.
    ComparisonError
        For a program that is not installed; the message says what to install.
    """
    names = list(dict.fromkeys(against or ()))
    for name in names:
        if name not in PEERS or name == OURS:
            raise unknown_name("program to compare with", name, set(PEERS) - {OURS})
        if not PEERS[name].installed:
            raise ComparisonError(PEER_MISSING.format(name, PEERS[name].distribution))
    names = names or [name for name in DEFAULT if PEERS[name].installed]
    if not names:
        raise ComparisonError(NONE_INSTALLED)
    return names


def compare(
    values: np.ndarray,
    names: Sequence[str],
    task: Task = AVERAGE,
    options: Options = AS_USUAL,
    phase: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """
    Cluster a data set by gpuclust and by other programs, and hold their trees against each other.

    Parameters
    ----------
    values : ndarray, shape (n, m) or (n (n - 1) / 2,)
        Points or condensed distances.
    names : sequence of str
        Names of `gpuclust.app.compare.peers.PEERS`.
    task : Task
        Linkage, metric and gpuclust's options. ``memory_limit`` holds for every program.
    options : Options
    phase : callable
        Is told what is under way.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For a method, metric or number that is not allowed.
    InputFileError
        For data that cannot be clustered.
    DoesNotFit, BackendUnavailable
        If that is so of gpuclust; another program is skipped then.
    ComparisonError
        If gpuclust itself fails or takes longer than the options allow.
    """
    metric = metrics.resolve(task.metric, task.p)
    if not isinstance(metric, metrics.Metric):
        raise ValueError(f"metric must be a name, got {task.metric!r}")
    check_euclidean(methods.resolve(task.method), metric.name)
    options.check()
    data = _observations(values, task)
    size = Size(count(data), data.shape[1] if data.ndim == 2 else None)
    if options.sample is not None and options.sample < size.n:
        rows = np.sort(np.random.default_rng(options.seed).choice(size.n, options.sample, replace=False))
        data, size = part_of(data, rows), Size(options.sample, size.m)
    if options.clusters is not None and options.clusters > size.n:
        raise ValueError(f"{options.clusters} clusters were asked for, but there are {size.n} observations")
    measured_by = "euclidean" if size.m is None else task.metric
    plan(*size, task.method, measured_by, task.dtype, task.device, task.memory_limit).check()
    equal = equal_distances(data, task)
    with tempfile.TemporaryDirectory(prefix="gpuclust-") as folder:
        file = Path(folder) / "data.npy"
        with atomic_write(file) as out:
            np.save(out, data)
        del data
        phase(OURS)
        ours, Z = _measure(OURS, task, file, size.n, options)
        if Z is None:
            raise ComparisonError(f"gpuclust: {ours.reason}")
        ours.times = 1.0
        clusters = options.clusters or suggest_clusters(Z) or 2
        runs = [ours]
        for name in names:
            phase(f"{name} (it does not say how far it is)")
            reason = _obstacle(name, task, size)
            if reason:
                runs.append(Run(name, PEERS[name].version, "skipped", reason))
                continue
            theirs, other = _measure(name, task, file, size.n, options)
            if other is not None:
                _hold_against(theirs, other, ours, Z, clusters)
            runs.append(theirs)
    return Comparison(task, size.n, size.m, clusters, options.clusters is None, float(Z[:, 2].max()), equal, runs)


def _observations(values: np.ndarray, task: Task) -> np.ndarray:
    """What every program is given: float64 (what some would make of it themselves), or booleans."""
    try:
        data = check_observations(values)
        if data.ndim == 1:
            data = not_negative(data)
    except ValueError as error:
        raise InputFileError(str(error)) from error
    return data if data.dtype.kind == "b" else np.asarray(data, dtype=np.float64)


def _obstacle(name: str, task: Task, size: Size) -> str:
    """Why a program is not started; empty if it is."""
    peer = PEERS[name]
    cannot = peer.cannot(task, size)
    if cannot:
        return cannot
    needed = PROCESS + size.input_bytes + peer.memory(size)
    allowed = available_memory() if task.memory_limit is None else task.memory_limit
    if needed > allowed:
        return f"would need {format_bytes(needed)} of memory, and {format_bytes(allowed)} may be used"
    return ""


def _measure(name: str, task: Task, data: Path, n: int, options: Options) -> tuple[Run, np.ndarray | None]:
    """Run one program in a process; what came of it, and its tree if there is one."""
    tree = data.with_name("tree.npy")
    tree.unlink(missing_ok=True)
    job = {"peer": name, "task": task._asdict(), "data": str(data), "n": n, "tree": str(tree)}
    job["repeat"] = options.repeat
    found = Run(name, PEERS[name].version, "failed")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpuclust.app.compare.peers", json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            env=_environment(options.threads),
        )
        if not _wait(process, options.timeout):
            found.status, found.reason = "timeout", f"stopped after {options.timeout:g} s"
            return found, None
        said.seek(0)
        complained.seek(0)
        lines = complained.read().decode(errors="replace").splitlines()
        if process.returncode != 0:
            found.reason = _why(process.returncode, lines)
            return found, None
        measured = json.loads(said.read().splitlines()[-1])
    found.status = "done"
    found.seconds, found.peak_memory_bytes = measured["seconds"], measured["peak_memory_bytes"]
    return found, np.load(tree)


def _environment(threads: int | None) -> dict[str, str]:
    """This process's, with this package in reach, and not what lies in the working directory."""
    path = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    limits = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Whether it ended in time; it is ended in any case. Short waits, so that Ctrl-C takes effect."""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            try:
                process.wait(timeout=0.1)
                return True
            except subprocess.TimeoutExpired:
                continue
        return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _why(code: int, lines: list[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return lines[-1] if lines else f"exit code {code}"


def _hold_against(theirs: Run, other: np.ndarray, ours: Run, Z: np.ndarray, clusters: int) -> None:
    """Fill in how one program's tree and time differ from ours."""
    assert ours.seconds is not None
    assert theirs.seconds is not None
    theirs.times = theirs.seconds / ours.seconds
    theirs.height_difference, theirs.relative_difference = differences(Z[:, 2], other[:, 2])
    mine, their = (fcluster(tree, clusters, "maxclust") for tree in (Z, other))
    theirs.same_clusters = bool(is_isomorphic(mine, their))
    theirs.adjusted_rand_index = adjusted_rand_index(mine, their)


def differences(heights: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """The largest difference of sorted heights: as it is, and as a part of the height (of the largest at zero)."""
    heights, others = np.sort(heights), np.sort(others)
    apart, smaller, larger = np.abs(heights - others), np.minimum(heights, others), np.maximum(heights, others)
    scale = np.where(smaller > 0, larger, larger.max())
    relative = np.divide(apart, scale, out=np.zeros_like(apart), where=apart > 0)
    return float(apart.max()), float(relative.max())


def equal_distances(data: np.ndarray, task: Task, most: int = 500) -> float:
    """Which part of the distances between the first ``most`` observations is equal to another one of them."""
    part = part_of(data, np.arange(min(most, count(data))))
    if part.ndim == 2:
        arguments: dict[str, Any] = {} if task.p is None else {"p": task.p}
        part = pdist(part, task.metric, device="cpu", **arguments)
    times = np.unique(part, return_counts=True)[1]
    return float(times[times > 1].sum() / part.size)
