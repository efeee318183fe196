"""gpuclust.dask on workers of which one has a GPU, emulated: the bits of the CPU."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("distributed")
import dask
from dask_clusters import TIMEOUT, same
from distributed import Client, Nanny, Scheduler, SpecCluster

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.dask import searches, tasks
from gpuclust.dask.cluster import Cluster


def worker(**environment):
    return {"cls": Nanny, "options": {"nthreads": 1, "silence_logs": 50, "env": environment}}


@pytest.mark.sweep
def test_one_worker_with_a_gpu(monkeypatch):
    """Searches go to either in turn."""
    monkeypatch.setattr(searches, "COMPUTED", 1e3)
    X = np.random.default_rng(1).integers(0, 9, (40, 2)).astype(float)
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0"}}
    workers = {0: worker(CUDA_VISIBLE_DEVICES="-1"), 1: worker(NUMBA_ENABLE_CUDASIM="1")}
    spawn = dask.config.set({"distributed.worker.multiprocessing-method": "spawn"})  # each with its environment
    with spawn, SpecCluster(workers, scheduler, silence_logs=50) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        kinds = {address: bool(found[0]) for address, found in client.run(tasks.has_gpu).items()}
        assert sorted(kinds.values()) == [False, True]
        turns, submit, given = itertools.cycle(kinds), Cluster.submit, []

        def in_turn(self, key, function, *arguments, **options):
            if function is tasks.outside_points:
                given.append(next(turns))
                options = {"workers": [given[-1]]}
            return submit(self, key, function, *arguments, **options)

        monkeypatch.setattr(Cluster, "submit", in_turn)
        options = {"client": client, "algorithm": "spanning tree", "device": "cuda", "timeout": TIMEOUT}
        Z = on_cluster.linkage(X, "single", **options)
    assert len(given) >= 2
    same(Z, gpuclust.linkage(X, "single", device="cpu", algorithm="spanning tree"))
