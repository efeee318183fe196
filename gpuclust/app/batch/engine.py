"""A batch from its list of data sets to its last result: who does what, when, and what if someone dies."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from gpuclust.algorithms import speed
from gpuclust.app.batch.entry import Entry
from gpuclust.app.batch.folders import Folders
from gpuclust.app.batch.inputs import Input, collect
from gpuclust.app.batch.lock import locked
from gpuclust.app.batch.log import Listener
from gpuclust.app.batch.outcome import NOT_RUN, Failure, Outcome, write_error
from gpuclust.app.batch.pool import Worker, WorkerError
from gpuclust.app.batch.prepare import Settings, failed, inputs_of, prepare
from gpuclust.app.batch.schedule import Queue, Task
from gpuclust.app.data.output import OutputError, atomic_write, check_output_folder, discard_left_behind, staging
from gpuclust.app.options import documented
from gpuclust.core import devices

#: Seconds between two versions of the summary, while the batch is under way.
_SUMMARY_EVERY = 30.0
#: Workers in succession that may die before they begin.
_STILLBORN = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class Batch:
    """A batch under way in a locked output folder."""

    def __init__(
        self, out: Path, settings: Settings, listener: Listener, folders: Folders, inherited: Sequence[int]
    ) -> None:
        self.out, self._settings, self._listener, self._folders = out, settings, listener, folders
        self._inherited = inherited
        self._workers: list[Worker] = []
        self._queue = Queue([], 0)
        self._tasks: dict[int, Task] = {}
        self._first: dict[Worker, int] = {}
        self._cores = speed.threads()
        self._stillborn = 0

    def outcomes(self, named: Sequence[tuple[str, Entry]]) -> Iterator[Outcome]:
        """One after the other, as they come."""
        self._listener.begin(len(named), self.out)
        wanted = self._settings.workers or self._cores
        if not devices.cards():  # then all work is the host's: workers start, which takes a second, while we look
            self._start(min(wanted, len(named)))
        tasks, refused = prepare(named, self.out, self._settings, self._folders)
        self._tasks = {task.index: task for task in tasks}
        self._queue = Queue(tasks, self._settings.limit)
        for outcome, job in refused:
            write_error(job, Failure(outcome.kind or "", outcome.error or ""))
            yield outcome
        if not self._workers:
            cards = {task.card for task in tasks if task.card is not None}
            for card in range(len(devices.cards())) if -1 in cards else sorted(cards):
                self._workers.append(Worker(card, self._inherited))
            self._start(min(wanted, sum(task.card is None for task in tasks)))
        while len(self._queue) or self._first:
            self._dispatch()
            for connection in wait([worker.connection for worker in self._workers], 0.2):
                worker = next(w for w in self._workers if w.connection is connection)
                yield from self._hear(worker)
            self._listener.tick()

    def _start(self, workers: int) -> None:
        """So many workers for the CPU."""
        for _ in range(workers):
            self._workers.append(Worker(None, self._inherited))

    def _dispatch(self) -> None:
        """Give idle workers something to do, and all who are busy their share of the threads."""
        for worker in self._workers:
            if worker in self._first:
                continue
            taken = self._queue.take(worker.card, len(self._workers))
            if taken:
                self._first[worker] = taken[0].index
                worker.give([(task.index, task.job) for task in taken])
                self._listener.started(taken[0].name)
        for worker in self._first:
            worker.use(max(1, self._cores // len(self._first)))

    def _hear(self, worker: Worker) -> Iterator[Outcome]:
        """What a worker has to say: a result, how far it is, or that it has died."""
        try:
            kind, index, content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if kind == "ready":
            worker.ready, self._stillborn = True, 0
            return
        task = self._tasks[index]
        if kind == "progress":
            self._listener.progress(task.name, *content)
            return
        worker.jobs.popleft()
        if not worker.jobs:
            self._queue.finished(self._first.pop(worker))
        outcome = Outcome(
            index,
            task.name,
            task.job.data,
            task.job.out,
            content.status,
            content.record,
            content.failure and content.failure.message,
            content.failure and content.failure.kind,
            content.seconds,
            tuple(content.said),
        )
        yield outcome
        if outcome.kind == "OutputError":
            self._check_disk()

    def _bury(self, worker: Worker) -> Iterator[Outcome]:
        """Replace a dead worker; the job it was at is tried once more, with nothing beside it."""
        how, last = worker.post_mortem()
        self._workers.remove(worker)
        if worker in self._first:
            self._queue.finished(self._first.pop(worker))
        back = [self._tasks[index] for index in worker.jobs]
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn > _STILLBORN:
                self._queue.put_back(back)
                raise WorkerError(f"a worker process {how}, before it could begin. {last}")
        outcome = None
        if back and worker.ready:
            victim = back[0]
            victim.died.append(how)
            victim.alone = True
            if len(victim.died) > 1:
                back = back[1:]
                text = f"its worker process {how}, and again when it was tried alone"
                failure = Failure("WorkerDied", text, last or None)
                write_error(victim.job, failure)
                outcome = failed(victim.index, victim.name, victim.job, failure)
        self._queue.put_back(back)
        if len(self._queue):
            self._workers.append(Worker(worker.card, self._inherited))
        if outcome is not None:
            yield outcome

    def _check_disk(self) -> None:
        """End the batch where nothing can be written any more; the error of one folder is no reason."""
        try:
            with staging(self.out) as scratch, atomic_write(scratch / "room") as file:
                file.write(bytes(2**20))
        except OutputError as error:
            cause = error.__cause__
            reason = cause.strerror if isinstance(cause, OSError) and cause.errno in _FULL else None
            raise OutputError(
                f"{self.out}: nothing can be written there any more ({reason or error}), so the batch ends. "
                "What is complete stays: once there is room, the same command goes on from there"
            ) from error

    def left(self) -> list[Outcome]:
        """Data sets that have not been done, and are not going to be."""
        waiting = self._queue.drain() + [self._tasks[i] for worker in self._workers for i in worker.jobs]
        return [Outcome(task.index, task.name, task.job.data, task.job.out, NOT_RUN) for task in waiting]

    def disconnect(self) -> None:
        """Let all workers end, idle or not."""
        for worker in self._workers:
            worker.connection.close()

    def close(self) -> None:
        """Wait until they have ended."""
        self.disconnect()
        for worker in self._workers:
            worker.stop()
            for index in worker.jobs:  # of one that had to be killed
                discard_left_behind(self._tasks[index].job.out)
        self._workers.clear()


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
    **defaults: Any,
) -> Iterator[Outcome]:
    """The outcomes of a batch, each as soon as it is there; see `run` for the parameters.

    The batch goes on while the caller is busy with one, but nothing new is begun. Closing the generator, or leaving
    the loop, ends the batch; what is complete stays, and is not done again.

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
    settings = Settings(workers, memory_limit, device, plots, reports, overwrite, defaults)
    settings.check()
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
        batch = Batch(folder, settings, listener, folders, [lock])
        stack.callback(batch.close)
        began = written = time.monotonic()
        finished = False
        try:
            for outcome in batch.outcomes(named):
                seen[outcome.index] = outcome
                listener.finished(outcome)
                yield outcome
                if time.monotonic() - written >= _SUMMARY_EVERY:
                    folders.write_summary(list(seen.values()), time.monotonic() - began)
                    written = time.monotonic()
            finished = True
        finally:
            rest = batch.left()
            batch.disconnect()
            every = sorted([*seen.values(), *rest], key=lambda outcome: outcome.index)
            try:
                if every:
                    folders.write_summary(every, time.monotonic() - began)
            except OSError:
                if finished:
                    raise
            finally:
                listener.end(every, time.monotonic() - began)


