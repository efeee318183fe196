"""Missing resources: disk space, open files, a home folder, locks, text encodings, a reader of stdout."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import children
import numpy as np
import pytest

import gpuclust
from gpuclust import batch
from gpuclust.app.batch.entry import Entry
from gpuclust.app.batch.inputs import unique_names
from gpuclust.app.data.output import OutputError
from gpuclust.app.job import runner
from gpuclust.app.job.job import Job
from gpuclust.app.job.record import complete_record, identity
from gpuclust.app.job.runner import run
from gpuclust.errors import FallbackWarning, InputFileError

POINTS = np.random.default_rng(5).normal(size=(40, 2))
QUICK = ["--plots", "none", "--no-reports", "--workers", "2", "-k", "2"]


@pytest.fixture
def points(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    return tmp_path / "a.npy"


def a_job(points, out, clusters=3, **options):
    return Job(str(points), out, clusters=clusters, **{"plots": False, **options})


def command(*arguments, prefix=(), without=(), **options):
    """The command in a process; its outcome."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **options.pop("env", {})}
    environment = {name: value for name, value in environment.items() if name not in without}
    words = [*prefix, sys.executable, "-m", "gpuclust.app.cli", *map(str, arguments)]
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run(words, env=environment, check=False, timeout=children.PATIENCE, **options)


