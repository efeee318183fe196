"""Features that are all 0 or 1, packed into 64-bit words: checked, packed and counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core import blocks
from gpuclust.core.real_arrays import to_host


def words_of(m: int) -> int:
    """Words that hold m bits."""
    return -(-m // 64)


def popcount(words: Any) -> Any:
    """Number of ones in each word. Kernels have instructions of their own in its place."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    each = np.ascontiguousarray(words)[..., None].view(np.uint8)  # NumPy before 2.0
    return np.unpackbits(each, axis=-1).sum(axis=-1, dtype=np.uint8)


def binary(X: np.ndarray) -> bool:
    """Whether all features are 0 or 1."""
    if X.dtype == bool:
        return True
    return all(bool(((rows == 0) | (rows == 1)).all()) for rows in (X[part] for part in blocks.row_blocks(*X.shape)))


def check_packed(X: Any, m: Any, name: str = "X") -> None:
    """Raise an error unless the rows of ``X`` are m features as `numpy.packbits` packs them.

    Of either bit order: distances are counts, for which the order does not matter.

    Raises
    ------
    TypeError
        If ``m`` is no whole number, or ``X`` is not of type uint8.
    ValueError
        If ``X`` has another number of columns than m bits take, or bits after the last feature are set.
    """
    if isinstance(m, (bool, np.bool_)) or not hasattr(m, "__index__"):
        raise TypeError(f"packed must be the number of features, a whole number, got {m!r}.")
    if m < 1:
        raise ValueError(f"packed must be the number of features, at least 1, got {m}.")
    if X.dtype != np.uint8:
        raise TypeError(
            f"{name}: packed bits must have dtype uint8, as numpy.packbits(X, axis=1) gives, got {X.dtype}."
        )
    if X.ndim != 2 or X.shape[1] != -(-m // 8):
        raise ValueError(f"{name}: {m} packed features are rows of {-(-m // 8)} bytes, got shape {X.shape}.")
    last, spare = to_host(X[:, -1]), -m % 8
    if (last & ((1 << spare) - 1)).any() and (last >> (8 - spare)).any():
        raise ValueError(
            f"{name}: bits after the last of {m} packed features must be zero; row "
            f"{int(np.argmax(last & ((1 << spare) - 1) != 0))} has others. Is the number of features right?"
        )


def rows_of_words(rows: np.ndarray, packed: bool) -> np.ndarray:
    """Rows of words, (n, m / 64) rounded up, from features, of which all but zeros are ones, or packed bytes."""
    if not packed:
        rows = np.packbits(rows if rows.dtype == bool else rows != 0, axis=1)
    whole = np.zeros((len(rows), 8 * words_of(8 * rows.shape[1])), np.uint8)
    whole[:, : rows.shape[1]] = rows
    return whole.view(np.uint64)
