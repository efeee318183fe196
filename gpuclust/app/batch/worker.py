"""A worker process: runs one job after another, so that startup, imports and compilation are paid once.

A thread receives the jobs. When the batch's process has ended, for whatever reason, the connection closes and the
worker ends at once: the file that it was writing does not have its final name yet.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
import warnings
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from gpuclust.app.batch.outcome import DONE, FAILED, UNCHANGED, Failure, forget_error, write_error
from gpuclust.app.data.output import discard_unfinished
from gpuclust.app.data.ownership import OutputFolder, check_folder, tidy
from gpuclust.app.data.remote import fetched
from gpuclust.app.job.job import Job
from gpuclust.app.job.record import Source, complete_record, identity, read_record
from gpuclust.app.job.results import RESULTS
from gpuclust.app.job.runner import add_pictures
from gpuclust.app.job.runner import run as run_job
from gpuclust.app.terminal import STOPPING
from gpuclust.core.memory import forget_peak

#: Seconds between two progress messages.
_INTERVAL = 0.2
#: Seconds in which the batch's process, if it received the same signal, ends its workers.
_PATIENCE = 3.0


@dataclass(frozen=True)
class Attempt:
    """Result of a job, as sent to the batch's process."""

    status: str
    seconds: float
    record: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    said: list[str] = field(default_factory=list)


def main(descriptor: int) -> None:
    """Run the jobs received through a socket until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    stopping = {number for number in STOPPING if signal.getsignal(number) is signal.SIG_DFL}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    threading.Thread(target=_end_when_told, args=(stopping,), daemon=True).start()
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


def _end_when_told(stopping: set[signal.Signals]) -> None:
    """Wait for one of these signals, delete unfinished files, and end this process.

    The signal may have been sent to the whole process group. The delay lets the batch's process, which then ends its
    workers itself, do so before it would take this one for dead.
    """
    number = signal.sigwait(stopping)
    time.sleep(_PATIENCE)
    discard_unfinished(for_good=True)
    os._exit(128 + number)


def _listen(connection: Connection, orders: SimpleQueue[Any]) -> None:
    try:
        while True:
            kind, content = connection.recv()
            if kind == "jobs":
                for order in content:
                    orders.put(order)
            else:  # the number of threads, which kernels read at their next block of work
                os.environ["GPUCLUST_NUM_THREADS"] = str(content)
    except (EOFError, OSError):
        discard_unfinished(for_good=True)
        os._exit(1)


def _warm_up() -> None:
    """Import what every job needs, while the batch's process is still looking at the inputs."""
    from gpuclust.app.report import report
    from gpuclust.core.backend import select

    select("cpu")
    assert report


def do(job: Job, observer: Any = None) -> Attempt:
    """Do a job unless its result is there already; an error becomes a failure, never an exception."""
    start = time.perf_counter()
    forget_peak()
    given, known = job.data, None
    copies = contextlib.ExitStack()
    try:
        job = replace(job, data=copies.enter_context(fetched(given)))
        check_folder(job.out)  # its options were checked when the batch was planned
        source = Source.of(job)
        known = identity(job, source)
        record, said = complete_record(job.out, known)
        if record is not None:
            tidy(job.out)
        if record is None:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                record = run_job(job, observer, source=source, warned=caught, own_folder=True).record
            status = DONE
            said = [*(f"{reason}: done again" for reason in said), *record["kept"]]
        elif job.plots and f"dendrogram.{job.format[0]}" not in {**record["bytes"], **record["failed_pictures"]}:
            record, status = add_pictures(job, record), DONE
        else:
            status = UNCHANGED
        forget_error(job.out)
        return Attempt(status, time.perf_counter() - start, record, said=said)
    except Exception as error:
        failure = Failure.of(error)
        if job.data != given:
            failure = replace(failure, message=failure.message.replace(job.data, given))
            job = replace(job, data=given)
    finally:
        copies.close()
    with contextlib.suppress(OSError):
        earlier = read_record(job.out)
        if known is not None and earlier is not None and earlier["identity"] != known:
            # Results, but not of this input and these options.
            OutputFolder(job.out, RESULTS, is_run=True).forget_all()
    write_error(job, failure)
    return Attempt(FAILED, time.perf_counter() - start, failure=failure)


class _Messenger:
    """Sends the progress of a job to the batch's process."""

    def __init__(self, connection: Connection, index: int) -> None:
        self._connection, self._index = connection, index
        self._phase = ""
        self._next = time.monotonic() + _INTERVAL

    def phase(self, text: str) -> None:
        self._phase = text
        self(0, 0)

    def read(self, how: str) -> None:
        """Nothing: the log of the batch says it with the result."""

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._connection.send(("progress", self._index, (self._phase, done, total)))
