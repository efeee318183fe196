"""Every backend against the reference, primitive by primitive, on odd sizes and tied data. The reference is tested
against SciPy here too."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import (
    BACKENDS,
    BOOLEAN,
    DTYPES,
    EMULATED,
    FEW_FORMS,
    METHODS,
    METRICS,
    OWN_METRICS,
    SIMULATED,
    float32_is_rare,
    one_of_each_form,
    points_for,
    rarely_float32,
    typed,
)
from covering import covering
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist
from searches import nearest, nearest_cluster, nearest_outside

import gpuclust
from gpuclust.algorithms.candidates import reciprocal_pairs
from gpuclust.core import devices, methods, metrics, preparation
from gpuclust.core.backend import select
from gpuclust.core.clusters import Clusters
from gpuclust.core.points import Points
from gpuclust.errors import BackendUnavailable
from gpuclust.hierarchy.leaf_tree import LeafTree

REFERENCE = select("reference")
REDUCIBLE = [m for m in METHODS if methods.METHODS[m].reducible and m != "single"]
PAIRWISE = [m for m in METHODS if methods.METHODS[m].pairs]
#: In the simulator tiles are smaller.
SIZES = (2, 3, 31, 33, 129) if SIMULATED else (2, 3, 31, 33, 129, 150)
SEVERAL_TILES = 130 if SIMULATED else 600
CLUSTERED = 67 if SIMULATED else 151
TIED = 67 if SIMULATED else 131
#: Metrics whose clusters have kernels of their own; those of few features and of counts are compiled in the sweep.
CLUSTERED_FORMS = FEW_FORMS[1:] if EMULATED else ("cosine", "nan_euclidean")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return select(request.param)


def tied_points(n: int, m: int, dtype: str, metric: str = "sqeuclidean") -> Points:
    X = np.random.default_rng(n).integers(0, 4, (n, m)).astype(float)
    return preparation.prepare(X, metric, dtype=dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 17, 60])
def test_reference_is_scipy(method, n):
    X = points_for("euclidean", n, 3, seed=n)
    expected = hierarchy.linkage(X, method)
    for y in (X, pdist(X)):
        Z = gpuclust.linkage(y, method, device="reference")
        np.testing.assert_array_equal(Z[:, [0, 1, 3]], expected[:, [0, 1, 3]])
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "dtype"), covering(SIZES, DTYPES, together=1 if SIMULATED else 2, rare=float32_is_rare)
)
def test_stored_matrix(backend, n, dtype):
    for points in (tied_points(n, 3, dtype), preparation.prepare(points_for("cosine", n, 5), "cosine", dtype=dtype)):
        ours, reference = backend.store_points(points), REFERENCE.store_points(points)
        np.testing.assert_array_equal(ours.nearest, reference.nearest)
        np.testing.assert_allclose(ours.distance, reference.distance, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_condensed_matrix(backend, n, squared, dtype):
    Y = np.random.default_rng(n).integers(1, 50, n * (n - 1) // 2).astype(dtype)
    ours, reference = backend.store_condensed(Y, n, squared), REFERENCE.store_condensed(Y, n, squared)
    np.testing.assert_array_equal(ours.nearest, reference.nearest)
    np.testing.assert_array_equal(ours.distance, reference.distance)


@pytest.mark.parametrize(("method", "dtype", "n"), covering(REDUCIBLE, DTYPES, SIZES, rare=rarely_float32))
def test_rounds_and_chains(backend, method, n, dtype):
    """The same pairs united in both, then a chain to the end: same ids, same bits."""
    rule = methods.METHODS[method]
    rng = np.random.default_rng(n)
    Y = rng.integers(1, 30, n * (n - 1) // 2).astype(dtype)
    results = []
    for candidate in (backend, REFERENCE):
        matrix = candidate.store_condensed(Y, n, rule.on_squares)
        rows = np.arange(n)
        first = np.flatnonzero((matrix.nearest[matrix.nearest] == rows) & (rows < matrix.nearest))
        second = matrix.nearest[first]
        stays = np.setdiff1d(rows, second)
        partner = np.full(n, -1)
        partner[first] = second
        size = np.ones(n, dtype)
        new_size = size.copy()
        if rule.counted:
            new_size[first] = 2
        ids = rows.copy()
        ids[first] = n + np.arange(first.size)
        matrix.merge(rule, stays, partner[stays], matrix.distance[stays], size, new_size[stays], ids[stays])
        seen = [matrix.nearest.copy(), matrix.distance.copy()]
        size, ids = new_size[stays], ids[stays]
        wanted = matrix.n - 1
        if wanted:
            nearest_id = ids[matrix.nearest]
            seen += matrix.chain(rule, size, ids, nearest_id, n + first.size, wanted)
        results.append(seen)
    for ours, reference in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, reference)


def some_clusters(n: int, counted: bool, dtype: str = "float64") -> Clusters:
    """Clusters of up to eight points, made by three rounds of arbitrary pairs."""
    clusters = Clusters.of_points(n, np.dtype(dtype))
    rng = np.random.default_rng(n)
    for _ in range(3):
        rows = np.sort(rng.permutation(clusters.ids.size)[: 2 * (clusters.ids.size // 3)]).reshape(-1, 2)
        clusters, _ = clusters.unite(rows[:, 0], rows[:, 1], int(clusters.ids[-1]) + 1, counted)
    return clusters


@pytest.mark.parametrize("metric", one_of_each_form((*METRICS, *OWN_METRICS), CLUSTERED_FORMS))
def test_clusters_of_points_of_every_metric(backend, metric):
    clusters_of_points(backend, "average", metric)


@pytest.mark.parametrize("method", PAIRWISE)
def test_clusters_of_points(backend, method):
    clusters_of_points(backend, method, "euclidean")


def clusters_of_points(backend, method, metric):
    """Stored dissimilarities of clusters, and the nearest of a few candidates: the reference's."""
    points = preparation.prepare(points_for(metric, CLUSTERED, 6), metric)
    rule = methods.METHODS[method]
    clusters = some_clusters(CLUSTERED, rule.counted)
    assert clusters.size.max() > 2
    ours = backend.store_clusters(points, rule, clusters)
    reference = REFERENCE.store_clusters(points, rule, clusters)
    np.testing.assert_allclose(ours.distance, reference.distance, rtol=1e-12)
    lists = REFERENCE.knn(points, 5)[0]
    for rows in (np.arange(clusters.ids.size), np.array([3, 17]), np.empty(0, np.int64)):
        near = backend.nearest_among(points, rule, clusters, lists, rows)
        expected = REFERENCE.nearest_among(points, rule, clusters, lists, rows)
        np.testing.assert_allclose(near[1], expected[1], rtol=1e-12)
        if metric not in BOOLEAN:
            np.testing.assert_array_equal(near[0], expected[0])
        near = nearest_cluster(backend, points, rule, clusters, rows)
        np.testing.assert_allclose(near[1], ours.distance[rows], rtol=1e-12)
        if metric not in BOOLEAN:
            np.testing.assert_array_equal(near[0], ours.nearest[rows])


