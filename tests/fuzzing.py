"""Fuzzing of linkages and neighbour lists on the CPU: random difficult points, algorithms and constants.

A seed determines a case. Tuning constants that Python reads are drawn for every case, so that situations that are
rare at their usual values (lists of one entry, boxes of one point, a new tree every round, a chain cut short) are
common. Each result must be the same for several numbers of threads and pass `exact_judge`.

As a program it runs seeds and prints the cases that fail; one seed is printed in full::

    python tests/fuzzing.py --seed 1234
    python tests/fuzzing.py --first 0 --count 10000
    python tests/fuzzing.py --interpreted --count 500    # kernels as plain Python: see interpreted.py
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from fuzz_cases import ANGULAR, Case, draw


@contextmanager
def constants(case: Case) -> Iterator[None]:
    """Set the constants of a case, and undo that."""
    from gpuclust.plan import Plan

    before: list[tuple[Any, str, Any]] = []
    try:
        for (module, name), value in case.settings.items():
            found = importlib.import_module(module)
            before.append((found, name, getattr(found, name)))  # an error if there is none of that name
            setattr(found, name, value)
        if case.most is not None:
            before.append((Plan, "most_clusters", vars(Plan)["most_clusters"]))
            Plan.most_clusters = case.most  # type: ignore[method-assign, assignment]
        yield
    finally:
        for found, name, value in before:
            setattr(found, name, value)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = os.environ.get("GPUCLUST_NUM_THREADS")
    os.environ["GPUCLUST_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GPUCLUST_NUM_THREADS"]
        else:
            os.environ["GPUCLUST_NUM_THREADS"] = before


def check(case: Case) -> None:
    """Run a case and raise `exact_judge.Wrong` if its result is not right."""
    from exact_judge import Wrong

    from gpuclust.errors import ClusterWarning

    results = []
    with constants(case), warnings.catch_warnings():
        warnings.simplefilter("ignore", ClusterWarning)  # a lattice may look like a matrix of distances
        for count in case.threads:
            with threads(count):
                results.append(_searched(case) if case.method == "clusters" else _result(case))
    for other in results[1:]:
        for one, another in zip(results[0], other, strict=True):
            if not np.array_equal(one, another):
                raise Wrong(f"results differ between {case.threads} threads")
    if case.method == "clusters":
        _judge_searches(results[0], case.metric)
    else:
        judge_result(case, results[0])


def _result(case: Case) -> tuple[np.ndarray, ...]:
    from gpuclust.compute import compute
    from gpuclust.distance import nearest_neighbors, pdist

    if case.method == "neighbours":
        return nearest_neighbors(case.X, case.k, case.metric, device="cpu", dtype=case.dtype, **case.given)
    if case.condensed:
        y = pdist(case.X, case.metric, device="cpu", **case.given)
        return (compute(y, case.method, device="cpu", algorithm=case.algorithm, dtype=case.dtype).Z,)
    return (
        compute(
            case.X, case.method, case.metric, device="cpu", algorithm=case.algorithm, dtype=case.dtype, **case.given
        ).Z,
    )


def _searched(case: Case) -> tuple[np.ndarray, ...]:
    """The nearest of each of some clusters as every primitive of the backend finds it, with its dissimilarity.

    The clusters are unions of near or of any points, not what a linkage would make of them: bounds are tight or not.
    The last two are the reference's matrix of all dissimilarities, and whether the tree compares in other terms.
    """
    from exact_judge import Wrong
    from searches import nearest_cluster

    from gpuclust.algorithms.candidates import limits_of_clusters, limits_of_points
    from gpuclust.core import methods, metrics, preparation
    from gpuclust.core.backend import select
    from gpuclust.core.clusters import Clusters
    from gpuclust.kernels.reference import pairwise
    from gpuclust.kernels.reference.candidates import between_clusters

    r = np.random.default_rng([case.seed, 5])
    rule = methods.METHODS[str(r.choice(["complete", "complete", "average", "weighted"]))]
    points = preparation.prepare(case.X, case.metric, dtype=case.dtype, **case.given)
    clusters = Clusters.of_points(points.n, points.dtype)
    near = r.random() < 0.6
    for _ in range(int(r.integers(0, 6))):
        count = clusters.ids.size
        order = r.permutation(count)
        if near:
            order = np.argsort(case.X[clusters.members[clusters.start[:-1]]] @ r.normal(size=case.X.shape[1]))
        pairs = order[: count // 2 * 2].reshape(-1, 2)
        pairs = pairs[r.random(len(pairs)) < 0.7]
        if count - len(pairs) >= 2 and len(pairs):
            clusters, _ = clusters.unite(*np.sort(pairs, axis=1).T, 2 * int(clusters.ids[-1]) + 2, rule.counted)
    rows = np.arange(clusters.ids.size)
    cpu = select("cpu")
    stored = cpu.store_clusters(points, rule, clusters)
    found = [(stored.nearest, stored.distance), nearest_cluster(cpu, points, rule, clusters, rows)]
    neighbours = np.argsort(r.random((points.n, points.n)), axis=1)
    found.append(cpu.nearest_among(points, rule, clusters, neighbours, rows))
    if metrics.facts(case.metric).convex:
        tree = cpu.search_clusters(points, rule, clusters, bounded=True)
        place = np.empty(rows.size, np.int64)
        place[np.argsort(tree.ids)] = rows  # rows are in order of ids
        by_row = np.argsort(tree.ids)
        found.append((place[tree.nearest[by_row]], tree.distance[by_row]))
    squares = rule.pairs == "largest" and case.metric == "euclidean"
    square = between_clusters(pairwise.pairwise(points, points), rule, clusters)
    lists, far = cpu.knn(points, int(r.integers(1, points.n)))
    limits = limits_of_clusters(rule, clusters, limits_of_points(far[:, -1], len(points.features)))
    candidate = np.zeros(square.shape, bool)
    candidate[clusters.row_of_point[:, None], clusters.row_of_point[lists]] = True
    np.fill_diagonal(candidate, True)
    if (~candidate & (square < limits[:, None])).any():
        raise Wrong("a cluster that is on no list is below the limit")
    np.fill_diagonal(square, np.inf)
    return (*(np.asarray(part) for pair in found for part in pair), square, np.array(squares))


def _judge_searches(results: tuple[np.ndarray, ...], metric: str) -> None:
    """The bits of the reference, ties by row.

    Minkowski's powers are another function there: the last bit is left open, and with it ties. A tree of complete
    linkage compares squares of Euclidean distances: among distances that are equal it may choose.
    """
    from exact_judge import Wrong

    *found, square, squares = results
    nearest, distance, rows = square.argmin(axis=1), square.min(axis=1), np.arange(len(square))
    names = ("store_clusters", "nearest_cluster", "nearest_among", "cluster_tree")
    for name, index, value in zip(names, found[::2], found[1::2], strict=False):
        bad = (index != nearest) | (value != distance)
        if name == "cluster_tree" and squares:
            bad = (square[rows, index] != distance) | (value != distance)
        if metric == "minkowski":
            bad = ~np.isclose(value, distance, rtol=1e-13, atol=0)
        if bad.any():
            x = np.flatnonzero(bad)[0]
            raise Wrong(f"{name}: nearest of {x} is {index[x]} at {value[x]!r}, not {nearest[x]} at {distance[x]!r}")


def judge_result(case: Case, result: tuple[np.ndarray, ...]) -> None:
    """Of a list: the bits of pdist. Of a tree: single and complete those bits too, others by definition."""
    from exact_judge import Wrong, dissimilarities, judge, judge_neighbours, minimum_spanning_tree
    from scipy.spatial.distance import squareform

    from gpuclust.distance import pdist

    bits = pdist(case.X, case.metric, device="cpu", dtype=case.dtype, **case.given)
    if case.method == "neighbours":
        judge_neighbours(*result, bits, _ordering(case), case.k)
        return
    if case.condensed:
        bits = pdist(case.X, case.metric, device="cpu", **case.given).astype(case.dtype)
    by_bits = squareform(bits.astype(float))
    if case.method in ("single", "complete"):
        judge(result[0], by_bits, case.method, rtol=0.0)
        if case.method == "single" and case.algorithm == "spanning tree" and not case.condensed:
            expected = minimum_spanning_tree(bits.astype(float), _ordering(case).astype(float), len(case.X))
            if not np.array_equal(result[0], expected):
                raise Wrong("not the tree whose edges of one length are ordered by their ends")
        return
    taken = case.condensed or case.kind == "bits"
    square = by_bits if taken else dissimilarities(case.X, case.metric, **case.given)
    largest = float(square.max())
    if case.dtype == "float32":
        judge(result[0], square, case.method, rtol=2e-5, atol=2e-6 * largest)
    elif case.metric in ANGULAR:
        judge(result[0], square, case.method, atol=1e-14)
    else:
        judge(result[0], square, case.method)


def _ordering(case: Case) -> np.ndarray:
    """Condensed numbers by which neighbours are compared."""
    from gpuclust.distance import pdist

    metric = "sqeuclidean" if case.metric == "euclidean" else case.metric
    return pdist(case.X, metric, device="cpu", dtype=case.dtype, **case.given)


def failure(case: Case) -> str | None:
    """Description of the fault of a case's result; ``None`` if it is correct."""
    from exact_judge import Wrong

    try:
        check(case)
    except Wrong as wrong:
        return str(wrong)
    except Exception:
        return traceback.format_exc()
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz linkages on the CPU; the exit code is 1 if a case fails.")
    parser.add_argument("--seed", type=int, help="run this one, and print the case in full")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--interpreted", action="store_true", help="kernels as plain Python, in small blocks")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="seeds to leave out")
    for name in ("kind", "method", "metric"):
        parser.add_argument(f"--{name}")
    chosen = parser.parse_args(arguments)
    if chosen.interpreted:
        import interpreted

        interpreted.install()
    os.environ["GPUCLUST_COMPILE"] = "always"
    only = {name: getattr(chosen, name) for name in ("kind", "method", "metric")}
    seeds = range(chosen.first, chosen.first + chosen.count) if chosen.seed is None else [chosen.seed]
    failed, started = 0, time.monotonic()
    for seed in seeds:
        if seed in chosen.skip:
            continue
        case = draw(seed, chosen.interpreted, only)
        if chosen.seed is not None:
            print(case.in_full())
        wrong = failure(case)
        if wrong is not None:
            failed += 1
            print(f"{case}\n    {wrong}", flush=True)
            if chosen.stop:
                break
    print(f"{failed} of {len(seeds)} cases failed, in {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
