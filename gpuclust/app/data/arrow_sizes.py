"""Sizes of the record batches of Arrow files, from their metadata, before anything is decompressed.

pyarrow decompresses a batch as a whole, and tells its size afterwards. The metadata of a batch is a FlatBuffers table
(``Message.fbs`` of the Arrow format); each compressed buffer begins with its size as a 64-bit integer, or -1.
"""

from __future__ import annotations

import struct
from typing import Any

_HEADER, _RECORDS = 2, 1  # places of fields: the header of a Message, the record batch of a DictionaryBatch
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3  # of a RecordBatch


def batch_size(message: Any) -> tuple[int, int]:
    """Return the numbers of rows and of bytes that a record batch or dictionary has when it is decompressed.

    Parameters
    ----------
    message : pyarrow.ipc.Message

    Returns
    -------
    rows, size : int
        Zero for other messages.

    Raises
    ------
    ValueError
        The metadata are damaged.
    """
    if message.type not in ("record batch", "dictionary"):
        return 0, 0
    table, body = memoryview(message.metadata), memoryview(message.body)
    try:
        batch = _at(table, _field(table, _root(table), _HEADER))
        if message.type == "dictionary":
            batch = _at(table, _field(table, batch, _RECORDS))
        length = _field(table, batch, _LENGTH)
        rows = 0 if length is None else struct.unpack_from("<q", table, length)[0]
        if _field(table, batch, _COMPRESSION) is None:
            return rows, len(body)
        return rows, _decompressed(table, _field(table, batch, _BUFFERS), body)
    except (struct.error, TypeError) as error:
        raise ValueError("a record batch is damaged") from error


def _decompressed(table: memoryview, field: int | None, body: memoryview) -> int:
    if field is None:
        return 0
    start = _at(table, field)
    (count,) = struct.unpack_from("<I", table, start)
    total = 0
    for place in range(count):
        offset, length = struct.unpack_from("<qq", table, start + 4 + 16 * place)
        if length:
            (size,) = struct.unpack_from("<q", body, offset)
            total += length if size < 0 else size
    return total


def _root(table: memoryview) -> int:
    return int(struct.unpack_from("<I", table, 0)[0])


def _at(table: memoryview, field: int | None) -> int:
    """The place that an offset points to."""
    if field is None:
        raise TypeError("a field is missing")
    return int(field + struct.unpack_from("<I", table, field)[0])


def _field(buffer: memoryview, table: int, place: int) -> int | None:
    """The place of a field of a table; None if it is absent, and has its default."""
    fields = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, fields)
    if 4 + 2 * place >= size:
        return None
    (offset,) = struct.unpack_from("<H", buffer, fields + 4 + 2 * place)
    return table + offset if offset else None
