"""Error messages for text tables that cannot be read: position, cause and remedy."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from gpuclust.app.data.number_style import PLAIN
from gpuclust.app.data.table_cells import (
    BOOLEAN,
    COMMA,
    EMPTY,
    INFINITE,
    MISSING,
    NUMBER,
    has_comma,
    has_thousands,
    kind,
    to_number,
)
from gpuclust.app.data.table_layout import Layout
from gpuclust.app.data.table_separator import BLANKS

FILL = "a missing value: fill it in by --missing mean or median, or leave such rows out by --missing drop"
_TRIANGLE = "; a triangle of distances? Give --precomputed"
_PHYLIP = "; a matrix in PHYLIP form? Give --precomputed"


def find_fault(lines: Iterable[str], layout: Layout, missing: bool = False) -> str | None:
    """Describe the first cell that is not a finite number, or the first row of a different length.

    ``missing`` says that missing values are no faults.
    """
    wanted, length = set(layout.cells), layout.width + layout.trailing
    seen: list[list[str]] = []
    rows = rows_of(lines, layout)
    for number, row in rows:
        where = f"line {number}"
        if len(row) != length:
            said = f"{where} has {_count(len(row), 'cell')}, but the rows before it have {length}"
            return said + _advice_on_length([*seen, row, *(after for _, after in islice(rows, 2))], len(seen), layout)
        for place, cell in enumerate(row):
            if place in wanted and not _is_value(cell, place, layout, missing):
                return f"{where}, column {place + 1}: {_describe(cell)}{_advice(cell, place, layout, [*seen, row])}"
        if len(seen) < 3:
            seen.append(row)
    return None


def _is_value(cell: str, place: int, layout: Layout, missing: bool) -> bool:
    found = kind(cell)
    if found in (EMPTY, MISSING):
        return missing
    if found == BOOLEAN:
        return place in layout.booleans
    return found == NUMBER if layout.style == PLAIN else found in (NUMBER, COMMA) and layout.style.reads(cell)


def rows_of(lines: Iterable[str], layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header as stripped cells, with the number of the line at which each ends."""
    blanks = layout.separator == BLANKS
    text = (line.strip() for line in lines) if blanks else lines
    rows = csv.reader(text, delimiter=layout.separator, skipinitialspace=blanks)
    for row in rows:
        if rows.line_num > layout.skip and row and not (len(row) == 1 and not row[0].strip()):
            yield rows.line_num, [cell.strip() for cell in row]


def undecodable(error: UnicodeDecodeError) -> str:
    """Describe a file that is not text in the encoding that its first bytes state."""
    return f"is not text in {error.encoding.upper()} (byte {error.start:,}: {error.reason}); save it as UTF-8"


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
        return _TRIANGLE if _is_triangle(rows) else f" ({FILL})"
    if found == INFINITE:
        return ""
    if found == MISSING:
        return f" ({FILL})"
    if found == COMMA:
        if has_thousands(cell) and has_comma(cell) and layout.style == PLAIN:
            return " (a thousands separator, or a decimal comma? Give --decimal . or --decimal ,)"
        return (
            f" (other numbers have a {layout.style}: write all alike)"
            if layout.style != PLAIN
            else (" (decimal points, decimal commas and separators of thousands are mixed: write all numbers alike)")
        )
    if found == BOOLEAN:
        return " (true and false are read where a whole column holds them)"
    if place == 0:
        return " (if the first column names the rows, give --index 0)" if layout.width > 1 else ""
    if layout.chosen is not None:
        return f" (column {layout.heading(place)} was chosen)"
    if len(layout.cells) < 2:
        return ""
    return f" (correct it, or leave column {layout.heading(place)} out: --exclude {layout.name(place)})"


def _advice_on_length(rows: list[list[str]], fault: int, layout: Layout) -> str:
    """Return the remedy for rows of different lengths; ``fault`` is the first that differs."""
    if len(rows[0]) == 1 and rows[0][0].isdigit():
        if len(rows) > 1 and len(rows[1]) > 1 and kind(rows[1][0]) != NUMBER:
            return _PHYLIP
        if len(rows) > 1 and len(rows[1]) == int(rows[0][0]) + 1:
            return _PHYLIP
    if _is_triangle(rows):
        return _TRIANGLE
    if fault == 0 and layout.header and layout.width == 1 < len(rows[0]):
        return "; a title? The header must be the first line, or stand below comments (#)"
    if rows[fault][0].startswith("#"):
        return "; comments are allowed above the table only"
    return ""


def _is_triangle(rows: list[list[str]]) -> bool:
    """Whether each row is longer, or shorter, by one number: a triangle of a matrix, padded or not."""
    if len(rows) == 1:  # the first row of a padded half: 0,,, or ,1,2,3
        row = rows[0]
        return len(row) > 2 and (not any(row[1:]) or (row[0] == "" and all(row[1:])))
    numbers = [[cell for cell in row if kind(cell) == NUMBER] for row in rows]
    filled = list(map(len, numbers))
    steps = {after - before for before, after in pairwise(filled)}
    if steps == {-1} and "" in rows[-1]:  # missing values rather than padding, unless they lead the rows
        led = all(row[len(row) - count :] == found for row, count, found in zip(rows, filled, numbers, strict=True))
        return led and (filled[0] > 2 or float(numbers[0][0]) == 0)
    return steps in ({1}, {-1}) and (len(rows) > 2 or filled[0] < 2 or "" in rows[-1])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
