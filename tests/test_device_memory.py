"""Memory that runs out on a GPU: smaller matrices, the CPU, or an error; nothing stays allocated.

The last tests launch kernels: emulated, or on a device with ``-m gpu``.
"""

from __future__ import annotations

import gc
import importlib
import weakref

import fake_cuda
import numpy as np
import pytest
from conftest import EMULATED, METHODS, SIMULATED, on_cuda, plainly, points_for

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import devices
from gpuclust.core.device import Device
from gpuclust.core.observations import to_host
from gpuclust.core.sizes import stored_bytes
from gpuclust.distance import cdist, pdist
from gpuclust.errors import DoesNotFit, FallbackWarning

plans = importlib.import_module("gpuclust.plan")


class OutOfMemoryError(MemoryError):
    """CuPy's, of cupy.cuda.memory."""


def fails(patch, *primitives, error=OutOfMemoryError):
    """Primitives of cards that run out of memory, holding an array; the arrays."""
    held = []

    def run_out(*arguments):
        array = np.empty(10)
        assert not [other for other in held if other() is not None], "what the attempt before held is not gone"
        held.append(weakref.ref(array))
        raise error("Out of memory allocating 8,000 bytes (allocated so far: 0 bytes).")

    for primitive in primitives:
        patch.setattr(fake_cuda.FakeCuda, primitive, run_out, raising=False)
    return held


@plainly
@pytest.mark.parametrize(
    ("method", "primitive"),
    [("ward", "summarise"), ("complete", "store_points"), ("single", "outgoing"), ("centroid", "generic_points")],
)
def test_memory_that_runs_out_on_a_card_leads_to_the_cpu(machine, monkeypatch, method, primitive):
    held = fails(monkeypatch, primitive)
    n = 1100 if method == "single" else 600  # few enough for a matrix, but for single linkage too many
    X = points_for("euclidean", n, 8)  # with fewer features there are algorithms without a matrix
    with pytest.warns(FallbackWarning, match=r"on cuda\).*Out of memory alloc.*goes on by: .*, on cpu\.") as record:
        found = compute(X, method, device="cuda")
    assert (len(held), len(record)) == (1, 1)
    assert found.plan.device == "cpu"
    np.testing.assert_array_equal(found.Z, gpuclust.linkage(X, method, device="cpu"))


@plainly
def test_a_smaller_matrix_is_tried_before_the_cpu(machine, monkeypatch):
    X = points_for("euclidean", 6000, 16)
    job = gpuclust.plan(6000, 16, "average", device="cuda")
    assert [(plan.device, plan.algorithm) for plan in job.fallbacks] == [
        ("cuda", "hybrid"),
        ("cpu", "stored"),
        ("cpu", "hybrid"),
    ]
    assert job.fallbacks[0].matrix == job.matrix // 2
    real, sizes = fake_cuda.FakeCuda(0).cpu.store_clusters, []

    def store_clusters(self, points, method, clusters):
        sizes.append(clusters.ids.size)
        if len(sizes) == 1:
            raise OutOfMemoryError
        return real(points, method, clusters)

    monkeypatch.setattr(fake_cuda.FakeCuda, "store_clusters", store_clusters, raising=False)
    with pytest.warns(FallbackWarning, match="goes on by: hybrid, on cuda"):
        found = compute(X, "average", device="cuda")
    assert sizes[1] <= found.plan.most_clusters < sizes[0]
    assert found.plan.algorithm == "hybrid"
    np.testing.assert_allclose(found.Z, gpuclust.linkage(X, "average", device="cpu"), rtol=1e-12)


@plainly
def test_centroids_are_tried_where_their_matrix_has_no_room(machine, monkeypatch):
    fails(monkeypatch, "generic_stored")
    X = points_for("euclidean", 50, 100)
    with pytest.warns(FallbackWarning, match="goes on by: generic, on cuda"):
        found = compute(X, "median", device="cuda")
    np.testing.assert_allclose(found.Z, gpuclust.linkage(X, "median", device="cpu"), rtol=1e-12)


def test_without_another_way_the_error_says_what_was_needed(monkeypatch):
    def run_out(self, points, method, size=None):
        raise MemoryError

    monkeypatch.setattr("gpuclust.kernels.cpu.backend.CpuBackend.summarise", run_out)
    with pytest.raises(DoesNotFit, match=r"summaries, on cpu\): .* were to be needed.*No fallback fits"):
        gpuclust.linkage(points_for("euclidean", 1200, 3), "ward", device="cpu")


@plainly
def test_what_does_not_fit_is_no_fallback(machine, monkeypatch):
    fails(monkeypatch, "store_condensed")
    monkeypatch.setattr(plans, "available_memory", lambda: 10**6)
    Y = pdist(points_for("euclidean", 5000, 2), device="cpu")
    with pytest.raises(DoesNotFit, match=r"stored, on cuda\): .* were to be needed"):
        gpuclust.linkage(Y, "average", device="cuda")


@plainly
def test_a_card_that_fails_is_left_where_it_was_not_asked_for(machine, monkeypatch):
    """By the user: then it is an error."""

    class Unavailable(RuntimeError):
        __module__ = "cupy_backends.cuda.api.runtime"

    def fail(*arguments):
        raise Unavailable("cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable")

    monkeypatch.setattr("gpuclust.algorithms.costs.choose", lambda *_: (Device("cuda"), "for the test."))
    monkeypatch.setattr(fake_cuda.FakeCuda, "store_points", fail, raising=False)
    X = points_for("euclidean", 300, 8)
    with pytest.warns(
        FallbackWarning, match=r"^cuda failed \(Unavailable: cudaErrorDev.*goes on by: .*, on cpu\."
    ) as said:
        found = compute(X, "complete")
    assert len(said) == 1
    assert found.plan.device == "cpu"
    np.testing.assert_array_equal(found.Z, gpuclust.linkage(X, "complete", device="cpu"))
    with pytest.raises(Unavailable):
        compute(X, "complete", device="cuda")


