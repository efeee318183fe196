"""summary.csv and index.html of a batch."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gpuclust.app.batch.outcome import FAILED, NOT_RUN, Outcome
from gpuclust.app.data.output import atomic_write, staging
from gpuclust.app.data.ownership import OutputFolder
from gpuclust.app.options import recorded
from gpuclust.core.text import displayed, guarded
from gpuclust.core.version import __version__
from gpuclust.report.pages import render

#: Names of the files.
FILES = ("summary.csv", "index.html")
COLUMNS = (
    "name", "status", "data", "kind", "n", "features", "method", "metric", "cut", "clusters", "largest_cluster",
    "left_out", "suggested_clusters", "last_height", "cophenetic_correlation", "algorithm", "device", "dtype",
    "seconds", "peak_memory_bytes", "warnings", "error_kind", "error", "folder", "sha256",
)  # fmt: skip


def row_of(outcome: Outcome) -> dict[str, Any]:
    """Return a row of the summary; None for values that do not apply."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    name = displayed(outcome.name)
    row.update(name=name, status=outcome.status, data=displayed(outcome.data), folder=name)
    row.update(error_kind=outcome.kind, error=outcome.error)
    if not outcome.ok:
        return row
    record = outcome.record
    given, found, options = record["input"], record["result"], record["parameters"]
    sizes, cuts = found["cluster_sizes"], recorded(options).cuts
    row.update(
        kind=given["kind"],
        n=given["n"],
        features=given["shape"][1] if len(given["shape"]) == 2 else None,
        method=options["method"],
        metric=options["metric"] if given["kind"] != "condensed distances" else None,
        cut=", ".join(map(str, cuts.values())) or None,
        clusters=found["clusters"],
        largest_cluster=max(sizes) if sizes else None,
        left_out=found["left_out"],
        suggested_clusters=found["suggested_clusters"],
        last_height=found["last_heights"][-1],
        cophenetic_correlation=record.get("assessment", {}).get("cophenetic_correlation"),
        algorithm=record["algorithm"],
        device=record["device"],
        dtype=options["dtype"],
        seconds=record["seconds"]["total"],
        peak_memory_bytes=record["peak_memory_bytes"],
        warnings=displayed(" ".join([*record["warnings"], *record["kept"]])) or None,
        sha256=given["sha256"],
    )
    return row


def write_summary(results: OutputFolder, outcomes: Sequence[Outcome], seconds: float, **notes: Any) -> None:
    """Write both files, with the outcomes in the order given; ``notes`` go into the ledger.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    rows = [row_of(outcome) for outcome in outcomes]
    with staging(results.path) as staged:
        with atomic_write(staged / "summary.csv", "w") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows({column: guarded(cell) for column, cell in row.items()} for row in rows)
        with atomic_write(staged / "index.html", "w") as file:
            file.write(index_page(results.path, outcomes, rows, seconds))
        results.commit(staged, FILES, **notes)


def index_page(out: Path, outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]], seconds: float) -> str:
    """Return the page index.html: failures first, then the order given."""
    counts = Counter(outcome.status for outcome in outcomes)
    order = {FAILED: 0, NOT_RUN: 1}
    listed = sorted(zip(outcomes, rows, strict=True), key=lambda pair: order.get(pair[0].status, 2))
    lines = [{**row, "link": _link(outcome), "flagged": bool(row["warnings"])} for outcome, row in listed]
    return render(
        "index.html",
        title=displayed(out.resolve().name),
        lines=lines,
        counts=counts,
        total=len(outcomes),
        observations=sum(row["n"] or 0 for row in rows),
        methods=sorted({row["method"] for row in rows if row["method"]}),
        seconds=seconds,
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        processors=os.cpu_count(),
    )


def _link(outcome: Outcome) -> str:
    """Return the target of a data set's link: its report, or run.json or error.json."""
    if outcome.status == NOT_RUN:
        return ""
    page = (
        "error.json" if not outcome.ok else "report.html" if "report.html" in outcome.record["files"] else "run.json"
    )
    return f"{quote(os.fsencode(outcome.name))}/{page}"
