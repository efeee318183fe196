"""Worker processes, as the batch's process sees them: one for each CUDA device, and a pool for the CPU.

They are started anew, not forked (CUDA and threads do not survive a fork), each with its device and number of
threads in its environment. One that dies tells by its closed connection, and is replaced.
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

from gpuclust.app.job.job import Job
from gpuclust.app.terminal import STOPPING
from gpuclust.errors import GpuclustError

_PROGRAM = "import sys; sys.path[:] = {path!r}; from gpuclust.app.batch.worker import main; main({descriptor})"
#: Libraries whose threads would come on top of ours.
_OWN_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Seconds in which a worker ends that was told to.
_GRACE = 2.0
#: What is quoted of the last words of a dead worker.
_LAST_WORDS = 2000


class WorkerError(GpuclustError, RuntimeError):
    """Worker processes die before they can begin; the message has what they said last."""


class Worker:
    """A process and the jobs it was given, in their order.

    Attributes
    ----------
    card : int or None
        Number of its CUDA device among those that this process may use; None: the CPU.
    jobs : deque of int
        Indices of jobs that it has not finished; it is at the first.
    threads : int
        Threads that it was told to use.
    ready : bool
        Whether it has begun to listen.
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
        """More jobs, to be done after those it has."""
        self.jobs.extend(index for index, _ in jobs)
        self._send("jobs", list(jobs))

    def use(self, threads: int) -> None:
        """So many threads from now on, also for the job that is under way."""
        if threads != self.threads:
            self.threads = threads
            self._send("threads", threads)

    def _send(self, kind: str, content: Any) -> None:
        with contextlib.suppress(OSError):  # it has died: its closed connection is about to tell
            self.connection.send((kind, content))

    def stop(self) -> None:
        """End the process, whatever it is doing: it hears the closed connection, and deletes what is half-written."""
        self.connection.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def post_mortem(self) -> tuple[str, str]:
        """How it died, in words, and what it said last; to be called when its connection has closed."""
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
        if code > 128 and code - 128 in STOPPING:  # it heard that signal, and put itself in order
            code = 128 - code
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{how}{'; it said last: ' + last.splitlines()[-1] if last else ''}", last


def environment(card: int | None) -> dict[str, str]:
    """The environment of a worker for a CUDA device, or for the CPU."""
    own = {**os.environ, "MPLBACKEND": "Agg", "GPUCLUST_NUM_THREADS": "1", **dict.fromkeys(_OWN_THREADS, "1")}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if card is None:
        own["CUDA_VISIBLE_DEVICES"] = ""
    else:
        own["CUDA_VISIBLE_DEVICES"] = str(card) if not visible else visible.split(",")[card].strip()
    return own
