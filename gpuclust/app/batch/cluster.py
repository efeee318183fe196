"""Workers of a Dask cluster, seen from the batch's process as `gpuclust.app.batch.pool.Worker` is.

A seat takes one data set at a time, as a task that prefers one worker of the cluster and may run on any: Dask runs it
elsewhere if the worker is lost. Results are written by the workers, into a folder that they share with this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gpuclust.app.batch.pool import WorkerError
from gpuclust.app.job.job import Job

if TYPE_CHECKING:
    from distributed import Client, Future

#: Share of a worker's memory that a data set may take.
_SHARE = 0.6


class ClusterPool:
    """Seats on the workers of a Dask cluster.

    Attributes
    ----------
    cards : int
        CUDA devices among which this process chooses: none, since each worker uses its own.
    """

    cards = 0

    def __init__(self, client: Client) -> None:
        from gpuclust.core.version import __version__

        self._client = client
        found = client.run(_about, on_error="ignore")
        if not found:
            raise WorkerError("the cluster has no workers")
        others = {f"{place} ({version})" for place, (version, _) in found.items() if version != __version__}
        if others:
            raise WorkerError(f"workers have another version of gpuclust than {__version__}: {', '.join(others)}")
        self.memory = int(_SHARE * min(memory for _, memory in found.values()))
        self._started = 0

    @property
    def processes(self) -> int:
        """The number of workers that the cluster has now."""
        return len(self._addresses())

    def _addresses(self) -> list[str]:
        return list(self._client.nthreads())

    def start(self, card: int | None) -> Seat:
        """A new seat, on each worker in turn."""
        addresses = self._addresses()
        self._started += 1
        return Seat(self._client, addresses[self._started % len(addresses)] if addresses else None)


class Seat:
    """A place for one data set at a time; with the attributes and methods of `gpuclust.app.batch.pool.Worker`."""

    def __init__(self, client: Client, address: str | None) -> None:
        self.card = None
        self.jobs: deque[int] = deque()
        self.ready = True
        self.connection, self._theirs = Pipe()
        self._client, self._address = client, address
        self._futures: list[Future] = []
        self._how = ""

    def give(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Submit data sets."""
        for index, job in jobs:
            self.jobs.append(index)
            future = self._client.submit(
                do_on_worker,
                replace(job, data=os.path.abspath(job.data), out=Path(os.path.abspath(job.out))),
                key=f"gpuclust-data-set-{job.out.name}-{uuid4().hex}",
                workers=None if self._address is None else [self._address],
                allow_other_workers=self._address is not None,
                pure=False,
            )
            self._futures = [future]
            threading.Thread(target=self._wait, args=(index, future), daemon=True).start()

    def _wait(self, index: int, future: Future) -> None:
        """Hand on what a task returns.

        In a thread of its own: a result that is lost with its worker before it is fetched is waited for again.
        """
        try:
            attempt = future.result()
        except Exception as error:
            self._how = f"was lost with its workers ({type(error).__name__}: {error})"
            self._theirs.close()
            return
        with contextlib.suppress(OSError):  # the batch has ended
            self._theirs.send(("finished", index, attempt))

    def use(self, threads: int) -> None:
        """Nothing: a worker uses the threads that it was started with."""

    def post_mortem(self) -> tuple[str, str]:
        """How the task ended without a result, and an empty text."""
        self.stop()
        return self._how, ""

    def stop(self) -> None:
        """Cancel what has not begun; a running data set is finished by its worker."""
        for future in self._futures:
            with contextlib.suppress(Exception):
                future.cancel()
        self.connection.close()


def do_on_worker(job: Job) -> Any:
    """Do a data set in a worker of the cluster, on as many threads as Dask gave it."""
    from distributed import get_worker

    from gpuclust.app.batch.worker import do
    from gpuclust.app.data.output import discard_left_behind
    from gpuclust.core.threads import threads

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
    from gpuclust.core.version import __version__

    return __version__, dask_worker.memory_manager.memory_limit or available_memory()
