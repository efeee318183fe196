"""Scalar functions of the tables, rewritten for CUDA: the same numbers, and no product is fused by the compiler."""

from __future__ import annotations

import dis
from importlib.util import find_spec
from types import CodeType, FunctionType

import numpy as np
import pytest
from conftest import EMULATED, SIMULATED, points_for
from covering import covering

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.core import centroids, methods, metrics, preparation
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import inspection, scalar
from gpuclust.kernels.cuda.launch import Kernel, cuda, kernel, real

DTYPES = [np.dtype("float64"), np.dtype("float32")]
HEAVY = ("jensenshannon", "minkowski")  # log and pow are fused multiply-adds themselves
TABLE = {
    **metrics.METRICS,
    **{f"{name} weighted": metric.weighted_form for name, metric in metrics.METRICS.items() if metric.weighted_form},
}
FUNCTIONS = {
    **{f"{name} step": metric.step for name, metric in TABLE.items()},
    **{f"{name} finish": metric.finish for name, metric in TABLE.items()},
    **{f"{name} update": method.update for name, method in methods.METHODS.items()},
    **{f"{name} geometric": method.geometric for name, method in methods.METHODS.items() if method.geometric},
    "united": centroids.united,
    "difference": centroids.difference,
}


def plain(function) -> FunctionType:
    """The form of a translated function that Python can call."""
    return getattr(function, "py_func", function)


def spelt(function) -> FunctionType:
    """A translated function with products that Python can compute: here ``fma`` rounds once, if not for float32."""

    def fma(x, y, z):
        return type(z)(float(x) * float(y) + float(z))

    code = plain(function).__code__
    return FunctionType(code, {**plain(function).__globals__, "mul": lambda x, y: x * y, "fma": fma})


def products(code: CodeType) -> int:
    """Multiplications that the compiler would see as such."""
    return sum(
        step.opname == "BINARY_MULTIPLY" or (step.opname == "BINARY_OP" and step.argrepr == "*")
        for step in dis.get_instructions(code)
    )


def names(code: CodeType) -> list[str]:
    """Names that are read, as often as they are."""
    read = [step.argval for step in dis.get_instructions(code) if step.opname.startswith("LOAD_")]
    return [name for value in read for name in (value if isinstance(value, tuple) else (value,))]


def arguments(function, dtype: np.dtype, seed: int) -> list[np.ndarray]:
    """Positive numbers, some of them equal."""
    rng = np.random.default_rng(seed)
    values = rng.random((function.__code__.co_argcount, 200)) * 3 + 0.1
    return list(np.where(rng.random(values.shape) < 0.2, np.round(values) + 1, values).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_translated_gives_the_same_bits(name, dtype):
    function = FUNCTIONS[name]
    translated = scalar.translated(function, dtype)
    assert plain(translated).__name__ == f"{function.__name__}_{dtype}_True_False"
    assert products(plain(translated).__code__) == 0
    assert names(plain(translated).__code__).count("mul") == products(function.__code__)
    assert "fma" not in names(plain(translated).__code__)
    ours = spelt(translated)
    with np.errstate(all="ignore"):
        for values in zip(*arguments(function, dtype, seed=1), strict=True):
            np.testing.assert_array_equal(ours(*values), function(*values))


@pytest.mark.parametrize("name", TABLE)
def test_without_weights_they_are_left_out(name):
    step = TABLE[name].step
    for dtype in DTYPES:
        translated = plain(scalar.translated(step, dtype, weighted=False))
        assert "w" not in names(translated.__code__)
        with np.errstate(all="ignore"):
            for a, b, x, y, _, p in zip(*arguments(step, dtype, seed=2), strict=True):
                one = dtype.type(1)
                np.testing.assert_array_equal(spelt(translated)(a, b, x, y, one, p), step(a, b, x, y, one, p))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", TABLE)
def test_sums_of_products_are_fused_in_float32_only(name, weighted):
    step = TABLE[name].step
    exact, fast = (plain(scalar.translated(step, dtype, weighted, fused=True)) for dtype in DTYPES)
    assert "fma" not in names(exact.__code__)
    apart = plain(scalar.translated(step, DTYPES[1], weighted))
    fused = names(fast.__code__).count("fma")
    assert names(fast.__code__).count("mul") == names(apart.__code__).count("mul") - fused
    # A sum of bare differences or of comparisons has no product; every other one is ``a + w * (...)``.
    bare = ("_absolute", "_power", "_unequal", "_unequal_and_both", "_difference_and_sum", "_relative", "_largest")
    if step.__name__ in bare and not weighted:
        assert fused == 0
    elif step.__name__ in ("_squared", "_product", "_divergence") or step.__name__ in bare[:5]:
        assert fused == 1 + (step.__name__ in ("_unequal_and_both", "_difference_and_sum", "_divergence"))
    with np.errstate(all="ignore"):
        for values in zip(*arguments(step, DTYPES[1], seed=3), strict=True):
            np.testing.assert_allclose(spelt(fast)(*values), spelt(apart)(*values), rtol=3e-7)


def test_there_is_a_form_for_all_points():
    """Whatever `prepare` makes of a metric, with and without weights, kernels are there for."""
    forms = {(metric.name, metric.finish, weighted, dtype) for metric, weighted, dtype in scalar.forms()}
    assert len(forms) == len(list(scalar.forms()))
    for name, metric in metrics.METRICS.items():
        for dtype in DTYPES:
            for w in (None, np.ones(4)) if metric.accepts_weights else (None,):
                points = preparation.prepare(points_for(name, 9, 4), name, dtype=dtype, w=w)
                assert (points.metric.name, points.metric.finish, points.weights is not None, dtype) in forms
    indefinite = preparation.prepare(points_for("euclidean", 9, 2), "mahalanobis", VI=np.diag([1.0, -1.0]))
    assert indefinite.weights is not None
    assert ("mahalanobis", indefinite.metric.finish, True, DTYPES[0]) in forms


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TABLE)
def test_the_step_of_two_zeros_adds_nothing(name, dtype):
    """Tiles fill features up with zeros, of weight zero, or of none where there are no weights."""
    metric = TABLE[name]
    w = np.ones(4) if "weighted" in name else None
    given = {"p": 3.5} if metric.name == "minkowski" else {}
    p = preparation.prepare(points_for(metric.name, 9, 4), metric.name, dtype=dtype, w=w, **given).p
    zero, one = dtype.type(0), dtype.type(1)
    for a, b in ((zero, zero), (dtype.type(0.3), dtype.type(2)), (dtype.type(1e30), one), (dtype.type(np.inf), one)):
        for weight in (zero, one):
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(metric.step(a, b, zero, zero, weight, p), (a, b))