@documented
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
        summary.csv and index.html cover them all. What is complete there for the same content and options is not done
        again.
    on_result : callable, optional
        Called with each `Outcome`, as soon as it is there.
    workers : int, optional
        Processes that use the CPU; by default one for each core, or GPUCLUST_NUM_THREADS. Jobs on CUDA devices have
        one process a device beside them.
    memory_limit : int or str, optional
        Bytes of the host's memory that all jobs together may take, or text such as ``"8GB"``; by default nine tenths
        of what is available.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}
        "auto" takes the GPUs, all of them, for jobs that gain by it; "cuda" takes them for all jobs.
    plots : {"auto", "all", "none"}
        Whether dendrogram.png, elbow.png and scatter.png are drawn, which takes a third of a second a data set;
        "auto": for batches of up to 200. Reports have their own drawings in any case.
    reports : bool
        Whether report.html is written.
    overwrite : bool
        Whether results may replace files that gpuclust did not write; never an input. Otherwise a data set whose
        folder holds such a file by the name of a result fails, and a summary.csv or index.html of another origin ends
        the batch before it begins. What was changed in folders that a batch has made is done again, and the changed
        file is kept under another name.
    **options
        Defaults for data sets that have none of their own, as `gpuclust batch --help` describes them:
        {options}.

    Returns
    -------
    list of Outcome
        In the order of the data sets. A data set that fails is an outcome too, not an error.

    Raises
    ------
    ValueError
        An option or a manifest is at fault, or there is no data set.
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
