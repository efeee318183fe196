"""Tables of README.md and docs/performance.md from the results: ``python -m benchmarks.tables`` writes them again.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; `tests/test_docs.py` fails if it is not
what the results say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import NO_PROGRAM, PRODUCT
from benchmarks.pairs import OVERWRITE
from gpuclust.core.memory import format_bytes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
FILES = ("README.md", "docs/performance.md")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
#: Linkages in the order of the tables.
LINKAGES = ("average", "complete", "weighted", "ward", "centroid", "median", "single")
#: Names of programs in the tables, where they are others.
NAMES = {
    "gpuclust.stored": "gpuclust with a stored matrix",
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "fastcluster.linkage_vector": "its linkage_vector",
    OVERWRITE: "with overwrite",
}
#: Programs that compute spanning trees.
TREES = ("quitefastmst", "genieclust", "fast_hdbscan")


def results(group: str) -> dict[str, Any]:
    """What a results file holds; nothing if there is none."""
    path = RESULTS / f"{group}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}, "rows": []}
    return found


def rows(group: str) -> list[dict[str, Any]]:
    """Measurements of a group of benchmarks."""
    return list(results(group)["rows"])


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
    if value < 0.0995:  # which two digits would round to a tenth
        return f"{value * 1e3:.2g} ms"
    return f"{value:.{2 if value < 1 else 1 if value < 20 else 0}f} s"


def times(value: float) -> str:
    return f"{value:.1f}x" if value < 20 else f"{value:.0f}x"


def timed(row: dict[str, Any] | None) -> str:
    """Median seconds, half the range of the repeats, and the ratio to ours; ``~``: of fewer observations."""
    if row is None:
        return ""
    text = ("~" if row.get("measured_n", row["n"]) < row["n"] else "") + seconds(row["seconds"])
    if row.get("repeats", 1) > 1:
        text += f" ±{50 * (row['most'] - row['least']) / row['seconds']:.0f}%"
    return text if row["peer"] == "gpuclust" else f"{text} ({times(row['ratio'])})"


def row_points(method: str, peer: str) -> list[list[float]]:
    """For a curve: numbers of points, seconds, and how far those of the repeats go below and above."""
    found = [by[peer] for case, by in cases("sizes").items() if case.split()[0] == method]
    found.append(cases("linkage")[f"linkage {method}"][peer])
    ranges = [(row.get("least", row["seconds"]), row.get("most", row["seconds"])) for row in found]
    points = [
        (row["n"], row["seconds"], row["seconds"] - least, most - row["seconds"])
        for row, (least, most) in zip(found, ranges, strict=True)
    ]
    return [list(column) for column in zip(*sorted(points), strict=True)]


def sized(case: str) -> str:
    """Name of a case, with commas in its numbers."""
    return re.sub(r"\d{4,}", lambda match: f"{int(match[0]):,}", case)


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table without its empty columns."""
    if not lines:
        return "Not measured yet.\n"
    kept = [place for place in range(len(head)) if any(line[place] for line in lines)]
    shown = [[line[place] for place in kept] for line in [head, ["---"] * len(head), *lines]]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown) + "\n"


def bounds(row: dict[str, Any]) -> str:
    """Our seconds, as a multiple of what the machine needs for the work."""
    return f"{row['seconds'] / row['bound']:.1f}" if row.get("bound") else ""


def beside(group: str, *peers: str) -> list[list[str]]:
    """For each case of a group its name, our time, that of other programs, and the multiple of the bound."""
    lines = []
    for case, by in cases(group).items():
        ours = by["gpuclust"]
        name = sized(case) if re.search(r"\d{3,}", case) else f"{case}, n={ours['n']:,}"
        lines.append([name, timed(ours), *(timed(by.get(peer)) for peer in peers), bounds(ours)])
    return lines


def heads(*peers: str) -> list[str]:
    return ["", "gpuclust", *(NAMES.get(peer, peer) for peer in peers), "times the bound"]


def beside_peers(group: str, *peers: str) -> Callable[[], str]:
    return lambda: table(heads(*peers), beside(group, *peers))


def linkage() -> str:
    """All linkages beside SciPy, fastcluster and scikit-learn."""
    peers = ("scipy", "fastcluster", "fastcluster.linkage_vector", "sklearn")
    lines = []
    for name, line in zip(cases("linkage"), beside("linkage", *peers), strict=True):
        ours, other = (cases("linkage")[name].get(peer, {}).get("memory") for peer in ("gpuclust", "scipy"))
        lines.append([name.removeprefix("linkage "), *line[1:], f"{ours / other:.2g}" if ours and other else ""])
    lines.sort(key=lambda line: LINKAGES.index(line[0]))
    return table(["linkage", *heads(*peers)[1:], "memory, of SciPy's"], lines)


