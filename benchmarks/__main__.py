"""``python -m benchmarks quick|full|GROUP ...``: check results, time, and write benchmarks/results/GROUP.json."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import machine, scale
from benchmarks.cases import NO_PROGRAM, PRODUCT, Case
from benchmarks.gpu import gpu
from benchmarks.million import million
from benchmarks.startup import startup, warm
from benchmarks.worker import CASES
from gpuclust.core.progress import console as stdout
from gpuclust.plan import format_bytes

RESULTS = Path(__file__).parent / "results"
#: Groups that are no list of cases: they return rows of their own.
OTHERS: dict[str, Callable[[Console], list[dict[str, Any]]]] = {
    "startup": startup,
    "warm": warm,
    "million": million,
    "gpu": gpu,
}
QUICK = ("linkage", "wide", "given", "scale", "data", "sizes", "hierarchy", "distance", "small", "startup")
FULL = (*QUICK, "warm", "million")
#: Seconds of calls after which a program is not called again, and how many times that gpuclust gets: see worker.py.
BUDGET, OURS = {"quick": 1.0, "full": 20.0}, 3
#: Tolerances relative to the largest height of peers that compute in float32.
SINGLE_PRECISION = {"fast_hdbscan": 1e-6}
PACKAGES = {NO_PROGRAM: "numpy", PRODUCT: "numpy"}


class Failed(Exception):
    """A program failed, or its result is another one: nothing of the case is recorded."""


def measure(case: Case, peer: str, n: int, budget: float, folder: Path) -> dict[str, Any]:
    """Run a peer in a process of its own."""
    digest = folder / f"{peer}.npy"
    command = [
        sys.executable,
        "-m",
        "benchmarks.worker",
        case.name,
        peer,
        str(n),
        str(case.m),
        str(budget),
        str(digest),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{case.name}: {peer} failed\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"n": n, "digest": None if peer == PRODUCT else np.load(digest)}


def check(case: Case, results: dict[str, dict[str, Any]]) -> float:
    """Return the largest relative difference from SciPy's result, or the first; Failed if that is above rtol."""
    results = {peer: result for peer, result in results.items() if result["digest"] is not None}
    if case.tied:  # each was verified by itself
        return 0.0
    reference = "scipy" if "scipy" in results else next(iter(results))
    expected = results[reference]["digest"]
    worst = 0.0
    for peer, result in results.items():
        if peer == reference:
            continue
        loose = SINGLE_PRECISION.get(peer, 0.0)
        difference = np.abs(result["digest"] - expected)
        excess = np.maximum(difference - case.atol - loose * np.abs(expected).max(initial=0.0), 0.0)
        relative = float(np.max(excess / np.maximum(np.abs(expected), 1e-300), initial=0.0))
        if not relative <= case.rtol:
            raise Failed(f"{case.name}: {peer} differs from {reference} by {relative:.2e}, allowed {case.rtol:.0e}")
        worst = max(worst, relative)
    return worst


def installed(peer: str) -> bool:
    """Whether the package of a peer is there: that of "fastcluster.linkage_vector" is fastcluster."""
    package = PACKAGES.get(peer, peer).partition(",")[0].partition(".")[0]
    return importlib.util.find_spec(package) is not None


def rows_of(case: Case, n: int, peers: list[str], quick: bool, rates: dict[str, float]) -> list[dict[str, Any]]:
    """Check a case and measure it: a row for each peer."""
    sizes = {peer: min(n, case.few.get(peer, n)) if quick else n for peer in peers}
    found: dict[str, dict[str, Any]] = {}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in sorted({*sizes.values(), n}):  # smaller ones first: they check a result
            group = ["gpuclust", *(peer for peer in peers if sizes[peer] == size and peer != "gpuclust")]
            results = {}
            for peer in group:
                whole = sizes[peer] == size  # a smaller result of ours only checks others
                budget = BUDGET["quick" if quick else "full"] * (OURS if peer == "gpuclust" else 1) if whole else 0.0
                results[peer] = measure(case, peer, size, budget, Path(folder))
            worst = max(worst, check(case, results))
            found |= results
    bound = machine.bound(case.work(n, case.m), rates)
    rows = []
    for peer in peers:
        result = found[peer]
        growth = (n / result["n"]) ** 2
        seconds = [each * growth for each in result["seconds"]]
        row = {"case": case.name, "n": n, "m": case.m, "peer": peer, "seconds": median(seconds)}
        row |= {"least": min(seconds), "most": max(seconds), "repeats": len(seconds), "measured_n": result["n"]}
        row |= {"asked": case.asked.get(peer), "memory": result["memory"] if growth == 1 else None}
        row |= {"input": result["input"], "bound": bound or None, "searched": result["searched"], "difference": worst}
        rows.append(row)
    for row in rows:
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
    return rows


