"""What a linkage can be computed from: points (n, m), or condensed dissimilarities (n (n - 1) / 2,)."""

from __future__ import annotations

import warnings
from math import isqrt
from typing import Any

import numpy as np

from gpuclust.errors import ClusterWarning
from gpuclust.kernels.cpu.launch import ranges, run
from gpuclust.methods import Method

#: Numbers looked at by one piece of work.
_PIECE = 2**18


def check_observations(y: Any) -> np.ndarray:
    """``y`` as an array of real numbers that can be clustered, or an error that says what it is."""
    if hasattr(y, "__cuda_array_interface__") and hasattr(y, "get"):  # CuPy: bring it to the host
        y = y.get()
    if isinstance(y, np.ma.MaskedArray) and np.ma.is_masked(y):
        raise ValueError(
            f"y has {np.ma.count_masked(y)} masked values, which no dissimilarity is defined for; fill or drop them."
        )
    data = np.asarray(y)
    if data.dtype.kind not in "biuf":
        raise ValueError(f"y must hold real numbers, got dtype {data.dtype}.")
    if data.ndim == 1:
        if data.size == 0:
            raise ValueError("The number of observations cannot be determined on an empty distance matrix.")
        n = count(data)
        if n * (n - 1) // 2 != data.size:
            raise ValueError(
                "A condensed distance matrix has n (n - 1) / 2 entries for some n (1, 3, 6, 10, ...), "
                f"got {data.size}. The nearest that would do: {n * (n - 1) // 2} for n = {n}."
            )
    elif data.ndim == 2:
        if len(data) < 2 or data.shape[1] == 0:
            raise ValueError(
                f"At least two observations of at least one feature are needed, got an array of shape {data.shape}."
            )
    else:
        raise ValueError(f"`y` must be 1 or 2 dimensional, got {data.ndim} dimensions, shape {data.shape}.")
    if data.dtype.kind == "f":
        _check_finite(data)
    return data


def _check_finite(data: np.ndarray) -> None:
    if data.size <= _PIECE:
        if np.isfinite(data).all():
            return
    else:
        rows = max(1, _PIECE // (data.size // len(data)))
        bad: list[int] = []

        def look(begin: int, end: int) -> None:
            if not np.isfinite(data[begin:end]).all():
                bad.append(begin)

        run(look, ranges(len(data), rows))
        if not bad:
            return
        first = min(bad)
        data = data[first : first + rows]
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(data))[0])
        _refuse(data[where], (where[0] + first, *where[1:]))
    where = tuple(int(k) for k in np.argwhere(~np.isfinite(data))[0])
    _refuse(data[where], where)


def _refuse(value: Any, where: tuple[int, ...]) -> None:
    if len(where) == 1:
        raise ValueError(
            f"The condensed distance matrix must contain only finite values, got {value} at index {where[0]}."
        )
    raise ValueError(f"Points must be finite, got {value} in row {where[0]}, column {where[1]}.")


def count(data: np.ndarray) -> int:
    """Number of observations; for a condensed size that is none, the nearest number."""
    if data.ndim == 2:
        return len(data)
    return (1 + isqrt(1 + 8 * data.size)) // 2


def check_not_negative(method: Method, condensed: np.ndarray) -> None:
    """Ward, centroid and median square what they are given: the sign would be lost."""
    if method.on_squares and condensed.min() < 0:
        where = int(condensed.argmin())
        raise ValueError(
            f"Method '{method.name}' requires Euclidean distances, which are not negative, got {condensed[where]} at "
            f"index {where}."
        )


def warn_of_square(data: np.ndarray) -> None:
    """Warn if points look like a square matrix of dissimilarities, as SciPy does."""
    if (
        data.shape[0] == data.shape[1]
        and np.allclose(np.diag(data), 0)
        and np.all(data >= 0)
        and np.allclose(data, data.T)
    ):
        warnings.warn(
            "The symmetric non-negative hollow observation matrix looks suspiciously like an uncondensed distance "
            "matrix; gpuclust.distance.squareform condenses it.",
            ClusterWarning,
            stacklevel=4,
        )
