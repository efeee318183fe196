"""Tables of numbers as text, separated by commas, semicolons or tabs.

A table may have a header and may name its rows in its first column; both are recognised:

- the first line is a header if none of its cells is a number;
- the first column holds row names if it is not numeric, if its heading is empty (as pandas and R write it), or if
  the header is one cell shorter than the rows (R again).

Everything else must be a finite number. NumPy's C reader does the parsing; only when it fails is the file read a
second time, cell by cell, to say where the fault is.
"""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gpuclust.errors import ClusterWarning, InputFileError


@dataclass(frozen=True)
class _Layout:
    """What the first two lines of a table tell about the others."""

    separator: str
    skip: int  # lines before the first row of numbers
    columns: list[str] | None
    named: bool  # the first column holds names
    width: int  # cells in a row


def read_table(path: Path, separator: str | None) -> tuple[NDArray[np.float64], list[str] | None, list[str] | None]:
    """Values, shape (rows, columns), the names of the rows if there are any, and those of the columns.

    ``separator`` is None for a comma, semicolon or tab, by what the first two lines hold.

    Raises
    ------
    InputFileError
        The file holds no table of finite numbers; the message says where not.
    """
    try:
        layout = _layout_of(path, separator)
        names: list[str] = []
        try:
            values = _load_numbers(path, layout, names)
        except ValueError as error:
            raise InputFileError(f"{path}: {_find_fault(path, layout) or error}") from error
        if values.shape[1] != layout.width or not np.isfinite(values).all():
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
    return values, names if layout.named else None, layout.columns


def _load_numbers(path: Path, layout: _Layout, names: list[str]) -> NDArray[np.float64]:
    with _open_text(path) as file:
        return np.loadtxt(
            (line for line in islice(file, layout.skip, None) if not line.isspace()),
            delimiter=layout.separator,
            comments=None,
            quotechar='"',
            ndmin=2,
            converters={0: _collector(names)} if layout.named else None,
            encoding=None,
        )


def _collector(names: list[str]) -> Callable[[str], float]:
    """A converter for the first column: keeps its text aside, and lets NumPy see a number."""

    def keep(cell: str) -> float:
        names.append(cell.strip())
        return 0.0

    return keep


def _layout_of(path: Path, separator: str | None) -> _Layout:
    with _open_text(path) as file:
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
    with _open_text(path) as file:
        rows = csv.reader(file, delimiter=layout.separator)
        for row in rows:
            if rows.line_num <= layout.skip or not row or (len(row) == 1 and not row[0].strip()):
                continue
            where = f"line {rows.line_num}"
            if len(row) != layout.width:
                return f"{where} has {_count(len(row), 'cell')}, but the rows before it have {layout.width}"
            for column, cell in enumerate(row, 1):
                text = cell.strip()
                if column == 1 and layout.named:
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
        return " (only the first column may hold text: the names of the rows)"
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


def _open_text(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return open(path, encoding="utf-8-sig")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
