"""The benchmarks run, with little data: their checks pass, and what they use of the library is there."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import __main__ as program
from benchmarks import bits, cases, million, model, scale, startup, wide, worker

ROOT = Path(__file__).parents[1]
CASES = {**cases.CASES, **scale.CASES}


@pytest.mark.parametrize("name", CASES)
def test_every_case(name, tmp_path, monkeypatch, capsys):
    """Each peer that is installed, on few points; results agree."""
    case = CASES[name]
    results = {}
    for peer in case.peers:
        if importlib.util.find_spec(program._package(peer)):
            worker.main(name, peer, 60, min(case.m, 20), str(tmp_path / "digest.npy"))
            results[peer] = {**json.loads(capsys.readouterr().out), "digest": np.load(tmp_path / "digest.npy")}
            assert results[peer]["seconds"] > 0
    assert "gpuclust" in results
    program.check(case, results)


def test_a_wrong_result_stops_a_run():
    case = cases.CASES["linkage average"]
    results = {"scipy": {"digest": np.ones(3)}, "gpuclust": {"digest": np.array([1, 1, 1 + 1e-9])}}
    with pytest.raises(SystemExit, match=r"gpuclust differs from scipy by 1\.00e-09"):
        program.check(case, results)


def test_a_group_as_a_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "linkage", "--n", "50", "--only", "linkage ward", "--peers", "gpuclust,scipy"]
    )
    monkeypatch.chdir(ROOT)
    program.main()
    rows = json.loads((tmp_path / "linkage.json").read_text())["rows"]
    assert [(row["case"], row["n"], row["peer"]) for row in rows] == [
        ("linkage ward", 50, "gpuclust"),
        ("linkage ward", 50, "scipy"),
    ]
    assert "linkage ward" in capsys.readouterr().out


def test_functions_of_trees(monkeypatch):
    monkeypatch.setattr(million, "N", 3000)
    monkeypatch.setattr(million, "WARM_UP", 300)
    rows = million.million(Console(quiet=True))
    assert {row["n"] for row in rows} == {3000}


def test_bits_and_many_features(monkeypatch):
    monkeypatch.setattr(wide, "KINDS", ("near-copies",))
    console = Console(quiet=True)
    bits.bits(console, 300, 128, 100)
    wide.wide(console, 2200, 128)  # more than are stored in a square array


def test_programs_of_the_startup_benchmark():
    for code in (startup.IMPORT, startup.ONE_FUNCTION, startup.WARM, startup.CALL.format(method="ward", n=20)):
        compile(code, "startup", "exec")
    assert float(startup.output(startup.CALL.format(method="centroid", n=20), None)) > 0


@pytest.mark.parametrize(("n", "m", "method"), [(2100, 8, "ward"), (2100, 8, "complete"), (2100, 8, "single")])
def test_the_model_of_a_gpu(n, m, method):
    """More work than a lower bound, and less time with more bandwidth."""
    for double in (False, True):
        calls = model.calls_of(n, m, method, double)
        costs = {card.name: model.cost(calls, card, double) for card in model.CARDS}
        assert all(cost.bytes > n * n / 8 for cost in costs.values())
        assert costs["H200"].seconds <= costs["H100"].seconds
        assert costs["RTX 4090"].seconds <= costs["RTX 3080"].seconds


def test_the_page_of_the_model_has_all_cards():
    page = (ROOT / "docs" / "gpu-model.md").read_text()
    assert all(f"| {card.name} " in page for card in model.CARDS)
