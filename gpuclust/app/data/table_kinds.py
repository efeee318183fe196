"""Columns of a text table by the kinds of their cells: numbers, booleans, text, or nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

from gpuclust.app.data.number_style import ALL, PLAIN, STYLES, Style, styles_of
from gpuclust.app.data.table_cells import (
    BOOLEAN,
    COMMA,
    EMPTY,
    MISSING,
    NUMBER,
    TEXT,
    is_whole,
    kind,
    to_boolean,
)


class ColumnKinds:
    """Counts of the kinds of cells in one column.

    Attributes
    ----------
    counts : Counter
        Number of cells by kind (`gpuclust.app.data.table_cells`).
    styles : int
        Styles in which all numbers of the column can be read (`gpuclust.app.data.number_style`).
    example : str or None
        First cell with a comma or a separator of thousands.
    """

    __slots__ = ("_whole", "counts", "example", "styles")

    def __init__(self, cells: Iterable[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.styles = ALL
        self.example: str | None = None
        self._whole = True
        for cell in cells:
            self.add(cell)

    def add(self, cell: str) -> None:
        found = kind(cell)
        self.counts[found] += 1
        if found in (NUMBER, COMMA):
            self.styles &= styles_of(cell) or 1 << STYLES.index(PLAIN)
            if found == COMMA and self.example is None:
                self.example = cell
        self._whole = self._whole and is_whole(cell)

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return self.counts[EMPTY] + self.counts[MISSING]

    @property
    def is_empty(self) -> bool:
        """Whether there are cells, all of them missing."""
        return 0 < self.counts.total() == self.missing

    @property
    def is_text(self) -> bool:
        """Whether more than half of the cells that are not missing are text."""
        return 2 * self.counts[TEXT] > self.counts.total() - self.missing

    @property
    def is_boolean(self) -> bool:
        """Whether all cells that are not missing are true or false."""
        return 0 < self.counts[BOOLEAN] == self.counts.total() - self.missing

    @property
    def is_whole(self) -> bool:
        """Whether there are cells, and all consist of digits."""
        return self._whole and self.counts.total() > 0


def converter(style: Style, boolean: bool, missing: bool) -> Callable[[str], float]:
    """Return a function that converts a cell to a number; it raises ``ValueError`` if the cell is not one.

    Parameters
    ----------
    style : Style
        How numbers are written.
    boolean : bool
        Whether the column holds true and false.
    missing : bool
        Whether a missing value is converted to NaN.
    """
    plain = to_boolean if boolean else float if style == PLAIN else style.to_number

    def convert(cell: str) -> float:
        try:
            return plain(cell)
        except ValueError:
            cell = cell.strip()
            if missing and kind(cell) in (EMPTY, MISSING):
                return math.nan
            return plain(cell)

    return convert
