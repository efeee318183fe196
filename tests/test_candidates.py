"""The first rounds from neighbour lists: the merges are those of a stored matrix."""

from __future__ import annotations

import numpy as np
import pytest
from covering import covering
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

import gpuclust
from gpuclust.algorithms.candidates import LARGEST, candidate_rounds, limits_of_clusters, limits_of_points
from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters, Merging
from gpuclust.kernels.cpu.clusters import candidates

PAIRWISE = [m for m in methods.METHODS if methods.METHODS[m].pairs]


def rounds(X: np.ndarray, method: str, metric: str = "euclidean", dtype: str = "float64"):
    merges = Merging(len(X), np.dtype(dtype))
    points = preparation.prepare(X, metric, dtype=dtype)
    alone = Clusters.of_points(len(X), points.features.dtype)
    clusters = candidate_rounds(select("cpu"), points, methods.METHODS[method], alone, merges, lambda done: None)
    return clusters, merges


@pytest.mark.parametrize(("method", "metric"), covering(["complete", "average"], ["cityblock", "cosine"], together=1))
def test_four_pairs_at_a_time_have_the_same_bits(method, metric, monkeypatch):
    """Of clusters of up to 60 points: one dissimilarity is of more pairs than there is room for at first."""
    rng = np.random.default_rng(1)
    points = preparation.prepare(rng.normal(size=(700, 9)), metric)
    lists = rng.integers(0, 700, (700, 32))
    sizes = rng.permutation([1] * 300 + [2] * 100 + [5] * 20 + [40, 60])
    start, count = np.append(0, np.cumsum(sizes)), sizes.size
    clusters = Clusters(np.arange(count), rng.permutation(700), start, np.ones(700), sizes.astype(float))
    arguments = points, methods.METHODS[method], clusters, lists, np.arange(clusters.ids.size)
    found = []
    for wide in (1, 100):
        monkeypatch.setattr(candidates, "WIDE", wide)
        found.append(candidates.nearest_among(*arguments))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("m", [1, 2, 8, 40])
@pytest.mark.parametrize("method", PAIRWISE)
def test_every_merge_is_in_scipys_tree_at_its_height(method, m):
    X = np.random.default_rng(m).normal(size=(900, m))
    clusters, merges = rounds(X, method)
    assert merges.done > 100
    assert clusters.ids.size == 900 - merges.done
    Z = hierarchy.linkage(X, method)
    members: dict[int, frozenset[int]] = {k: frozenset([k]) for k in range(900)}
    in_tree = {}
    for i, (a, b, height, _) in enumerate(Z):
        members[900 + i] = members[int(a)] | members[int(b)]
        in_tree[members[900 + i]] = height
    mine: dict[int, frozenset[int]] = {k: frozenset([k]) for k in range(900)}
    for k in range(merges.done):
        a, b = merges.pairs[k]
        mine[900 + k] = mine[a] | mine[b]
        assert merges.heights[k] == pytest.approx(in_tree[mine[900 + k]], rel=1e-12)


@pytest.mark.parametrize("method", PAIRWISE)
@pytest.mark.parametrize(
    "kind", ["all equal", "many duplicates", "two far groups", "line of growing gaps", "grid", "heavy tails"]
)
def test_hard_data_are_scipys(method, kind):
    rng = np.random.default_rng(4)
    n = 1300
    X = {
        "all equal": np.ones((n, 3)),
        "many duplicates": rng.normal(size=(20, 3))[rng.integers(0, 20, n)],
        "two far groups": rng.normal(size=(n, 3)) + 1e5 * (np.arange(n) % 2)[:, None],
        "line of growing gaps": np.cumsum(1 + np.arange(n) * 1e-3)[:, None],
        "grid": np.stack(np.divmod(np.arange(n), 36), axis=1).astype(float),
        "heavy tails": rng.standard_cauchy((n, 3)),
    }[kind]
    Z = gpuclust.linkage(X, method, algorithm="stored")
    assert hierarchy.is_valid_linkage(Z)
    assert (np.diff(Z[:, 2]) >= 0).all()
    if kind not in ("grid", "all equal", "many duplicates"):  # there the tree is not unique
        np.testing.assert_allclose(Z[:, 2], hierarchy.linkage(X, method)[:, 2], rtol=1e-9)
    square = squareform(pdist(X))
    for row in np.random.default_rng(0).integers(0, n - 1, 40):  # heights are what the definition says
        parts = [members_of(Z, int(k)) for k in Z[row, :2]]
        between = square[np.ix_(*parts)]
        if method == "complete":
            assert Z[row, 2] == between.max()
        elif method == "average":
            assert Z[row, 2] == pytest.approx(between.mean(), rel=1e-12)


