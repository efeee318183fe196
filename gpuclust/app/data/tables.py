"""Text tables of numbers, separated by commas, semicolons, tabs, bars or blanks.

A table may have a header and a column of row names; `gpuclust.app.data.table_layout` detects both:

- the first line is a header if one of its cells is text above numbers; if, above row names, its first cell is empty
  or it is one cell shorter than the rows (as R writes it); or if it holds years, 0, 1, 2, ..., or other increasing
  integers, above numbers with decimals or in a table with row names;
- the first column holds row names if it holds words, if its heading is empty (as pandas and R write it), or if the
  heading is that of an identifier (``id``, ``gene_id``, ``Unnamed: 0``) and all cells are unique integers.

`header` and `index` override the detection. Columns are given by name, or by number from 0, where every column of the
file counts, including row names. All other cells, or those of the chosen columns, must be finite numbers, or true and
false in the whole column. Comments (``#``) are allowed above the table.

NumPy's C reader parses the file. Only if it fails, the file is read a second time, cell by cell, to find the position
of the error (`gpuclust.app.data.table_faults`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.opening import open_text, rows_that_fit
from gpuclust.app.data.table_cells import are_names, to_boolean, to_number
from gpuclust.app.data.table_columns import choose_columns, identifiers
from gpuclust.app.data.table_faults import find_fault, rows_of, undecodable
from gpuclust.app.data.table_layout import BLANKS, Layout, layout_of
from gpuclust.core.text import unguarded
from gpuclust.errors import ClusterWarning, InputFileError, warn

#: Number of characters from which the layout is detected, and smallest number of lines.
_SAMPLE, _FEWEST = 200_000, 4
#: Number of column names that are listed.
_LISTED = 8


class Table(NamedTuple):
    """Content of a table.

    Attributes
    ----------
    values : ndarray of shape (rows, columns)
    names : list of str or None
        Names of the rows.
    columns : list of str or None
        Names of the columns.
    how : str
        How the table was read, in one line.
    """

    values: NDArray[Any]
    names: list[str] | None
    columns: list[str] | None
    how: str


def read_table(
    path: Path,
    separator: str | None,
    columns: Sequence[str | int] | None = None,
    header: bool | None = None,
    index: str | int | None = None,
    distances: bool = False,
    limit: int | None = None,
) -> Table:
    """Read a table.

    Parameters
    ----------
    path : Path
    separator : str or None
        Expected separator; None: detected from the first lines.
    columns : sequence of str or int, optional
        Columns to read, by name or by number from 0; the others may have any content.
    header : bool, optional
        Whether the first line is a header; detected by default.
    index : str or int, optional
        Column of row names, or ``"none"``; detected by default.
    distances : bool
        Whether the table is a square matrix, which shows whether it has a header and row names.
    limit : int, optional
        Largest size of the values in bytes, by default the available memory.

    Raises
    ------
    InputFileError
        The file is not a table of finite numbers; the message names the position.
    """
    try:
        layout = _layout_of(path, separator, header, index)
        if columns is not None:
            chosen = choose_columns(path, columns, layout.heads, layout.width)
            layout = layout.choosing(chosen)
        values, names, layout = _load(path, layout, index, limit)
        if distances and 1 not in values.shape and header is None and index is None:
            better = _squared(values.shape, layout)
            if better:
                return read_table(path, separator, columns, limit=limit, **better)  # type: ignore[arg-type]
            if values.shape[0] == values.shape[1]:
                layout = replace(layout, doubt=None)
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: {undecodable(error)}") from error
    except csv.Error as error:
        raise InputFileError(f"{path}: is not a table ({error})") from error
    doubts = [] if layout.doubt is None else [layout.doubt]
    if columns is None and index is None and not distances:
        headings = [layout.heads[cell] if layout.heads is not None else str(cell) for cell in layout.cells]
        doubts += identifiers(values, headings, [i for i, cell in enumerate(layout.cells) if cell in layout.whole])
    for doubt in doubts:
        warn(f"{path}: {doubt}", ClusterWarning)
    heads = None if layout.heads is None else [unguarded(layout.heads[cell]) for cell in layout.cells]
    first = "first line is the header" if layout.header else "no header" if heads is None else "header in a comment"
    return Table(values, names, heads, describe(path, values.shape, heads, first, layout.named, layout.heads))


def _squared(shape: tuple[int, ...], layout: Layout) -> dict[str, bool | int] | None:
    """Return the arguments of `read_table` that make a matrix square, if there are any."""
    rows, columns = shape
    if rows == columns + 1 and not layout.header:
        return {"header": True}
    if rows == columns - 1 and layout.header and layout.doubt is not None:
        return {"header": False}
    if columns == rows + 1 and layout.named is None:
        return {"index": 0, "header": layout.header}
    return None


def describe(
    path: Path,
    shape: Sequence[int],
    columns: Sequence[str] | None = None,
    first: str = "",
    named: int | None = None,
    heads: Sequence[str] | None = None,
) -> str:
    """Describe in one line how a file was read.

    ``first`` describes its first line; ``named`` is the column of row names, ``heads`` the headings of all columns.
    """
    rows, width = shape
    size = f"{rows:,} row{'s' * (rows != 1)} x {width:,} column{'s' * (width != 1)}"
    if columns:
        size += f" ({', '.join(columns[:_LISTED])}{', ...' if len(columns) > _LISTED else ''})"
    said = [f"{path.name}: {size}", first]
    if named is not None:
        heading = heads[named] if heads is not None else ""
        said.append(f"row names from column {heading!r}" if heading else f"row names from column {named}")
    elif first:
        said.append("no row names")
    return "; ".join(filter(None, said))


def table_shape(
    path: Path, separator: str | None, header: bool | None = None, index: str | int | None = None
) -> tuple[int, int]:
    """Estimate the number of rows, and return that of columns, from the first lines and the size of the file."""
    layout = _layout_of(path, separator, header, index)
    with open_text(path) as file:
        lines = list(islice(file, 200))
    size = path.stat().st_size * (3 if path.suffix.lower() == ".gz" else 1)  # text is compressed to about a third
    length = sum(map(len, lines)) / len(lines)
    rows = len(lines) - layout.skip if len(lines) < 200 else int(size / length)
    return rows, len(layout.cells)


def _load(
    path: Path, layout: Layout, index: str | int | None, limit: int | None
) -> tuple[NDArray[np.float64], list[str] | None, Layout]:
    """Load values and row names. The layout is corrected where the rest of the file contradicts its first lines."""
    if not layout.cells:
        raise InputFileError(f"{path}: holds names of rows only, and no numbers")
    names: list[str] = []
    try:
        values = _load_numbers(path, layout, names, limit)
    except InputFileError:
        raise
    except ValueError as error:
        if _names_after_all(path, layout, index):
            return _load(path, replace(layout, named=0), index, limit)
        raise InputFileError(f"{path}: {_fault(path, layout) or error}") from error
    if values.shape[1] != len(layout.cells) + (layout.named is not None) or not np.isfinite(values).all():
        if _names_after_all(path, layout, index):
            return _load(path, replace(layout, named=0), index, limit)
        raise InputFileError(f"{path}: {_fault(path, layout) or 'holds values that are not finite'}")
    if layout.named is None:
        return values, None, layout
    if layout.tentative and not _identify(names):
        return _load(path, replace(layout, named=None, tentative=False), index, limit)
    return np.ascontiguousarray(values[:, 1:]), [unguarded(name) for name in names], layout


def _names_after_all(path: Path, layout: Layout, index: str | int | None) -> bool:
    """Whether the first column, numeric in the first lines, holds names."""
    if index is not None or layout.named is not None or layout.width < 2 or layout.chosen is not None:
        return False
    with open_text(path) as file:
        return are_names([row[0] for _, row in rows_of(file, layout) if row[0]])


def _identify(names: Sequence[str]) -> bool:
    """Whether all names are unique integers or missing values."""
    numbers = [to_number(name) for name in names]
    whole = all(number is None or not np.isfinite(number) or number == int(number) for number in numbers)
    return whole and len(set(names)) == len(names)


def _load_numbers(path: Path, layout: Layout, names: list[str], limit: int | None) -> NDArray[np.float64]:
    first = () if layout.named is None else (layout.named,)
    wanted: tuple[int, ...] | None = (*first, *layout.cells)
    if wanted == tuple(range(layout.width)) and not layout.trailing:
        wanted = None
    converters: dict[int | str, Callable[[str], Any]] = dict.fromkeys(layout.booleans, to_boolean)
    if layout.named is not None:
        converters[layout.named] = _collector(names)
    blanks = layout.separator == BLANKS
    with open_text(path) as file:
        rows = (line for line in islice(file, layout.skip, None) if not line.isspace())
        lines = rows_that_fit(rows, path, len(layout.cells) + (layout.named is not None), limit)
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


def _even(lines: Iterator[str], layout: Layout) -> Iterator[str]:
    """Yield the lines; ``ValueError`` for a row of a different length, which NumPy accepts with ``usecols``."""
    length = layout.width + layout.trailing
    blanks = layout.separator == BLANKS
    for line in lines:
        text = line.strip() if blanks else line
        if '"' not in text and (len(text.split()) if blanks else text.count(layout.separator) + 1) != length:
            raise ValueError("a row of another length")
        yield text


def _collector(names: list[str]) -> Callable[[str], float]:
    """Return a converter for the column of row names: it stores the text, and returns a number to NumPy."""

    def keep(cell: str) -> float:
        names.append(cell.strip())
        return 0.0

    return keep


def _layout_of(path: Path, separator: str | None, header: bool | None, index: str | int | None) -> Layout:
    lines: list[str] = []
    size = filled = 0
    ends = True
    with open_text(path) as file:
        for line in file:
            lines.append(line)
            size, filled = size + len(line), filled + (not line.isspace())
            if size > _SAMPLE and filled > _FEWEST:
                ends = False
                break
    try:
        layout = layout_of(lines, separator, header, index, ends)
    except ValueError as error:
        raise InputFileError(f"{path}: {error}") from error
    if layout is None:
        raise InputFileError(f"{path}: is empty")
    if layout.bare:
        raise InputFileError(f"{path}: holds one line of text and no rows of numbers")
    return layout


def _fault(path: Path, layout: Layout) -> str | None:
    with open_text(path) as file:
        return find_fault(file, layout)
