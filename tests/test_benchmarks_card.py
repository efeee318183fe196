"""``python -m benchmarks card``: a bounded run on a GPU, and the page that is made of its results."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import EMULATED

run, stages, report, costs, ceilings = (
    importlib.import_module(f"benchmarks.card.{name}") for name in ("run", "stages", "report", "costs", "ceilings")
)

FORKS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    time.sleep(600)
print("child", child, flush=True)
time.sleep(600)
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def outcomes(folder: Path) -> list[str]:
    return [row["outcome"] for row in report.rows(folder / report.RESULTS)]


def test_a_stage_that_fails_stops_nothing(tmp_path, monkeypatch, capfd):
    made = [
        run.Stage("first", 20, python("print('one'); raise SystemExit(3)")),
        run.Stage("absent", 20, ("no-such-program", "-x"), "no-such-program"),
        run.Stage("last", 20, python("import os; print('in', os.environ['GPUCLUST_CARD_OUT'])")),
    ]
    monkeypatch.setattr(run, "stages", lambda out: made)
    assert run.run(tmp_path, 100) == 2
    assert outcomes(tmp_path) == ["failed with 3", "there is no no-such-program", "ok"]
    assert (tmp_path / "first.txt").read_text() == "one\n"
    assert "last: ok" in (said := capfd.readouterr().out)
    assert f"in {tmp_path}" in said


def test_a_stage_is_stopped_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "GRACE", 0.5)
    row = run.run_stage(run.Stage("endless", 6, python(FORKS)), tmp_path, 100)
    assert row["outcome"] == "stopped at its limit"
    child = int((tmp_path / "endless.txt").read_text().split()[1])
    for _ in range(100):  # until it has been reaped
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("the child outlived its stage")


def test_results_of_two_runs_are_not_mixed(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "stages", lambda out: [run.Stage("once", 20, python("print('ran')"))])
    assert run.run(tmp_path, 100) == 0
    with pytest.raises(SystemExit, match="holds results of once: give another folder with --out"):
        run.run(tmp_path, 100)
    assert outcomes(tmp_path) == ["ok"]


def test_no_stage_begins_after_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "stages", lambda out: [run.Stage("late", 20, python("print('ran')"))])
    run.run(tmp_path, run.LEAST - 1)
    assert outcomes(tmp_path) == ["no time left"]
    assert not (tmp_path / "late.txt").exists()


def test_stages_are_commands_that_exist(tmp_path):
    for stage in run.stages(tmp_path):
        if "benchmarks.card.stages" in stage.command:
            assert stage.command[-1] in stages.STAGES
    tested = next(stage for stage in run.stages(tmp_path) if stage.name == "tests")
    assert all((run.ROOT / name).exists() for name in tested.command if name.startswith("tests/"))


def test_unknown_stages_and_folders_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run.main(["--only", "bench,nothing"])
    assert "unknown stage nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"holds no stages\.jsonl"):
        run.main(["--report", str(tmp_path)])


def row(seconds: float, peak: float, rounds: int, steps: float, **more) -> dict:
    told = {"method": "ward", "metric": "euclidean", "n": 20_000, "m": 32, "dtype": "float32", "first": seconds}
    return told | {"best": seconds, "peak": peak, "rounds": rounds, "steps": steps, "difference": 0.0} | more


def test_constants_of_the_model_are_fitted():
    rng = np.random.default_rng(0)
    rows = [
        row(peak / 0.3 + rounds * 2e-4 + steps * 5e-6, peak, rounds, steps)
        for peak, rounds, steps in zip(rng.random(9), [40] * 4 + [0] * 5, [0] * 4 + [20_000] * 5, strict=True)
    ]
    wrong = row(1e9, 1.0, 1, 1, right=False)
    found = costs.fit([*rows, wrong, {"method": "ward", "error": "no memory"}])
    assert found == pytest.approx({"REACHED": 0.3, "ROUND": 2e-4, "STEP": 5e-6}, rel=1e-6)
    assert costs.predicted(rows[0], found) == pytest.approx(rows[0]["best"])
    assert "| `ROUND` | 0.0003 | 0.0002 |" in costs.fitted(rows)
    assert costs.fit([row(1.0, 2.0, 0, 0)]) == {"REACHED": 2.0}  # no term for the others


def test_the_page_tells_what_there_is(tmp_path):
    def put(name: str, *rows: dict) -> None:
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"cut o')

    put("stages", {"stage": "bench", "outcome": "stopped at its limit", "seconds": 150.0})
    put("machine", {"python": "3.12.1", "devices": []})
    right = {"registers": 40, "local": 8, "shared": 0, "asked": 2, "blocks": 1.0, "ok": True, "seconds": 0.5}
    put("compile", {"kernel": "a", **right}, {"kernel": "b|c", "ok": False, "error": "E: x"})
    put("bench", row(1.5, 0.3, 40, 0, right=True), row(2.0, 0.4, 40, 0, right=False), {"method": "single"} | ERROR)
    page = report.write_report(tmp_path, tmp_path / "page.md").read_text()
    assert "no device. python 3.12.1." in page
    assert "| bench | stopped at its limit | 150 |" in page
    assert "1 of 2 compiled and loaded, 0.50 s each (median); 1 use local memory, 1 have fewer blocks" in page
    assert "| `b\\|c` | E: x |" in page
    assert "| ward | euclidean | 20,000 | 32 | float32 | 2 | 2 |  | 0 | NO |" in page
    assert "| single | euclidean | 9 | 2 | float64 |  |  |  |  |  | no memory |" in page
    assert "## Model" in page
    assert "## Rates" not in page


ERROR = {"metric": "euclidean", "n": 9, "m": 2, "dtype": "float64", "error": "no memory"}


def test_heights_that_a_device_is_compared_with_are_there():
    known = np.load(stages.EXPECTED)
    assert set(known) == {case.name for case in stages.CASES}
    for heights in known.values():
        assert heights.size == stages.RANKS
        assert (np.diff(heights) >= 0).all()
        assert heights[-1] > 0


@pytest.mark.skipif(not EMULATED, reason="needs emulated CUDA")
@pytest.mark.emulated
def test_bench_and_ceilings(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLUST_CARD_OUT", str(tmp_path))
    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
    monkeypatch.setattr(stages, "CASES", (stages.Case("average", "euclidean", 12, 3),))
    with pytest.raises(SystemExit) as ended:
        stages.bench()
    assert ended.value.code == 0
    found = list(report.rows(tmp_path / "bench.jsonl"))
    assert [each["dtype"] for each in found] == ["float32", "float64"]
    assert all(each["right"] and each["counts"]["launches"] > 0 and each["peak"] > 0 for each in found)
    monkeypatch.setattr(ceilings, "FEATURES", (2,))
    stages.ceilings()
    assert all(each["value"] > 0 for each in report.rows(tmp_path / "ceilings.jsonl"))


@pytest.mark.skipif(not EMULATED, reason="needs emulated CUDA")
@pytest.mark.emulated
def test_wrong_heights_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLUST_CARD_OUT", str(tmp_path))
    monkeypatch.setattr(stages, "CASES", (stages.Case("single", "euclidean", 12, 3),))
    compute = stages.compute

    def spoiled(X, *arguments, device, **named):
        found = compute(X, *arguments, device=device, **named)
        found.Z[-1, 2] *= 1.01 if device == "cuda" else 1
        return found

    monkeypatch.setattr(stages, "compute", spoiled)
    with pytest.raises(SystemExit, match="single-euclidean-12-3 float32, single-euclidean-12-3 float64"):
        stages.bench()
    assert [each["right"] for each in report.rows(tmp_path / "bench.jsonl")] == [False, False]
