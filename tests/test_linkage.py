"""linkage() against SciPy: every linkage, every metric, points and condensed, ties, float32, and its options."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from conftest import BOOLEAN, FORMS, METHODS, METRICS, SAME_FORMULA, points_for, typed
from covering import covering
from hypothesis import given
from hypothesis import strategies as st
from replay import replay
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import methods

EUCLIDEAN = ("centroid", "median", "ward")


def agree(ours: np.ndarray, scipys: np.ndarray, rtol: float = 1e-12) -> None:
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], scipys[:, [0, 1, 3]])
    np.testing.assert_allclose(ours[:, 2], scipys[:, 2], rtol=rtol)


@pytest.mark.parametrize(
    ("method", "metric"),
    covering(
        METHODS,
        [m for m in METRICS if m not in BOOLEAN],
        rare=lambda method, metric: metric not in FORMS or (method, metric) == ("weighted", "cosine"),
    ),
)
def test_heights_and_ids_are_scipys(method, metric):
    X = points_for(metric, 140, 5)
    Y = pdist(X, metric)
    expected = hierarchy.linkage(Y, method)
    agree(gpuclust.linkage(Y, method), expected)
    if method not in EUCLIDEAN:
        agree(gpuclust.linkage(X, method, metric), expected)
    elif metric == "euclidean":
        agree(gpuclust.linkage(X, method), expected)


@pytest.mark.parametrize(
    ("method", "metric"), covering(METHODS, BOOLEAN, rare=lambda method, metric: metric not in FORMS)
)
def test_boolean_metrics_have_ties_and_replay(method, metric):
    X = points_for(metric, 40, 9)
    Y = pdist(X, metric)
    replay(gpuclust.linkage(Y, method), squareform(Y), method)
    if method not in EUCLIDEAN:
        replay(gpuclust.linkage(X, method, metric), squareform(Y), method)


@pytest.mark.parametrize(
    ("n", "method", "metric"),
    covering([90, 700, 1300], ["single", "complete"], ["euclidean", "sqeuclidean", "cityblock", "chebyshev"]),
)
def test_single_and_complete_have_scipys_bits(method, metric, n):
    X = points_for(metric, n, 7, seed=3)
    Y = pdist(X, metric)
    expected = hierarchy.linkage(Y, method)
    np.testing.assert_array_equal(gpuclust.linkage(X, method, metric), expected)
    np.testing.assert_array_equal(gpuclust.linkage(Y, method), expected)


@pytest.mark.parametrize("n", [2, 3, 4, 127, 128, 129, 385, 513, 1025, 1400])
@pytest.mark.parametrize("method", METHODS)
def test_sizes_around_every_border(method, n):
    X = points_for("euclidean", n, 3, seed=n)
    expected = hierarchy.linkage(X, method)
    agree(gpuclust.linkage(X, method), expected)
    agree(gpuclust.linkage(pdist(X), method), expected)


@pytest.mark.parametrize(
    ("method", "m"), covering(METHODS, [1, 2, 17, 40, 130], rare=lambda method, m: method in SAME_FORMULA and m > 2)
)
def test_any_number_of_features(method, m):
    X = points_for("euclidean", 150, m, seed=m)
    agree(gpuclust.linkage(X, method), hierarchy.linkage(X, method))


@given(
    st.integers(2, 40),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from(METHODS),
    st.sampled_from(["cityblock", "euclidean", "hamming"]),
    st.booleans(),
)
def test_ties_and_duplicates_replay(n, m, seed, method, metric, condensed):
    """Small integers: many equal dissimilarities, duplicate points."""
    X = np.random.default_rng(seed).integers(0, 3, (n, m)).astype(float)
    if method in EUCLIDEAN:
        metric = "euclidean"
    Y = pdist(X, metric)
    Z = gpuclust.linkage(Y, method) if condensed else gpuclust.linkage(X, method, metric)
    replay(Z, squareform(Y), method)


@given(
    st.integers(2, 60), st.integers(0, 10**6), st.sampled_from([m for m in METHODS if methods.METHODS[m].reducible])
)
def test_heights_of_tied_reducible_linkages_replay_on_random_tables(n, seed, method):
    """Dissimilarities that are no metric at all."""
    Y = np.random.default_rng(seed).integers(1, 12, n * (n - 1) // 2).astype(float)
    Z = gpuclust.linkage(Y, method)
    replay(Z, squareform(Y), method)
    assert (np.diff(Z[:, 2]) >= 0).all()


@pytest.mark.parametrize("n", [600, 1500])
@pytest.mark.parametrize("method", METHODS)
def test_large_ties_give_single_linkage_heights_and_valid_trees(method, n):
    X = np.random.default_rng(5).integers(0, 12, (n, 2)).astype(float)
    Z = gpuclust.linkage(X, method)
    assert hierarchy.is_valid_linkage(Z)
    if method == "single":
        np.testing.assert_array_equal(Z[:, 2], hierarchy.linkage(X, method)[:, 2])
    if methods.METHODS[method].reducible:
        assert (np.diff(Z[:, 2]) >= 0).all()


@pytest.mark.parametrize(("method", "dtype"), typed(METHODS))
def test_either_dtype(method, dtype):
    X = points_for("euclidean", 1200, 6, seed=9)
    Z = gpuclust.linkage(X, method, dtype=dtype)
    expected = hierarchy.linkage(X, method)
    if methods.METHODS[method].reducible:
        np.testing.assert_allclose(Z[:, 2], expected[:, 2], atol=1e-5 * expected[-1, 2])
    assert Z.dtype == np.float64
    assert hierarchy.is_valid_linkage(Z)


@pytest.mark.parametrize("method", METHODS)
def test_input_is_left_alone_and_may_be_of_any_kind(method):
    X = np.round(points_for("euclidean", 60, 4) * 50).astype(np.int32)
    expected = hierarchy.linkage(X.astype(float), method)
    for y in (X, X.tolist(), np.asfortranarray(X), X.astype(np.float32), np.repeat(X, 2, axis=0)[::2]):
        before = np.array(y)
        replay(gpuclust.linkage(y, method), squareform(pdist(X)), method)
        np.testing.assert_array_equal(before, np.array(y))
        np.testing.assert_allclose(gpuclust.linkage(y, method)[-1, 2], expected[-1, 2], rtol=1e-9)
    Y = pdist(X)
    Y.flags.writeable = False
    replay(gpuclust.linkage(Y, method), squareform(Y), method)


def test_the_same_z_for_any_number_of_threads(monkeypatch):
    X = np.random.default_rng(0).integers(0, 9, (1500, 3)).astype(float)
    for method in METHODS:
        results = []
        for threads in ("1", "2", "5"):
            monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
            results.append(gpuclust.linkage(X, method))
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])


def test_calls_from_several_threads_at_once():
    X = points_for("euclidean", 1100, 4)
    expected = {method: hierarchy.linkage(X, method) for method in METHODS}
    wrong: list[str] = []

    def work(method: str) -> None:
        results = [gpuclust.linkage(X, method) for _ in range(2)]
        wrong.extend(method for Z in results if not np.allclose(Z, expected[method], rtol=1e-12, atol=0))

    threads = [threading.Thread(target=work, args=(method,)) for method in METHODS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_callable_metric():
    X = points_for("euclidean", 30, 3)
    Z = gpuclust.linkage(X, "average", lambda u, v: float(np.abs(u - v).max()))
    agree(Z, hierarchy.linkage(X, "average", "chebyshev"))


def test_optimal_ordering():
    """The same tree, with neighbouring leaves no farther apart than in SciPy's (which is not always optimal)."""
    X = points_for("euclidean", 50, 3)
    square = squareform(pdist(X))
    Z = gpuclust.linkage(X, "ward", optimal_ordering=True)
    scipys = hierarchy.linkage(X, "ward", optimal_ordering=True)
    np.testing.assert_array_equal(np.sort(Z[:, :2], axis=1), np.sort(scipys[:, :2], axis=1))
    np.testing.assert_allclose(Z[:, 2:], scipys[:, 2:], rtol=1e-12)
    ours, theirs = (square[order[1:], order[:-1]].sum() for order in map(hierarchy.leaves_list, (Z, scipys)))
    assert ours <= theirs * (1 + 1e-12)
    agree(gpuclust.linkage(pdist(X), "ward", optimal_ordering=True), Z)


