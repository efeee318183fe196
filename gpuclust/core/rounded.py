"""Distances from other programs that are valid only up to rounding: corrected with a warning, or refused.

One minus a cosine is often slightly negative for equal vectors; distances by matrix products, in single precision, or
read from text, are neither symmetric to the last digit nor zero on the diagonal. These are corrected, with a warning,
by the same rule in every function that takes distances.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuclust.core.devices import array_module, device_of
from gpuclust.errors import RoundingWarning

Array = np.ndarray

#: Tolerance, relative to the largest distance, of negative values, asymmetry and a nonzero diagonal: the rounding of
#: single precision.
TOLERANCE = 1e-5
#: Multiple of the last digit of the largest distance below which deviations are not warned of if no sign changes.
DIGITS = 64


def not_negative(condensed: Any, lowest: float | None = None) -> Any:
    """Condensed distances; those that are negative by no more than `TOLERANCE` of the largest count as zero.

    Parameters
    ----------
    condensed : array of shape (n (n - 1) / 2,), finite real numbers
        On the host or on a device.
    lowest : float, optional
        The least of them, if it is known.

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
    if (lowest is not None and lowest >= 0) or condensed.dtype.kind in "bu" or condensed.size == 0:
        return condensed
    with device_of(condensed):
        lowest = condensed.min().item()
        if not lowest < 0:
            return condensed
        from gpuclust.core.triangle import count_of, pair_at

        largest = max(condensed.max().item(), -lowest)
        if lowest < -TOLERANCE * largest:
            where = int(condensed.argmin())
            pair = " and ".join(map(str, pair_at(where, count_of(condensed.size))))
            raise ValueError(f"{NEGATIVE}: got {lowest} at index {where}, for observations {pair}.")
        negative = _Tally("negative and counted as zero", int((condensed < 0).sum()), -lowest)
        _warn("Distances", largest, negative)
        return array_module(condensed).where(condensed < 0, condensed.dtype.type(0), condensed)


def condense(square: Array) -> Array:
    """Condense a square distance matrix that is symmetric with a zero diagonal up to rounding (`TOLERANCE`).

    Where mirrored entries differ the one above the diagonal is used, and negative ones are set to zero.

    Parameters
    ----------
    square : ndarray of shape (n, n), real numbers
        Also mapped from a file: it is read block by block.

    Returns
    -------
    ndarray of shape (n (n - 1) / 2,)
        Of the dtype of ``square``, or float64 if that is no floating type.

    Raises
    ------
    ValueError
        If a value is not finite, negative or not mirrored, or the diagonal is not zero; the message says where.

    Warns
    -----
    RoundingWarning
        If a negative number was corrected, or more than the last digits of others.
    """
    from gpuclust.core.triangle import upper

    check_square(square, "Distances")
    condensed = upper(square, square.dtype if square.dtype.kind == "f" else np.dtype(np.float64))
    return np.maximum(condensed, 0, out=condensed)


def check_square(square: Array, name: str, sign: bool = True) -> None:
    """Check that a matrix is symmetric with a zero diagonal up to rounding, of which it warns.

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


#: Beginning of the error for negative distances (scikit-learn's checks of estimators match the first words).
NEGATIVE = "Negative values in data given as distances"
_ROWS = 256


@dataclass
class _Tally:
    """Count and size of the deviations of entries."""

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
