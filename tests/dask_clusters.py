"""Clusters of Dask for tests, with workers that die, and data whose distances are equal in many places."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import children
import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

from gpuclust.algorithms import stored
from gpuclust.dask import backend, searches
from gpuclust.dask.connection import Watch

#: Deadline of a job, seconds without a finished task: with compilation, on a loaded machine.
TIMEOUT = children.PATIENCE


def local_cluster(workers, **options):
    """Workers of one thread, each a process unless ``processes=False``.

    One that dies may take a while to come back on a loaded machine.
    """
    dask.config.set({"distributed.deploy.lost-worker-timeout": "900s"})
    if options.get("processes", True):
        fork_workers()
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50, **options)


def fork_workers():
    """Have Dask fork workers from a process that has imported what they need and does nothing else.

    They have the environment that it began with, not what a test sets.
    """
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    get_mp_context().set_forkserver_preload(
        ["distributed.nanny", "gpuclust.dask.tasks", "gpuclust.kernels.cpu.backend"]
    )


#: A scheduler and a worker in one process, which prints the address.
SCHEDULER = """
import time
from distributed import LocalCluster
options = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
cluster = LocalCluster(n_workers=1, threads_per_worker=1, **options)
print(cluster.scheduler_address, flush=True)
time.sleep(3600)
"""


def start(program, *arguments):
    """Start a Python program that may import from the tests."""
    tests = Path(__file__).parent
    path = os.pathsep.join((str(tests.parent), str(tests)))
    return children.start(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def start_scheduler():
    """A process with a scheduler and a worker, and its address."""
    child = start(SCHEDULER)
    try:
        yield child, child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


def make_tasks_small(monkeypatch):
    """Searches of a few thousand points are many tasks, also those of many features."""
    monkeypatch.setattr(stored, "FILLED", 2048)
    for module in (searches, backend):
        monkeypatch.setattr(module, "ALONE", 1e5)
        monkeypatch.setattr(module, "COMPUTED", 4e7)
    monkeypatch.setattr(searches, "SCREENED_ALONE", 1e5)
    monkeypatch.setattr(searches, "SCREENED", 4e7)
    monkeypatch.setattr(searches, "LEAST", 4e7)


@pytest.fixture(scope="module")
def client():
    """A client of two workers in processes of their own."""
    with local_cluster(2) as cluster, Client(cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    make_tasks_small(monkeypatch)


def data(n, m, seed=0):
    """Points some of which are equal, and many distances of which are."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m)) + 3 * rng.integers(0, 3, (n, 1))
    X[: n // 10] = X[n // 10 : 2 * (n // 10)]
    X[-(n // 5) :] = X[-(n // 5) :].round()
    constant = np.ptp(X, axis=1) == 0  # for which correlation is not defined
    X[constant] += np.arange(1.0, m + 1)
    return X


def same(Z, expected):
    assert Z.tobytes() == expected.tobytes()


class Killer(threading.Thread):
    """Kills a random worker now and then by SIGKILL; its nanny starts another one.

    Only workers that run, as a nanny gives up where a worker dies while it starts, and only after an answer has come
    since the last kill: on a loaded machine nothing would be finished otherwise.
    """

    def __init__(self, cluster, every, most, seed=0):
        super().__init__(daemon=True)
        self.cluster, self.every, self.most, self.killed = cluster, every, most, 0
        self.rng, self.over = np.random.default_rng(seed), threading.Event()
        self.answers, self.patch = 1, pytest.MonkeyPatch()

    def run(self):
        while self.killed < self.most and not self.over.wait(self.rng.uniform(0.2, 1.8) * self.every):
            processes = [nanny.process for nanny in self.cluster.workers.values()]
            running = [
                process.pid for process in processes if process is not None and process.status.name == "running"
            ]
            pids = [pid for pid in running if pid is not None]  # which a process loses as it ends
            if pids and self.answers:
                self.answers = 0
                with suppress(ProcessLookupError):
                    os.kill(int(self.rng.choice(pids)), signal.SIGKILL)
                    self.killed += 1

    def __enter__(self):
        came = Watch.came

        def counted(watch):
            self.answers += 1
            came(watch)

        self.patch.setattr(Watch, "came", counted)
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()
        self.patch.undo()


def divided(x, y):
    """A task for `gpuclust.dask.cluster.Cluster.each`, that may fail."""
    return (np.array(x / y),)


class Deadly:
    """A number, of which the first worker dies that receives it; the scheduler, in this process, does not."""

    def __init__(self, folder, home=None):
        self.folder, self.home = str(folder), home or os.getpid()

    def __reduce__(self):
        return received, (self.folder, self.home)


def received(folder, home):
    """What another process makes of a `Deadly`."""
    if os.getpid() == home:
        return Deadly(folder, home)
    first = Path(folder) / "first"
    if not first.exists():
        first.touch()
        os._exit(1)
    return 3.0


def value_of(shared):
    """A task that takes the value of a `gpuclust.dask.shared.Shared`."""
    return (np.array(shared.values[0]),)


def too_large(folder):
    """A task that takes all memory of the worker that runs it first, and then waits for its end."""
    first = Path(folder) / "first"
    if not first.exists():
        first.touch()
        filled = [np.ones(2**27)]
        time.sleep(children.PATIENCE)
        return (filled[0],)
    return (np.ones(1),)
