"""``python -m benchmarks [GROUP ...] [--n N] [--peers A,B] [--threads T]``: check, then time, and print ratios."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, Case
from benchmarks.gpu import gpu
from benchmarks.million import million
from benchmarks.scale import CASES as SCALE
from benchmarks.scale import compare
from benchmarks.startup import startup
from gpuclust.plan import format_bytes

RESULTS = Path(__file__).parent / "results"
GROUPS = ("small", "distance", "hierarchy", "linkage", "startup", "million", "scale")
#: Groups that run only on request: they need a CUDA device.
ON_REQUEST = ("gpu",)


def measure(case: Case, peer: str, n: int, folder: Path) -> dict[str, Any]:
    digest = folder / f"{peer}.npy"
    command = [sys.executable, "-m", "benchmarks.worker", case.name, peer, str(n), str(case.m), str(digest)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{case.name}: {peer} failed\n{done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1]), "digest": np.load(digest)}


def check(case: Case, results: dict[str, dict[str, Any]]) -> float:
    """Return the largest relative difference from SciPy's result; stop the run if it exceeds the tolerance."""
    reference = "scipy" if "scipy" in results else next(iter(results))
    expected = results[reference]["digest"]
    worst = 0.0
    for peer, result in results.items():
        if peer == reference:
            continue
        difference = np.abs(result["digest"] - expected)
        relative = float(np.max(difference / np.maximum(np.abs(expected), 1e-300), initial=0.0, where=difference > 0))
        worst = max(worst, relative)
        if not relative <= case.rtol:
            raise SystemExit(
                f"{case.name}: {peer} differs from {reference} by {relative:.2e}, allowed {case.rtol:.0e}"
            )
    return worst


def _package(peer: str) -> str:
    """ "fastcluster" of "fastcluster.linkage_vector"; "numpy" of "numpy, sum of squares"."""
    return peer.partition(",")[0].partition(".")[0]


def run(cases: list[Case], size: int | None, peers: set[str] | None, console: Console) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        n = size or case.n
        names = [p for p in case.peers if (not peers or p in peers) and importlib.util.find_spec(_package(p))]
        with tempfile.TemporaryDirectory() as folder, console.status(f"{case.name}: {', '.join(names)}"):
            results = {peer: measure(case, peer, n, Path(folder)) for peer in names}
        difference = check(case, results)
        ours = results["gpuclust"]
        table = Table(
            "peer", "seconds", "times gpuclust", "asked", "peak memory", "of it", title=f"{case.name}  n={n:,}"
        )
        for peer, result in results.items():
            asked = case.asked.get(peer)
            ratio = result["seconds"] / ours["seconds"]
            table.add_row(
                peer,
                f"{result['seconds']:.4g}",
                f"{ratio:.2f}",
                "" if asked is None else f"{asked:g} {'met' if ratio >= asked else 'MISSED'}",
                format_bytes(result["memory"]),
                f"{ours['memory'] / result['memory']:.2f}",
            )
            rows.append(
                {"case": case.name, "n": n, "m": case.m, "peer": peer, "seconds": result["seconds"], "ratio": ratio}
                | {"asked": asked, "memory": result["memory"], "difference": difference}
            )
        console.print(table)
        console.print(f"largest relative difference: {difference:.1e}\n")
    return rows


def _among(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Return the rows of a results file, with those of new measurements replaced."""
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    anew: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        anew.setdefault(row["case"], []).append(row)
    found: list[dict[str, Any]] = []
    for row in old:
        found += anew.pop(row["case"], []) if row["case"] in anew else []
        if not any(row["case"] == new["case"] for new in rows):
            found.append(row)
    return found + [row for new in anew.values() for row in new]


def main() -> None:
    if sys.argv[1:2] == ["card"]:
        from benchmarks.card.run import main as card

        card(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Check, then time.")
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)} (the default); gpu; card [-h]")
    parser.add_argument("--n", type=int, help="observations, instead of each case's own")
    parser.add_argument("--peers", help="comma-separated; all that are installed by default")
    parser.add_argument("--threads", type=int, help="threads gpuclust may use")
    parser.add_argument("--only", metavar="TEXT", help="cases with this in their name; the other results stay")
    asked = parser.parse_args()
    unknown = set(asked.groups) - {*GROUPS, *ON_REQUEST}
    if unknown:
        parser.error(f"unknown group {', '.join(unknown)}; allowed: {', '.join(GROUPS + ON_REQUEST)}")
    os.environ["GPUCLUST_COMPILE"] = "always"  # what is measured is compiled code; see startup.py
    if asked.threads:
        os.environ["GPUCLUST_NUM_THREADS"] = str(asked.threads)
    peers = {"gpuclust", *asked.peers.split(",")} if asked.peers else None
    console = Console()

    def chosen(cases: Iterable[Case]) -> list[Case]:
        return [case for case in cases if (asked.only or "") in case.name]

    for group in asked.groups or GROUPS:
        if group in ("startup", "million"):
            rows = {"startup": startup, "million": million}[group](console)
        elif group == "scale":
            rows = run(chosen(SCALE.values()), asked.n, peers, console)
        elif group == "gpu":
            rows = gpu(console, asked.n)
        else:
            rows = run(chosen(case for case in CASES.values() if case.group == group), asked.n, peers, console)
        if not rows:  # emulated, or none is meant: nothing was measured
            continue
        if asked.only:
            rows = _among(rows, RESULTS / f"{group}.json")
        if group == "scale":
            rows = [row for row in rows if "peer" in row]
            rows += compare(rows, console)
        RESULTS.mkdir(exist_ok=True)
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
        (RESULTS / f"{group}.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
