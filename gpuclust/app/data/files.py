"""Reading of data sets: .npy (memory-mapped), .npz, text tables, .parquet and .feather.

Text is read by `gpuclust.app.data.tables`, columnar files by `gpuclust.app.data.columnar`.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.opening import ALLOWED, check_is_file, check_size, damage_of, open_regular
from gpuclust.app.data.table_columns import choose_columns
from gpuclust.app.data.tables import Table, describe, read_table
from gpuclust.errors import InputFileError

#: Expected separator by file name extension; None: found from the first lines.
TABLES: dict[str, str | None] = {".csv": None, ".tsv": "\t", ".txt": None}
#: Extensions of tables that are not looked for in folders, where they may be notes.
NAMED_ONLY = (".txt",)
#: Extensions of columnar files, read by pyarrow.
COLUMNAR = (".parquet", ".feather", ".arrow")
#: Extensions of data sets.
_FOUND = tuple(ending for ending in TABLES if ending not in NAMED_ONLY)
ENDINGS = (".npy", ".npz", *_FOUND, *(f"{ending}.gz" for ending in _FOUND), *COLUMNAR)
NOT_NUMBERS = {"c": "complex numbers", "O": "Python objects", "S": "bytes", "U": "text", "V": "records"}
NOT_NUMBERS |= {"M": "dates", "m": "time spans"}
#: The longest header of a .npy file, in bytes; that of an array of numbers takes 118.
_LONGEST_HEADER = 2**16


@dataclass(frozen=True)
class DataSet:
    """Content of a data file.

    Attributes
    ----------
    values : ndarray
        Points of shape (n, m), or condensed dissimilarities of shape (n (n - 1) / 2,); integer, boolean or
        floating. Read-only and memory-mapped from .npy, float64 from a table.
    names : list of str or None
        Names of the n rows of a table.
    columns : list of str or None
        Names of the m columns of a table with a header.
    path : Path
        The file.
    how : str
        How the file was read, in one line: size, header and row names.
    """

    values: NDArray[Any]
    names: list[str] | None
    columns: list[str] | None
    path: Path
    how: str = ""


def read_points(
    path: str | os.PathLike[str],
    key: str | None = None,
    columns: Sequence[str | int] | None = None,
    limit: int | None = None,
    *,
    header: bool | None = None,
    index: str | int | None = None,
    distances: bool = False,
) -> DataSet:
    """Read a data set; the file name extension determines the format.

    Parameters
    ----------
    path : path
        ``.npy``, ``.npz``, ``.csv``, ``.tsv``, ``.csv.gz`` or ``.tsv.gz``, and with pyarrow (``gpuclust[io]``)
        ``.parquet`` or ``.feather``. An array of an .npz file may be named after a colon: ``data.npz:X``.
    key : str, optional
        Name of the array in an .npz file; optional if there is only one.
    columns : sequence of str or int, optional
        Columns to read, in this order, by name or number; all of them by default. A string is a name if a column has
        it, otherwise a number. Numbers start at 0 and count every column of the file, including row names.
    limit : int, optional
        Largest size of the values in bytes; by default the available memory. A memory-mapped .npy file takes none.
    header : bool, optional
        Whether the first line of a text table is a header; detected by default.
    index : str or int, optional
        Column of row names, by name or number, or ``"none"``; detected by default.
    distances : bool
        Whether a table is a square distance matrix, which helps to detect header and row names.

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
    name = file.name.lower().removesuffix(".gz")
    suffix = os.path.splitext(name)[1]
    if key is not None and suffix != ".npz":
        raise InputFileError(f"{file}: only an .npz file holds arrays by name, so {key!r} cannot be read from it")
    with damage_of(file, "cannot be read"):
        if suffix == ".npy" and name == file.name.lower():
            return _array(file, _only(file, _read_npy(file), columns))
        if suffix == ".npz" and name == file.name.lower():
            return _array(file, _only(file, _read_npz(file, key, limit), columns))
        if suffix in TABLES:
            return _data_set(read_table(file, TABLES[suffix], columns, header, index, distances, limit), file)
        if suffix in COLUMNAR and name == file.name.lower():
            from gpuclust.app.data.columnar import read_columnar

            return _data_set(read_columnar(file, columns, index, limit), file)
    raise InputFileError(f"{file}: unknown kind of file {''.join(file.suffixes[-1:])!r}. Allowed: {ALLOWED}.")


def _array(file: Path, values: NDArray[Any]) -> DataSet:
    """Return an array as a data set without names."""
    how = describe(file, values.shape) if values.ndim == 2 else f"{file.name}: {values.size:,} numbers"
    return DataSet(values, None, None, file, how)


def _data_set(table: Table, file: Path) -> DataSet:
    return DataSet(table.values, table.names, table.columns, file, table.how)


def _only(file: Path, values: NDArray[Any], columns: Sequence[str | int] | None) -> NDArray[Any]:
    """Select columns of an array by their numbers."""
    if columns is None:
        return values
    if values.ndim == 1:
        raise InputFileError(f"{file}: holds condensed distances, which have no columns to choose from")
    return np.ascontiguousarray(values[:, choose_columns(file, columns, None, values.shape[1])])


