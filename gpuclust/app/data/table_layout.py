"""Layout of a text table: what separates its cells, whether its first line is a header, which column names rows.

All is decided by the lines at the beginning of the file (all lines of a small one), never by the first two alone.
What they leave open is decided one way, and said in a warning that names the option which decides it the other way.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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
    numeric,
)

#: Runs of blanks as a separator.
BLANKS = " "
_MARKS = "\t;|,"
_YEARS = range(1500, 2200)


@dataclass(frozen=True)
class Layout:
    """What the beginning of a table tells about the rest.

    Attributes
    ----------
    separator : str
        ``" "`` stands for runs of blanks.
    skip : int
        Lines before the first row of numbers.
    heads : tuple of str or None
        The heading of each cell of a row; None without a header.
    width : int
        Cells in a row, without the empty one behind a separator at the end of every row.
    trailing : bool
        Every row ends with a separator.
    named : int or None
        The cell that names the row.
    tentative : bool
        It does so only if all of its cells are different whole numbers.
    booleans : tuple of int
        Cells that are true or false.
    whole : tuple of int
        Cells that are written with digits only.
    header : bool
        Whether the first line is a header.
    bare : bool
        There is nothing below the header.
    doubt : str or None
        Why that may be wrong.
    chosen : tuple of int or None
        The cells that are read as numbers; None for all but the one that names the row.
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
        """The cells that are read as numbers."""
        if self.chosen is not None:
            return self.chosen
        return tuple(cell for cell in range(self.width) if cell != self.named)

    def choosing(self, chosen: tuple[int, ...]) -> Layout:
        """The same table, of which these cells are read. One that is asked for names no rows, unless it must."""
        named = None if self.named in chosen else self.named
        return replace(self, chosen=chosen, named=named, tentative=self.tentative and named is not None)


