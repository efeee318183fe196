"""Layout of a text table: separator, header, and column of row names.

It is detected from the lines at the beginning of the file (all lines of a small one). Where they are ambiguous, a
warning names the option that overrides the decision.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gpuclust.app.data.number_style import ALL, PLAIN, Style, choose
from gpuclust.app.data.table_cells import EMPTY, INFINITE, MISSING, NUMBER, TEXT, are_names, kind, names_rows, repeats
from gpuclust.app.data.table_columns import place_of_index
from gpuclust.app.data.table_header import first_line_is_header
from gpuclust.app.data.table_kinds import ColumnKinds
from gpuclust.app.data.table_separator import counts_table, parse, separator_of


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
    header : bool
        Whether the first line is a header.
    counted : bool
        Whether a line above the table, which is skipped, states the numbers of rows and columns.
    bare : bool
        Whether there is nothing below the header.
    doubt : str or None
        Warning about an ambiguous header.
    chosen : tuple of int or None
        Columns that are read as numbers; None for all but `named`, `excluded` and `left_out`.
    excluded : tuple of int
        Columns that are not read.
    booleans : tuple of int
        Columns of true and false.
    whole : tuple of int
        Columns of cells that consist of digits only.
    gaps : tuple of int
        Columns in which values are missing.
    texts : tuple of int
        Columns of text that are read as categories.
    left_out : dict
        Why columns are left out (``"text"``, ``"no values"``), by number.
    style : Style
        How numbers are written.
    style_doubt : str or None
        Warning about an ambiguous style.
    sampled : bool
        Whether the columns' kinds are those of the first lines of a longer file.
    mixed : bool
        Whether columns of text are read as categories.
    """

    separator: str
    skip: int
    heads: tuple[str, ...] | None
    width: int
    trailing: bool
    named: int | None
    tentative: bool
    header: bool
    counted: bool
    bare: bool
    doubt: str | None
    chosen: tuple[int, ...] | None = None
    excluded: tuple[int, ...] = ()
    booleans: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()
    gaps: tuple[int, ...] = ()
    texts: tuple[int, ...] = ()
    left_out: dict[int, str] = field(default_factory=dict)
    style: Style = PLAIN
    style_doubt: str | None = None
    sampled: bool = False
    mixed: bool = False

    @property
    def cells(self) -> tuple[int, ...]:
        """Columns that are read as numbers."""
        return tuple(cell for cell in self.used if cell not in self.texts)

    @property
    def categories(self) -> tuple[int, ...]:
        """Columns that are read as categories."""
        return tuple(cell for cell in self.used if cell in self.texts)

    @property
    def used(self) -> tuple[int, ...]:
        """Columns that are read, but for row names."""
        if self.chosen is not None:
            return self.chosen
        not_read = {self.named, *self.excluded, *self.left_out}
        return tuple(cell for cell in range(self.width) if cell not in not_read)

    def choosing(self, chosen: tuple[int, ...]) -> Layout:
        """Return the layout with these columns chosen. A chosen column does not name the rows."""
        named = None if self.named in chosen else self.named
        tentative = self.tentative and named is not None
        return replace(self, chosen=chosen, named=named, tentative=tentative, left_out={})

    def excluding(self, excluded: tuple[int, ...]) -> Layout:
        """Return the layout without these columns; row names may be in one of them all the same."""
        chosen = None if self.chosen is None else tuple(cell for cell in self.chosen if cell not in excluded)
        return replace(self, chosen=chosen, excluded=excluded)

    def heading(self, column: int) -> str:
        """Return the heading of a column in quotation marks, or its number."""
        name = self.name(column)
        return name if name == str(column) else repr(name)

    def name(self, column: int) -> str:
        """Return the heading of a column, or its number, as options take it."""
        return self.heads[column] if self.heads is not None and self.heads[column] else str(column)

    def of_kinds(self, columns: Sequence[ColumnKinds], decimal: str | None) -> Layout:
        """Return the layout for columns of these kinds: what is left out, and how the other cells are read.

        Text is left out only where other columns hold numbers, and read as categories in a `mixed` table.
        """
        free = {i: column for i, column in enumerate(columns) if i != self.named and i not in self.excluded}
        texts = [i for i, column in free.items() if column.is_text and self.mixed]
        left_out = {
            i: "text" if column.counts[TEXT] else "no values"
            for i, column in free.items()
            if (column.is_text or column.is_empty) and self.chosen is None and i not in texts
        }
        if len(left_out) == len(free):
            left_out = {}
        others = {*left_out, *texts}
        numeric = [column for i, column in free.items() if i not in others and not column.is_boolean]
        allowed = ALL
        for column in numeric:
            allowed &= column.styles
        examples = [column.example for column in numeric if column.example is not None]
        style, doubt = choose(allowed, examples, self.separator, decimal)
        return replace(
            self,
            booleans=tuple(i for i, column in enumerate(columns) if column.is_boolean),
            whole=tuple(i for i, column in enumerate(columns) if column.is_whole),
            gaps=tuple(i for i, column in enumerate(columns) if column.missing),
            texts=tuple(texts),
            left_out=left_out,
            style=style,
            style_doubt=doubt,
        )


def layout_of(
    lines: Sequence[str],
    separator: str | None,
    header: bool | None = None,
    index: str | int | None = None,
    decimal: str | None = None,
    ends: bool = True,
    mixed: bool = False,
) -> Layout | None:
    """Detect the layout of a table from its first lines; None if they are blank.

    ``header``, ``index`` and ``decimal`` override the detection; ``index`` is a heading, a number from 0, or
    ``"none"``. ``ends`` says that the table has no other lines, ``mixed`` that columns of text are categories.
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
    start = skip + comments
    counted = ends and counts_table(rows)
    if counted:
        start, rows = _line_after(lines, start, separator), rows[1:]
    last_comment = None
    for line in lines[skip : skip + comments]:
        if line.strip("# \t\r\n"):
            last_comment = parse([line.lstrip("#").strip()], separator)[0]
    layout, columns = _layout_of_rows(lines, start, separator, rows, header, index, last_comment)
    return replace(layout, counted=counted, sampled=not ends, mixed=mixed).of_kinds(
        [ColumnKinds(cells) for cells in columns], decimal
    )


def _layout_of_rows(
    lines: Sequence[str],
    skip: int,
    separator: str,
    rows: list[list[str]],
    header: bool | None,
    index: str | int | None,
    comment: list[str] | None,
) -> tuple[Layout, list[Sequence[str]]]:
    """Return the layout without the kinds of the columns, and the cells of each column."""
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
    columns: list[Sequence[str]] = list(zip(*content, strict=True)) if content else [() for _ in range(width)]
    named, tentative = _naming(heads, columns, shorter and found, index)
    start = _line_after(lines, skip, separator) if found else skip
    layout = Layout(
        separator, start, heads, width, trailing, named, tentative, found, False, found and not body, doubt
    )
    return layout, columns


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
    if shorter or (heads is not None and heads[0] == ""):
        return 0, False
    if are_names(first):
        named = heads is not None and names_rows(heads[0])
        return (0 if named or not repeats(len(set(first)), len(first)) else None), False
    if heads is None or not names_rows(heads[0]) or not first:
        return None, False
    if any(kind(cell) == TEXT for cell in first):
        return 0, False
    found = {kind(cell) for cell in first}
    if EMPTY in found or found <= {MISSING, INFINITE}:
        return (None if EMPTY in found else 0), False
    return (0, True) if found <= {NUMBER, MISSING, INFINITE} and len(set(first)) == len(first) else (None, False)
