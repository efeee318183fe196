"""Complete, average and weighted linkage if a matrix of the clusters does not fit into memory: rounds from points."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import once, one_of_each_form, points_for
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import gpuclust
from gpuclust.algorithms.rounds import from_points
from gpuclust.compute import compute
from gpuclust.core import methods, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters
from gpuclust.core.matrix_free import MatrixFree
from gpuclust.errors import DoesNotFit
from gpuclust.hierarchy.assemble import assemble

PAIRWISE = [m for m in methods.METHODS if methods.METHODS[m].pairs]


def hybrid(X: np.ndarray, method: str, metric: str = "euclidean", most: int = 40, device: str = "cpu"):
    points = preparation.prepare(X, metric)
    merges = from_points(select(device), points, methods.METHODS[method], lambda done: None, most)
    return assemble(merges), merges.scans


@pytest.mark.parametrize("most", [2, 40, 700])
@pytest.mark.parametrize("method", once(PAIRWISE))
def test_the_tree_is_scipys(method, most):
    X = np.random.default_rng(most).normal(size=(1500, 4))
    Z, scans = hybrid(X, method, most=most)
    expected = hierarchy.linkage(X, method)
    np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)
    assert scans < 12 * 1500


@pytest.mark.parametrize(
    "metric",
    one_of_each_form(
        ["cityblock", "cosine", "canberra", "jensenshannon", "hamming"], ["cityblock", "cosine", "hamming"]
    ),
)
def test_other_metrics(metric):
    X = points_for(metric, 1100, 6)
    expected = hierarchy.linkage(pdist(X, metric), "average")
    Z, _ = hybrid(X, "average", metric)
    if metric == "hamming":  # full of ties: another tree, as good
        assert hierarchy.is_valid_linkage(Z)
    else:
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-10)


@pytest.mark.parametrize("method", once(PAIRWISE))
@pytest.mark.parametrize("kind", ["all equal", "half equal", "line of growing gaps", "star", "grid"])
def test_hard_data(method, kind):
    """Few pairs a round: rows are searched only as chains reach them."""
    rng = np.random.default_rng(5)
    n = 1100
    X = {
        "all equal": np.ones((n, 3)),
        "half equal": np.where((np.arange(n) % 2 == 0)[:, None], 1.0, rng.normal(size=(n, 3))),
        "line of growing gaps": np.cumsum(1 + np.arange(n) * 1e-3)[:, None],
        "star": np.eye(n)[:, :60] * (1 + np.arange(n) / n)[:, None],
        "grid": np.stack(np.divmod(np.arange(n), 36), axis=1).astype(float),
    }[kind]
    Z, scans = hybrid(X, method)
    assert hierarchy.is_valid_linkage(Z)
    assert (np.diff(Z[:, 2]) >= 0).all()
    assert scans < 12 * n
    if kind in ("line of growing gaps", "half equal"):
        np.testing.assert_allclose(Z[:, 2], hierarchy.linkage(X, method)[:, 2], rtol=1e-9)


@pytest.mark.parametrize("method", once(PAIRWISE))
def test_a_reference_run_gives_the_same(monkeypatch, method):
    stored = importlib.import_module("gpuclust.algorithms.rounds")
    monkeypatch.setattr(stored, "FUSED", 8)
    X = np.random.default_rng(1).integers(0, 6, (90, 2)).astype(float)
    results = [hybrid(X, method, "cityblock", 12, device)[0] for device in ("cpu", "reference")]
    np.testing.assert_array_equal(*results)


def test_a_memory_limit_is_obeyed_and_gives_the_same_tree():
    X = np.random.default_rng(2).normal(size=(5000, 6))
    whole = compute(X, "average")
    slim = compute(X, "average", memory_limit="8MB")
    assert (whole.plan.algorithm, slim.plan.algorithm) == ("stored", "hybrid")
    assert slim.plan.memory <= 8_000_000
    np.testing.assert_array_equal(slim.Z[:, [0, 1, 3]], whole.Z[:, [0, 1, 3]])
    np.testing.assert_allclose(slim.Z[:, 2], whole.Z[:, 2], rtol=1e-12)


def test_what_cannot_fit_is_refused_before_it_starts():
    with pytest.raises(DoesNotFit, match=r"needs .* of memory, and 5 MB may be used"):
        gpuclust.linkage(np.zeros((20_000, 16)), "average", memory_limit="5MB")


@pytest.mark.timeout(20)
def test_a_chain_ends_where_rounding_would_lead_it_in_a_circle():
    """Of three equally near clusters each has the next one as its nearest, as rounded means may have it."""
    calls = []

    def search(points, method, clusters, rows):
        calls.append(rows)
        assert len(calls) < 50, "the chain goes in a circle"
        count = clusters.ids.size
        return (rows + 1) % count, np.full(rows.size, 1.0)

    points = preparation.prepare(np.arange(6.0).reshape(3, 2), "euclidean")
    state = MatrixFree(search, points, methods.METHODS["average"], Clusters.of_points(3, np.dtype("float64")))
    size, ids = np.ones(3), np.arange(3)
    pairs, heights, _ = state.chain(methods.METHODS["average"], size, ids, ids[state.nearest], 3, 2)
    assert pairs.tolist() == [[0, 1], [3, 2]]
    np.testing.assert_array_equal(heights, 1)
