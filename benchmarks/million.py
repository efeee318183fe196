"""Functions of trees of a million observations (random, caterpillar, balanced): each takes less than two seconds.

Check, then time: results are compared with SciPy's where SciPy is installed, and the recursion limit must stay as it
is.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from treegen import balanced, caterpillar, random_linkage

from gpuclust import hierarchy

N, WARM_UP = 1_000_000, 2000
ALLOWED = 2.0
REPEATS = 3
#: A hundred numbers of clusters, up to the number of observations, for one call.
CUTS = np.unique(np.geomspace(2, N, 110).astype(np.int64))[-100:]
TREES: dict[str, Callable[[int], np.ndarray]] = {
    "random": lambda n: random_linkage(n, 0),
    "caterpillar": caterpillar,
    "balanced": balanced,
}

Call = Callable[[Any], Any]


def calls(Z: np.ndarray) -> dict[str, tuple[Call, Call | None]]:
    """Return the calls to time, and SciPy's equivalents where they exist."""
    height = float(np.median(Z[:, 2]))
    monocrit = hierarchy.maxdists(Z)
    cuts = np.minimum(CUTS, len(Z) + 1)

    def same(call: Call) -> tuple[Call, Call]:
        return call, call

    return {
        "fcluster distance": same(lambda h: h.fcluster(Z, height, "distance")),
        "fcluster maxclust": same(lambda h: h.fcluster(Z, 1000, "maxclust")),
        "fcluster inconsistent": same(lambda h: h.fcluster(Z, 1.0, "inconsistent")),
        "fcluster monocrit": same(lambda h: h.fcluster(Z, height, "monocrit", monocrit=monocrit)),
        "fcluster maxclust_monocrit": same(lambda h: h.fcluster(Z, 1000, "maxclust_monocrit", monocrit=monocrit)),
        "inconsistent d=2": same(lambda h: h.inconsistent(Z, 2)),
        "inconsistent d=5": same(lambda h: h.inconsistent(Z, 5)),
        "leaves_list": same(lambda h: h.leaves_list(Z)),
        "maxdists": same(lambda h: h.maxdists(Z)),
        "100 cuts by k": (
            lambda h: h.fcluster_many(Z, cuts, "maxclust")[::33],
            lambda h: np.array([h.fcluster(Z, k, "maxclust") for k in cuts[::33]]),
        ),
        "dendrogram lastp": same(lambda h: h.dendrogram(Z, 30, "lastp", no_plot=True)),
        "dendrogram level": same(lambda h: h.dendrogram(Z, 10, "level", no_plot=True)),
        "dendrogram lastp, drawn": (lambda h: _drawn(Z, p=30, truncate_mode="lastp", show_contracted=True), None),
    }


def million(console: Console) -> list[dict[str, Any]]:
    """Run the group ``million``: print a table for each tree, and return its rows."""
    peer = importlib.import_module("scipy.cluster.hierarchy") if importlib.util.find_spec("scipy") else None
    rows: list[dict[str, Any]] = []
    for tree, make in TREES.items():
        for call, _ in calls(make(WARM_UP)).values():
            call(hierarchy)
        table = Table("what", "seconds", "allowed", "SciPy's result", title=f"{tree} tree  n={N:,}")
        for what, (call, theirs) in calls(make(N)).items():
            limit = sys.getrecursionlimit()
            seconds, found = _time(call)
            if sys.getrecursionlimit() != limit:
                raise SystemExit(f"{what} on the {tree} tree changed the recursion limit")
            verdict = "not compared"
            if peer is not None and theirs is not None:
                _check(f"{what} on the {tree} tree", found, theirs(peer))
                verdict = "equal"
            table.add_row(what, f"{seconds:.3f}", f"{ALLOWED:g} {'met' if seconds <= ALLOWED else 'MISSED'}", verdict)
            rows.append({"case": f"{what}, {tree}", "n": N, "seconds": seconds, "allowed": ALLOWED})
        console.print(table)
    return rows


def _time(call: Call) -> tuple[float, Any]:
    """Return the median seconds of a few calls, and the result."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = call(hierarchy)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), found


def _check(what: str, found: Any, expected: Any) -> None:
    if isinstance(found, dict):
        same = found["ivl"] == expected["ivl"] and found["color_list"] == expected["color_list"]
        same &= all(np.allclose(found[key], expected[key], rtol=1e-12) for key in ("icoord", "dcoord"))
    else:
        same = found.shape == expected.shape and np.allclose(found, expected, rtol=1e-12, atol=1e-12)
    if not same:
        raise SystemExit(f"{what}: not SciPy's result")


def _drawn(Z: np.ndarray, **options: Any) -> None:
    """Draw a dendrogram of 800 x 600 pixels, without writing a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6))
    canvas = FigureCanvasAgg(figure)
    hierarchy.dendrogram(Z, ax=figure.add_subplot(), **options)
    canvas.draw()
