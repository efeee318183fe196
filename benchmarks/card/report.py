"""docs/gpu-measured.md, from the results of a run on a GPU."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.card.costs import fitted

#: What the stages did, a line each.
RESULTS = "stages.jsonl"

HEAD = """\
# Measured on a GPU

Written by `python -m benchmarks card --report DIR` from a run of `python -m benchmarks card`; not edited by hand.
"""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a results file; a last line that was cut off is left out."""
    if path.exists():
        for line in path.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                yield json.loads(line)


def table(heads: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return (
        "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
    )


def number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _machine(found: dict[str, Any]) -> str:
    devices = found.get("devices", [])
    said = [
        f"{d['name']} (compute capability {'.'.join(map(str, d['capability']))}, {d['memory'] / 2**30:.0f} GiB, "
        f"{d['multiprocessors']} multiprocessors)"
        for d in devices
    ]
    packages = ", ".join(f"{k} {v}" for k, v in found.items() if k not in ("devices", "machine"))
    return "## Machine\n\n" + "; ".join(said or ["no device"]) + f". {packages}.\n"


def _stages(found: list[dict[str, Any]]) -> str:
    body = [(r["stage"], r["outcome"], number(r["seconds"])) for r in found]
    return "## Stages\n\n" + table(("stage", "outcome", "seconds"), body)


def _compiled(found: list[dict[str, Any]]) -> str:
    right = [row for row in found if row["ok"]]
    text = f"## Kernels\n\n{len(right)} of {len(found)} compiled and loaded"
    if right:
        text += f", {median(row['seconds'] for row in right):.2f} s each (median)"
        spilled = [row["kernel"] for row in right if row["local"]]
        few = [row["kernel"] for row in right if row["blocks"] < row["asked"]]
        text += f"; {len(spilled)} use local memory, {len(few)} have fewer blocks on a multiprocessor than planned"
    text += ".\n"
    wrong = [(f"`{row['kernel']}`", row["error"]) for row in found if not row["ok"]]
    return text + ("\n" + table(("kernel", "error"), wrong) if wrong else "")


def _ceilings(found: list[dict[str, Any]]) -> str:
    return "## Rates at best\n\n" + table(("quantity", "value"), [(r["name"], number(r["value"])) for r in found])


def _linkages(found: list[dict[str, Any]]) -> str:
    heads = (
        "linkage",
        "metric",
        "n",
        "m",
        "dtype",
        "seconds",
        "first call",
        "modelled",
        "difference",
        "right",
        "said",
    )
    body = [
        (
            *(row["method"], row["metric"], f"{row['n']:,}", row["m"], row["dtype"]),
            *(number(row.get(name)) for name in ("best", "first", "modelled", "difference", "right")),
            row.get("error", row.get("algorithm", "")),
        )
        for row in found
    ]
    text = (
        "## Linkages\n\nHeights are compared at a thousand ranks with those of the CPU, relative to the largest.\n\n"
    )
    return text + table(heads, body)


def text_of(folder: Path) -> str:
    """The page, of whatever there is in ``folder``."""
    machine = next(rows(folder / "machine.jsonl"), {})
    parts = [HEAD, _machine(machine)]
    bench = list(rows(folder / "bench.jsonl"))
    advice = fitted(bench) if bench else ""
    makers = ((RESULTS, _stages), ("compile.jsonl", _compiled), ("ceilings.jsonl", _ceilings))
    parts += [made(found) for name, made in makers if (found := list(rows(folder / name)))]
    if bench:
        parts += [_linkages(bench), advice]
    return "\n".join(part for part in parts if part)


def write_report(folder: Path, path: Path) -> Path:
    """Write the page; SystemExit if there is nothing in ``folder``."""
    if not list(rows(folder / RESULTS)):
        raise SystemExit(
            f"{folder} holds no {RESULTS}: results are written by python -m benchmarks card --out {folder}"
        )
    path.write_text(text_of(folder))
    return path
