"""Types of Arrow's columns: those that hold numbers, and their values as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.errors import InputFileError


def is_numeric(arrow: Any, kind: Any) -> bool:
    """Whether a type holds numbers: integers, real numbers, decimals, booleans, or lists of these."""
    types = arrow.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return is_numeric(arrow, kind.value_type) and not hasattr(kind.value_type, "value_type")
    if types.is_dictionary(kind):
        return is_numeric(arrow, kind.value_type)
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def name_of(arrow: Any, kind: Any) -> str:
    """Return a type in words: ``text`` for all types of strings."""
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    known = {"string": "text", "large_string": "text", "string_view": "text", "null": "no values"}
    return known.get(str(kind), str(kind))


def numbers(arrow: Any, path: Path, name: str, column: Any, missing: bool) -> NDArray[Any]:
    """Return the values of a column; of lists of equal length, a matrix.

    Parameters
    ----------
    arrow : module
    path : Path
    name : str
        Name of the column.
    column : ChunkedArray
    missing : bool
        Whether missing values become NaN; otherwise they are errors.

    Raises
    ------
    InputFileError
        The column is not numeric, holds lists of different lengths, or a value is missing.
    """
    kind = column.type
    if not is_numeric(arrow, kind):
        raise InputFileError(
            f"{path}: column {name!r} holds {kind}; booleans, integers, real numbers, decimals, and lists of them "
            "are allowed"
        )
    if arrow.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if column.null_count and not missing:
        row = column.is_null().to_pylist().index(True)
        raise InputFileError(
            f"{path}: column {name!r} has no value in row {row} ({column.null_count:,} are missing): fill it in by "
            "--missing mean or median, or leave such rows out by --missing drop"
        )
    if hasattr(column.type, "value_type"):
        return _lists(arrow, path, name, column, missing)
    return _plain(arrow, column)


def _plain(arrow: Any, column: Any) -> NDArray[Any]:
    if arrow.types.is_decimal(column.type) or (column.null_count and not arrow.types.is_floating(column.type)):
        column = column.cast(arrow.uint8()) if arrow.types.is_boolean(column.type) else column
        column = column.cast(arrow.float64())
    return np.asarray(column.to_numpy())


def _lists(arrow: Any, path: Path, name: str, column: Any, missing: bool) -> NDArray[Any]:
    from pyarrow import compute

    lengths = compute.list_value_length(column).to_numpy().astype(np.float64)
    width = int(np.nanmax(lengths)) if not np.isnan(lengths).all() else 0
    uneven = np.flatnonzero(~np.isnan(lengths) & (lengths != width))
    if width == 0 or len(uneven):
        row = int(uneven[0]) if len(uneven) else 0
        raise InputFileError(
            f"{path}: column {name!r} holds {width or 'no'} numbers in some rows and {lengths[row]:g} in row {row}; "
            "lists of equal length are read as columns"
        )
    flat = compute.list_flatten(column)
    if flat.null_count and not missing:
        raise InputFileError(f"{path}: column {name!r} holds lists with {flat.null_count:,} missing values")
    values = _plain(arrow, flat)
    if not column.null_count:
        return values.reshape(-1, width)
    found = np.full((len(column), width), np.nan)
    found[~np.isnan(lengths)] = values.reshape(-1, width)
    return found
