"""Separator of a text table, from its first lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from gpuclust.app.data.table_cells import TEXT, kind

#: Runs of blanks as a separator.
BLANKS = " "
_MARKS = "\t;|,"


def parse(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Split lines into rows of stripped cells."""
    if separator == BLANKS:
        lines = [line.strip() for line in lines]
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=separator == BLANKS)
    return [[cell.strip() for cell in row] for row in rows]


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
        # The number of rows: a PHYLIP matrix, or a table of scikit-learn.
        counted = (len(rows[0]) == 1 and rows[0][0].isdigit()) or counts_table(rows)
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


def counts_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row states the numbers of rows and features, followed by names of classes (scikit-learn)."""
    if len(rows) < 4 or len(rows[0]) < 3:
        return False
    counts, width = rows[0][:2], len(rows[1])
    return counts == [str(len(rows) - 1), str(width - 1)] and all(kind(cell) == TEXT for cell in rows[0][2:])