@pytest.mark.parametrize(("method", "dtype"), typed(PAIRWISE))
def test_clusters_of_tied_points_have_the_same_bits(backend, method, dtype):
    points = tied_points(TIED, 3, dtype, "cityblock")
    rule = methods.METHODS[method]
    clusters = some_clusters(TIED, rule.counted, dtype)
    ours, reference = (candidate.store_clusters(points, rule, clusters) for candidate in (backend, REFERENCE))
    np.testing.assert_array_equal(ours.nearest, reference.nearest)
    np.testing.assert_array_equal(ours.distance, reference.distance)
    lists = backend.knn(points, 7)[0]
    rows = np.arange(clusters.ids.size)
    near, expected = (c.nearest_among(points, rule, clusters, lists, rows) for c in (backend, REFERENCE))
    np.testing.assert_array_equal(near[0], expected[0])
    np.testing.assert_array_equal(near[1], expected[1])
    near = nearest_cluster(backend, points, rule, clusters, rows)
    np.testing.assert_array_equal(near[0], reference.nearest)
    np.testing.assert_array_equal(near[1], reference.distance)


@pytest.mark.parametrize(("method", "dtype"), typed(PAIRWISE))
def test_clusters_searched_by_bounds(backend, method, dtype):
    """The state of a stored matrix of the reference: for clusters, after a round, and after a chain."""
    points = preparation.prepare(points_for("euclidean", TIED, 2), "euclidean", dtype=dtype)
    rule = methods.METHODS[method]
    clusters = some_clusters(TIED, rule.counted, dtype)
    tree = backend.search_clusters(points, rule, clusters, bounded=True)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    for step in range(3):
        rows = np.argsort(tree.ids)
        whole = tree.clusters
        np.testing.assert_array_equal(whole.ids, tree.ids[rows])
        reference = REFERENCE.store_clusters(points, rule, clusters)
        np.testing.assert_allclose(tree.distance[rows], reference.distance, rtol=rtol)
        np.testing.assert_array_equal(tree.ids[tree.nearest[rows]], clusters.ids[reference.nearest])
        if step == 2:
            break
        size, ids, next_id = tree.size.copy(), tree.ids.copy(), int(tree.ids.max()) + 1
        if step == 0:
            first, second = reciprocal_pairs(tree.nearest)
            pairs = ids[first], ids[second]
            stays = np.setdiff1d(np.arange(tree.n), second)
            partner = np.full(tree.n, -1)
            partner[first] = second
            ids[first] = next_id + np.arange(first.size)
            size[first] += size[second] if rule.counted else 0
            tree.merge(rule, stays, partner[stays], tree.distance[stays], tree.size, size[stays], ids[stays])
        else:
            made, _, scans = tree.chain(rule, size, ids, ids[tree.nearest], next_id, 5)
            assert 0 < scans <= 15
            pairs = made[:, 0], made[:, 1]
            stays = np.flatnonzero(ids >= 0)
            alone = np.full(stays.size, -1)
            tree.merge(rule, stays, alone, tree.distance[stays], size, size[stays], ids[stays])
        for k, (a, b) in enumerate(zip(*pairs, strict=True)):  # one by one: a chain merges its own unions too
            where = [np.flatnonzero(clusters.ids == part) for part in (a, b)]
            clusters, _ = clusters.unite(*where, next_id + k, rule.counted)


