"""Devices: their names, the choice between CPU and GPUs, and that all steps run on the device chosen.

Most tests use a fake machine with GPUs (fake_cuda.py).
"""

from __future__ import annotations

import pickle

import fake_cuda
import numpy as np
import pytest
from conftest import EMULATED, METHODS, on_cuda, plainly, points_for
from fake_cuda import GAMES, H200, DeviceArray

import gpuclust
from gpuclust.algorithms import costs
from gpuclust.algorithms.base import Problem
from gpuclust.algorithms.table import ALGORITHMS
from gpuclust.compute import compute
from gpuclust.core import devices, methods
from gpuclust.core.backend import select
from gpuclust.core.device import Device
from gpuclust.errors import BackendUnavailable, DoesNotFit
from gpuclust.hierarchy import cophenetic_correlation


def test_names():
    assert (Device("CUDA:12").family, Device("CUDA:12").number) == ("cuda", 12)
    assert (Device("cuda").family, Device("cuda").number) == ("cuda", 0)
    assert Device("cuda:0") == "cuda"
    assert pickle.loads(pickle.dumps(Device("cuda:2"))).number == 2
    for name in ("cuda:", "cuda:x", "cuda:-1", "cpu:1", "gpu", "", 3, None):
        with pytest.raises(ValueError, match="Allowed: auto, cpu, cuda, cuda:1, reference"):
            Device(name)


@plainly
def test_a_number_that_is_too_large_is_told_how_many_there_are(machine):
    assert select("cuda:1").name == "cuda:1"
    with pytest.raises(BackendUnavailable, match=r"'cuda:7' was asked for, but there are 2 .*'cuda:1' \(RTX 3080\)"):
        select("cuda:7")


@on_cuda
def test_one_emulated_device():
    assert select("cuda").name == select("cuda:0").name == "cuda"
    if EMULATED:
        assert select("auto").name == "cpu"
        with pytest.raises(BackendUnavailable, match="there is 1 CUDA device"):
            select("cuda:1")


@plainly
def test_auto_takes_a_card_for_large_jobs(machine, monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "8")
    small, large = gpuclust.plan(500, 16, "average"), gpuclust.plan(50_000, 16, "average")
    assert (small.device, large.device) == ("cpu", "cuda")
    assert "Too little work" in small.reason
    assert "on H200" in large.reason
    assert "8 threads of the CPU" in large.reason
    assert gpuclust.plan(50_000, 16, "average", device="cpu").device == "cpu"
    assert gpuclust.plan(500, 16, "average", device="cuda:1").device == "cuda:1"


@plainly
def test_auto_leaves_to_the_cpu_what_it_does_sooner(machine, monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "16")
    job = gpuclust.plan(30_000, 32, "centroid")  # step by step: a card is slow at it
    assert job.device == "cpu"
    assert job.reason.endswith("on 16 threads of the CPU.")
    assert "Too little work" in gpuclust.plan(100_000, 2, "centroid").reason  # through a tree


@plainly
def test_auto_goes_to_the_cpu_where_a_card_has_no_room(monkeypatch):
    pytest.importorskip("numba_cuda")
    fake_cuda.install(monkeypatch, memory=10**7)
    job = gpuclust.plan(20_000, None, "average")
    assert job.device == "cpu"
    assert "It does not fit on cuda, where it needs" in job.reason
    with pytest.raises(DoesNotFit, match=r'GB of memory on cuda, and 10 MB may be used.*device="cpu"'):
        gpuclust.plan(20_000, None, "average", device="cuda").check()


def test_auto_says_why_there_is_no_gpu(bare):
    bare.setattr(devices, "missing", lambda: devices.Lack("CuPy", "CuPy is not installed", "pip install x"))
    bare.setenv("GPUCLUST_NUM_THREADS", "1")
    assert gpuclust.plan(50_000, 16, "average").reason.endswith("No GPU is used: CuPy is not installed.")


@plainly
def test_where_float64_is_slow_the_plan_says_what_float32_would_bring(monkeypatch):
    pytest.importorskip("numba_cuda")
    fake_cuda.install(monkeypatch, cards=(GAMES,))
    job = gpuclust.plan(20_000, 64, "ward", device="cuda")
    assert "1/64 of the rate of float32 on this GPU (compute capability 8.6)" in job.reason
    assert 'dtype="float32" would take half the memory and about 2% of the time.' in job.reason
    assert "float32" not in gpuclust.plan(20_000, 64, "ward", dtype="float32", device="cuda").reason
    fake_cuda.install(monkeypatch, cards=(H200,))
    assert "float32" not in gpuclust.plan(20_000, 64, "ward", device="cuda").reason


def test_the_model_is_of_the_size_of_what_is_documented():
    """docs/gpu-model.md, whose counts are finer, to a factor of two."""
    for n, m, algorithm, dtype, seconds in (
        (20_000, 32, "summaries", "float32", 0.024),
        (100_000, 32, "summaries", "float64", 16),
        (20_000, 32, "stored", "float32", 0.044),
        (100_000, 64, "stored", "float32", 1.2),
        (100_000, 64, "stored", "float64", 49),
        (1_000_000, 32, "spanning tree", "float32", 9.8),
    ):
        problem = Problem(n, m, methods.METHODS["single"], "euclidean", dtype)
        modelled = costs.on_card(ALGORITHMS[algorithm].work(problem), n, m, dtype, GAMES, 0)
        assert seconds / 2 < modelled < seconds * 2


@plainly
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [20, 1500])
def test_every_primitive_runs_on_the_device_that_was_asked_for(machine, method, n):
    X = points_for("euclidean", n, 3)
    found = compute(X, method, device="cuda:1")
    assert found.plan.device == "cuda:1"
    assert {device for device, _ in machine.calls} == {"cuda:1"}
    np.testing.assert_array_equal(found.Z, gpuclust.linkage(X, method, device="cpu"))


@plainly
def test_correlation_runs_on_its_device(machine):
    X = points_for("euclidean", 30, 3)
    Z = gpuclust.linkage(X, "average", device="cpu")
    ours = cophenetic_correlation(Z, DeviceArray(X), device="cuda:1")
    assert machine.calls == [("cuda:1", "correlate")] * len(machine.calls) != []
    assert ours == cophenetic_correlation(Z, X, device="cpu")
