"""Worker processes of a batch: deaths, GPUs, a full disk, locked folders, and outcomes as they come."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import batch_folders
import numpy as np
import pytest
from batch_folders import POINTS, invoke, run, statuses, summary

from gpuclust import batch
from gpuclust.app.batch import pool
from gpuclust.app.batch.lock import locked
from gpuclust.app.data.output import OutputError
from gpuclust.core.device import Device

data = batch_folders.data


def worker_that(monkeypatch, patch):
    """Let workers run this program before they begin."""
    monkeypatch.setattr(pool, "_PROGRAM", pool._PROGRAM.replace("import sys;", f"exec({patch!r});", 1).replace(
        "sys.path[:] =", "import sys; sys.path[:] =", 1))  # fmt: skip


DIES = """
import os, signal, sys
sys.path[:] = {path!r}
import gpuclust.app.batch.worker as worker
first = worker.Source.of
def of(job):
    if "bomb" in job.data:
        os.kill(os.getpid(), signal.{signal})
    return first(job)
worker.Source = type("Source", (), dict(of=staticmethod(of)))
"""


@pytest.mark.parametrize(
    ("name", "said"), [("SIGKILL", "as the system does when memory runs out"), ("SIGSEGV", "SIGSEGV")]
)
def test_a_worker_that_dies_takes_only_its_own_job(tmp_path, data, monkeypatch, name, said):
    for place in range(20):
        np.save(data / f"{place:02}.npy", POINTS[place:])
    np.save(data / "bomb.npy", POINTS)
    worker_that(monkeypatch, DIES.format(path=sys.path, signal=name))
    found = run(data, tmp_path / "out", workers=2)
    assert [outcome.name for outcome in found.values() if not outcome.ok] == ["bomb"]
    assert found["bomb"].kind == "WorkerDied"
    assert said in found["bomb"].error
    assert "and again when it was tried alone" in found["bomb"].error
    assert (tmp_path / "out" / "bomb" / "error.json").exists()


SEES = """
import os, sys
sys.path[:] = {path!r}
from dataclasses import replace
import gpuclust.app.batch.worker as worker
real = worker.run_job
def run_job(job, *arguments, **options):
    done = real(replace(job, device="cpu"), *arguments, **options)
    (job.out / "seen").write_text(" ".join([job.device, os.environ["CUDA_VISIBLE_DEVICES"], str(os.getpid())]))
    return done
worker.run_job = run_job
"""


def test_each_card_has_a_process_and_the_cpu_a_pool(tmp_path, data, monkeypatch):
    """Jobs for GPUs run on the CPU here, after they have recorded the GPU that their process sees."""
    from dataclasses import replace

    from gpuclust.app.batch import estimate as estimates
    from gpuclust.app.batch import prepare
    from gpuclust.core.devices import Card

    for place in range(12):
        np.save(data / f"{'card' if place % 2 else 'cpu'}{place:02}.npy", POINTS[place:])
    cards = tuple(Card(index, "card", (9, 0), 2**36, 132, 1e9, 1e12) for index in range(2))
    monkeypatch.setattr("gpuclust.core.devices.cards", lambda: cards)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    def planned(job, limit):
        n = len(np.load(job.data))
        plan = estimates.plan(n, 3, job.method, device="cpu", memory_limit=limit)
        on_card = Path(job.data).name.startswith("card")
        return estimates.Estimate(replace(plan, device=Device("cuda" if on_card else "cpu")), 0, 1e10 + n)

    monkeypatch.setattr(prepare, "estimate", planned)
    worker_that(monkeypatch, SEES.format(path=sys.path))
    found = run(data, tmp_path / "out", workers=1)
    assert all(outcome.ok for outcome in found.values())
    seen = {name: (outcome.folder / "seen").read_text().rsplit(" ", 1) for name, outcome in found.items()}
    assert {what for name, (what, _) in seen.items() if name.startswith("card")} <= {"cuda 4", "cuda 7"}
    assert {what for name, (what, _) in seen.items() if name.startswith("cpu")} == {"cpu "}
    for what in {what for what, _ in seen.values()}:
        assert len({process for other, process in seen.values() if other == what}) == 1


def test_workers_that_cannot_start_end_the_batch(tmp_path, data, monkeypatch):
    np.save(data / "a.npy", POINTS)
    worker_that(monkeypatch, "raise SystemError('no such thing')")
    with pytest.raises(pool.WorkerError, match=r"before it was ready[\s\S]*no such thing"):
        run(data, tmp_path / "out")
    assert summary(tmp_path / "out")["a"]["status"] == "not run"


FULL = """
import errno, os, sys
sys.path[:] = {path!r}
import gpuclust.app.data.output
real = os.fsync
def fsync(descriptor):
    if os.path.exists({flag!r}):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(descriptor)
os.fsync = fsync
"""


def test_a_full_disk_ends_the_batch_and_it_goes_on_later(tmp_path, data, monkeypatch):
    for place in range(40):
        np.save(data / f"{place:02}.npy", POINTS[place:])
    flag, out = tmp_path / "full", tmp_path / "out"
    patch = FULL.format(path=sys.path, flag=str(flag))
    worker_that(monkeypatch, patch)
    monkeypatch.setattr(os, "fsync", os.fsync)  # put back at the end
    exec(patch, {})
    with pytest.raises(OutputError, match="nothing can be written there any more") as raised:
        batch.run(data, out, lambda outcome: flag.touch(), workers=1, plots="none", reports=False)
    assert "No space left" in str(raised.value)
    complete = len(list(out.glob("*/run.json")))
    assert 1 <= complete < 40
    assert list(out.rglob("*.tmp")) == []
    for folder in out.iterdir():
        assert not folder.is_dir() or {"run.json", "Z.npy"} <= set(os.listdir(folder)) or os.listdir(folder) == []
    flag.unlink()
    found = run(data, out)
    assert list(statuses(found).values()).count("unchanged") == complete
    assert all(outcome.ok for outcome in found.values())


def test_two_batches_do_not_share_a_folder(tmp_path, data, monkeypatch):
    monkeypatch.setattr("gpuclust.app.batch.lock.PATIENCE_SECONDS", 0.2)
    np.save(data / "a.npy", POINTS)
    out = tmp_path / "out"
    out.mkdir()
    with locked(out):
        done = invoke("batch", data, "--out", out)
        assert done.exit_code == 2
        assert f"another batch is at work there: process {os.getpid()} on" in done.stderr
        assert os.listdir(out) == [".gpuclust.lock"]
    assert run(data, out)["a"].status == "done", "the file of a lock that nobody holds is no lock"


def test_outcomes_come_one_after_the_other_and_may_be_left(tmp_path, data):
    for place in range(60):
        np.save(data / f"{place:02}.npy", POINTS[: 70 - place])
    out = tmp_path / "out"
    seen = []
    for outcome in batch.iterate(data, out, workers=1, plots="none", reports=False):
        assert (outcome.folder / "run.json").exists()
        seen.append(outcome.name)
        if len(seen) == 5:
            break
    rows = summary(out)
    assert [row["status"] for row in rows.values()].count("done") == 5
    assert [row["status"] for row in rows.values()].count("not run") >= 1
    results = []
    batch.run(data, out, results.append, workers=1, plots="none", reports=False)
    assert len(results) == 60
    assert sum(outcome.status == "unchanged" for outcome in results) >= 5
