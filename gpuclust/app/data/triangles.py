"""Distances written as a triangle of a matrix, or in PHYLIP's form."""

from __future__ import annotations

import csv

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.opening import check_size
from gpuclust.app.data.reading import Reading, Table
from gpuclust.app.data.table_cells import NUMBER, TEXT, kind
from gpuclust.app.data.table_separator import BLANKS
from gpuclust.app.data.text_file import TextFile
from gpuclust.core.text import unguarded

#: Separators in the order in which they are tried.
_MARKS = ("\t", ";", ",", "|")


def triangle_of(text: TextFile, separator: str | None, reading: Reading) -> Table | None:
    """Read distances from a text that is no table of rows of equal length.

    A lower or upper triangle, with or without the diagonal of zeros, with or without row names and a header, padded
    by empty cells or not; or PHYLIP's form, in which the first line is the number of rows.

    Parameters
    ----------
    text : TextFile
    separator : str or None
        Expected separator.
    reading : Reading

    Returns
    -------
    table : Table or None
        Condensed distances, or a square matrix if the text holds one; None if it is neither.
    """
    with text.open() as file:
        lines = [line.rstrip("\r\n") for line in file if line.strip() and not line.startswith("#")]
    check_size(str(text), len(lines) ** 2, 8, reading.limit)
    marks = [mark for mark in (separator, *_MARKS) if mark is not None and any(mark in line for line in lines)]
    for mark in dict.fromkeys([*marks, BLANKS]):
        try:
            rows = [_cells(line, mark) for line in lines]
        except csv.Error:
            continue
        found = _matrix(rows)
        if found is not None:
            matrix, names, form = found
            n = len(matrix)
            how = f"{text.path.name}: {form} of {n:,} x {n:,} distances"
            values = matrix if form == "a square" else matrix[np.triu_indices(n, 1)]
            return Table(values, names, None, f"{how}; {'row names' if names else 'no row names'}")
    return None


def _cells(line: str, mark: str) -> list[str]:
    """Return the cells of a line, without the empty ones that pad a triangle on either side."""
    if mark == BLANKS:
        return next(csv.reader([" ".join(line.split())], delimiter=" "))
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=mark))]
    while cells and not cells[-1]:
        cells.pop()
    start = next((place for place, cell in enumerate(cells) if cell), 0)
    named = next((place for place, cell in enumerate(cells[1:], 1) if cell), 1) if start == 0 and cells else 1
    if cells and kind(cells[0]) == TEXT:  # a name, then padding
        return [cells[0], *cells[named:]]
    return cells[start:]


def _matrix(rows: list[list[str]]) -> tuple[NDArray[np.float64], list[str] | None, str] | None:
    """Return the whole matrix, the names, and the form in words; None if the rows are no such form."""
    counted = len(rows) > 2 and len(rows[0]) == 1 and rows[0][0] == str(len(rows) - 1)
    if counted:
        rows = rows[1:]
    heads = None
    if len(rows[0]) > 1 and all(kind(cell) == TEXT for cell in rows[0]):
        heads, rows = rows[0], rows[1:]
    named = bool(rows) and all(row and (kind(row[0]) == TEXT or (counted and len(row) > 1)) for row in rows)
    named = named and (heads is not None or counted or any(kind(row[0]) == TEXT for row in rows))
    names = [unguarded(row[0]) for row in rows] if named else None
    body = [row[1:] for row in rows] if named else rows
    if not body or any(kind(cell) != NUMBER for row in body for cell in row):
        return None
    numbers = [np.array(row, dtype=np.float64) for row in body]
    found = _placed(numbers)
    if found is None:
        return None
    matrix, form = found
    extra = len(matrix) - len(body)
    if names is not None and extra:  # the row without distances is not there, but the header may name it
        lost = None if heads is None else next((head for head in heads if head not in names), None)
        names = None if lost is None else ([lost, *names] if form.startswith("a lower") else [*names, lost])
    return matrix, names, form


def _placed(rows: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], str] | None:
    """Return the symmetric matrix of a triangle's rows, and its form in words."""
    lengths = [len(row) for row in rows]
    n = len(rows)
    if n > 1 and lengths == [n] * n:
        return np.array(rows), "a square"
    for form, turned in (("a lower triangle", False), ("an upper triangle", True)):
        ordered = [row[::-1] for row in rows[::-1]] if turned else rows  # an upper triangle turned by 180 degrees
        lengths = [len(row) for row in ordered]
        start = lengths[0]
        if lengths != list(range(start, start + n)) or start > 1:
            continue
        diagonal = start == 1 and all(row[-1] == 0 for row in ordered)
        size = n + (start == 1 and not diagonal)
        if size < 2:
            continue
        matrix = np.zeros((size, size))
        for place, row in enumerate(ordered, start=size - n):
            matrix[place, : len(row)] = row
        np.fill_diagonal(matrix, 0.0)
        matrix += matrix.T
        return (matrix[::-1, ::-1].copy() if turned else matrix), form
    return None
