"""One program on one data set, in a process of its own, with a time limit."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gpuclust.app.compare.comparison import Run
from gpuclust.app.compare.peers import PEERS, Task
from gpuclust.core.first_call import COMPILE

#: Variables for the number of threads: ours, OpenMP's, and those of BLAS libraries.
THREADS = ("GPUCLUST_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure(
    name: str, task: Task, data: Path, n: int, repeat: int = 1, timeout: float = math.inf, threads: int | None = None
) -> tuple[Run, np.ndarray | None]:
    """Run one program on a .npy file of ``n`` observations, in a process of its own.

    Parameters
    ----------
    name : str
        A key of `gpuclust.app.compare.peers.PEERS`.
    task : Task
    data : Path
        The linkage matrix is written beside it, as tree.npy.
    n : int
    repeat : int
        Number of calls; the shortest counts.
    timeout : float
        Seconds after which the process is killed.
    threads : int or None
        Threads of the program, where it is multithreaded; None for its own default.

    Returns
    -------
    run : Run
    Z : ndarray of shape (n - 1, 4) or None
        None if the program failed or was stopped.
    """
    tree = data.with_name("tree.npy")
    tree.unlink(missing_ok=True)
    job = {"peer": name, "task": task._asdict(), "data": str(data), "n": n, "tree": str(tree)}
    job["repeat"] = repeat
    found = Run(name, PEERS[name].version, "failed")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpuclust.app.compare.peers", json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            env=_environment(threads),
        )
        if not _wait(process, timeout):
            found.status, found.reason = "timeout", f"stopped after {timeout:g} s"
            return found, None
        said.seek(0)
        complained.seek(0)
        lines = complained.read().decode(errors="replace").splitlines()
        if process.returncode != 0:
            found.reason = _why(process.returncode, lines)
            return found, None
        measured = json.loads(said.read().splitlines()[-1])
    found.status = "done"
    found.seconds, found.peak_memory_bytes = measured["seconds"], measured["peak_memory_bytes"]
    return found, np.load(tree)


def _environment(threads: int | None) -> dict[str, str]:
    """Return this environment, with this package importable and the working directory not on the path."""
    path = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    limits = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    return {**os.environ, COMPILE: "always", **limits, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a process, and kill it after ``timeout`` seconds. Return whether it ended in time."""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            try:  # short waits, so that Ctrl-C takes effect
                process.wait(timeout=0.1)
                return True
            except subprocess.TimeoutExpired:
                continue
        return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _why(code: int, lines: list[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return lines[-1] if lines else f"exit code {code}"