def members_of(Z: np.ndarray, cluster: int) -> list[int]:
    n = len(Z) + 1
    found, stack = [], [cluster]
    while stack:
        k = stack.pop()
        if k < n:
            found.append(k)
        else:
            stack.extend(int(part) for part in Z[k - n, :2])
    return found


@pytest.mark.parametrize("method", PAIRWISE)
def test_a_reference_run_gives_the_same(method):
    """The algorithm on the reference's primitives: same merges, same clusters."""
    X = np.random.default_rng(1).integers(0, 40, (150, 2)).astype(float)
    results = []
    for name in ("cpu", "reference"):
        merges = Merging(150, np.dtype("float64"))
        points = preparation.prepare(X, "cityblock")
        alone = Clusters.of_points(150, points.features.dtype)
        rule = methods.METHODS[method]
        clusters = candidate_rounds(select(name), points, rule, alone, merges, lambda done: None)
        results.append((merges.pairs[: merges.done], merges.heights[: merges.done], clusters.members, clusters.ids))
    for ours, reference in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", PAIRWISE)
def test_limits_are_below_any_mean_of_distances_that_is_as_small_as_they_allow(method, dtype):
    """The tightest case: everything that is not listed is exactly as far as the last on each list.

    The dissimilarity to it is then a sum that is rounded in any order, fused or not: no such sum is below the limit.
    Equal distances are the worst for a mean, since the margin must be all of what the two sums differ by.
    """
    rule, kind = methods.METHODS[method], np.dtype(dtype).type
    rng = np.random.default_rng(6)
    for trial in range(400):
        sizes = rng.integers(1, LARGEST + 1, 4)
        n = int(sizes.sum())
        last = (kind(0.1) * (1 + rng.integers(0, 9, n) * np.finfo(dtype).eps)).astype(dtype)
        if trial % 2:
            last = rng.random(n).astype(dtype)
        weight = rng.integers(1, 9, n) if rule.counted else 0.5 ** rng.integers(0, 9, n)
        start = np.concatenate(([0], np.cumsum(sizes)))
        weight = weight.astype(dtype)
        total = np.add.reduceat(weight, start[:-1])
        clusters = Clusters(np.arange(4), np.arange(n), start, weight, total)
        limits = limits_of_clusters(rule, clusters, limits_of_points(last, 3))
        for c in range(4):
            own, mine = last[start[c] : start[c + 1]], weight[start[c] : start[c + 1]]
            away = int(rng.integers(1, LARGEST + 1))  # weights of one, of a cluster of so many points
            if rule.pairs == "largest":
                smallest = own.max()
            else:
                smallest = smallest_sum_of(own, mine, away) / (total[c] * kind(away))
            assert limits[c] < smallest, (trial, c)
            assert limits[c] > smallest * kind(1 - 200 * np.finfo(dtype).eps)  # and not far below


def smallest_sum_of(distances: np.ndarray, weight: np.ndarray, away: int) -> np.floating:
    """The smallest of sums over pairs, by rows, by columns and from the other end, each rounded as kernels do."""
    kind = distances.dtype.type
    found = []
    for order in (slice(None), slice(None, None, -1)):
        rows = kind(0)
        for d, w in zip(distances[order], weight[order], strict=True):
            inner = kind(0)
            for _ in range(away):
                inner += d
            rows += w * inner
        column = kind(0)
        for d, w in zip(distances[order], weight[order], strict=True):
            column += w * d
        columns = kind(0)
        for _ in range(away):
            columns += column
        found += [rows, columns]
    return min(found)
