"""Small jobs before kernels are compiled: none is compiled, the bits are the same, compiling starts in time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    DTYPES,
    FEW_FORMS,
    METHODS,
    METRICS,
    float32_is_rare,
    one_of_each_form,
    points_for,
    rarely_float32,
)
from covering import covering

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import first_call, metrics
from gpuclust.core.backend import select
from gpuclust.distance import cdist, nearest_neighbors, pdist

COUNT = """
import json, sys
import numpy as np
import numba.core.event as event

compiled = []


class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__qualname__)

    def on_end(self, event):
        pass


event.register("numba:compile", Listener())
import gpuclust

X = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 4))
method, again = sys.argv[2:]
for _ in range(int(again)):
    Z = gpuclust.linkage(X, method, device="cpu")
gpuclust.fcluster(Z, 3, "maxclust")
print(json.dumps([compiled, Z[:, 2].sum().hex()]))
"""


def in_a_new_process(cache: Path, n: int, method: str, again: int = 1, **more: str) -> tuple[list[str], str]:
    """Names of the functions that are compiled by calls of linkage and fcluster, and the sum of heights."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "GPUCLUST_COMPILE": "auto", **more}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(n), method, str(again)],
        env=environment,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    compiled, total = json.loads(done.stdout)
    return compiled, total


@pytest.fixture
def uncompiled(monkeypatch):
    """As in a process that has done nothing yet, and finds nothing compiled."""
    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
    monkeypatch.setattr(first_call, "_compiled", set())
    monkeypatch.setattr(first_call, "_aside", {})
    monkeypatch.setattr(first_call, "_spent", 0.0)
    monkeypatch.setattr(first_call, "_folder", lambda: None)
    chosen = []
    select = first_call.select

    def selected(device):
        chosen.append(str(device))
        return select(device)

    monkeypatch.setattr(first_call, "select", selected)
    return chosen


@pytest.mark.parametrize("method", ["single", "average", "ward", "centroid"])
def test_nothing_is_compiled_for_a_small_job(tmp_path, method):
    compiled, _ = in_a_new_process(tmp_path, 700, method)
    assert compiled == []


def test_what_is_compiled_is_found_by_later_processes(tmp_path):
    first, total = in_a_new_process(tmp_path, 60, "single", GPUCLUST_COMPILE="always")
    assert first
    code = "import gpuclust.core.first_call as f; print(len(list(f._folder().glob('compiled-*'))))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
    assert in_a_new_process(tmp_path, 60, "single", again=2) == ([], total)


def data(kind: str, n: int, m: int = 3) -> np.ndarray:
    rng = np.random.default_rng(n)
    if kind == "lattice":
        return rng.integers(0, 4, (n, m)).astype(float)
    return rng.normal(size=(n, m)) * (1e-3 if kind == "small" else 1.0)


@pytest.mark.parametrize(
    ("method", "dtype", "n"),
    covering(METHODS, DTYPES, [2, 3, 150, 1100], rare=lambda *case: rarely_float32(*case[:2])),
)
def test_the_same_bits(method, n, dtype, uncompiled, monkeypatch):
    for kind in ("normal", "lattice"):
        X = data(kind, n)
        uncompiled.clear()
        before = compute(X, method, dtype=dtype, device="cpu")
        condensed = compute(pdist(X, device="cpu"), method, dtype=dtype, device="cpu")
        reproduced = before.plan.algorithm != "cluster tree" or method == "complete"
        assert set(uncompiled) == ({"reference"} if reproduced else {"reference", "cpu"})
        monkeypatch.setenv("GPUCLUST_COMPILE", "always")
        after = compute(X, method, dtype=dtype, device="cpu")
        np.testing.assert_array_equal(before.Z, after.Z)
        assert before.plan == after.plan
        after = compute(pdist(X, device="cpu"), method, dtype=dtype, device="cpu")
        np.testing.assert_array_equal(condensed.Z, after.Z)
        monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
        first_call._compiled.clear()


def rarely_compiled(metric: str, dtype: str) -> bool:
    return metric not in FEW_FORMS or float32_is_rare(dtype)


@pytest.mark.parametrize("metric", one_of_each_form(METRICS))
def test_the_same_distances(metric, uncompiled, monkeypatch):
    the_same_distances(metric, "float64", False, uncompiled, monkeypatch)


@pytest.mark.parametrize(("metric", "dtype"), covering(METRICS, DTYPES, rare=rarely_compiled))
def test_the_same_distances_and_neighbors(metric, dtype, uncompiled, monkeypatch):
    the_same_distances(metric, dtype, True, uncompiled, monkeypatch)


