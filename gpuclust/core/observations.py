"""Input of a linkage: points (n, m), or condensed dissimilarities (n (n - 1) / 2,).

On the host, or on a CUDA device: `real_array` takes both without a copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from gpuclust.core import devices
from gpuclust.core.device import Device
from gpuclust.core.real_arrays import as_array as as_array
from gpuclust.core.real_arrays import column_names, place_of, real_array
from gpuclust.core.real_arrays import to_host as to_host
from gpuclust.core.triangle import count_of, pair_at
from gpuclust.errors import ClusterWarning

#: Numbers checked in a piece of work on the host, and on a device.
_PIECE, _DEVICE_PIECE = 2**18, 2**26
#: Numbers on the host whose ends are found, in less than a millisecond, to check them.
_ENDS = 2**21
#: Numbers that stay in the cache of a core between two passes.
_CACHED = 2**16


def place(data: Any, device: Device, keep: bool = True) -> Any:
    """Copy observations, if necessary, to the memory that a backend uses.

    They stay on a device if the backend is CUDA and, for points, the metric is computed from them as they are
    (``keep``); arrays on another device are copied to the backend's. In all other cases they are copied to the host.
    """
    if isinstance(data, np.ndarray) or not (keep and device.on_gpu):
        return to_host(data)
    return devices.array_module(data).asarray(data)


def holder(data: Any) -> int | None:
    """The index of the device whose memory holds an array; None: the host."""
    return None if isinstance(data, np.ndarray) else int(data.device.id)


def check_observations(y: Any, gaps: bool = False) -> Any:
    """Validate the input of a linkage, and return it as an array of real numbers.

    An array on a device stays there (`real_array`), and is checked there. With ``gaps`` values of points may be
    missing (NaN).
    """
    return observed(y, gaps)[0]


def observed(y: Any, gaps: bool = False) -> tuple[Any, tuple[float, float] | None]:
    """As `check_observations`, with the least and the greatest number if they are known.

    Of condensed dissimilarities and of few points on the host they are: they tell whether all numbers are finite.
    """
    data = real_array(y, "y")
    if data.ndim == 1:
        observations_of(data.size)
    elif data.ndim == 2:
        if len(data) < 2 or data.shape[1] == 0:
            raise ValueError(
                f"At least two observations of at least one feature are needed, got an array of shape {data.shape}."
            )
    else:
        raise ValueError(f"`y` must be 1 or 2 dimensional, got {data.ndim} dimensions, shape {data.shape}.")
    if data.dtype.kind != "f" or (gaps and data.ndim == 2):
        return data, None
    if isinstance(data, np.ndarray) and (data.ndim == 1 or data.size <= _ENDS):
        ends = _ends(data)
        if -inf < ends[0] and ends[1] < inf:
            return data, ends
    with devices.device_of(data):
        _check_finite(data, column_names(y))
    return data, None


def _ends(data: np.ndarray) -> tuple[float, float]:
    """The least and the greatest number; NaN if one is."""
    if data.size <= _CACHED or data.ndim > 1:
        return float(np.minimum.reduce(data, axis=None)), float(np.maximum.reduce(data, axis=None))

    def ends(part: np.ndarray) -> tuple[Any, Any]:
        return np.minimum.reduce(part), np.maximum.reduce(part)

    if data.size <= _ENDS:
        found = [ends(data[begin : begin + _CACHED]) for begin in range(0, data.size, _CACHED)]
    else:
        found = on_pieces(ends, data)
    least, greatest = zip(*found, strict=True)
    return float(np.minimum.reduce(least)), float(np.maximum.reduce(greatest))


def on_pieces(function: Callable[[np.ndarray], Any], data: np.ndarray) -> list[Any]:
    """The values of a function of the pieces of a vector, which stay in cache; on all threads, in any order."""
    from gpuclust.core.jit import run  # imports Numba

    found: list[Any] = []
    run(lambda begin, end: found.append(function(data[begin:end])), _pieces(len(data), 1, data))
    return found


def _check_finite(data: Any, columns: list[str] | None = None) -> None:
    from gpuclust.core.jit import run  # imports Numba

    array, on_host = devices.array_module(data), isinstance(data, np.ndarray)
    pieces = _pieces(len(data), data.size // len(data), data)
    bad: list[int] = []

    def look(begin: int, end: int) -> None:
        if not array.isfinite(data[begin:end]).all():
            bad.append(begin)

    if on_host:
        run(look, pieces)
    else:
        for piece in pieces:
            look(*piece)
    if bad:
        first = min(bad)
        where = array.argwhere(~array.isfinite(data[first : dict(pieces)[first]]))[0]
        row, *column = (int(k) for k in where)
        at = (row + first, *column)
        _refuse(data[at].item(), at, len(data), columns)


def _pieces(length: int, width: int, data: Any) -> list[tuple[int, int]]:
    """Ranges of rows that are checked in one piece of work, by where ``data`` is stored."""
    rows = max(1, (_PIECE if isinstance(data, np.ndarray) else _DEVICE_PIECE) // width)
    return [(begin, min(begin + rows, length)) for begin in range(0, length, rows)]


def all_finite(data: np.ndarray) -> bool:
    """Whether all numbers of a vector are finite, block by block."""
    if data.size <= _PIECE:
        return bool(np.isfinite(data).all())
    return all(np.isfinite(data[begin:end]).all() for begin, end in _pieces(len(data), 1, data))


def _refuse(value: Any, where: tuple[int, ...], length: int, columns: list[str] | None = None) -> None:
    if len(where) == 1:
        pair = pair_at(where[0], _nearest_count(length))
        raise ValueError(
            f"The condensed distance matrix must contain only finite values, got {value} at index {where[0]}, for "
            f"observations {' and '.join(map(str, pair))}."
        )
    missing = " (a missing value)" if columns is not None and np.isnan(value) else ""
    raise ValueError(f"Points must be finite, got {value}{missing} in {place_of(where, columns)}.")


def count(data: Any) -> int:
    """Number of observations; the nearest number if no condensed matrix has this length."""
    return len(data) if data.ndim == 2 else _nearest_count(data.size)


def _nearest_count(size: int) -> int:
    below = count_of(size)
    missing, spare = (below + 1) * below // 2 - size, size - below * (below - 1) // 2
    return below + 1 if missing < spare else below


def observations_of(size: int) -> int:
    """Number of observations of a condensed matrix; ``ValueError`` if none has ``size`` entries."""
    n = count_of(size)
    if n * (n - 1) // 2 == size > 0:
        return n
    n = _nearest_count(size)
    if size == 0:
        raise ValueError("The number of observations cannot be determined on an empty distance matrix.")
    raise ValueError(
        "A condensed distance matrix has n (n - 1) / 2 entries for some n (1, 3, 6, 10, ...), "
        f"got {size}. The nearest that would do: {n * (n - 1) // 2} for n = {n}."
    )


def _is_hollow(data: Any) -> bool:
    array = devices.array_module(data)
    return bool(array.allclose(array.diag(data), 0))


def _is_symmetric(data: Any, begin: int, end: int) -> bool:
    """Whether these rows are those of a symmetric matrix, and not negative."""
    array, rows = devices.array_module(data), data[begin:end]
    return bool((rows >= 0).all() and array.allclose(rows, data[:, begin:end].T))


def warn_of_square(data: Any) -> None:
    """Warn if points look like a square matrix of dissimilarities, as SciPy does."""
    if data.shape[0] != data.shape[1]:
        return
    with devices.device_of(data):
        suspicious = _is_hollow(data) and all(
            _is_symmetric(data, begin, end) for begin, end in _pieces(len(data), data.shape[1], data)
        )
    if suspicious:
        warnings.warn(
            "The symmetric non-negative hollow observation matrix looks suspiciously like an uncondensed distance "
            "matrix; gpuclust.distance.squareform condenses it.",
            ClusterWarning,
            stacklevel=4,
        )
