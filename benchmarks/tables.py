"""Tables of README.md and docs/performance.md from the results: ``python -m benchmarks.tables`` writes them again.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; `tests/test_docs.py` fails if it is not
what the results say.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "docs/performance.md")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
#: Linkages in the order of the tables.
LINKAGES = ("average", "complete", "weighted", "ward", "centroid", "median", "single")
#: What is compared with, where that is no other program.
NO_PROGRAM = "numpy, sum of squares"
OTHER_NAMES = {"gpuclust.stored": "gpuclust with a stored matrix"}


def rows(group: str) -> list[dict[str, Any]]:
    """Measurements of a group of benchmarks."""
    found: list[dict[str, Any]] = json.loads((ROOT / f"benchmarks/results/{group}.json").read_text())["rows"]
    return found


def cases(group: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Measurements by case and program."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows(group):
        if "peer" in row:
            found.setdefault(row["case"], {})[row["peer"]] = row
    return found


def seconds(value: float) -> str:
    """Two digits; below a millisecond in microseconds, below a tenth in milliseconds."""
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 0.1:
        return f"{value * 1e3:.2g} ms"
    return f"{value:.{2 if value < 1 else 1 if value < 20 else 0}f} s"


def times(value: float) -> str:
    return f"{value:.1f}x" if value < 20 else f"{value:.0f}x"


def sized(case: str) -> str:
    """Name of a case, with commas in its numbers."""
    return re.sub(r"\d{5,}", lambda match: f"{int(match[0]):,}", case)


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines]) + "\n"


def linkage() -> str:
    """All linkages beside SciPy and fastcluster."""
    lines = []
    for name in LINKAGES:
        by = cases("linkage")[f"linkage {name}"]
        ours, others = by["gpuclust"], [by["scipy"], by["fastcluster"]]
        vector = by.get("fastcluster.linkage_vector")
        shown = [
            f"{seconds(other['seconds'])} ({times(other['ratio'])})"
            for other in [*others, *([vector] if vector else [])]
        ]
        memory = f"{ours['memory'] / by['scipy']['memory']:.2f}"
        lines.append([name, seconds(ours["seconds"]), *shown, *([] if vector else [""]), memory])
    return table(["linkage", "gpuclust", "SciPy", "fastcluster", "its linkage_vector", "memory, of SciPy's"], lines)


def scale() -> str:
    """Larger data, for which SciPy's memory does not suffice."""
    lines = []
    for case, by in cases("scale").items():
        if case.rpartition(", ")[2] not in ("uniform", "gaussian"):
            continue
        ours = by["gpuclust"]
        others = [row for peer, row in by.items() if peer not in ("gpuclust", NO_PROGRAM)]
        other = [
            f"{seconds(o['seconds'])}, {OTHER_NAMES.get(o['peer'], o['peer'])} ({times(o['ratio'])})" for o in others
        ]
        lines.append([sized(case), seconds(ours["seconds"]), f"{ours['memory'] / 1e9:.1f} GB", *(other or [""])])
    return table(["", "gpuclust", "memory", "other program"], lines)


def growth() -> str:
    """Ten times as many points, and points that are not uniform."""
    shown = [(row["case"], row["times"]) for row in rows("scale") if "times" in row]
    grown = [[case.replace(": beside a tenth of the points", ""), times(t)] for case, t in shown if "tenth" in case]
    worst = max((t, case) for case, t in shown if "tenth" not in case)
    lines = [[f"{sized(case)}, beside a tenth of its points", t] for case, t in grown]
    lines.append(
        [
            f"the slowest shape, {sized(worst[1]).replace(': beside uniform points', '')}, beside uniform points",
            times(worst[0]),
        ]
    )
    return table(["", "times as long"], lines)


def beside_scipy(group: str) -> str:
    """Every case of a group beside SciPy."""
    lines = []
    for case, by in cases(group).items():
        ours, other = by["gpuclust"], by["scipy"]
        size = "" if "n=" in case else f", n={ours['n']:,}"
        lines.append(
            [f"{case}{size}", seconds(ours["seconds"]), f"{seconds(other['seconds'])} ({times(other['ratio'])})"]
        )
    return table(["", "gpuclust", "SciPy"], lines)


def startup() -> str:
    return table(["", "seconds"], [[row["case"], seconds(row["seconds"])] for row in rows("startup")])


TABLES = {
    "linkage": linkage,
    "scale": scale,
    "growth": growth,
    "hierarchy": lambda: beside_scipy("hierarchy"),
    "distance": lambda: beside_scipy("distance"),
    "small": lambda: beside_scipy("small"),
    "startup": startup,
}


def renewed(text: str) -> str:
    """A text with its tables made again."""
    return BLOCK.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main() -> None:
    for name in FILES:
        path = ROOT / name
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
