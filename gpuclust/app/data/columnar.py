"""Columnar files, .parquet and .feather, read and written through pyarrow (``gpuclust[io]``).

Row names are an index stored by pandas, a first column of text, or a first column of unique integers whose name is
that of an identifier (``index``, ``gene_id``). Every other column that is read must be numeric, without missing
values. ``index`` overrides the detection, as in `gpuclust.app.data.tables`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.opening import check_size, damage_of, open_regular
from gpuclust.app.data.table_cells import names_rows
from gpuclust.app.data.table_columns import choose_columns, identifiers, place_of_index
from gpuclust.app.data.tables import Table, describe
from gpuclust.errors import ClusterWarning, InputFileError, warn

_INSTALL = 'pip install "gpuclust[io]"'


def pyarrow(why: str) -> Any:
    """Import pyarrow; ``InputFileError`` with the command that installs it if it is missing.

    ``why`` says in the message what needs it.
    """
    try:
        import pyarrow as found
    except ImportError:
        raise InputFileError(f"{why} needs pyarrow, which is not installed: {_INSTALL}") from None
    return found


def columnar_shape(path: Path) -> tuple[int, int]:
    """Return the numbers of rows and columns that the metadata of a file state."""
    arrow = pyarrow(f"{path}: reading it")
    with damage_of(path, _kind(path)), open_regular(path) as file:
        if path.suffix.lower() == ".parquet":
            from pyarrow import parquet

            metadata = parquet.read_metadata(file)
            return metadata.num_rows, metadata.num_columns
        reader = arrow.ipc.open_file(file)
        return reader.read_all().num_rows, len(reader.schema)


def read_columnar(
    path: Path,
    columns: Sequence[str | int] | None = None,
    index: str | int | None = None,
    limit: int | None = None,
) -> Table:
    """Read a file; see `gpuclust.app.data.tables.read_table`.

    Raises
    ------
    InputFileError
        The file is damaged, holds a non-numeric or missing value, or pyarrow is missing.
    DoesNotFit
        The numbers take more than ``limit`` bytes, by default the available memory.
    """
    arrow = pyarrow(f"{path}: reading it")
    with damage_of(path, _kind(path)), open_regular(path) as file:
        table = _read(arrow, path, file, limit)
    heads = table.column_names
    try:
        named = _naming(arrow, table) if index is None else place_of_index(index, heads, len(heads))
    except ValueError as error:
        raise InputFileError(f"{path}: {error}") from error
    if columns is None:
        places = tuple(place for place in range(len(heads)) if place != named)
    else:
        places = choose_columns(path, columns, heads, len(heads))
        named = None if named in places else named
    names = None if named is None else [str(name) for name in table.column(named).to_pylist()]
    if not len(places) or not table.num_rows:
        raise InputFileError(f"{path}: is empty ({table.num_rows} rows of {len(places)} columns of numbers)")
    read = [_numbers(arrow, path, heads[place], table.column(place)) for place in places]
    kind = np.result_type(*(column.dtype for column in read))
    values = np.empty((table.num_rows, len(read)), dtype=kind)
    for place, column in enumerate(read):
        values[:, place] = column
    if columns is None and index is None:
        whole = [column for column, place in enumerate(places) if _is_whole(arrow, table, place)]
        for doubt in identifiers(values, [heads[place] for place in places], whole):
            warn(f"{path}: {doubt}", ClusterWarning)
    chosen = [heads[place] for place in places]
    return Table(values, names, chosen, describe(path, values.shape, chosen, "", named, heads))


def write_columnar(file: IO[bytes], columns: dict[str, Any]) -> None:
    """Write named columns as a .parquet file."""
    arrow = pyarrow("labels in .parquet:")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), file)


def _naming(arrow: Any, table: Any) -> int | None:
    """Return the column of row names: pandas' index, or a first column of text or of identifiers."""
    heads = table.column_names
    stored = (table.schema.metadata or {}).get(b"pandas")
    if stored is not None:
        indices = _stored_names(stored)
        if len(indices) == 1 and indices[0] in heads:
            return int(heads.index(indices[0]))
    if not heads:
        return None
    kind = table.schema.field(0).type
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
        return 0
    if len(heads) < 2 or not names_rows(heads[0]) or not _is_whole(arrow, table, 0):
        return None
    return 0 if len(table.column(0).unique()) == table.num_rows > 0 else None


def _is_whole(arrow: Any, table: Any, place: int) -> bool:
    """Whether the type of a column is an integer type."""
    return bool(arrow.types.is_integer(table.schema.field(place).type))


def _numbers(arrow: Any, path: Path, name: str, column: Any) -> NDArray[Any]:
    kind = column.type
    if not (arrow.types.is_integer(kind) or arrow.types.is_floating(kind) or arrow.types.is_boolean(kind)):
        raise InputFileError(
            f"{path}: column {name!r} holds {kind}; booleans, integers and real numbers are allowed, and text in the "
            "first column only, as names of the rows, unless columns are chosen"
        )
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise InputFileError(f"{path}: column {name!r} has no value in row {row} ({column.null_count:,} are missing)")
    return np.asarray(column.to_numpy())


def _read(arrow: Any, path: Path, file: IO[bytes], limit: int | None) -> Any:
    """Read the table of a file, unless its metadata state a size above the limit."""
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        reader = parquet.ParquetFile(file)
        metadata = reader.metadata
        groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
        check_size(str(path), metadata.num_rows * max(1, metadata.num_columns), 8, limit)
        check_size(str(path), sum(group.total_byte_size for group in groups), 1, limit)
        if metadata.num_rows != sum(group.num_rows for group in groups):
            raise InputFileError(f"{path}: {_kind(path)} (it promises {metadata.num_rows:,} rows, its parts others)")
        return reader.read()
    if file.peek(4)[:4] == b"FEA1":  # type: ignore[attr-defined]
        from pyarrow import feather

        return feather.read_table(file)
    opened = arrow.ipc.open_file(file)
    parts, size = [], 0
    for place in range(opened.num_record_batches):
        parts.append(opened.get_batch(place))
        size += parts[-1].nbytes
        check_size(str(path), size, 1, limit)
    return arrow.Table.from_batches(parts, opened.schema)


def _stored_names(stored: bytes) -> list[str]:
    """Return the names of the index columns in pandas' metadata; an empty list if these are damaged."""
    try:
        found = json.loads(stored).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _kind(path: Path) -> str:
    return f"is not a {path.suffix} file, or a damaged one"
