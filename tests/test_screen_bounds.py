"""Screening in single precision never excludes a pair that is near enough: its bounds against extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.kernels.cpu.space import kdtree, screen
from gpuclust.kernels.cpu.space.boxes import Leaves

DTYPES = ("float64", "float32")


def boxes(kind: str, n: int, m: int, most: int, dtype: str) -> tuple[np.ndarray, screen.Screen]:
    """Points in boxes, some of them so near to each other that a box is a million times as wide."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(n, m))
    if kind == "close pairs":  # at most distances that single precision cannot tell from the rounding of positions
        X[1::2] = X[::2][: n // 2] + rng.normal(size=(n // 2, m)) * 10.0 ** rng.integers(-9, -5, (n // 2, 1))
    elif kind == "far from the origin":
        X = X * 1e-3 + 1e4
    elif kind == "tiny":
        X = X * 1e-30
    elif kind == "lattice":
        X = np.round(X * 2)
    elif kind == "corners":  # squares are sums of m equal terms, which are rounded up again and again
        X = np.where((np.arange(n) % 2 == 0)[:, None], 0.37, -0.37) + np.zeros((n, m))
    X = np.ascontiguousarray(X.T.astype(dtype))
    order = kdtree.build(X, most).order
    rows = kdtree.rows_of(X, order)
    one = np.ones(n, dtype)
    return rows, screen.screen(Leaves(n, most).boxes(rows, one, np.zeros(n, dtype), most), True)


def squares_in_both(rows: np.ndarray, ready: screen.Screen, box: int) -> tuple[np.ndarray, ...]:
    """Squared distances of all rows to a box, in the points' type, and screened: summed forwards, and backwards."""
    begin, end = ready.starts[box], ready.starts[box + 1]
    m = rows.shape[1]
    exact = np.zeros((len(rows), end - begin), rows.dtype)
    ours = ((rows - ready.middle[box]) * ready.factor[box]).astype(np.float32)
    parts = np.empty((m, len(rows), end - begin), np.float32)
    for k in range(m):
        d = rows[:, k, None] - rows[None, begin:end, k]
        exact += d * d
        d = ready.features[box, k, : end - begin][None] - ours[:, k, None]
        parts[k] = d * d
    sums = [np.add.accumulate(some, axis=0)[-1] for some in (parts, parts[::-1])]
    return exact, *sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["normal", "close pairs", "far from the origin", "tiny", "lattice", "corners"])
@pytest.mark.parametrize("m", [1, 3, 300])
def test_what_is_near_enough_passes(kind, m, dtype):
    """For every pair: a search that looks as far as this pair's computed distance, and no farther, finds it."""
    rows, ready = boxes(kind, 240 if m < 100 else 80, m, 60 if m < 100 else 20, dtype)
    eps, lost = float(np.finfo(np.float32).eps), 2 * float(np.finfo(dtype).smallest_subnormal) * (m + 2)
    for box in range(len(ready.starts) - 1):
        exact, *sums = squares_in_both(rows, ready, box)
        error = 2 * eps * ready.radius[box]
        limit = np.vectorize(
            lambda most, error=error, zoom=ready.zoom[box]: screen.threshold(
                screen.root_of(most, lost, 0.0, float(ready.scale)) * zoom, error, m
            ),
            otypes=[np.float32],
        )(exact)
        for found in sums:
            assert (found <= limit).all()
        ours, gaps = np.empty((m, len(rows)), np.float32), np.empty(len(rows), np.float32)
        group = np.ascontiguousarray(rows.T)
        with np.errstate(under="ignore"):
            screen.approach(group, ready.middle[box], ready.extent[box], ready.factor[box], ours, gaps)
        assert (gaps[:, None] <= limit).all()
        inside = slice(ready.starts[box], ready.starts[box + 1])
        assert (gaps[inside] == 0).all() or kind == "far from the origin"


def test_margins_are_needed():
    """Without what is allowed for positions the same data are passed over, and with a hundredth of it."""
    missed = np.zeros(2, bool)
    for m in (1, 3, 40):
        rows, ready = boxes("close pairs", 240, m, 60, "float64")
        for box in range(len(ready.starts) - 1):
            exact, sums, _ = squares_in_both(rows, ready, box)
            limit = exact * float(ready.factor[box]) ** 2
            missed[0] |= (sums > np.float32(limit * (1 + 1e-7 * (2 * m + 32)))).any()
            missed[1] |= (sums > (np.sqrt(limit) + 1e-7 * ready.radius[box] * 0.02) ** 2).any()
    assert missed.all()
