"""Whether the first line of a text table is a header, from the kinds of its cells and of those below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from gpuclust.app.data.table_cells import EMPTY, NUMBER, TEXT, are_names, is_whole, kind, names_rows, numeric

_YEARS = range(1500, 2200)


def first_line_is_header(
    first: Sequence[str], rows: Sequence[Sequence[str]], shorter: bool
) -> tuple[bool, str | None]:
    """Return whether the first line is a header, and a warning if that is ambiguous."""
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
        # 1.5,word over numbers is a faulty row rather than a header; reading it raises the error.
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
    """Decide for text and numbers over a column of text and columns of numbers: a header, or a row with a name."""
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
    """Decide for numbers over numbers: a header only if they are written differently from all rows below."""
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
    """Replace the numbers in a name: ``s12`` and ``s7`` have the same pattern."""
    return re.sub(r"[0-9]+", "0", name)


def _may_be_headings(labels: Sequence[str]) -> bool:
    return bool(labels) and all(map(is_whole, labels)) and len(set(labels)) == len(labels)


def _ascend(labels: Sequence[str]) -> bool:
    """Whether integers increase by equal steps."""
    numbers = [int(label) for label in labels]
    return len({after - before for before, after in pairwise(numbers)}) <= 1 and numbers == sorted(numbers)


def _are_years(labels: Sequence[str], values: Sequence[Sequence[str]]) -> bool:
    """Whether all labels are years, in order, and no value is."""
    numbers = [int(label) for label in labels]
    if not all(number in _YEARS for number in numbers) or numbers != sorted(numbers):
        return False
    return not any(is_whole(cell) and int(cell) in _YEARS for cells in values for cell in cells)


def _all_fractions(values: Sequence[Sequence[str]]) -> bool:
    """Whether every cell of these columns is a number with more than digits."""
    cells = [cell for column in values for cell in column]
    return bool(cells) and all(kind(cell) == NUMBER and not is_whole(cell.lstrip("+-")) for cell in cells)


def _in_distances(labels: Sequence[str], values: Sequence[Sequence[str]]) -> bool:
    """Whether a line is the first row of a symmetric distance matrix with a zero diagonal."""
    if len(labels) < 2 or float(labels[0]) != 0:
        return False
    down = list(values[0])[: len(labels) - 1]
    diagonal = [values[i + 1][i] for i in range(len(down))]
    same = all(kind(a) == NUMBER and float(a) == float(b) for a, b in zip(down, labels[1:], strict=False))
    return bool(down) and same and all(kind(cell) == NUMBER and float(cell) == 0 for cell in diagonal)


def _counts(cells: Sequence[str]) -> bool:
    """Whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    start = 1 if cells and cells[0] == "1" else 0
    return bool(cells) and list(cells) == [str(start + i) for i in range(len(cells))]


def _doubt(cells: Sequence[str], taken: str) -> str:
    listed = ", ".join(cells[:4]) + (", ..." if len(cells) > 4 else "")
    other = "--no-header if it is a row of data" if taken == "the header" else "--header if it names the columns"
    return f"the first line ({listed}) is taken for {taken}, which is not certain; give {other}"
