"""Opening of input files: regular files only, with limits on what is read.

A FIFO, device or socket may never end, and a small compressed file may contain any amount of blank lines or numbers.
Every input is opened here; text goes through `gpuclust.app.data.text_file`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gpuclust.core.memory import available_memory, format_bytes
from gpuclust.errors import DoesNotFit, GpuclustError, InputFileError

ALLOWED = (
    ".npy, .npz, .csv, .tsv, .txt (these three also as .gz, .bz2, .xz or .zip), .parquet, .feather, .arrow, "
    ".xlsx, .h5ad"
)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_is_file(path: Path) -> None:
    """Raise ``InputFileError`` unless the path is a regular file; the message suggests similar names."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL character
        raise InputFileError(f"{path}: is no path ({error})") from error
    except (FileNotFoundError, NotADirectoryError):
        raise InputFileError(f"{path}: does not exist{_hint(path)}") from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    _check_regular(path, mode)


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for buffered reading, following links, without blocking as a FIFO would.

    Raises
    ------
    InputFileError
        The file does not exist, is not a regular file, or cannot be read.
    """
    path = Path(path)
    check_is_file(path)  # before it is opened: opening has side effects on some devices
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)  # the file may have been replaced meanwhile
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def rows_that_fit(lines: Iterable[str], path: Path, width: int, limit: int | None) -> Iterator[str]:
    """Yield the lines, and raise `DoesNotFit` when rows of ``width`` numbers take more than ``limit`` bytes.

    The default limit is the available memory.
    """
    limit = available_memory() if limit is None else limit
    most = limit // (8 * width)
    for row, line in enumerate(lines):
        if row >= most:
            raise DoesNotFit(
                f"{path}: holds more than {most:,} rows of {width:,} numbers, which take {format_bytes(limit)}; no "
                "more memory may be used"
            )
        yield line


def check_size(what: str, numbers: int, itemsize: int, limit: int | None) -> None:
    """Raise `DoesNotFit` for an array larger than ``limit`` bytes, by default the available memory."""
    limit = available_memory() if limit is None else limit
    if numbers * itemsize > limit:
        raise DoesNotFit(
            f"{what}: holds {numbers:,} numbers, which take {format_bytes(numbers * itemsize)}, and "
            f"{format_bytes(limit)} of memory may be used"
        )


@contextmanager
def damage_of(what: object, kind: str = "is damaged") -> Iterator[None]:
    """Turn every error of a parser into an ``InputFileError`` that names the file.

    For damaged files parsers raise exceptions of many classes (LZMAError, TokenError, RecursionError,
    NotImplementedError, ...), which differ between versions.
    """
    try:
        yield
    except GpuclustError:
        raise
    except MemoryError as error:
        raise DoesNotFit(f"{what}: takes more memory than there is ({_line(error)})") from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputFileError(f"{what}: cannot be read: {error.strerror}") from error
        raise InputFileError(f"{what}: {kind} ({_line(error)})") from error


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal."""
    with open_regular(path) as file:
        return sha256_of_open(file)


def sha256_of_open(file: IO[bytes]) -> str:
    """Return the SHA-256 of the rest of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
        raise InputFileError(f"{path}: is {kind}, a file is needed ({ALLOWED})")


def _hint(path: Path) -> str:
    """Return a hint for a path that does not exist: similar names in its folder."""
    if not path.parent.is_dir():
        return f", nor does the folder {path.parent}"
    try:
        there = [entry.name for entry in os.scandir(path.parent) if entry.is_file()]
    except OSError:  # the folder cannot be listed
        there = []
    near = difflib.get_close_matches(path.name, there, n=2, cutoff=0.75)
    return f". Did you mean {' or '.join(near)}?" if near else ""
