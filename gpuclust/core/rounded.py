"""Distances that another program computed, and that are not quite distances: what is mended, and what is refused.

One minus a cosine is negative for equal vectors as often as not; distances by products of matrices, in single
precision, or read from a text, are neither symmetric to the last digit nor zero on the diagonal. All of that is
mended, with a warning, by the same rule for every function that takes distances.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuclust.core.devices import array_module, device_of
from gpuclust.errors import RoundingWarning

Array = np.ndarray

#: How far distances may be from what they must be, in terms of the largest: negative, not symmetric, a diagonal that
#: is not zero. Single precision explains as much.
TOLERANCE = 1e-5
#: How many times the last digit of the largest is no more than rounding of one program: not worth a warning where it
#: changes no sign.
DIGITS = 64


def not_negative(condensed: Any) -> Any:
    """Condensed distances; those that are negative by no more than `TOLERANCE` of the largest count as zero.

    Parameters
    ----------
    condensed : (n (n - 1) / 2,) array of finite real numbers
        On the host or on a device.

    Returns
    -------
    array
        The same one if no distance is negative.

    Raises
    ------
    ValueError
        If one is negative by more than that; the message says which.

    Warns
    -----
    RoundingWarning
        If some count as zero.
    """
    from gpuclust.core.triangle import count_of, pair_at

    if condensed.dtype.kind in "bu" or condensed.size == 0:
        return condensed
    with device_of(condensed):
        lowest = condensed.min().item()
        if not lowest < 0:
            return condensed
        largest = max(condensed.max().item(), -lowest)
        if lowest < -TOLERANCE * largest:
            where = int(condensed.argmin())
            pair = " and ".join(map(str, pair_at(where, count_of(condensed.size))))
            raise ValueError(f"{NEGATIVE}: got {lowest} at index {where}, for observations {pair}.")
        negative = _Tally("negative and counted as zero", int((condensed < 0).sum()), -lowest)
        _warn("Distances", largest, negative)
        return array_module(condensed).where(condensed < 0, condensed.dtype.type(0), condensed)


def condense(square: Array) -> Array:
    """The condensed form of a square matrix of distances that is one but for rounding (`TOLERANCE`).

    Where mirrored entries differ the one above the diagonal is taken, and negative ones count as zero.

    Parameters
    ----------
    square : (n, n) ndarray of real numbers
        Also mapped from a file: it is read block by block.

    Returns
    -------
    (n (n - 1) / 2,) ndarray
        Of the dtype of ``square``, or float64 if that is no floating type.

    Raises
    ------
    ValueError
        If a value is not finite, negative or not mirrored, or the diagonal is not zero; the message says where.

    Warns
    -----
    RoundingWarning
        If a negative number was mended, or more than the last digits of others.
    """
    from gpuclust.core.triangle import upper

    check_square(square, "Distances")
    condensed = upper(square, square.dtype if square.dtype.kind == "f" else np.dtype(np.float64))
    return np.maximum(condensed, 0, out=condensed)


def check_square(square: Array, name: str, sign: bool = True) -> None:
    """Refuse a matrix that is not symmetric, or its diagonal not zero, by more than rounding; warn of rounding.

    With ``sign`` numbers must not be negative.
    """
    from gpuclust.core.triangle import mirrored_blocks

    n, largest = len(square), 0.0
    for begin in range(0, n, _ROWS):
        block = np.asarray(square[begin : begin + _ROWS])
        _refuse(~np.isfinite(block), square, (begin, 0), f"{name} must be finite")
        largest = max(largest, float(block.max()), -float(block.min()))
    allowed = TOLERANCE * largest
    noted = largest * DIGITS * (np.finfo(square.dtype).eps if square.dtype.kind == "f" else 0.0)
    negative, mirrored = (
        _Tally("negative and counted as zero"),
        _Tally("not symmetric and taken from the upper triangle"),
    )
    diagonal = _Tally("not zero on the diagonal, which is left out")
    for rows, columns in mirrored_blocks(n):
        above, below = (np.asarray(part, np.float64) for part in (square[rows, columns], square[columns, rows].T))
        if sign:
            corner = (rows.start, columns.start)
            _refuse(above < -allowed, square, corner, NEGATIVE)
            _refuse(-allowed > below.T, square, corner[::-1], NEGATIVE)
        gap = np.abs(above - below)
        _refuse(gap > allowed, square, (rows.start, columns.start), f"{name} must be symmetric", mirror=True)
        if rows == columns:
            values = np.abs(above.diagonal())
            _refuse(np.diag(values > allowed), square, (rows.start,) * 2, f"{name} diagonal must be zero")
            diagonal.add(values, values > noted)
            above, gap = np.triu(above, 1), np.triu(gap, 1)
        mirrored.add(gap, gap > noted)
        negative.add(-above, (above < 0) & sign)
    _warn(name, largest, negative, mirrored, diagonal)


#: What a refusal of negative distances begins with (scikit-learn's checks of estimators look for the first words).
NEGATIVE = "Negative values in data given as distances"
_ROWS = 256


@dataclass
class _Tally:
    """Entries that are a rounding error away from what they must be."""

    what: str
    count: int = 0
    most: float = 0.0

    def add(self, sizes: Array, which: Array) -> None:
        if which.any():
            self.count += int(np.count_nonzero(which))
            self.most = max(self.most, float(sizes[which].max()))


def _refuse(wrong: Array, square: Array, corner: tuple[int, int], what: str, mirror: bool = False) -> None:
    if wrong.any():
        row, column = (int(k) + first for k, first in zip(np.argwhere(wrong)[0], corner, strict=True))
        also = f", and {square[column, row]} where it is mirrored" if mirror else ""
        raise ValueError(f"{what}: got {square[row, column]} in row {row}, column {column}{also}.")


def _warn(name: str, largest: float, *tallies: _Tally) -> None:
    found = [f"{each.count:,} {each.what} (at most {each.most:.2g})" for each in tallies if each.count]
    if found:
        text = f"{name} rounded, of {largest:.2g} at most: {'; '.join(found)}."
        warnings.warn(text, RoundingWarning, stacklevel=4)
