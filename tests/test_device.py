"""Devices: the choice, missing software, memory that runs out, arrays on a device, no memory left allocated.

Most tests use a fake machine with GPUs (fake_cuda.py). Those that launch kernels run where CUDA is emulated, or on a
device with ``-m gpu``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import pickle
import subprocess
import sys
import types
import weakref

import fake_cuda
import numpy as np
import pytest
from conftest import EMULATED, METHODS, ON_DEVICE, SIMULATED, one_of_each_form, points_for
from fake_cuda import GAMES, H200, DeviceArray

import gpuclust
from gpuclust.algorithms import costs
from gpuclust.algorithms.base import Problem
from gpuclust.algorithms.table import ALGORITHMS
from gpuclust.compute import compute
from gpuclust.core import devices, methods, metrics, preparation
from gpuclust.core.backend import select
from gpuclust.core.device import Device
from gpuclust.core.observations import as_array, place, to_host
from gpuclust.core.sizes import stored_bytes
from gpuclust.distance import cdist, pdist
from gpuclust.errors import BackendUnavailable, DoesNotFit, FallbackWarning
from gpuclust.hierarchy import cophenetic_correlation

plans = importlib.import_module("gpuclust.plan")

#: Not where modules of the CUDA backend have been imported as emulated ones.
plainly = pytest.mark.skipif(EMULATED, reason="CUDA is emulated")


def on_cuda(function):
    """Tests that launch kernels."""
    for mark in ON_DEVICE:
        function = mark(function)
    return function


@pytest.fixture
def machine(monkeypatch):
    pytest.importorskip("numba_cuda")
    return fake_cuda.install(monkeypatch)


# ------------------------------------------------------------------------------------------------- names of devices


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


# --------------------------------------------------------------------------------------------------- what is missing


@pytest.fixture
def bare(monkeypatch):
    """No emulation, nothing remembered; afterwards too."""
    for name in ("NUMBA_ENABLE_CUDASIM", "GPUCLUST_CUDA_EMULATION"):
        monkeypatch.delenv(name, raising=False)
    devices._first_lack.cache_clear()
    yield monkeypatch
    devices._first_lack.cache_clear()


def installed(patch, cards=(H200,), version=13000, numba=True, nvvm=True, toolkit=(13, 1), cupy=13020):
    """A machine with these pieces; ``cupy`` is the CUDA it is made for, None, or the error of its import."""

    class Nvvm:
        def NVVM(self):
            if not nvvm:
                raise RuntimeError("libnvvm.so cannot be found\nhint: look elsewhere")

    def module(name):
        if name == "cupy" and isinstance(cupy, Exception):
            raise cupy
        runtime = types.SimpleNamespace(runtimeGetVersion=lambda: cupy)
        found = {
            "numba.cuda.cudadrv.nvvm": Nvvm(),
            "numba.cuda.cudadrv.libs": types.SimpleNamespace(open_libdevice=lambda: b""),
            "numba.cuda": types.SimpleNamespace(runtime=types.SimpleNamespace(get_version=lambda: toolkit)),
            "cupy": types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime)),
        }
        if name not in found:
            raise ImportError(name)
        return found[name]

    patch.setattr(devices, "_driver", lambda process: (version, cards, None))
    patch.setattr(devices, "find_spec", lambda name: {"numba_cuda": numba, "cupy": cupy}[name] or None)
    patch.setattr(devices, "import_module", module)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({"numba": False}, r'numba-cuda is not installed: pip install "gpuclust\[cuda13\]"'),
        ({"numba": False, "version": 12040}, r'pip install "gpuclust\[cuda12\]"'),
        ({"nvvm": False}, r"finds no NVVM \(libnvvm.so cannot be found\): pip install .*, or set CUDA_HOME"),
        ({"version": 12040}, r'compiles for CUDA 13, but the driver can do CUDA 12.4: pip install "gpuclust\[cuda12'),
        ({"cupy": None}, r'CuPy is not installed: pip install "gpuclust\[cuda13\]"'),
        ({"cupy": ImportError("libcublas.so.12: no such file")}, r"CuPy cannot be imported \(libcublas"),
        (
            {"version": 12040, "toolkit": (12, 9)},
            r'made for CUDA 13, but the driver can do CUDA 12: pip uninstall cupy-cuda13x, then .*\[cuda12\]"',
        ),
        ({"cards": (fake_cuda.Card(0, "GTX 1080", (6, 1), 8, 1, 1.0, 1.0),)}, r"GTX 1080 has compute capability 6.1"),
        ({"cards": (fake_cuda.Card(0, "V100", (7, 0), 8, 1, 1.0, 1.0),)}, r"CUDA 13 cannot compile.*\[cuda12\]"),
    ],
)
def test_the_missing_piece_is_named(bare, pieces, message):
    installed(bare, **pieces)
    with pytest.raises(BackendUnavailable, match=f"^device='cuda' was asked for, but .*{message}"):
        gpuclust.linkage([[0.0], [1.0]], device="cuda")
    with pytest.raises(BackendUnavailable, match=message):
        gpuclust.plan(10, 2, device="cuda")
    assert select("auto").name == "cpu"


def test_nothing_is_missing(bare):
    installed(bare)
    assert devices.missing() is None


class Function:
    def __init__(self, answer):
        self.answer = answer

    def __call__(self, place=None, *arguments):
        answer = self.answer(*arguments) if callable(self.answer) else self.answer
        if place is None or isinstance(place, int):
            return answer
        if isinstance(answer, bytes):
            place.value = answer
        else:
            place._obj.value = answer
        return 0


def library(init=0, count=2):
    """A driver with two cards, of which the second does not tell its clock."""
    attributes = {75: (9, 8), 76: (0, 6), 16: (132, 68), 13: (1_980_000, 0), 36: (2_619_000, 0), 37: (6144, 320)}
    functions = {
        "cuInit": Function(init),
        "cuDriverGetVersion": Function(13020),
        "cuDeviceGetCount": Function(count),
        "cuDeviceGet": Function(lambda index: index),
        "cuDeviceGetName": Function(lambda length, device: (b"H200", b"RTX 3080")[device]),
        "cuDeviceTotalMem_v2": Function(lambda device: (141 * 10**9, 10 * 10**9)[device]),
        "cuDeviceGetAttribute": Function(lambda which, device: attributes[which][device]),
    }
    return types.SimpleNamespace(**functions)


def test_the_driver_is_asked(bare):
    devices._driver.cache_clear()
    bare.setattr(ctypes, "CDLL", lambda name: library())
    first, second = devices.cards()
    assert (first.name, first.capability, first.memory, first.multiprocessors) == ("H200", (9, 0), 141 * 10**9, 132)
    assert first.bandwidth == pytest.approx(4.02e12, rel=1e-2)
    assert first.rate("float32") == 2 * first.rate("float64") == pytest.approx(3.35e13, rel=1e-2)
    assert (second.capability, second.clock, second.slowdown) == ((8, 6), 1.5e9, 64)
    assert devices.driver_version() == (13, 2)
    devices._driver.cache_clear()


@pytest.mark.parametrize(
    ("error", "piece", "message"),
    [(100, "device", "finds no device"), (3, "driver", "forked"), (999, "driver", r"does not start \(error 999\)")],
)
def test_a_driver_that_does_not_start(bare, error, piece, message):
    devices._driver.cache_clear()
    bare.setattr(ctypes, "CDLL", lambda name: library(error, 0))
    assert devices.missing().piece == piece
    with pytest.raises(BackendUnavailable, match=message):
        select("cuda")
    devices._driver.cache_clear()


def test_no_driver(bare):
    devices._driver.cache_clear()

    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    bare.setattr(ctypes, "CDLL", load)
    with pytest.raises(BackendUnavailable, match="no NVIDIA driver is found"):
        select("cuda")
    assert devices.cards() == ()
    assert "nvidia-smi" in devices.install()
    devices._driver.cache_clear()


@plainly
def test_auto_imports_nothing_of_cuda_where_there_is_no_driver():
    if devices.cards():
        pytest.skip("there is a device")
    program = (
        "import sys, numpy as np, gpuclust\n"
        "gpuclust.linkage(np.zeros((3, 2)), 'ward')\n"
        "gpuclust.plan(10**6, 16)\n"  # large enough to gain by a GPU
        "assert 'numba' in sys.modules\n"
        "print(sorted(name for name in sys.modules if name in ('numba.cuda', 'numba_cuda', 'cupy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --------------------------------------------------------------------------------------------------- the choice


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


# ----------------------------------------------------------------------------------------- everything on its device


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


# --------------------------------------------------------------------------------------------- memory that runs out


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


# -------------------------------------------------------------------------------------------- arrays on a device


@plainly
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [20, 1500])
def test_points_on_a_device_stay_there(machine, method, n):
    X = points_for("euclidean", n, 3)
    Z = gpuclust.linkage(DeviceArray(X), method, device="cuda")
    assert machine.kept == [True] * len(machine.kept)
    assert machine.kept
    assert DeviceArray.fetched == 0
    np.testing.assert_array_equal(Z, gpuclust.linkage(X, method, device="cpu"))


#: Not dice, whose summary is a sum.
STAYING = [
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "euclidean",
    "hamming",
    "minkowski",
    "nan_euclidean",
    "sqeuclidean",
]


def parameters(metric):
    return {"p": 3} if metric == "minkowski" else {}


def test_metrics_whose_points_stay():
    assert {name for name in metrics.METRICS if preparation.keeps_points(name, **parameters(name))} == {*STAYING}


@plainly
@pytest.mark.parametrize("metric", one_of_each_form(metrics.METRICS))
def test_points_of_every_metric(machine, metric):
    """They stay where the metric takes them as they are; the others are brought over once, not more often."""
    X = points_for(metric, 60, 5)
    arguments, stays = parameters(metric), metric in STAYING
    found = compute(DeviceArray(X), "average", metric, device="cuda", dtype="float32", **arguments)
    assert machine.kept == [stays] * len(machine.kept) != []
    assert DeviceArray.fetched == (0 if stays else 1)
    expected = compute(X, "average", metric, device="cpu", dtype="float32", **arguments)
    np.testing.assert_array_equal(found.Z, expected.Z)


@plainly
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_condensed_on_a_device(machine, method, dtype):
    Y = pdist(points_for("euclidean", 40, 3), device="cpu")
    Z = gpuclust.linkage(DeviceArray(Y), method, device="cuda", dtype=dtype)
    assert DeviceArray.fetched == 0
    np.testing.assert_array_equal(Z, gpuclust.linkage(Y, method, device="cpu", dtype=dtype))


@plainly
def test_the_cpu_gets_them_once(machine):
    X = points_for("euclidean", 40, 3)
    np.testing.assert_array_equal(
        gpuclust.linkage(DeviceArray(X), "ward", device="cpu"), gpuclust.linkage(X, "ward", device="cpu")
    )
    assert DeviceArray.fetched == 1
    assert machine.calls == []
    np.testing.assert_array_equal(pdist(DeviceArray(X), device="cpu"), pdist(X, device="cpu"))
    np.testing.assert_array_equal(cdist(DeviceArray(X), X, device="cpu"), cdist(X, X, device="cpu"))
    metric = lambda x, y: abs(x - y).max()  # noqa: E731
    np.testing.assert_array_equal(
        gpuclust.linkage(DeviceArray(X), "average", metric), gpuclust.linkage(X, "average", "chebyshev", device="cpu")
    )
    assert DeviceArray.fetched == 4


@plainly
def test_auto_stays_on_the_device_that_holds_them(machine, monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")
    monkeypatch.setattr(costs, "START", 1e-9)
    monkeypatch.setattr(costs, "on_card", lambda *arguments: 1e-9)
    X = points_for("euclidean", 700, 3)
    assert compute(DeviceArray(X, 1), "ward").plan.device == "cuda:1"
    assert compute(DeviceArray(X, 1), "ward", device="cuda").plan.device == "cuda"
    assert DeviceArray.fetched == 0


@plainly
def test_other_libraries_arrays_are_taken_on_their_own_device(machine):
    class Tensor:
        def __init__(self, array):
            self.array = array
            self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3}

        def __array__(self, *args, **kwargs):
            return self.array  # what the fake CuPy makes of a pointer

    X = points_for("euclidean", 20, 3)
    taken = as_array(Tensor(X))
    assert taken.device.id == 1
    np.testing.assert_array_equal(gpuclust.linkage(Tensor(X), device="cuda:1"), gpuclust.linkage(X, device="cpu"))


@plainly
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_are_looked_at_on_the_device(machine, value):
    X = points_for("euclidean", 20, 3)
    X[7, 2] = value
    with pytest.raises(ValueError, match=f"got {value} in row 7, column 2"):
        gpuclust.linkage(DeviceArray(X), device="cuda")
    with pytest.raises(ValueError, match=r"got -1\.0 at index 2"):
        gpuclust.linkage(DeviceArray([0, 0, -1.0]), "ward", device="cuda")
    with pytest.warns(gpuclust.ClusterWarning, match="squareform"):
        gpuclust.linkage(DeviceArray(np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])), device="cuda")
    with pytest.raises(ValueError, match="1 or 2 dimensional"):
        gpuclust.linkage(DeviceArray(np.zeros((2, 2, 2))), device="cuda")
    assert DeviceArray.fetched == 0


@plainly
def test_what_lies_on_a_device_that_cannot_be_used(bare):
    """torch's and Numba's arrays are brought over by their own means, others are refused with the reason."""
    bare.setattr(devices, "missing", lambda: devices.Lack("CuPy", "CuPy is not installed", "pip install it"))
    X = points_for("euclidean", 20, 3)

    class Strange:
        def __init__(self):
            self.__cuda_array_interface__ = {"shape": (20, 3)}

    class Tensor(Strange):
        requires_grad = False

        def cpu(self):
            return X

    np.testing.assert_array_equal(gpuclust.linkage(Tensor(), "ward"), gpuclust.linkage(X, "ward"))

    with pytest.raises(TypeError, match="Strange on a CUDA device cannot be read here, as CuPy is not installed"):
        gpuclust.linkage(Strange())


class Exchanged:
    """An array that can be had by DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_of_the_host():
    X = points_for("euclidean", 20, 3)
    assert np.shares_memory(as_array(Exchanged(X)), X)
    np.testing.assert_array_equal(gpuclust.linkage(Exchanged(X), "ward"), gpuclust.linkage(X, "ward"))
    np.testing.assert_array_equal(pdist(Exchanged(X)), pdist(X))