def parse(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Rows of stripped cells."""
    if separator == BLANKS:
        lines = [line.strip() for line in lines]
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=separator == BLANKS)
    return [[cell.strip() for cell in row] for row in rows]


def layout_of(
    lines: Sequence[str], separator: str | None, header: bool | None, index: str | int | None, ends: bool = True
) -> Layout | None:
    """The layout of a table that begins with these lines; None if they are blank.

    ``header`` and ``index`` overrule what is found: `index` is a heading, a number from 0, or ``"none"``. ``ends``:
    the table has no other lines.
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
    if not rest or any(line.startswith("#") for line in rest):  # all lines, or rows with such names
        comments, rest = 0, [line for line in lines[skip:] if line.strip()]
    if not rest:
        return None
    separator = separator_of(rest, separator)
    rows = parse(rest, separator)
    if not ends and len(rows) > 2:  # the last row may be the beginning of one
        rows.pop()
    last_comment = None
    for line in lines[skip : skip + comments]:
        if line.strip("# \t\r\n"):
            last_comment = parse([line.lstrip("#").strip()], separator)[0]
    return _layout_of_rows(lines, skip + comments, separator, rows, header, index, last_comment)


def separator_of(lines: Sequence[str], expected: str | None) -> str:
    """What separates the cells: the mark that gives rows of one length with most numbers.

    ``expected`` is taken if it occurs in the first two lines.
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
        except csv.Error:  # a line is one cell longer than any cell may be: this is not what separates
            continue
        body = rows[1:] or rows
        width = len(body[0])
        counted = len(rows[0]) == 1 and rows[0][0].isdigit()  # the number of rows above a matrix: a fault to be told
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
        width = len(first)  # rows of another length are a fault, which reading on will find
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
    """How many lines there are up to the end of the first row behind ``skip``: quoted cells may go over several."""
    while not lines[skip].strip():
        skip += 1
    reader = csv.reader(lines[skip:], delimiter=separator)
    next(reader)
    return skip + reader.line_num


def _naming(
    heads: tuple[str, ...] | None, columns: Sequence[Sequence[str]], shorter: bool, index: str | int | None
) -> tuple[int | None, bool]:
    """The cell that names the row, if one does, and whether that is so for different whole numbers only."""
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


def place_of_index(index: str | int, heads: Sequence[str] | None, width: int) -> int | None:
    """The number of the column that ``--index`` means; None for ``"none"``, ``ValueError`` if there is none such."""
    if isinstance(index, str) and index.strip().lower() == "none":
        return None
    if isinstance(index, str) and heads is not None and index in heads:
        if list(heads).count(index) > 1:
            raise ValueError(f"several columns are named {index!r}; give the number of the one that names the rows")
        return list(heads).index(index)
    if str(index).isdigit() and int(index) < width:
        return int(index)
    there = f"columns 0 to {width - 1}" + (f" ({', '.join(map(repr, heads[:8]))})" if heads else "")
    raise ValueError(f"index {index!r} is no column: there are {there}, or 'none'")


def first_line_is_header(
    first: Sequence[str], rows: Sequence[Sequence[str]], shorter: bool
) -> tuple[bool, str | None]:
    """Whether a first line names the columns of the rows below, and why that may be wrong."""
    kinds = [kind(cell) for cell in first]
    if not rows or (len(first) != len(rows[0]) and not shorter):
        return TEXT in kinds and all(found in (TEXT, EMPTY) for found in kinds), None
    columns = list(zip(*rows, strict=True))
    if shorter:
        return TEXT in kinds or are_names(columns[0]) or _counts(columns[0]), None
    fractions = any(found == NUMBER and not is_whole(cell) for found, cell in zip(kinds, first, strict=True))
    over_numbers = [
        found == TEXT and numeric(cells) and not (place == 0 and are_names(cells))
        for place, (found, cells) in enumerate(zip(kinds, columns, strict=True))
    ]
    if any(over_numbers):
        # 1.5,word over numbers is a faulty row rather than a header: reading on will say where.
        return not fractions, None
    if all(found in (TEXT, EMPTY) for found in kinds):
        return True, None
    labels = [cell for place, cell in enumerate(first) if not (place == 0 and kinds[0] in (TEXT, EMPTY))]
    values = columns[len(first) - len(labels) :]
    if kinds[0] == EMPTY and all(columns[0]) and not fractions:
        return True, None
    if kinds[0] == TEXT:
        return _over_names(first, labels, columns, values)
    return _over_numbers(labels, values, rows)


def _over_names(
    first: Sequence[str],
    labels: Sequence[str],
    columns: Sequence[Sequence[str]],
    values: Sequence[Sequence[str]],
) -> tuple[bool, str | None]:
    """A text and numbers over a column of text and columns of numbers: a header, or the first of named rows."""
    if names_rows(first[0]) and first[0] not in columns[0]:
        return True, None
    if not _may_be_headings(labels) or _in_distances(labels, values):
        return False, None
    if _are_years(labels, values) or _all_fractions(values) or labels == [str(i) for i in range(len(labels))]:
        return True, None
    patterns = {_pattern(name) for name in columns[0]}
    if len(patterns) == 1 and "0" in next(iter(patterns)):
        if _pattern(first[0]) in patterns:
            return False, None
        if len(columns[0]) > 2:
            return True, None
    return False, _doubt(first, "a row of data") if _ascend(labels) else None


def _over_numbers(
    labels: Sequence[str], values: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]
) -> tuple[bool, str | None]:
    """Numbers over numbers: a header only if they are written as no row below is."""
    if not _may_be_headings(labels) or _in_distances(labels, values):
        return False, None
    counted = list(labels) == [str(i) for i in range(len(labels))]
    years = _are_years(labels, values)
    if _all_fractions(values):
        if years or counted:
            return True, None
        if len(labels) > 1 and _ascend(labels):
            return True, None if len(labels) > 2 else _doubt(labels, "the header")
        return False, _doubt(labels, "a row of data")
    if years and len(labels) > 1:
        return True, _doubt(labels, "the header")
    if counted and len(labels) > 2:
        following = [str(len(labels) + i) for i in range(len(labels))]
        return (False, None) if list(rows[0]) == following else (True, _doubt(labels, "the header"))
    binary = all(cell in ("0", "1") for cells in values for cell in cells)
    return False, _doubt(labels, "a row of data") if counted and len(labels) == 2 and not binary else None


def _pattern(name: str) -> str:
    """A name without what its numbers are: ``s12`` and ``s7`` have one pattern."""
    return re.sub(r"[0-9]+", "0", name)


def _may_be_headings(labels: Sequence[str]) -> bool:
    return bool(labels) and all(map(is_whole, labels)) and len(set(labels)) == len(labels)


def _ascend(labels: Sequence[str]) -> bool:
    """Whether whole numbers go up by equal steps."""
    numbers = [int(label) for label in labels]
    return len({after - before for before, after in pairwise(numbers)}) <= 1 and numbers == sorted(numbers)


def _are_years(labels: Sequence[str], values: Sequence[Sequence[str]]) -> bool:
    """Whether all are years, in order, over numbers that are none."""
    numbers = [int(label) for label in labels]
    if not all(number in _YEARS for number in numbers) or numbers != sorted(numbers):
        return False
    return not any(is_whole(cell) and int(cell) in _YEARS for cells in values for cell in cells)


def _all_fractions(values: Sequence[Sequence[str]]) -> bool:
    """Whether no number in these columns is written with digits only."""
    cells = [cell for column in values for cell in column]
    return bool(cells) and all(kind(cell) == NUMBER and not is_whole(cell.lstrip("+-")) for cell in cells)


def _in_distances(labels: Sequence[str], values: Sequence[Sequence[str]]) -> bool:
    """Whether a line is the first of a square matrix of distances: zero, then what the first column holds."""
    if len(labels) < 2 or float(labels[0]) != 0:
        return False
    down = list(values[0])[: len(labels) - 1]
    diagonal = [values[i + 1][i] for i in range(len(down))]
    same = all(kind(a) == NUMBER and float(a) == float(b) for a, b in zip(down, labels[1:], strict=False))
    return bool(down) and same and all(kind(cell) == NUMBER and float(cell) == 0 for cell in diagonal)


def _counts(cells: Sequence[str]) -> bool:
    """Whether a column holds 0, 1, 2 ... or 1, 2, 3 ..., written so."""
    start = 1 if cells and cells[0] == "1" else 0
    return bool(cells) and list(cells) == [str(start + i) for i in range(len(cells))]


def _doubt(cells: Sequence[str], taken: str) -> str:
    listed = ", ".join(cells[:4]) + (", ..." if len(cells) > 4 else "")
    other = "--no-header if it is a row of data" if taken == "the header" else "--header if it names the columns"
    return f"the first line ({listed}) is taken for {taken}, which is not certain; give {other}"
