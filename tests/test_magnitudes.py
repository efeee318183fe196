"""Very small and very large numbers, and large offsets: distances and heights keep the accuracy of ordinary ones."""

from __future__ import annotations

from decimal import Decimal

import exact
import numpy as np
import pytest
from conftest import DTYPES, FEW_FORMS, METHODS, rarely_float32
from covering import covering

import gpuclust
from gpuclust.core import metrics, preparation
from gpuclust.distance import cdist, nearest_neighbors, pdist
from gpuclust.errors import NotFinite

DEVICES = ["cpu", "reference"]
#: Powers of two that points are multiplied by; 2**-1000 and less are only tried where squares are not the result.
SCALES = [-1000, -680, -520, -300, 0, 300, 520, 680, 1000]
NORMS = ["chebyshev", "cityblock", "euclidean", "minkowski", "sqeuclidean"]
#: Metrics that do not depend on the scale, of all points or of each.
FREE = ["braycurtis", "canberra", "correlation", "cosine", "jensenshannon", "mahalanobis", "seuclidean"]


def rarely_compiled(metric: str, dtype: str, device: str = "cpu") -> bool:
    """Whether a case is for the sweep: kernels for float32 that no other test has."""
    return device == "cpu" and dtype == "float32" and metric != "euclidean"


def points(n: int = 9, m: int = 3, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).random((n, m)) + 0.1, 3)


def close(found: np.ndarray, right: list[Decimal], tolerance: float) -> None:
    """Relative to the largest where that is a number of the type; what is larger must be infinite."""
    largest = float(np.finfo(found.dtype).max)
    assert len(found) == len(right)
    top = max((value for value in right if value <= largest), default=Decimal(0))
    for ours, value in zip(found.tolist(), right, strict=True):
        if value > largest:
            assert ours == np.inf
        else:
            assert abs(Decimal(ours) - value) <= Decimal(tolerance) * top + Decimal(
                float(np.finfo(found.dtype).smallest_subnormal)
            )


