"""Benchmarks of 100,000 points and more, against programs that store no matrix either.

Cases run like those of `benchmarks.cases`. Afterwards a table shows the growth of seconds with n, and their
dependence on the distribution of points. A case of another linkage is added to `CASES`; the program that it is
compared with follows from its name, as in "single 1000000 x 2, uniform".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Call, Case, gaussian

#: Largest ratio of times for ten times as many points, and of any distribution of points to the uniform one.
GROWTH, CLIFF = 14.0, 5.0


def uniform(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, m))


def clustered(n: int, m: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((100, m))[rng.integers(0, 100, n)] + rng.normal(size=(n, m)) / 1000


def duplicated(n: int, m: int) -> np.ndarray:
    """Return points of which each occurs twice."""
    return np.random.default_rng(0).permutation(np.tile(uniform(n - n // 2, m), (2, 1))[:n])


def heap(n: int, m: int) -> np.ndarray:
    """Return points of which half coincide."""
    X = uniform(n, m)
    X[: n // 2] = 0.5
    return X


def collinear(n: int, m: int) -> np.ndarray:
    return uniform(n, 1) * np.arange(1, m + 1)


def cauchy(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).standard_cauchy((n, m))


def geographic(n: int, m: int) -> np.ndarray:
    """Return longitudes and latitudes in towns whose sizes follow Zipf's law, to four decimals of a degree."""
    rng = np.random.default_rng(0)
    towns = 3000
    places = np.column_stack((rng.uniform(-180, 180, towns), rng.normal(30, 20, towns)))
    share = 1 / np.arange(1, towns + 1)
    town = rng.choice(towns, n, p=share / share.sum())
    spread = 0.2 * np.sqrt(share / share[0])[town, None]
    return np.round(places[town] + spread * rng.standard_t(3, size=(n, 2)), 4)


def equal(n: int, m: int) -> np.ndarray:
    return np.full((n, m), 0.1)


def grid(n: int, m: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, round(n ** (1 / m)), (n, m)).astype(float)


KINDS: dict[str, Callable[[int, int], np.ndarray]] = {
    make.__name__: make for make in (uniform, clustered, duplicated, heap, collinear, cauchy, geographic, equal, grid)
}

#: Distributions without equal distances, except those of equal points.
UNTIED = (uniform, clustered, duplicated, heap, collinear, cauchy)


def _gpuclust(method: str, algorithm: str = "auto") -> Callable[[], Call]:
    def load() -> Call:
        from gpuclust import linkage

        return lambda X: linkage(X, method, algorithm=algorithm)[:, 2]

    return load


def _quitefastmst() -> Call:
    """Return the loader of quitefastmst's spanning tree, converted to Z."""
    import quitefastmst

    from gpuclust.core.clusters import Merges
    from gpuclust.hierarchy.assemble import assemble

    def heights(X: np.ndarray) -> np.ndarray:
        lengths, ends = quitefastmst.mst_euclid(X)
        return assemble(Merges(ends.astype(np.int64), lengths, 0, edges=True))[:, 2]

    return heights


def _quitefastmst_of_distinct() -> Call:
    """Whether equal points would make a program take n² time."""
    import quitefastmst

    def lengths(X: np.ndarray) -> np.ndarray:
        distinct = np.unique(X, axis=0)
        found = quitefastmst.mst_euclid(distinct)[0] if len(distinct) > 1 else np.empty(0)
        return np.concatenate((np.zeros(len(X) - len(distinct)), found))

    return lengths


def single(make: Callable[[int, int], np.ndarray], n: int, m: int, asked: float | None = None) -> Case:
    """Return a case of single linkage against quitefastmst; ``asked`` is the required ratio of times."""
    of_distinct = make in (duplicated, heap, equal, grid)
    return Case(
        f"single {n} x {m}, {make.__name__}",
        "scale",
        make,
        {
            "gpuclust": _gpuclust("single"),
            "quitefastmst": _quitefastmst_of_distinct if of_distinct else _quitefastmst,
        },
        np.sort,
        n,
        m,
        rtol=1e-9,
        repeat=2,
        asked={} if asked is None else {"quitefastmst": asked},
    )


