"""Shared by the tests: data sets by kind, the backends to compare, and which tests run where."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest
from browser import Browser, browser
from covering import covering
from hypothesis import HealthCheck, settings
from lockstep import install

from gpuclust.core import devices
from gpuclust.plan import small_plan

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)
# For the benchmarks. Last, so that it is an installed gpuclust that is tested, if there is one.
sys.path.append(str(Path(__file__).parents[1]))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("GPUCLUST_COMPILE", "always")  # small jobs too, or the reference would be tested against itself
# No deadline, no limit for making examples: on a loaded machine both are missed without a fault.
settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=40,
    derandomize=True,
    print_blob=True,
)
settings.load_profile("default")

#: Whether kernels for CUDA run on the host: simulated, or compiled and emulated. See gpuclust/kernels/cuda/launch.py.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
EMULATED = SIMULATED or os.environ.get("GPUCLUST_CUDA_EMULATION", "0") not in ("", "0")
if SIMULATED:
    install()
#: The mark of tests that launch kernels, where there is none to run them on: they are selected with ``-m gpu``.
ON_DEVICE = [] if EMULATED else [pytest.mark.gpu]
#: Not where modules of the CUDA backend have been imported as emulated ones.
plainly = pytest.mark.skipif(EMULATED, reason="CUDA is emulated")
#: Backends to hold against the reference.
BACKENDS = ["cuda"] if EMULATED else ["cpu", pytest.param("cuda", marks=ON_DEVICE)]
#: Tests of what runs on CUDA: with ``-m emulated`` these only.
EMULATED_TESTS = ("test_backends.py", "test_cuda_*.py", "test_device*.py")
#: Selections after which no kernel of the catalogue may be missing, and no function of its kernels.
EVERY, FEWER = "emulated", "emulated and not sweep"
#: Files that take longest: begun first, the processes of pytest-xdist end together.
LONGEST = (
    "test_cuda_catalogue.py",
    "test_footprint.py",
    "test_driver.py",
    "test_backends.py",
    "test_same_bits.py",
    "test_dask.py",
    "test_batch.py",
    "test_scipy_suite.py",
    "test_products.py",
    "test_outgoing.py",
    "test_first_call.py",
    "test_cache.py",
    "test_batch_kill.py",
    "test_fuzz.py",
    "test_conditions.py",
    "test_batch_cluster.py",
    "test_algorithms.py",
    "test_linkage.py",
    "test_summaries_exact.py",
    "test_stored_squares.py",
    "test_dask_deaths.py",
)
#: Seconds for a test of the long sweeps; for all others see pyproject.toml.
SWEEP_TIMEOUT = 3600


METHODS = ("single", "complete", "average", "weighted", "centroid", "median", "ward")
METRICS = (
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "correlation",
    "cosine",
    "dice",
    "euclidean",
    "hamming",
    "jaccard",
    "jensenshannon",
    "mahalanobis",
    "matching",
    "minkowski",
    "rogerstanimoto",
    "russellrao",
    "seuclidean",
    "sokalsneath",
    "sqeuclidean",
    "yule",
)
#: Metrics that SciPy does not have.
OWN_METRICS = ("haversine", "haversine_degrees", "nan_euclidean", "spearman")
BOOLEAN = ("dice", "matching", "rogerstanimoto", "russellrao", "sokalsneath", "yule", "jaccard", "hamming")
#: One metric of each form: norms, a power, products, counts, sums of two kinds, logarithms, angles, missing values.
FORMS = ("euclidean", "cityblock", "minkowski", "cosine", "jaccard", "canberra", "jensenshannon", "haversine")
FORMS += ("nan_euclidean",)


def one_of_each_form(metrics: Iterable[str], forms: Sequence[str] = FORMS) -> list[Any]:
    """Parameters of a test of what metrics share; those whose form another one has are for the sweep."""
    return [metric if metric in forms else pytest.param(metric, marks=pytest.mark.sweep) for metric in metrics]


#: Of these, those that differ in more than the terms that are summed: an exponent, summaries of rows, bits, NaN.
FEW_FORMS = ("euclidean", "minkowski", "cosine", "jaccard", "nan_euclidean")
#: Linkages with the formula of another one: weighted is average, and median is centroid, of clusters of size one.
SAME_FORMULA = ("weighted", "median")
DTYPES = ("float64", "float32")


def rarely_float32(method: str, dtype: str, *_: Any) -> bool:
    """Whether float32 of a linkage is for the sweep: its kernels are those of float64 but for the type.

    `make test` runs them all as plain Python in both types (test_fuzz.py). Compiled in float32 it has single linkage,
    ward of few features (test_summaries_exact.py) and of a stored matrix (test_algorithms.py), and lists by matrix
    products (test_products.py): each form of a margin for the rounding of a type. On CUDA it has the linkages with a
    formula of their own.
    """
    return dtype == "float32" and method not in ("single", *(("ward", "average", "centroid") if EMULATED else ()))


def float32_is_rare(*values: Any) -> bool:
    """`rarely_float32` of what is no linkage: of values that are parameters of a test, float32 is one."""
    return "float32" in values and not EMULATED


def once(values: Iterable[Any], rare: Iterable[Any] = SAME_FORMULA) -> list[Any]:
    """Parameters of a test, some of them for the sweep: linkages with the formula of another one if none is named.

    Their kernels are another linkage's with all sizes one. `make test` runs them as plain Python (test_fuzz.py), and
    compiled against SciPy where most others are compiled anyway (test_linkage.py, test_backends.py).
    """
    return [pytest.param(value, marks=[pytest.mark.sweep] if value in rare else []) for value in values]


def typed(methods: Iterable[str]) -> list[Any]:
    """Parameters of a test, linkage and dtype; see `rarely_float32`."""
    return covering(methods, DTYPES, rare=rarely_float32)


def points_for(metric: str, n: int, m: int, seed: int = 0) -> np.ndarray:
    """Random points on which ``metric`` is defined; for haversine two features, whatever ``m`` is."""
    rng = np.random.default_rng(seed)
    if metric.startswith("haversine"):
        radians = np.column_stack((np.arcsin(rng.uniform(-1, 1, n)), rng.uniform(-np.pi, np.pi, n)))
        return np.degrees(radians) if metric.endswith("degrees") else radians
    if metric == "nan_euclidean":
        X = rng.normal(size=(n, m))
        X[:, 1:][rng.random((n, m - 1)) < 0.2] = np.nan
        return X
    if metric in BOOLEAN:
        X = rng.random((n, m)) < 0.5
        X[:, 0] = True  # no all-false row
        return X
    if metric in ("jensenshannon", "canberra", "braycurtis"):  # of one sign: no pairs at the largest distance
        return rng.random((n, m)) + 0.01
    return rng.normal(size=(n, m))


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-xdist start files in the order of collection, instead of those with the most tests first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what to run when emulated, and how long sweeps may take; the longest files come first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        if item.get_closest_marker("sweep") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SWEEP_TIMEOUT))
        if any(item.path.match(pattern) for pattern in EMULATED_TESTS):
            item.add_marker("emulated")
            if EMULATED and find_spec("numba_cuda") is None:
                item.add_marker(pytest.mark.skip(reason="numba-cuda is not installed: it comes with gpuclust[ptx]"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether a file is left out: where only emulated tests are asked for, all others, which take long to import."""
    if not SIMULATED or config.option.markexpr not in (EVERY, FEWER) or collection_path.suffix != ".py":
        return None
    wanted = any(map(collection_path.match, EMULATED_TESTS)) or "mark.emulated" in collection_path.read_text("utf-8")
    return None if wanted else True


