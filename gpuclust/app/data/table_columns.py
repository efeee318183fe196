"""Columns of a table: selection by name or number, row names, and warnings about identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.reading import Category, Reading
from gpuclust.app.data.table_cells import is_class, may_name_rows, names_rows
from gpuclust.errors import ClusterWarning, InputFileError, unknown_name, warn

#: Largest number of classes, and smallest number of rows for each class in a column without a heading that says so.
_MOST_CLASSES, _ROWS_A_CLASS = 30, 5


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


def select_columns(path: Path, reading: Reading, names: Sequence[str] | None, width: int) -> tuple[int, ...]:
    """Return the numbers of the columns that are chosen and not excluded, by default all."""
    chosen = range(width) if reading.columns is None else choose_columns(path, reading.columns, names, width)
    excluded = () if reading.exclude is None else choose_columns(path, reading.exclude, names, width)
    places = tuple(place for place in chosen if place not in excluded)
    if not places:
        raise InputFileError(f"{path}: no column of numbers is left to read")
    return places


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


class Identifiers(NamedTuple):
    """Columns that may identify or classify the rows.

    Attributes
    ----------
    kept : ndarray of bool, or None
        Columns that are features; None if all are.
    left_out : dict
        Headings of the others, by reason.
    doubts : list of str
        Warnings about columns that are used although they may be none.
    texts : list of int
        Columns of categories that are features.
    """

    kept: NDArray[np.bool_] | None
    left_out: dict[str, list[str]]
    doubts: list[str]
    texts: list[int]


def identifiers(
    values: NDArray[Any], heads: Sequence[str], whole: Sequence[int], categories: Sequence[Category] | None = None
) -> Identifiers:
    """Find columns that number, identify or classify the rows.

    Integers under a heading such as ``gene_id`` that are all different, or all equal, are no features. Nor are those
    of few different values under a heading such as ``class``. What is less certain is used with a warning. Where
    columns of categories are read, known classes are used with a warning too, and texts that are all different are
    left out: they add the same to the dissimilarity of every pair.

    Parameters
    ----------
    values : ndarray of shape (n, m)
    heads : list of str
        Headings of the columns, or their numbers.
    whole : list of int
        Columns of integers.
    categories : sequence of (str, list of str or None), optional
        Columns of categories; None where they are not read.
    """
    kept: NDArray[np.bool_] = np.ones(len(heads), dtype=bool)
    doubts: list[str] = []
    left_out: dict[str, list[str]] = {}
    texts = _groupings(categories or (), left_out, doubts)
    if values.shape[1] + len(texts) < 2 or len(values) < 2 or _are_distances(values):
        return Identifiers(None, left_out, doubts, texts)
    for column in whole:
        numbers, heading = values[:, column], heads[column]
        different = len(np.unique(numbers))
        which = heading if heading.isdigit() else repr(heading)
        counts = len(numbers) > 2 and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
        # body_mass_index is a feature
        certain = names_rows(heading) and (heading.lower() == "index" or not heading.lower().endswith("index"))
        if certain and different in (1, len(numbers)):
            kept[column] = False
            left_out.setdefault("identifiers", []).append(heading)
        elif counts or names_rows(heading) or (may_name_rows(heading) and different == len(numbers)):
            why = "numbers the rows" if counts else "has the heading of identifiers"
            doubts.append(
                f"column {which} {why}, and is used as a feature: leave it out by --exclude {heading}, or give "
                f"--index {heading} if it names the rows, --index none if it is a feature"
            )
        elif not _may_classify(different, len(numbers)):
            continue
        elif is_class(heading) and categories is None:
            kept[column] = False
            left_out.setdefault("known classes", []).append(heading)
        elif is_class(heading) or (column in (0, len(heads) - 1) and _numbers_runs(numbers, different)):
            doubts.append(_may_be_classes(heading, f"{different} different numbers"))
    if not kept.any() and not texts:
        return Identifiers(None, {}, doubts, texts)
    return Identifiers(None if kept.all() else kept, left_out, doubts, texts)


def _groupings(categories: Sequence[Category], left_out: dict[str, list[str]], doubts: list[str]) -> list[int]:
    """The columns of categories in which texts repeat; the others are added to ``left_out``, doubts to ``doubts``."""
    kept = []
    for place, (heading, cells) in enumerate(categories):
        different = len(set(cells))
        if different == len(cells) > 2:
            left_out.setdefault("texts that are all different", []).append(heading)
            continue
        kept.append(place)
        if is_class(heading) and _may_classify(different, len(cells)):
            doubts.append(_may_be_classes(heading, f"{different} different texts"))
    return kept


def _may_be_classes(heading: str, what: str) -> str:
    which = heading if heading.isdigit() else repr(heading)
    return (
        f"column {which} may hold known classes of the rows ({what}), and is used as a feature: leave it out by "
        f"--exclude {heading}"
    )


def _may_classify(different: int, rows: int) -> bool:
    """Whether a column with this number of different values may hold classes of the rows."""
    return 2 <= different <= _MOST_CLASSES and 2 * different <= rows


def _numbers_runs(numbers: NDArray[Any], different: int) -> bool:
    """Whether integers number runs of rows, 0, ..., 0, 1, ..., 1, 2, ..."""
    runs = 1 + np.count_nonzero(np.diff(numbers)) == different
    first = numbers.min()
    numbered = runs and first in (0, 1) and numbers.max() == first + different - 1
    return bool(numbered and len(numbers) >= _ROWS_A_CLASS * different)


def _are_distances(values: NDArray[Any]) -> bool:
    """Whether the values are a square distance matrix, which has no features."""
    return values.shape[0] == values.shape[1] and not values.diagonal().any() and bool((values == values.T).all())
