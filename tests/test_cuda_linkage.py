"""Whole linkages on CUDA against the CPU: the same Z, few waits for the device, no memory left allocated."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import DTYPES, EMULATED, METHODS, SIMULATED, points_for
from covering import covering
from replay import replay
from scipy.spatial.distance import pdist, squareform

from gpuclust.compute import compute
from gpuclust.core import methods

pytestmark = [] if EMULATED else [pytest.mark.gpu]

#: The algorithms are the same for all metrics; simulated threads are slow.
METRICS = ("euclidean", "cityblock", "cosine", "correlation", "canberra", "hamming")[: 2 if SIMULATED else 6]
CASES = [
    (method, metric)
    for method in METHODS
    for metric in METRICS
    if metric == "euclidean" or not methods.METHODS[method].on_squares
]


PHASES = ("as planned", "every phase")


@pytest.fixture(params=PHASES)
def phases(request, monkeypatch):
    """Small data take short cuts: "every phase" lowers the thresholds, so that rounds and lists are used."""
    if request.param == "every phase":
        stored = importlib.import_module("gpuclust.algorithms.rounds")
        monkeypatch.setattr(stored, "FUSED", 8)
        monkeypatch.setattr(stored, "TAIL", 6)
        monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.generic"), "TAIL", 6)
        monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.spanning_tree"), "SMALL", 2)
    return request.param


@pytest.fixture(scope="session")
def size() -> int:
    """Points: simulated threads are slow, compiled kernels less so, a device is quick."""
    if not EMULATED:
        return 3000
    return 37 if SIMULATED else 300


def both(y, method, metric="euclidean", dtype="float64"):
    return [compute(y, method, metric, device=device, dtype=dtype) for device in ("cpu", "cuda")]


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    """The CPU's results without its kernels, which have the same bits: they are compiled for the other tests."""
    if SIMULATED:
        monkeypatch.setenv("GPUCLUST_COMPILE", "auto")


@pytest.mark.parametrize(("method", "metric"), CASES)
def test_float64_is_the_cpus_to_the_bit(phases, size, method, metric, monkeypatch):
    if not methods.METHODS[method].reducible:  # whose searches the reference backend counts otherwise
        monkeypatch.setenv("GPUCLUST_COMPILE", "always")
    X = points_for(metric, size, 5, seed=1)
    cpu, cuda = both(X, method, metric)
    np.testing.assert_array_equal(cuda.Z, cpu.Z)
    if cuda.plan.algorithm == "summaries":  # on the CPU a row keeps several neighbours, and is searched less often
        assert cuda.scans <= 12 * size
    else:
        assert cuda.scans == cpu.scans


@pytest.mark.parametrize(("phases", "case"), covering(PHASES, CASES, together=1), indirect=["phases"])
def test_float32_is_the_cpus_to_rounding(phases, size, case):
    """Sums may be fused on the device: the last bit of a height may differ, or of the one that it is taken from."""
    method, metric = case
    cpu, cuda = both(points_for(metric, size, 5, seed=2), method, metric, "float32")
    largest = max(cpu.Z[:, 2].max(), 1 if metric in ("cosine", "correlation") else 0)
    np.testing.assert_allclose(cuda.Z[:, 2], cpu.Z[:, 2], rtol=0, atol=1e-6 * largest)
    if metric == "hamming":
        return
    if EMULATED:  # not fused
        np.testing.assert_array_equal(cuda.Z[:, [0, 1, 3]], cpu.Z[:, [0, 1, 3]])
    else:  # two merges whose heights differ by rounding may change places
        square = squareform(pdist(points_for(metric, size, 5, seed=2), metric))
        replay(cuda.Z, square, method, rtol=0, atol=2e-6 * largest)