class Gradient:
    """torch's tensor with a gradient hands out nothing; detached, it does."""

    requires_grad = True

    def __init__(self, array):
        self.array = array

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return self.array


def test_a_gradient_is_left_aside():
    X = points_for("euclidean", 20, 3)
    assert as_array(Gradient(X)) is X


class OnDevice:
    """Memory with a CUDA array interface; emulated, it is the host's."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3}


@pytest.mark.skipif(not EMULATED, reason="memory of the host in the guise of a device's")
def test_cuda_array_interface():
    X = points_for("euclidean", 20, 6)[:, ::2]
    taken = as_array(OnDevice(X))
    assert np.shares_memory(taken, X)
    np.testing.assert_array_equal(taken, X)
    owner = weakref.ref(X)
    del X
    assert owner() is not None, "the array keeps its memory"
    np.testing.assert_array_equal(gpuclust.linkage(OnDevice(taken), "ward"), gpuclust.linkage(taken, "ward"))
    for device in ("cpu", "cuda"):
        Z = gpuclust.linkage(OnDevice(np.asfortranarray(taken)), "complete", device=device)
        np.testing.assert_array_equal(Z, gpuclust.linkage(taken, "complete"))
    np.testing.assert_array_equal(pdist(OnDevice(taken), device="cuda"), pdist(taken, device="cpu"))


def test_place():
    X = np.zeros((3, 2))
    assert place(X, Device("cuda")) is X
    assert to_host(X) is X


# ------------------------------------------------------------------------------------------------------- output


@plainly
def test_results_go_where_they_are_wanted(machine, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: True)
    X = points_for("euclidean", 20, 3)
    Z = gpuclust.linkage(X, "ward")
    for result, expected in (
        (gpuclust.fcluster(Z, 3, "maxclust", output="cupy"), gpuclust.fcluster(Z, 3, "maxclust")),
        (pdist(X, device="cpu", output="cupy"), pdist(X)),
        (cdist(X, X, device="cpu", output="cupy"), cdist(X, X)),
        (pdist(X, lambda x, y: 1.0, output="cupy"), np.ones(190)),
        (gpuclust.cophenet(Z, output="cupy"), gpuclust.cophenet(Z)),
        (gpuclust.cophenet(Z, DeviceArray(pdist(X)), output="cupy")[1], gpuclust.cophenet(Z)),
    ):
        assert isinstance(result, DeviceArray)
        np.testing.assert_array_equal(result.data, expected)


@plainly
def test_output_is_refused_at_once(bare):
    Z = np.array([[0, 1, 1.0, 2]])
    for function, arguments in (
        (gpuclust.fcluster, (Z, 1)),
        (gpuclust.cophenet, (Z,)),
        (pdist, ([[0.0], [1.0]],)),
        (cdist, ([[0.0]], [[1.0]])),
    ):
        with pytest.raises(ValueError, match="Unknown output 'cuda'"):
            function(*arguments, output="cuda")
        bare.setattr(devices, "_driver", lambda process: (0, (), devices.Lack("driver", "no driver is found", "")))
        with pytest.raises(BackendUnavailable, match='output="cupy" was asked for, but no driver is found'):
            function(*arguments, output="cupy")
        bare.setattr(devices, "_driver", lambda process: (12040, (H200,), None))
        bare.setattr(devices, "find_spec", lambda name: None)
        with pytest.raises(BackendUnavailable, match=r'CuPy is not installed: pip install "gpuclust\[cuda12\]"'):
            function(*arguments, output="cupy")


@plainly
def test_out_is_for_numpy(machine, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: True)
    with pytest.raises(ValueError, match="does not go with output='cupy'"):
        pdist([[0.0], [1.0]], out=np.empty(1), output="cupy")


# ------------------------------------------------------------------------------------------------- on the kernels


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
