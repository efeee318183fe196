"""Tests that need a device: 20,000 observations against the CPU, short memory, freed memory.

Where CUDA is emulated sizes are small, and tests of CuPy's memory pool are left out.
"""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import EMULATED, METHODS, ON_DEVICE, SIMULATED, points_for

import gpuclust
from gpuclust.compute import compute
from gpuclust.distance import pdist
from gpuclust.errors import DoesNotFit, FallbackWarning

pytestmark = [pytest.mark.skip(reason="test_cuda_linkage.py has small data")] if SIMULATED else ON_DEVICE

N = 300 if EMULATED else 20_000

with_a_pool = pytest.mark.skipif(EMULATED, reason="device arrays are NumPy's")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_linkage_of_points_is_the_cpus(method, dtype):
    X = points_for("euclidean", N, 16, seed=5)
    cpu, cuda = (compute(X, method, device=device, dtype=dtype).Z for device in ("cpu", "cuda"))
    if dtype == "float64":
        np.testing.assert_array_equal(cuda, cpu)
    else:
        np.testing.assert_allclose(np.sort(cuda[:, 2]), np.sort(cpu[:, 2]), rtol=0, atol=1e-5 * cpu[:, 2].max())


@pytest.mark.parametrize("method", METHODS)
def test_linkage_of_condensed_input_is_the_cpus(method):
    Y = pdist(points_for("euclidean", N // 2, 4, seed=6), device="cpu")
    cpu, cuda = (compute(Y, method, device=device).Z for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(cuda, cpu)


@pytest.mark.parametrize("method", ["single", "complete"])
def test_more_than_2_to_the_31_dissimilarities(method):
    """A table of them, and half a matrix: the tree is the one that is found on the CPU without."""
    n = 300 if EMULATED else 65_537
    if not gpuclust.plan(n, None, method, device="cuda").fits:
        pytest.skip("the device has less memory")
    X = np.random.default_rng(8).random((n, 1))
    Y = pdist(X, "cityblock", device="cuda", output="numpy" if EMULATED else "cupy")
    cpu, cuda = compute(X, method, "cityblock", device="cpu"), compute(Y, method, device="cuda")
    np.testing.assert_array_equal(cuda.Z, cpu.Z)


@pytest.fixture
def pool() -> Iterator[Any]:
    """CuPy's pool, empty; without a limit again afterwards."""
    found = importlib.import_module("cupy").get_default_memory_pool()
    gc.collect()
    found.free_all_blocks()
    yield found
    found.set_limit(size=0)
    found.free_all_blocks()


@with_a_pool
def test_a_hundred_calls_leave_nothing(pool):
    X, held = points_for("euclidean", 600, 4), []
    for k in range(100):
        gpuclust.linkage(X, METHODS[k % len(METHODS)], device="cuda")
        gc.collect()
        held.append(pool.used_bytes())
    assert held == [held[0]] * 100
    assert held[0] == 0
    free = importlib.import_module("cupy").cuda.runtime.memGetInfo()[0]
    for _ in range(20):
        gpuclust.linkage(X, "average", device="cuda")
    pool.free_all_blocks()
    assert importlib.import_module("cupy").cuda.runtime.memGetInfo()[0] >= free


@with_a_pool
def test_a_full_device_is_seen_before_anything_is_asked_for(pool):
    """Another user holds the memory: the plan says so, and "auto" takes the CPU."""
    cupy = importlib.import_module("cupy")
    free, _ = cupy.cuda.runtime.memGetInfo()
    taken = cupy.cuda.memory.alloc(max(1, free - 2**28))
    with pytest.raises(DoesNotFit, match="on cuda"):
        gpuclust.linkage(points_for("euclidean", N, 16), "complete", device="cuda")
    assert gpuclust.plan(N, None, "complete").device == "cpu"
    assert pool.used_bytes() == taken.mem.size
    del taken


@with_a_pool
@pytest.mark.parametrize("method", ["complete", "average", "ward", "centroid", "single"])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
def test_memory_that_runs_out_in_the_middle(pool, method, share):
    """CuPy refuses what the plan was promised: the next way is taken, with the same result, and nothing stays."""
    X = points_for("euclidean", 6000, 16, seed=7)
    expected, planned = compute(X, method, device="cpu"), gpuclust.plan(6000, 16, method, device="cuda")
    pool.set_limit(size=max(2**20, int(share * planned.memory)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = compute(X, method, device="cuda")
    fell = any(issubclass(warning.category, FallbackWarning) for warning in said)
    assert fell == ((found.plan.device, found.plan.algorithm) != (planned.device, planned.algorithm))
    assert fell or share > 0.05  # a plan counts what may be needed: less may do
    np.testing.assert_allclose(found.Z[:, 2], expected.Z[:, 2], rtol=1e-12)
    del found
    gc.collect()
    assert pool.used_bytes() == 0
