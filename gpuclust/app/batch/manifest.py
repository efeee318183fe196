"""Manifests: tables (.csv) or .toml files that list data sets, with the options of each.

    path,method,clusters,columns          [defaults]
    iris.csv,ward,3,sepal;petal           method = "ward"
    "runs/*.npy",average,5,               [[dataset]]
                                          path = "runs/*.npy"
                                          clusters = 5

Paths are relative to the manifest, and may be patterns and folders. An empty cell sets no option.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from gpuclust.app.batch.entry import KEYS, merged, parse_options
from gpuclust.app.data.opening import check_is_file, open_regular
from gpuclust.errors import InputFileError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: A row of a manifest: the path as written, and the options of the data set.
Row = tuple[str, dict[str, Any]]
#: Largest size of a manifest, in bytes.
_LARGEST = 2**28


def is_manifest(path: Path) -> bool:
    """Whether a file lists data sets: a .toml file, or a .csv file with a column named ``path``."""
    if path.suffix.lower() == ".toml":
        return True
    if path.suffix.lower() != ".csv":
        return False
    try:
        with _open(path) as file:
            return "path" in _head(file.readline(4096))
    except (OSError, ValueError, csv.Error):
        return False


def _open(path: Path) -> IO[str]:
    return io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="")


def read_manifest(path: Path) -> list[Row]:
    """Read the rows of a manifest; defaults of a .toml file are merged into their options.

    Raises
    ------
    InputFileError
        The file cannot be read, or is not a manifest.
    ValueError
        An unknown key, or a value of the wrong type; the message names file and line or entry.
    """
    check_is_file(path)
    if path.stat().st_size > _LARGEST:
        raise InputFileError(f"{path}: is no manifest: it has {path.stat().st_size:,} bytes, of {_LARGEST:,} at most")
    try:
        return _read_toml(path) if path.suffix.lower() == ".toml" else _read_csv(path)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: is not text in UTF-8 (byte {error.start:,})") from error


def _read_csv(path: Path) -> list[Row]:
    rows: list[Row] = []
    with _open(path) as file:
        table = csv.reader(file)
        lines = _rows_of(path, table)
        head = [cell.strip() for cell in next(lines, [])]
        for name in head:
            if name != "path" and name not in KEYS:
                raise ValueError(f"{path}, line 1: {unknown_name('column', name, ['path', *KEYS])}")
        if len(set(head)) < len(head):
            raise ValueError(f"{path}, line 1: a column is there twice")
        for row in lines:
            where = f"{path}, line {table.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(head):
                raise ValueError(f"{where}: has {len(row)} cells, but there are {len(head)} columns")
            given = {name: cell for name, cell in zip(head, row, strict=False) if cell.strip()}
            rows.append(_row(given, where))
    return rows


def _rows_of(path: Path, table: Any) -> Iterator[list[str]]:
    """Yield the rows of a table; an error of the csv module is raised with its line number."""
    while True:
        try:
            row = next(table, None)
        except csv.Error as error:
            raise ValueError(f"{path}, line {table.line_num}: is no row of a manifest ({error})") from error
        if row is None:
            return
        yield row


def _read_toml(path: Path) -> list[Row]:
    with open_regular(path) as file:
        try:
            content = tomllib.load(file)
        except UnicodeDecodeError:
            raise
        except RecursionError as error:
            raise InputFileError(f"{path}: is not TOML that can be read: it is nested too deeply") from error
        except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
            raise InputFileError(f"{path}: is not TOML ({error})") from error
    for key in content:
        if key not in ("defaults", "dataset"):
            raise ValueError(f"{path}: {unknown_name('table', key, ['defaults', 'dataset'])}")
    entries, defaults = content.get("dataset", []), content.get("defaults", {})
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: data sets are given as [[dataset]], one for each")
    if not isinstance(defaults, dict) or "name" in defaults:
        raise ValueError(f"{path}: [defaults] are options by key, without name")
    common = parse_options(defaults, f"{path}, [defaults]")
    rows = [_row(entry, f"{path}, [[dataset]] number {place}") for place, entry in enumerate(entries, 1)]
    return [(name, merged(common, options)) for name, options in rows]


def _row(given: Mapping[str, Any], where: str) -> Row:
    options = dict(given)
    path = options.pop("path", None)
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"{where}: path is missing")
    if "\0" in path:
        raise ValueError(f"{where}: path holds a NUL character, got {path!r}")
    return path.strip(), parse_options(options, where)


def _head(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]), [])]
