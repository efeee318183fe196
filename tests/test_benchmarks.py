"""The benchmarks run, with little data: their checks pass, and what they use of the library is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from covering import covering
from rich.console import Console

from benchmarks import __main__ as program
from benchmarks import cases, machine, million, model, startup, tables, worker
from gpuclust.core import first_call

ROOT = Path(__file__).parents[1]


#: Peers that compile themselves for half a minute.
SLOW = ("fast_hdbscan",)


@pytest.fixture(scope="module", params=["most", pytest.param("every", marks=pytest.mark.sweep)])
def run(request, tmp_path_factory):
    """Results of all cases with few points, measured in this process; the groups that are no lists are left out.

    Without the compiled kernels of most jobs, which have the same bits: tests of linkages and distances compile them.
    """
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp(request.param)

    def measured(case, peer, n, budget, place):
        found = worker.measured(case.name, peer, n, min(case.m, 100), 0.0)
        return found | {"n": n}

    patch.setattr(program, "RESULTS", folder)
    patch.setattr(program, "measure", measured)
    patch.setattr(worker, "LEAST", 1)
    patch.setattr(machine, "apart", machine.rates)
    patch.setattr(machine, "COPIED", 2**16)
    patch.setattr(machine, "SIDE", 16)
    patch.setattr(program, "OTHERS", {})
    if request.param == "most":
        installed = program.installed
        patch.setattr(program, "installed", lambda peer: peer not in SLOW and installed(peer))
    groups = dict.fromkeys(case.group for case in worker.CASES.values())
    patch.setattr("sys.argv", ["benchmarks", "full", *groups, "--n", "60", "--threads", "2"])
    patch.setattr(first_call, "_wanted", lambda: False)
    for name in ("BUDGET", "ASIDE"):
        patch.setattr(first_call, name, np.inf)
    for name in ("GPUCLUST_COMPILE", *machine.THREADS):  # main sets them
        patch.setenv(name, "always" if name == "GPUCLUST_COMPILE" else "2")
    patch.chdir(ROOT)
    program.main()
    patch.undo()
    return folder


def test_every_case_of_every_peer_that_is_installed(run):
    """Results agree, or main would have ended; a row holds the median and the range, and the bound."""
    rows = [row for path in run.glob("*.json") for row in json.loads(path.read_text())["rows"] if "peer" in row]
    left_out = SLOW if run.name.startswith("most") else ()
    peers = {(case.name, peer) for case in worker.CASES.values() for peer in case.peers if peer not in left_out}
    expected = {(name, peer) for name, peer in peers if program.installed(peer)}
    assert {(row["case"], row["peer"]) for row in rows} == expected
    for row in rows:
        assert 0 < row["least"] <= row["seconds"] <= row["most"]
        assert row["memory"] >= 0


def test_results_say_where_they_were_measured(run):
    (about_run,) = json.loads((run / "linkage.json").read_text())["runs"].values()
    about = about_run["machine"]
    assert about["threads"] == 2
    assert about["programs"]["scipy"]
    assert all(rate > 0 for rate in about["rates"].values())
    assert machine.bound({"bytes": 2.0, "float32": 6.0}, {"bytes": 1.0, "float32": 2.0}) == 3.0


def test_tables_are_made_of_any_results(run, monkeypatch):
    """Those of the documentation are compared with the recorded results in test_docs.py."""
    monkeypatch.setattr(tables, "RESULTS", run)
    for name in tables.FILES:
        text = tables.renewed((ROOT / name).read_text(encoding="utf-8"))
        assert "linkage | gpuclust" in text
    assert "products" in tables.wide()
    assert tables.row_points("ward", "scipy")[0] == [60, 60, 60]  # two of the group sizes, and one of linkage
    assert tables.machine().startswith("`python -m benchmarks full` at ")


def test_a_wrong_result_is_not_recorded(monkeypatch):
    case = cases.CASES["linkage average"]
    results = {"scipy": {"digest": np.ones(3)}, "gpuclust": {"digest": np.array([1, 1, 1 + 1e-9])}}
    with pytest.raises(program.Failed, match=r"gpuclust differs from scipy by 1\.00e-09"):
        program.check(case, results)
    monkeypatch.setattr(program, "measure", lambda case, peer, n, *_: {"n": n, **results[peer]})
    run = program.Run(50, {"gpuclust", "scipy"}, True, {}, Console(quiet=True))
    assert run.rows([case]) == []
    assert len(run.failures) == 1


def test_peers_that_are_measured_with_fewer_points(monkeypatch):
    """Their seconds grow with the number of pairs, and they are checked with a result of ours of that size."""
    case = worker.CASES["ward euclidean 10000 x 768, spheres"]
    asked = []

    def measured(case, peer, n, budget, place):
        asked.append((peer, n))
        digest = None if peer == cases.PRODUCT else np.ones(n)
        return {"n": n, "seconds": [1.0, 2.0], "memory": 5, "input": 1, "searched": None, "digest": digest}

    monkeypatch.setattr(program, "measure", measured)
    rows = program.rows_of(case, 4000, list(case.peers), True, {"bytes": 1e9, "float32": 1e9})
    assert asked[:2] == [("gpuclust", 2000), ("fastcluster.linkage_vector", 2000)]
    assert set(asked[2:]) == {("gpuclust", 4000), (cases.PRODUCT, 4000)}
    assert [row["seconds"] for row in rows] == [1.5, 6.0, 1.5]
    assert tables.timed(rows[1]) == "~6.0 s ±33% (4.0x)"
    assert rows[0]["bound"] == pytest.approx(4000 * 4000 * 768 / 1e9)


def test_a_process_for_each_peer(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    facts = {"date": "2026-01-02T03:04:05+00:00", "rates": {"bytes": 1e9, "float64": 1e9}}
    monkeypatch.setattr(machine, "facts", lambda threads: facts)
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "linkage", "--n", "50", "--only", "linkage ward", "--peers", "gpuclust,scipy"]
    )
    monkeypatch.chdir(ROOT)
    for name in ("GPUCLUST_COMPILE", *machine.THREADS):
        monkeypatch.setenv(name, "always" if name == "GPUCLUST_COMPILE" else "2")
    program.main()
    rows = json.loads((tmp_path / "linkage.json").read_text())["rows"]
    assert [(row["case"], row["n"], row["peer"]) for row in rows] == [
        ("linkage ward", 50, "gpuclust"),
        ("linkage ward", 50, "scipy"),
    ]
    assert "linkage ward" in capsys.readouterr().out


def test_cases_that_are_not_measured_keep_their_rows_and_the_facts_of_their_run(tmp_path, monkeypatch):
    """A quick run has fewer cases than a full one; times of two runs are not compared."""
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    tenth, million = "single 100000 x 2, uniform", "single 1000000 x 2, uniform"
    quiet = Console(quiet=True)

    def run(date: str, *measured: str) -> dict[str, set[str]]:
        rows = [{"case": case, "peer": "gpuclust", "seconds": 1.0} for case in measured]
        program.record("scale", rows, {"mode": "quick", "machine": {"date": date}}, quiet)
        found = json.loads((tmp_path / "scale.json").read_text())
        return {date: {row["case"] for row in found["rows"] if row["run"] == date} for date in found["runs"]}

    grown = f"{million}: beside a tenth of the points"
    assert run("monday", million, tenth) == {"monday": {million, tenth, grown}}
    assert run("tuesday", million) == {"monday": {tenth}, "tuesday": {million}}
    assert run("wednesday", tenth, million) == {"wednesday": {million, tenth, grown}}
    assert run("thursday", "a case that is removed later")["thursday"] == {"a case that is removed later"}
    assert run("friday", tenth) == {"wednesday": {million}, "friday": {tenth}}


def test_functions_of_trees(monkeypatch):
    monkeypatch.setattr(million, "N", 3000)
    monkeypatch.setattr(million, "WARM_UP", 300)
    rows = million.million(Console(quiet=True))
    assert {row["n"] for row in rows} == {3000}


def rarely_modelled(method: str, double: bool) -> bool:
    """Kernels of float32 are compiled; other tests have those of single linkage."""
    return not double and method != "single"


def test_programs_of_the_startup_benchmark():
    for code in (startup.IMPORT, startup.ONE_FUNCTION, startup.WARM, startup.CALL.format(method="ward", n=20)):
        compile(code, "startup", "exec")
    assert float(startup.output(startup.CALL.format(method="centroid", n=20), None)) > 0


@pytest.mark.parametrize(
    ("method", "double"), covering(["ward", "complete", "single"], [True, False], together=1, rare=rarely_modelled)
)
def test_the_model_of_a_gpu(method, double):
    """More work than a lower bound, and less time with more bandwidth."""
    n, m = 2100, 8
    calls = model.calls_of(n, m, method, double)
    costs = {card.name: model.cost(calls, card, double) for card in model.CARDS}
    assert all(cost.bytes > n * n / 8 for cost in costs.values())
    assert costs["H200"].seconds <= costs["H100"].seconds
    assert costs["RTX 4090"].seconds <= costs["RTX 3080"].seconds


def test_the_page_of_the_model_has_all_cards():
    page = (ROOT / "docs" / "gpu-model.md").read_text()
    assert all(f"| {card.name} " in page for card in model.CARDS)
