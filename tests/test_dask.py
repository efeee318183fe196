"""gpuclust.dask: the same bits as the library, for any number of workers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("distributed")
import dask.array as da
import dask_clusters
import distributed
from conftest import SAME_FORMULA
from covering import covering
from dask_clusters import TIMEOUT, data, local_cluster, same
from distributed import Client

import gpuclust
import gpuclust.dask as on_cluster
from gpuclust.dask import interface
from gpuclust.dask.cluster import Cluster
from gpuclust.distance import nearest_neighbors
from gpuclust.errors import DoesNotFit
from gpuclust.kernels.cpu.points import boruvka

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


client, small_tasks = dask_clusters.client, dask_clusters.small_tasks


@pytest.mark.parametrize(
    ("job", "m"), covering(JOBS, [8, 60], together=1, rare=lambda job, m: job[0] in SAME_FORMULA)
)
def test_same_bits(client, job, m):
    method, metric = job
    X = data(1800 if method in ("centroid", "median") else 2500, m)
    expected = gpuclust.linkage(X, method, metric, device="cpu")
    same(on_cluster.linkage(X, method, metric, client=client, timeout=TIMEOUT), expected)


@pytest.fixture
def made(monkeypatch):
    """The keys of the tasks that are submitted."""
    keys = []
    submit = Cluster.submit

    def and_note(self, key, *rest, **options):
        keys.append(key)
        return submit(self, key, *rest, **options)

    monkeypatch.setattr(Cluster, "submit", and_note)
    return keys


@pytest.mark.parametrize("metric", ["euclidean", pytest.param("cosine", marks=pytest.mark.sweep)])
def test_edges_between_components(client, made, metric, monkeypatch):
    """Of clusters of many features, also where many are equal: by tasks, in one pass."""
    monkeypatch.setattr(boruvka, "CROWDED", 0.0)
    X = np.round(4 * data(40, 50)[np.arange(2500) % 40] + data(2500, 50), 1)
    expected = gpuclust.linkage(X, "single", metric, device="cpu")
    made.clear()
    same(on_cluster.linkage(X, "single", metric, client=client, timeout=TIMEOUT, device="cpu"), expected)
    assert sum("edges-between-components" in key for key in made) > 1


def test_searches_are_tasks(client, made):
    """What the others test is not done by the client alone."""
    names = {
        ("single", "euclidean"): {"neighbour-lists", "edges-between-components"},
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


@pytest.mark.parametrize(
    ("metric", "dtype", "options"),
    [
        ("minkowski", "float64", {"p": 3}),
        pytest.param("cosine", "float32", {"w": np.arange(6.0)}, marks=pytest.mark.sweep),
        ("seuclidean", "float64", {}),
        ("jaccard", "float64", {}),
    ],
)
def test_arguments_of_metrics(client, metric, dtype, options):
    X = data(1500, 6)
    X = X > 1 if metric == "jaccard" else X
    expected = gpuclust.linkage(X, "single", metric, dtype=dtype, device="cpu", **options)
    same(on_cluster.linkage(X, "single", metric, dtype=dtype, client=client, timeout=TIMEOUT, **options), expected)


def test_inputs(client, tmp_path, monkeypatch):
    X = data(1500, 8)
    expected = gpuclust.linkage(X, "single", device="cpu")
    np.save(tmp_path / "X.npy", X)
    chunked = da.from_array(X, chunks=((0, 700, 0, 800), (8,)))  # with empty partitions
    given = [tmp_path / "X.npy", str(tmp_path / "X.npy"), f"file://{tmp_path}/X.npy", X.tolist()]
    for points in (*given, chunked, chunked.rechunk((300, 3))):
        same(on_cluster.linkage(points, "single", client=client, timeout=TIMEOUT), expected)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        on_cluster.linkage(chunked[chunked[:, 0] > 0], client=client)
    with pytest.raises(ValueError, match="npy"):
        on_cluster.linkage("X.csv", client=client)
    for name, package in (("X.zarr", "zarr"), ("X.parquet", "pyarrow")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=f"needs {package}: pip install"):
            on_cluster.linkage(name, client=client)


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


@pytest.mark.sweep
def test_three_workers():
    X = data(2500, 60)
    with local_cluster(3) as cluster, Client(cluster) as client:
        for method in ("single", "ward"):
            expected = gpuclust.linkage(X, method, device="cpu")
            same(on_cluster.linkage(X, method, client=client, timeout=TIMEOUT), expected)


def test_two_jobs_at_once(client):
    X, found = data(2500, 60), {}

    def run(method):
        found[method] = on_cluster.linkage(X, method, client=client, timeout=TIMEOUT)

    threads = [threading.Thread(target=run, args=(method,)) for method in ("single", "ward")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for method, Z in found.items():
        same(Z, gpuclust.linkage(X, method, device="cpu"))


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
    X = data(1500, 8)
    same(on_cluster.linkage(X, "single"), gpuclust.linkage(X, "single", device="cpu"))  # the current client


def test_without_a_client():
    code = "import gpuclust.dask, numpy as np; gpuclust.dask.linkage(np.eye(3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: There is no Dask client" in done.stderr


def test_importing_gpuclust_imports_no_dask():
    code = "import sys, gpuclust.linkage, gpuclust.dask; print({'dask', 'distributed'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
