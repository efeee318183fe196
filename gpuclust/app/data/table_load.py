"""Numbers and row names of a text table whose layout is known.

NumPy's C reader parses the file. Where it fails, the kinds of all cells are counted in a second pass, since those of
the first lines may not show what a column holds; if they do not explain the failure, the first faulty cell is named.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.number_style import PLAIN
from gpuclust.app.data.opening import rows_that_fit
from gpuclust.app.data.reading import Reading
from gpuclust.app.data.table_cells import EMPTY, MISSING, are_names, kind, repeats, to_number
from gpuclust.app.data.table_faults import FILL, find_fault, rows_of
from gpuclust.app.data.table_kinds import ColumnKinds, converter
from gpuclust.app.data.table_layout import Layout
from gpuclust.app.data.table_separator import BLANKS
from gpuclust.app.data.text_file import TextFile
from gpuclust.core.text import unguarded
from gpuclust.errors import InputFileError


def load(
    text: TextFile, layout: Layout, reading: Reading, surveyed: bool = False
) -> tuple[NDArray[np.float64], list[str] | None, list[list[str | None]], Layout]:
    """Load numbers, row names, and the cells of columns of categories.

    The layout is corrected where the rest of the file contradicts its first lines.
    """
    if not layout.used:
        raise InputFileError(f"{text}: no column of numbers is left to read")
    names: list[str] = []
    texts: list[list[str]] = [[] for _ in layout.categories]
    error: ValueError | None = None
    try:
        values = _load_numbers(text, layout, names, texts, reading)
    except InputFileError:
        raise
    except ValueError as failure:
        error = failure
    if error is not None or not _is_sound(values, layout, reading):
        if _names_after_all(text, layout, reading):
            return load(text, replace(layout, named=0), reading)
        columns = survey(text, layout)
        if not surveyed and columns is not None:
            revised = layout.of_kinds(columns, reading.decimal)
            if revised != layout:
                return load(text, revised, reading, surveyed=True)
        said = _fault(text, layout, reading, columns) or error or "holds values that are not finite"
        raise InputFileError(f"{text}: {said}") from error
    if layout.tentative and not _identify(names):
        return load(text, replace(layout, named=None, tentative=False), reading)
    first = 0 if layout.named is None else 1
    values = np.ascontiguousarray(values[:, first : first + len(layout.cells)])
    categories = [[None if kind(cell) in (EMPTY, MISSING) else unguarded(cell) for cell in cells] for cells in texts]
    return values, [unguarded(name) for name in names] if first else None, categories, layout


def survey(text: TextFile, layout: Layout) -> list[ColumnKinds] | None:
    """Count the kinds of all cells of a file; None if a row has another length."""
    columns = [ColumnKinds() for _ in range(layout.width)]
    with text.open() as file:
        for _, row in rows_of(file, layout):
            if len(row) != layout.width + layout.trailing:
                return None
            for column, cell in zip(columns, row, strict=False):
                column.add(cell)
    return columns


def _is_sound(values: NDArray[np.float64], layout: Layout, reading: Reading) -> bool:
    if values.shape[1] != len(layout.used) + (layout.named is not None):
        return False
    return not np.isinf(values).any() if reading.missing else bool(np.isfinite(values).all())


def _names_after_all(text: TextFile, layout: Layout, reading: Reading) -> bool:
    """Whether the first column, numeric in the first lines, holds names."""
    if reading.index is not None or layout.named is not None or layout.width < 2 or layout.chosen is not None:
        return False
    if 0 in layout.excluded:
        return False
    with text.open() as file:
        cells = [row[0] for _, row in rows_of(file, layout) if row[0]]
    return are_names(cells) and not repeats(len(set(cells)), len(cells))


def _identify(names: Sequence[str]) -> bool:
    """Whether all names are unique integers or missing values."""
    numbers = [to_number(name) for name in names]
    whole = all(number is None or not np.isfinite(number) or number == int(number) for number in numbers)
    return whole and len(set(names)) == len(names)


def _load_numbers(
    text: TextFile, layout: Layout, names: list[str], texts: list[list[str]], reading: Reading
) -> NDArray[np.float64]:
    """Load row names (as 0), numbers and categories (as 0); the text of the names and categories is appended."""
    first = () if layout.named is None else (layout.named,)
    wanted: Any = (*first, *layout.cells, *layout.categories)  # the stub of NumPy 1 has no None
    if wanted == tuple(range(layout.width)) and not layout.trailing:
        wanted = None
    converters = _converters(layout, reading)
    if layout.named is not None:
        converters[layout.named] = _collector(names)
    for cell, cells in zip(layout.categories, texts, strict=True):
        converters[cell] = _collector(cells)
    blanks = layout.separator == BLANKS
    with text.open() as file:
        rows = (line for line in islice(file, layout.skip, None) if not line.isspace())
        lines = rows_that_fit(rows, text.path, len(layout.used) + (layout.named is not None), reading.limit)
        return np.loadtxt(
            lines if wanted is None and not blanks else _even(lines, layout),
            usecols=wanted,
            delimiter=None if blanks else layout.separator,
            comments=None,
            quotechar='"',
            ndmin=2,
            converters=converters or None,
            encoding=None,
        )


def _converters(layout: Layout, reading: Reading) -> dict[int | str, Callable[[str], Any]]:
    """Return functions for the columns that NumPy does not read itself."""
    found: dict[int | str, Callable[[str], Any]] = {}
    for cell in layout.cells:
        boolean, gaps = cell in layout.booleans, reading.missing and cell in layout.gaps
        if boolean or gaps or layout.style != PLAIN:
            found[cell] = converter(layout.style, boolean, reading.missing)
    return found


def _even(lines: Iterator[str], layout: Layout) -> Iterator[str]:
    """Yield the lines; ``ValueError`` for a row of a different length, which NumPy accepts with ``usecols``."""
    length = layout.width + layout.trailing
    blanks = layout.separator == BLANKS
    inside = False  # a quoted cell that has begun in an earlier line
    for line in lines:
        text = line.strip() if blanks else line
        quotes = text.count('"')
        if not inside and quotes % 2 == 0:
            if quotes:
                cells = len(next(csv.reader([text], delimiter=layout.separator, skipinitialspace=blanks)))
            else:
                cells = len(text.split()) if blanks else text.count(layout.separator) + 1
            if cells != length:
                raise ValueError("a row of another length")
        inside ^= quotes % 2 == 1
        yield text


def _collector(names: list[str]) -> Callable[[str], float]:
    """Return a converter for a column of text: it stores the text, and returns a number to NumPy."""

    def keep(cell: str) -> float:
        names.append(cell.strip())
        return 0.0

    return keep


def _fault(text: TextFile, layout: Layout, reading: Reading, columns: list[ColumnKinds] | None) -> str | None:
    with text.open() as file:
        found = find_fault(file, layout, reading.missing)
    if found is None or FILL not in found or columns is None:
        return found
    counts = {layout.heading(cell): columns[cell].missing for cell in layout.cells if columns[cell].missing}
    if sum(counts.values()) == 1:
        return found
    names = list(counts)
    which = f"column {names[0]}" if len(names) == 1 else f"columns {', '.join(names[:6])}{', ...' * (len(names) > 6)}"
    return f"{found}; {sum(counts.values()):,} values are missing, in {which}"