def test_clusters_keep_their_books():
    """Uniting is checked against the definition: members, weights by halving, totals, ids in order."""
    clusters = Clusters.of_points(6, np.dtype("float64"))
    clusters, row = clusters.unite(np.array([0, 3]), np.array([4, 5]), 6, counted=False)
    np.testing.assert_array_equal(clusters.ids, [1, 2, 6, 7])
    np.testing.assert_array_equal(row, [2, 0, 1, 3, 2, 3])
    clusters, _ = clusters.unite(np.array([1]), np.array([2]), 8, counted=False)
    np.testing.assert_array_equal(clusters.ids, [1, 7, 8])
    np.testing.assert_array_equal(clusters.members, [1, 3, 5, 2, 0, 4])
    np.testing.assert_array_equal(clusters.weight, [1, 0.5, 0.5, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(clusters.total, 1)
    np.testing.assert_array_equal(clusters.row_of_point, [2, 0, 2, 1, 2, 1])


@pytest.mark.parametrize(
    ("n", "dtype", "metric"),
    covering(
        [3, 31, 33, 129, SEVERAL_TILES],
        DTYPES,
        ["cityblock", "euclidean"],
        rare=lambda n, *typed: (SIMULATED and n == 129) or (typed[1] == "cityblock" and float32_is_rare(*typed)),
    ),
)
def test_knn_of_tied_points(backend, n, dtype, metric):
    points = tied_points(n, 2, dtype, metric)
    k = min(n - 1, 9)
    for ours, reference in zip(backend.knn(points, k), REFERENCE.knn(points, k), strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("metric", one_of_each_form((*METRICS, *OWN_METRICS)))
def test_knn_of_every_metric(backend, metric):
    points = preparation.prepare(points_for(metric, 40 if SIMULATED else 140, 6), metric)
    np.testing.assert_allclose(backend.knn(points, 8)[1], REFERENCE.knn(points, 8)[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("metric", one_of_each_form((*METRICS, *OWN_METRICS), FEW_FORMS[1:]))
def test_knn_of_weighted_metrics(backend, metric):
    """Some metrics have another form when features have weights."""
    if not metrics.METRICS["hamming" if metric == "matching" else metric].accepts_weights:
        pytest.skip("takes no weights")
    weights = np.random.default_rng(2).random(6) + 0.1
    points = preparation.prepare(points_for(metric, 60, 6), metric, w=weights)
    np.testing.assert_allclose(backend.knn(points, 8)[1], REFERENCE.knn(points, 8)[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [*SIZES, SEVERAL_TILES])
def test_nearest(backend, n, dtype):
    points = tied_points(n, 2, dtype)
    for ours, reference in zip(nearest(backend, points), nearest(REFERENCE, points), strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("metric", one_of_each_form((*METRICS, *OWN_METRICS), FEW_FORMS[1:]))
def test_nearest_of_every_metric(backend, metric):
    points = preparation.prepare(points_for(metric, 50 if SIMULATED else 200, 7), metric)
    ours, reference = nearest(backend, points), nearest(REFERENCE, points)
    np.testing.assert_allclose(ours[1], reference[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("m", "dtype"),
    covering(
        [1, 2, 5, 8, 9, 16, 23, 31, 33, 40],
        DTYPES,
        together=1,
        rare=lambda m, dtype: m > 3 and float32_is_rare(dtype),  # not found by a kd-tree
    ),
)
def test_any_number_of_features(backend, m, dtype):
    """Of tied points, whose sums are exact: so all bits are the reference's."""
    points = tied_points(33, m, dtype)
    component, rows = np.arange(33) % 3, np.arange(1, 33, 2)
    for search in (
        nearest,
        lambda candidate, points: nearest_outside(candidate, points, component, rows),
        lambda candidate, points: candidate.knn(points, 4),
    ):
        for mine, expected in zip(search(backend, points), search(REFERENCE, points), strict=True):
            np.testing.assert_array_equal(mine, expected)
    for store in ("store_points", "summarise"):
        arguments = (methods.METHODS["ward"], np.ones(33, dtype)) if store == "summarise" else ()
        ours, expected = (getattr(candidate, store)(points, *arguments) for candidate in (backend, REFERENCE))
        np.testing.assert_array_equal(ours.nearest, expected.nearest)
        np.testing.assert_allclose(ours.distance, expected.distance, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_one_point(backend):
    """It has no neighbour, and makes no trouble."""
    points = tied_points(1, 3, "float64")
    for candidate in (backend, REFERENCE):
        assert nearest(candidate, points)[1] == [np.inf]
        assert nearest_outside(candidate, points, np.zeros(1, int), np.zeros(1, int))[1] == [np.inf]
        assert candidate.store_points(points).n == 1


@pytest.mark.parametrize("n", SIZES)
def test_nearest_outside(backend, n):
    points = tied_points(n, 2, "float64")
    rng = np.random.default_rng(n)
    component = rng.integers(0, 3, n)
    component[:2] = (0, 1)
    for rows in (np.arange(n), rng.choice(n, n // 2, replace=False), np.empty(0, np.int64)):
        ours = nearest_outside(backend, points, component, rows)
        reference = nearest_outside(REFERENCE, points, component, rows)
        np.testing.assert_array_equal(ours[0], reference[0])
        np.testing.assert_array_equal(ours[1], reference[1])


@pytest.mark.parametrize("n", SIZES)
def test_spanning_tree(backend, n):
    Y = np.random.default_rng(n).random(n * (n - 1) // 2)
    ours = backend.spanning_tree(Y, n, lambda done: None)
    reference = REFERENCE.spanning_tree(Y, n, lambda done: None)
    np.testing.assert_array_equal(ours[0], reference[0])
    np.testing.assert_array_equal(ours[1], reference[1])


@pytest.mark.parametrize(
    ("method", "dtype", "n"), covering(("centroid", "median"), DTYPES, SIZES, rare=rarely_float32)
)
def test_generic(backend, method, n, dtype):
    """Merges in two parts with a compaction between, on tied data: same ids, same bits."""
    rule = methods.METHODS[method]
    points = tied_points(n, 3, dtype)
    Y = np.random.default_rng(n).integers(1, 9, n * (n - 1) // 2).astype(dtype)
    for source in ("points", "condensed"):
        results = []
        for candidate in (backend, REFERENCE):
            if source == "points":
                engine = candidate.generic_points(points, rule)
            else:
                engine = candidate.generic_stored(candidate.store_condensed(Y, n, True), rule)
            half = (n - 1) // 2
            parts = [engine.merge(n, half)[:2]] if half else []
            engine.compact()
            parts.append(engine.merge(n + half, n - 1 - half)[:2])
            results.append([np.concatenate([part[k] for part in parts]) for k in (0, 1)])
        for ours, reference in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 3, 33, 70])
def test_products_of_cophenetic_distances(backend, n, dtype):
    X = points_for("cityblock", n, 3, seed=n)
    tree = LeafTree(hierarchy.linkage(X, "centroid"))  # with inversions
    points = preparation.prepare(X[tree.leaves], "cityblock", dtype=dtype)
    ours, reference = (candidate.correlate(points, tree, 0.3, tree.mean) for candidate in (backend, REFERENCE))
    np.testing.assert_allclose(ours, reference, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-12 * n * n)


def test_select():
    if EMULATED or devices.missing() is not None:
        assert select("auto").name == "cpu"
    assert select("CPU").name == "cpu"
    if EMULATED:
        assert select("cuda").name == "cuda"
    elif devices.missing() is not None:
        with pytest.raises(BackendUnavailable, match="cuda"):
            select("cuda")
    with pytest.raises(ValueError, match="Did you mean 'cpu'"):
        select("cpuu")
    with pytest.raises(ValueError, match="device"):
        select(3)  # type: ignore[arg-type]
