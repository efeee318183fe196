"""Bounds of squared distances from matrix products of integers, against extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.core.jit import compiled
from gpuclust.kernels.cpu.space import products, strips
from gpuclust.kernels.cpu.space.products import multiply, set_bounds, set_columns, set_rows
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, add_dots, exact_products, exact_squares


@compiled
def compare_boxes(ready, buffers, count, out):
    """Lower bounds of the squares of ``count`` rows, those of the first box, and the points of the second."""
    group = ready.pairs[0], ready.step[0], ready.square[0], ready.lost[0]
    set_rows(group, ready.middle, 0, ready, 1, buffers)
    set_columns(ready, 1, buffers)
    multiply(ready.pairs[1], group[0], buffers.todo, count, buffers.sums)
    for row in range(count):
        set_bounds(row, row, group[1], 1, ready, buffers)
        for k in range(LANES):  # an assignment of arrays takes seconds to compile
            out[row, k] = buffers.values[k]


@compiled
def dots_of(theirs, ours, places, begin, end, sums):
    add_dots(theirs, ours, places, 1, begin, end, sums)


@compiled
def exact_sums(features, ours, places, squared, out):
    if squared:
        exact_squares(features, ours, places, 0, out)
    else:
        exact_products(features, ours, places, 0, out)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("squared", [True, False])
def test_exact_sums_have_the_order_of_features(squared, dtype):
    """Each operation is rounded: neither another order nor a fused operation has these bits."""
    rng = np.random.default_rng(0)
    for m in (1, 7, 300):
        theirs, ours = rng.normal(size=(m, LANES)).astype(dtype), rng.normal(size=(m, TOGETHER)).astype(dtype)
        out, expected = np.empty((TOGETHER, LANES), dtype), np.zeros((TOGETHER, LANES), dtype)
        exact_sums(theirs, ours, np.arange(TOGETHER), squared, out)
        for y, x in zip(theirs, ours, strict=True):
            d = x[:, None] - y
            expected += d * d if squared else x[:, None] * y
        np.testing.assert_array_equal(out, expected)


def test_dots_of_integers():
    """Of the largest integers, of any rows, and added to what is there."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(-strips.LARGEST, strips.LARGEST + 1, (2, 3, LANES, 2)).astype(np.int16)
    numbers[:, 0] = strips.LARGEST
    numbers[:, 1] = -strips.LARGEST
    numbers[:, :2, :, 1] = 0
    places = rng.integers(0, LANES, TOGETHER + 1)
    theirs, ours = numbers.view(np.int32)[..., 0]
    sums = np.full((LANES, LANES), 7, np.int32)
    dots_of(theirs, ours, places, 1, 3, sums)
    wide = numbers[:, 1:3].astype(np.int64)
    expected = 7 + np.einsum("kjs,kis->ij", wide[0], wide[1][:, places[1:]])
    np.testing.assert_array_equal(sums[1 : 1 + TOGETHER], expected.astype(np.int32))
    assert (sums[0] == 7).all()
    assert (sums[1 + TOGETHER :] == 7).all()


