"""How a data file is read, as far as options say so, and what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

#: Iterates over the headings and the rows of a file.
Original = Callable[[], Iterator[Sequence[object]]]
#: Heading and cells of a column of categories; None for a missing value.
Category = tuple[str, list["str | None"]]
#: Number of column names that are listed.
_LISTED = 8


@dataclass(frozen=True)
class Reading:
    """Options of reading a table.

    Attributes
    ----------
    columns, exclude : sequence of str or int, optional
        Columns to read, and to leave out, by name or by number from 0.
    header : bool, optional
        Whether the first line is a header; detected by default.
    index : str or int, optional
        Column of row names, or ``"none"``; detected by default.
    decimal : {".", ","}, optional
        Decimal mark; detected by default.
    missing : bool
        Whether missing values are read as NaN; by default they are errors.
    distances : bool
        Whether the table holds distances, which shows whether it has a header and row names.
    mixed : bool
        Whether columns of text are read, as categories.
    limit : int, optional
        Largest size of the values in bytes, by default the available memory.
    """

    columns: Sequence[str | int] | None = None
    exclude: Sequence[str | int] | None = None
    header: bool | None = None
    index: str | int | None = None
    decimal: str | None = None
    missing: bool = False
    distances: bool = False
    mixed: bool = False
    limit: int | None = None

    @property
    def automatic(self) -> bool:
        """Whether the columns that identify the rows are found and left out."""
        return self.columns is None and self.index is None and not self.distances


class Table(NamedTuple):
    """Content of a table.

    Attributes
    ----------
    values : ndarray of shape (rows, columns), or (n (n - 1) / 2,) for a triangle of distances
    names : list of str or None
        Names of the rows.
    columns : list of str or None
        Names of the columns.
    how : str
        How the table was read, in one line.
    original : callable
        Returns an iterator of the headings, and then of the cells of each row, as the file has them; None for a
        triangle of distances.
    categories : list of (str, list of str or None)
        Headings and cells of columns of categories; None for a missing value.
    """

    values: NDArray[Any]
    names: list[str] | None
    columns: list[str] | None
    how: str
    original: Original | None = None
    categories: Sequence[Category] = ()


def rows_of_values(
    values: NDArray[Any], names: Sequence[str] | None, columns: Sequence[str] | None
) -> Iterator[Sequence[object]]:
    """Yield headings, and then the cells of each row, of an array."""
    heads = list(columns) if columns is not None else list(map(str, range(values.shape[1])))
    yield heads if names is None else ["name", *heads]
    for row, cells in enumerate(values):
        yield cells.tolist() if names is None else [names[row], *cells.tolist()]


def describe(
    path: Path,
    shape: Sequence[int],
    columns: Sequence[str] | None = None,
    first: str = "",
    named: str | None = None,
    left_out: dict[str, list[str]] | None = None,
    categories: Sequence[Category] = (),
) -> str:
    """Describe in one line how a file was read.

    Parameters
    ----------
    path : Path
    shape : tuple of int
    columns : list of str, optional
        Their names.
    first : str
        About separator, encoding and first line; empty for files that have no lines.
    named : str, optional
        The column of row names: its heading in quotation marks, or its number.
    left_out : dict, optional
        Columns that were left out, by reason.
    categories : sequence of (str, list), optional
        Columns of categories, which are not among the others.
    """
    rows, width = shape[0], shape[1] + len(categories)
    heads = [head for head, _ in categories]
    size = f"{rows:,} row{'s' * (rows != 1)} x {width:,} column{'s' * (width != 1)}"
    if columns or heads:
        size += f" ({listed([*(columns or ()), *heads])})"
    said = [f"{path.name}: {size}", first]
    if named is not None:
        said.append(f"row names from column {named}")
    elif first:
        said.append("no row names")
    if heads:
        said.append(f"categories: {listed(heads)}")
    said += [f"left out ({why}): {listed(names)}" for why, names in (left_out or {}).items()]
    return "; ".join(filter(None, said))


def listed(names: Sequence[str]) -> str:
    """Return the first few of some names."""
    return f"{', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"
