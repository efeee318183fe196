"""Tables of numbers as text, separated by commas, semicolons or tabs.

A table may have a header and may name its rows in its first column; both are recognised:

- the first line is a header if none of its cells is a number;
- the first column holds row names if it is not numeric, if its heading is empty (as pandas and R write it), or if
  the header is one cell shorter than the rows (R again).

Everything else, or in the columns that were chosen, must be a finite number. NumPy's C reader does the parsing; only
when it fails is the file read a second time, cell by cell, to say where the fault is.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpuclust.errors import ClusterWarning, InputFileError, unknown_name
from gpuclust.opening import open_text, rows_that_fit


@dataclass(frozen=True)
class _Layout:
    """What the first two lines of a table tell about the others."""

    separator: str
    skip: int  # lines before the first row of numbers
    columns: list[str] | None
    named: bool  # the first column holds names
    width: int  # cells in a row
    chosen: tuple[int, ...] | None = None  # cells that are read, of those that hold no names; None: all


def read_table(
    path: Path, separator: str | None, columns: Sequence[str | int] | None = None, limit: int | None = None
) -> tuple[NDArray[np.float64], list[str] | None, list[str] | None]:
    """Values, shape (rows, columns), the names of the rows if there are any, and those of the columns.

    ``separator`` is None for a comma, semicolon or tab, by what the first two lines hold. ``columns`` are those to
    read, by name or by number from 0 (the names of the rows do not count); the others may hold anything. ``limit`` is
    how many bytes the values may take, by default what is available.

    Raises
    ------
    InputFileError
        The file holds no table of finite numbers; the message says where not.
    """
    try:
        layout = _layout_of(path, separator)
        if columns is not None:
            width = layout.width - layout.named
            places = choose_columns(path, columns, layout.columns, width)
            layout = replace(layout, chosen=tuple(place + layout.named for place in places))
        names: list[str] = []
        try:
            values = _load_numbers(path, layout, names, limit)
        except InputFileError:
            raise
        except ValueError as error:
            raise InputFileError(f"{path}: {_find_fault(path, layout) or error}") from error
        expected = layout.width if layout.chosen is None else len(layout.chosen) + layout.named
        if values.shape[1] != expected or not np.isfinite(values).all():
            raise InputFileError(f"{path}: {_find_fault(path, layout) or 'holds values that are not finite'}")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: is not text in UTF-8 (byte {error.start:,}: {error.reason})") from error
    except csv.Error as error:
        raise InputFileError(f"{path}: is not a table ({error})") from error
    if layout.named:
        if values.shape[1] == 1:
            raise InputFileError(f"{path}: holds names of rows only, and no numbers")
        values = np.ascontiguousarray(values[:, 1:])
    elif layout.columns and layout.columns[0].lower() in ("id", "index"):
        warnings.warn(
            f"{path}: the first column, {layout.columns[0]!r}, is numeric and is used as a feature; "
            "leave its heading empty if it names the rows",
            ClusterWarning,
            stacklevel=4,
        )
    names_of_columns = layout.columns
    if columns is not None and layout.chosen is not None and names_of_columns is not None:
        names_of_columns = [names_of_columns[place - layout.named] for place in layout.chosen]
    return values, names if layout.named else None, names_of_columns


def table_shape(path: Path, separator: str | None) -> tuple[int, int]:
    """About how many rows, and how many columns, a table has, from its first lines and the size of its file."""
    layout = _layout_of(path, separator)
    with open_text(path) as file:
        lines = list(islice(file, 200))
    size = path.stat().st_size * (3 if path.suffix.lower() == ".gz" else 1)  # text shrinks to about a third
    length = sum(map(len, lines)) / len(lines)
    rows = len(lines) - layout.skip if len(lines) < 200 else int(size / length)
    return rows, layout.width - layout.named


def choose_columns(
    path: Path, columns: Sequence[str | int], names: Sequence[str] | None, width: int
) -> tuple[int, ...]:
    """Numbers, from 0, of columns given by name or by number; ``names`` are those of all ``width`` of them."""
    places = []
    for column in columns:
        if isinstance(column, str):
            if names is None:
                raise InputFileError(f"{path}: its columns have no names, so {column!r} is none; give numbers from 0")
            if column not in names:
                raise InputFileError(f"{path}: {unknown_name('column', column, names)}")
            if names.count(column) > 1:
                raise InputFileError(f"{path}: several columns are named {column!r}; give their numbers, from 0")
            places.append(names.index(column))
        elif 0 <= column < width:
            places.append(int(column))
        else:
            raise InputFileError(f"{path}: has columns 0 to {width - 1}, but column {column} was asked for")
    if len(set(places)) < len(places):
        raise InputFileError(f"{path}: a column was asked for twice: {', '.join(map(str, columns))}")
    return tuple(places)


def _load_numbers(path: Path, layout: _Layout, names: list[str], limit: int | None) -> NDArray[np.float64]:
    wanted = layout.chosen
    if wanted is not None and layout.named:
        wanted = (0, *wanted)
    with open_text(path) as file:
        rows = (line for line in islice(file, layout.skip, None) if not line.isspace())
        lines = rows_that_fit(rows, path, layout.width if wanted is None else len(wanted), limit)
        return np.loadtxt(
            lines if wanted is None else _even(lines, layout),
            usecols=wanted,
            delimiter=layout.separator,
            comments=None,
            quotechar='"',
            ndmin=2,
            converters={0: _collector(names)} if layout.named else None,
            encoding=None,
        )


def _even(lines: Iterator[str], layout: _Layout) -> Iterator[str]:
    """The same lines; ``ValueError`` at one of another length, which NumPy lets pass when it reads some columns."""
    for line in lines:
        if '"' not in line and line.count(layout.separator) + 1 != layout.width:
            raise ValueError("a row of another length")
        yield line


def _collector(names: list[str]) -> Callable[[str], float]:
    """A converter for the first column: keeps its text aside, and lets NumPy see a number."""

    def keep(cell: str) -> float:
        names.append(cell.strip())
        return 0.0

    return keep


def _layout_of(path: Path, separator: str | None) -> _Layout:
    with open_text(path) as file:
        lines = ((number, line) for number, line in enumerate(file) if line.strip())
        first_at, first_line = next(lines, (0, ""))
        _, second_line = next(lines, (0, ""))
    if not first_line:
        raise InputFileError(f"{path}: is empty")
    if separator is None:
        present = [mark for mark in ",;\t" if mark in first_line]
        even = [mark for mark in present if len(_cells(first_line, mark)) == len(_cells(second_line, mark))]
        separator = (even + present + [","])[0]
    first, second = _cells(first_line, separator), _cells(second_line, separator)
    if any(_is_number(cell) for cell in first):
        named = len(first) > 1 and first[0] != "" and not (_is_number(first[0]) or _has_comma(first[0]))
        return _Layout(separator, first_at, None, named, len(first))
    if not second:
        raise InputFileError(f"{path}: holds one line of text and no rows of numbers")
    shorter = len(second) == len(first) + 1
    named = shorter or first[0] == "" or not (_is_number(second[0]) or second[0] == "" or _has_comma(second[0]))
    named = named and len(second) > 1
    columns = first[1:] if named and not shorter else first
    return _Layout(separator, first_at + 1, columns, named, len(first) + shorter)


def _find_fault(path: Path, layout: _Layout) -> str | None:
    """Line and column of the first cell that is not a finite number, or of the first row of another length."""
    with open_text(path) as file:
        rows = csv.reader(file, delimiter=layout.separator)
        for row in rows:
            if rows.line_num <= layout.skip or not row or (len(row) == 1 and not row[0].strip()):
                continue
            where = f"line {rows.line_num}"
            if len(row) != layout.width:
                return f"{where} has {_count(len(row), 'cell')}, but the rows before it have {layout.width}"
            for column, cell in enumerate(row, 1):
                text = cell.strip()
                if (column == 1 and layout.named) or not (layout.chosen is None or column - 1 in layout.chosen):
                    continue
                if not _is_number(text):
                    found = f"{cell!r} is not a number" if text else "the cell is empty"
                    return f"{where}, column {column}: {found}{_advice(text, column, layout)}"
                if not np.isfinite(float(text)):
                    return f"{where}, column {column}: {text!r} is not a finite number"
    return None


def _advice(text: str, column: int, layout: _Layout) -> str:
    if _has_comma(text):
        return " (write decimals with a point)"
    if text and column == layout.width:
        return " (only the first column may hold text, the names of the rows, unless columns are chosen)"
    return ""


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for row in csv.reader(io.StringIO(line), delimiter=separator) for cell in row]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_000, NumPy and other programs don't


def _has_comma(text: str) -> bool:
    """Whether this is a number with a decimal comma: an error, and not the name of a row."""
    return "," in text and _is_number(text.replace(",", "."))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
