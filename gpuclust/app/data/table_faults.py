"""Error messages for text tables that cannot be read: position, cause and remedy."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from gpuclust.app.data.table_cells import (
    BOOLEAN,
    COMMA,
    EMPTY,
    MISSING,
    NUMBER,
    has_comma,
    has_thousands,
    kind,
    to_number,
)
from gpuclust.app.data.table_layout import BLANKS, Layout

_FILL = "a missing value: fill it in, or leave the row or column out"
_TRIANGLE = "; a triangle of distances? Fill in the other half, mirrored at the diagonal of zeros"
_PHYLIP = "; a matrix in PHYLIP form? Leave out its first line, the number of rows"


def find_fault(lines: Iterable[str], layout: Layout) -> str | None:
    """Describe the first cell that is not a finite number, or the first row of a different length."""
    wanted, length = set(layout.cells), layout.width + layout.trailing
    seen: list[list[str]] = []
    rows = rows_of(lines, layout)
    for number, row in rows:
        where = f"line {number}"
        if len(row) != length:
            said = f"{where} has {_count(len(row), 'cell')}, but the rows before it have {length}"
            return said + _advice_on_length([*seen, row, *(after for _, after in islice(rows, 2))], len(seen))
        for place, cell in enumerate(row):
            if place in wanted and not (kind(cell) == NUMBER or (place in layout.booleans and kind(cell) == BOOLEAN)):
                return f"{where}, column {place + 1}: {_describe(cell)}{_advice(cell, place, layout, [*seen, row])}"
        if len(seen) < 3:
            seen.append(row)
    return None


def rows_of(lines: Iterable[str], layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header as stripped cells, with the number of the line at which each ends."""
    blanks = layout.separator == BLANKS
    text = (line.strip() for line in lines) if blanks else lines
    rows = csv.reader(text, delimiter=layout.separator, skipinitialspace=blanks)
    for row in rows:
        if rows.line_num > layout.skip and row and not (len(row) == 1 and not row[0].strip()):
            yield rows.line_num, [cell.strip() for cell in row]


def undecodable(error: UnicodeDecodeError) -> str:
    """Describe a file that is not text in UTF-8."""
    said = f"is not text in UTF-8 (byte {error.start:,}: {error.reason})"
    if error.start == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return f"{said}, but in UTF-16: save it as UTF-8, or convert it (iconv -f UTF-16 -t UTF-8)"
    return f"{said}; if it is in Latin-1 or a Windows code page, convert it (iconv -f WINDOWS-1252 -t UTF-8)"


def _describe(cell: str) -> str:
    if not cell:
        return "the cell is empty"
    number = to_number(cell)
    return f"{cell!r} is not a number" if number is None else f"{cell!r} is not a finite number"


def _advice(cell: str, place: int, layout: Layout, rows: list[list[str]]) -> str:
    """Return the remedy for a faulty cell."""
    found = kind(cell)
    if found == EMPTY:
        if len(rows[-1]) > 1 and not any(rows[-1]):
            return " (the line holds separators only: delete it)"
        return _TRIANGLE if _is_triangle(rows) else f" ({_FILL})"
    if found == MISSING:
        return f" ({_FILL})" if "inf" not in cell.lower() and not re.search("[0-9]", cell) else ""
    if found == COMMA:
        if has_thousands(cell) and not has_comma(cell):
            return " (write thousands without a separator)"
        if has_thousands(cell):
            return " (a thousands separator, or a decimal comma? Write 1234 or 1.234)"
        return " (write decimals with a point)"
    if found == BOOLEAN:
        return " (true and false are read where a whole column holds them)"
    if place == 0:
        return " (if the first column names the rows, give --index 0)" if layout.width > 1 else ""
    heads = layout.heads
    which = f"column {place}" if heads is None else f"column {heads[place]!r}"
    numbers = [i for i in layout.cells if all(len(row) > i and kind(row[i]) == NUMBER for row in rows)]
    listed = ",".join(str(i) if heads is None else heads[i] for i in numbers[:6])
    choose = f"; if {which} is no feature, choose the others: --columns {listed}" if 0 < len(numbers) <= 6 else ""
    return f" (only the first column may hold text, the names of the rows, unless columns are chosen{choose})"


def _advice_on_length(rows: list[list[str]], fault: int) -> str:
    """Return the remedy for rows of different lengths; ``fault`` is the first that differs."""
    if len(rows[0]) == 1 and rows[0][0].isdigit():
        if len(rows) > 1 and len(rows[1]) > 1 and kind(rows[1][0]) != NUMBER:
            return _PHYLIP
        if len(rows) > 1 and len(rows[1]) == int(rows[0][0]) + 1:
            return _PHYLIP
    if _is_triangle(rows):
        return _TRIANGLE
    if rows[fault][0].startswith("#"):
        return "; comments are allowed above the table only"
    return ""


def _is_triangle(rows: list[list[str]]) -> bool:
    """Whether each row is longer, or shorter, by one number: a triangle of a matrix, padded or not."""
    if len(rows) == 1:  # the first row of a padded half: 0,,, or ,1,2,3
        row = rows[0]
        return len(row) > 2 and (not any(row[1:]) or (row[0] == "" and all(row[1:])))
    filled = [sum(kind(cell) == NUMBER for cell in row) for row in rows]
    steps = {after - before for before, after in pairwise(filled)}
    return steps in ({1}, {-1}) and (len(rows) > 2 or filled[0] < 2 or "" in rows[-1])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
