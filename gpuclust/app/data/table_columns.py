"""Columns of a table: selection by name or number, row names, and warnings about identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.table_cells import may_name_rows, names_rows
from gpuclust.errors import ClusterWarning, InputFileError, unknown_name, warn


def choose_columns(
    path: Path, columns: Sequence[str | int], names: Sequence[str] | None, width: int
) -> tuple[int, ...]:
    """Return the numbers (from 0) of columns given by name or number; ``names`` are those of all ``width`` columns.

    A string is a name if a column has it, otherwise a number.
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


def place_of_index(index: str | int, heads: Sequence[str] | None, width: int) -> int | None:
    """Return the number of the column given by ``--index``; None for ``"none"``, ``ValueError`` if there is none."""
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


def identifiers(values: NDArray[Any], heads: Sequence[str], whole: Sequence[int]) -> list[str]:
    """Return warnings about columns that number or identify the rows but are used as features.

    ``heads`` are the headings of the columns, or their numbers; ``whole`` are the columns of integers.
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
    """Whether the values are a square distance matrix, which has no features."""
    return values.shape[0] == values.shape[1] and not values.diagonal().any() and bool((values == values.T).all())
