"""Dissimilarities given instead of points: condensed ones, or a square matrix that is checked and condensed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.errors import InputFileError
from gpuclust.files import DataSet

#: Mirrored entries may differ by so much of the largest entry, and diagonal ones may be so far from zero: text files
#: and other programs round. What is used is the upper triangle.
TOLERANCE = 1e-9
_BLOCK = 256


def as_distances(data: DataSet) -> DataSet:
    """The same data set with condensed dissimilarities for values.

    Raises
    ------
    InputFileError
        The values are no square matrix that is symmetric with a zero diagonal, or hold a number that is no distance.
    """
    values = data.values
    if values.ndim == 2 and 1 in values.shape and data.names is None:  # condensed, as a row or column of a table
        values = np.ravel(values)
    if values.ndim == 2:
        if values.shape[0] != values.shape[1]:
            rows, columns = values.shape
            raise InputFileError(f"{data.path}: a matrix of distances is square, got {rows:,} x {columns:,}")
        values = _condense(values, str(data.path))
    elif values.size and not values.min() >= 0:
        _refuse(str(data.path), values[int(np.argmin(values))], "distances are not negative")
    return replace(data, values=values, columns=None)


def _condense(square: NDArray[Any], path: str) -> NDArray[Any]:
    n = len(square)
    largest = 0.0
    for begin in range(0, n, _BLOCK):
        rows = square[begin : begin + _BLOCK]
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            _refuse(path, rows[row, column], "every distance must be finite", begin + row, column)
        if rows.min() < 0:
            row, column = np.argwhere(rows < 0)[0]
            _refuse(path, rows[row, column], "distances are not negative", begin + row, column)
        largest = max(largest, float(rows.max()))
    allowed = TOLERANCE * largest
    diagonal = np.asarray(square).diagonal()
    if (diagonal > allowed).any():
        row = int(np.argmax(diagonal > allowed))
        _refuse(path, diagonal[row], "the diagonal of a matrix of distances is zero", row, row)
    for begin in range(0, n, _BLOCK):
        for other in range(begin, n, _BLOCK):
            upper = np.asarray(square[begin : begin + _BLOCK, other : other + _BLOCK], dtype=np.float64)
            lower = np.asarray(square[other : other + _BLOCK, begin : begin + _BLOCK], dtype=np.float64).T
            wrong = np.abs(upper - lower) > allowed
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                mirrored = f"a matrix of distances is symmetric, but mirrored there is {lower[row, column]:g}"
                _refuse(path, upper[row, column], mirrored, begin + row, other + column)
    kind = square.dtype if square.dtype.kind == "f" else np.dtype(np.float64)
    condensed = np.empty(n * (n - 1) // 2, dtype=kind)
    at = 0
    for row in range(n - 1):
        condensed[at : at + n - 1 - row] = square[row, row + 1 :]
        at += n - 1 - row
    return condensed


def _refuse(path: str, value: Any, why: str, row: int | None = None, column: int | None = None) -> None:
    where = "" if row is None else f" in row {row}, column {column}"
    raise InputFileError(f"{path}: got {float(value):g}{where}; {why}")
