"""Workers of a Dask cluster, seen from the batch's process as `gpuclust.app.batch.pool.Worker` is.

A seat takes one data set at a time, as a task that Dask gives to an idle worker, and to another one if that is lost.
There are as many seats as workers. These write the results, into a folder that they share with this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gpuclust.app.batch.pool import WorkerError
from gpuclust.app.data.remote import is_url
from gpuclust.app.job.job import Job
from gpuclust.core.version import __version__
from gpuclust.dask.connection import POLL, Watch, ask, reaching, result, thread_counts, usable
from gpuclust.errors import ClusterFailed

if TYPE_CHECKING:
    from distributed import Client, Future

#: Share of a worker's memory that a data set may take.
_SHARE = 0.6


class ClusterPool:
    """Seats on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    timeout : float
        Seconds for which the cluster may be without workers.

    Attributes
    ----------
    cards : int
        CUDA devices among which this process chooses: none, since each worker uses its own.
    memory : int
        Bytes that a data set may take.
    processes : int
        Workers that the cluster had when it was last looked at.

    Raises
    ------
    ClusterFailed
        If there are no workers within ``timeout``, or the scheduler is lost.
    WorkerError
        If workers have another version of gpuclust.
    """

    cards = 0

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = usable(client)
        self._watch = Watch(client, "The cluster has had no workers for {timeout}.", timeout)
        self.processes, self._next = 0, 0.0
        found: dict[str, tuple[str, int]] = {}
        while not found:
            self.look()
            if self.processes:
                found = ask(client, client._run, _about, on_error="ignore", timeout=timeout)
            else:
                time.sleep(POLL)
        others = {f"{place} ({version})" for place, (version, _) in found.items() if version != __version__}
        if others:
            raise WorkerError(f"workers have another version of gpuclust than {__version__}: {', '.join(others)}")
        self.memory = int(_SHARE * min(memory for _, memory in found.values()))

    def look(self) -> None:
        """Ask at most once a second how many workers there are.

        Raises
        ------
        ClusterFailed
            If there have been none for too long, or the scheduler is lost.
        """
        if time.monotonic() < self._next:
            return
        if self._client.status == "running":
            self.processes = len(thread_counts(self._client))
            if self.processes:
                self._watch.came()
        self._watch.check()
        self._next = time.monotonic() + POLL

    def start(self, card: int | None) -> Seat:
        """A new seat."""
        return Seat(self._client)


class Seat:
    """A place for one data set at a time; with the attributes and methods of `gpuclust.app.batch.pool.Worker`."""

    def __init__(self, client: Client) -> None:
        self.card = None
        self.jobs: deque[int] = deque()
        self.ready = True
        self.connection, self._theirs = Pipe()
        self._client = client
        self._future: Future | None = None
        self._error: Exception | None = None

    def give(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Submit a data set.

        Without a preference for a worker: if that was the last one and died, Dask would not run the task on another.
        """
        ((index, job),) = jobs
        self.jobs.append(index)
        data = job.data if is_url(job.data) else os.path.abspath(job.data)
        with reaching(self._client):
            self._future = self._client.submit(
                do_on_worker,
                __version__,
                replace(job, data=data, out=Path(os.path.abspath(job.out))),
                key=f"gpuclust-data-set-{job.out.name}-{uuid4().hex}",
                pure=False,
            )
        threading.Thread(target=self._wait, args=(index, self._future), daemon=True).start()

    def _wait(self, index: int, future: Future) -> None:
        """Hand on what a task returns.

        In a thread of its own: a result that is lost with its worker before it is fetched is waited for again.
        """
        try:
            attempt = result(self._client, future, None)
        except Exception as error:
            self._error = error
            self._theirs.close()
            return
        with contextlib.suppress(OSError):  # the batch has ended
            self._theirs.send(("finished", index, attempt))

    def use(self, threads: int) -> None:
        """Nothing: a worker uses the threads that it was started with."""

    def post_mortem(self) -> tuple[str, str]:
        """How the task ended without a result, and an empty text.

        Raises
        ------
        ClusterFailed
            If the scheduler is lost.
        """
        self.stop()
        if isinstance(self._error, ClusterFailed):
            raise self._error
        return f"was lost with its workers ({type(self._error).__name__}: {self._error})", ""

    def stop(self) -> None:
        """Give up what has not begun; a running data set is finished by its worker."""
        if self._future is not None:
            self._future.release()  # unlike `cancel`, does not wait for the scheduler
        self.connection.close()


def do_on_worker(version: str, job: Job) -> Any:
    """Do a data set in a worker of the cluster, on as many threads as Dask gave it."""
    from distributed import get_worker

    from gpuclust.app.batch.worker import do
    from gpuclust.app.data.output import discard_left_behind
    from gpuclust.core.threads import threads

    if version != __version__:  # of a worker that joined later
        raise WorkerError(f"a worker has gpuclust {__version__}, and the batch {version}")
    with _alone(job), threads(get_worker().state.nthreads):
        if job.out.is_dir():
            discard_left_behind(job.out)  # by a worker that was killed
        return do(job)


@contextlib.contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Wait for a worker that still does this data set, for a client that was killed or a scheduler that lost it."""
    path = job.out.parent / f".{job.out.name}.lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                break
        os.close(descriptor)  # of a file that its holder has removed
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _about(dask_worker: Any) -> tuple[str, int]:
    """Version of gpuclust, and bytes of memory of a worker."""
    from gpuclust.core.memory import available_memory

    return __version__, dask_worker.memory_manager.memory_limit or available_memory()
