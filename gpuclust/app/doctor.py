"""``gpuclust doctor``: describe the machine, and check every backend that can be used on it.

Each primitive of a backend is compared with the reference on a few points, then each linkage: a GPU's with the CPU's,
and the CPU's with the reference.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.app.doctor_primitives import PRIMITIVES, Primitive, Sample, same
from gpuclust.app.terminal import ProgressBar, console
from gpuclust.core import devices, methods
from gpuclust.core.backend import select
from gpuclust.core.device import Device
from gpuclust.core.jit import cache_folder, thread_count
from gpuclust.core.memory import available_memory, format_bytes
from gpuclust.core.version import PACKAGES, __version__, package_version
from gpuclust.linkage import linkage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Check:
    """Result of one check: backend, name, whether it passed, seconds, and what was wrong."""

    backend: str
    name: str
    ok: bool
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Report:
    """Facts about the machine, and the results of all checks."""

    facts: dict[str, Any]
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether all checks passed. A GPU that cannot be used is no failure."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> str:
        checks = [asdict(check) for check in self.checks]
        return json.dumps({**self.facts, "checks": checks, "ok": self.ok}, indent=2)


def run(as_json: bool = False, screen: Console | None = None) -> bool:
    """Examine this machine, print the report, and return whether all checks passed."""
    screen = screen or console()
    with ProgressBar(quiet=as_json) as bar:
        report = examine(bar.phase)
    if as_json:
        print(report.to_json(), file=screen.file)
    else:
        show(report, screen)
    return report.ok


def examine(phase: Callable[[str], None] = lambda text: None) -> Report:
    """Collect facts and run all checks; ``phase`` is called with the name of each."""
    phase("looking at the machine")
    found = facts()
    names = ["cpu"]
    if found["cuda"]["usable"]:
        names += ["cuda" if card.index == 0 else f"cuda:{card.index}" for card in devices.cards()]
    checks = []
    for name in names:
        for title, work in (*_primitives(name), *_linkages(name)):
            phase(f"{name}: {title}")
            checks.append(_check(name, title, work))
    return Report(found, checks)


def facts() -> dict[str, Any]:
    """Return versions, devices, what CUDA lacks, threads, memory, and the folder of compiled kernels."""
    lacks = list(devices.lacks())
    driver, toolkit = devices.driver_version(), _toolkit()
    found_numba_cuda = package_version("numba-cuda") is not None
    folder = cache_folder()
    return {
        "gpuclust": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: package_version(*also) for name, also in PACKAGES.items()},
        "threads": thread_count(),
        "available_memory": available_memory(),
        "cache": {"folder": folder, "writable": folder is not None and _writable(Path(folder))},
        "cuda": {
            "usable": not lacks,
            "missing": [lack._asdict() for lack in lacks],
            "emulated": devices.emulated(),
            "driver": driver and ".".join(map(str, driver)),
            "toolkit": toolkit and ".".join(map(str, toolkit)),
            "libraries": devices.libraries() if found_numba_cuda else {},
            "devices": [asdict(card) for card in devices.cards()],
        },
    }


def _toolkit() -> tuple[int, int] | None:
    return None if package_version("numba-cuda") is None else devices.toolkit_version()


def _writable(folder: Path) -> bool:
    """Whether files can be created in the folder, or the folder itself can be created."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _check(backend: str, title: str, work: Callable[[], None]) -> Check:
    started, problem = time.perf_counter(), ""
    try:
        work()
    except AssertionError as error:
        problem = str(error)
    except Exception as error:  # a broken installation may raise anything
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return Check(backend, title, not problem, round(time.perf_counter() - started, 3), problem)


