"""Sheets of .xlsx files, read through openpyxl as text in CSV's form."""

from __future__ import annotations

import csv
import io
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from gpuclust.app.data.opening import damage_of, open_regular
from gpuclust.errors import InputFileError


def sheet_as_text(path: Path, sheet: str | None) -> str:
    """Return the cells of a sheet, by default the first one, a line for each row.

    Raises
    ------
    InputFileError
        openpyxl is missing, there is no such sheet, or the file is damaged.
    """
    found = os.stat(path)
    return _text(path, sheet, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=1)
def _text(path: Path, sheet: str | None, state: tuple[int, int, int]) -> str:
    try:
        import openpyxl
    except ImportError:
        raise InputFileError(
            f"{path}: reading it needs openpyxl, which is not installed: pip install openpyxl, or save it as .csv"
        ) from None
    with damage_of(path, "is not an .xlsx file, or a damaged one"), open_regular(path) as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        names = [page.title for page in book.worksheets]
        if sheet is not None and sheet not in names:
            raise InputFileError(f"{path}: holds no sheet {sheet!r}, but {', '.join(names) or 'none'}")
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for row in book.worksheets[0 if sheet is None else names.index(sheet)].iter_rows(values_only=True):
            table.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