def test_other_errors_are_not_taken_for_it(monkeypatch):
    class Fault(Exception):
        __module__ = "numba.cuda.cudadrv.driver"

    assert devices.out_of_memory(Fault("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"))
    assert not devices.out_of_memory(Fault("[700] CUDA_ERROR_ILLEGAL_ADDRESS"))
    assert not devices.out_of_memory(DoesNotFit("too large"))
    assert not devices.out_of_memory(ValueError("CUDA_ERROR_OUT_OF_MEMORY"))

    def fail(self, points, method, size=None):
        raise Fault("[700] CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr("gpuclust.kernels.cpu.backend.CpuBackend.summarise", fail)
    with pytest.raises(Fault, match="ILLEGAL"):
        gpuclust.linkage(points_for("euclidean", 1200, 3), "ward", device="cpu")


@on_cuda
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 33])
def test_distances_are_the_cpus(monkeypatch, n, dtype):
    distances = importlib.import_module("gpuclust.kernels.cuda.distances")
    X, Y = points_for("euclidean", n, 5), points_for("euclidean", 7, 5, seed=1)
    for slab in (distances.SLAB, 1000):
        monkeypatch.setattr(distances, "SLAB", slab)
        for metric in ("euclidean", "cityblock"):
            options = {"metric": metric, "dtype": dtype}
            ours = pdist(X, device="cuda", **options), cdist(X, Y, device="cuda", **options)
            expected = pdist(X, device="cpu", **options), cdist(X, Y, device="cpu", **options)
            for result, right in zip(ours, expected, strict=True):
                np.testing.assert_allclose(result, right, rtol=0 if dtype == "float64" else 1e-5)


@on_cuda
def test_results_stay_on_the_device():
    X = points_for("euclidean", 33, 5)
    for compute_on in (
        lambda **where: pdist(X, **where),
        lambda **where: cdist(X, X[:4], **where),
    ):
        result = compute_on(device="cuda", output="cupy")
        assert isinstance(result, np.ndarray) == EMULATED
        np.testing.assert_array_equal(to_host(result), compute_on(device="cpu"))


@on_cuda
def test_the_plan_of_a_card_is_of_its_memory():
    from gpuclust.kernels.cuda import launch

    job = gpuclust.plan(3000, None, "average", device="cuda")
    assert job.device == "cuda"
    assert job.matrix == stored_bytes(3000, "float64", Device("cuda"))
    assert job.memory == job.matrix + 100 * 3000 + 3000 * 2999 // 2 * 8
    assert 0.5 * job.limit <= launch.free_memory()[0] <= 2 * job.limit
    assert gpuclust.plan(3000, 4, "average", device="cuda", memory_limit="1GB").limit == 10**9
    with pytest.raises(DoesNotFit, match="on cuda"):
        gpuclust.linkage(np.ones(190), "average", device="cuda", memory_limit="1kB")


SMALL = 6 if SIMULATED else 40


@on_cuda
@pytest.mark.parametrize("method", ["ward", "average", "centroid"])
def test_a_failing_allocation_leads_to_the_cpu(monkeypatch, method):
    """Wherever it happens: first at the first allocation, then later and later until all is done on the device."""
    from gpuclust.kernels.cuda import launch

    X = points_for("euclidean", SMALL, 3)
    expected, allocate, ways = gpuclust.linkage(X, method, device="cpu"), launch.empty, []
    for last in (0, 1, 3, 6, 1000):
        count = 0

        def empty(*arguments, last=last):
            nonlocal count
            count += 1
            if count > last:
                raise OutOfMemoryError("Out of memory")
            return allocate(*arguments)

        monkeypatch.setattr(launch, "empty", empty)
        if last < 1000:
            with pytest.warns(FallbackWarning, match="goes on by"):
                found = compute(X, method, device="cuda")
        else:
            found = compute(X, method, device="cuda")
        ways.append(found.plan.device)
        np.testing.assert_array_equal(found.Z, expected)
    assert ways == ["cpu"] * 4 + ["cuda"]


@on_cuda
def test_nothing_is_left_behind(monkeypatch):
    """After 100 linkages no array that was made on the device is alive."""
    from gpuclust.kernels.cuda import launch

    made, allocate = [], launch.empty

    def empty(*arguments):
        array = allocate(*arguments)
        made.append(weakref.ref(array))
        return array

    monkeypatch.setattr(launch, "empty", empty)
    X = points_for("euclidean", SMALL, 2)
    Y = pdist(X, device="cpu")
    for k in range(100):
        gpuclust.linkage(Y if k % 2 else X, METHODS[k % len(METHODS)], device="cuda")
    gc.collect()
    assert len(made) > 300
    assert [ref for ref in made if ref() is not None] == []


@on_cuda
def test_the_doctor_finds_nothing_wrong(monkeypatch):
    doctor = importlib.import_module("gpuclust.app.doctor")
    if EMULATED:  # a part, as it takes long
        chosen = ("condensed", "pairwise", "outgoing", "store_points", "merge", "correlate")
        monkeypatch.setattr(doctor, "PRIMITIVES", {name: doctor.PRIMITIVES[name] for name in chosen})
        monkeypatch.setattr(
            doctor.methods, "METHODS", {name: doctor.methods.METHODS[name] for name in ("average", "ward")}
        )
    report = doctor.examine()
    assert report.facts["cuda"]["usable"]
    assert {check.backend for check in report.checks} >= {"cpu", "cuda"}
    assert [check for check in report.checks if not check.ok] == []
