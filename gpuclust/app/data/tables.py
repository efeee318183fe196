"""Text tables of numbers, separated by commas, semicolons, tabs, bars or blanks.

A table may have a header and a column of row names; `gpuclust.app.data.table_layout` detects both:

- the first line is a header if one of its cells is text above numbers; if, above row names, its first cell is empty
  or it is one cell shorter than the rows (as R writes it); or if it holds years, 0, 1, 2, ..., or other increasing
  integers, above numbers with decimals or in a table with row names;
- the first column holds row names if it holds words, if its heading is empty (as pandas and R write it), or if the
  heading is that of an identifier (``id``, ``gene_id``, ``Unnamed: 0``) and all cells are unique integers.

`header` and `index` override the detection. Columns are given by name, or by number from 0, where every column of the
file counts, including row names. All other cells, or those of the chosen columns, must be finite numbers, or true and
false in the whole column. Comments (``#``) are allowed above the table.

NumPy's C reader parses the file. Only if it fails, the file is read a second time, cell by cell, to find the position
of the error (`gpuclust.app.data.table_faults`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from gpuclust.app.data.number_style import PLAIN
from gpuclust.app.data.reading import Reading, Table, describe
from gpuclust.app.data.table_columns import choose_columns, identifiers
from gpuclust.app.data.table_faults import rows_of, undecodable
from gpuclust.app.data.table_layout import Layout, layout_of
from gpuclust.app.data.table_load import load, survey
from gpuclust.app.data.table_separator import BLANKS
from gpuclust.app.data.text_file import COMPRESSED, NAMES, TextFile
from gpuclust.app.data.triangles import triangle_of
from gpuclust.core.text import unguarded
from gpuclust.errors import ClusterWarning, InputFileError, warn

#: Number of characters from which the layout is detected, and smallest number of lines.
_SAMPLE, _FEWEST = 200_000, 4
_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars", BLANKS: "blanks"}


def read_table(text: TextFile, separator: str | None, reading: Reading = Reading()) -> Table:  # noqa: B008
    """Read a table.

    Parameters
    ----------
    text : TextFile
    separator : str or None
        Expected separator; None: detected from the first lines.
    reading : Reading

    Raises
    ------
    InputFileError
        The file is not a table of finite numbers; the message names the position.
    """
    try:
        return _read(text, separator, reading)
    except UnicodeDecodeError as error:
        other = text.next_encoding()
        if other is None:
            raise InputFileError(f"{text}: {undecodable(error)}") from error
        return read_table(other, separator, reading)
    except csv.Error as error:
        raise InputFileError(f"{text}: is not a table ({error})") from error
    except InputFileError:
        found = triangle_of(text, separator, reading) if reading.distances else None
        if found is None:
            raise
        return found


def _read(text: TextFile, separator: str | None, reading: Reading) -> Table:
    layout = _layout_of(text, separator, reading)
    if layout.sampled and "no values" in layout.left_out.values():
        columns = survey(text, layout)
        layout = layout if columns is None else layout.of_kinds(columns, reading.decimal)
    values, names, texts, layout = load(text, layout, reading)
    categories = [(layout.name(place), found) for place, found in zip(layout.categories, texts, strict=True)]
    if reading.distances and 1 not in values.shape and reading.header is None and reading.index is None:
        better = _squared(values.shape, layout)
        if better:
            return _read(text, separator, replace(reading, **better))  # type: ignore[arg-type]
        if values.shape[0] == values.shape[1]:
            layout = replace(layout, doubt=None)
    left_out: dict[str, list[str]] = {}
    for place, why in layout.left_out.items():
        left_out.setdefault(why, []).append(layout.name(place))
    cells = list(layout.cells)
    doubts = [doubt for doubt in (layout.doubt, layout.style_doubt) if doubt is not None]
    if reading.automatic:
        headings = [layout.name(cell) for cell in cells]
        whole = [i for i, cell in enumerate(cells) if cell in layout.whole]
        found = identifiers(values, headings, whole, categories if reading.mixed else None)
        doubts += found.doubts
        left_out |= found.left_out
        categories = [categories[place] for place in found.texts]
        if found.kept is not None:
            values = np.ascontiguousarray(values[:, found.kept])
            cells = [cell for cell, kept in zip(cells, found.kept, strict=True) if kept]
    for doubt in doubts:
        warn(f"{text}: {doubt}", ClusterWarning)
    heads = None if layout.heads is None else [unguarded(layout.heads[cell]) for cell in cells]
    if heads is None and categories:  # which have numbers among all columns of the file for names
        heads = [layout.name(cell) for cell in cells]
    named = None if layout.named is None else layout.heading(layout.named)
    how = describe(text.path, values.shape, heads, _dialect(text, separator, layout), named, left_out, categories)
    return Table(values, names, heads, how, partial(_cells, text, layout), categories)


def _cells(text: TextFile, layout: Layout) -> Iterator[Sequence[object]]:
    """Yield headings, and then the cells of each row, as the file has them."""
    yield list(map(str, range(layout.width))) if layout.heads is None else layout.heads
    with text.open() as file:
        for _, row in rows_of(file, layout):
            yield row[: layout.width]


def _dialect(text: TextFile, separator: str | None, layout: Layout) -> str:
    """Describe encoding, separator, numbers and first line, as far as they are not those expected."""
    said = [f"text in {NAMES[text.encoding]}"] if text.encoding in NAMES else []
    if layout.separator != (separator or ",") and layout.width > 1:
        said.append(f"separated by {_SEPARATORS.get(layout.separator, repr(layout.separator))}")
    if layout.style != PLAIN:
        said.append(str(layout.style))
    if layout.counted:
        said.append("first line counts rows and columns")
    elif layout.header:
        said.append("first line is the header")
    else:
        said.append("no header" if layout.heads is None else "header in a comment")
    return "; ".join(said)


def _squared(shape: tuple[int, ...], layout: Layout) -> dict[str, bool | int] | None:
    """Return the options of reading that make a matrix square, if there are any."""
    rows, columns = shape
    if rows == columns + 1 and not layout.header:
        return {"header": True}
    if rows == columns - 1 and layout.header and layout.doubt is not None:
        return {"header": False}
    if columns == rows + 1 and layout.named is None:
        return {"index": 0, "header": layout.header}
    return None


def table_shape(path: Path, separator: str | None, reading: Reading = Reading()) -> tuple[int, int]:  # noqa: B008
    """Estimate the number of rows, and return that of columns, from the first lines and the size of the file."""
    text = TextFile.of(path)
    layout = _layout_of(text, separator, reading)
    with text.open() as file:
        lines = list(islice(file, 200))
    size = path.stat().st_size * (
        3 if path.suffix.lower() in COMPRESSED else 1
    )  # text is compressed to about a third
    length = sum(map(len, lines)) / len(lines)
    rows = len(lines) - layout.skip if len(lines) < 200 else int(size / length)
    return rows, len(layout.used)


def _layout_of(text: TextFile, separator: str | None, reading: Reading) -> Layout:
    """Detect the layout from the first lines; chosen and excluded columns are entered."""
    lines: list[str] = []
    size = filled = 0
    ends = True
    with text.open() as file:
        for line in file:
            lines.append(line)
            size, filled = size + len(line), filled + (not line.isspace())
            if size > _SAMPLE and filled > _FEWEST:
                ends = False
                break
    try:
        layout = layout_of(lines, separator, reading.header, reading.index, reading.decimal, ends, reading.mixed)
    except ValueError as error:
        raise InputFileError(f"{text}: {error}") from error
    if layout is None:
        raise InputFileError(f"{text}: is empty")
    if layout.bare:
        raise InputFileError(f"{text}: holds one line of text and no rows of numbers")
    if reading.columns is not None:
        layout = layout.choosing(choose_columns(text.path, reading.columns, layout.heads, layout.width))
    if reading.exclude is not None:
        layout = layout.excluding(choose_columns(text.path, reading.exclude, layout.heads, layout.width))
    return layout