def bounds(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lower bounds of the squared distances of rows x and y, what they may be too small by, the exact ones, and gaps.

    Rows x are one box, and y another one; squares are in the scale of both.
    """
    both = np.concatenate((x, y))
    size = np.ones(len(both), both.dtype)
    starts = np.array([0, len(x), len(both)])
    ready = strips.strips((both, size, size), starts, float(np.abs(both).max()), False)
    half = ready.step * np.sqrt(x.shape[1]) / 2
    assert (ready.lost <= half * (1 + 1e-6) + 1e-15 * np.sqrt(np.nan_to_num(ready.square)) + 3 * strips.LEAST).all()
    buffers = products.buffers(x.shape[1])
    buffers.todo[:LANES] = np.arange(LANES)
    out = np.empty((len(x), LANES))
    compare_boxes(ready, buffers, len(x), out)
    wide = both.astype(np.longdouble) * np.longdouble(ready.scale)
    d = wide[: len(x), None] - wide[None, len(x) :]
    own = slice(len(x))
    return out[:, : len(y)], buffers.spare[own, None], (d * d).sum(axis=2), buffers.gaps[own]


KINDS = ("normal", "near", "far", "offset", "spike", "equal", "zeros", "mixed")


@pytest.mark.parametrize("m", [1, 2, 49, 768, 5000])
@pytest.mark.parametrize("scale", [1.0, 1e150, 1e-150, 1e-307])
def test_bounds_hold(m, scale):
    """Of points near each other and far apart, with coordinates of all sizes, and near the ends of the range."""
    rng = np.random.default_rng(m)
    for kind in KINDS:
        x, y = rng.normal(size=(2, 4, m))  # one strip each, for every number of lanes
        if kind == "near":
            y = x + 1e-7 * y
        elif kind == "far":
            y += 1e3 * rng.normal(size=m)
        elif kind == "offset":
            x, y = x * 1e-3 + 1e5, y * 1e-3 + 1e5
        elif kind == "spike":
            x[:, 0] *= 1e6
            y[:2, 0] *= 1e9
        elif kind == "equal":
            x[:], y[:] = x[0], x[0]
        elif kind == "zeros":
            x[:2], y[:, : m // 2] = 0, -0.0
        elif kind == "mixed":
            x, y = (points * 10.0 ** rng.integers(-30, 1, (len(points), 1)) for points in (x, y))
        lower, spare, exact, gaps = bounds(x * scale, y * scale)
        assert (lower <= exact).all(), kind
        assert (exact <= lower + spare).all(), kind
        assert (gaps <= exact.min(axis=1)).all(), kind
        nearest = np.sqrt(exact[0, 0])
        assert products.lowest(lower[0, 0]) <= nearest <= products.highest(lower[0, 0], spare[0, 0]), kind


def test_bounds_hold_in_single_precision():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(count, 300)).astype(np.float32) * np.float32(1e18) for count in (3, 4))
    lower, spare, exact, gaps = bounds(x, y)
    assert (lower <= exact).all()
    assert (exact <= lower + spare).all()
    assert (gaps <= exact.min(axis=1)).all()


def patterns() -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of ones and zeros; rounding loses half of a step of each one of the first, and little else."""

    def fraction(ones: np.ndarray, m: int) -> np.ndarray:
        return np.modf((strips.NORM - 1 - np.sqrt(m) / 2) / np.sqrt(ones))[0]

    for m in range(2000, 5000):
        if 0.48 < fraction(m, m) < 0.499:
            ones = np.arange(m - m // 20, m)
            exact = np.flatnonzero(np.abs(fraction(ones, m) - 0.5) > 0.497)
            if exact.size:
                return np.ones(m), (np.arange(m) < ones[exact[-1]]).astype(float)
    raise AssertionError("no such number of features")


@pytest.mark.parametrize(
    "kind", ["row and box", "box and row", "row and point", "point and row", "point and box", "box and point"]
)
def test_the_bound_is_nearly_reached(kind):
    """What is rounded away of one vector has the direction of another one: with half of its bound this fails.

    The vectors are a row and a point, relative to the middles of their boxes, and the way from one to the other.
    """
    lossy, exact = patterns()
    first, second = kind.split(" and ")
    vectors = dict.fromkeys(("row", "point", "box"), np.zeros(lossy.size)) | {first: lossy, second: exact}
    x = np.array([vectors["box"] + side * vectors["row"] for side in (1, -1)])
    y = np.array([side * vectors["point"] for side in (1, -1)])
    lower, spare, squares, _ = bounds(x, y)
    assert (lower <= squares).all()
    error = spare / 2
    assert (lower + error - squares).max() > 0.85 * error.max()
    assert (squares - lower - error).max() > 0.85 * error.max()


def test_differences_are_bounded():
    """Squares by differences, in any order of the sum, and what they may be too small by."""
    m = 700
    rng = np.random.default_rng(0)
    buffers = products.buffers(m)
    d = rng.normal(size=(LANES, m)) * 10.0 ** rng.integers(-9, 1, (LANES, 1))
    square = (d.astype(np.longdouble) ** 2).sum(axis=1)
    for order in (slice(None), slice(None, None, -1)):
        buffers.exact[0] = np.add.accumulate((d * d)[:, order], axis=1)[:, -1]
        spare = set_exact_of(0, m, buffers)
        assert (buffers.values <= square).all()
        assert (square <= buffers.values + spare).all()


@compiled
def set_exact_of(side, m, buffers):
    return products.set_exact(side, m, buffers)


def test_bounds_of_distances():
    """`lowest` and `highest` enclose a distance, and `square_of` lets it through."""
    rng = np.random.default_rng(0)
    for root in (0.0, *10.0 ** rng.uniform(-160, 150, 300)):
        square = root * root
        assert products.lowest(square) <= root <= products.highest(square, 0.0)
        assert products.lowest(square) >= root * (1 - 1e-11) - 1e-150
        assert products.highest(square, 0.0) <= root * (1 + 1e-11) + 1e-150
        assert square <= products.square_of(root)
        assert products.highest(0.0, square) >= root
    assert products.lowest(-1.0) == 0
    assert products.square_of(np.inf) == np.inf
