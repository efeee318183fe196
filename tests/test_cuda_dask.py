"""gpuclust.dask with workers that have a GPU: the bits of those that have none."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ON_DEVICE

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.core import preparation
from gpuclust.dask import tasks
from gpuclust.dask.shared import Shared, packed

pytestmark = ON_DEVICE


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine"])
def test_a_task_has_the_same_bits_on_either(metric):
    """So workers of both kinds may answer the same search."""
    rng = np.random.default_rng(0)
    points = Shared(*packed(preparation.prepare(rng.integers(1, 4, (40, 3)).astype(float), metric)))
    component, rows = rng.integers(0, 3, 40), np.arange(0, 40, 2)
    shared = Shared(component, rows)
    for begin, end in ((0, 7), (7, 20)):
        ours, theirs = (tasks.outside_points(points, shared, begin, end, on_gpu) for on_gpu in (True, False))
        for one, other in zip(ours, theirs, strict=True):
            assert one.tobytes() == other.tobytes()


def test_single_linkage_on_a_worker_with_a_gpu():
    X = np.random.default_rng(1).integers(0, 9, (40, 2)).astype(float)
    expected = gpuclust.linkage(X, "single", device="cpu", algorithm="spanning tree")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        for device in ("auto", "cuda"):
            Z = on_cluster.linkage(X, "single", client=client, algorithm="spanning tree", device=device, timeout=240)
            assert Z.tobytes() == expected.tobytes()