# ------------------------------------------------------------------------------------------------------- on PTX

on_ptx = pytest.mark.skipif(
    EMULATED or not inspection.has_compiler(), reason="needs NVVM, and compiles in the run without emulation"
)


def step_kernel(metric: Metric, weighted: bool, dtype: np.dtype, fused: bool) -> Kernel:
    """The terms of a metric, and nothing else that computes."""
    step, finish = scalar.terms(metric, weighted, dtype, fused)
    number = real(dtype)

    @kernel(number[:, ::1], number, number[:, ::1])
    def probe(values, p, out):
        i = cuda.threadIdx.x
        a, b = step(values[0, i], values[1, i], values[2, i], values[3, i], values[4, i], p)
        out[0, i] = a
        out[1, i] = b
        out[2, i] = finish(values[5, i], values[6, i], values[7, i], values[8, i], p)

    return probe


@on_ptx
@pytest.mark.parametrize(
    ("name", "weighted", "kind"),
    covering(TABLE, [False, True], [(DTYPES[0], True), (DTYPES[1], False), (DTYPES[1], True)], together=1),
)
def test_ptx_has_the_products_that_were_asked_for(name, weighted, kind):
    """Each product rounded by itself (``.rn`` says so: it is never contracted), each ``fma`` one that was spelt."""
    metric, (dtype, fused) = TABLE[name], kind
    bits = 8 * dtype.itemsize
    compiled = inspection.compile(step_kernel(metric, weighted, dtype, fused), [(8, 0), (12, 0)])
    for ptx in compiled.values():
        if bits == 32:
            assert ".f64" not in ptx
        if name.split()[0] in HEAVY:
            continue
        asked = [*names(plain(scalar.translated(metric.step, dtype, weighted, fused)).__code__)]
        asked += names(plain(scalar.translated(metric.finish, dtype)).__code__)
        assert ptx.count(f"fma.rn.f{bits}") == asked.count("fma")
        assert f"mul.f{bits}" not in ptx
        assert bool(asked.count("mul")) <= ptx.count(f"mul.rn.f{bits}") <= asked.count("mul")


@on_ptx
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", methods.METHODS)
def test_ptx_of_updates_has_no_fused_multiply_add(name, dtype):
    method, number = methods.METHODS[name], real(dtype)
    update = scalar.translated(method.update, dtype)
    geometric = scalar.translated(method.geometric or methods.METHODS["ward"].geometric, dtype)
    united, difference = (scalar.translated(function, dtype) for function in (centroids.united, centroids.difference))

    @kernel(number[:, ::1], number[:, ::1])
    def probe(v, out):
        i = cuda.threadIdx.x
        out[0, i] = update(v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i])
        out[1, i] = geometric(v[0, i], v[3, i], v[4, i])
        out[2, i], out[3, i] = united(v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i])
        out[4, i] = difference(v[0, i], v[1, i], v[2, i], v[3, i])

    for ptx in inspection.compile(probe, [(8, 0), (12, 0)]).values():
        assert "fma." not in ptx
        assert f"mul.rn.f{8 * dtype.itemsize}" in ptx
        assert dtype == np.float64 or ".f64" not in ptx


@on_ptx
def test_a_plain_product_would_be_fused():
    """Why all this is done; and the check above can fail."""
    number = real("float64")

    @kernel(number[:, ::1], number[:, ::1])
    def probe(v, out):
        i = cuda.threadIdx.x
        out[0, i] = v[0, i] * v[1, i] + v[2, i]

    assert all("fma.rn.f64" in ptx for ptx in inspection.compile(probe).values())


# ------------------------------------------------------------------------------------------------ in the simulator


@pytest.mark.skipif(not SIMULATED, reason="on a device functions are compiled")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TABLE)
def test_simulated_terms_are_the_tables(name, dtype):
    """As they are, without help: what simulated kernels compute."""
    metric = TABLE[name]
    step, finish = scalar.terms(metric, True, dtype)
    with np.errstate(all="ignore"):
        for values in zip(*arguments(metric.step, dtype, seed=4), strict=True):
            np.testing.assert_array_equal(step(*values), metric.step(*values))
        for values in zip(*arguments(metric.finish, dtype, seed=5), strict=True):
            np.testing.assert_array_equal(finish(*values), metric.finish(*values))
