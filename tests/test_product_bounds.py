"""Bounds of squared distances from matrix products in single precision, against extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.core.jit import compiled
from gpuclust.kernels.cpu.space import products, screen
from gpuclust.kernels.cpu.space.simd import LANES, TOGETHER, exact_products, exact_squares, products_of_strip


@compiled
def strip_of(features, ours, places, norms, less, out):
    products_of_strip(features, ours, places, 0, 0, norms, less, out)


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


def bounds(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bounds of the squared distances of rows x and y, what they may be too small by, and the exact squares."""
    m = x.shape[1]
    features = np.zeros((m, LANES), np.float32)
    features[:, : len(y)] = y.T
    ours = np.ascontiguousarray(np.repeat(x, -(-TOGETHER // len(x)), axis=0)[:TOGETHER].T)
    norms, less, spare = np.empty(TOGETHER), np.empty(TOGETHER, np.float32), np.empty(TOGETHER)
    wide = y.astype(np.longdouble)
    radius = float(np.sqrt((wide * wide).sum(axis=1)).max())
    products.row_terms(ours, radius, norms, less, spare)
    theirs = np.zeros(LANES, np.float32)
    theirs[: len(y)] = (y.astype(np.float64) ** 2).sum(axis=1)
    out = np.empty((TOGETHER, LANES), np.float32)
    strip_of(features, ours, np.arange(TOGETHER), theirs, less, out)
    d = ours.T[:, None].astype(np.longdouble) - wide
    return out[:, : len(y)], spare[:, None], (d * d).sum(axis=2)


@pytest.mark.parametrize("m", [1, 2, 48, 768, 5000])
@pytest.mark.parametrize("scale", [1.0, 2.0**-60, 2.0**-70, 2.0**48])
def test_bounds_hold(m, scale):
    """Of rows near the points and far from them, with products that underflow, and with zeros of both signs."""
    rng = np.random.default_rng(m)
    for _ in range(10):
        y = rng.normal(size=(min(9, LANES), m)) * min(scale, 1.0)
        y[0], y[1, : m // 2] = 0.0, -0.0
        x = np.concatenate((y[:2] * (1 + 1e-7 * rng.normal(size=(2, m))), rng.normal(size=(2, m)) * scale))
        lower, spare, exact = bounds(x.astype(np.float32), y.astype(np.float32))
        assert (lower <= exact).all()
        assert (exact <= lower + spare).all()


@pytest.mark.parametrize("m", [48, 768, 4096])
def test_the_bound_is_nearly_reached(m):
    """Each product is half of the last bit of the sum, and is lost: with half of the bound of a sum this fails."""
    x = np.full((1, m), 2.0**-12, np.float32)
    x[0, 0] = 1
    lower, spare, exact = bounds(x, x)
    assert (lower <= exact).all()
    # The bound without that of the sum: the error of the sum alone exceeds half of its bound.
    norm = float((x.astype(np.float64) ** 2).sum())
    sums = 2 * products.sum_error(m) * norm
    assert (lower + spare / 2 - exact > 0.9 * sums).all()
    assert (lower + sums / 2 > exact).all()


def test_bounds_of_distances():
    """Of a screened square and its error: `lowest` and `highest` enclose what `threshold` lets through."""
    rng = np.random.default_rng(0)
    for root in 10.0 ** rng.uniform(-12, 12, 300):
        for m in (48, 2000):
            for error in (0.0, 1e-6, 1e-3 * root):
                most = screen.threshold(root, error, m)
                assert products.lowest(most, error, m) <= root
                assert products.lowest(np.float32(np.inf), error, m) < np.inf
                if most > 1e-35:
                    assert (
                        products.lowest(np.nextafter(most * np.float32(1 + 1e-5), np.inf), error, m)
                        > root * (1 - 1e-5) - 2 * error
                    )
                assert products.highest(np.float32(root * root), 0.0, error, m) >= root
