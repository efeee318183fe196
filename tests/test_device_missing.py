"""Missing software for GPUs: which piece it is, what the driver says, and how to install it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import types

import fake_cuda
import pytest
from conftest import plainly
from fake_cuda import H200

import gpuclust
from gpuclust.core import devices
from gpuclust.core.backend import select
from gpuclust.errors import BackendUnavailable


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
