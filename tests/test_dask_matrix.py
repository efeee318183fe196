"""The matrix of complete, average and weighted linkage in the memory of workers: the bits of one machine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("distributed")
import distributed
from dask_clusters import TIMEOUT, Killer, data, local_cluster, make_tasks_small, same
from distributed import Client

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.algorithms import rounds
from gpuclust.algorithms.stored import clusters_left
from gpuclust.core import methods, preparation
from gpuclust.core.clusters import Clusters
from gpuclust.dask import interface, matrix, planning
from gpuclust.dask.checkpoint import Checkpoint
from gpuclust.dask.shared import Shared
from gpuclust.errors import DoesNotFit
from gpuclust.kernels.cpu.backend import backend

#: Of the client, which has room for about a quarter of the clusters that the first rounds leave of 2,500 points.
LIMIT = "5MB"


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as cluster, Client(cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    make_tasks_small(monkeypatch)


@pytest.fixture
def exchanged(monkeypatch):
    """Bytes that workers have sent each other, for each matrix that they have held."""
    found = []
    fetched = matrix.ShardedRows._fetched
    monkeypatch.setattr(
        matrix.ShardedRows, "_fetched", lambda self: (found.append(self._cluster.exchanged), fetched(self))[1]
    )
    return found


class Here:
    """Instead of a `Cluster`: each call is made at once, in this process."""

    client, exchanged, forgetful = None, 0, False

    def __init__(self, monkeypatch, seed=None):
        self.rng = None if seed is None else np.random.default_rng(seed)
        monkeypatch.setattr(matrix, "Made", lambda cluster, what, *call, **options: self.call(*call))
        monkeypatch.setattr(matrix, "workers_of", lambda client: {})
        monkeypatch.setattr(matrix, "thread_counts", lambda client: {})
        monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(address="here"))

    def share(self, what, *values):
        return Shared(*values)

    def call(self, function, *arguments):
        for argument in arguments:
            if self.rng is not None and isinstance(argument, Shared) and self.rng.random() < 0.02:
                argument.saved.clear()  # as on a worker that did not have it before
        return function(*arguments)

    def each(self, what, function, parts, take, kept=True, homes=()):
        for place, part in enumerate(parts):
            take(place, self.call(function, *part))


def steep(n, m):
    """Points at growing distances from each other: few pairs are reciprocal nearest neighbours."""
    X = np.zeros((n, m))
    X[:, 0] = np.cumsum(1 + np.arange(n) / 1000)
    return X


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(
    ("method", "points", "most", "dtype"),
    [
        ("complete", data, 150, "float64"),
        ("average", data, 3, "float64"),
        ("average", steep, 90, "float64"),
        pytest.param("weighted", data, 90, "float32", marks=pytest.mark.sweep),
    ],
)
def test_merges(monkeypatch, method, points, most, dtype, seed):
    """Rounds and chains on shards, some of which are lost now and then and made anew from the points."""
    monkeypatch.setattr(matrix, "ENTRY", 7)
    monkeypatch.setattr(rounds, "TAIL", 20)  # rounds as well as chains, of these few points
    rule, given = methods.METHODS[method], preparation.prepare(points(300, 6), "cityblock", dtype=dtype)
    clusters = Clusters.of_points(given.n, given.dtype)
    if method != "complete":  # clusters of several points
        clusters, _ = clusters.unite(np.arange(0, 60, 2), np.arange(1, 60, 2), given.n, rule.counted)
        clusters, _ = clusters.unite(np.arange(5), np.arange(255, 260), given.n + 30, rule.counted)
    found = []
    for stored in (
        backend().store_clusters(given, rule, clusters),
        matrix.ShardedRows(Here(monkeypatch, seed), given, rule, clusters, most, 0),
    ):
        merges = rounds.Merging(2 * given.n, given.dtype)
        merges.done = merges.heights.size + 1 - clusters.ids.size
        rounds._finish(stored, rule, merges, clusters.total.copy(), clusters.ids.copy(), lambda done: None)
        found.append((merges.pairs[-clusters.ids.size + 1 :], merges.heights[-clusters.ids.size + 1 :], merges.scans))
    same(found[1][0], found[0][0])
    same(found[1][1], found[0][1])
    assert found[0][2] == found[1][2]


def test_same_bits(client, exchanged):
    """As with enough memory on one machine, where the client has too little."""
    X = data(2500, 20)
    expected = gpuclust.linkage(X, "complete", "cityblock", device="cpu", algorithm="stored")
    found = on_cluster.linkage(X, "complete", "cityblock", client=client, timeout=TIMEOUT, memory_limit=LIMIT)
    same(found, expected)
    assert len(exchanged) == 1


class Death(Exception):
    """Instead of the death of a client."""


def test_checkpoint(client, exchanged, tmp_path, monkeypatch):
    """A job goes on from the answers of all rounds; the matrix itself is not kept."""
    monkeypatch.setattr("gpuclust.dask.checkpoint.EVERY", 0.0)
    X = data(2500, 20)
    expected = gpuclust.linkage(X, "average", "cityblock", device="cpu", algorithm="stored")
    keep, answers = Checkpoint.keep, []
    options = {"client": client, "timeout": TIMEOUT, "memory_limit": LIMIT, "checkpoint": tmp_path}

    def counted(self, call, *arguments):
        keep(self, call, *arguments)
        answers.append(call)
        if call.startswith("merges-of-rows") and len(set(answers)) == 3:
            raise Death

    monkeypatch.setattr(Checkpoint, "keep", counted)
    with pytest.raises(Death):
        on_cluster.linkage(X, "average", "cityblock", **options)
    monkeypatch.setattr(Checkpoint, "keep", lambda self, call, *rest: (answers.append(call), keep(self, call, *rest)))
    before = set(answers)
    answers.clear()
    same(on_cluster.linkage(X, "average", "cityblock", **options), expected)
    assert len(before & set(answers)) <= 1  # the call that was not complete
    assert len(exchanged) == 1


def test_plan(client):
    def planned(n, **options):
        return on_cluster.plan(n, 20, "average", "cityblock", client=client, **options)

    job = planned(2500, memory_limit=LIMIT)
    assert job.sharded
    assert job.fits
    assert "Workers hold the matrix" in str(job)
    assert not planned(2500, memory_limit="1GB").sharded
    assert not planned(2500, memory_limit=LIMIT, algorithm="hybrid").sharded
    assert not planned(10**6, memory_limit="3GB").sharded  # the workers have not the memory
    asked = planned(10**6, memory_limit="3GB", algorithm="stored")
    assert asked.sharded
    with pytest.raises(DoesNotFit, match="A worker needs"):
        asked.check()


def test_points_take_memory_of_workers():
    """The matrix of clusters has what each of them may use beside the points."""
    job = gpuclust.plan(2500, 2000, "complete", "cityblock", device="cpu", memory_limit="220MB", algorithm="hybrid")
    rows, points = clusters_left(job.problem) ** 2 * job.problem.width, 8 * 2500 * 2000
    assert planning.with_shards(job, "auto", [rows]) is None
    assert planning.with_shards(job, "auto", [points] * (rows // points + 2)) is None
    assert planning.with_shards(job, "auto", [rows + 8 * points]) is job


def test_the_plan_counts_what_is_done(client, exchanged, monkeypatch):
    """Tasks and bytes, within a factor of four."""
    counted = []
    monkeypatch.setattr(interface, "_log", SimpleNamespace(info=lambda text, *numbers: counted.append(numbers)))
    X = np.random.default_rng(0).normal(size=(3000, 20))
    on_cluster.linkage(X, "complete", "cityblock", client=client, timeout=TIMEOUT, memory_limit="6.5MB")
    job = on_cluster.plan(*X.shape, "complete", "cityblock", client=client, memory_limit="6.5MB")
    ((tasks, sent, received),) = counted
    assert job.tasks / 4 < tasks < 4 * job.tasks
    both = sent * (1 + job.workers) / 2 + received + exchanged[0]
    assert job.traffic / 4 < both < 4 * job.traffic


def test_too_little_memory(client, monkeypatch):
    """Of the workers, for the clusters that are left."""
    monkeypatch.setattr(matrix, "usable_memory", lambda worker, default: 2**20)
    with pytest.raises(DoesNotFit, match="memory of workers, and"):
        on_cluster.linkage(data(2500, 20), "average", "cityblock", client=client, timeout=TIMEOUT, memory_limit=LIMIT)


def test_a_worker_is_killed(client, exchanged):
    """What it holds is made anew from points and merges."""
    X, options = data(2500, 20), {"memory_limit": LIMIT, "algorithm": "stored", "timeout": TIMEOUT}
    expected = gpuclust.linkage(X, "average", "cityblock", device="cpu", algorithm="stored")
    with Killer(client.cluster, 0.5, 1) as killer:
        for _ in range(20):
            same(on_cluster.linkage(X, "average", "cityblock", client=client, **options), expected)
            if killer.killed:
                break
        assert killer.killed
    assert exchanged


@pytest.mark.sweep
def test_the_only_worker_is_killed():
    """There is none for a while, and then one of another address, which no task prefers."""
    X, options = data(2500, 20), {"memory_limit": LIMIT, "algorithm": "stored", "timeout": TIMEOUT}
    expected = gpuclust.linkage(X, "average", "cityblock", device="cpu", algorithm="stored")
    with local_cluster(1) as cluster, Client(cluster) as client, Killer(cluster, 0.5, 4) as killer:
        while killer.killed < 4:
            same(on_cluster.linkage(X, "average", "cityblock", client=client, **options), expected)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_any_number_of_workers_and_kills():
    """Twenty workers are killed, at random moments of jobs on one to four workers."""
    X, options = data(3000, 20), {"memory_limit": "8MB", "algorithm": "stored", "timeout": TIMEOUT}
    jobs = [
        (method, metric) for method in ("complete", "average", "weighted") for metric in ("chebyshev", "cityblock")
    ]
    expected = [gpuclust.linkage(X, *job, device="cpu", algorithm="stored") for job in jobs]
    for workers in (1, 2, 3, 4):
        with local_cluster(workers) as cluster, Client(cluster) as client, Killer(cluster, 1.0, 5) as killer:
            while killer.killed < 5:
                for job, Z in zip(jobs, expected, strict=True):
                    same(on_cluster.linkage(X, *job, client=client, **options), Z)
