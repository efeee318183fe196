"""Opening of input files: regular files only, with limits on what is read.

A FIFO, device or socket may never end, and a small compressed file may contain any amount of blank lines or numbers.
Every input is opened here.
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
#: Number of blank characters that are allowed in a text, and of further ones for each other character.
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


def open_text(path: Path) -> IO[str]:
    """Open a table for reading as text in UTF-8, through gzip where its name ends in .gz.

    Reading raises ``InputFileError`` at a NUL character, an overlong line, or too many blank characters.
    """
    file: Any = open_regular(path)
    if path.suffix.lower() == ".gz":
        unpacked: Any = gzip.GzipFile(fileobj=file, mode="rb")
        unpacked.myfileobj = file  # closed with it
        file = unpacked
    return io.TextIOWrapper(io.BufferedReader(_Bounded(file, path), 2**16), encoding="utf-8-sig")


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


class _Bounded(io.RawIOBase):
    """Reader of a text file that raises ``InputFileError`` for content that cannot be a table."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self._read = self._blank = self._line = 0
        self._wide = False  # UTF-16 or UTF-32, by its byte order mark

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
