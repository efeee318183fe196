"""Batches that are killed, stopped or orphaned: complete results stay, and the rest is computed later."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import children
import numpy as np
import pytest

from gpuclust import batch
from gpuclust.app.batch.lock import locked

FILES = 160
#: What two runs of the same job may differ in: times, and the hashes of what tells them.
TIMES = ("started", "seconds", "seconds_of_linkage", "peak_memory_bytes", "bytes", "hashes", "sha256")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_sets(tmp_path_factory.mktemp("data"), FILES)


def data_sets(folder, files):
    """A number of valid data sets, and an invalid one."""
    rng = np.random.default_rng(11)
    for place in range(files):
        np.save(folder / f"{place:03}.npy", rng.normal(size=(30 + place % 40, 3)))
    (folder / "bad.csv").write_text("a,b\n1,x\n")
    return folder


def start(data, out, *options, ignoring=()):
    """A batch in a process group of its own, which hears Ctrl-C whatever started the tests."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "gpuclust.app.cli", "batch", data, "--out", out, "--clusters", "3", *options]
    command += ["--plots", "none"]
    return children.start(
        command, ignoring=ignoring, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def complete(out):
    """Which results are complete, by the identity of the file that says so."""
    found = {}
    for path in out.glob("*/run.json"):
        state = path.stat()
        found[path.parent.name] = (state.st_ino, state.st_mtime_ns)
    return found


def contents(out):
    """Everything in an output folder, without what is different each time."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_dir() or name in ("index.html", ".gpuclust.lock", ".gpuclust.json"):
            continue
        if path.name in ("run.json", "error.json"):
            record = json.loads(path.read_text())
            for name_of_run in ("out", "memory_limit"):  # the memory available then
                record["parameters"].pop(name_of_run)
            found[name] = {key: value for key, value in record.items() if key not in (*TIMES, "when")}
        elif path.name == "report.html":
            text = path.read_text().replace(str(out), "OUT")
            found[name] = re.sub(r"<dt>(seconds|started)</dt><dd>.*?</dd>", "", text)
        elif path.name == "summary.csv":
            rows = csv.DictReader(path.read_text().splitlines())
            skipped = ("seconds", "peak_memory_bytes", "status")
            found[name] = [{key: value for key, value in row.items() if key not in skipped} for row in rows]
        else:
            found[name] = path.read_bytes()
    return found


def wait_for(condition, process, seconds=children.PATIENCE):
    """Whether the condition came true before the process ended."""
    until = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.002)
    return True


def workers_of(process):
    """Numbers of the worker processes that a batch has just now."""
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            main = [int(number) for number in file.read().split()]
        for task in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{task}/children") as file:
                main += [int(number) for number in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return sorted(set(main))


def kill_a_worker(process, rng):
    """Kill one that is at work; the batch goes on without it."""
    found = workers_of(process)
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[rng.integers(len(found))], signal.SIGKILL)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.sweep)])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(tmp_path, kills):
    """The whole batch, and in every third round one of its workers before."""
    files = 20 * kills  # more than are done by then
    (tmp_path / "data").mkdir()
    data = data_sets(tmp_path / "data", files)
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    batch.run(data, undisturbed, workers=2, plots="none", clusters=3)
    rng = np.random.default_rng(3)
    seen = {}
    progress = []
    for kill in range(kills):
        before = len(complete(out))
        process = start(data, out, "--workers", str(1 + kill % 2))
        if kill % 5 == 0:  # in its beginning
            time.sleep(rng.uniform(0.0, 0.8))
        else:  # in its work: after some more results, and a moment that may be anywhere in the next
            more = before + int(rng.integers(1, 11))
            wait_for(lambda more=more: len(complete(out)) >= more, process)
            time.sleep(rng.uniform(0.0, 0.02))
            if kill % 3 == 0:
                kill_a_worker(process, rng)
                wait_for(lambda more=more: len(complete(out)) > more, process)
                time.sleep(rng.uniform(0.0, 0.02))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = complete(out)
        assert {name: state for name, state in now.items() if name in seen} == seen, (
            "a result was made again, or lost"
        )
        seen = now
        progress.append(len(seen))
    assert kills <= progress[-1] < files, progress
    assert len(set(progress)) > kills // 2, progress
    process = start(data, out, "--workers", "2")
    process.communicate(timeout=children.PATIENCE)
    assert process.returncode == 1, "one file is bad"
    assert {name: state for name, state in complete(out).items() if name in seen} == seen
    expected, found = contents(undisturbed), contents(out)
    assert len([name for name in expected if name.endswith("Z.npy")]) == files
    assert found.keys() == expected.keys(), "a file is missing, or something half-written is left"
    for name, content in expected.items():
        assert found[name] == content, name


def nobody_is_left(group: int) -> bool:
    """Whether a process group ends; a worker that has ended is in it until the system has taken note of that."""
    deadline = time.monotonic() + children.PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_ctrl_c_stops_it_and_says_what_is_left(data, tmp_path):
    out = tmp_path / "out"
    process = start(data, out, "--workers", "2", "--no-reports")
    assert wait_for(lambda: len(complete(out)) > 5, process)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=children.PATIENCE)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "gpuclust: stopped"
    assert "Traceback" not in said
    with open(out / "summary.csv", newline="") as file:
        status = [row["status"] for row in csv.DictReader(file)]
    assert len(status) == FILES + 1
    assert status.count("not run") >= FILES - len(complete(out))
    assert list(out.rglob("*.tmp")) == []
    with locked(out):  # no batch is running there any more
        pass


@pytest.mark.parametrize("told", ["its process", "all of them"])
def test_in_the_background_it_says_what_stops_it_and_stops(data, tmp_path, told):
    """Ctrl-C is ignored there; SIGTERM ends it and its workers, whether they hear of it too or not."""
    out = tmp_path / "out"
    process = start(data, out, "--workers", "2", "--no-reports", ignoring=[signal.SIGINT])
    assert wait_for(lambda: len(complete(out)) > 2, process)
    os.killpg(process.pid, signal.SIGINT)
    there = len(complete(out))
    assert wait_for(lambda: len(complete(out)) > there + 2, process)
    (os.kill if told == "its process" else os.killpg)(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=children.PATIENCE)
    assert process.returncode == 143
    assert said.splitlines()[0] == (
        f"gpuclust: Ctrl-C (SIGINT) is ignored, as in the background of a shell: stop with kill {process.pid}"
    )
    assert said.splitlines()[-1] == "gpuclust: stopped"
    assert "Traceback" not in said
    assert "failed" not in said.replace("failed: bad", "")
    assert nobody_is_left(process.pid)
    assert list(out.rglob("*.tmp")) == []
    with open(out / "summary.csv", newline="") as file:
        status = [row["status"] for row in csv.DictReader(file)]
    assert {*status} <= {"done", "failed", "not run"}
    assert status.count("not run") >= FILES - len(complete(out))


def test_workers_end_when_their_batch_is_gone(data, tmp_path):
    out = tmp_path / "out"
    process = start(data, out, "--workers", "2", "--no-reports")
    assert wait_for(lambda: len(complete(out)) > 2, process)
    process.kill()  # not its workers
    process.communicate(timeout=children.PATIENCE)
    with locked(out):
        there = complete(out)
        time.sleep(0.3)
        assert complete(out) == there


@pytest.mark.parametrize("count", [100, pytest.param(3000, marks=pytest.mark.sweep)])
def test_very_many_data_sets(tmp_path, count):
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    options = {"method": "ward", "clusters": 4, "reports": False, "plots": "none"}
    rng = np.random.default_rng(0)
    for place in range(count):
        np.save(folder / f"{place:04}.npy", rng.normal(size=(40, 4)) if place % 100 else np.zeros((1, 4)))
    outcomes = batch.run(folder, out, **options)
    assert [outcome.name for outcome in outcomes] == [f"{place:04}" for place in range(count)]
    assert [outcome.ok for outcome in outcomes] == [place % 100 != 0 for place in range(count)]
    with open(out / "summary.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == count
    page = (out / "index.html").read_text()
    assert page.count("<tr") == count + 1
    assert page.count('<tr class="failed">') == count // 100
    assert len(page) < 3e6
    again = batch.run(folder, out, **options)
    assert {outcome.status for outcome in again} == {"unchanged", "failed"}
