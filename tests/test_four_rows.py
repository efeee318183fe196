"""Sums of four pairs at a time, and removal of rows in place (gpuclust/kernels/cpu/space)."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.core import centroids
from gpuclust.core.jit import compiled
from gpuclust.kernels.cpu.space import removal
from gpuclust.kernels.cpu.space.four_rows import squares_of_four


@compiled
def sums(centers, low, x, four, out):
    squares_of_four(centers, low, x, four, out)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("parts", [1, 2])
def test_sums_have_the_order_of_features(parts, dtype):
    """Each operation is rounded: neither another order nor a fused operation has these bits."""
    rng = np.random.default_rng(0)
    n = 9
    for m in (1, 2, 3, 4, 5, 7, 8, 300):
        centers = rng.normal(size=(n, m)).astype(dtype)
        low = (rng.normal(size=(n if parts == 2 else 0, m)) * np.finfo(dtype).eps).astype(dtype)
        for x in range(n):
            four, out = rng.integers(0, n, 4), np.empty(4, dtype)
            sums(centers, low, x, four, out)
            expected = np.zeros(4, dtype)
            for k in range(m):
                rest = (low[x, k], low[four, k]) if parts == 2 else (centers.dtype.type(0),) * 2
                d = centroids.difference(centers[x, k], rest[0], centers[four, k], rest[1])
                expected += d * d
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("m", [1, 7, 30])
def test_rows_are_removed_in_place(m, monkeypatch):
    monkeypatch.setattr(removal, "COLUMNS", 4)
    monkeypatch.setattr(removal, "SMALL", 0)
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "3")
    rng = np.random.default_rng(m)
    for n in (1, 2, 100):
        arrays = [rng.normal(size=(n, m)) for _ in range(2)]
        kept = np.flatnonzero(rng.random(n) < 0.6)
        expected = [array[kept] for array in arrays]
        removal.keep_rows(arrays, kept)
        for array, other in zip(arrays, expected, strict=True):
            assert array.base is None  # what the other rows took is free
            np.testing.assert_array_equal(array, other)
