"""How input files are opened: regular files only, and text within bounds.

A FIFO, a device or a socket may never come to an end, and a small compressed file may hold any amount of blank lines
or numbers. Everything that reads an input opens it here.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gpuclust.core.memory import available_memory, format_bytes
from gpuclust.errors import DoesNotFit, GpuclustError, InputFileError

ALLOWED = ".npy, .npz, .csv, .tsv, .txt (these three also as .gz), .parquet, .feather"
#: Blank characters that a text may begin with, and how many there may be for each other one.
_BLANKS, _BLANKS_EACH = 2**20, 100
#: The longest line of a table, in bytes.
_LONGEST_LINE = 2**28
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_is_file(path: Path) -> None:
    """``InputFileError`` that says what is at this path instead of a regular file, or what may have been meant."""
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
    """Open a regular file for reading, buffered; links are followed. Never waits, as opening a FIFO would.

    Raises
    ------
    InputFileError
        There is none, or something else, or it cannot be read.
    """
    path = Path(path)
    check_is_file(path)  # before it is opened: opening alone does something to some devices
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)  # what was opened, which may be another file by now
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_text(path: Path) -> IO[str]:
    """Open a table for reading as text in UTF-8, through gzip where its name ends in .gz.

    Reading raises ``InputFileError`` at a NUL character, a line without end, or more blank characters than a table
    has.
    """
    file: Any = open_regular(path)
    if path.suffix.lower() == ".gz":
        unpacked: Any = gzip.GzipFile(fileobj=file, mode="rb")
        unpacked.myfileobj = file  # closed with it
        file = unpacked
    return io.TextIOWrapper(io.BufferedReader(_Bounded(file, path), 2**16), encoding="utf-8-sig")


def rows_that_fit(lines: Iterable[str], path: Path, width: int, limit: int | None) -> Iterator[str]:
    """The same lines; `DoesNotFit` where rows of ``width`` numbers take more than ``limit`` bytes.

    By default: more than what is available.
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


class _Bounded(io.RawIOBase):
    """The bytes of a text, up to where it can no longer be a table."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self._read = self._blank = self._line = 0
        self._wide = False  # UTF-16 or UTF-32, by its mark

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self._check(block)
        buffer[: len(block)] = block
        return len(block)

    def _check(self, block: bytes) -> None:
        if not self._read:
            self._wide = block[:2] in (b"\xff\xfe", b"\xfe\xff") or block[:4] == b"\0\0\xfe\xff"
        at = -1 if self._wide else block.find(b"\0")
        if at >= 0:
            said = f"is not text in UTF-8 (byte {self._read + at:,} is NUL); is it in UTF-16?"
            raise InputFileError(f"{self._path}: {said}")
        self._read += len(block)
        lines = block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
        solid = len(block.translate(None, b" \t\r\n\v\f"))
        self._blank += len(block) - solid
        if self._blank > _BLANKS + _BLANKS_EACH * (self._read - self._blank):
            raise InputFileError(f"{self._path}: {self._blank:,} of its first {self._read:,} characters are blank")
        self._line = self._line + len(block) if not lines else 0
        if self._line > _LONGEST_LINE:
            raise InputFileError(f"{self._path}: a line is longer than {_LONGEST_LINE:,} bytes")


def check_size(what: str, numbers: int, itemsize: int, limit: int | None) -> None:
    """`DoesNotFit` for an array that a file promises and that is larger than ``limit``, or than what is available."""
    limit = available_memory() if limit is None else limit
    if numbers * itemsize > limit:
        raise DoesNotFit(
            f"{what}: holds {numbers:,} numbers, which take {format_bytes(numbers * itemsize)}, and "
            f"{format_bytes(limit)} of memory may be used"
        )


@contextmanager
def damage_of(what: object, kind: str = "is damaged") -> Iterator[None]:
    """Turn every error of the code that parses a format into an ``InputFileError`` that names the file.

    Parsers of other projects raise errors of many classes for damaged files (LZMAError, TokenError, RecursionError,
    NotImplementedError, ...), and other ones in each version.
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
    """SHA-256 of the bytes of a regular file, in hexadecimal."""
    with open_regular(path) as file:
        return sha256_of_open(file)


def sha256_of_open(file: IO[bytes]) -> str:
    """SHA-256 of what follows in an open file, in hexadecimal."""
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
    """What may have been meant by a path at which there is nothing."""
    if not path.parent.is_dir():
        return f", nor does the folder {path.parent}"
    try:
        there = [entry.name for entry in os.scandir(path.parent) if entry.is_file()]
    except OSError:  # a folder that may be entered but not listed: no suggestion then
        there = []
    near = difflib.get_close_matches(path.name, there, n=2, cutoff=0.75)
    return f". Did you mean {' or '.join(near)}?" if near else ""
