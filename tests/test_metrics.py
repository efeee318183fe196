"""The metric table: every metric against SciPy, on the reference and on the CPU, with special values and errors."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.spatial.distance as scipy_distance
from conftest import FEW_FORMS, FORMS, OWN_METRICS, one_of_each_form
from covering import covering
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.core import metrics, preparation
from gpuclust.kernels.cpu.space import pairwise as cpu
from gpuclust.kernels.reference import pairwise as reference

BACKENDS = {"cpu": cpu, "reference": reference}
ALL = sorted({*metrics.METRICS} - {*OWN_METRICS})
#: Names of SciPy's metrics in other libraries.
OTHER_NAMES = {"manhattan", "l1", "l2", "pearson"}
BOOLEAN = {"dice", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule"}
WEIGHTED = [name for name in ALL if metrics.METRICS[name].accepts_weights]
#: Before 1.17, which has no Kulczynski 1 and Sokal-Michener any more.
OLD_SCIPY = "sokalmichener" in scipy_distance._METRICS
EXACT = ["chebyshev", "cityblock", "euclidean", "sqeuclidean"]


def points(name: str, n: int = 40, m: int = 7, seed: int = 0) -> np.ndarray:
    """Points that the metric is meant for."""
    rng = np.random.default_rng(seed)
    if name in BOOLEAN:
        return rng.random((n, m)) < 0.4
    if name == "hamming":
        return rng.integers(0, 3, (n, m)).astype(float)
    if name == "jensenshannon":
        return rng.random((n, m))
    return rng.normal(size=(n, m))


def arguments(name: str) -> dict[str, float]:
    return {"p": 3.5} if name == "minkowski" else {}


def scipy(function: str, *args: object, **kwargs: object) -> np.ndarray:
    """SciPy's result, without its warnings about 0/0."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return getattr(scipy_distance, function)(*args, **kwargs)


def test_names_and_aliases_are_scipys() -> None:
    theirs = {info.canonical_name: set(info.aka) for info in scipy_distance._METRICS.values()}
    for removed in ("kulczynski1", "sokalmichener"):  # by SciPy 1.17
        theirs.pop(removed, None)
    ours = {name: {name, *metrics.METRICS[name].aliases} - OTHER_NAMES for name in ALL}
    assert ours == theirs


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("m", [1, 3, 4, 8, 13])
def test_every_metric_is_scipys(name: str, backend: str, m: int) -> None:
    X = points(name, m=m)
    ready = preparation.prepare(X, name, **arguments(name))
    ours, theirs = BACKENDS[backend].condensed(ready), scipy("pdist", X, name, **arguments(name))
    if name == "jensenshannon" and m == 1:  # all rows are the same distribution: by rounding NaN for some in SciPy
        theirs = np.nan_to_num(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15 if name in ("correlation", "cosine") else 0)
    if name in EXACT:
        np.testing.assert_array_equal(ours, theirs)


#: Compiled kernels with weights are those without, but for the terms; what they add is tested by the reference.
RARELY_COMPILED = {"rare": lambda name, backend, *_: backend == "cpu" and name not in FORMS}


@pytest.mark.parametrize(("name", "backend"), covering(WEIGHTED, BACKENDS, **RARELY_COMPILED))
def test_feature_weights_are_scipys(name: str, backend: str) -> None:
    X = points(name)
    w = np.random.default_rng(1).random(X.shape[1]) * [1, 1, 0, 1, 5, 1, 1]
    ready = preparation.prepare(X, name, w=w, **arguments(name))
    ours, theirs = BACKENDS[backend].condensed(ready), scipy("pdist", X, name, w=w, **arguments(name))
    if name == "yule" and OLD_SCIPY:  # its pdist gives 0 with weights, its function of two vectors does not
        theirs = np.array([scipy_distance.yule(x, y, w) for x, y in itertools.combinations(X, 2)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", one_of_each_form(sorted(BOOLEAN - {"yule"})))
def test_weights_of_very_different_size_lose_nothing(name: str) -> None:
    X = points(name)
    w = 10.0 ** np.array([-8, 6, -3, 0, 3, -6, 8])
    np.testing.assert_allclose(
        cpu.condensed(preparation.prepare(X, name, w=w)), scipy("pdist", X, name, w=w), rtol=1e-12, atol=1e-30
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ALL)
def test_two_sets_share_their_parameters(name: str, backend: str) -> None:
    A, B = points(name, 13), points(name, 29, seed=1)
    a, b = preparation.prepare_pair(A, B, name, **arguments(name))
    ours, theirs = BACKENDS[backend].pairwise(a, b), scipy("cdist", A, B, name, **arguments(name))
    assert ours.shape == (13, 29)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", one_of_each_form(ALL, FEW_FORMS))
def test_float32_stays_float32(name: str) -> None:
    X = points(name)
    ready = preparation.prepare(X, name, dtype="float32", **arguments(name))
    parts = (ready.summary, ready.p) + (() if ready.weights is None else (ready.weights,))
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}
    assert ready.features.dtype == (np.uint64 if ready.metric.words else np.float32)
    assert ready.features.flags.c_contiguous
    exact = scipy("pdist", X, name, **arguments(name))
    for backend in BACKENDS.values():
        ours = backend.condensed(ready)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "backend", "m"), covering(ALL, BACKENDS, [0, 3, 6], **RARELY_COMPILED))