def scale() -> str:
    """Larger data, for which SciPy's memory does not suffice, and spanning trees of fewer points."""
    by = cases("linkage").get("linkage single", {})
    single = {peer: by[peer] for peer in ("gpuclust", *TREES) if peer in by}
    found = {f"single {single['gpuclust']['n']} x 16, gaussian": single} if len(single) > 1 else {}
    lines = []
    for case, by in {**found, **cases("scale")}.items():
        if case.rpartition(", ")[2] not in ("uniform", "gaussian"):
            continue
        others = "; ".join(
            f"{peer if '.l' in peer else NAMES.get(peer, peer)} {timed(row)}"
            for peer, row in by.items()
            if peer not in ("gpuclust", NO_PROGRAM)
        )
        ours = by["gpuclust"]
        lines.append([sized(case), timed(ours), format_bytes(ours["memory"]), others])
    return table(["", "gpuclust", "memory", "other programs"], lines)


def growth() -> str:
    """Ten times as many points, and points that are not uniform."""
    shown = [(row["case"], row["times"]) for row in rows("scale") if "times" in row]
    grown = [[case.replace(": beside a tenth of the points", ""), times(t)] for case, t in shown if "tenth" in case]
    lines = [[f"{sized(case)}, beside a tenth of its points", t] for case, t in grown]
    shapes = [(t, case) for case, t in shown if "tenth" not in case]
    if shapes:
        worst = max(shapes)
        case = sized(worst[1]).replace(": beside uniform points", "")
        lines.append([f"the slowest shape, {case}, beside uniform points", times(worst[0])])
    return table(["", "times as long"], lines)


def wide() -> str:
    """Many features and bits: candidates of the search, and memory."""
    peers = ("fastcluster", "fastcluster.linkage_vector")
    lines = []
    for line, by in zip(beside("wide", *peers), cases("wide").values(), strict=True):
        ours, product = by["gpuclust"], by.get(PRODUCT)
        searched = ours.get("searched")
        lines.append(
            [
                *line[:2],
                "" if product is None else f"{1 / product['ratio']:.1f}",
                *line[2:4],
                "" if not searched else f"{searched[1] / searched[0]:.1f}",
                format_bytes(ours["memory"]),
            ]
        )
    return table(["", "gpuclust", "products", *heads(*peers)[2:4], "candidates a row", "memory"], lines)


def given() -> str:
    """Condensed dissimilarities, with memory beside the input."""
    peers = (OVERWRITE, "fastcluster", "scipy")
    lines = []
    for line, by in zip(beside("given", *peers), cases("given").values(), strict=True):
        measured = (by.get(peer) for peer in ("gpuclust", OVERWRITE, "fastcluster"))
        memory = (f"{row['memory'] / row['input']:.2f}" if row else "" for row in measured)
        lines.append([line[0].removeprefix("given, "), *line[1:], *memory])
    return table([*heads(*peers), "memory / input", "with overwrite", "of fastcluster"], lines)


def startup() -> str:
    return table(["", "seconds"], [[row["case"], seconds(row["seconds"])] for row in rows("startup")])


def machine() -> str:
    """Where and when the results were measured; a line for each run, with the number of its cases if not all."""
    described: dict[str, list[str]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        found = results(path.stem)
        every = {row.get("case") for row in found["rows"]}
        for run, about in found["runs"].items():
            of_run = {row.get("case") for row in found["rows"] if row["run"] == run}
            part = "" if of_run == every else f" ({len(of_run)} of {len(every)} cases)"
            described.setdefault(_described(about["machine"], about["mode"]), []).append(path.stem + part)
    lines = [text if len(described) == 1 else f"{', '.join(groups)}: {text}" for text, groups in described.items()]
    return "\n\n".join(lines) + "\n"


def _described(about: dict[str, Any], mode: str) -> str:
    if "rates" not in about:
        return f"Python {about['python']}, {about['cores']} cores, {about['machine']}."
    versions = about["programs"]
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    absent = ", ".join(name for name, version in versions.items() if not version)
    rate = {name: f"{value / 1e9:.1f}" for name, value in about["rates"].items()}
    return (
        f"`python -m benchmarks {mode}` at {about['commit']}, {about['date'][:10]}: {about['cpu']}, "
        f"{about['threads']} threads on {about['cores']} cores, {about['memory'] / 1e9:.0f} GB, "
        f"load {about['load']:.1f} at the start. A copy moves {rate['bytes']} GB/s, products make "
        f"{rate['float32']} (float32) and {rate['float64']} (float64) GFLOP/s. Python {about['python']}, {there}."
        + (f" Not installed: {absent}." if absent else "")
    )


TABLES: dict[str, Callable[[], str]] = {
    "linkage": linkage,
    "scale": scale,
    "growth": growth,
    "hierarchy": beside_peers("hierarchy", "scipy"),
    "distance": beside_peers("distance", "scipy"),
    "small": beside_peers("small", "scipy"),
    "data": beside_peers("data", "fastcluster", "scipy"),
    "wide": wide,
    "given": given,
    "startup": startup,
    "machine": machine,
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
