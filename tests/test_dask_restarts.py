"""gpuclust.dask with clients and schedulers that die: a job goes on from its checkpoint."""

from __future__ import annotations

import os
import signal

import children
import pytest

pytest.importorskip("distributed")
import dask_clusters
from dask_clusters import TIMEOUT, data, same, start, start_scheduler
from distributed import Client

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.dask import connection
from gpuclust.dask.checkpoint import Checkpoint
from gpuclust.dask.cluster import Cluster
from gpuclust.errors import ClusterFailed

client, small_tasks = dask_clusters.client, dask_clusters.small_tasks


class Death(Exception):
    """Instead of the death of a client."""


@pytest.mark.parametrize(("method", "where"), [("single", "file"), ("ward", "memory"), ("complete", "file")])
def test_checkpoint(client, method, where, tmp_path, monkeypatch):
    """A job that died at some answer goes on from there, on the same or on another cluster."""
    monkeypatch.setattr("gpuclust.dask.checkpoint.EVERY", 0.0)
    folder = str(tmp_path / "job") if where == "file" else f"memory://{tmp_path.name}/{method}"
    X = data(2500, 60)
    expected = gpuclust.linkage(X, method, device="cpu")
    answers, most = [], 3
    keep = Checkpoint.keep

    def counted(self, *arguments):
        keep(self, *arguments)
        answers.append(1)
        if len(answers) == most:
            raise Death

    monkeypatch.setattr(Checkpoint, "keep", counted)
    for _ in range(3):
        answers.clear()
        with pytest.raises(Death):
            on_cluster.linkage(X, method, client=client, timeout=TIMEOUT, checkpoint=folder)
    with pytest.raises(ValueError, match=r"checkpoint.*other data"):
        on_cluster.linkage(X[1:], method, client=client, timeout=TIMEOUT, checkpoint=folder)
    with pytest.raises(ValueError, match=r"checkpoint.*other.* metric"):
        on_cluster.linkage(X, "single", "cosine", client=client, timeout=TIMEOUT, checkpoint=folder)
    answers.clear()
    most = 10**9
    same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT, checkpoint=folder), expected)
    rest = len(answers)
    if where == "file":
        assert list((tmp_path / "job").iterdir()) == []
    answers.clear()
    same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT, checkpoint=folder), expected)
    assert len(answers) == rest + 3 * 3


#: A client that kills itself after so many new answers; its arguments are the address, a folder, and their number.
CLIENT = """
import os, signal, sys
import dask_clusters, pytest
from distributed import Client
import gpuclust.dask
from gpuclust.dask import checkpoint
dask_clusters.make_tasks_small(pytest.MonkeyPatch())
checkpoint.EVERY = 0.0
address, folder, most = sys.argv[1:]
keep, kept = checkpoint.Checkpoint.keep, []
def counted(*arguments):
    keep(*arguments)
    kept.append(1)
    if len(kept) == int(most):
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoint.keep = counted
X = dask_clusters.data(4000, 60)
gpuclust.dask.linkage(X, "ward", client=Client(address), timeout=dask_clusters.TIMEOUT, checkpoint=folder)
"""


def kill_client(address, folder, most):
    """Start a client that is killed after so many new answers."""
    child = start(CLIENT, address, str(folder), str(most))
    assert child.wait(children.PATIENCE) == -signal.SIGKILL


def stop_scheduler(X, method, folder, how):
    """Run a job whose scheduler dies, or answers no more, after one new answer."""
    keep = Checkpoint.keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpuclust.dask.checkpoint.EVERY", 0.0)
        with start_scheduler() as (child, address), Client(address, set_as_default=False) as other:

            def and_kill(self, *arguments):
                keep(self, *arguments)
                os.kill(child.pid, how)
                patch.setattr(connection, "OUT_OF_REACH", 3.0)
                patch.setattr(connection, "SILENCE", 1.0)

            patch.setattr(Checkpoint, "keep", and_kill)
            with pytest.raises(ClusterFailed):
                on_cluster.linkage(X, method, client=other, timeout=TIMEOUT, checkpoint=folder)
            child.kill()
    assert list(folder.glob("answers-*"))


def test_the_client_is_killed(client, tmp_path, monkeypatch):
    X = data(4000, 60)
    for most in (2, 3):
        kill_client(client.scheduler.address, tmp_path, most)
    made = []
    submit = Cluster.submit

    def and_count(self, *rest, **options):
        made.append(1)
        return submit(self, *rest, **options)

    monkeypatch.setattr(Cluster, "submit", and_count)
    Z = on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT, checkpoint=tmp_path)
    went_on = len(made)
    same(Z, gpuclust.linkage(X, "ward", device="cpu"))
    made.clear()
    on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT)
    assert went_on < len(made)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.sweep)])
def test_the_scheduler_dies(client, tmp_path, how):
    """Or does not answer any more: the job fails, and goes on on another cluster."""
    X = data(4000, 60)
    stop_scheduler(X, "single", tmp_path, how)
    Z = on_cluster.linkage(X, "single", client=client, timeout=TIMEOUT, checkpoint=tmp_path)
    same(Z, gpuclust.linkage(X, "single", device="cpu"))


@pytest.mark.sweep
def test_ten_deaths(client, tmp_path):
    """Of clients and schedulers in turn, in one job."""
    X = data(4000, 60)
    for _ in range(5):
        kill_client(client.scheduler.address, tmp_path, 1)
        stop_scheduler(X, "ward", tmp_path, signal.SIGKILL)
    Z = on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT, checkpoint=tmp_path)
    same(Z, gpuclust.linkage(X, "ward", device="cpu"))