@pytest.mark.parametrize(("phases", "method", "dtype"), covering(PHASES, METHODS, DTYPES), indirect=["phases"])
def test_condensed_input(phases, size, method, dtype):
    Y = np.random.default_rng(3).random(size * (size - 1) // 2)
    cpu, cuda = both(Y, method, dtype=dtype)
    np.testing.assert_array_equal(cuda.Z, cpu.Z)


@pytest.mark.parametrize("method", METHODS)
def test_tied_data(phases, size, method):
    """Equal distances are decided by the same rule, so ids are the same too."""
    X = np.random.default_rng(4).integers(0, 4, (size, 2)).astype(float)
    cpu, cuda = both(X, method)
    np.testing.assert_array_equal(cuda.Z, cpu.Z)


@pytest.mark.parametrize("method", ["centroid", "median"])
@pytest.mark.parametrize("algorithm", ["generic", "generic, stored"])
def test_copies_and_last_bits(phases, size, method, algorithm):
    """Copies merge at 0, and centroids have two parts, as on the CPU."""
    rng = np.random.default_rng(5)
    X = rng.choice([-3.0, 3.0], (size, 1)) + np.spacing(3.0) * rng.integers(0, 5, (size, 2))
    cpu, cuda = (compute(X, method, device=device, algorithm=algorithm) for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(cuda.Z, cpu.Z)
    assert np.count_nonzero(cuda.Z[:, 2] == 0) == size - len(np.unique(X, axis=0))


@pytest.mark.parametrize("share", [0, 4])
@pytest.mark.parametrize("method", ["ward", "average", "weighted"])
def test_chains_between_rounds(monkeypatch, method, share):
    """A chain makes half of the merges, and what it leaves goes on, with the sizes of the unions."""
    rounds = importlib.import_module("gpuclust.algorithms.rounds")
    monkeypatch.setattr(rounds, "TAIL", 6)
    monkeypatch.setattr(rounds, "SHARE", share)
    X = points_for("euclidean", 60 if EMULATED else 3000, 5, seed=6)
    metric = "euclidean" if method == "ward" else "sqeuclidean"
    cpu, cuda = (compute(X, method, metric, device=device, algorithm="summaries") for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(cuda.Z, cpu.Z)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3])
def test_hardly_any_points(method, n):
    X = points_for("euclidean", n, 3)
    cpu, cuda = both(X, method)
    np.testing.assert_array_equal(cuda.Z, cpu.Z)


@pytest.mark.parametrize("method", ["average", "ward", "single", "complete"])
def test_the_host_waits_at_most_four_times_a_round(method, monkeypatch):
    """Counted: copies to the host, each of which waits for the device, by calls of what makes a round."""
    from gpuclust.kernels.cuda import backend, components, launch, stored, summaries

    stored_module = importlib.import_module("gpuclust.algorithms.rounds")
    monkeypatch.setattr(stored_module, "TAIL", 6)
    monkeypatch.setattr(stored_module, "FUSED", 8)
    monkeypatch.setattr(importlib.import_module("gpuclust.algorithms.spanning_tree"), "SMALL", 2)
    rounds = 0

    def counting(function):
        def counted(*arguments):
            nonlocal rounds
            rounds += 1
            return function(*arguments)

        return counted

    for owner, names in (
        (backend.CudaBackend, ("knn", "nearest_among", "store_clusters")),
        (components.Components, ("__init__", "search", "join")),
        (stored.Stored, ("merge", "chain")),
        (summaries.Summaries, ("__init__", "merge", "chain")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, counting(getattr(owner, name)))
    before = launch.counts["downloads"]
    compute(points_for("euclidean", 60, 4), method, device="cuda")
    assert rounds >= 3
    assert launch.counts["downloads"] - before <= 4 * rounds


@pytest.mark.parametrize("method", ["single", "average", "complete"])
def test_packed_bits(method):
    X = np.random.default_rng(4).random((25, 130)) < 0.3
    bits, given = np.packbits(X, axis=1), {"metric": "jaccard", "packed": 130}
    ours, expected = (compute(bits, method, device=name, **given).Z for name in ("cuda", "reference"))
    np.testing.assert_array_equal(ours, expected)
