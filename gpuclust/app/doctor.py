"""The doctor: what this machine has, and whether every backend that can be used here computes what it should.

Each primitive of a backend is held against the reference, on a few points; then whole linkages: on a card against the
CPU, on the CPU against the reference.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust import distance
from gpuclust.algorithms.boruvka import boruvka
from gpuclust.algorithms.candidates import reciprocal_pairs
from gpuclust.app.terminal import ProgressBar, console
from gpuclust.core import devices, methods, metrics
from gpuclust.core.backend import Backend, Generic, Searched, Stored, select
from gpuclust.core.clusters import Clusters
from gpuclust.core.device import Device
from gpuclust.core.jit import compiled, thread_count
from gpuclust.core.memory import available_memory, format_bytes
from gpuclust.core.version import __version__
from gpuclust.hierarchy.leaf_tree import LeafTree
from gpuclust.linkage import linkage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Arrays = tuple[Any, ...]

#: Real numbers may differ by rounding; where sums cancel, by so much of the largest.
RELATIVE, ABSOLUTE = 1e-11, 1e-12
#: Distributions whose version decides what works; the first that is installed of each row.
PACKAGES = {
    "numpy": ("numpy",),
    "numba": ("numba",),
    "llvmlite": ("llvmlite",),
    "numba-cuda": ("numba-cuda",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
}


@dataclass(frozen=True)
class Check:
    """One comparison: what was computed where, whether it was right, how long it took, and what was wrong."""

    backend: str
    name: str
    ok: bool
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Report:
    """Everything the doctor found."""

    facts: dict[str, Any]
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether all checks are right. A GPU that cannot be used is no failure."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> str:
        checks = [asdict(check) for check in self.checks]
        return json.dumps({**self.facts, "checks": checks, "ok": self.ok}, indent=2)


def run(as_json: bool = False, screen: Console | None = None) -> bool:
    """Examine this machine and print what was found; whether all is well."""
    screen = screen or console()
    with ProgressBar(quiet=as_json) as bar:
        report = examine(bar.phase)
    if as_json:
        print(report.to_json(), file=screen.file)
    else:
        show(report, screen)
    return report.ok


def examine(phase: Callable[[str], None] = lambda text: None) -> Report:
    """Facts and checks; ``phase`` is told what is under way."""
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
    """Versions, devices, what is missing for CUDA, threads, memory, and the folder of compiled kernels."""
    lacks = list(devices.lacks())
    driver, toolkit = devices.driver_version(), _toolkit()
    folder = _cache_folder()
    return {
        "gpuclust": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: devices.package_version(*also) for name, also in PACKAGES.items()},
        "threads": thread_count(),
        "available_memory": available_memory(),
        "cache": {"folder": folder, "writable": folder is not None and _writable(Path(folder))},
        "cuda": {
            "usable": not lacks,
            "missing": [lack._asdict() for lack in lacks],
            "emulated": devices.emulated(),
            "driver": driver and ".".join(map(str, driver)),
            "toolkit": toolkit and ".".join(map(str, toolkit)),
            "devices": [asdict(card) for card in devices.cards()],
        },
    }


def _toolkit() -> tuple[int, int] | None:
    return None if devices.package_version("numba-cuda") is None else devices.toolkit_version()


def _cache_folder() -> str | None:
    """Where compiled kernels are kept; None where nothing can, and all is compiled anew each time.

    That is so where nothing can be written, and where others could write too, which is warned of.
    """

    @compiled
    def probe() -> None:
        pass

    path = probe.stats.cache_path
    return None if path is None else str(path)


def _writable(folder: Path) -> bool:
    """Whether files can be made there, or the folder itself if it is not there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _check(backend: str, title: str, work: Callable[[], None]) -> Check:
    started, problem = time.perf_counter(), ""
    try:
        work()
    except AssertionError as error:
        problem = str(error)
    except Exception as error:  # whatever a broken installation comes up with
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return Check(backend, title, not problem, round(time.perf_counter() - started, 3), problem)


