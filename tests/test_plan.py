"""The plan: algorithm and memory, and that both are what is used."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from conftest import METHODS, points_for
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust.algorithms.table import ALGORITHMS
from gpuclust.compute import compute
from gpuclust.core.sizes import stored_bytes
from gpuclust.errors import DoesNotFit
from gpuclust.kernels.cpu.matrix import tiles
from gpuclust.plan import TILE, format_bytes, parse_bytes, plan


def test_one_tile_size():
    assert TILE == tiles.TILE


@pytest.mark.parametrize(
    ("method", "m", "algorithm"),
    [
        ("single", 3, "spanning tree"),
        ("single", None, "spanning tree"),
        ("average", 3, "cluster tree"),
        ("average", 6, "stored"),
        ("ward", None, "stored"),
        ("ward", 3, "summaries"),
        ("centroid", 3, "generic"),
        ("median", 1000, "generic, stored"),
        ("centroid", None, "generic, stored"),
    ],
)
def test_algorithms(method, m, algorithm):
    assert gpuclust.plan(5000, m, method).algorithm == algorithm


@pytest.mark.parametrize(
    ("method", "m", "few", "many"),
    [
        ("ward", 32, "stored", "summaries"),
        ("centroid", 32, "generic, stored", "generic"),
        ("average", 6, "stored, all pairs", "stored"),
    ],
)
def test_few_points_of_many_features_are_merged_by_updates(method, m, few, many):
    assert [gpuclust.plan(n, m, method).algorithm for n in (2048, 2049)] == [few, many]
    assert gpuclust.plan(2048, m - 1, method).algorithm == ("cluster tree" if method == "average" else many)
    assert gpuclust.plan(1024, 6, "average").algorithm == gpuclust.plan(1024, 12, "ward").algorithm == "stored"
    assert [gpuclust.plan(n, 12, "median").algorithm for n in (512, 513)] == ["generic, stored", "generic"]


def test_a_matrix_of_few_points_of_many_features_is_of_all_of_them():
    for method in ("complete", "average", "weighted"):
        found = [gpuclust.plan(n, m, method).algorithm for n, m in ((4096, 48), (4097, 48), (4096, 47))]
        assert found == ["stored, all pairs", "stored", "stored"]


@pytest.mark.parametrize("method", METHODS)
def test_linkage_follows_the_plan(method):
    X = [[0.0, 1.0], [1.0, 3.0], [5.0, 2.0]]
    assert compute(X, method).plan.algorithm == plan(3, 2, method).algorithm


@pytest.mark.parametrize("source", ["points", "condensed"])
@pytest.mark.parametrize("method", METHODS)
def test_predicted_memory_is_not_exceeded_and_not_far_off(method, source):
    """Peak of what is allocated; from points the matrix is of the clusters that the first rounds leave."""
    n, m = 3000, 16
    y = np.random.default_rng(0).normal(size=(n, m) if source == "points" else n * (n - 1) // 2) ** 2
    few = 2100 if source == "points" else 2100 * 2099 // 2  # more than a square matrix is made of
    gpuclust.linkage(y[:few], method)  # compiled
    tracemalloc.start()
    gpuclust.linkage(y, method)
    measured = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    predicted = plan(n, m if source == "points" else None, method).memory
    assert 0.4 * predicted <= measured <= 1.1 * predicted + 2**18  # a piece looked at for NaN


def test_a_matrix_that_does_not_fit_waits_until_it_does():
    job = plan(100_000, 16, "average", memory_limit="8GB")
    assert job.algorithm == "hybrid"
    assert job.fits
    assert job.matrix < job.memory == 8 * 10**9
    assert 30_000 < job.most_clusters < 45_000
    assert not plan(100_000, None, "average", memory_limit="8GB").fits


def test_float32_takes_half():
    assert plan(50_000, 16, "average", dtype="float32").memory < 0.52 * plan(50_000, 16, "average").memory


#: Linkage, metric, features (None: condensed), and what may be asked for; the first is the choice of the plan.
ALLOWED = [
    ("single", "euclidean", 3, ("spanning tree, stored", "spanning tree")),
    ("single", "euclidean", None, ("spanning tree",)),
    ("complete", "cosine", 3, ("stored", "hybrid")),
    ("complete", "euclidean", 3, ("stored", "hybrid", "cluster tree")),
    ("complete", "jensenshannon", 3, ("stored, all pairs", "stored", "hybrid")),
    ("average", "cosine", 3, ("summaries", "stored", "hybrid")),
    ("weighted", "sqeuclidean", 100, ("summaries", "stored", "hybrid")),
    ("average", "euclidean", None, ("stored",)),
    ("ward", "euclidean", 3, ("summaries", "stored")),
    ("ward", "euclidean", None, ("stored",)),
    ("centroid", "euclidean", 3, ("generic", "generic, stored")),
    ("median", "euclidean", 100, ("generic, stored", "generic")),
    ("median", "euclidean", None, ("generic, stored",)),
]


@pytest.mark.parametrize(
    ("p", "algorithm"),
    [(0.5, "stored, all pairs"), (1, "cluster tree"), (2, "cluster tree"), (3, "stored, all pairs")],
)
def test_the_plan_knows_the_exponent(p, algorithm):
    """Minkowski's metric of two points has other properties for each exponent: below one it is not even convex."""
    X = points_for("minkowski", 3000, 2)
    found = compute(X, "complete", "minkowski", p=p)
    assert found.plan.algorithm == algorithm
    np.testing.assert_array_equal(found.Z[:, 2], hierarchy.complete(pdist(X, "minkowski", p=p))[:, 2])


