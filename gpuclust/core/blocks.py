"""Points processed by blocks of rows: memory-mapped arrays, or those of another type, are not copied whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gpuclust.core.frames import Frame

#: Numbers in a block: 2 MiB of float64. Up to 16 times as many for wide rows, so that columns are written in long
#: runs.
NUMBERS = 2**18
#: Numbers in a block on a device.
ON_DEVICE = 2**24
#: Numbers that stay in the cache of a core between two passes.
CACHED = 2**15
#: Rows written by one call, of up to 32 columns: 40 KiB, which the smallest cache holds.
ROWS = 160
#: Columns written by one call: the first write into new memory waits for the system to provide it.
COLUMNS = 512


def row_blocks(n: int, m: int, numbers: int = NUMBERS) -> Iterator[slice]:
    """Slices that cover ``n`` rows of ``m`` numbers; none has one row, which NumPy would sum in another order."""
    m = max(m, 1)
    rows = max(2, numbers // m, min(64, 16 * numbers // m))
    begin = 0
    if n == 0:
        yield slice(0, 0)
    while begin < n:
        end = min(begin + rows, n)
        if n - end == 1:
            end = n
        yield slice(begin, end)
        begin = end


def put(features: np.ndarray, part: slice, rows: np.ndarray) -> None:
    """Write a block of rows, transposed, to its place: so few of them at a time that they stay in the cache."""
    step = max(ROWS, 32 * ROWS // max(1, len(features)))
    for begin in range(0, len(features), COLUMNS):
        columns = slice(begin, begin + COLUMNS)
        for row in range(part.start, part.stop, step):
            few = slice(row, min(row + step, part.stop))
            features[columns, few] = rows[few.start - part.start : few.stop - part.start, columns].T


def mean(X: np.ndarray, finite: bool = False, frame: Frame | None = None) -> np.ndarray:
    """The mean of every column, summed in the order of rows, in float64; if ``finite`` of finite rows only.

    In the coordinates of a ``frame``, if one is given.
    """
    total, count = np.zeros(X.shape[1]), 0
    for block in _blocks(X, frame):
        if finite:
            block = block[np.isfinite(block).all(axis=1)]
        total = _added(total, block)
        count += len(block)
    return total / max(count, 1)


def variance(X: np.ndarray, frame: Frame | None = None) -> np.ndarray:
    """The variance of every column, n - 1 in the denominator: the bits of ``np.var(X, axis=0, ddof=1)``."""
    n, m = X.shape
    if not frame and (m == 1 or X.flags.f_contiguous):  # NumPy sums a contiguous column in another order
        return np.array([np.var(column.astype(np.float64, copy=False), ddof=1) for column in X.T])
    centre, total = mean(X, frame=frame), np.zeros(m)
    for rows in _blocks(X, frame):
        block = rows - centre
        total = _added(total, block * block)
    return total / max(n - 1, 0)


def covariance(X: np.ndarray, frame: Frame | None = None) -> np.ndarray:
    """The covariance matrix of the columns, n - 1 in the denominator."""
    centre = mean(X, frame=frame)
    products = np.zeros((X.shape[1], X.shape[1]))
    for rows in _blocks(X, frame):
        block = rows - centre
        products += block.T @ block
    with np.errstate(divide="ignore", invalid="ignore"):  # of one row: NaN, as np.cov has it
        return products / (len(X) - 1)


def _blocks(X: np.ndarray, frame: Frame | None) -> Iterator[np.ndarray]:
    """The rows in float64, block by block, in the coordinates of a frame."""
    for part in row_blocks(*X.shape):
        rows = X[part] if frame is None else frame(X[part])
        yield rows.astype(np.float64, copy=False)


def _added(total: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Add the rows of a block to ``total``, one after the other."""
    return np.add.reduce(np.concatenate((total[None], block)), axis=0)
