"""Metrics of counts on packed bits: SciPy's distances, the trees of single features, and input that is refused."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.spatial.distance as scipy_distance
from conftest import one_of_each_form
from covering import covering

import gpuclust
from gpuclust.compute import compute
from gpuclust.core import bits, metrics, preparation
from gpuclust.core.backend import select
from gpuclust.distance import cdist, nearest_neighbors, pdist

NAMES = sorted(name for name, metric in metrics.METRICS.items() if metric.bits is not None)
#: For the others test_metrics.py compiles the same two functions, with weights that are left out.
COMPILED = ("dice", "jaccard")
KINDS = {
    "bool": lambda X: (X, {}),
    "uint8": lambda X: (X.astype(np.uint8), {}),
    "float": lambda X: (X.astype(np.float32), {}),
    "fortran": lambda X: (np.asfortranarray(X.astype(np.int64)), {}),
    "packed": lambda X: (np.packbits(X, axis=1), {"packed": X.shape[1]}),
    "packed, little": lambda X: (np.packbits(X, axis=1, bitorder="little"), {"packed": X.shape[1]}),
}


def features(n: int, m: int, seed: int = 0) -> np.ndarray:
    """Booleans with rows of zeros, of ones, and equal ones."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, m)) < rng.beta(1, 3, size=(n, 1))
    X[1] = X[2] = False
    X[3], X[5] = True, X[4]
    return X


def scipys(function: str, *arguments: object) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return getattr(scipy_distance, function)(*arguments)