def test_special_values_are_scipys(name: str, backend: str, m: int) -> None:
    X = np.vstack(
        [np.zeros((2, m)), np.ones((2, m)), np.arange(m), [np.nan] * (m > 0) + [1.0] * (m - 1), 2.0 * np.ones(m)]
    )
    if name == "mahalanobis":
        given = {"VI": np.eye(m)}
    elif name == "seuclidean":
        given = {"V": np.array([0.0, 1.0, 2.0, 1.0, 1.0, 1.0])[:m]}
    else:
        given = arguments(name)
    if name == "mahalanobis" and m == 0:
        return  # SciPy takes no empty VI
    ours, theirs = (
        BACKENDS[backend].condensed(preparation.prepare(X, name, **given)),
        scipy("pdist", X, name, **given),
    )
    if name == "jensenshannon":  # of NaN and what is no distribution: NaN, where SciPy says infinite
        theirs[np.isnan(ours) & np.isinf(theirs)] = np.nan
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
    if metrics.METRICS[name].accepts_weights and m:
        zero = np.zeros(m)
        ours = BACKENDS[backend].condensed(preparation.prepare(X, name, w=zero, **given))
        np.testing.assert_allclose(ours, scipy("pdist", X, name, w=zero, **given), rtol=1e-12)


@pytest.mark.parametrize("name", ["canberra", "chebyshev", "cityblock", "euclidean", "hamming", "sqeuclidean"])
def test_infinite_values_are_scipys(name: str) -> None:
    X = np.array([[1.0, np.inf, 2.0], [np.inf, np.inf, 1.0], [-np.inf, 0.0, 0.0], [1.0, 2.0, 3.0]])
    for backend in BACKENDS.values():
        np.testing.assert_array_equal(backend.condensed(preparation.prepare(X, name)), scipy("pdist", X, name))


