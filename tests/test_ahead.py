"""Kernels compiled by other processes: each is compiled once, and large jobs have the later ones compiled aside."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from test_first_call import in_a_new_process

from gpuclust.core import compilers, compiling
from gpuclust.core.disk_cache import on_disk
from gpuclust.core.methods import METHODS
from gpuclust.kernels.cpu.clusters import ahead
from gpuclust.kernels.cpu.clusters.summary_chain import chain_kernels

FLOAT64 = np.dtype("float64")


MODULE = """
import pathlib, sys, time
import numba.core.event as event
from gpuclust.core.jit import compiled


class Listener(event.Listener):
    def on_start(self, event):
        print("compiled", event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass


@compiled
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result


def main(name, values=(1.0, 2.0, 3.0)):
    event.register("numba:compile", Listener())
    folder = pathlib.Path(__file__).parent
    (folder / name).touch()
    while not all((folder / each).exists() for each in ("one", "other")):
        time.sleep(0.001)
    print(total(values))

"""


def test_two_processes_compile_a_kernel_once(tmp_path):
    (tmp_path / "shared.py").write_text(MODULE)
    program = "import sys; sys.path.insert(0, sys.argv[1]); import shared; shared.main(sys.argv[2])"

    def work(name: str) -> list[str]:
        return subprocess.check_output([sys.executable, "-c", program, tmp_path, name], text=True).splitlines()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(tuple, pool.map(work, ["one", "other"]))) == [("6.0",), ("compiled total", "6.0")]


def test_two_processes_add_to_the_index_of_a_kernel(tmp_path):
    """Each finds there what it compiled, for types of its own, however long writing takes."""
    (tmp_path / "shared.py").write_text(MODULE)
    program = """if True:
        import sys, time
        from gpuclust.core.disk_cache import _Checks

        save = _Checks._save_index
        _Checks._save_index = lambda *given: (time.sleep(1), save(*given))
        sys.path.insert(0, sys.argv[1])
        import shared

        shared.main(sys.argv[2], {"one": (1, 2, 3), "other": (0.5, 1.5)}[sys.argv[2]])
    """

    def work(name: str) -> list[str]:
        return subprocess.check_output([sys.executable, "-c", program, tmp_path, name], text=True).splitlines()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["one", "other"])) == [["compiled total", "6.0"], ["compiled total", "2.0"]]
        assert list(pool.map(work, ["one", "other"])) == [["6.0"], ["2.0"]]


def test_a_lock_that_is_held_for_ever_is_not_waited_for(tmp_path, monkeypatch):
    program = """if True:
        import sys, time
        from gpuclust.core.compiling import alone
        with alone(sys.argv[1], "kernel"):
            print("locked", flush=True)
            time.sleep(300)
    """
    waits = []
    monkeypatch.setattr(compiling, "time", SimpleNamespace(sleep=waits.append, monotonic=lambda: 9 * len(waits)))
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as holds:
        try:
            assert holds.stdout.readline() == b"locked\n"
            with compiling.alone(str(tmp_path), "another kernel"):
                assert not waits
            with compiling.alone(str(tmp_path), "kernel"):
                assert len(waits) == 7  # of nine seconds each: PATIENCE is a minute
        finally:
            holds.kill()


def test_no_lock_where_no_file_can_be_made(tmp_path):
    with compiling.alone(str(tmp_path / "none"), "kernel"):
        pass


@pytest.fixture
def begun(monkeypatch):
    """Commands of the processes that are begun by a job that finds nothing compiled."""
    commands = []

    def popen(command, **options):
        commands.append((command, options["env"]))
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "3")
    monkeypatch.setattr(ahead, "on_disk", lambda kernel: False)
    monkeypatch.setattr(ahead, "chain_kernels", lambda *kind: chain_kernels.__wrapped__(*kind))
    monkeypatch.setattr(compilers, "Popen", popen)
    yield commands
    for process, _ in compilers._begun:
        process.wait()


@pytest.mark.parametrize("walks", [False, True])
def test_parts_are_compiled(begun, walks):
    """By the commands that a job begins; here they find on disk what other tests have compiled."""
    ahead.begin(METHODS["ward"], FLOAT64, 3, walks)
    assert [json.loads(command[5])[0] for command, _ in begun] == (["chain"] if walks else ["chain", "meet"])
    for command, environment in begun:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert on_disk(chain_kernels(METHODS["ward"], FLOAT64, ahead.WALK if walks else ahead.ROW)[0])


@pytest.mark.parametrize("why", ["one thread", "only compiles", "on disk", "no Python", "no process"])
def test_nothing_is_begun(begun, why, monkeypatch):
    if why == "one thread":
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")
    elif why == "only compiles":
        monkeypatch.setenv("GPUCLUST_COMPILE", "always")
    elif why == "on disk":
        monkeypatch.setattr(ahead, "on_disk", lambda kernel: True)
    elif why == "no Python":
        monkeypatch.setattr(sys, "executable", "/usr/bin/some-program")
    else:

        def popen(command, **options):
            raise PermissionError("no more processes")

        monkeypatch.setattr(compilers, "Popen", popen)
    ahead.begin(METHODS["ward"], FLOAT64, 16, False)
    assert begun == []


@pytest.mark.sweep
def test_a_large_job_does_not_compile_what_others_do(tmp_path):
    compiled, total = in_a_new_process(tmp_path / "cache", 5000, "ward", GPUCLUST_NUM_THREADS="3")
    alone, expected = in_a_new_process(tmp_path / "other", 5000, "ward", GPUCLUST_COMPILE="always")
    assert total == expected
    assert any("chain_ward" in name for name in alone)
    assert not any("chain_ward" in name or "meet" in name for name in compiled)