def split_key(path: str | os.PathLike[str], key: str | None = None) -> tuple[Path, str | None]:
    """Split ``data.npz:X`` into the path ``data.npz`` and the key ``X``; other paths are returned with ``key``."""
    text = os.fspath(path)
    file, colon, name = text.rpartition(":")
    if colon and file.lower().endswith(".npz") and not os.path.exists(text):
        return Path(file), name if key is None else key
    return Path(text), key


def _check_array(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ``InputFileError`` unless shape and dtype are those of points or condensed dissimilarities."""
    if dtype.kind not in "biuf":
        kind = NOT_NUMBERS.get(dtype.kind, f"dtype {dtype}")
        raise InputFileError(f"{what}: holds {kind} ({dtype}); booleans, integers and real numbers are allowed")
    if len(shape) not in (1, 2):
        raise InputFileError(
            f"{what}: has shape {shape}; (points, features), or one dimension of condensed distances, is allowed"
        )
    if 0 in shape:
        raise InputFileError(f"{what}: is empty (shape {shape})")


def read_shape(
    path: str | os.PathLike[str], header: bool | None = None, index: str | int | None = None
) -> tuple[tuple[int, ...], str]:
    """Return the shape of a data set, and how it was read; of .npy and .npz files only the header is read.

    See `read_points`.
    """
    file, key = split_key(path)
    check_is_file(file)
    if file.suffix.lower() == ".npy":
        return npy_header(file)[0], ""
    if file.suffix.lower() == ".npz":
        return npz_header(file, key)[0], ""
    found = read_points(path, header=header, index=index)
    return tuple(found.values.shape), found.how


def npz_header(path: Path, key: str | None) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array in an .npz file, from its header."""
    with damage_of(path), open_regular(path) as file, _archive(path, file) as archive:
        wanted = _pick(path, [name.removesuffix(".npy") for name in archive.namelist()], key)
        with archive.open(f"{wanted}.npy") as member:
            return _read_header(f"{path}:{wanted}", member)[:2]


def _archive(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(file):
        raise InputFileError(f"{path}: is not an .npz file, or a truncated one")
    return zipfile.ZipFile(file)


def _read_header(what: str, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read shape, dtype and order (whether Fortran's) from a .npy header; the file is left where the data begin."""
    begin = file.read(12)
    if begin[:6] != b"\x93NUMPY":
        found = "is empty" if not begin else f"starts with {begin[:6]!r}"
        raise InputFileError(f"{what}: is not a .npy file ({found})")
    with damage_of(what, "damaged or truncated .npy header"):
        short = begin[6:7] == b"\x01"
        (length,) = struct.unpack("<H" if short else "<I", begin[8:10] if short else begin[8:12])
        if length > _LONGEST_HEADER:  # NumPy reads the whole header before checking it
            raise ValueError(f"it is {length:,} bytes long")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        if not all(0 <= length < 2**63 for length in shape):
            raise ValueError(f"its shape is {shape}")
    _check_array(what, shape, dtype)
    return shape, dtype, by_columns


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a .npy file; ``InputFileError`` if it is truncated."""
    with open_regular(path) as file:
        return _whole_header(path, file)[:2]


def _whole_header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    shape, dtype, by_columns = _read_header(str(path), file)
    need = dtype.itemsize * math.prod(int(length) for length in shape)
    have = os.fstat(file.fileno()).st_size - file.tell()
    if have < need:
        raise InputFileError(
            f"{path}: is truncated: its header promises {_times(shape)} {dtype} values ({need:,} bytes), "
            f"but only {have:,} bytes follow"
        )
    return shape, dtype, by_columns


def _read_npy(path: Path) -> NDArray[Any]:
    with open_regular(path) as file:
        shape, dtype, by_columns = _whole_header(path, file)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_columns else "C")


def _pick(path: Path, keys: list[str], key: str | None) -> str:
    """Return the name of the requested array of an .npz file."""
    if key is None and len(keys) != 1:
        held = ", ".join(keys) or "nothing"
        raise InputFileError(f"{path}: holds {held}; name one array, like {path.name}:{keys[0] if keys else 'X'}")
    wanted = keys[0] if key is None else key
    if wanted not in keys:
        raise InputFileError(f"{path}: holds no array {wanted!r}, but {', '.join(keys) or 'nothing'}")
    return wanted


def _read_npz(path: Path, key: str | None, limit: int | None) -> NDArray[Any]:
    with damage_of(path), open_regular(path) as file, _archive(path, file) as archive:
        wanted = _pick(path, [name.removesuffix(".npy") for name in archive.namelist()], key)
        what = f"{path}:{wanted}"
        with archive.open(f"{wanted}.npy") as member:
            shape, dtype, _ = _read_header(what, member)
            check_size(what, math.prod(shape), dtype.itemsize, limit)
            member.seek(0)
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)  # type: ignore[arg-type]
            if member.read(1):
                raise InputFileError(f"{what}: is damaged (more follows than its header promises)")
    return array


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
