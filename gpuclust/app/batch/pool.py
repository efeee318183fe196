"""Worker processes, seen from the batch's process: one for each CUDA device, and several for the CPU.

They are spawned, not forked (CUDA and threads do not survive a fork), with their device and number of threads in the
environment. When one dies its connection closes, and it is replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from multiprocessing import Pipe
from typing import Any

from gpuclust.algorithms import costs
from gpuclust.app.job.job import Job
from gpuclust.app.terminal import STOPPING
from gpuclust.core import devices
from gpuclust.errors import GpuclustError

_PROGRAM = "import sys; sys.path[:] = {path!r}; from gpuclust.app.batch.worker import main; main({descriptor})"
#: Variables that limit the threads of other libraries, which would add to ours.
_OWN_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Seconds that a worker has for ending.
_GRACE = 2.0
#: Bytes of a dead worker's output that are quoted.
_LAST_WORDS = 2000


class WorkerError(GpuclustError, RuntimeError):
    """Worker processes die before they are ready; the message has the end of their output."""


class LocalPool:
    """Worker processes on this machine.

    Attributes
    ----------
    cards : int
        Number of CUDA devices.
    processes : int
        Number of workers for the CPU.
    """

    def __init__(self, processes: int | None, inherited: Sequence[int]) -> None:
        self.cards = len(devices.cards())
        self.processes = processes or costs.threads()
        self._inherited = inherited

    def start(self, card: int | None) -> Worker:
        """A new worker for a CUDA device, or for the CPU."""
        return Worker(card, self._inherited)


class Worker:
    """A worker process and its queue of jobs.

    Attributes
    ----------
    card : int or None
        Number of its CUDA device among those that are visible to this process; None for the CPU.
    jobs : deque of int
        Indices of its unfinished jobs, the running one first.
    threads : int
        Number of threads that it uses.
    ready : bool
        Whether it has started and receives jobs.
    """

    def __init__(self, card: int | None, inherited: Sequence[int]) -> None:
        self.card = card
        self.jobs: deque[int] = deque()
        self.threads = 0
        self.ready = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker is gone
        self.connection, theirs = Pipe()
        try:
            program = _PROGRAM.format(path=[os.path.abspath(place) for place in sys.path], descriptor=theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=[theirs.fileno(), *inherited],
                env=environment(card),
            )
        except BaseException:
            self.connection.close()
            self._said.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Append jobs to its queue."""
        self.jobs.extend(index for index, _ in jobs)
        self._send("jobs", list(jobs))

    def use(self, threads: int) -> None:
        """Set the number of threads, also of the running job."""
        if threads != self.threads:
            self.threads = threads
            self._send("threads", threads)

    def _send(self, kind: str, content: Any) -> None:
        with contextlib.suppress(OSError):  # it has died, and the closed connection will be noticed
            self.connection.send((kind, content))

    def stop(self) -> None:
        """End the process: it notices the closed connection, and deletes unfinished files."""
        self.connection.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def post_mortem(self) -> tuple[str, str]:
        """Return how the process died, in words, and the end of its output; called when its connection is closed."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._said.seek(max(0, os.fstat(self._said.fileno()).st_size - _LAST_WORDS))
        last = self._said.read().decode(errors="replace").strip()
        self.connection.close()
        self._said.close()
        if code == -signal.SIGKILL:
            return "was killed (signal 9), as the system does when memory runs out", last
        if code > 128 and code - 128 in STOPPING:  # it handled that signal, and cleaned up
            code = 128 - code
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{how}{'; it said last: ' + last.splitlines()[-1] if last else ''}", last


def environment(card: int | None) -> dict[str, str]:
    """Return the environment of a worker for a CUDA device, or for the CPU."""
    own = {**os.environ, "MPLBACKEND": "Agg", "GPUCLUST_NUM_THREADS": "1", **dict.fromkeys(_OWN_THREADS, "1")}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if card is None:
        own["CUDA_VISIBLE_DEVICES"] = ""
    else:
        own["CUDA_VISIBLE_DEVICES"] = str(card) if not visible else visible.split(",")[card].strip()
    return own
