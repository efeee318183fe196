"""Layout of a text table: separator, header, and column of row names.

It is detected from the lines at the beginning of the file (all lines of a small one). Where they are ambiguous, a
warning names the option that overrides the decision.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpuclust.app.data.table_cells import (
    BOOLEAN,
    EMPTY,
    MISSING,
    NUMBER,
    TEXT,
    are_names,
    is_whole,
    kind,
    names_rows,
)
from gpuclust.app.data.table_columns import place_of_index
from gpuclust.app.data.table_header import first_line_is_header

#: Runs of blanks as a separator.
BLANKS = " "
_MARKS = "\t;|,"


@dataclass(frozen=True)
class Layout:
    """Layout of a text table.

    Attributes
    ----------
    separator : str
        ``" "`` stands for one or more blanks.
    skip : int
        Lines before the first row of numbers.
    heads : tuple of str or None
        The heading of each cell of a row; None without a header.
    width : int
        Number of cells in a row, not counting the empty one after a trailing separator.
    trailing : bool
        Whether every row ends with a separator.
    named : int or None
        Column of row names.
    tentative : bool
        Whether `named` holds only if all cells of the column are unique integers.
    booleans : tuple of int
        Columns of true and false.
    whole : tuple of int
        Columns of cells that consist of digits only.
    header : bool
        Whether the first line is a header.
    bare : bool
        Whether there is nothing below the header.
    doubt : str or None
        Warning about an ambiguous header.
    chosen : tuple of int or None
        Columns that are read as numbers; None for all but `named`.
    """

    separator: str
    skip: int
    heads: tuple[str, ...] | None
    width: int
    trailing: bool
    named: int | None
    tentative: bool
    booleans: tuple[int, ...]
    whole: tuple[int, ...]
    header: bool
    bare: bool
    doubt: str | None
    chosen: tuple[int, ...] | None = None

    @property
    def cells(self) -> tuple[int, ...]:
        """Columns that are read as numbers."""
        if self.chosen is not None:
            return self.chosen
        return tuple(cell for cell in range(self.width) if cell != self.named)

    def choosing(self, chosen: tuple[int, ...]) -> Layout:
        """Return the layout with these columns chosen. A chosen column does not name the rows."""
        named = None if self.named in chosen else self.named
        return replace(self, chosen=chosen, named=named, tentative=self.tentative and named is not None)


def parse(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Split lines into rows of stripped cells."""
    if separator == BLANKS:
        lines = [line.strip() for line in lines]
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=separator == BLANKS)
    return [[cell.strip() for cell in row] for row in rows]


def layout_of(
    lines: Sequence[str], separator: str | None, header: bool | None, index: str | int | None, ends: bool = True
) -> Layout | None:
    """Detect the layout of a table from its first lines; None if they are blank.

    ``header`` and ``index`` override the detection; ``index`` is a heading, a number from 0, or ``"none"``. ``ends``
    says that the table has no other lines.
    """
    skip = 0
    while skip < len(lines) and not lines[skip].strip():
        skip += 1
    stated = re.fullmatch(r'"?sep=(.)"?', lines[skip].strip("\r\n"), re.IGNORECASE) if skip < len(lines) else None
    if stated:
        separator, skip = stated[1], skip + 1
    comments = 0
    for line in lines[skip:]:
        if line.strip() and not line.startswith("#"):
            break
        comments += 1
    rest = [line for line in lines[skip + comments :] if line.strip()]
    if not rest or any(line.startswith("#") for line in rest):  # every line begins so, or some row names do
        comments, rest = 0, [line for line in lines[skip:] if line.strip()]
    if not rest:
        return None
    separator = separator_of(rest, separator)
    rows = parse(rest, separator)
    if not ends and len(rows) > 2:  # the last row may be incomplete
        rows.pop()
    last_comment = None
    for line in lines[skip : skip + comments]:
        if line.strip("# \t\r\n"):
            last_comment = parse([line.lstrip("#").strip()], separator)[0]
    return _layout_of_rows(lines, skip + comments, separator, rows, header, index, last_comment)


