"""``python -m benchmarks gpu``: results are checked before timing, and a device is needed."""

from __future__ import annotations

import importlib
import io

import numpy as np
import pytest
from conftest import EMULATED
from rich.console import Console

from gpuclust.core import devices

gpu = importlib.import_module("benchmarks.gpu")


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def on_the_cpu(monkeypatch, spoil=None):
    """The CPU stands in for the device, without its kernels; ``spoil`` changes its result."""
    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
    compute, pdist = gpu.compute, gpu.pdist

    def linkage(X, method, dtype, device):
        found = compute(X, method, dtype=dtype, device="cpu")
        if spoil and device == "cuda":
            spoil(found.Z)
        return found

    monkeypatch.setattr(gpu, "compute", linkage)
    monkeypatch.setattr(gpu, "pdist", lambda X, dtype, device: pdist(X, dtype=dtype, device="cpu"))
    monkeypatch.setattr(devices, "missing", lambda: None)
    monkeypatch.setattr(devices, "emulated", lambda: True)


def test_every_case_is_timed(monkeypatch, console):
    on_the_cpu(monkeypatch)
    assert gpu.gpu(console, 30) == []  # not to be kept
    said = console.file.getvalue()
    for case in gpu.CASES:
        assert f"{case.method} " in said
    assert said.count("(pdist)") == 2


@pytest.mark.parametrize("column", [0, 2])
def test_a_difference_stops_it(monkeypatch, console, column):
    def spoil(Z: np.ndarray) -> None:
        Z[-1, column] += 1

    on_the_cpu(monkeypatch, spoil)
    monkeypatch.setattr(gpu, "CASES", (gpu.Case("ward", 30, 3, "float64"),))
    with pytest.raises(SystemExit, match="than on the CPU" if column == 0 else "heights differ"):
        gpu.gpu(console)


@pytest.mark.skipif(EMULATED, reason="CUDA is emulated")
def test_without_a_device_it_says_so(monkeypatch, console):
    monkeypatch.setattr(devices, "missing", lambda: devices.Lack("driver", "no NVIDIA driver is found", ""))
    with pytest.raises(SystemExit, match="needs a CUDA device: no NVIDIA driver is found"):
        gpu.gpu(console)