def _primitives(name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the title and the check of every primitive of a backend."""
    sample = Sample()

    def compare(compute: Primitive) -> None:
        backend = select(name)
        with backend.active():
            ours = compute(backend, sample)
        same(ours, compute(select("reference"), sample))

    for title, compute in PRIMITIVES.items():
        yield title, lambda compute=compute: compare(compute)  # type: ignore[misc]


def _linkages(name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the title and the check of every linkage."""
    emulated = devices.emulated()
    n = (12 if devices.simulated() else 80 if emulated else 3000) if Device(name).on_gpu else 80
    rows = np.random.default_rng(8).normal(size=(n, 5))

    def compare(method: str) -> None:
        expected = linkage(rows, method, device="cpu" if Device(name).on_gpu else "reference")
        Z = linkage(rows, method, device=name)
        same((Z[:, [0, 1, 3]].astype(int), Z[:, 2]), (expected[:, [0, 1, 3]].astype(int), expected[:, 2]))

    for method in methods.METHODS:
        yield f"{method} linkage", lambda method=method: compare(method)  # type: ignore[misc]


def show(report: Report, screen: Console) -> None:
    """Print a report."""
    screen.print(_facts_table(report.facts))
    screen.print(_checks_table(report, screen))
    wrong = [check for check in report.checks if not check.ok]
    for check in wrong:
        screen.print(f"[bold red]{check.name} on {check.backend}:[/] ", end="")
        screen.print(check.problem, markup=False)
    total = sum(check.seconds for check in report.checks)
    verdict = (
        f"{len(wrong)} of {len(report.checks)} checks failed" if wrong else f"{len(report.checks)} checks passed"
    )
    screen.print(f"[bold {'red' if wrong else 'green'}]{verdict}[/] in {total:.1f} s.")


def _facts_table(found: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    cuda, cache = found["cuda"], found["cache"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("gpuclust", f"{found['gpuclust']}, Python {found['python']}, {found['platform']}")
    table.add_row("packages", ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items()))
    table.add_row("CPU", f"{found['threads']} threads, {format_bytes(found['available_memory'])} available")
    kept = cache["folder"] or "none: no folder can be written by you alone, so every process compiles anew"
    table.add_row(
        "compile cache", escape(kept if cache["writable"] or not cache["folder"] else f"{kept} (read-only)")
    )
    toolkit = f"numba-cuda compiles for CUDA {cuda['toolkit'] or '?'}" if found["packages"]["numba-cuda"] else ""
    driver = f"driver for CUDA {cuda['driver']}" if cuda["driver"] else "no driver"
    table.add_row("CUDA", ", ".join(part for part in ("emulated" if cuda["emulated"] else driver, toolkit) if part))
    if cuda["libraries"]:
        table.add_row(
            "compiler",
            escape(", ".join(f"{name}: {path or 'not found'}" for name, path in cuda["libraries"].items())),
        )
    for card in cuda["devices"]:
        capability = ".".join(map(str, card["capability"]))
        size = f"{format_bytes(card['memory'])}, {card['multiprocessors']} multiprocessors"
        table.add_row(f"cuda:{card['index']}", escape(f"{card['name']}, compute capability {capability}, {size}"))
    for lack in cuda["missing"]:
        table.add_row("missing", escape(f"{lack['what']}{': ' + lack['how'] if lack['how'] else ''}"))
    return table


def _checks_table(report: Report, screen: Console) -> Table:
    from rich import box
    from rich.table import Table

    right, wrong = ("✓", "✗") if screen.encoding.lower().startswith("utf") else ("ok", "FAILED")
    backends = list(dict.fromkeys(check.backend for check in report.checks))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", no_wrap=True)
    for name in backends:
        table.add_column(name, no_wrap=True, justify="right")
    for title in dict.fromkeys(check.name for check in report.checks):
        cells = {check.backend: check for check in report.checks if check.name == title}
        table.add_row(
            title,
            *(
                f"{cells[name].seconds:.2f} s {f'[green]{right}[/]' if cells[name].ok else f'[bold red]{wrong}[/]'}"
                for name in backends
            ),
        )
    return table