def test_optimal_ordering_uses_the_metrics_arguments():
    X = points_for("euclidean", 40, 3)
    Y = pdist(X, "minkowski", p=5)
    ordered = gpuclust.hierarchy.optimal_leaf_ordering(gpuclust.linkage(Y, "average"), Y)
    np.testing.assert_allclose(compute(X, "average", "minkowski", True, p=5).Z, ordered, rtol=1e-12)


def test_functions_named_after_linkages():
    X = points_for("euclidean", 30, 3)
    for method in METHODS:
        agree(getattr(gpuclust, method)(pdist(X)), hierarchy.linkage(X, method))


@pytest.mark.parametrize("method", METHODS)
def test_progress_reaches_the_end_and_never_goes_back(method):
    X = points_for("euclidean", 1500, 3)
    seen: list[tuple[int, int]] = []
    gpuclust.linkage(X, method, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1499, 1499)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_bar_is_shown_only_when_asked(capsys):
    X = points_for("euclidean", 1500, 3)
    gpuclust.linkage(X, "average", progress=True)
    gpuclust.linkage(X, "average")
    assert capsys.readouterr().out == ""


def test_an_error_in_progress_stops_the_work():
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gpuclust.linkage(points_for("euclidean", 1500, 3), "average", progress=stop)


def test_compute_says_what_it_did():
    result = compute(points_for("euclidean", 1100, 6), "average")
    assert result.plan.algorithm == "stored, all pairs"
    assert set(result.seconds) == {"validate", "merge", "assemble"}
    assert 1100 <= result.scans < 12 * 1100


def test_metric_arguments():
    X = points_for("euclidean", 80, 4)
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    agree(
        compute(X, "average", "cityblock", w=weights).Z,
        hierarchy.linkage(pdist(X, "cityblock", w=weights), "average"),
    )
    agree(compute(X, "complete", "minkowski", p=3).Z, hierarchy.linkage(pdist(X, "minkowski", p=3), "complete"))
