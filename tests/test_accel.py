"""gpuclust.accel: results, errors and warnings are those of the originals, and when which of them runs."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import accel_cases
import numpy as np
import pytest
import scipy.cluster.hierarchy as hierarchy
import scipy.spatial.distance
import sklearn.cluster
from accel_cases import X, Y, outcome
from scipy.cluster.hierarchy import linkage as imported_before

import gpuclust.compute  # noqa: F401 - as an entry of sys.modules
from gpuclust import accel
from gpuclust.accel import ledger, patching, routing
from gpuclust.accel.ledger import Ledger

PARTIAL = functools.partial(imported_before, method="average")
CODE = imported_before.__code__


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(routing, "ledger", Ledger())
    yield
    accel.uninstall()


def outcomes() -> list[str]:
    return [f"{what}: {how}" for what, how in routing.ledger.entries]


def assert_same(name: str, ours: Any, theirs: Any) -> None:
    """Of the same types and shapes; floating-point numbers to SciPy's last digits, all else exactly."""
    assert type(ours) is type(theirs), name
    if isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15, err_msg=name)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), name
        for key in theirs:
            assert_same(f"{name}: {key}", ours[key], theirs[key])
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs), name
        for one, other in zip(ours, theirs, strict=True):
            assert_same(name, one, other)
    elif isinstance(theirs, np.floating):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, err_msg=name)
    else:
        assert ours == theirs, name


@pytest.mark.parametrize(
    "calls",
    [
        accel_cases.linkages,
        accel_cases.distances,
        accel_cases.trees,
        pytest.param(accel_cases.other_metrics, marks=pytest.mark.sweep),
    ],
)
def test_outcomes_are_those_of_the_originals(calls: Any) -> None:
    """Results, errors with their messages, warnings with the place that they name; good calls and bad ones."""
    expected = {name: outcome(call) for name, call in calls()}
    accel.install(always=True)
    found = {name: outcome(call) for name, call in calls()}
    for name, (result, warned) in expected.items():
        assert_same(name, found[name][0], result)
        assert found[name][1] == warned, name
    assert sum(how.startswith("cpu") for _, how in routing.ledger.entries) >= 2
    assert not [how for how in outcomes() if "AttributeError" in how or "NameError" in how]


def test_all_references_are_served() -> None:
    """Names imported before, partial functions, and those inside other packages."""
    accel.install(always=True)
    assert imported_before is hierarchy.linkage
    for call in (lambda: imported_before(Y), lambda: PARTIAL(Y), lambda: hierarchy.ward(Y)):
        routing.ledger.entries.clear()
        call()
        assert any(how.startswith("linkage: cpu") for how in outcomes())
    routing.ledger.entries.clear()
    for model in (sklearn.cluster.AgglomerativeClustering(3), sklearn.cluster.FeatureAgglomeration(2)):
        model.fit(X)
    assert all(how.startswith("linkage: cpu") for how in outcomes())
    assert sum(entry.calls for entry in routing.ledger.entries.values()) == 2


def test_functions_look_as_before_and_are_restored() -> None:
    looks = [inspect.signature(imported_before), imported_before.__doc__, inspect.getsource(imported_before)]
    accel.install()
    accel.install()  # changes nothing more
    assert imported_before.__code__ is not CODE
    assert [inspect.signature(imported_before), imported_before.__doc__, inspect.getsource(imported_before)] == looks
    assert pickle.loads(pickle.dumps(imported_before)) is imported_before
    accel.uninstall()
    assert imported_before.__code__ is CODE
    accel.uninstall()


def test_every_function_is_replaced() -> None:
    accel.install()
    assert set(patching._replaced) == {
        f"{module}.{name}" for module, names in patching.TARGETS.items() for name in names
    }


@pytest.mark.parametrize(("ties", "by"), [("original", "original (equal distances"), ("any", "cpu")])
def test_equal_distances(ties: str, by: str) -> None:
    expected = hierarchy.linkage(accel_cases.LATTICE, "average")
    accel.install(ties=ties, always=True)
    Z = hierarchy.linkage(accel_cases.LATTICE, "average")
    assert outcomes()[0].startswith(f"linkage: {by}")
    if ties == "original":
        np.testing.assert_array_equal(Z, expected)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="ties"):
        accel.install(ties="perhaps")
    with pytest.raises(TypeError, match="ties"):
        accel.install(ties=3)  # type: ignore[arg-type]
    assert not patching._replaced


