"""The upper triangle of a square matrix in condensed order: its size, its rows, and where a pair stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np


def upper(X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The entries above the diagonal of a square matrix, in condensed order."""
    condensed = np.empty(len(X) * (len(X) - 1) // 2, dtype)
    for i, row in enumerate(rows_of(condensed, len(X))):
        row[:] = X[i, i + 1 :]
    return condensed


def pair_at(index: int, n: int) -> tuple[int, int]:
    """The two observations that an entry of a condensed matrix is of."""
    i = n - 2 - (isqrt(8 * (n * (n - 1) // 2 - 1 - index) + 1) - 1) // 2
    return i, index + (i + 2) * (i + 1) // 2 - n * i


def rows_of(condensed: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """The rows of the upper triangle: n - 1, ..., 1, 0 entries."""
    start = 0
    for length in range(n - 1, -1, -1):
        yield condensed[start : start + length]
        start += length


def mirrored_blocks(n: int, length: int = 256) -> Iterator[tuple[slice, slice]]:
    """The blocks on and above the diagonal of an n by n matrix; a block and its mirror image fit into cache."""
    parts = [slice(start, min(start + length, n)) for start in range(0, n, length)]
    for k, rows in enumerate(parts):
        for columns in parts[k:]:
            yield rows, columns


def count_of(length: int) -> int:
    """Number of observations of a condensed matrix of this length, rounded down if no matrix has that length."""
    return (1 + isqrt(1 + 8 * length)) // 2