@pytest.mark.parametrize(
    ("metric", "dtype", "device"),
    covering(
        NORMS,
        DTYPES,
        DEVICES,
        together=3,
        rare=lambda *case: rarely_compiled(*case) or (case[2] == "cpu" and case[0] not in FEW_FORMS),
    ),
)
def test_norms_of_every_scale(metric, dtype, device):
    X = points()
    arguments = {"p": 3.5} if metric == "minkowski" else {}
    right = exact.minkowski(3.5) if metric == "minkowski" else exact.DISTANCES[metric]
    for exponent in SCALES if dtype == "float64" else (-200, -130, -70, -40, 0, 40, 63, 110, 200):
        Y = np.ldexp(X, exponent)
        expected = exact.condensed(Y, right)
        tolerance = 4e-15 if dtype == "float64" else 4e-7
        close(pdist(Y, metric, dtype=dtype, device=device, **arguments), expected, tolerance)
        square = cdist(Y[:4], Y, metric, dtype=dtype, device=device, **arguments)
        close(np.concatenate([square[i, i + 1 :] for i in range(4)]), expected[: 8 + 7 + 6 + 5], tolerance)
        found, at = nearest_neighbors(Y, 2, metric, dtype=dtype, device=device, **arguments)
        listed = [expected[len(X) * i + j - (i + 2) * (i + 1) // 2] for i, j in ((0, k) for k in range(1, 9))]
        if max(expected) < float(np.finfo(dtype).max):
            close(found[0], sorted(listed)[:2], tolerance)
            assert set(at[0]) <= set(range(1, 9))


@pytest.mark.parametrize(
    ("metric", "dtype", "device"), covering(FREE, DTYPES, DEVICES, together=3, rare=rarely_compiled)
)
def test_metrics_that_do_not_depend_on_the_scale(metric, dtype, device):
    X = points(seed=1)
    base = pdist(X, metric, device="reference")
    for exponent in (-1070, *SCALES, 1023):
        if exponent < -1000:  # numbers with few digits: small whole multiples of the smallest
            Y = np.ldexp(np.round(X * 100), exponent + 20)
            expected = pdist(np.round(X * 100), metric, device="reference")
        else:
            Y, expected = np.ldexp(X / 4, exponent), base
        for found in (
            pdist(Y, metric, dtype=dtype, device=device),
            np.concatenate([row[i + 1 :] for i, row in enumerate(cdist(Y, Y, metric, dtype=dtype, device=device))])
            if metric not in ("seuclidean", "mahalanobis")
            else expected,
        ):
            if dtype == "float64":
                np.testing.assert_allclose(found, expected, rtol=1e-11, atol=4e-16)
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("name", ["braycurtis", "canberra", "correlation", "cosine", "jensenshannon"])
@pytest.mark.parametrize("exponent", [-1000, -500, 500, 1000])
def test_metrics_that_do_not_depend_on_the_scale_against_exact_numbers(name, exponent):
    X = np.ldexp(points(seed=2), exponent)
    tolerance = 1e-12 if name == "jensenshannon" else 3e-15  # of nearly equal rows logarithms cancel
    close(pdist(X, name), exact.condensed(X, exact.DISTANCES[name]), tolerance)


@pytest.mark.parametrize(
    ("metric", "dtype"), covering(["correlation", "cosine", "jensenshannon"], DTYPES, rare=rarely_compiled)
)
def test_rows_of_different_scale(metric, dtype):
    X = points(6, seed=3)
    Y = np.ldexp(X, np.array([-1000, -600, 0, 40, 600, 1000])[:, None])
    expected = pdist(X, metric)
    tolerance = {"rtol": 1e-12, "atol": 4e-16} if dtype == "float64" else {"atol": 1e-6}
    np.testing.assert_allclose(pdist(Y, metric, dtype=dtype), expected, **tolerance)
    Z = gpuclust.linkage(Y, "average", metric, dtype=dtype)
    np.testing.assert_allclose(Z[:, 2], gpuclust.linkage(X, "average", metric)[:, 2], **tolerance)


def test_weights_zero_take_no_part_in_the_scale():
    X = points(6, seed=4)
    Y = np.column_stack((np.full(6, 1e200), X * 1e-200))
    for metric in ("cosine", "correlation"):
        np.testing.assert_allclose(pdist(Y, metric, w=[0, 1, 1, 1]), pdist(X, metric), rtol=1e-12, atol=1e-15)
    for metric in NORMS[:-1]:
        for dtype, rtol in (("float64", 1e-14), ("float32", 1e-5)):
            found = pdist(Y * 2.0**300, metric, w=[0, 1, 1, 1], dtype=dtype)
            right = np.float64(pdist(X, metric) * 1e-200 * 2.0**300)
            np.testing.assert_allclose(found, right.astype(dtype), rtol=rtol)


@pytest.mark.parametrize("exponent", [-500, 500])
def test_features_of_different_scale(exponent):
    """Variances and a covariance matrix that are given or the points' own."""
    X = points(12, seed=5)
    exponents = np.array([-exponent, 0, exponent])
    Y = np.ldexp(X, exponents)
    for dtype, rtol in (("float64", 1e-11), ("float32", 1e-4)):
        for metric in ("seuclidean", "mahalanobis"):
            np.testing.assert_allclose(pdist(Y, metric, dtype=dtype), pdist(X, metric), rtol=rtol)
        V = np.ldexp([0.5, 1.0, 2.0], 2 * exponents)
        np.testing.assert_allclose(
            pdist(Y, "seuclidean", V=V, dtype=dtype), pdist(X, "seuclidean", V=[0.5, 1, 2]), rtol=rtol
        )
        for e in (-600, 600):
            Z = np.ldexp(X, e)
            right = exact.condensed(Z, exact.seuclidean([Decimal(1), Decimal(2), Decimal(4)]))
            if dtype == "float64":
                close(pdist(Z, "seuclidean", V=[1, 2, 4]), right, 1e-14)
                close(pdist(Z, "mahalanobis", VI=np.diag([1, 0.5, 0.25])), right, 1e-14)
            found = gpuclust.linkage(Z, "single", "seuclidean", dtype=dtype)[:, 2]
            np.testing.assert_allclose(found, gpuclust.linkage(X, "single", "seuclidean")[:, 2], rtol=rtol)


def test_variances_far_from_one():
    X = points(8, seed=6)
    for exponent in (-900, -1000, 900):
        right = exact.condensed(X, exact.seuclidean([Decimal(2) ** exponent] * 3))
        close(pdist(X, "seuclidean", V=np.full(3, 2.0**exponent)), right, 1e-14)
        close(pdist(X, "mahalanobis", VI=np.eye(3) * 2.0**-exponent), right, 1e-14)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("p", [0.5, 0.05, 1.5, 20, 100, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_minkowski_of_any_exponent(p, weighted, device):
    X = points(7, seed=7)
    X[1] = X[0] + [1e-9, 0, 0]
    w = [0.25, 0.0, 3.0] if weighted else None
    for scale in (1.0, 1e-200, 1e200):
        right = exact.condensed(X * scale, exact.minkowski(p), w)
        found = pdist(X * scale, "minkowski", p=p, w=w, device=device)
        tolerance = 1e-13 / min(p, 1)
        close(found, right, tolerance)
        assert found[0] == pytest.approx(float(right[0]), rel=tolerance)
        Z = gpuclust.linkage(X * scale, "single", "minkowski", device=device) if p == 1.5 else None
        assert Z is None or Z[0, 2] > 0
    found = pdist(X, "minkowski", p=p, w=w, dtype="float32", device=device)
    np.testing.assert_allclose(found, [float(each) for each in exact.condensed(X, exact.minkowski(p), w)],
                               rtol=1e-5 / min(p, 1), atol=1e-6)  # fmt: skip


def test_minkowski_of_a_large_exponent():
    assert pdist([[0, 0.0], [3, 4]], "minkowski", p=1000)[0] == 4.0
    assert pdist([[0, 0], [3, 4]], "minkowski", p=1000)[0] == 4.0
    distances, indices = nearest_neighbors([[0, 0.0], [3, 4], [3, 4.25]], 1, "minkowski", p=1000)
    np.testing.assert_array_equal(indices[:, 0], [1, 2, 1])
    np.testing.assert_allclose(distances[:, 0], [4, 0.25, 0.25], rtol=1e-12)
    found = gpuclust.linkage([[0, 0.0], [3, 4], [3, 4.25]], "average", "minkowski")
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("method", "dtype", "device"),
    covering(METHODS, DTYPES, DEVICES, together=3, rare=lambda *case: case[2] == "cpu" and rarely_float32(*case)),
)
def test_heights_of_every_scale(method, dtype, device):
    """From points and from distances; of float32 also what is no number of that type."""
    X = points(8, 2, seed=8)
    for exponent in (-1000, -300, -140, -80, 0, 60, 110, 140, 300, 1000):
        Y = np.ldexp(X, exponent)
        pairs = exact.condensed(Y, exact.DISTANCES["euclidean"])
        right = exact.heights(pairs, 8, method)
        tolerance = 3e-15 if dtype == "float64" else 4e-7
        for given in (Y, np.array([float(pair) for pair in pairs])):
            Z = gpuclust.linkage(given, method, dtype=dtype, device=device)
            close(np.sort(Z[:, 2]), right, tolerance)


@pytest.mark.parametrize("exponent", [-1030, -1000, -300, 300, 1000])
@pytest.mark.parametrize("metric", ["cityblock", "sqeuclidean"])
def test_heights_of_other_metrics(metric, exponent):
    X = np.ldexp(np.round(points(8, 2, seed=9) * 100), exponent if metric == "cityblock" else exponent // 2)
    for method in ("single", "complete", "average", "weighted"):
        right = exact.heights(exact.condensed(X, exact.DISTANCES[metric]), 8, method)
        close(np.sort(gpuclust.linkage(X, method, metric)[:, 2]), right, 4e-15)


def test_small_distances_beside_large_ones():
    """Numbers whose squares underflow are not zero, down to 1e-300 beside one."""
    X = np.array([[0.0], [1e-300], [3e-300], [1e-170], [1.0]])
    np.testing.assert_allclose(gpuclust.linkage(X)[:, 2], [1e-300, 2e-300, 1e-170 - 3e-300, 1 - 1e-170], rtol=1e-15)
    np.testing.assert_allclose(pdist(X)[[0, 1, 2, 4]], [1e-300, 3e-300, 1e-170, 2e-300], rtol=1e-15)
    for method in ("ward", "centroid", "average"):
        assert gpuclust.linkage(X, method)[0, 2] == pytest.approx(1e-300, rel=1e-14)
    for method in ("ward", "centroid", "median"):
        assert gpuclust.linkage(pdist(X), method)[0, 2] == pytest.approx(1e-300, rel=1e-14)


def test_what_is_no_number_is_refused_or_infinite():
    for exponent in (1e308, 1.5e308):
        with pytest.raises(NotFinite, match=r"rows 0 and 1 is inf.*not finite"):
            gpuclust.linkage([[exponent], [-exponent]], "average")
        assert pdist([[exponent], [-exponent]])[0] == np.inf
    found = gpuclust.linkage([[1e308], [-1e308], [0.0]], "average")[:, 2]  # the mean of 2e308 and 1e308 is a number
    np.testing.assert_allclose(found, [1e308, 1.5e308], rtol=1e-15)
    assert pdist([[1e200], [-1e200]], "sqeuclidean")[0] == np.inf
    assert pdist([[1e-200], [-1e-200]], "sqeuclidean")[0] == 0
    assert pdist([[1e30], [-1e30]], dtype="float32")[0] == pytest.approx(2e30, rel=1e-6)
    assert pdist([[1e300], [-1e300]], dtype="float32")[0] == np.inf
    assert pdist([[1e-300], [-1e-300]], dtype="float32")[0] == 0


@pytest.mark.parametrize("metric", ["chebyshev", "cityblock", "euclidean", "seuclidean", "sqeuclidean"])
def test_no_bit_changes_where_nothing_is_out_of_range(metric):
    """Points are only touched where squares would leave the range of numbers."""
    X = points(30, 4, seed=10)
    kernels = pdist(X, metric)
    for exponent in (-300, -200, 200, 300):
        given = {"V": np.ldexp(np.var(X, axis=0, ddof=1), 2 * exponent)} if metric == "seuclidean" else {}
        degree = 0 if given else metrics.METRICS[metric].degree
        scaled = pdist(np.ldexp(X, exponent), metric, **given)
        np.testing.assert_array_equal(scaled, np.ldexp(kernels, degree * exponent))
        assert preparation.prepare(np.ldexp(X, exponent), metric).exponent == 0
