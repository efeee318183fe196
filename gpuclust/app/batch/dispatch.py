"""Dispatch of the jobs of a batch to worker processes."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from gpuclust.algorithms import costs
from gpuclust.app.batch.cluster import ClusterPool, Seat
from gpuclust.app.batch.entry import Entry
from gpuclust.app.batch.folders import Folders
from gpuclust.app.batch.log import Listener
from gpuclust.app.batch.outcome import NOT_RUN, Failure, Outcome, write_error
from gpuclust.app.batch.pool import LocalPool, Worker, WorkerError
from gpuclust.app.batch.prepare import Settings, failed, prepare
from gpuclust.app.batch.schedule import Queue, Task
from gpuclust.app.data.output import OutputError, atomic_write, discard_left_behind, staging

#: Number of workers in a row that may die before they are ready.
_STILLBORN = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class Dispatcher:
    """Hand the data sets of a batch to worker processes, and replace workers that die."""

    def __init__(
        self, out: Path, settings: Settings, listener: Listener, folders: Folders, pool: LocalPool | ClusterPool
    ) -> None:
        self.out, self._settings, self._listener, self._folders = out, settings, listener, folders
        self._pool = pool
        self._workers: list[Worker | Seat] = []
        self._queue = Queue([], 0)
        self._tasks: dict[int, Task] = {}
        self._first: dict[Worker | Seat, int] = {}
        self._cores = costs.threads()
        self._stillborn = 0

    def outcomes(self, named: Sequence[tuple[str, Entry]]) -> Iterator[Outcome]:
        """Yield outcomes in the order in which data sets are finished."""
        self._listener.begin(len(named), self.out)
        wanted = self._pool.processes
        if not self._pool.cards:  # all work is done on the CPU: workers start (1 s) while the jobs are planned
            self._start(min(wanted, len(named)))
        tasks, refused = prepare(named, self.out, self._settings, self._folders)
        self._tasks = {task.index: task for task in tasks}
        self._queue = Queue(tasks, self._settings.limit_of_all)
        for outcome, job in refused:
            write_error(job, Failure(outcome.kind or "", outcome.error or ""))
            yield outcome
        if not self._workers:
            cards = {task.card for task in tasks if task.card is not None}
            for card in range(self._pool.cards) if -1 in cards else sorted(cards):
                self._workers.append(self._pool.start(card))
            self._start(min(wanted, sum(task.card is None for task in tasks)))
        while len(self._queue) or self._first:
            if isinstance(self._pool, ClusterPool):
                self._pool.look()
                if len(self._queue):  # workers may have joined
                    self._start(min(self._pool.processes, len(named)) - len(self._workers))
            self._dispatch()
            for connection in wait([worker.connection for worker in self._workers], 0.2):
                worker = next(w for w in self._workers if w.connection is connection)
                yield from self._receive(worker)
            self._listener.tick()

    def _start(self, workers: int) -> None:
        """Start a number of workers for the CPU."""
        for _ in range(workers):
            self._workers.append(self._pool.start(None))

    def _dispatch(self) -> None:
        """Give jobs to idle workers, and an equal share of the threads to each busy one."""
        for worker in self._workers:
            if worker in self._first:
                continue
            taken = self._queue.take(worker.card, len(self._workers), groups=not self._settings.cluster)
            if taken:
                self._first[worker] = taken[0].index
                worker.give([(task.index, task.job) for task in taken])
                self._listener.started(taken[0].name)
        for worker in self._first:
            worker.use(max(1, self._cores // len(self._first)))

    def _receive(self, worker: Worker | Seat) -> Iterator[Outcome]:
        """Handle a message of a worker (ready, progress, finished), or its closed connection."""
        try:
            kind, index, content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._replace(worker)
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

    def _replace(self, worker: Worker | Seat) -> Iterator[Outcome]:
        """Replace a dead worker. The job that it was running is tried once more, with no other job beside it."""
        how, last = worker.post_mortem()
        self._workers.remove(worker)
        if worker in self._first:
            self._queue.finished(self._first.pop(worker))
        back = [self._tasks[index] for index in worker.jobs]
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn > _STILLBORN:
                self._queue.put_back(back)
                raise WorkerError(f"a worker process {how} before it was ready. {last}")
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
            self._workers.append(self._pool.start(worker.card))
        if outcome is not None:
            yield outcome

    def _check_disk(self) -> None:
        """Raise `OutputError` if the output folder cannot be written any more."""
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
        """Return outcomes of status "not run" for all data sets that are not finished."""
        waiting = self._queue.drain() + [self._tasks[i] for worker in self._workers for i in worker.jobs]
        return [Outcome(task.index, task.name, task.job.data, task.job.out, NOT_RUN) for task in waiting]

    def disconnect(self) -> None:
        """Close all connections, upon which the workers end."""
        for worker in self._workers:
            worker.connection.close()

    def close(self) -> None:
        """Wait until all workers have ended."""
        self.disconnect()
        for worker in self._workers:
            worker.stop()
            if isinstance(worker, Worker):
                for index in worker.jobs:  # of one that had to be killed; a worker of a cluster may go on
                    discard_left_behind(self._tasks[index].job.out)
        self._workers.clear()
