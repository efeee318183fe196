"""Kernels compiled by a process beside jobs that NumPy does meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from test_first_call import data, uncompiled  # noqa: F401

import gpuclust
from gpuclust import warm
from gpuclust.core import compilers, compiling, first_call

ROOT = Path(__file__).parents[1]


def warm_module():
    """The module, whose name is that of its function."""
    return sys.modules[warm.__module__]


class Process:
    """One that works until it is told to have ended."""

    ended = False

    def poll(self) -> int | None:
        return 0 if self.ended else None


@pytest.fixture
def begun(uncompiled, monkeypatch, tmp_path):  # noqa: F811
    """Commands of processes that would begin, each with its process; and the backends of jobs."""
    found: list[tuple[tuple, Process]] = []

    def begin(*command, lasting=False):
        if not lasting:  # of a job that compiles in this process
            return None
        assert command[0] == warm.__module__
        signature(warm_module().main).bind(*json.loads(json.dumps(command[1:])))
        found.append((command, Process()))
        return found[-1][1]

    monkeypatch.setattr(first_call, "_folder", lambda: tmp_path)
    monkeypatch.setattr(first_call, "SMALL", 1_000_000)
    monkeypatch.setattr(compilers, "begin", begin)
    return found, uncompiled


@pytest.mark.parametrize("which", ["has ended", "takes too long"])
def test_a_large_job_goes_on_without_kernels_while_another_process_compiles(begun, which, monkeypatch):
    found, backends = begun
    X = data("normal", 1100)
    gpuclust.linkage(X, "ward", device="cpu")
    [(command, process)] = found
    assert command[:7] == ("gpuclust.warm", "ward", "euclidean", "float64", "summaries", 1100, 3)
    monkeypatch.setattr(first_call, "BUDGET", 0.001)
    monkeypatch.setattr(first_call, "PATIENCE", 1_000_000)
    gpuclust.linkage(X, "ward", device="cpu")
    assert backends == ["reference"] * 2
    monkeypatch.setattr(first_call, "_mark", lambda kind: None)
    if which == "has ended":
        process.ended = True
    else:
        monkeypatch.setattr(first_call, "PATIENCE", 1)
    gpuclust.linkage(X, "ward", device="cpu")
    assert backends == ["reference", "reference", "cpu"]
    assert len(found) == 1


def test_kernels_are_used_when_they_are_there(begun):
    _, backends = begun
    X = data("normal", 1100)
    gpuclust.linkage(X, "ward", device="cpu")
    first_call._mark(next(iter(first_call._aside)))
    gpuclust.linkage(X, "ward", device="cpu")
    assert backends == ["reference", "cpu"]


def test_small_jobs_have_kernels_compiled_after_one_of_some_size_or_all_have_taken_long(begun, monkeypatch):
    found, backends = begun
    gpuclust.linkage(data("normal", 60), "average", device="cpu")
    assert not found
    gpuclust.linkage(data("normal", 200), "average", device="cpu")
    gpuclust.linkage(data("normal", 201), "average", device="cpu")
    assert len(found) == 1
    monkeypatch.setattr(first_call, "_spent", first_call.ASIDE + 1)
    gpuclust.linkage(data("normal", 60), "complete", device="cpu")
    assert [command[1] for command, _ in found] == ["average", "complete"]
    assert set(backends) == {"reference"}


@pytest.mark.parametrize("why", ["memory_limit", "weights", "bits", "worker", "another", "no folder", "always"])
def test_no_process_begins(begun, why, monkeypatch):
    found, _ = begun
    X, more = data("normal", 200), {}
    if why == "memory_limit":
        more = {"memory_limit": "1GB"}
    elif why == "weights":
        more = {"w": np.ones(3)}
    elif why == "bits":
        X, more = X > 0, {"metric": "jaccard"}
    elif why == "worker":
        monkeypatch.setattr(first_call, "parent_process", object)
    elif why == "another":
        monkeypatch.setattr(first_call, "taken", lambda folder, what: True)
    elif why == "no folder":
        monkeypatch.setattr(first_call, "_folder", lambda: None)
    else:
        monkeypatch.setenv("GPUCLUST_COMPILE", "always")
    gpuclust.linkage(X, "average", device="cpu", **more)
    assert not found


def test_one_thread_begins_none(monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")
    assert compilers.begin("gpuclust.warm") is None


PROGRAM = """
import sys, time
import numpy as np
import gpuclust
from gpuclust.core import first_call

first_call.SMALL = 100_000
gpuclust.linkage(np.random.default_rng(0).normal(size=(60, 4)), "single", device="cpu")
print(len(first_call._compiled), [process.pid for process in first_call._aside.values()])
"""


def test_a_process_compiles_for_later_ones(tmp_path):
    """It outlasts the program that has begun it, without a warning; the next program finds the kernels."""
    more = {"NUMBA_CACHE_DIR": str(tmp_path), "GPUCLUST_COMPILE": "auto", "GPUCLUST_NUM_THREADS": "2"}

    def program() -> str:
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert program().startswith("0 [")
    until = time.monotonic() + 120
    while not (marks := list(tmp_path.rglob("compiled-*"))) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(marks) == 1
    assert program() == "1 []\n"


HOLD = """
import sys, time
from gpuclust.core.compiling import alone
with alone(sys.argv[1], "a kind", patience=0) as mine:
    print(mine, flush=True)
    time.sleep(300)
"""


def test_one_process_compiles_a_kind(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(warm_module(), "compute", lambda *given, **more: calls.append(given[1]))
    job = "ward", "euclidean", "float64", "summaries", 50, 3, str(tmp_path), "a kind"
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as holds:
        try:
            assert holds.stdout.readline() == "True\n"
            assert compiling.taken(str(tmp_path), "a kind")
            warm_module().main(*job)
            assert not calls
        finally:
            holds.kill()
    assert not compiling.taken(str(tmp_path), "a kind")
    warm_module().main(*job)
    assert calls == ["ward"]
    assert not compiling.taken(str(tmp_path / "none"), "a kind")


LASTING = """
import os, sys, time
from gpuclust.core import compilers

compilers.LAST = 1.0

def main(file):
    open(file, "w").write(str(os.getpid()))
    time.sleep(300)

if __name__ == "__main__":
    print(compilers.begin("lasting", sys.argv[1], lasting=True).pid)
    while sys.argv[2] == "later" and not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_process_ends_after_the_one_that_has_begun_it(tmp_path, when):
    """Even if that ends before it has begun to work."""
    (tmp_path / "lasting.py").write_text(LASTING)
    file, folders = tmp_path / "pid", os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "GPUCLUST_NUM_THREADS": "2", "PYTHONPATH": folders}
    command = [sys.executable, tmp_path / "lasting.py", file, when]
    number, started = int(subprocess.check_output(command, env=environment)), time.monotonic()
    while is_running(number) and time.monotonic() - started < 30:
        time.sleep(0.05)
    assert not is_running(number)
    assert time.monotonic() - started > 0.5
    assert file.read_text() == str(number)


def is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{number}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