def test_metrics_of_counts():
    assert NAMES == ["dice", "hamming", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule"]
    for name in NAMES:
        assert metrics.METRICS[name].bits.finish is metrics.METRICS[name].finish


@pytest.mark.parametrize(
    ("name", "m", "backend"),
    covering(
        NAMES,
        [1, 7, 63, 64, 65, 2048],
        ["reference", "cpu"],
        together=3,
        rare=lambda name, m, backend: backend == "cpu" and name not in COMPILED,
    ),
)
def test_distances_are_scipys(name, m, backend):
    X = features(40, m)
    expected = scipys("pdist", X, name)
    for dtype, rtol in (("float64", 1e-15), ("float32", 1e-6)):
        single = preparation.prepare(X, name, dtype=dtype, w=np.ones(m))
        assert not single.metric.words
        for kind, given in KINDS.items():
            Y, arguments = given(X)
            points = preparation.prepare(Y, name, dtype=dtype, **arguments)
            assert points.metric is metrics.METRICS[name].bits
            assert points.features.nbytes == -(-m // 64) * 8 * 40
            out = np.empty(40 * 39 // 2, dtype)
            found = select(backend).condensed(points, out)
            np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=kind)
            np.testing.assert_array_equal(found, select(backend).condensed(single, out.copy()), err_msg=kind)


@pytest.mark.parametrize("name", one_of_each_form(NAMES, COMPILED))
def test_functions_of_points_take_packed_bits(name):
    X, other = features(60, 70), features(9, 70, seed=1)
    Y, packed = np.packbits(X, axis=1), {"packed": 70}
    np.testing.assert_array_equal(pdist(Y, name, **packed), pdist(X, name))
    np.testing.assert_allclose(
        cdist(Y, np.packbits(other, axis=1), name, **packed), scipys("cdist", X, other, name), rtol=1e-14
    )
    X, Y = X[3:], Y[3:]  # no rows of zeros
    for ours, theirs in zip(nearest_neighbors(Y, 5, name, **packed), nearest_neighbors(X, 5, name), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("n", [50, 1100])
@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted"])
@pytest.mark.parametrize("name", one_of_each_form(["dice", "jaccard"], ["jaccard"]))
def test_trees_are_those_of_single_features(name, method, n, monkeypatch):
    X = features(n, 90)
    X[:, 0] = True
    Z = compute(X, method, name, device="cpu").Z
    np.testing.assert_array_equal(Z, gpuclust.linkage(np.packbits(X, axis=1), method, name, packed=90))
    if n == 50:
        np.testing.assert_array_equal(Z, compute(X, method, name, device="reference").Z)
    monkeypatch.setattr(preparation, "bits_form", lambda *arguments, **others: None)
    np.testing.assert_array_equal(Z, compute(X, method, name, device="cpu").Z)


@pytest.mark.parametrize("method", ["average", pytest.param("complete", marks=pytest.mark.sweep)])
def test_searches_of_clusters_on_words(method):
    X = features(400, 200)
    given = {"algorithm": "hybrid", "memory_limit": "30MB", "device": "cpu"}
    ours, single = (compute(X, method, "hamming", w=w, **given).Z for w in (None, np.ones(200)))
    np.testing.assert_array_equal(ours, single)


def test_an_estimator_takes_packed_bits():
    X = features(30, 70)
    pytest.importorskip("sklearn")
    found = [
        gpuclust.AgglomerativeClustering(3, metric="jaccard", linkage="average", metric_params=given).fit(Y).labels_
        for Y, given in ((X, None), (np.packbits(X, axis=1), {"packed": 70}))
    ]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("name", ["dice", "hamming"])
@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_other_numbers_are_not_packed(name, value):
    X = features(20, 65).astype(float)
    X[-1, -1] = value
    ready = preparation.prepare(X, name)
    assert not ready.metric.words
    found = select("cpu").condensed(ready, np.empty(190))
    np.testing.assert_allclose(found, scipys("pdist", X, name), rtol=1e-14)
    A, B = preparation.prepare_pair(X[:10], X[10:], name)
    assert not A.metric.words
    assert not B.metric.words


def test_a_missing_value_is_refused():
    X = features(20, 65).astype(float)
    X[2, 3] = np.nan
    for name in NAMES:
        with pytest.raises(ValueError, match="row 2, column 3"):
            gpuclust.linkage(X, "single", name)


PACKED = np.packbits(features(20, 70), axis=1)


@pytest.mark.parametrize(
    ("y", "given", "error", "text"),
    [
        (PACKED, {"packed": 72}, None, ""),
        (PACKED, {"packed": 64}, ValueError, "rows of 8 bytes"),
        (PACKED, {"packed": 80}, ValueError, "rows of 10 bytes"),
        (PACKED, {"packed": 65}, ValueError, "bits after the last of 65 packed features must be zero; row"),
        (PACKED, {"packed": True}, TypeError, "whole number, got True"),
        (PACKED, {"packed": 70.0}, TypeError, "whole number, got 70.0"),
        (PACKED, {"packed": 0}, ValueError, "at least 1, got 0"),
        (PACKED, {"packed": 70, "metric": "euclidean"}, TypeError, "those that do: dice, hamming"),
        (PACKED, {"packed": 70, "w": np.ones(70)}, TypeError, "unpackbits"),
        (PACKED.astype(np.int64), {"packed": 70}, TypeError, "dtype uint8"),
        (np.ones(10), {"packed": 70}, ValueError, "not for condensed"),
    ],
)
def test_what_is_no_packed_input_is_refused(y, given, error, text):
    given = {"method": "single", "metric": "jaccard"} | given
    if error is None:
        gpuclust.linkage(y, **given)
        return
    with pytest.raises(error, match=text):
        gpuclust.linkage(y, **given)
    if y.ndim == 2:
        del given["method"]
        for function in (pdist, nearest_neighbors):
            with pytest.raises(error, match=text):
                function(y, **given)
        with pytest.raises(error, match=text):
            cdist(y, y, **given)


def test_memory_of_packed_points():
    n, m = 4096, 2048
    X = np.random.default_rng(0).random((n, m)) < 0.1
    preparation.prepare(X, "jaccard")
    tracemalloc.start()
    points = preparation.prepare(X, "jaccard")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert points.features.nbytes == n * m // 8
    assert peak < 2 * n * m // 8 + 2**21
    planned = gpuclust.plan(n, m, "average", "jaccard", memory_limit="8GB", device="cpu")
    assert planned.problem.feature_bytes == n * m // 8
    assert compute(X, "single", "jaccard", memory_limit="4MB", device="cpu").plan.memory < 2 * n * m // 8
    assert compute(X[:9], "single", "hamming", device="cpu").plan.bits
    assert not compute(X[:9], "single", "jaccard", device="cpu", w=np.ones(m)).plan.bits


def test_popcount_without_numpy_2(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**64, (3, 50), dtype=np.uint64)
    expected = np.array([[int(word).bit_count() for word in row] for row in words])
    np.testing.assert_array_equal(bits.popcount(words), expected)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(bits.popcount(words.T), expected.T)
    X = features(20, 130)
    found = select("reference").condensed(preparation.prepare(X, "jaccard"), np.empty(190))
    np.testing.assert_allclose(found, scipys("pdist", X, "jaccard"), rtol=1e-15)
