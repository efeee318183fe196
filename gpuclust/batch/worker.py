"""A worker process: does one job after the other, so that start, imports and compilation are paid once.

It listens for orders in a thread of its own. When the batch's process is gone, however it ended, the connection
closes, and the worker ends at once: what it was writing has no final name yet.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from gpuclust.batch.outcome import DONE, FAILED, UNCHANGED, Failure, write_error
from gpuclust.job import Job, add_pictures
from gpuclust.job import run as run_job
from gpuclust.memory import forget_peak
from gpuclust.output import discard_unfinished
from gpuclust.record import Source, complete_record, identity, read_record
from gpuclust.results import forget_earlier

#: Seconds between two messages about how far a job is.
_INTERVAL = 0.2


@dataclass(frozen=True)
class Attempt:
    """What came of a job, as it is sent back."""

    status: str
    seconds: float
    record: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None


def main(descriptor: int) -> None:
    """Serve the process at the other end of a socket until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the batch's process decides
    faulthandler.enable()
    connection = Connection(descriptor)
    orders: SimpleQueue[tuple[int, Job]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, orders), daemon=True).start()
    _warm_up()
    connection.send(("ready", -1, None))
    while True:
        index, job = orders.get()
        attempt = do(job, _Messenger(connection, index))
        connection.send(("finished", index, attempt))


def _listen(connection: Connection, orders: SimpleQueue[Any]) -> None:
    try:
        while True:
            kind, content = connection.recv()
            if kind == "jobs":
                for order in content:
                    orders.put(order)
            else:  # so many threads, heard by kernels at their next piece of work
                os.environ["GPUCLUST_NUM_THREADS"] = str(content)
    except (EOFError, OSError):
        discard_unfinished(for_good=True)
        os._exit(1)


def _warm_up() -> None:
    """Import what every job needs, while the batch's process is still looking at the inputs."""
    from gpuclust import report
    from gpuclust.backends import select

    select("cpu")
    assert report


def do(job: Job, observer: Any = None) -> Attempt:
    """Do a job unless its result is there already; an error becomes a failure, never an exception."""
    start = time.perf_counter()
    forget_peak()
    known = None
    try:
        job.check()
        source = Source.of(job)
        known = identity(job, source)
        record = complete_record(job.out, known)
        if record is None:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                record = run_job(job, observer, source=source, warned=heard, own_folder=True).record
            status = DONE
        elif job.plots and "dendrogram.png" not in {**record["bytes"], **record.get("failed_pictures", {})}:
            record, status = add_pictures(job, record), DONE
        else:
            status = UNCHANGED
        (job.out / "error.json").unlink(missing_ok=True)
        return Attempt(status, time.perf_counter() - start, record)
    except Exception as error:
        failure = Failure.of(error)
    earlier = read_record(job.out)
    if known is not None and earlier is not None and earlier.get("identity") != known:
        with contextlib.suppress(OSError):  # results, but not of this input and these options
            forget_earlier(job.out, everything=True)
    write_error(job, failure)
    return Attempt(FAILED, time.perf_counter() - start, failure=failure)


class _Messenger:
    """Tells the batch's process how far a job is."""

    def __init__(self, connection: Connection, index: int) -> None:
        self._connection, self._index = connection, index
        self._phase = ""
        self._next = time.monotonic() + _INTERVAL

    def phase(self, text: str) -> None:
        self._phase = text
        self(0, 0)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._connection.send(("progress", self._index, (self._phase, done, total)))
