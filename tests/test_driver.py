"""The CUDA path under the real numba-cuda, on the driver of `cuda_driver`: everything but the GPU and CuPy.

Kernels are compiled by NVVM, linked, kept on disk and launched by Numba; then the driver checks the launch, and runs
the kernel in Numba's simulator, with the blocks and tiles of a device.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import EMULATED
from cupy_signatures import SIGNATURES

from gpuclust.core import cuda_driver
from gpuclust.core import devices as devices_module

HERE = Path(__file__).parent / "cuda_driver"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
pytestmark = [
    pytest.mark.skipif(EMULATED, reason="CUDA is emulated"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the driver for tests is for Linux"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
    pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed: gpuclust[ptx]"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The folder of libcuda.so.1."""
    folder = tmp_path_factory.mktemp("driver")
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", folder / "libcuda.so.1", HERE / "driver.c", "-ldl"]
    subprocess.run(command, check=True)
    return folder


def run(library: Path, program: Path | str, *arguments: str, **environment: str) -> str:
    """The output of a program on a machine with the driver for tests; warnings are errors there."""
    given = {**os.environ, "LD_LIBRARY_PATH": str(library), "DRIVER_ARENA": str(library / "memory"), **environment}
    given["GPUCLUST_COMPILE"] = "auto"  # the CPU's results without its kernels: they have the same bits
    given["PYTHONPATH"] = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    start = [program] if isinstance(program, Path) else ["-c", program]
    done = subprocess.run(
        [sys.executable, "-W", "error", *start, *arguments], env=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


#: Each way that kernels are launched and arrays are passed. What other kernels are launched with is for the sweep:
#: `make test` compiles each function (test_cuda_catalogue.py), and runs it in the simulator.
SCENARIOS = ("distances", "device_arrays", "streams", "one_linkage")
MORE_SCENARIOS = ("linkages", "algorithms", "screened", "products", "other_linkages", "screened_clusters")


@pytest.fixture(scope="module")
def launched(library) -> dict[str, list[str]]:
    """The kernels that each scenario has launched; results are compared with the CPU's there."""
    return launched_by(library, *SCENARIOS)


@pytest.fixture(scope="module")
def all_launched(library, launched) -> dict[str, list[str]]:
    return launched | launched_by(library, *MORE_SCENARIOS)


def launched_by(library: Path, *scenarios: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in run(library, HERE / "scenarios.py", *scenarios).splitlines():
        found.update(json.loads(line))
    return found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_results_are_the_cpus(launched, scenario):
    """And no launch warned, was on another stream than CuPy's, or read memory that is not allocated."""
    assert launched[scenario]


@pytest.mark.timeout(1800)
def test_results_of_launches_by_numba_are_the_cpus(library):
    assert json.loads(run(library, HERE / "scenarios.py", "numba_launches"))["numba_launches"]


@pytest.mark.sweep
@pytest.mark.parametrize("scenario", MORE_SCENARIOS)
def test_results_of_the_other_kernels_are_the_cpus(all_launched, scenario):
    assert all_launched[scenario]


@pytest.mark.sweep
def test_most_families_of_kernels_were_launched(all_launched):
    """Spatial boxes need many points: `test_cuda_boxes.py` has them, in the simulator."""
    modules = {name.split(".")[0] for names in all_launched.values() for name in names}
    assert modules >= {
        "aggregate",
        "between",
        "candidates",
        "chain",
        "cluster_search",
        "distances",
        "fill",
        "generic",
        "halves",
        "knn",
        "nearest",
        "neighbours",
        "pairwise",
        "products",
        "rounds",
        "screen_kernels",
        "spanning",
        "summary_chain",
        "summary_kernels",
        "tiles",
    }


PLAN = """
import os, sys, types
sys.modules["cupy"] = module = types.ModuleType("cupy")
module.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("cupy", None)
module.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(runtimeGetVersion=lambda: 13000))
import gpuclust
"""


def test_a_plan_makes_no_context_and_initialises_nothing(library, tmp_path):
    """In the process that plans, whose forks can use CUDA. A context takes memory of every GPU, or all of one."""
    program = f"""{PLAN}
import ctypes
made = gpuclust.plan(200_000, 64, "average", memory_limit=None)
assert made.device == "cuda", made
assert made.limit == 16 << 30, made.limit
assert ctypes.CDLL("libcuda.so.1").driver_initialised() == 0
print(os.getpid())
"""
    own = run(library, program, DRIVER_LOG=str(tmp_path / "log"), DRIVER_MULTIPROCESSORS="132").strip()
    contexts = (tmp_path / "log").read_text().split("\n")[:-1]
    assert contexts
    assert own not in {line.split()[0] for line in contexts}


@pytest.mark.parametrize("function", ["cuInit", "cuDevicePrimaryCtxRetain"])
def test_a_device_that_cannot_be_used_is_not_chosen(library, function):
    program = f"""{PLAN}
made = gpuclust.plan(200_000, 64, "average")
assert made.device == "cpu", made
assert "46" in made.reason, made.reason
try:
    gpuclust.plan(200_000, 64, "average", device="cuda")
except gpuclust.errors.BackendUnavailable as error:
    print(error)
"""
    said = run(library, program, DRIVER_FAIL=function, DRIVER_MULTIPROCESSORS="132")
    assert "46" in said


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_stand_in_for_cupy_takes_what_cupy_takes(name):
    cupy = pytest.importorskip("cupy")
    try:
        theirs = inspect.signature(getattr(cupy, name))
    except ValueError:
        pytest.skip("a ufunc, or a compiled function")
    scope: dict[str, object] = {}
    exec(f"def ours{SIGNATURES[name]}: pass", scope)
    ours = inspect.signature(scope["ours"])  # type: ignore[arg-type]
    assert list(ours.parameters) == list(theirs.parameters)[: len(ours.parameters)]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import time; time.sleep(600)", cuda_driver.NO_ANSWER),
        ("import os; os.abort()", cuda_driver.NO_ANSWER),
        ("raise SystemExit(1)", 999),  # no Python can be started: asked in this process
    ],
)
def test_a_driver_that_hangs_or_crashes(program, error, tmp_path, monkeypatch):
    """Is asked by a child process only, with a deadline."""
    child = tmp_path / "driver.py"
    child.write_text(program)
    monkeypatch.setattr(cuda_driver, "__file__", str(child))
    monkeypatch.setattr(cuda_driver, "PATIENCE", 1 if "sleep" in program else 600)
    monkeypatch.setattr(cuda_driver, "describe", lambda: {"error": 999, "devices": []})
    assert cuda_driver.ask("describe")["error"] == error
    monkeypatch.setattr(cuda_driver, "version", lambda: 13000)
    _, devices, lack = devices_module._driver.__wrapped__(0)
    assert not devices
    assert ("does not answer" if error < 0 else "error 999") in str(lack)
