"""gpuclust.distance against scipy.spatial.distance: results, conversions, errors, and the two forms of a matrix."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.spatial.distance as scipy_distance
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust import distance
from gpuclust.core import memory, metrics
from gpuclust.errors import BackendUnavailable, DoesNotFit

X = np.random.default_rng(0).normal(size=(23, 5))
Y = np.random.default_rng(1).normal(size=(11, 5))


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int32", "uint8", "bool", "list"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "hamming", "jaccard", "canberra"])
def test_any_real_input_gives_float64_as_in_scipy(metric: str, kind: str) -> None:
    A, B = (np.abs(10 * points).tolist() if kind == "list" else np.abs(10 * points).astype(kind) for points in (X, Y))
    with np.errstate(all="ignore"):
        for ours, theirs in (
            (distance.pdist(A, metric), scipy_distance.pdist(A, metric)),
            (distance.cdist(A, B, metric), scipy_distance.cdist(A, B, metric)),
        ):
            assert ours.dtype == np.float64
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def test_input_is_left_alone() -> None:
    for name in metrics.METRICS:
        given = np.abs(X[:, :2] if name.startswith("haversine") else X)
        A = given.copy()
        distance.pdist(A, name)
        np.testing.assert_array_equal(A, given)


def test_float32_on_request() -> None:
    for ours in (distance.pdist(X, dtype="float32"), distance.cdist(X, Y, dtype=np.float32)):
        assert ours.dtype == np.float32
    np.testing.assert_allclose(distance.pdist(X, dtype="float32"), scipy_distance.pdist(X), rtol=1e-6)
    with pytest.raises(ValueError, match="'float64' or 'float32'"):
        distance.pdist(X, dtype="int8")


def test_default_metric_aliases_and_parameters() -> None:
    np.testing.assert_array_equal(distance.pdist(X), scipy_distance.pdist(X))
    np.testing.assert_array_equal(distance.cdist(X, Y), scipy_distance.cdist(X, Y))
    np.testing.assert_array_equal(distance.pdist(X, "CB"), scipy_distance.pdist(X, "cityblock"))
    w, V, VI = np.arange(5.0), np.arange(1.0, 6.0), np.diag(np.arange(1.0, 6.0))
    for name, arguments in (
        ("minkowski", {"p": 3, "w": w}),
        ("minkowski", {"p": np.inf}),
        ("seuclidean", {"V": V}),
        ("seuclidean", {"V": None}),
        ("mahalanobis", {"VI": VI}),
        ("mahalanobis", {}),
        ("euclidean", {"w": [1, 2, 3, 4, 5]}),
    ):
        np.testing.assert_allclose(
            distance.pdist(X, name, **arguments), scipy_distance.pdist(X, name, **arguments), rtol=1e-12
        )
        np.testing.assert_allclose(
            distance.cdist(X, Y, name, **arguments), scipy_distance.cdist(X, Y, name, **arguments), rtol=1e-12
        )


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (2, 3), (3, 0)])
def test_few_points(shape: tuple[int, int]) -> None:
    few, more = np.ones(shape), np.ones((4, shape[1]))
    np.testing.assert_array_equal(distance.pdist(few), scipy_distance.pdist(few))
    np.testing.assert_array_equal(distance.cdist(few, more), scipy_distance.cdist(few, more))
    np.testing.assert_array_equal(distance.cdist(more, few), scipy_distance.cdist(more, few))


def test_functions() -> None:
    def skewed(x: np.ndarray, y: np.ndarray, power: float = 1.0) -> float:
        return float(((x - 2 * y) ** 2).sum() ** power)

    for arguments in ({}, {"power": 0.5}, {"power": 2.0}):
        np.testing.assert_array_equal(
            distance.pdist(X, skewed, **arguments), scipy_distance.pdist(X, skewed, **arguments)
        )
        np.testing.assert_array_equal(
            distance.cdist(X, Y, skewed, **arguments), scipy_distance.cdist(X, Y, skewed, **arguments)
        )
    words = [["gauss"], ["euler"], ["hilbert"]]
    np.testing.assert_array_equal(distance.pdist(words, lambda a, b: abs(len(a[0]) - len(b[0]))), [0, 2, 2])
    with pytest.raises(TypeError):
        distance.pdist(X, skewed, nonsense=1)


@pytest.mark.parametrize("name", ["euclidean", "mahalanobis", "minkowski", "rogerstanimoto", "seuclidean"])
def test_scipys_functions_get_what_the_metric_of_their_name_gets(name: str) -> None:
    function = getattr(scipy_distance, name)
    A, B = (X > 0, Y > 0) if name == "rogerstanimoto" else (X, Y)
    np.testing.assert_allclose(distance.pdist(A, function), scipy_distance.pdist(A, function), rtol=1e-12)
    np.testing.assert_allclose(distance.cdist(A, B, function), scipy_distance.cdist(A, B, function), rtol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", scipy_distance.euclidean])
def test_out(metric: object) -> None:
    pairs = len(X) * (len(X) - 1) // 2
    out = np.empty(pairs)
    assert distance.pdist(X, metric, out=out) is out
    np.testing.assert_allclose(out, scipy_distance.pdist(X), rtol=1e-15)
    square = np.empty((len(X), len(Y)))
    assert distance.cdist(X, Y, metric, out=square) is square
    np.testing.assert_allclose(square, scipy_distance.cdist(X, Y), rtol=1e-15)
    locked = np.empty(pairs)
    locked.flags.writeable = False
    for wrong, text in (
        (np.empty(pairs + 1), "shape"),
        (np.empty((1, pairs)), "shape"),
        (np.empty(2 * pairs)[::2], "contiguous"),
        (np.empty(pairs, np.float32), "type"),
        (locked, "writable"),
    ):
        with pytest.raises(ValueError, match=text):
            distance.pdist(X, metric, out=wrong)
    with pytest.raises(ValueError, match="contiguous"):
        distance.cdist(X, Y, metric, out=np.empty((len(Y), len(X))).T)
    with pytest.raises(TypeError, match="list"):
        distance.pdist(X, metric, out=[0.0] * pairs)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.ones(3),), ValueError, "2-dimensional"),
        ((np.ones((2, 2, 2)),), ValueError, "2-dimensional"),
        ((X, "euclidian"), ValueError, "Did you mean 'euclidean'"),
        ((X, 7), TypeError, "got 7"),
        ((X, None), TypeError, "got None"),
        ((X * 1j,), ValueError, "complex"),
        (([["a", "b"]],), ValueError, "real numbers"),
        ((np.where(X > 0, X, None),), ValueError, "row 0, column 1 is missing"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        distance.pdist(*arguments)  # type: ignore[arg-type]
    with pytest.raises(error, match=text):
        distance.cdist(arguments[0], *arguments)  # type: ignore[arg-type]


def test_bad_parameters() -> None:
    with pytest.raises(TypeError, match="unknown parameter 'q'"):
        distance.pdist(X, q=3)
    with pytest.raises(TypeError, match="takes no parameter 'V'"):
        distance.pdist(X, V=np.ones(5))
    with pytest.raises(ValueError, match="non-negative"):
        distance.cdist(X, Y, w=-np.ones(5))
    with pytest.raises(ValueError, match=r"same number of columns.*5 and 4"):
        distance.cdist(X, Y[:, :4])


def test_device() -> None:
    np.testing.assert_array_equal(distance.pdist(X, device="cpu"), distance.pdist(X))
    np.testing.assert_array_equal(distance.cdist(X, Y, device="reference"), distance.cdist(X, Y))
    with pytest.raises(ValueError, match="device"):
        distance.pdist(X, device="abacus")


def test_a_result_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    many = np.ones((10_000, 1))
    for compute in (
        lambda: distance.pdist(many),
        lambda: distance.cdist(many, many),
        lambda: distance.squareform(np.broadcast_to(np.int8(0), 10_000 * 9_999 // 2).astype(np.int32)),
    ):
        with pytest.raises(DoesNotFit, match="100 MB are available"):
            compute()


def test_several_threads_may_call_at_once() -> None:
    many = np.random.default_rng(2).normal(size=(700, 9))
    right = scipy_distance.pdist(many)
    with ThreadPoolExecutor(4) as pool:
        for ours in pool.map(lambda _: distance.pdist(many), range(12)):
            np.testing.assert_array_equal(ours, right)


# ------------------------------------------------------------------------------------- square and condensed


@settings(deadline=None, max_examples=60)
@given(
    n=st.one_of(st.integers(2, 40), st.sampled_from([255, 256, 257, 600])),
    kind=st.sampled_from(["float64", "float32", "int16", "bool", "complex128"]),
    strided=st.booleans(),
)
def test_squareform_goes_both_ways(n: int, kind: str, strided: bool) -> None:
    values = np.random.default_rng(n).integers(0, 100, n * (n - 1)).astype(kind)
    vector = values[::2] if strided else values[: len(values) // 2]
    square = distance.squareform(vector)
    np.testing.assert_array_equal(square, scipy_distance.squareform(vector))
    assert square.dtype == vector.dtype
    back = distance.squareform(np.asfortranarray(square) if strided else square, force="tovector")
    np.testing.assert_array_equal(back, vector)
    assert back.dtype == vector.dtype


def test_squareform_of_nothing() -> None:
    for nothing in (np.zeros(0), np.zeros((0, 0)), np.zeros((1, 1)), np.zeros(0, np.int8)):
        ours, theirs = distance.squareform(nothing), scipy_distance.squareform(nothing)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)


@pytest.mark.parametrize(
    ("value", "force"),
    [
        (np.ones(4), "no"),
        (np.ones((2, 3)), "no"),
        (np.ones((2, 2, 2)), "no"),
        (np.ones(3), "tovector"),
        (np.zeros((3, 3)), "tomatrix"),
        (np.eye(3), "no"),
        (np.triu(np.ones((3, 3)), 1), "no"),
        (np.full((2, 2), np.nan), "no"),
    ],
)
def test_squareform_refuses(value: np.ndarray, force: str) -> None:
    for squareform in (distance.squareform, scipy_distance.squareform):
        with pytest.raises(ValueError):
            squareform(value, force=force)


def test_squareform_without_checks_takes_the_upper_triangle() -> None:
    value = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(distance.squareform(value, checks=False), [1, 2, 5])


SYMMETRIC = X @ X.T - np.diag((X**2).sum(axis=1))
MATRICES = {
    "right": np.where(np.eye(23, dtype=bool), 0.0, (SYMMETRIC + SYMMETRIC.T) / 2),
    "diagonal": np.eye(3),
    "small diagonal": np.eye(3) * 1e-9,
    "lopsided": np.triu(np.ones((3, 3)), 1),
    "a little lopsided": np.triu(np.full((3, 3), 1e-9), 1),
    "not square": np.zeros((2, 3)),
    "vector": np.zeros(3),
    "nan": np.full((3, 3), np.nan),
    "empty": np.zeros((0, 0)),
    "integers": np.ones((4, 4), int) - np.eye(4, dtype=int),
    "large": 1.0 - np.eye(300),
    "large, one wrong": 1.0 - np.eye(300) + np.eye(300, k=290) * (np.arange(300) == 3)[:, None],
}


@pytest.mark.parametrize("tol", [0.0, 1e-6])
@pytest.mark.parametrize("name", MATRICES)
def test_is_valid_dm(name: str, tol: float) -> None:
    D = MATRICES[name]
    try:
        theirs = scipy_distance.is_valid_dm(D, tol=tol)
    except ValueError:  # shapes that do not broadcast
        theirs = False
    assert distance.is_valid_dm(D, tol=tol) == theirs
    if theirs:
        assert distance.is_valid_dm(D, tol=tol, throw=True)
        assert distance.num_obs_dm(D) == len(D)
        return
    with pytest.raises(ValueError, match="'Q'"):
        distance.is_valid_dm(D, tol=tol, throw=True, name="Q")
    with pytest.warns(UserWarning, match="Distance matrix"):
        assert not distance.is_valid_dm(D, tol=tol, warning=True, name="")


@pytest.mark.parametrize("y", [np.zeros(0), np.zeros(1), np.zeros(3), np.zeros(5), np.zeros((3, 3)), [1, 2, 3], 0.0])
def test_is_valid_y(y: object) -> None:
    theirs = scipy_distance.is_valid_y(np.asarray(y))
    assert distance.is_valid_y(y) == theirs
    if theirs:
        assert distance.is_valid_y(y, throw=True)
        return
    with pytest.raises(ValueError, match="'q'"):
        distance.is_valid_y(y, throw=True, name="q")
    with pytest.warns(UserWarning, match="ondensed"):
        assert not distance.is_valid_y(y, warning=True)


def test_number_of_observations() -> None:
    for n in (2, 3, 10, 1000):
        assert distance.num_obs_y(np.zeros(n * (n - 1) // 2)) == n
    with pytest.raises(ValueError, match="empty"):
        distance.num_obs_y([])
    with pytest.raises(ValueError, match="got 4"):
        distance.num_obs_y(np.zeros(4))
    with pytest.raises(ValueError, match="symmetric"):
        distance.num_obs_dm(np.zeros((2, 3)))


def test_nothing_warns_without_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance.pdist(np.zeros((3, 4)), "cosine")
        distance.pdist(np.zeros((3, 4)), "braycurtis")
        distance.pdist(np.zeros((3, 0)), "correlation")
        distance.pdist(np.full((3, 4), np.inf))
        distance.pdist(np.zeros((3, 4)), "jensenshannon", device="reference")


def test_cuda_is_named_when_it_is_missing() -> None:
    from gpuclust.core.backend import REGISTRY

    if "cuda" in REGISTRY:
        pytest.skip("this version has a CUDA backend: its own tests say what happens without a device")
    with pytest.raises(BackendUnavailable, match="cuda"):
        distance.pdist(X, device="cuda")
