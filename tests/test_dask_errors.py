"""One error for all that Dask raises where a cluster is lost, and deadlines for whatever may not come."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import children
import numpy as np
import pytest

pytest.importorskip("distributed")
import dask.array as da
import distributed
from dask_clusters import TIMEOUT, data, divided, local_cluster
from distributed import CancelledError, Client
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

import gpuclust.dask as on_cluster
from gpuclust import batch
from gpuclust.app import doctor_cluster
from gpuclust.app.batch.cluster import Seat
from gpuclust.dask import cluster as cluster_module
from gpuclust.dask import connection
from gpuclust.dask.cluster import Cluster
from gpuclust.errors import ClusterFailed

#: Errors of Dask by what happened; in the second group the client is closed for good.
LOST = {
    "cancelled": CancelledError,
    "cancelled by asyncio": asyncio.CancelledError,
    "cancelled futures": lambda: getattr(distributed.client, "FuturesCancelledError", CancelledError)([]),
    "closed connection": CommClosedError,
    "no connection": lambda: OSError("Timed out trying to connect"),
    "deadline": distributed.TimeoutError,
}
CLOSED = {
    "closed client": getattr(distributed.client, "ClosedClientError", Exception),
    "closed loop": lambda: RuntimeError("IOLoop is closed"),
    "no scheduler": lambda: AttributeError("'NoneType' object has no attribute 'send'"),
}
BOTH = [*LOST, *CLOSED]
BATCH = {"method": "average", "clusters": 2, "plots": "none", "reports": False}


@pytest.fixture(scope="module")
def shared():
    with local_cluster(1, processes=False) as cluster, Client(cluster, set_as_default=False) as found:
        yield found


@pytest.fixture
def break_at(shared, monkeypatch):
    """A function that breaks a call of Dask, and returns the client."""

    def broken_at(place, how):
        def broken(*arguments, **options):
            if how in CLOSED:
                monkeypatch.setattr(shared, "status", "closed")
                raise CLOSED[how]()
            raise LOST[how]()

        owner = {"_wait": distributed.client, "exception": distributed.Future, "result": distributed.Future}.get(
            place, shared
        )
        owner = shared.scheduler if place in ("ncores", "identity") else owner
        monkeypatch.setattr(owner, place, broken, raising=place not in ("ncores", "identity"))
        return shared

    return broken_at


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{k}.npy" for k in range(3)]
    for k, path in enumerate(found):
        np.save(path, data(20 + k, 3, k))
    return found


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("place", ["ncores", "submit", "_wait", "gather", "exception"])
def test_a_lost_scheduler(break_at, place, how):
    if (place, how) == ("_wait", "deadline"):
        pytest.skip("the time between two looks at the cluster")
    client = break_at(place, how)
    with pytest.raises(ClusterFailed):
        Cluster(client, TIMEOUT).each("lost", divided, [(1, place != "exception")] * 3, ignore)


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("place", ["compute", "result"])
def test_a_lost_scheduler_while_a_dask_array_is_read(break_at, place, how):
    with pytest.raises(ClusterFailed):
        on_cluster.linkage(da.from_array(data(30, 3)), client=break_at(place, how))


@pytest.mark.parametrize("how", BOTH)
def test_a_lost_scheduler_while_a_job_is_planned(break_at, how):
    with pytest.raises(ClusterFailed):
        on_cluster.plan(5000, 30, client=break_at("identity", how))


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("place", ["ncores", "_run", "submit", "result"])
def test_a_lost_scheduler_in_a_batch(break_at, monkeypatch, paths, tmp_path, place, how):
    """What is done stays, and the same call goes on."""
    client, out = break_at(place, how), tmp_path / "out"
    with pytest.raises(ClusterFailed):
        batch.run(paths, out, client=client, **BATCH)
    assert not list(out.glob("*/error.json"))
    monkeypatch.undo()
    if how == BOTH[0]:
        assert all(outcome.ok for outcome in batch.run(paths, out, client=client, **BATCH))


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("place", ["identity", "submit", "result"])
def test_a_lost_scheduler_in_doctor(break_at, monkeypatch, place, how):
    client = break_at(place, how)
    monkeypatch.setattr(connection, "connect", lambda address, **options: Kept(client))
    monkeypatch.setattr(doctor_cluster, "examined", dict)
    if place == "result" and how in LOST:  # of one worker, perhaps
        assert not doctor_cluster.examine("address")["ok"]
        return
    with pytest.raises(ClusterFailed):
        doctor_cluster.examine("address")


class Kept:
    """A client that is not closed in the end."""

    def __init__(self, client):
        self.client = client

    def __enter__(self):
        return self.client

    def __exit__(self, *error):
        pass


def ignore(place, answer):
    """Take an answer."""


def test_an_error_that_is_gone_again(shared, monkeypatch):
    """The scheduler is lost between the error of a task and the question which one it was."""
    monkeypatch.setattr(distributed.Future, "exception", lambda *_, **__: None)
    with pytest.raises(ClusterFailed, match="lost"):
        Cluster(shared, TIMEOUT).each("broken", divided, [(1, 0)], ignore)


def test_a_result_that_is_lost_and_made_again(shared, monkeypatch):
    """Since its worker left before it was fetched."""
    wait, lost, answers = cluster_module.wait_for_one, [], []

    def and_lose(client, futures):
        if lost:
            lost[0]._state.finish()
        wait(client, futures)
        if not lost:
            lost.append(futures[0])
            lost[0]._state.lose()

    monkeypatch.setattr(cluster_module, "wait_for_one", and_lose)
    Cluster(shared, TIMEOUT).each("lost", divided, [(6, 2)], lambda place, answer: answers.append(float(answer[0])))
    assert answers == [3.0]


def test_a_result_that_is_lost_and_then_fails(shared, monkeypatch):
    """While it is fetched: its task is submitted again, as any that workers died of."""
    gather, answers = shared.gather, []

    def gather_second(futures, **options):
        if not answers:
            answers.append("lost")
            futures[0]._state.set_error(KilledWorker("task", None, 3), None)
            raise futures[0]._state.exception
        return gather(futures, **options)

    monkeypatch.setattr(shared, "gather", gather_second)
    Cluster(shared, TIMEOUT).each("lost", divided, [(6, 2)], lambda place, answer: answers.append(float(answer[0])))
    assert answers == ["lost", 3.0]


class Waiting:
    """Tasks that wait until the test lets them go; the first one fails."""

    go = threading.Event()

    @staticmethod
    def run(number):
        if number == 0:
            raise ZeroDivisionError
        Waiting.go.wait(children.PATIENCE)
        return (np.zeros(1),)


def test_an_error_in_a_task_surfaces(shared, monkeypatch):
    """At once, while others run, and as it is, also if it is one that a lost scheduler has as well."""
    try:
        with pytest.raises(ZeroDivisionError):
            Cluster(shared, TIMEOUT).each("broken", Waiting.run, [(number,) for number in range(30)], ignore)
    finally:
        Waiting.go.set()
    with pytest.raises(FileNotFoundError):
        Cluster(shared, TIMEOUT).each("broken", open, [("/nowhere/at/all",)], ignore)
    broken = da.ones((30, 3)).map_blocks(lambda part: np.load("/nowhere/at/all"), meta=np.ones((1, 1)))
    with pytest.raises(FileNotFoundError):
        on_cluster.linkage(broken, client=shared)
    monkeypatch.setattr(cluster_module, "__version__", "0.0.0")
    with pytest.raises(RuntimeError, match=r"0\.0\.0.*same version"):
        on_cluster.linkage(data(1500, 60), "single", client=shared, timeout=TIMEOUT)


def test_without_workers(paths, tmp_path):
    with local_cluster(0) as cluster, Client(cluster, set_as_default=False) as client:
        with pytest.raises(ClusterFailed, match="No task finished for 2 s, with 0 workers"):
            on_cluster.linkage(data(1500, 60), "single", client=client, timeout=2)
        with pytest.raises(ClusterFailed, match="no result within 1 s"):
            on_cluster.linkage(da.from_array(data(30, 3)), client=client, timeout=1)
        with pytest.raises(ClusterFailed, match="no workers for 1 s"):
            batch.run(paths, tmp_path / "out", client=client, timeout=1, **BATCH)


def test_all_workers_of_a_batch_leave(paths, tmp_path):
    done = []
    with local_cluster(1, processes=False) as cluster, Client(cluster, set_as_default=False) as client:

        def and_leave(outcome):
            done.append(outcome.name)
            cluster.scale(0)
            while client.nthreads():
                time.sleep(0.01)

        with pytest.raises(ClusterFailed, match="no workers for 1 s"):
            batch.run(paths, tmp_path / "out", and_leave, client=client, timeout=1, **BATCH)
        cluster.scale(1)
        again = batch.run(paths, tmp_path / "out", client=client, timeout=TIMEOUT, **BATCH)
    assert [outcome.name for outcome in again if outcome.status == "unchanged"] == done


def test_the_only_worker_is_replaced(paths, tmp_path, monkeypatch):
    """While a data set is submitted: it is done by the new one."""
    give = Seat.give
    with local_cluster(1, processes=False) as cluster, Client(cluster, set_as_default=False) as client:

        def and_replace(self, jobs):
            cluster.scale(0)
            while client.nthreads():
                time.sleep(0.01)
            give(self, jobs)
            cluster.scale(1)

        monkeypatch.setattr(Seat, "give", and_replace)
        outcomes = batch.run(paths, tmp_path / "out", client=client, timeout=TIMEOUT, **BATCH)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "soon"])
def test_timeouts(shared, paths, tmp_path, timeout):
    with pytest.raises((TypeError, ValueError), match="timeout"):
        on_cluster.linkage(data(30, 3), client=shared, timeout=timeout)
    with pytest.raises((TypeError, ValueError), match="timeout"):
        batch.run(paths, tmp_path / "out", client=shared, timeout=timeout, **BATCH)


def test_no_deadline(shared):
    on_cluster.linkage(data(1500, 6), client=shared, timeout=float("inf"))


def test_commands_log_no_tracebacks():
    """Of a connection that is lost, whichever part of Dask notices it."""
    program = """
import logging, sys
import distributed.client, distributed.batched
from gpuclust.dask import connection
connection._log_nothing()
for name in ("distributed.batched", "distributed.client", "distributed.new", "tornado.application"):
    logger = logging.getLogger(name)
    try:
        raise OSError("closed")
    except OSError:
        logger.info("closed", exc_info=True)
        logger.exception("closed")
"""
    done = children.run([sys.executable, "-c", program])
    assert (done.returncode, done.stderr) == (0, "")
