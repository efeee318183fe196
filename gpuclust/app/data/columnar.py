"""Columnar files, .parquet, .feather and .arrow, read and written through pyarrow (``gpuclust[io]``).

Row names are an index stored by pandas, a first column of text, or a first column of unique integers whose name is
that of an identifier (``index``, ``gene_id``). ``index`` overrides the detection, as in `gpuclust.app.data.tables`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.arrow_sizes import batch_size
from gpuclust.app.data.column_types import is_numeric, name_of, numbers
from gpuclust.app.data.opening import check_size, damage_of, open_regular
from gpuclust.app.data.reading import Category, Reading, Table, describe
from gpuclust.app.data.table_cells import names_rows, repeats
from gpuclust.app.data.table_columns import identifiers, place_of_index, select_columns
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
        table = _read(arrow, path, file, None)
        return table.num_rows, table.num_columns


def read_columnar(path: Path, reading: Reading = Reading()) -> Table:  # noqa: B008
    """Read a file; see `gpuclust.app.data.files.read_points`.

    A column of lists of equal length is read as that number of columns. Columns of other types are left out unless
    columns are chosen.

    Raises
    ------
    InputFileError
        The file is damaged, a chosen column is not numeric, a value is missing, or pyarrow is missing.
    DoesNotFit
        The numbers take more than the limit.
    """
    arrow = pyarrow(f"{path}: reading it")
    with damage_of(path, _kind(path)), open_regular(path) as file:
        table = _read(arrow, path, file, reading.limit)
    heads = table.column_names
    try:
        found = _naming(arrow, table) if reading.index is None else place_of_index(reading.index, heads, len(heads))
    except ValueError as error:
        raise InputFileError(f"{path}: {error}") from error
    chosen = select_columns(path, reading, heads, len(heads)) if heads else ()
    named = None if reading.columns is not None and found in chosen else found
    chosen = tuple(place for place in chosen if place != named)
    left_out: dict[str, list[str]] = {}
    places: list[int] = []
    categories: list[Category] = []
    for place in chosen:
        kind = table.schema.field(place).type
        text = name_of(arrow, kind) == "text"
        if reading.mixed and (text or arrow.types.is_dictionary(kind)):
            cells = table.column(place).to_pylist()
            categories.append((heads[place], [None if cell is None else str(cell) for cell in cells]))
        elif reading.columns is None and not is_numeric(arrow, kind):
            left_out.setdefault(name_of(arrow, kind), []).append(heads[place])
        else:
            places.append(place)
    if not (places or categories) or not table.num_rows:
        raise InputFileError(f"{path}: is empty ({table.num_rows} rows of {len(places)} columns of numbers)")
    names = None if named is None else [str(name) for name in table.column(named).to_pylist()]
    blocks: list[NDArray[Any]] = []
    titles: list[str] = []
    whole: list[int] = []
    for place in places:
        block = numbers(arrow, path, heads[place], table.column(place), reading.missing)
        whole += [len(titles)] if _is_whole(arrow, table, place) else []
        titles += [heads[place]] if block.ndim == 1 else [f"{heads[place]}[{i}]" for i in range(block.shape[1])]
        blocks.append(block if block.ndim == 2 else block[:, None])
    values = blocks[0] if len(blocks) == 1 else np.hstack([np.empty((table.num_rows, 0), bool), *blocks])
    if reading.automatic:
        identified = identifiers(values, titles, whole, categories if reading.mixed else None)
        categories = [categories[place] for place in identified.texts]
        left_out |= identified.left_out
        for doubt in identified.doubts:
            warn(f"{path}: {doubt}", ClusterWarning)
        if identified.kept is not None:
            kept = identified.kept
            titles = [title for title, stays in zip(titles, kept, strict=True) if stays]
            values = values[:, kept]
    values = np.ascontiguousarray(values)
    index = None if named is None else repr(heads[named])
    how = describe(path, values.shape, titles, "", index, left_out, categories)
    return Table(values, names, titles, how, partial(_cells, table), categories)


def _cells(table: Any) -> Iterator[Sequence[object]]:
    """Yield the names of the columns, and then the cells of each row."""
    yield table.column_names
    for batch in table.to_batches(max_chunksize=10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


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
    if name_of(arrow, kind) == "text":
        return None if not names_rows(heads[0]) and repeats(len(table.column(0).unique()), table.num_rows) else 0
    if len(heads) < 2 or not names_rows(heads[0]) or not _is_whole(arrow, table, 0):
        return None
    return 0 if len(table.column(0).unique()) == table.num_rows > 0 else None


def _is_whole(arrow: Any, table: Any, place: int) -> bool:
    """Whether the type of a column is an integer type."""
    return bool(arrow.types.is_integer(table.schema.field(place).type))


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
    # What is between the magic bytes of a file is a stream. It is read as one: its footer may name other places.
    begin = 8 if file.peek(6)[:6] == b"ARROW1" else 0  # type: ignore[attr-defined]
    _check_batches(arrow, path, file, begin, limit)
    file.seek(begin)
    return arrow.ipc.open_stream(file).read_all()


def _check_batches(arrow: Any, path: Path, file: IO[bytes], begin: int, limit: int | None) -> None:
    """Refuse an Arrow file whose batches are together above the limit when decompressed."""
    file.seek(begin)
    messages = arrow.ipc.MessageReader.open_stream(file)
    columns = len(arrow.ipc.read_schema(messages.read_next_message()))
    rows = size = 0
    with suppress(StopIteration):
        while True:
            more, large = batch_size(messages.read_next_message())
            rows, size = rows + more, size + large
            check_size(str(path), rows * max(1, columns), 8, limit)
            check_size(str(path), size, 1, limit)


def _stored_names(stored: bytes) -> list[str]:
    """Return the names of the index columns in pandas' metadata; an empty list if these are damaged."""
    try:
        found = json.loads(stored).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _kind(path: Path) -> str:
    return f"is not a {path.suffix} file, or a damaged one"
