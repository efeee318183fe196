"""``gpuclust compare``: time, peak memory and results of gpuclust and other programs on one data set.

The programs run one after another, each in a process of its own (`gpuclust.app.compare.process`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.app.compare.comparison import Comparison, Run, show
from gpuclust.app.compare.peers import PEERS, Size, Task, part_of
from gpuclust.app.compare.process import measure
from gpuclust.app.data.files import read_points
from gpuclust.app.data.mixed import as_gower
from gpuclust.app.data.output import atomic_write
from gpuclust.app.data.precomputed import as_distances
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
from gpuclust.report.page import suggested_clusters

if TYPE_CHECKING:
    from rich.console import Console

OURS = "gpuclust"
#: Programs compared by default, if they are installed.
DEFAULT = ("scipy", "fastcluster", "sklearn")
#: Bytes of a process after its imports.
PROCESS = 200_000_000

PEER_MISSING = "{} is not installed: pip install {} (or 'gpuclust[bench]' for all that can be compared with)"
NONE_INSTALLED = f"None of {', '.join(DEFAULT)} is installed: pip install scipy (or 'gpuclust[bench]' for all)"


class ComparisonError(GpuclustError, RuntimeError):
    """A comparison is impossible: a program is not installed, or gpuclust itself failed or timed out."""


@dataclass(frozen=True)
class Options:
    """Options of a comparison.

    Attributes
    ----------
    clusters : int or None
        Number of clusters of the cut; None for the number that the elbow suggests.
    sample, seed : int or None, int
        Size of a random sample of the observations, and its seed; None for all of them.
    repeat : int
        Number of calls of each program; the shortest counts.
    timeout : float
        Seconds after which a program is stopped.
    threads : int or None
        Threads of each multithreaded program; None for its own default.
    """

    clusters: int | None = None
    sample: int | None = None
    seed: int = 0
    repeat: int = 1
    timeout: float = 600.0
    threads: int | None = None

    def check(self) -> None:
        """Raise ``ValueError`` for a number out of range."""
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
    **reading: Any,
) -> bool:
    """Compare on the data of a file, print the result, and return `Comparison.ok`.

    ``reading`` are options of `gpuclust.app.data.files.read_points`.
    """
    names = choose(against)
    read = read_points(data, **reading)
    if reading.get("distances"):
        read = as_distances(read)
    elif reading.get("mixed"):
        read = as_gower(read, task.memory_limit)
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
    """Return the requested programs, or by default those of `DEFAULT` that are installed.

    Raises
    ------
    ValueError
        For an unknown name.
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
    """Cluster a data set with gpuclust and with other programs, and compare the trees.

    Parameters
    ----------
    values : ndarray of shape (n, m) or (n (n - 1) / 2,)
        Points or condensed distances.
    names : sequence of str
        Names of `gpuclust.app.compare.peers.PEERS`.
    task : Task
        Linkage, metric and options of gpuclust. ``memory_limit`` applies to every program.
    options : Options
    phase : callable
        Called with the name of each phase.

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
        If gpuclust cannot run; another program is skipped in that case.
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
        clusters = options.clusters or suggested_clusters(Z) or 2
        runs = [ours]
        for name in names:
            phase(f"{name} (no progress available)")
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
    """Return the input of all programs: float64, to which some would convert it themselves, or booleans."""
    try:
        data = check_observations(values)
        if data.ndim == 1:
            data = not_negative(data)
    except ValueError as error:
        raise InputFileError(str(error)) from error
    return data if data.dtype.kind == "b" else np.asarray(data, dtype=np.float64)


def _obstacle(name: str, task: Task, size: Size) -> str:
    """Return why a program is skipped; empty if it is not."""
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
    return measure(name, task, data, n, options.repeat, options.timeout, options.threads)


def _hold_against(theirs: Run, other: np.ndarray, ours: Run, Z: np.ndarray, clusters: int) -> None:
    """Set the ratio of times and the differences of the trees."""
    assert ours.seconds is not None
    assert theirs.seconds is not None
    theirs.times = theirs.seconds / ours.seconds
    theirs.height_difference, theirs.relative_difference = differences(Z[:, 2], other[:, 2])
    mine, their = (fcluster(tree, clusters, "maxclust") for tree in (Z, other))
    theirs.same_clusters = bool(is_isomorphic(mine, their))
    theirs.adjusted_rand_index = adjusted_rand_index(mine, their)


def differences(heights: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Return the largest absolute and relative difference of sorted heights (relative to the largest at zero)."""
    heights, others = np.sort(heights), np.sort(others)
    apart, smaller, larger = np.abs(heights - others), np.minimum(heights, others), np.maximum(heights, others)
    scale = np.where(smaller > 0, larger, larger.max())
    relative = np.divide(apart, scale, out=np.zeros_like(apart), where=apart > 0)
    return float(apart.max()), float(relative.max())


def equal_distances(data: np.ndarray, task: Task, most: int = 500) -> float:
    """Return the share of distances, among the first ``most`` observations, that occur more than once."""
    part = part_of(data, np.arange(min(most, count(data))))
    if part.ndim == 2:
        arguments: dict[str, Any] = {} if task.p is None else {"p": task.p}
        part = pdist(part, task.metric, device="cpu", **arguments)
    times = np.unique(part, return_counts=True)[1]
    return float(times[times > 1].sum() / part.size)