@pytest.mark.parametrize("metric", ["dice", "rogerstanimoto", "russellrao", "sokalsneath", "yule"])
def test_numbers_for_a_metric_of_booleans(metric: str) -> None:
    """Whose formula may cancel to anything."""
    accel.install(always=True)
    scipy.spatial.distance.pdist(X, metric)
    assert outcomes() == ["pdist: original (numbers for a metric of booleans)"]


def test_small_input_is_left_to_the_original() -> None:
    accel.install()
    hierarchy.linkage(X)
    assert outcomes() == [
        "linkage: original (as fast, or faster, for this input)",
        "pdist: original (as fast, or faster, for this input)",
    ]


def test_compiling_waits_until_there_was_work_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpuclust.core.first_call import NotCompiled

    asked: list[bool] = []

    def compute(compile: bool) -> tuple[Any, str]:
        asked.append(compile)
        if not compile:
            raise NotCompiled
        return "found", "cpu"

    job = routing.Job("", 4.0, True, 10.0, ("a kind",), compute)
    monkeypatch.setattr("gpuclust.accel.routes.ROUTES", {"f": lambda: job})
    routing.ledger.missed["load"] = 100  # type: ignore[assignment]
    assert [routing.attempt("f") for _ in range(3)] == [None, None, ("found",)]
    assert asked == [False, False, False, True]


def test_gpuclust_is_loaded_when_there_was_work_for_it() -> None:
    counted = Ledger()
    assert [counted.worth("load", 0.3, 1.0) for _ in range(5)] == [False, False, False, True, True]
    assert counted.worth("load", 2.0, 1.0)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, ValueError])
def test_what_fails_is_left_to_the_original(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise error("no")

    expected = hierarchy.linkage(Y, "ward")
    monkeypatch.setattr(sys.modules["gpuclust.compute"], "compute", fail)
    accel.install(always=True)
    np.testing.assert_array_equal(hierarchy.linkage(Y, "ward"), expected)
    assert outcomes() == [f"linkage: original (gpuclust: {error.__name__})"]


def test_a_stop_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["gpuclust.compute"], "compute", stop)
    accel.install(always=True)
    with pytest.raises(KeyboardInterrupt):
        hierarchy.linkage(Y, "ward")
    assert not routing._inside.active


def test_verbose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "summarise_at_exit", lambda self: None)
    accel.install(verbose=True, always=True)
    for _ in range(5):
        hierarchy.linkage(X, "ward")
    hierarchy.fcluster(hierarchy.linkage(X, "ward", optimal_ordering=True), 3)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "linkage(70 x 4, ward, euclidean): cpu" in line]) == ledger.REPEATS
    assert "; the original: about " in lines[0]
    assert "(estimated)" in lines[0]
    assert any("linkage(): original (SciPy's order of leaves)" in line for line in lines)
    summary = routing.ledger.summary()
    assert "  linkage: 5 calls cpu" in summary
    assert "(estimated)" in summary
    assert "fcluster: 1 call cpu" in summary
    assert Ledger().summary() == "gpuclust.accel: no function that can be accelerated was called"


def test_threads() -> None:
    accel.install(always=True)
    expected = hierarchy.linkage(Y, "ward")
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(hierarchy.linkage(Y, "ward"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for Z in found:
        np.testing.assert_array_equal(Z, expected)


def test_notebooks() -> None:
    accel.load_ipython_extension(None)
    assert imported_before.__code__ is not CODE
    accel.unload_ipython_extension(None)
    assert imported_before.__code__ is CODE


def test_the_part_that_is_timed() -> None:
    from gpuclust.accel.routes import _first_observations

    np.testing.assert_array_equal(_first_observations(Y, 70, 9), accel_cases.distance.pdist(X[:9]))