def the_same_distances(metric, dtype, neighbors, uncompiled, monkeypatch):
    X = points_for(metric, 60, 7)
    w = {} if metric in ("mahalanobis", "seuclidean", "jensenshannon") else {"w": np.linspace(0.5, 2, 7)}
    found = {}
    for mode in ("auto", "always"):
        monkeypatch.setenv("GPUCLUST_COMPILE", mode)
        found[mode] = [
            pdist(X, metric, dtype=dtype, device="cpu"),
            pdist(X, metric, dtype=dtype, device="cpu", **w),
            cdist(X, X[:9], metric, dtype=dtype, device="cpu"),
            *(nearest_neighbors(X, 5, metric, dtype=dtype, device="cpu") if neighbors else ()),
            gpuclust.linkage(X, "average", metric, dtype=dtype, device="cpu"),
        ]
    for ours, compiled in zip(found["auto"], found["always"], strict=True):
        np.testing.assert_array_equal(ours, compiled)
    assert ("reference" in uncompiled) == (not metrics.facts(metrics.resolve(metric, None).name).heavy)


def test_compiled_once_small_jobs_have_taken_long(uncompiled, monkeypatch):
    X = data("normal", 50)
    gpuclust.linkage(X, device="cpu")
    assert 0 < first_call._spent < first_call.BUDGET
    monkeypatch.setattr(first_call, "_spent", first_call.BUDGET + 1)
    gpuclust.linkage(X, device="cpu")
    gpuclust.linkage(X, device="cpu")
    assert uncompiled == ["reference", "cpu", "cpu"]


def test_large_jobs_and_little_memory_are_left_to_compiled_kernels(uncompiled):
    X = data("normal", 300)
    gpuclust.linkage(X, device="cpu", memory_limit="3MB")
    with first_call.compiling():
        gpuclust.linkage(X, device="cpu")
    gpuclust.linkage(data("normal", 300, 1500), device="cpu")
    assert uncompiled == ["cpu"] * 3


def test_unknown_mode(uncompiled, monkeypatch):
    monkeypatch.setenv("GPUCLUST_COMPILE", "never")
    with pytest.raises(ValueError, match='GPUCLUST_COMPILE must be "auto" or "always", got \'never\''):
        gpuclust.linkage(data("normal", 5, 77), device="cpu")


def test_warm(uncompiled):
    assert gpuclust.warm("single", device="cpu") > 0
    assert set(uncompiled) == {"cpu"}
    gpuclust.linkage(data("normal", 20, 8), "single", device="cpu")
    assert set(uncompiled) == {"cpu"}
    with pytest.raises(ValueError, match="Unknown"):
        gpuclust.warm("wart")


def test_compiling_is_said(caplog):
    from numba import njit

    from gpuclust.core import jit, progress

    jit._Notice.said = False
    said: list[bool] = []

    class Bar:
        def __call__(self, done: int, total: int) -> None: ...

        def compiling(self, now: bool) -> None:
            said.append(now)

    def function(x):
        return x + 1

    function.__module__ = "gpuclust.somewhere"
    with caplog.at_level(logging.INFO, logger="gpuclust"), progress.reporter(Bar(), 5):
        njit(function)(1)
    assert said == [True, False]
    assert caplog.messages == ["compiling kernels (once on this machine)"]


@pytest.mark.parametrize("kind", ["normal", "lattice", "far groups", "tiny"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_screening_gives_the_bits_of_the_reference(kind, dtype):
    backend = select("reference")
    X = data("lattice" if kind == "lattice" else "normal", 300)
    far = X + 1e7 * (np.arange(300) % 2)[:, None] if dtype == "float64" else X + 1e3 * (np.arange(300) % 2)[:, None]
    X = {"far groups": far, "tiny": X * 1e-160 if dtype == "float64" else X * 1e-18}.get(kind, X)
    before = compute(X, "ward", dtype=dtype, device="cpu", backend=backend).Z
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpuclust.kernels.reference.backend.FUSED", 1)
        np.testing.assert_array_equal(compute(X, "ward", dtype=dtype, device="cpu", backend=backend).Z, before)
        patch.setattr("gpuclust.algorithms.rounds.SHARE", 0)  # by chains only
        np.testing.assert_array_equal(compute(X, "ward", dtype=dtype, device="cpu", backend=backend).Z, before)


def test_large_jobs_of_ward_are_screened_until_they_have_taken_long(uncompiled, monkeypatch, tmp_path):
    """In all processes of the machine: their time is kept on disk, kind by kind."""
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")  # no other process compiles
    monkeypatch.setattr(first_call, "_folder", lambda: tmp_path)
    monkeypatch.setattr(first_call, "SMALL", 1000)
    X = data("normal", 1100)
    for _ in range(2):
        gpuclust.linkage(X, "ward", device="cpu")
    monkeypatch.setattr(first_call, "_spent", 0.0)  # as in another process
    monkeypatch.setattr(first_call, "BUDGET", 0.05)
    for _ in range(2):
        gpuclust.linkage(X, "ward", device="cpu")
    assert uncompiled == ["reference", "reference", "cpu", "cpu"]
    monkeypatch.setattr(first_call, "LARGE", 1000)
    gpuclust.linkage(data("normal", 1100, 2), "ward", device="cpu")
    assert uncompiled[4:] == ["cpu"]
