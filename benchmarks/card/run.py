"""The stages of a run on a GPU, each in a process with a time limit."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.card.report import RESULTS, write_report

ROOT = Path(__file__).resolve().parents[2]
#: Seconds below which a stage is not begun, and seconds between a stage's end by SIGTERM and by SIGKILL.
LEAST, GRACE = 5.0, 3.0


class Stage(NamedTuple):
    """A step of the run: a command, its time limit in seconds, and the program it needs besides Python."""

    name: str
    most: float
    command: tuple[str, ...]
    program: str = ""


def _ours(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.card.stages", name)


def stages(out: Path) -> list[Stage]:
    """The stages, the most important first; what is left of the time is for the last."""
    small = _ours("small")
    tests = ("cuda_launch", "cuda_tile", "cuda_boxes", "cuda_linkage", "device", "backends")
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu")
    profile = ("--clock-control", "none", "--set", "basic", "--launch-skip", "2", "--launch-count", "40")
    sections = ("SpeedOfLight", "Occupancy", "MemoryWorkloadAnalysis")
    return [
        Stage("machine", 20, _ours("machine")),
        Stage("compile", 120, _ours("compile")),
        Stage("doctor", 60, (sys.executable, "-m", "gpuclust", "doctor", "--json")),
        Stage("memcheck", 30, ("compute-sanitizer", "--tool", "memcheck", *small), "compute-sanitizer"),
        Stage("racecheck", 30, ("compute-sanitizer", "--tool", "racecheck", *small), "compute-sanitizer"),
        Stage("ceilings", 40, _ours("ceilings")),
        Stage("bench", 150, _ours("bench")),
        Stage("tests", 120, (*pytest, *(f"tests/test_{name}.py" for name in tests))),
        Stage(
            "counters",
            90,
            (
                "ncu",
                *profile,
                *(word for section in sections for word in ("--section", section)),
                *("--csv", "--page", "raw", "--log-file", str(out / "counters.csv")),
                *_ours("kernels"),
            ),
            "ncu",
        ),
    ]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: asked first, then killed."""
    for sign, wait in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)


def run_stage(stage: Stage, out: Path, left: float) -> dict[str, object]:
    """Run a stage for at most ``left`` seconds; its output goes to ``out / NAME.txt`` as it is written."""
    said = {"stage": stage.name, "most": min(stage.most, left)}
    if left < LEAST:
        return {**said, "outcome": "no time left", "seconds": 0.0}
    if stage.program and shutil.which(stage.program) is None:
        return {**said, "outcome": f"there is no {stage.program}", "seconds": 0.0}
    environment = {
        **os.environ,
        "GPUCLUST_CARD_OUT": str(out),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    began, path = time.monotonic(), out / f"{stage.name}.txt"
    with path.open("wb") as log:
        process = subprocess.Popen(
            stage.command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )
        try:
            code = process.wait(min(stage.most, left))
            outcome = "ok" if code == 0 else f"failed with {code}"
        except subprocess.TimeoutExpired:
            outcome = "stopped at its limit"
        finally:
            _stop(process)
    lines = path.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return {**said, "outcome": outcome, "seconds": round(time.monotonic() - began, 2), "last": last[:200]}


def run(out: Path, seconds: float, only: Sequence[str] = ()) -> int:
    """Run the stages within ``seconds``, and return how many did not end well."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = [stage for stage in stages(out) if not only or stage.name in only]
    there = [stage.name for stage in chosen if (out / f"{stage.name}.txt").exists()]
    if there:  # rows of two runs would be mixed
        raise SystemExit(f"{out} holds results of {', '.join(there)}: give another folder with --out")
    deadline, failures = time.monotonic() + seconds, 0
    with (out / RESULTS).open("a", buffering=1) as results:
        for stage in chosen:
            row = run_stage(stage, out, deadline - time.monotonic())
            results.write(json.dumps(row) + "\n")
            print(f"{row['stage']}: {row['outcome']}, {row['seconds']} s: {row.get('last', '')}", flush=True)
            failures += row["outcome"] != "ok"
    return failures


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks card", description=__doc__)
    parser.add_argument("--seconds", type=float, default=540, help="for all stages together")
    parser.add_argument("--out", type=Path, default=Path("out/card"), help="folder of the results")
    parser.add_argument("--only", default="", help="stages, comma-separated; all by default")
    parser.add_argument("--report", type=Path, metavar="DIR", help="make docs/gpu-measured.md from these results")
    parser.add_argument("--expect", action="store_true", help="compute the heights that a GPU's are compared with")
    asked = parser.parse_args(arguments)
    if asked.report:
        print(f"Written: {write_report(asked.report, ROOT / 'docs' / 'gpu-measured.md')}")
        return
    if asked.expect:
        raise SystemExit(subprocess.call([*_ours("expect")], cwd=ROOT))
    only = [name for name in asked.only.split(",") if name]
    unknown = set(only) - {stage.name for stage in stages(asked.out)}
    if unknown:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; {', '.join(s.name for s in stages(asked.out))}")
    raise SystemExit(1 if run(asked.out.resolve(), asked.seconds, only) else 0)