def separator_of(lines: Sequence[str], expected: str | None) -> str:
    """Detect the separator: the one that gives rows of equal length with the largest share of numbers.

    ``expected`` is returned if it occurs in the first two lines.
    """
    if expected is not None and any(expected in line for line in lines[:2]):
        return expected
    best, most = None, -1.0
    for mark in (*_MARKS, BLANKS):
        if mark == BLANKS and best is not None:
            break
        if not any(mark in line for line in lines):
            continue
        try:
            rows = parse(lines, mark)
        except csv.Error:  # a cell exceeds the limit of the csv module: not the separator
            continue
        body = rows[1:] or rows
        width = len(body[0])
        counted = len(rows[0]) == 1 and rows[0][0].isdigit()  # the number of rows: an error, reported later
        if width < 2 or not (len(rows[0]) in (width, width - 1) or counted) or any(len(row) != width for row in body):
            continue
        filled = [kind(cell) for row in body for cell in row if cell]
        share = sum(found != TEXT for found in filled) / max(1, len(filled))
        if share > most and (mark != BLANKS or share > 0):
            best, most = mark, share
    if best is not None:
        return best
    present = [mark for mark in ",;\t|" if any(mark in line for line in lines)]
    return (*present, ",")[0]


def _layout_of_rows(
    lines: Sequence[str],
    skip: int,
    separator: str,
    rows: list[list[str]],
    header: bool | None,
    index: str | int | None,
    comment: list[str] | None,
) -> Layout:
    first, body = rows[0], rows[1:]
    width = len(body[0]) if body else len(first)
    even = [row for row in body if len(row) == width]
    trailing = width > 1 and len(even) == len(body) > 0 and all(row[-1] == "" for row in body)
    trailing = trailing and (len(first) < width or first[-1] == "")
    if trailing:
        width -= 1
        even = [row[:width] for row in even]
        first = first[:width]
    shorter = bool(body) and len(first) == width - 1 and len(even) == len(body)
    found, doubt = first_line_is_header(first, even, shorter)
    heads: tuple[str, ...] | None = None
    if header is not None:
        found, doubt = header, None
    elif not found and comment is not None and width > 1 and len(comment) == width and not doubt:
        heads = tuple(comment) if any(kind(cell) == TEXT for cell in comment) else None
    if found:
        heads = ("", *first) if shorter else tuple(first)
    if not shorter:
        width = len(first)  # rows of a different length are an error, found when they are read
    content = [row for row in (even if found else [first, *even]) if len(row) == width]
    columns = list(zip(*content, strict=True)) if content else [() for _ in range(width)]
    named, tentative = _naming(heads, columns, shorter and found, index)
    start = _line_after(lines, skip, separator) if found else skip
    return Layout(
        separator,
        start,
        heads,
        width,
        trailing,
        named,
        tentative,
        tuple(i for i, cells in enumerate(columns) if cells and all(kind(cell) == BOOLEAN for cell in cells)),
        tuple(i for i, cells in enumerate(columns) if cells and all(map(is_whole, cells))),
        found,
        found and not body,
        doubt,
    )


def _line_after(lines: Sequence[str], skip: int, separator: str) -> int:
    """Return the number of lines to the end of the first row after ``skip``; quoted cells may contain line ends."""
    while not lines[skip].strip():
        skip += 1
    reader = csv.reader(lines[skip:], delimiter=separator)
    next(reader)
    return skip + reader.line_num


def _naming(
    heads: tuple[str, ...] | None, columns: Sequence[Sequence[str]], shorter: bool, index: str | int | None
) -> tuple[int | None, bool]:
    """Return the column of row names, or None, and whether that requires unique integers."""
    if index is not None:
        return place_of_index(index, heads, len(columns)), False
    if len(columns) < 2:
        return None, False
    first = columns[0]
    if shorter or (heads is not None and heads[0] == "") or are_names(first):
        return 0, False
    if heads is None or not names_rows(heads[0]) or not first:
        return None, False
    if any(kind(cell) == TEXT for cell in first):
        return 0, False
    found = {kind(cell) for cell in first}
    if EMPTY in found or found == {MISSING}:
        return (None if EMPTY in found else 0), False
    return (0, True) if found <= {NUMBER, MISSING} and len(set(first)) == len(first) else (None, False)
