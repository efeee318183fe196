"""gpuclust.dask: the same bits as the library, for any number of workers that join and die."""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("distributed")
import dask
import dask.array as da
import distributed
from distributed import Client, LocalCluster

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.dask import cluster as cluster_module
from gpuclust.dask import interface, searches
from gpuclust.dask.checkpoint import Checkpoint
from gpuclust.dask.cluster import Cluster
from gpuclust.distance import nearest_neighbors
from gpuclust.errors import ClusterFailed, DoesNotFit

#: Deadline of a job, seconds without a finished task.
TIMEOUT = 240
#: Linkages and metrics by kind: through boxes of few and of many features, all distances, summaries, matrices, alone.
JOBS = (
    ("single", "euclidean"),
    ("single", "cosine"),
    ("single", "cityblock"),
    ("ward", "euclidean"),
    ("average", "cosine"),
    ("weighted", "sqeuclidean"),
    ("complete", "euclidean"),
    ("average", "cityblock"),
    ("weighted", "chebyshev"),
    ("centroid", "euclidean"),
    ("median", "euclidean"),
)


def local_cluster(workers, **options):
    """Processes of one thread. A worker that dies may take a while to come back on a loaded machine."""
    dask.config.set({"distributed.deploy.lost-worker-timeout": "900s"})
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50, **options)


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as cluster, Client(cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """Searches of a few thousand points are many tasks."""
    from gpuclust.dask import backend

    for module in (searches, backend):
        monkeypatch.setattr(module, "ALONE", 1e5)
        monkeypatch.setattr(module, "COMPUTED", 4e7)
    monkeypatch.setattr(searches, "SCREENED", 4e7)


def data(n, m, seed=0):
    """Points some of which are equal, and many distances of which are."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m)) + 3 * rng.integers(0, 3, (n, 1))
    X[: n // 10] = X[n // 10 : 2 * (n // 10)]
    X[-(n // 5) :] = X[-(n // 5) :].round()
    constant = np.ptp(X, axis=1) == 0  # for which correlation is not defined
    X[constant] += np.arange(1.0, m + 1)
    return X


def same(Z, expected):
    assert Z.tobytes() == expected.tobytes()


@pytest.mark.parametrize("m", [8, 60])
@pytest.mark.parametrize(("method", "metric"), JOBS)
def test_same_bits(client, method, metric, m):
    X = data(1800 if method in ("centroid", "median") else 2500, m)
    expected = gpuclust.linkage(X, method, metric, device="cpu")
    same(on_cluster.linkage(X, method, metric, client=client, timeout=TIMEOUT), expected)


def test_searches_are_tasks(client, monkeypatch):
    """What the others test is not done by the client alone."""
    made = []
    submit = Cluster.submit
    monkeypatch.setattr(Cluster, "submit", lambda self, key, *rest: (made.append(key), submit(self, key, *rest))[1])
    names = {
        ("single", "euclidean"): {"neighbour-lists", "edges-out-of-components"},
        ("single", "cityblock"): {"nearest-neighbours", "edges-out-of-components"},
        ("ward", "euclidean"): {"nearest-cluster", "merges"},
        ("complete", "euclidean"): {"neighbour-lists"},
        ("centroid", "euclidean"): set(),
    }
    for job, expected in names.items():
        made.clear()
        on_cluster.linkage(data(2500, 60), *job, client=client, timeout=TIMEOUT, device="cpu")
        found = {"-".join(key.split("-0", 1)[0].split("-")[1:]) for key in made}
        assert expected <= found, (job, found)
        assert found or not expected
        assert {distributed.utils.key_split(key) for key in made} <= {f"gpuclust-{name}" for name in found}


def test_clusters_without_a_matrix(client, monkeypatch):
    """Where no matrix fits, rows of clusters are searched by tasks."""
    X = data(1500, 8)
    options = {"algorithm": "hybrid", "memory_limit": "3MB"}
    expected = gpuclust.linkage(X, "average", "cityblock", device="cpu", **options)
    same(on_cluster.linkage(X, "average", "cityblock", client=client, timeout=TIMEOUT, **options), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arguments_of_metrics(client, dtype):
    X = data(1500, 6)
    for metric, options in (("minkowski", {"p": 3}), ("cosine", {"w": np.arange(6.0)}), ("seuclidean", {})):
        expected = gpuclust.linkage(X, "single", metric, dtype=dtype, device="cpu", **options)
        same(
            on_cluster.linkage(X, "single", metric, dtype=dtype, client=client, timeout=TIMEOUT, **options), expected
        )
    bits = X > 1
    same(
        on_cluster.linkage(bits, "single", "jaccard", client=client, timeout=TIMEOUT),
        gpuclust.linkage(bits, "single", "jaccard", device="cpu"),
    )


def test_inputs(client, tmp_path):
    X = data(1500, 8)
    expected = gpuclust.linkage(X, "single", device="cpu")
    np.save(tmp_path / "X.npy", X)
    chunked = da.from_array(X, chunks=((0, 700, 0, 800), (8,)))  # with empty partitions
    for given in (tmp_path / "X.npy", str(tmp_path / "X.npy"), chunked, chunked.rechunk((300, 3)), X.tolist()):
        same(on_cluster.linkage(given, "single", client=client, timeout=TIMEOUT), expected)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        on_cluster.linkage(chunked[chunked[:, 0] > 0], client=client)
    with pytest.raises(ValueError, match="npy"):
        on_cluster.linkage("X.csv", client=client)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_any_number_of_workers(workers):
    metrics = ("euclidean", "sqeuclidean", "cosine", "cityblock", "correlation", "chebyshev")
    with local_cluster(workers) as cluster, Client(cluster) as client:
        for m in (3, 8, 60):
            X = data(2200, m)
            for method in ("single", "complete", "average", "weighted", "ward", "centroid", "median"):
                for metric in metrics[: 1 if method in ("ward", "centroid", "median") else None]:
                    expected = gpuclust.linkage(X, method, metric, device="cpu")
                    same(on_cluster.linkage(X, method, metric, client=client, timeout=TIMEOUT), expected)


def test_one_and_three_workers():
    X = data(2500, 60)
    for workers in (1, 3):
        with local_cluster(workers) as cluster, Client(cluster) as client:
            for method in ("single", "ward"):
                expected = gpuclust.linkage(X, method, device="cpu")
                same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)


def test_nearest_neighbors_and_correlation(client):
    X = data(2000, 60)
    for metric in ("euclidean", "cityblock"):
        for ours, expected in zip(
            on_cluster.nearest_neighbors(X, 5, metric, client=client, timeout=TIMEOUT),
            nearest_neighbors(X, 5, metric, device="cpu"),
            strict=True,
        ):
            same(ours, expected)
    Z = gpuclust.linkage(X, "average", device="cpu")
    expected = gpuclust.hierarchy.cophenetic_correlation(Z, X, "cityblock", device="cpu")
    assert on_cluster.cophenetic_correlation(Z, X, "cityblock", client=client, timeout=TIMEOUT) == expected


def test_estimator(client):
    X = data(1500, 8)
    expected = gpuclust.AgglomerativeClustering(7, linkage="average").fit(X)
    given = da.from_array(X, chunks=(400, 8))
    model = on_cluster.AgglomerativeClustering(7, linkage="average", client=client, timeout=TIMEOUT)
    for points in (X, given):
        model.fit(points)
        assert (np.asarray(model.labels_) == expected.labels_).all()
        same(model.linkage_matrix_, expected.linkage_matrix_)
    assert model.labels_.chunks == (given.chunks[0],)
    assert (model.cut(n_clusters=3) == expected.cut(n_clusters=3)).all()
    assert model.get_params()["timeout"] == TIMEOUT
    with pytest.raises(ValueError, match="n_clusters"):
        on_cluster.AgglomerativeClustering(0, client=client).fit(X)


def test_plan(client):
    job = on_cluster.plan(50_000, 64, "single", client=client)
    assert job.workers == job.threads == 2
    assert 8 * 50_000 * 64 < job.worker_memory < job.worker_limit
    assert job.fits
    assert "on 2 workers" in str(job)
    huge = on_cluster.plan(10**7, 768, "ward", client=client, memory_limit="1TB")
    assert not huge.fits
    with pytest.raises(DoesNotFit, match="A worker needs"):
        huge.check()
    for arguments in ((2000, 2, "single"), (10**6, 3, "average"), (10**5, 64, "centroid"), (900, 64, "ward")):
        alone = on_cluster.plan(*arguments, client=client)
        assert alone.tasks == alone.traffic == 0
        assert "The client does this alone" in str(alone)
        assert "One machine is faster" in str(alone)
    with pytest.raises(ValueError, match="condensed"):
        on_cluster.plan(100, None, client=client)


@pytest.mark.parametrize(
    ("method", "metric", "m"), [("single", "euclidean", 60), ("single", "cityblock", 8), ("ward", "euclidean", 60)]
)
def test_the_plan_counts_what_is_done(client, monkeypatch, method, metric, m):
    """Tasks and bytes, within a factor of four: later rounds depend on the data."""
    counted = []
    monkeypatch.setattr(interface, "_log", SimpleNamespace(info=lambda text, *numbers: counted.append(numbers)))
    X = data(4000, m)
    on_cluster.linkage(X, method, metric, client=client, timeout=TIMEOUT, device="cpu")
    job = on_cluster.plan(len(X), m, method, metric, client=client)
    ((tasks, sent, received),) = counted
    assert job.tasks / 4 < tasks < 4 * job.tasks
    both = sent * (1 + job.workers) / 2 + received  # what is shared goes to every worker
    assert job.traffic / 4 < both < 4 * job.traffic


def test_doctor(client):
    from typer.testing import CliRunner

    from gpuclust.app.cli import app

    address = client.scheduler.address
    done = CliRunner().invoke(app, ["doctor", "--scheduler", address])
    assert done.exit_code == 0, done.output
    assert "2 workers, 0 of them with problems" in done.output
    report = json.loads(CliRunner().invoke(app, ["doctor", "--scheduler", address, "--json"]).output)
    assert report["ok"]
    assert all(len(worker["bits"]) == 4 for worker in report["workers"].values())


class Killer(threading.Thread):
    """Kills a random worker now and then by SIGKILL; its nanny starts another one.

    Only workers that run: a nanny gives up where a worker dies while it starts.
    """

    def __init__(self, cluster, every, most, seed=0):
        super().__init__(daemon=True)
        self.cluster, self.every, self.most, self.killed = cluster, every, most, 0
        self.rng, self.over = np.random.default_rng(seed), threading.Event()

    def run(self):
        while self.killed < self.most and not self.over.wait(self.rng.uniform(0.2, 1.8) * self.every):
            processes = [nanny.process for nanny in self.cluster.workers.values()]
            running = [
                process.pid for process in processes if process is not None and process.status.name == "running"
            ]
            pids = [pid for pid in running if pid is not None]  # which a process loses as it ends
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(int(self.rng.choice(pids)), signal.SIGKILL)
                    self.killed += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


@pytest.mark.parametrize("method", ["single", "ward", "average"])
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


def test_a_worker_joins_and_one_leaves():
    X = data(3000, 60)
    with local_cluster(1) as cluster, Client(cluster) as client:
        timer = threading.Timer(0.5, lambda: cluster.scale(3))
        timer.start()
        for _ in range(3):
            same(
                on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT),
                gpuclust.linkage(X, "ward", device="cpu"),
            )
        timer.join()
        cluster.scale(1)
        same(on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT), gpuclust.linkage(X, "ward", device="cpu"))


def test_two_jobs_at_once(client):
    X, found = data(2500, 60), {}

    def run(method):
        found[method] = on_cluster.linkage(X, method, client=client, timeout=TIMEOUT)

    threads = [threading.Thread(target=run, args=(method,)) for method in ("single", "ward")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for method, Z in found.items():
        same(Z, gpuclust.linkage(X, method, device="cpu"))


def test_an_error_in_a_task_surfaces(client, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        Cluster(client, TIMEOUT).each("broken", operator.truediv, [(1, 0)] * 30, lambda place, answer: None)
    monkeypatch.setattr(cluster_module, "__version__", "0.0.0")
    with pytest.raises(RuntimeError, match=r"0\.0\.0.*same version"):
        on_cluster.linkage(data(1500, 60), "single", client=client, timeout=TIMEOUT)


def test_no_hang_without_workers():
    with (
        local_cluster(0) as cluster,
        Client(cluster) as client,
        pytest.raises(ClusterFailed, match="No task finished for 2 s, with 0 workers"),
    ):
        on_cluster.linkage(data(1500, 60), "single", client=client, timeout=2)


def test_a_task_that_kills_workers(client):
    """Dask gives it up after a number of deaths, and it is submitted again before the job fails."""
    with local_cluster(1) as cluster, Client(cluster) as own:
        cluster.scheduler.allowed_failures = 0
        with pytest.raises(ClusterFailed, match="died"):
            Cluster(own, TIMEOUT).each("deadly", os._exit, [(1,)], lambda place, answer: None)


def test_wrong_arguments(client, tmp_path):
    X = data(30, 3)
    for options, text in (
        ({"device": "gpu"}, "device"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"algorithm": "none"}, "algorithm"),
    ):
        with pytest.raises(ValueError, match=text):
            on_cluster.linkage(X, client=client, **options)
    with pytest.raises(TypeError, match="client"):
        on_cluster.linkage(X, client=3)
    with pytest.raises(TypeError, match="name of a metric"):
        on_cluster.linkage(X, "single", lambda x, y: 1.0, client=client)
    same(on_cluster.linkage(X, "ward"), gpuclust.linkage(X, "ward"))  # the current client


def test_without_a_client():
    code = "import gpuclust.dask, numpy as np; gpuclust.dask.linkage(np.eye(3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: There is no Dask client" in done.stderr


def test_importing_gpuclust_imports_no_dask():
    code = "import sys, gpuclust.linkage, gpuclust.dask; print({'dask', 'distributed'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Death(Exception):
    """Instead of the death of a client."""


@pytest.mark.parametrize("method", ["single", "ward", "complete"])
@pytest.mark.parametrize("where", ["file", "memory"])
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


#: A client that prints Z's hash; its arguments are the address, a folder, and the linkage.
CLIENT = """
import sys
from distributed import Client
import gpuclust.dask
from gpuclust.dask import backend, checkpoint, searches
import test_dask
checkpoint.EVERY = 0.0
for module in (searches, backend):
    module.ALONE, module.COMPUTED = 1e5, 4e7
searches.SCREENED = 4e7
address, folder, method = sys.argv[1:]
gpuclust.dask.linkage(test_dask.data(4000, 60), method, client=Client(address), timeout=240, checkpoint=folder)
"""


def wait_for(condition, seconds=TIMEOUT):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError


def environment():
    tests = Path(__file__).parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tests.parent), str(tests)))}


def killed_client(address, folder, method, answers):
    """Start a client, and kill it when there are so many files of answers."""
    arguments = [sys.executable, "-c", CLIENT, address, str(folder), method]
    child = subprocess.Popen(arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: child.poll() is not None or len(list(folder.glob("answers-*"))) >= answers)
    assert child.poll() is None, "it was not killed, but ended"
    child.kill()
    child.wait()


def test_the_client_is_killed(client, tmp_path, monkeypatch):
    X = data(4000, 60)
    for answers in (2, 5):
        killed_client(client.scheduler.address, tmp_path, "ward", answers)
    made = []
    submit = Cluster.submit
    monkeypatch.setattr(Cluster, "submit", lambda self, *rest: (made.append(1), submit(self, *rest))[1])
    Z = on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT, checkpoint=tmp_path)
    went_on = len(made)
    same(Z, gpuclust.linkage(X, "ward", device="cpu"))
    made.clear()
    on_cluster.linkage(X, "ward", client=client, timeout=TIMEOUT)
    assert went_on < len(made)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_scheduler_dies(client, tmp_path, monkeypatch, how):
    """Or does not answer any more: the job fails, and goes on on another cluster."""
    monkeypatch.setattr("gpuclust.dask.checkpoint.EVERY", 0.0)
    monkeypatch.setattr(cluster_module, "OUT_OF_REACH", 3.0)
    X = data(4000, 60)
    script = (
        "import sys, time; from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=':0',\n"
        "                           protocol='tcp')\n"
        "    print(cluster.scheduler_address, flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], env=environment(), stdout=subprocess.PIPE, text=True)
    with child.stdout:
        address = child.stdout.readline().strip()
    folder = tmp_path / "job"
    die = threading.Thread(target=lambda: (wait_for(lambda: list(folder.glob("answers-*"))), os.kill(child.pid, how)))
    die.start()
    with Client(address, set_as_default=False) as other:
        with pytest.raises(ClusterFailed):
            on_cluster.linkage(X, "single", client=other, timeout=15, checkpoint=folder)
        die.join()
        child.kill()
        child.wait()
    Z = on_cluster.linkage(X, "single", client=client, timeout=TIMEOUT, checkpoint=folder)
    same(Z, gpuclust.linkage(X, "single", device="cpu"))
