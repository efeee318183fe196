"""Benchmarks of 100,000 points and more, against programs that store no matrix either.

Afterwards a table shows the growth of seconds with n, and their dependence on the distribution of points: both follow
from the name of a case, as in "single 1000000 x 2, uniform".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cases import NO_PROGRAM, Call, Case, fast_hdbscan, genieclust, heights, linkage, one_pass
from benchmarks.data import cauchy, clustered, collinear, duplicated, equal, gaussian, geographic, grid, heap, uniform

#: Largest ratio of times for ten times as many points, and of any distribution of points to the uniform one.
GROWTH, CLIFF = 14.0, 5.0


KINDS: dict[str, Callable[[int, int], np.ndarray]] = {
    make.__name__: make for make in (uniform, clustered, duplicated, heap, collinear, cauchy, geographic, equal, grid)
}

#: Those of `quick`.
SHAPES = (uniform, clustered, cauchy, geographic)
#: Distributions without equal distances, except those of equal points.
UNTIED = (uniform, clustered, duplicated, heap, collinear, cauchy)


#: The most features of which fast_hdbscan computes the spanning tree exactly.
EXACT = 16
#: Programs that take n² time or memory, by the number of points that `quick` gives them.
FEW = {"fastcluster.linkage_vector": 20_000}


def _stored(method: str) -> Call:
    from gpuclust import linkage

    return lambda X: linkage(X, method, algorithm="stored")


def _quitefastmst_of_distinct() -> Call:
    """Equal points would make the program take n² time."""
    import quitefastmst

    def edges(X: np.ndarray) -> np.ndarray:
        distinct = np.unique(X, axis=0)
        found = quitefastmst.mst_euclid(distinct)[0] if len(distinct) > 1 else np.empty(0)
        return np.tile(np.concatenate((np.zeros(len(X) - len(distinct)), found))[:, None], 3)

    return edges


def single(make: Callable[[int, int], np.ndarray], n: int, m: int, asked: float | None = None) -> Case:
    """Return a case of single linkage against spanning trees; ``asked`` is the ratio to quitefastmst's time."""
    peers = {name: linkage(name, "single") for name in ("gpuclust", "quitefastmst")}
    if make in (duplicated, heap, equal, grid):
        peers["quitefastmst"] = _quitefastmst_of_distinct
    elif make is gaussian and n < 1_000_000:
        peers |= {"genieclust": genieclust} | ({"fast_hdbscan": fast_hdbscan} if m <= EXACT else {})
    wanted = {} if asked is None else {"quitefastmst": asked}
    return _case("single", make, n, m, peers, asked=wanted, quick=m == 2 and make in (gaussian, uniform))


def stored(method: str, make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case that compares heights with those of gpuclust's own algorithm with a stored matrix.

    For points with no ties but those at zero: with others the heights are not unique.
    """
    peers = {"gpuclust": linkage("gpuclust", method), "gpuclust.stored": lambda: _stored(method)}
    return _case(method, make, n, m, peers, quick=make is uniform and method == "complete", rtol=1e-12)


def _sum_of_squares() -> Call:
    """Not a program to be compared with: half the squares of the heights add up to this, whatever merges when."""
    return lambda X: np.full((1, 3), np.sqrt(2 * np.square(X - X.mean(axis=0)).sum()))


def ward(make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case of Ward's linkage; heights are compared with fastcluster's where that takes minutes at most."""
    if n > 100_000 or make not in (uniform, gaussian):
        peers = {"gpuclust": linkage("gpuclust", "ward"), NO_PROGRAM: _sum_of_squares}
        return _case(
            "ward", make, n, m, peers, digest=lambda Z: np.square(Z[:, 2]).sum(keepdims=True), quick=make in SHAPES
        )
    return beside_linkage_vector("ward", make, n, m)


def beside_linkage_vector(method: str, make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case whose heights are compared with fastcluster's."""
    peers = {name: linkage(name, method) for name in ("gpuclust", "fastcluster.linkage_vector")}
    return _case(method, make, n, m, peers, few=FEW, quick=n > 30_000 and method == "ward")


def _case(method: str, make: Callable[[int, int], np.ndarray], n: int, m: int, peers: Any, **given: Any) -> Case:
    name = f"{method} {n} x {m}, {make.__name__}"
    settings: dict[str, Any] = {"digest": heights, "rtol": 1e-9, "work": one_pass} | given
    return Case(name, "scale", make, peers, n=n, m=m, **settings)


CASES = {
    case.name: case
    for case in (
        single(gaussian, 1_000_000, 2, asked=1 / 1.3),
        single(gaussian, 100_000, 10, asked=1.0),
        single(gaussian, 20_000, 64, asked=8.0),
        *(single(make, n, 2) for n in (100_000, 1_000_000) for make in KINDS.values()),
        *(stored("complete", make, 100_000, 2) for make in UNTIED),
        *(stored("average", make, 30_000, 2) for make in UNTIED),
        *(ward(make, 100_000, 2) for make in KINDS.values() if make is not equal),
        *(beside_linkage_vector("centroid", make, 30_000, 2) for make in UNTIED),
        beside_linkage_vector("centroid", uniform, 100_000, 2),
        beside_linkage_vector("median", uniform, 100_000, 2),
        ward(gaussian, 100_000, 10),
        ward(uniform, 1_000_000, 2),
    )
}


def compare(rows: list[dict[str, Any]], console: Console) -> list[dict[str, Any]]:
    """Print the growth of the time with n, and the ratio of each distribution to the uniform one, of one run each."""
    ours = {row["case"]: row for row in rows if row["peer"] == "gpuclust"}
    table = Table("what", "times", "allowed")
    found = []
    for case, row in ours.items():
        name, _, kind = case.partition(", ")
        for what, other, allowed in (
            (f"{case}: beside a tenth of the points", case.replace("1000000", "100000"), GROWTH),
            (f"{case}: beside uniform points", f"{name}, uniform", CLIFF if kind in KINDS else 0.0),
        ):
            if other == case or not allowed or ours.get(other, {}).get("run") != row["run"]:
                continue
            times = row["seconds"] / ours[other]["seconds"]
            table.add_row(what, f"{times:.2f}", f"{allowed:g} {'met' if times <= allowed else 'MISSED'}")
            found.append({"case": what, "times": times, "allowed": allowed, "run": row["run"]})
    console.print(table)
    return found