def mounted(folder, *options):
    """Mount a file system in memory; skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("may not mount")
    return folder


def whole(out, points):
    """The number of clusters of the complete result in a folder; None if there is none, and nothing half-written."""
    for clusters in (3, 4):
        wanted = a_job(points, out, clusters)
        if complete_record(out, identity(wanted, runner.Source.of(wanted)))[0] is not None:
            return clusters
    assert not out.exists() or os.listdir(out) == [], "part of a result"
    return None


@pytest.mark.parametrize("plots", [False, pytest.param(True, marks=pytest.mark.sweep)])
def test_a_disk_that_is_full_at_any_write(tmp_path, points, monkeypatch, plots):
    """An error that says so; the earlier result or none, never a part; and the next run finds nothing in its way."""
    out = tmp_path / "o"
    reached = set()
    for step in range(100):
        run(a_job(points, out))
        left = [step]
        real = os.fsync

        def fsync(descriptor, left=left, real=real):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            try:
                run(a_job(points, out, 4, plots=plots))
            except OutputError as error:
                said = str(error)
            else:
                break
        assert "No space left on device" in said
        reached.add(whole(out, points))
    assert step < 99
    assert reached >= {3, None}, "the earlier one before anything was replaced, none after"
    assert whole(out, points) == 4


def test_a_small_disk(tmp_path, points):
    disk = mounted(tmp_path / "disk", "-o", "size=128k")
    try:
        for room in range(0, 100, 12):
            (disk / "filler").write_bytes(bytes(1024 * (100 - room)))
            with contextlib.suppress(OutputError):
                run(a_job(points, disk / "o", report=True))
            assert not (disk / "o").exists() or "run.json" in os.listdir(disk / "o")
            shutil.rmtree(disk / "o", ignore_errors=True)
        (disk / "filler").write_bytes(bytes(1024 * 124))
        done = command("batch", points, "--out", disk / "b", *QUICK)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        (disk / "filler").unlink()
        assert command("batch", points, "--out", disk / "b", *QUICK).returncode == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_read_only_folder(tmp_path, points):
    disk = mounted(tmp_path / "disk", "-o", "ro")
    try:
        for words in (["run", points, "--no-plots"], ["batch", points, *QUICK]):
            for out in (disk, disk / "o"):
                done = command(*words, "--out", out)
                assert done.returncode == 2
                assert "Read-only file system" in done.stderr
                assert done.stderr.count("\n") == 1
    finally:
        subprocess.run(["umount", disk], check=True)


class At:
    """Does something when a phase of a job begins."""

    def __init__(self, phase, action):
        self._phase, self._action = phase, action

    def phase(self, text):
        if text == self._phase:
            self._action()

    def __call__(self, done, total):
        pass


def test_an_output_folder_that_vanishes(tmp_path, points):
    out = tmp_path / "o"
    for phase in ("linkage", "writing", "drawing"):
        with pytest.raises(OutputError, match="cannot be written"):
            run(a_job(points, out, plots=True), At(phase, lambda: shutil.rmtree(out)))
        assert not out.exists()


def test_the_folder_of_a_batch_that_vanishes(tmp_path):
    data, out = tmp_path / "data", tmp_path / "o"
    data.mkdir()
    for place in range(30):
        np.save(data / f"{place}.npy", POINTS[place % 7 :])
    with pytest.raises(OutputError, match=str(out)):
        batch.run(data, out, lambda outcome: shutil.rmtree(out, ignore_errors=True), plots="none", workers=1)


def test_an_input_that_changes_during_the_run(tmp_path, points, monkeypatch):
    """Also if its length and times do not."""
    before = os.stat(points)

    def change(path=points):
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        with open(path, "r+b") as file:
            file.write(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(InputFileError, match=r"a\.npy: was changed while it was being read"):
        run(a_job(points, tmp_path / "o"), At("linkage", change))
    assert not (tmp_path / "o").exists()
    table = tmp_path / "t.csv"
    table.write_text("1,2\n3,4\n5,6\n7,81\n")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    real = runner.load

    def load(given):
        found = real(given)
        table.write_text("1,2\n3,4\n5,6\n7,82\n")
        os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
        return found

    monkeypatch.setattr(runner, "load", load)
    with pytest.raises(InputFileError, match=r"t\.csv: was changed while it was being read"):
        run(a_job(table, tmp_path / "o"))


def test_an_input_that_is_removed_or_replaced_after_it_was_read_does_no_harm(tmp_path, points):
    """It is mapped into memory: what was mapped stays."""
    expected = run(a_job(points, tmp_path / "first")).linkage.Z
    np.save(tmp_path / "b.npy", POINTS[::-1])
    for action in (lambda: os.replace(tmp_path / "b.npy", points), points.unlink):
        np.save(points, POINTS)
        found = run(a_job(points, tmp_path / "o"), At("linkage", action))
        np.testing.assert_array_equal(found.linkage.Z, expected)


def test_thirty_two_open_files(tmp_path, points):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    done = command("run", points, "--out", tmp_path / "o", "-k", 2, "--report", preexec_fn=few)
    assert done.returncode == 0, done.stderr
    done = command("batch", points, "--out", tmp_path / "b", *QUICK, preexec_fn=few)
    assert done.returncode == 0, done.stderr


def test_no_home(tmp_path, points):
    for words in (["run", points, "--out", tmp_path / "o"], ["batch", points, "--out", tmp_path / "b", *QUICK]):
        done = command(*words, cwd=tmp_path, without=("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"))
        assert done.returncode == 0, done.stderr
    assert "~" not in os.listdir(tmp_path)


def test_no_shared_memory(tmp_path, points):
    alone = ["unshare", "--mount", "sh", "-c", 'umount -l /dev/shm && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not take /dev/shm away")
    done = command("batch", points, "--out", tmp_path / "b", *QUICK, prefix=alone)
    assert done.returncode == 0, done.stderr


def test_a_locale_without_utf8(tmp_path):
    table = tmp_path / "n\u00e4me.csv"
    table.write_text("who,x\n\u00e4,1\n\u00f6,2\n\u20ac,9\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = command("run", table, "--out", tmp_path / "o", "-k", 2, "--report", "--no-plots", env=plain)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "o" / "labels.csv", encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["\u00e4", "\u00f6", "\u20ac"]
    assert "n\u00e4me.csv" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    done = command("batch", table, tmp_path / "\u00fc.csv", "--out", tmp_path / "b", *QUICK, env=plain)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    with open(tmp_path / "b" / "summary.csv", encoding="utf-8", newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == {"n\u00e4me", "\u00fc"}


@pytest.mark.parametrize("closed", [False, True])
def test_nobody_reads_what_is_printed(tmp_path, points, closed):
    """`gpuclust ... | head -1`, or `>&-`: no traceback, and the results are there."""
    plan = ["plan", "1000", "2", "--json"]
    for words in (plan, ["run", points, "--out", tmp_path / "o", "-k", 2, "--no-plots"]):
        reads, writes = os.pipe()
        os.close(reads)
        options = {"capture_output": False, "stderr": subprocess.PIPE, "stdout": writes}
        done = command(*words, **options, preexec_fn=(lambda: os.close(1)) if closed else None)
        os.close(writes)
        assert done.stderr == ""
        assert done.returncode == (0 if closed else 141)
    assert (tmp_path / "o" / "run.json").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, points, monkeypatch, number):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    run(a_job(points, tmp_path / "o"))
    with pytest.warns(FallbackWarning, match="has no locks"):
        (outcome,) = batch.run(points, tmp_path / "b", plots="none", reports=False, workers=1)
    assert outcome.ok


def test_a_strict_umask(tmp_path, points):
    def strict():
        os.umask(0o077)

    done = command("batch", points, "--out", tmp_path / "b", *QUICK, preexec_fn=strict)
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "b").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert command("batch", points, "--out", tmp_path / "b", *QUICK).stdout.startswith("1 data sets: 1 unchanged")


def test_eight_threads_at_once():
    expected = {method: gpuclust.linkage(POINTS, method) for method in ("ward", "average", "single", "centroid")}
    wrong = []

    def work(place):
        for turn in range(20):
            method = list(expected)[(place + turn) % len(expected)]
            Z = gpuclust.linkage(POINTS, method)
            labels = gpuclust.fcluster(Z, 3, "maxclust")
            if not np.array_equal(Z, expected[method]) or labels.max() != 3:
                wrong.append(method)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.sweep
def test_eight_threads_for_a_minute():
    import time

    rng = np.random.default_rng(0)
    data = [rng.normal(size=(n, 3)) for n in (50, 400, 1500)]
    methods = ("ward", "average", "single", "complete")
    expected = {(place, method): gpuclust.linkage(X, method) for place, X in enumerate(data) for method in methods}
    wrong, until = [], time.monotonic() + 60

    def work(seed):
        choose = np.random.default_rng(seed)
        while time.monotonic() < until:
            place, method = int(choose.integers(len(data))), methods[choose.integers(len(methods))]
            if not np.array_equal(gpuclust.linkage(data[place], method), expected[place, method]):
                wrong.append((place, method))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_two_hundred_calls_take_no_more_memory_than_twenty():
    X = np.random.default_rng(0).normal(size=(700, 3))  # a matrix of 2 MB

    def calls(count):
        for place in range(count):
            Z = gpuclust.linkage(X, ("ward", "average")[place % 2])
            gpuclust.fcluster(Z, 5, "maxclust")

    calls(20)
    before = resident()
    calls(200)
    assert resident() - before < 60e6, "200 matrices would be 400 MB"


def test_jobs_leave_no_file_open(tmp_path, points):
    def jobs(place):
        run(a_job(points, tmp_path / "o", 2 + place))
        (tmp_path / "t.csv").write_text(f"1,2\n3,{place}\n")
        run(a_job(tmp_path / "t.csv", tmp_path / "p", 2))

    jobs(20)  # a file for the locks of each folder of kernels stays open
    before = len(os.listdir("/proc/self/fd"))
    for place in range(20):
        jobs(place)
    assert len(os.listdir("/proc/self/fd")) <= before


# Many data sets


def test_names_of_twenty_thousand_data_sets():
    entries = [Entry(f"/data/{'ab'[place % 2]}/x.csv", {"name": "x"}, "x") for place in range(20_000)]
    names = unique_names(entries)
    assert len({name.casefold() for name in names}) == 20_000
    assert names[:3] == ["x", "x-2", "x-3"]


@pytest.mark.sweep
def test_twenty_thousand_tiny_data_sets(tmp_path):
    """Done, and found unchanged; twice as many take about twice the time."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for place in range(20_000):
        np.save(data / f"{place:05}.npy", rng.normal(size=(5, 2)))
    cpu = []
    for pattern, count in (("0*.npy", 10_000), ("*.npy", 20_000), ("*.npy", 20_000)):
        out = tmp_path / f"out-{len(cpu) if len(cpu) < 2 else 1}"
        before = sum(os.times()[:4])
        outcomes = batch.run(str(data / pattern), out, plots="none", reports=False, clusters=2)
        cpu.append(sum(os.times()[:4]) - before)
        assert len(outcomes) == count
        assert {outcome.status for outcome in outcomes} == {"done" if len(cpu) < 3 else "unchanged"}
    assert cpu[1] < 3 * cpu[0], cpu
    record = json.loads((out / "19999" / "run.json").read_text())
    assert record["result"]["clusters"] == 2
    assert Path(out / "summary.csv").read_text().count("\n") == 20_001
