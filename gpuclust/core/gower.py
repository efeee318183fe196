"""Gower's dissimilarity between rows of a table with columns of numbers and of categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.core.real_arrays import real_cells, to_host
from gpuclust.core.tables import Table

#: Largest number of categories of a column that `indicators` lists.
_LISTED = 12


def gower(table: Table, name: str = "X") -> np.ndarray:
    """Return Gower's dissimilarities of the rows of a table, condensed.

    The mean over columns of the absolute difference divided by the range of the column, for numbers, and of 0 or 1,
    for equal or different categories. Columns in which one of the two rows has no value do not count.

    Parameters
    ----------
    table : Table
        Read with its categories (`gpuclust.core.tables.read_table`).
    name : str
        Name of the table in messages.

    Returns
    -------
    ndarray of shape (n (n - 1) / 2,), float64

    Raises
    ------
    ValueError
        A number is infinite, or two rows have no column in which both have a value.

    Notes
    -----
    O(n² m) time, 4 n² bytes.

    References
    ----------
    J. C. Gower, "A general coefficient of similarity and some of its properties", Biometrics 27 (1971).
    """
    numbers = _scaled(np.asarray(to_host(table.values), dtype=np.float64), name)
    codes = np.column_stack(
        [np.empty((len(numbers), 0), dtype=np.int64), *(_codes(cells) for _, cells in table.categories())]
    )
    n = len(numbers)
    found = np.empty(n * (n - 1) // 2)
    end = 0
    for i in range(n - 1):
        away = np.abs(numbers[i + 1 :] - numbers[i])
        both = (codes[i + 1 :] >= 0) & (codes[i] >= 0)
        known = np.count_nonzero(away == away, axis=1) + np.count_nonzero(both, axis=1)
        if not known.all():
            raise ValueError(
                f"{name}: rows {i} and {i + 1 + int(known.argmin())} have no column in which both have a value."
            )
        unequal = np.count_nonzero(both & (codes[i + 1 :] != codes[i]), axis=1)
        begin, end = end, end + n - 1 - i
        found[begin:end] = (np.nansum(away, axis=1) + unequal) / known
    return found


def indicators(table: Table) -> tuple[np.ndarray, list[str]]:
    """Return the numbers of a table, and for each of its most frequent categories whether a row is of it, 0 or 1.

    Their means are shares of the categories. NaN is a missing value.

    Parameters
    ----------
    table : Table
        As for `gower`.

    Returns
    -------
    values : ndarray of shape (n, columns), float64
    heads : list of str
        Headings: those of the numbers, and ``"species = Adelie"``.
    """
    numbers = np.asarray(to_host(table.values), dtype=np.float64)
    columns = [*numbers.T]
    heads = [*map(str, range(len(columns)) if table.columns is None else table.columns)]
    for head, cells in table.categories():
        codes = _codes(cells)
        counts = np.bincount(codes[codes >= 0])
        for code in np.argsort(-counts, kind="stable")[: min(_LISTED, np.count_nonzero(counts))].tolist():
            heads.append(f"{head} = {cells[int((codes == code).argmax())]}")
            columns.append(np.where(codes < 0, np.nan, codes == code))
    return np.column_stack([np.empty((len(numbers), 0)), *columns]), heads


def _scaled(numbers: np.ndarray, name: str) -> np.ndarray:
    """Columns divided by their ranges; NaN is a missing value."""
    if np.isinf(numbers).any():
        raise ValueError(f"{name} must not hold infinite values.")
    gaps = np.isnan(numbers)
    low = np.where(gaps, np.inf, numbers).min(axis=0, initial=np.inf)
    high = np.where(gaps, -np.inf, numbers).max(axis=0, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        span = high - low
    return np.asarray(numbers / np.where(span > 0, span, 1.0))


def _codes(cells: list[Any]) -> np.ndarray:
    """A number for each category, -1 where there is none."""
    values, wrong = real_cells(cells)
    numbered: dict[str, int] = {}
    codes = [numbered.setdefault(str(cell), len(numbered)) for cell in cells]
    missing = np.isnan(values)
    missing[list(wrong)] = False
    return np.where(missing, -1, codes)