def test_jensenshannon_is_infinite_for_what_is_no_distribution() -> None:
    X = np.array([[1.0, -1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    for backend in BACKENDS.values():
        ours = backend.condensed(preparation.prepare(X, "js"))
        np.testing.assert_allclose(ours, [np.inf] * 5 + [0.0], atol=1e-8)


def test_jensenshannon_of_nearly_equal_rows_is_a_number() -> None:
    row = np.random.default_rng(0).random(50)
    X = row * (1 + 1e-16 * np.random.default_rng(1).normal(size=(200, 50)))
    ours = cpu.condensed(preparation.prepare(X, "jensenshannon"))
    assert np.isfinite(ours).all()
    assert ours.max() < 1e-7


@pytest.mark.parametrize("kind", ["definite", "indefinite", "asymmetric", "scaled", "negative"])
def test_mahalanobis_of_any_quadratic_form(kind: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 5)) * [1, 10, 1e-3, 1e3, 1] + [5, 5, 5, 5e3, 0]
    A = rng.normal(size=(5, 5))
    VI = {
        "definite": A @ A.T + np.eye(5),
        "indefinite": A + A.T,
        "asymmetric": A @ A.T + np.eye(5) + np.triu(A) - np.triu(A).T,
        "scaled": np.linalg.inv(np.cov(X.T)),
        "negative": -np.eye(5),
    }[kind]
    theirs = scipy("pdist", X, "mahalanobis", VI=VI)
    for backend in BACKENDS.values():
        np.testing.assert_allclose(backend.condensed(preparation.prepare(X, "mah", VI=VI)), theirs, rtol=1e-10)


def test_mahalanobis_keeps_a_nan_to_its_row() -> None:
    X = np.random.default_rng(3).normal(size=(20, 3))
    X[4, 1] = np.nan
    ours = cpu.condensed(preparation.prepare(X, "mahalanobis", VI=np.eye(3)))
    np.testing.assert_allclose(ours, scipy("pdist", X, "mahalanobis", VI=np.eye(3)), rtol=1e-12)
    assert np.isnan(cpu.condensed(preparation.prepare(X, "mahalanobis", VI=np.full((3, 3), np.nan)))).all()


def test_resolve() -> None:
    assert metrics.resolve("EuClid").name == "euclidean"
    assert metrics.resolve("matching").name == "hamming"
    assert metrics.resolve("minkowski").name == "euclidean"
    assert [metrics.resolve("mi", p).name for p in (1, 2, np.inf, 3)] == [
        "cityblock",
        "euclidean",
        "chebyshev",
        "minkowski",
    ]
    assert metrics.resolve(max) is max
    with pytest.raises(ValueError, match="Did you mean 'euclidean'"):
        metrics.resolve("euclidian")
    with pytest.raises(TypeError, match="got 3"):
        metrics.resolve(3)
    for p in (0, -1, np.nan):
        with pytest.raises(ValueError, match=r"p must be|greater than 0"):
            metrics.resolve("minkowski", p)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"metric": "euclidean", "p": 2}, TypeError, "takes no parameter 'p'"),
        ({"metric": "seuclidean", "w": np.ones(3)}, TypeError, "takes no parameter 'w'"),
        ({"metric": "euclidean", "w": np.ones(2)}, ValueError, "2 vs. 3"),
        ({"metric": "euclidean", "w": np.ones((1, 3))}, ValueError, "vector"),
        ({"metric": "euclidean", "w": [1, -1, 1]}, ValueError, "non-negative, got -1"),
        ({"metric": "seuclidean", "V": np.ones(2)}, ValueError, "2 variances for 3"),
        ({"metric": "seuclidean", "V": np.ones((3, 1))}, ValueError, "one-dimensional"),
        ({"metric": "mahalanobis", "VI": np.eye(2)}, ValueError, r"shape \(3, 3\)"),
        ({"metric": "mahalanobis"}, ValueError, "at least 4 observations"),
        ({"metric": "euclidean", "dtype": "float16"}, ValueError, "float64"),
        ({"metric": max}, TypeError, "name of a metric"),
    ],
)
def test_what_cannot_be_used_is_refused(given: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        preparation.prepare(np.eye(3), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("X", [np.ones(3), np.ones((2, 2, 2)), [["a", "b"]], np.ones((2, 2)) * 1j, [[None, 1]]])
def test_points_of_another_kind_are_refused(X: object) -> None:
    with pytest.raises(ValueError, match=r"got (shape|dtype)"):
        preparation.prepare(X, "euclidean")


def test_a_singular_covariance_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        preparation.prepare(np.ones((9, 2)), "mahalanobis")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_last_bit_is_scipys(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(EXACT))
    n, m = data.draw(st.integers(1, 30)), data.draw(st.integers(0, 11))
    kind = data.draw(st.sampled_from(["float64", "float32", "int64", "uint8", "bool"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scale = 10.0 ** data.draw(st.integers(-150, 150)) if kind == "float64" else 50.0
    X = np.abs(rng.normal(size=(n, m)) * scale).astype(kind)
    X = X[rng.integers(0, n, n)]  # with duplicates
    if data.draw(st.booleans()):
        X = np.asfortranarray(X)
    np.testing.assert_array_equal(cpu.condensed(preparation.prepare(X, name)), scipy("pdist", X, name))


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(ALL), n=st.integers(1, 12), m=st.integers(1, 6), seed=st.integers(0, 999))
def test_cpu_is_the_reference(name: str, n: int, m: int, seed: int) -> None:
    if name in ("mahalanobis", "seuclidean"):
        n += m + 1
    ready = preparation.prepare(points(name, n, m, seed), name, **arguments(name))
    np.testing.assert_allclose(cpu.condensed(ready), reference.condensed(ready), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["braycurtis", "cosine", "euclidean"])
def test_blocks_and_threads_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = points(name, 1100, 5)
    results = []
    for threads, small in (("1", 1 << 40), ("1", 0), ("3", 0)):
        monkeypatch.setenv("GPUCLUST_NUM_THREADS", threads)
        monkeypatch.setattr(cpu, "_SMALL", small)
        monkeypatch.setattr(cpu, "_PIECE", 1 << 17)
        ready = preparation.prepare(X, name)
        results.append((cpu.condensed(ready), cpu.pairwise(ready, ready)))
    for condensed, square in results:
        np.testing.assert_array_equal(condensed, results[0][0])
        np.testing.assert_array_equal(square, results[0][1])
        np.testing.assert_array_equal(condensed, square[np.triu_indices(1100, 1)])
    np.testing.assert_allclose(results[0][0], scipy("pdist", X, name), rtol=1e-12)


@pytest.mark.sweep  # make test has it with linkages (test_cache.py)
def test_kernels_from_disk_and_new_ones_stay_apart(tmp_path: object) -> None:
    """One process leaves a kernel on disk; the next one loads it beside one of its own: each runs its own code."""
    code = (
        "import sys, numpy as np\n"
        "from gpuclust.core.preparation import prepare; from gpuclust.core.metrics import METRICS\n"
        "from gpuclust.kernels.cpu.space import pairwise\n"
        "X = np.array([[0.0, 0.0], [3.0, 4.0]])\n"
        "for name in sys.argv[1:]:\n"
        "    ready = prepare(X, name)\n"
        "    kernel = pairwise._tile_kernel(ready.metric, False, ready.features.dtype)\n"
        "    print(name, pairwise.condensed(ready)[0], sum(kernel.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run(*names: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *names], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split("\n")[:-1]

    assert run("sqeuclidean") == ["sqeuclidean 25.0 0"]
    assert run("cityblock", "sqeuclidean") == ["cityblock 7.0 0", "sqeuclidean 25.0 1"]
    assert run("sqeuclidean", "cityblock") == ["sqeuclidean 25.0 1", "cityblock 7.0 1"]


def test_the_table_is_light_to_import() -> None:
    code = (
        "import sys, gpuclust.core.metrics, gpuclust.distance;"
        "print([name for name in ('numba', 'scipy', 'matplotlib', 'cupy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
