"""Reading of data sets: arrays of NumPy, text tables, columnar files, spreadsheets and AnnData files.

Text is read by `gpuclust.app.data.tables`, columnar files by `gpuclust.app.data.columnar`, arrays by
`gpuclust.app.data.arrays`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.arrays import npy_header, npz_header, read_npy, read_npz
from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.mixed import completed
from gpuclust.app.data.opening import ALLOWED, check_is_file, damage_of
from gpuclust.app.data.reading import Reading, Table, describe, rows_of_values
from gpuclust.app.data.table_columns import select_columns
from gpuclust.app.data.tables import read_table
from gpuclust.app.data.text_file import COMPRESSED, TextFile, member_of, uncompressed
from gpuclust.app.data.transform import incomplete, transform
from gpuclust.errors import InputFileError

#: Expected separator by file name extension; None: found from the first lines.
TABLES: dict[str, str | None] = {".csv": None, ".tsv": "\t", ".txt": None}
#: Extensions of tables that are not looked for in folders, where they may be notes.
NAMED_ONLY = (".txt",)
#: Extensions of columnar files, read by pyarrow, and of others that are read by optional packages.
COLUMNAR = (".parquet", ".feather", ".arrow")
OTHERS = (".xlsx", ".h5ad")
#: Extensions of data sets.
_FOUND = tuple(ending for ending in TABLES if ending not in NAMED_ONLY)
_PACKED = tuple(f"{ending}{packed}" for ending in _FOUND for packed in COMPRESSED)
ENDINGS = (".npy", ".npz", *_FOUND, *_PACKED, *COLUMNAR, *OTHERS)
#: Extensions of files that hold several data sets, one of which is named after a colon.
_KEYED = (".npz", ".xlsx")


def read_points(
    path: str | os.PathLike[str],
    key: str | None = None,
    columns: Sequence[str | int] | None = None,
    limit: int | None = None,
    *,
    exclude: Sequence[str | int] | None = None,
    header: bool | None = None,
    index: str | int | None = None,
    decimal: str | None = None,
    distances: bool = False,
    mixed: bool = False,
    missing: str = "auto",
    transpose: bool = False,
    standardize: str | None = None,
    pca: int | None = None,
) -> DataSet:
    """Read a data set; the file name extension determines the format.

    Parameters
    ----------
    path : path
        ``.npy``, ``.npz``, ``.csv``, ``.tsv`` or ``.txt`` (these three also compressed as ``.gz``, ``.bz2``, ``.xz``
        or ``.zip``), with pyarrow (``gpuclust[io]``) ``.parquet``, ``.feather`` or ``.arrow``, with openpyxl
        ``.xlsx``, with anndata ``.h5ad``. An array of an .npz file, and a sheet of an .xlsx file, may be named after
        a colon: ``data.npz:X``.
    key : str, optional
        Name of the array in an .npz file, optional if there is only one; or of the sheet, by default the first one.
    columns, exclude : sequence of str or int, optional
        Columns to read, in this order, and columns to leave out, by name or number. A string is a name if a column
        has it, otherwise a number. Numbers start at 0 and count every column of the file, including row names. By
        default all columns of numbers are read that do not identify the rows.
    limit : int, optional
        Largest size of the values in bytes; by default the available memory. A memory-mapped .npy file takes none.
    header : bool, optional
        Whether the first line of a text table is a header; detected by default.
    index : str or int, optional
        Column of row names, by name or number, or ``"none"``; detected by default.
    decimal : {".", ","}, optional
        Decimal mark of a text table; detected by default.
    distances : bool
        Whether a table holds distances: a square matrix, a triangle of one, or PHYLIP's form.
    mixed : bool
        Whether columns of text are read too, as categories, and missing values kept unless ``missing`` says otherwise
        (`gpuclust.app.data.mixed`).
    missing, transpose, standardize, pca
        See `gpuclust.app.data.transform.transform`.

    Raises
    ------
    InputFileError
        The file is missing, unreadable, truncated, empty or not a regular file, or a value is not a finite number;
        the message names the position.
    DoesNotFit
        The values take more than ``limit`` bytes.
    """
    file, key = split_key(path, key)
    check_is_file(file)
    if distances and missing == "auto":
        missing = "error"
    gaps = missing != "error" if mixed else missing not in ("error", "auto")
    reading = Reading(columns, exclude, header, index, decimal, gaps, distances, mixed, limit)
    with damage_of(file, "cannot be read"):
        kept_out = missing == "auto" and not mixed
        data = _read_with_gaps(file, key, reading, transpose) if kept_out else _read(file, key, reading)
    if mixed:
        return completed(data, missing)
    return transform(data, missing=missing, transpose=transpose, standardize=standardize, pca=pca)


def _read_with_gaps(file: Path, key: str | None, reading: Reading, transpose: bool) -> DataSet:
    """Read a file; if values are missing that do not make it `incomplete`, with NaN in their places."""
    try:
        return _read(file, key, reading)
    except InputFileError as error:
        try:
            data = _read(file, key, replace(reading, missing=True))
        except (InputFileError, Warning):
            raise error from None
        if incomplete(data, transpose):
            raise
        return data


def _read(file: Path, key: str | None, reading: Reading) -> DataSet:
    suffix = file.suffix.lower()
    if key is not None and suffix not in _KEYED:
        raise InputFileError(
            f"{file}: only an .npz file holds arrays by name, and an .xlsx file sheets; there is no {key!r} in it"
        )
    if suffix == ".npy":
        return _array(file, _only(file, read_npy(file), reading))
    if suffix == ".npz":
        return _array(file, _only(file, read_npz(file, key, reading.limit), reading))
    if suffix == ".xlsx":
        return _data_set(read_table(TextFile(file, sheet=key), ",", reading), file)
    if suffix == ".h5ad":
        from gpuclust.app.data.annotated import read_annotated

        return _data_set(read_annotated(file, reading), file)
    if suffix in COLUMNAR:
        from gpuclust.app.data.columnar import read_columnar

        return _data_set(read_columnar(file, reading), file)
    table = table_ending(file)
    if table is not None:
        return _data_set(read_table(TextFile.of(file), TABLES[table], reading), file)
    raise InputFileError(f"{file}: unknown kind of file {''.join(file.suffixes[-1:])!r}. Allowed: {ALLOWED}.")


def table_ending(file: Path) -> str | None:
    """Return the extension of a text table, without that of a compression; None if the file is none."""
    found = os.path.splitext(uncompressed(file.name).lower())[1]
    if found not in TABLES and file.suffix.lower() == ".zip":
        found = os.path.splitext(member_of(file))[1].lower()
    return found if found in TABLES else None


def _array(file: Path, values: NDArray[Any]) -> DataSet:
    """Return an array as a data set without names."""
    how = describe(file, values.shape) if values.ndim == 2 else f"{file.name}: {values.size:,} numbers"
    original = partial(rows_of_values, values, None, None) if values.ndim == 2 else None
    return DataSet(values, None, None, file, how, original=original)


def _data_set(table: Table, file: Path) -> DataSet:
    values, names, columns, how, original, categories = table
    return DataSet(values, names, columns, file, how, original=original, categories=categories)


def _only(file: Path, values: NDArray[Any], reading: Reading) -> NDArray[Any]:
    """Select columns of an array by their numbers."""
    if reading.columns is None and reading.exclude is None:
        return values
    if values.ndim == 1:
        raise InputFileError(f"{file}: holds condensed distances, which have no columns to choose from")
    return np.ascontiguousarray(values[:, select_columns(file, reading, None, values.shape[1])])


def split_key(path: str | os.PathLike[str], key: str | None = None) -> tuple[Path, str | None]:
    """Split ``data.npz:X`` into the path ``data.npz`` and the key ``X``; other paths are returned with ``key``."""
    text = os.fspath(path)
    file, colon, name = text.rpartition(":")
    if colon and file.lower().endswith(_KEYED) and not os.path.exists(text):
        return Path(file), name if key is None else key
    return Path(text), key


def read_shape(path: str | os.PathLike[str], **options: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape of a data set, and how it was read; of .npy and .npz files only the header is read.

    ``options`` are those of `read_points`.
    """
    file, key = split_key(path)
    check_is_file(file)
    if not options:
        if file.suffix.lower() == ".npy":
            return npy_header(file)[0], ""
        if file.suffix.lower() == ".npz":
            return npz_header(file, key)[0], ""
    found = read_points(path, **options)
    return tuple(found.values.shape), found.how
