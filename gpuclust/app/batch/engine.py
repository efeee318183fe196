"""`gpuclust.batch.run` and `iterate`: cluster many data sets into one output folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuclust.app.batch.cluster import ClusterPool
from gpuclust.app.batch.dispatch import Dispatcher
from gpuclust.app.batch.folders import Folders
from gpuclust.app.batch.inputs import Input, collect
from gpuclust.app.batch.lock import locked
from gpuclust.app.batch.log import Listener
from gpuclust.app.batch.outcome import Outcome
from gpuclust.app.batch.pool import LocalPool
from gpuclust.app.batch.prepare import Settings, inputs_of
from gpuclust.app.data.output import check_output_folder, discard_left_behind
from gpuclust.app.options import NAMES
from gpuclust.core.text import documented
from gpuclust.dask.connection import seconds

#: Seconds between two updates of summary.csv and index.html.
_SUMMARY_EVERY = 30.0


def iterate(
    jobs: Input | Iterable[Input],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    memory_limit: int | str | None = None,
    device: str = "auto",
    plots: str = "auto",
    reports: bool = True,
    overwrite: bool = False,
    listener: Listener | None = None,
    client: Any = None,
    timeout: float = 600.0,
    **defaults: Any,
) -> Iterator[Outcome]:
    """Yield the outcomes of a batch as data sets are finished; see `run` for the parameters.

    Running jobs continue while the caller handles an outcome, but no new ones are started. Closing the generator, or
    leaving the loop, ends the batch; complete results stay, and are not computed again.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust.batch import iterate
    >>> np.save("a.npy", [[0.0], [1.0], [5.0]])
    >>> for outcome in iterate("a.npy", "out", method="ward", plots="none", reports=False):
    ...     print(outcome.name, outcome.status)
    a done
    """
    listener = listener or Listener()
    settings = Settings(workers, memory_limit, device, plots, reports, overwrite, defaults, client is not None)
    settings.check()
    timeout = seconds(timeout)
    given = [jobs] if isinstance(jobs, (str, os.PathLike, Mapping)) else list(jobs)
    named = collect(given, defaults, Path(out))
    reads = inputs_of(named, given)
    Folders(Path(out), overwrite=overwrite, inputs=reads).check_summary()
    seen: dict[int, Outcome] = {}
    with ExitStack() as stack:
        folder = check_output_folder(out)
        lock = stack.enter_context(locked(folder))
        discard_left_behind(folder)
        folders = Folders(folder, overwrite=overwrite, inputs=reads)
        folders.begin(name for name, _ in named)
        pool: LocalPool | ClusterPool = LocalPool(workers, [lock]) if client is None else ClusterPool(client, timeout)
        if isinstance(pool, ClusterPool) and memory_limit is None:
            settings = replace(settings, memory_limit=pool.memory)
        dispatcher = Dispatcher(folder, settings, listener, folders, pool)
        stack.callback(dispatcher.close)
        began = written = time.monotonic()
        finished = False
        try:
            for outcome in dispatcher.outcomes(named):
                seen[outcome.index] = outcome
                listener.finished(outcome)
                yield outcome
                if time.monotonic() - written >= _SUMMARY_EVERY:
                    folders.write_summary(list(seen.values()), time.monotonic() - began)
                    written = time.monotonic()
            finished = True
        finally:
            rest = dispatcher.left()
            dispatcher.disconnect()
            every = sorted([*seen.values(), *rest], key=lambda outcome: outcome.index)
            try:
                if every:
                    folders.write_summary(every, time.monotonic() - began)
            except OSError:
                if finished:
                    raise
            finally:
                listener.end(every, time.monotonic() - began)


@documented(options=NAMES)
def run(
    jobs: Input | Iterable[Input],
    out: str | os.PathLike[str],
    on_result: Callable[[Outcome], Any] | None = None,
    **options: Any,
) -> list[Outcome]:
    """Cluster many data sets, each into a folder of its own.

    Parameters
    ----------
    jobs : path, mapping, or several
        Files, patterns (``"runs/*.npy"``), folders (searched with all folders in them), manifests (.toml, or .csv
        with a column ``path``), and mappings with ``path`` and any of the options below.
    out : path
        The output folder. Each data set gets a folder in it, with Z.npy, labels, pictures, run.json and report.html;
        summary.csv and index.html cover them all. Results that are complete for the same content and options are not
        computed again.
    on_result : callable, optional
        Called with each `Outcome`, as soon as the data set is finished.
    workers : int, optional
        Processes that use the CPU; by default one for each core, or GPUCLUST_NUM_THREADS. Jobs on CUDA devices have
        one process a device beside them.
    memory_limit : int or str, optional
        Bytes of the host's memory that all jobs together may take, or text such as ``"8GB"``; by default nine tenths
        of what is available.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}
        "auto" uses all GPUs for jobs that gain by it; "cuda" uses them for all jobs.
    plots : {"auto", "all", "none"}
        Whether pictures are drawn, which takes a third of a second a data set;
        "auto": for batches of up to 200. Reports have their own drawings in any case.
    reports : bool
        Whether report.html is written.
    overwrite : bool
        Whether results may replace files that gpuclust did not write; never an input. Otherwise a data set fails
        whose folder holds such a file under the name of a result, and a summary.csv or index.html of another origin
        is an error before the batch begins. Results that were changed in folders made by a batch are computed again,
        and the changed files are renamed.
    client : distributed.Client, optional
        A Dask cluster whose workers do the data sets, one at a time each, on the threads that they were started with.
        They need the same version of gpuclust, and the same paths for inputs and ``out``. The memory limit is then
        that of a data set, by default six tenths of the smallest worker's; ``workers`` has no meaning.
    timeout : float
        With ``client``: seconds for which the cluster may be without workers. There is no limit for a data set.
    **options
        Defaults for data sets that have none of their own, as `gpuclust batch --help` describes them: key
        (of .npz files), and
        {options}

    Returns
    -------
    list of Outcome
        In the order of the data sets. A data set that fails is an outcome too, not an error.

    Raises
    ------
    ValueError
        An option or a manifest is at fault, or there is no data set.
    ClusterFailed
        The scheduler of ``client`` is lost, or its cluster has no workers. Complete results stay, as after any error.
    OutputError
        The output folder cannot be written, another batch is at work there, or its disk has become full.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust import batch
    >>> np.save("a.npy", [[0.0], [1.0], [5.0]])
    >>> outcomes = batch.run("*.npy", "out", clusters=2, plots="none", reports=False)
    >>> [outcome.name for outcome in outcomes if not outcome.ok]
    []
    """
    outcomes = []
    for outcome in iterate(jobs, out, **options):
        outcomes.append(outcome)
        if on_result is not None:
            on_result(outcome)
    return sorted(outcomes, key=lambda outcome: outcome.index)