def pytest_collection_finish() -> None:
    """Collect garbage seldom: Numba keeps most objects of a kernel, and collections are a fifth of compile time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=EMULATED)
def every_kernel_that_was_launched_is_in_the_catalogue() -> Iterator[None]:
    """By any test of this process: what is not listed there is not proven to compile."""
    yield
    launch = sys.modules.get("gpuclust.kernels.cuda.launch")
    if launch is None:
        return
    catalogue = import_module("gpuclust.kernels.cuda.catalogue")

    def of(kernel: Any) -> tuple[Any, ...]:
        bounds = (kernel.threads, kernel.resident, kernel.cooperative)
        return kernel.function.__module__, kernel.name, kernel.signature, bounds

    listed = {of(kernel) for kernel in catalogue.kernels().values()}
    ours = {of(kernel) for kernel in launch.launched.values() if kernel.function.__module__.startswith("gpuclust.")}
    assert ours <= listed, ours - listed


#: Kernels of the catalogue that the tests of all processes have launched.
LAUNCHED: set[str] = set()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Collect the kernels that were launched; after all emulated tests none of the catalogue may be missing.

    Without those of the sweep none of its functions, each of which is there for several types, metrics or linkages.
    """
    launch = sys.modules.get("gpuclust.kernels.cuda.launch")
    if launch is not None:
        kernels = launch.launched.values()
        LAUNCHED.update(f"{kernel.function.__module__.rsplit('.', 1)[1]}.{kernel.name}" for kernel in kernels)
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["launched"] = sorted(LAUNCHED)
        return
    selection = config.option.markexpr
    partial = config.option.keyword or selection not in (EVERY, FEWER) or any(".py" in part for part in config.args)
    if not EMULATED or partial or session.exitstatus != 0 or find_spec("numba_cuda") is None:
        return
    catalogue = import_module("gpuclust.kernels.cuda.catalogue")
    named = (lambda name: name) if selection == EVERY else (lambda name: catalogue.form(name).function)
    missing = sorted(set(map(named, catalogue.kernels())) - set(map(named, LAUNCHED)))
    if missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nKernels of the catalogue that no test has launched: {', '.join(missing)}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of pytest-xdist, when a worker process has ended."""
    LAUNCHED.update(getattr(node, "workeroutput", {}).get("launched", ()))


def on_cuda(function: Any) -> Any:
    """Mark a test that launches kernels."""
    for mark in ON_DEVICE:
        function = mark(function)
    return function


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fake machine with GPUs."""
    pytest.importorskip("numba_cuda")
    return import_module("fake_cuda").install(monkeypatch)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No emulation, and nothing remembered of the driver; afterwards too."""
    for name in ("NUMBA_ENABLE_CUDASIM", "GPUCLUST_CUDA_EMULATION"):
        monkeypatch.delenv(name, raising=False)
    devices._first_lack.cache_clear()
    yield monkeypatch
    devices._first_lack.cache_clear()


@pytest.fixture(autouse=True)
def no_plan_of_another_test() -> None:
    """Plans of small jobs are kept, but tests change the constants that they depend on."""
    small_plan.cache_clear()


@pytest.fixture(autouse=True)
def no_child_outlives_its_test() -> Iterator[None]:
    yield
    children.end_all()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    """A tab of headless Chromium, for tests that are skipped where there is none."""
    with browser() as opened:
        yield opened


@pytest.fixture
def page(tab: Browser) -> Browser:
    """The tab as a bright screen of 1280 x 900 pixels."""
    tab.size(1280, 900)
    tab.media()
    return tab
