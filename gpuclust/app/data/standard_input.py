"""Data from standard input, given as ``-``: kept in a temporary file, since data are read and hashed separately."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuclust.app.data.remote import fetched
from gpuclust.errors import InputFileError

_PREFIX = "gpuclust-stdin-"
#: Extensions by the first bytes of a file; anything else is a text table.
_KINDS = {
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
    b"PAR1": ".parquet",
    b"ARROW1": ".feather",
    b"\x1f\x8b": ".csv.gz",
    b"BZh": ".csv.bz2",
    b"\xfd7zXZ\0": ".csv.xz",
}


@contextmanager
def spooled(data: str) -> Iterator[str]:
    """Yield a path to the data; of ``-`` or a URL, that of a temporary file with the content."""
    if data != "-":
        with fetched(data) as path:
            yield path
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise InputFileError("-: standard input is a terminal; give a file, or a pipe: cat FILE | gpuclust run -")
    stream = sys.stdin.buffer
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        head = stream.read(8)
        ending = next((ending for mark, ending in _KINDS.items() if head.startswith(mark)), ".csv")
        spool = Path(folder) / f"stdin{ending}"
        with open(spool, "wb") as file:
            file.write(head)
            shutil.copyfileobj(stream, file)
        yield str(spool)


def shown(path: Path) -> str:
    """Return the path of an input for people and records: ``-`` for standard input."""
    return "-" if path.parent.name.startswith(_PREFIX) else str(path)
