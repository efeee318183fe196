"""Batches on a Dask cluster: the same files as on one machine, also where workers and clients are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest

from gpuclust import batch
from gpuclust.app.batch.pool import WorkerError

distributed = pytest.importorskip("distributed")
from dask_clusters import local_cluster, start_scheduler  # noqa: E402

OPTIONS: dict[str, Any] = {"method": "average", "clusters": 3, "plots": "none", "reports": False}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three workers in processes of their own, which are started again when they die."""
    with local_cluster(3, local_directory=str(tmp_path_factory.mktemp("dask"))) as found:
        yield found


def data_sets(folder: Path, count: int, n: int = 60) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"set{k:03}.npy" for k in range(count)]
    for k, path in enumerate(paths):
        np.save(path, np.random.default_rng(k).normal(size=(n + k % 7, 3)))
    return paths


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(out)): file.read_bytes() for name in ("Z.npy", "labels.csv") for file in out.rglob(name)
    }


def worker_pids(cluster: Any) -> list[int]:
    return [worker.process.pid for worker in cluster.workers.values() if worker.process and worker.process.pid]


def test_a_batch_is_that_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    paths = data_sets(tmp_path / "in", 12)
    (tmp_path / "in" / "bad.csv").write_text("a,b\nx,\n")
    given = [*paths, tmp_path / "in" / "bad.csv"]
    here = batch.run(given, tmp_path / "here", **OPTIONS)
    with distributed.Client(cluster) as client:
        there = batch.run(given, tmp_path / "there", client=client, **OPTIONS)
        again = batch.run(given, tmp_path / "there", client=client, **OPTIONS)
    assert [(o.name, o.status, o.kind) for o in there] == [(o.name, o.status, o.kind) for o in here]
    assert [o.status for o in again] == ["unchanged"] * 12 + ["failed"]
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert {path.name for path in (tmp_path / "there").iterdir()} == {
        path.name for path in (tmp_path / "here").iterdir()
    }


@pytest.mark.parametrize(
    ("count", "n", "every", "most"), [(30, 60, 1.0, 3), pytest.param(500, 200, 5.0, 1000, marks=pytest.mark.sweep)]
)
@pytest.mark.timeout(1800)
def test_workers_are_killed(count: int, n: int, every: float, most: int, cluster: Any, tmp_path: Path) -> None:
    paths = data_sets(tmp_path / "in", count, n)
    batch.run(paths, tmp_path / "here", **OPTIONS)
    killed: list[int] = []
    there = []
    over = threading.Event()

    def kill() -> None:
        """Every so many seconds, but not before something was finished: workers take their time to start."""
        finished = -1
        while not over.wait(every):
            pids = worker_pids(cluster)
            if pids and len(there) > finished and len(killed) < most:
                finished = len(there)
                killed.append(pids[len(killed) % len(pids)])
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with distributed.Client(cluster) as client:
        killer.start()
        try:
            for outcome in batch.iterate(paths, tmp_path / "there", client=client, **OPTIONS):
                there.append(outcome)
                until = time.monotonic() + children.PATIENCE
                while not killed and time.monotonic() < until:
                    time.sleep(0.05)
        finally:
            over.set()
            killer.join()
    assert killed
    assert sorted(o.index for o in there) == list(range(count))
    assert [o.error for o in there if not o.ok] == []
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def command(address: str) -> list[str]:
    options = ["--method", "average", "--clusters", "3", "--plots", "none", "--no-reports"]
    return [sys.executable, "-m", "gpuclust", "batch", "in", "--out", "out", "--scheduler", address, *options]


def wait_for_results(folder: Path, number: int, process: Any) -> None:
    until = time.monotonic() + children.PATIENCE
    while len(list(folder.glob("out/*/run.json"))) < number and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


def test_the_scheduler_and_the_client_are_killed(cluster: Any, tmp_path: Path) -> None:
    """One after the other; the same command, with another scheduler or the same one, goes on."""
    data_sets(tmp_path / "in", 60)
    with start_scheduler() as (scheduler, address):
        first = children.start(command(address), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        wait_for_results(tmp_path, 3, first)
        scheduler.kill()
        _, said = first.communicate(timeout=children.PATIENCE)
    assert first.returncode == 1, said
    assert "error: The scheduler" in said, said
    assert "Traceback" not in said
    second = children.start(command(cluster.scheduler_address), cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for_results(tmp_path, 6, second)
    second.kill()
    second.wait()
    done = children.run(command(cluster.scheduler_address), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("out/*/run.json"))) == 60
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.endswith(".lock")][1:]
    here = batch.run(tmp_path / "in", tmp_path / "here", **OPTIONS)
    assert all(outcome.ok for outcome in here)
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_what_is_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = data_sets(tmp_path / "in", 1)
    with distributed.Client(cluster) as client:
        (outcome,) = batch.run(paths, tmp_path / "out", client=client, memory_limit="1kB", **OPTIONS)
        assert outcome.kind == "DoesNotFit"
        monkeypatch.setattr("gpuclust.app.batch.cluster.__version__", "99")
        with pytest.raises(WorkerError, match="another version"):
            batch.run(paths, tmp_path / "out", client=client, **OPTIONS)
    done = children.run(
        [sys.executable, "-m", "gpuclust", "batch", "in", "--out", "out", "--scheduler", "nonsense"], cwd=tmp_path
    )
    assert done.returncode == 1
    assert "--scheduler nonsense: cannot be reached" in done.stderr
