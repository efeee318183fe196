"""Tables of numbers as text, separated by commas, semicolons, tabs, bars or blanks.

A table may have a header, and a column that names its rows; `gpuclust.app.data.table_layout` finds out by what the
lines hold:

- the first line is a header if a cell of it is text over numbers; if its first cell is empty, or it is one cell
  shorter than the rows (as R writes it), over names of rows; or if it holds years, 0, 1, 2 ..., or other whole
  numbers in order, over numbers that are written with decimals or over named rows;
- the first column names the rows if it holds words, if its heading is empty (as pandas and R write it), or if the
  heading is that of identifiers (``id``, ``gene_id``, ``Unnamed: 0``) and all its cells are different whole numbers.

`header` and `index` overrule that. A column is meant by its name, or by its number from 0, which counts every column
of the file, also the one that names the rows. Every other cell, or every one in the columns that were chosen, must be
a finite number, or true or false in the whole column. Comments (``#``) may stand above the table.

NumPy's C reader does the parsing; only when it fails is the file read a second time, cell by cell, to say where the
fault is (`gpuclust.app.data.table_faults`).
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
from gpuclust.app.data.table_cells import are_names, may_name_rows, names_rows, to_boolean, to_number
from gpuclust.app.data.table_faults import find_fault, rows_of, undecodable
from gpuclust.app.data.table_layout import BLANKS, Layout, layout_of
from gpuclust.core.text import unguarded
from gpuclust.errors import ClusterWarning, InputFileError, unknown_name, warn

#: Characters at the beginning of a table that its layout is found from, and fewest lines.
_SAMPLE, _FEWEST = 200_000, 4
#: Column names that are listed.
_LISTED = 8


class Table(NamedTuple):
    """What a file of rows and columns holds.

    Attributes
    ----------
    values : ndarray of shape (rows, columns)
    names : list of str or None
        Names of the rows.
    columns : list of str or None
        Names of the columns.
    how : str
        How it was read, in one line.
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
        What is expected between cells; None: what the first lines hold.
    columns : sequence of str or int, optional
        Those to read, by name or by number from 0; the others may hold anything.
    header : bool, optional
        Whether the first line is a header; by default that is found out.
    index : str or int, optional
        The column that names the rows, or ``"none"``; by default that is found out.
    distances : bool
        The table is a square matrix, which tells whether a header and names stand beside it.
    limit : int, optional
        Bytes that the values may take, by default what is available.

    Raises
    ------
    InputFileError
        The file holds no table of finite numbers; the message says where not.
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
    """What to overrule so that a matrix becomes square, if that helps."""
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
    """One line on how a file was read.

    ``first`` says what its first line was taken for; ``named`` is the column, of those that have ``heads``, that
    names the rows.
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
    """About how many rows, and how many columns, a table has, from its first lines and the size of its file."""
    layout = _layout_of(path, separator, header, index)
    with open_text(path) as file:
        lines = list(islice(file, 200))
    size = path.stat().st_size * (3 if path.suffix.lower() == ".gz" else 1)  # text shrinks to about a third
    length = sum(map(len, lines)) / len(lines)
    rows = len(lines) - layout.skip if len(lines) < 200 else int(size / length)
    return rows, len(layout.cells)


def choose_columns(
    path: Path, columns: Sequence[str | int], names: Sequence[str] | None, width: int
) -> tuple[int, ...]:
    """Numbers, from 0, of columns given by name or by number; ``names`` are those of all ``width`` of them.

    A text is a name if a column has it, and otherwise a number.
    """
    places = [_place_of(path, column, names, width) for column in columns]
    if len(set(places)) < len(places):
        raise InputFileError(f"{path}: a column was asked for twice: {', '.join(map(str, columns))}")
    return tuple(places)


def _place_of(path: Path, column: str | int, names: Sequence[str] | None, width: int) -> int:
    is_number = not isinstance(column, str) or (column.isascii() and column.isdigit() and len(column) < 10)
    number = int(column) if is_number else None
    if isinstance(column, str) and names is not None and column in names:
        if list(names).count(column) > 1:
            raise InputFileError(f"{path}: several columns are named {column!r}; give their numbers, from 0")
        place = list(names).index(column)
        if number is not None and number < width and number != place:
            warn(
                f"{path}: {column} is taken for the column of that name, number {place}, and not for column number "
                f"{number} ({names[number]!r})",
                ClusterWarning,
            )
        return place
    if number is not None:
        if 0 <= number < width:
            return number
        if names is not None and str(number) in names:  # a number in a manifest or in Python
            return list(names).index(str(number))
        raise InputFileError(f"{path}: has columns 0 to {width - 1}, but column {number} was asked for")
    if names is None:
        raise InputFileError(f"{path}: its columns have no names, so {column!r} is none; give numbers from 0")
    raise InputFileError(f"{path}: {unknown_name('column', column, names)}")


def _load(
    path: Path, layout: Layout, index: str | int | None, limit: int | None
) -> tuple[NDArray[np.float64], list[str] | None, Layout]:
    """Values and names of rows. What the whole file tells against the layout's first lines is heeded."""
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
    """Whether the first column, taken for numbers by its first cells, holds names."""
    if index is not None or layout.named is not None or layout.width < 2 or layout.chosen is not None:
        return False
    with open_text(path) as file:
        return are_names([row[0] for _, row in rows_of(file, layout) if row[0]])


def _identify(names: Sequence[str]) -> bool:
    """Whether all are different whole numbers, or missing ones among them."""
    numbers = [to_number(name) for name in names]
    whole = all(number is None or not np.isfinite(number) or number == int(number) for number in numbers)
    return whole and len(set(names)) == len(names)


def identifiers(values: NDArray[Any], heads: Sequence[str], whole: Sequence[int]) -> list[str]:
    """Warnings of columns that number or identify the rows, and are used as features.

    ``heads`` are the headings of the columns, or their numbers; ``whole`` are the columns of whole numbers.
    """
    if values.shape[1] < 2 or len(values) < 2 or _are_distances(values):
        return []
    found = []
    for column, heading in enumerate(heads):
        if column not in whole:
            continue
        numbers = values[:, column]
        counts = len(numbers) > 2 and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
        called = names_rows(heading) or (may_name_rows(heading) and len(np.unique(numbers)) == len(numbers))
        if not counts and not called:
            continue
        why = "numbers the rows" if counts else "has the heading of identifiers"
        which = heading if heading.isdigit() else repr(heading)
        found.append(
            f"column {which} {why}, and is used as a feature: leave it out by --columns, or give --index {heading} "
            "if it names the rows, --index none if it is a feature"
        )
    return found


def _are_distances(values: NDArray[Any]) -> bool:
    """Whether this is a square matrix of distances, which has no features."""
    return values.shape[0] == values.shape[1] and not values.diagonal().any() and bool((values == values.T).all())


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
    """The same lines; ``ValueError`` at one of another length, which NumPy lets pass when it reads some columns."""
    length = layout.width + layout.trailing
    blanks = layout.separator == BLANKS
    for line in lines:
        text = line.strip() if blanks else line
        if '"' not in text and (len(text.split()) if blanks else text.count(layout.separator) + 1) != length:
            raise ValueError("a row of another length")
        yield text


def _collector(names: list[str]) -> Callable[[str], float]:
    """A converter for the column of names: keeps its text aside, and lets NumPy see a number."""

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