def shown(case: Case, rows: list[dict[str, Any]]) -> Table:
    """Table of a case."""
    ours = rows[0]
    lines = Table(
        "peer", "seconds", "from - to", "times gpuclust", "asked", "times the bound", "memory", title=ours["case"]
    )
    for row in rows:
        asked, bound = row["asked"], row["bound"]
        lines.add_row(
            row["peer"],
            f"{row['seconds']:.4g}" + ("" if row["measured_n"] == row["n"] else f" (from n={row['measured_n']:,})"),
            f"{row['least']:.3g} - {row['most']:.3g}" if row["repeats"] > 1 else "once",
            f"{row['ratio']:.2f}",
            "" if asked is None else f"{asked:.3g} {'met' if row['ratio'] >= asked else 'MISSED'}",
            "" if bound is None else f"{row['seconds'] / bound:.3g}",
            "" if row["memory"] is None else format_bytes(row["memory"]),
        )
    caption = f"n={ours['n']:,}, largest relative difference {ours['difference']:.1e}"
    if ours["searched"]:
        searched, candidates, differences, early, computed = ours["searched"]
        caption += f"; {candidates / searched:.1f} candidates and {computed / searched:.1f} computed a row; of "
        caption += f"{searched:,} rows {differences:,} by differences, {early:,} computed early"
    absent = [peer for peer in case.peers if not installed(peer)]
    lines.caption = caption + (f"; not installed: {', '.join(absent)}" if absent else "")
    return lines


@dataclass
class Run:
    """How cases are measured, and what has failed."""

    size: int | None
    peers: set[str] | None
    quick: bool
    rates: dict[str, float]
    console: Console
    failures: list[str] = field(default_factory=list)

    def rows(self, cases: Iterable[Case]) -> list[dict[str, Any]]:
        """Print a table for each case that succeeds, and return its rows."""
        rows = []
        for case in cases:
            names = [peer for peer in case.peers if self.takes(case, peer)]
            try:
                with self.console.status(f"{case.name}: {', '.join(names)}"):
                    found = rows_of(case, min(self.size or case.n, case.n), names, self.quick, self.rates)
            except Failed as error:
                self.failures.append(str(error))
                self.console.print(str(error), style="bold red", markup=False)
                continue
            self.console.print(shown(case, found))
            rows += found
        return rows

    def takes(self, case: Case, peer: str) -> bool:
        """Whether a peer of a case is installed, and asked for."""
        asked = not self.peers or peer in self.peers
        return asked and installed(peer) and not (self.quick and peer in case.slow)


def record(group: str, rows: list[dict[str, Any]], about_run: dict[str, Any], console: Console) -> None:
    """Write the results file of a group: cases that were not measured keep their rows, and the facts of their run.

    Rows of cases that there are no more, and of groups that are no list of cases, are not kept.
    """
    path, date = RESULTS / f"{group}.json", about_run["machine"]["date"]
    old: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}, "rows": []}
    order = {case: place for place, case in enumerate(CASES)}
    left = order.keys() - {row.get("case") for row in rows}
    every = [row for row in old["rows"] if row.get("case") in left] + [row | {"run": date} for row in rows]
    every.sort(key=lambda row: order.get(row.get("case"), len(order)))
    if group == "scale":
        every += scale.compare(every, console)
    used = {row["run"] for row in every}
    runs = {run: about for run, about in (old["runs"] | {date: about_run}).items() if run in used}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"runs": runs, "rows": every}, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Check, then time.")
    allowed = ("quick", "full", *dict.fromkeys((*FULL, *OTHERS)))
    parser.add_argument(
        "groups", nargs="*", help=f"{', '.join(allowed)}; card [-h]. quick is the default, of 10 minutes on 2 cores"
    )
    parser.add_argument("--n", type=int, help="observations at most, instead of each case's own")
    parser.add_argument("--peers", help="comma-separated; all that are installed by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every program")
    parser.add_argument("--only", metavar="TEXT", help="cases with this in their name")
    asked = parser.parse_args()
    unknown = set(asked.groups) - set(allowed)
    if unknown:
        parser.error(f"unknown group {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    return asked


def main() -> None:
    if sys.argv[1:2] == ["card"]:
        from benchmarks.card.run import main as card

        card(sys.argv[2:])
        return
    asked, started = parsed(), time.monotonic()
    os.environ["GPUCLUST_COMPILE"] = "always"  # what is measured is compiled code; see startup.py
    os.environ |= dict.fromkeys(machine.THREADS, str(asked.threads))
    console = stdout()
    about = machine.facts(asked.threads)
    console.print(about)
    named = [group for group in asked.groups if group not in ("quick", "full")]
    quick = "full" not in asked.groups
    peers = {"gpuclust", *asked.peers.split(",")} if asked.peers else None
    run = Run(asked.n, peers, quick, about["rates"], console)
    for group in named or (QUICK if quick else FULL):
        if group in OTHERS:
            rows = OTHERS[group](console)
        else:
            cases = (case for case in CASES.values() if case.group == group and (case.quick or not quick or named))
            rows = run.rows(case for case in cases if (asked.only or "") in case.name)
        if not rows:  # emulated, or none is meant: nothing was measured
            continue
        record(group, rows, {"mode": "quick" if quick else "full", "machine": about}, console)
    console.print(f"{time.monotonic() - started:.0f} s. Then: python -m benchmarks.tables")
    if run.failures:
        raise SystemExit(f"{len(run.failures)} cases failed and are left out:\n" + "\n".join(run.failures))


if __name__ == "__main__":
    main()
