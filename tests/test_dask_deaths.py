"""gpuclust.dask with workers that are killed, that join, and that leave: the same bits."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytest.importorskip("distributed")
import dask_clusters
from dask_clusters import TIMEOUT, Deadly, Killer, data, local_cluster, same, too_large, value_of
from distributed import Client
from distributed.chaos import KillWorker

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.dask.cluster import Cluster
from gpuclust.errors import ClusterFailed

small_tasks = dask_clusters.small_tasks


@pytest.mark.parametrize(
    "method", ["single", *(pytest.param(method, marks=pytest.mark.sweep) for method in ("ward", "average"))]
)
def test_workers_are_killed(method):
    """Also all of them at a time: the data are in the definitions of tasks."""
    X = data(3000, 60)
    expected = gpuclust.linkage(X, method, device="cpu")
    with local_cluster(2) as cluster, Client(cluster) as client, Killer(cluster, 0.7, 3) as killer:
        for _ in range(20):
            same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)
            if killer.killed >= 3:
                break
        assert killer.killed >= 1


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_fifty_kills():
    X = data(4000, 60)
    jobs = [
        (method, gpuclust.linkage(X, method, device="cpu")) for method in ("single", "ward", "average", "complete")
    ]
    with local_cluster(3) as cluster, Client(cluster) as client, Killer(cluster, 2.0, 50) as killer:
        while killer.killed < 50:
            for method, expected in jobs:
                same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)


class Replenisher(threading.Thread):
    """Starts a worker for each one whose nanny has ended with it, as an adaptive cluster would."""

    def __init__(self, cluster, workers):
        super().__init__(daemon=True)
        self.cluster, self.workers, self.over = cluster, workers, threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            nannies = list(self.cluster.workers.values())
            ended = sum(nanny.status.name not in ("init", "starting", "running") for nanny in nannies)
            wanted = self.workers + ended
            if len(self.cluster.worker_spec) < wanted:
                self.cluster.scale(wanted)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["sys.exit", "graceful", "segfault"])
def test_chaos(mode):
    """`KillWorker` ends each worker some time after its start, perhaps during it, and often with its nanny.

    So without new workers there is soon none left, and a job fails after its timeout. Workers live as long as they
    take to start and to do both jobs, on average: where they live shorter, nothing can be finished.
    """
    began = time.monotonic()
    X = data(3000, 60)
    jobs = [(method, gpuclust.linkage(X, method, device="cpu")) for method in ("single", "ward")]
    with local_cluster(3) as cluster, Client(cluster) as client, Replenisher(cluster, 3):
        for method, expected in jobs:
            same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)
        client.register_plugin(KillWorker(f"{time.monotonic() - began} s", mode))
        before = set(client.nthreads())
        while before & set(client.nthreads()):  # until all of the first workers are gone
            for method, expected in jobs:
                same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)


def test_a_worker_joins_and_one_leaves(monkeypatch):
    """In the midst of a job."""
    X = data(3000, 60)
    submit, made = Cluster.submit, []
    with local_cluster(1) as cluster, Client(cluster) as client:

        def and_scale(self, *arguments, **options):
            made.append(1)
            for at, workers in ((5, 2), (12, 1)):
                if len(made) == at:
                    cluster.scale(workers)
                    wait_for_workers(client, workers)
            return submit(self, *arguments, **options)

        monkeypatch.setattr(Cluster, "submit", and_scale)
        same(on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT), gpuclust.linkage(X, "ward", device="cpu"))
    assert len(made) > 12


def wait_for_workers(client, number):
    until = time.monotonic() + TIMEOUT
    while len(client.nthreads()) != number and time.monotonic() < until:
        time.sleep(0.05)


def test_a_task_that_kills_workers():
    """Dask gives it up after a number of deaths, and it is submitted again before the job fails."""
    with local_cluster(1) as cluster, Client(cluster) as own:
        cluster.scheduler.allowed_failures = 0
        with pytest.raises(ClusterFailed, match="died"):
            Cluster(own, TIMEOUT).each("deadly", os._exit, [(1,)], ignore)


def test_what_tasks_share_kills_a_worker(tmp_path):
    """The task that makes it is given up, and so all that need it: they are submitted again with another one."""
    answers = []
    with local_cluster(1) as cluster, Client(cluster) as own:
        cluster.scheduler.allowed_failures = 0
        job = Cluster(own, TIMEOUT)
        shared = job.share("deadly", Deadly(tmp_path))
        job.each("value", value_of, [(shared,)] * 20, lambda place, answer: answers.append(float(answer[0])))
    assert answers == [3.0] * 20


@pytest.mark.sweep
def test_a_worker_is_killed_by_its_nanny(tmp_path):
    """Since it takes more memory than it may: its task is done by the next one."""
    answers = []
    with local_cluster(1, memory_limit="600MB") as cluster, Client(cluster) as client:
        before = set(client.nthreads())
        Cluster(client, TIMEOUT).each("large", too_large, [(str(tmp_path),)], lambda place, answer: answers.append(1))
        assert not before & set(client.nthreads())
    assert answers == [1]


def ignore(place, answer):
    """Take an answer."""