def same(ours: Arrays, expected: Arrays) -> None:
    """``AssertionError`` unless whole numbers are equal and real ones are but for rounding."""
    assert len(ours) == len(expected)
    for mine, other in zip(ours, expected, strict=True):
        mine, other = np.asarray(mine), np.asarray(other)
        assert mine.shape == other.shape, f"shape {mine.shape}, should be {other.shape}"
        if other.dtype.kind != "f":
            wrong = mine != other
        else:
            scale = np.abs(other).max(initial=0.0)
            wrong = ~(np.abs(mine - other) <= RELATIVE * np.abs(other) + ABSOLUTE * scale)
        assert not wrong.any(), f"{wrong.sum()} of {wrong.size} values are wrong"


# ------------------------------------------------------------------------------------------------------ primitives


class Sample:
    """The data of the checks: points in space, clusters of them, and a tree."""

    def __init__(self) -> None:
        self.n = 20 if devices.simulated() else 150
        random = np.random.default_rng(7)
        self.rows = random.normal(size=(self.n, 6))
        self.points = metrics.prepare(self.rows, "euclidean")
        self.squares = metrics.prepare(self.rows, "sqeuclidean")
        self.ones = np.ones(self.squares.n)
        self.condensed = distance.pdist(self.rows, device="reference")
        self.component = random.integers(0, 3, self.n)
        self.asked = np.arange(0, self.n, 3)

    @cached_property
    def clusters(self) -> Clusters:
        clusters = Clusters.of_points(self.n, np.dtype("float64"))
        for k in (self.n, self.n + self.n // 3):
            rows = np.arange(2 * (self.n // 6)) + k // 9
            clusters, _ = clusters.unite(rows[::2], rows[1::2], k, True)
        return clusters

    @cached_property
    def neighbours(self) -> np.ndarray:
        return select("reference").knn(self.points, 8)[0]

    @cached_property
    def tree(self) -> LeafTree:
        return LeafTree(linkage(self.rows, "average", device="reference"))


Primitive = Callable[[Backend, Sample], Arrays]


def _stored(matrix: Stored) -> Arrays:
    return matrix.nearest, matrix.distance


def _round(matrix: Stored, method: methods.Method) -> tuple[np.ndarray, np.ndarray]:
    """Unite all pairs of rows that are each other's nearest; sizes and ids of the new rows."""
    n = matrix.n
    first, second = reciprocal_pairs(matrix.nearest)
    stays = np.setdiff1d(np.arange(n), second)
    partner, ids, size = np.full(n, -1), np.arange(n), np.ones(n)
    partner[first] = second
    ids[first] = n + np.arange(first.size)
    new_size = size.copy()
    new_size[first] = 2
    matrix.merge(method, stays, partner[stays], matrix.distance[stays], size, new_size[stays], ids[stays])
    return new_size[stays], ids[stays]


def _merged(matrix: Stored, method: str) -> Arrays:
    _round(matrix, methods.METHODS[method])
    return _stored(matrix)


def _chained(matrix: Stored, method: str) -> Arrays:
    n = matrix.n
    size, ids = _round(matrix, methods.METHODS[method])
    born = n - matrix.n
    return matrix.chain(methods.METHODS[method], size, ids, ids[matrix.nearest], n + born, matrix.n - 1)[:2]


def _by_age(clusters: Searched) -> Arrays:
    """Ids and dissimilarities of nearest clusters; a backend may have its rows in another order."""
    order = np.argsort(clusters.ids)
    return clusters.ids[clusters.nearest[order]], clusters.distance[order]


def _spanning_tree(backend: Backend, sample: Sample) -> Arrays:
    """Edges of the minimum spanning tree of points, and their lengths."""
    merges = boruvka(backend, sample.points, lambda done: None)
    order = np.lexsort((*np.sort(merges.pairs).T[::-1], merges.heights))
    return np.sort(merges.pairs)[order], merges.heights[order]


def _greedy(engine: Generic, n: int) -> Arrays:
    """All merges, with a compaction after half of them."""
    half = n // 2
    early = engine.merge(n, half)[:2]
    engine.compact()
    late = engine.merge(n + half, n - 1 - half)[:2]
    return tuple(np.concatenate(parts) for parts in zip(early, late, strict=True))


_AVERAGE, _WARD = methods.METHODS["average"], methods.METHODS["ward"]

#: What is computed for each primitive: on a backend and on the reference.
PRIMITIVES: dict[str, Primitive] = {
    "condensed": lambda b, s: (distance.pdist(s.rows, device=b.name),),
    "pairwise": lambda b, s: (distance.cdist(s.rows, s.rows[::2], device=b.name),),
    "outgoing": lambda b, s: _spanning_tree(b, s),
    "knn": lambda b, s: b.knn(s.points, 8),
    "nearest_among": lambda b, s: b.nearest_among(s.points, _AVERAGE, s.clusters, s.neighbours, s.asked // 2),
    "search_clusters": lambda b, s: _by_age(b.search_clusters(s.points, _AVERAGE, s.clusters)),
    "search_clusters, bounded": lambda b, s: _by_age(b.search_clusters(s.points, _AVERAGE, s.clusters, bounded=True)),
    "store_points": lambda b, s: _stored(b.store_points(s.points)),
    "store_clusters": lambda b, s: _stored(b.store_clusters(s.points, _AVERAGE, s.clusters)),
    "store_condensed": lambda b, s: _stored(b.store_condensed(s.condensed, s.n, False)),
    "merge": lambda b, s: _merged(b.store_points(s.points), "average"),
    "chain": lambda b, s: _chained(b.store_points(s.points), "average"),
    "summarise": lambda b, s: _stored(b.summarise(s.squares, _WARD, s.ones)),
    "merge of summaries": lambda b, s: _merged(b.summarise(s.squares, _WARD, s.ones), "ward"),
    "chain of summaries": lambda b, s: _chained(b.summarise(s.squares, _WARD, s.ones), "ward"),
    "spanning_tree": lambda b, s: b.spanning_tree(s.condensed, s.n, lambda done: None),
    "generic_points": lambda b, s: _greedy(b.generic_points(s.squares, methods.METHODS["centroid"]), s.n),
    "generic_stored": lambda b, s: _greedy(
        b.generic_stored(b.store_condensed(s.condensed, s.n, True), methods.METHODS["median"]), s.n
    ),
    "correlate": lambda b, s: (b.correlate(s.points.at(s.tree.leaves), s.tree, 3.0, s.tree.mean),),
}


def _primitives(name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Title and comparison of every primitive of a backend."""
    sample = Sample()

    def compare(compute: Primitive) -> None:
        backend = select(name)
        with backend.active():
            ours = compute(backend, sample)
        same(ours, compute(select("reference"), sample))

    for title, compute in PRIMITIVES.items():
        yield title, lambda compute=compute: compare(compute)  # type: ignore[misc]


def _linkages(name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Title and comparison of every linkage."""
    emulated = devices.emulated()
    n = (12 if devices.simulated() else 80 if emulated else 3000) if Device(name).on_gpu else 80
    rows = np.random.default_rng(8).normal(size=(n, 5))

    def compare(method: str) -> None:
        expected = linkage(rows, method, device="cpu" if Device(name).on_gpu else "reference")
        Z = linkage(rows, method, device=name)
        same((Z[:, [0, 1, 3]].astype(int), Z[:, 2]), (expected[:, [0, 1, 3]].astype(int), expected[:, 2]))

    for method in methods.METHODS:
        yield f"{method} linkage", lambda method=method: compare(method)  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------- screen


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