@pytest.mark.parametrize(("method", "metric", "m", "allowed"), ALLOWED)
def test_what_may_be_asked_for(method, metric, m, allowed):
    n = 300
    y = points_for(metric, n, m) if m else pdist(points_for(metric, n, 3), metric)
    assert gpuclust.plan(n, m, method, metric).algorithm == allowed[0]
    expected = hierarchy.linkage(y, method, metric)
    for algorithm in allowed:
        found = compute(y, method, metric, algorithm=algorithm)
        assert found.plan.algorithm == algorithm
        assert found.plan.reason.startswith("It was asked for.")
        assert {plan.algorithm for plan in found.plan.fallbacks} <= {algorithm}
        np.testing.assert_array_equal(found.Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
        np.testing.assert_allclose(found.Z[:, 2], expected[:, 2], rtol=1e-10)
    for algorithm in set(ALGORITHMS) - set(allowed):
        with pytest.raises(ValueError, match=f"has no algorithm '{algorithm}'. Allowed: 'auto', '{allowed[0]}'"):
            gpuclust.linkage(y, method, metric, algorithm=algorithm)
    with pytest.raises(ValueError, match=r"Unknown algorithm 'stores'\. Did you mean 'stored'"):
        gpuclust.plan(n, m, method, metric, algorithm="stores")


def test_what_was_asked_for_but_does_not_fit_is_refused_and_what_would_fit_is_named():
    job = gpuclust.plan(100_000, 8, "ward", memory_limit="1GB", algorithm="stored")
    assert not job.fits
    assert 'algorithm="auto" (summaries)' in job.what_would_fit()
    with pytest.raises(DoesNotFit, match=r'algorithm="auto" \(summaries\)'):
        job.check()


def test_what_would_fit_would_fit():
    job = gpuclust.plan(60_000, None, "average", memory_limit="8GB")
    assert not job.fits
    words = "; ".join(job.what_would_fit())
    assert 'dtype="float32"' in words
    assert "method='single'" in words
    largest = int(re.search(r"at most about ([\d,]+) observations", words)[1].replace(",", ""))
    assert gpuclust.plan(largest, None, "average", memory_limit="8GB").fits
    assert not gpuclust.plan(int(largest * 1.02), None, "average", memory_limit="8GB").fits
    assert gpuclust.plan(60_000, None, "average", dtype="float32", memory_limit="8GB").fits
    assert gpuclust.plan(60_000, None, "single", memory_limit="8GB").fits


def test_most_clusters_is_the_most():
    job = gpuclust.plan(100_000, 16, "average", memory_limit="8GB")
    assert stored_bytes(job.most_clusters, "float64") <= job.matrix < stored_bytes(job.most_clusters + 1, "float64")


def test_texts():
    job = plan(100_000, None, "average", memory_limit="8GB")
    assert not job.fits
    assert "GB of 8 GB" in str(job)
    assert "8 GB" in str(job)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GB", 8 * 10**9), ("512 MiB", 512 * 2**20), ("1.5g", 1_500_000_000), (10, 10), ("10", 10), ("2kb", 2000)],
)
def test_parse_bytes(text, count):
    assert parse_bytes(text) == count


def test_format_bytes():
    assert [format_bytes(k) for k in (3, 1500, 1_626_000_000, 5e12)] == ["3 bytes", "1.5 kB", "1.63 GB", "5 TB"]