def stored(method: str, make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case that compares heights with those of gpuclust's own algorithm with a stored matrix.

    For points with no ties but those at zero: with others the heights are not unique.
    """
    peers = {"gpuclust": _gpuclust(method), "gpuclust.stored": _gpuclust(method, "stored")}
    return Case(f"{method} {n} x {m}, {make.__name__}", "scale", make, peers, np.sort, n, m)


def _sum_of_squares() -> Call:
    """Not a program to be compared with: half the squares of the heights add up to this, whatever merges when."""
    return lambda X: np.array([np.sqrt(2 * np.square(X - X.mean(axis=0)).sum())])


def _linkage_vector(method: str) -> Callable[[], Call]:
    def load() -> Call:
        from fastcluster import linkage_vector

        return lambda X: linkage_vector(X, method)[:, 2]

    return load


def ward(make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case of Ward's linkage; heights are compared with fastcluster's where that takes minutes at most."""
    name = f"ward {n} x {m}, {make.__name__}"
    if n > 100_000 or make not in (uniform, gaussian):
        peers = {"gpuclust": _gpuclust("ward"), "numpy, sum of squares": _sum_of_squares}
        return Case(name, "scale", make, peers, lambda heights: np.square(heights).sum(keepdims=True), n, m, 1e-9)
    peers = {"gpuclust": _gpuclust("ward"), "fastcluster.linkage_vector": _linkage_vector("ward")}
    return Case(name, "scale", make, peers, np.sort, n, m, 1e-9, repeat=2)


def with_inversions(method: str, make: Callable[[int, int], np.ndarray], n: int, m: int) -> Case:
    """Return a case of centroid or median linkage; all heights are compared with fastcluster's."""
    peers = {"gpuclust": _gpuclust(method), "fastcluster.linkage_vector": _linkage_vector(method)}
    return Case(f"{method} {n} x {m}, {make.__name__}", "scale", make, peers, np.sort, n, m, 1e-9, warm=6000)


CASES = {
    case.name: case
    for case in (
        single(gaussian, 1_000_000, 2, asked=1 / 1.3),
        single(gaussian, 100_000, 10, asked=1.0),
        single(gaussian, 20_000, 64, asked=8.0),
        single(uniform, 100_000, 2),
        *(single(make, 1_000_000, 2) for make in KINDS.values()),
        *(stored("complete", make, 100_000, 2) for make in UNTIED),
        *(stored("average", make, 30_000, 2) for make in UNTIED),
        *(ward(make, 100_000, 2) for make in KINDS.values() if make is not equal),
        *(with_inversions("centroid", make, 30_000, 2) for make in UNTIED),
        with_inversions("centroid", uniform, 100_000, 2),
        with_inversions("median", uniform, 100_000, 2),
        ward(gaussian, 100_000, 10),
        ward(uniform, 1_000_000, 2),
    )
}


def compare(rows: list[dict[str, Any]], console: Console) -> list[dict[str, Any]]:
    """Print the growth of the time with n, and the ratio of each distribution to the uniform one."""
    seconds = {row["case"]: row["seconds"] for row in rows if row["peer"] == "gpuclust"}
    table = Table("what", "times", "allowed")
    found = []
    for case, taken in seconds.items():
        name, _, kind = case.partition(", ")
        for what, other, allowed in (
            (f"{case}: beside a tenth of the points", case.replace("1000000", "100000"), GROWTH),
            (f"{case}: beside uniform points", f"{name}, uniform", CLIFF if kind in KINDS else 0.0),
        ):
            if other == case or other not in seconds or not allowed:
                continue
            times = taken / seconds[other]
            table.add_row(what, f"{times:.2f}", f"{allowed:g} {'met' if times <= allowed else 'MISSED'}")
            found.append({"case": what, "times": times, "allowed": allowed})
    console.print(table)
    return found
