"""Text of tables: decompressed, decoded, and checked for content that cannot be a table."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from gpuclust.app.data.opening import open_regular
from gpuclust.errors import InputFileError

#: Number of blank characters that are allowed in a text, and of further ones for each other character.
_BLANKS, _BLANKS_EACH = 2**20, 100
#: The longest line of a table, in bytes.
_LONGEST_LINE = 2**28
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
UTF_8 = "utf-8-sig"
#: Encodings that are tried one after the other, with their names.
NAMES = {"utf-16": "UTF-16", "utf-32": "UTF-32", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
_NEXT = {UTF_8: "cp1252", "cp1252": "latin-1"}


def _gzip(file: IO[bytes], path: Path) -> Any:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _zip(file: IO[bytes], path: Path) -> Any:
    return zipfile.ZipFile(file).open(_member(path, file))


_OPENERS: dict[str, Callable[[IO[bytes], Path], Any]] = {
    ".gz": _gzip,
    ".bz2": lambda file, path: bz2.BZ2File(file),
    ".xz": lambda file, path: lzma.LZMAFile(file),  # noqa: SIM115
    ".zip": _zip,
}
#: Extensions of compressed tables, behind the table's own.
COMPRESSED = tuple(_OPENERS)


def uncompressed(name: str) -> str:
    """Return a file name without the extension of a compression: ``t.csv.gz`` -> ``t.csv``."""
    return next((name[: -len(ending)] for ending in COMPRESSED if name.lower().endswith(ending)), name)


def member_of(path: Path) -> str:
    """Return the name of the one file in a .zip archive."""
    with open_regular(path) as file:
        return _member(path, file)


def _member(path: Path, file: IO[bytes]) -> str:
    held = [
        name for name in zipfile.ZipFile(file).namelist() if name[-1:] != "/" and not name.startswith("__MACOSX/")
    ]
    if len(held) != 1:
        listed = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "")
        raise InputFileError(
            f"{path}: holds {len(held)} files ({listed}); a .zip file of one table is read: unpack it"
        )
    return held[0]


@dataclass(frozen=True)
class TextFile:
    """A text table on disk, which may be read several times.

    Attributes
    ----------
    path : Path
    encoding : str
    sheet : str or None
        Sheet of an .xlsx file, which is read as text; None: the first one.
    """

    path: Path
    encoding: str = UTF_8
    sheet: str | None = None

    @classmethod
    def of(cls, path: Path, sheet: str | None = None) -> TextFile:
        """Return the file with its encoding as far as the first bytes show it."""
        file = cls(path, sheet=sheet)
        if file.is_sheet:
            return file
        with file._bytes() as stream:
            head = stream.read(4)
        return replace(file, encoding=next((name for mark, name in _MARKS.items() if head.startswith(mark)), UTF_8))

    @property
    def is_sheet(self) -> bool:
        return self.path.suffix.lower() == ".xlsx"

    def __str__(self) -> str:
        return str(self.path)

    def next_encoding(self) -> TextFile | None:
        """Return the file in the encoding to try if this one fails; None if there is none."""
        return replace(self, encoding=_NEXT[self.encoding]) if self.encoding in _NEXT else None

    def open(self) -> IO[str]:
        """Open the text.

        Reading raises ``InputFileError`` at a NUL character, an overlong line, or too many blank characters.
        """
        if self.is_sheet:
            from gpuclust.app.data.spreadsheet import sheet_as_text

            return io.StringIO(sheet_as_text(self.path, self.sheet), newline="")
        return io.TextIOWrapper(self._bytes(), encoding=self.encoding)

    def _bytes(self) -> io.BufferedReader:
        raw = open_regular(self.path)
        opener = _OPENERS.get(self.path.suffix.lower())
        try:
            file = raw if opener is None else opener(raw, self.path)
        except BaseException:
            raw.close()
            raise
        return io.BufferedReader(_Bounded(file, raw, self.path), 2**16)


class _Bounded(io.RawIOBase):
    """Reader of a text file that raises ``InputFileError`` for content that cannot be a table."""

    def __init__(self, file: Any, raw: IO[bytes], path: Path) -> None:
        self._file, self._raw, self._path = file, raw, path
        self._read = self._blank = self._line = 0
        self._wide = False  # UTF-16 or UTF-32, by its byte order mark

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self._check(block)
        buffer[: len(block)] = block
        return len(block)

    def _check(self, block: bytes) -> None:
        if not self._read:
            self._wide = any(block.startswith(mark) for mark in _MARKS)
        at = -1 if self._wide else block.find(b"\0")
        if at >= 0:
            said = f"is not text in UTF-8 (byte {self._read + at:,} is NUL); is it in UTF-16?"
            raise InputFileError(f"{self._path}: {said}")
        self._read += len(block)
        lines = block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
        solid = len(block.translate(None, b" \t\r\n\v\f" + (b"\0" if self._wide else b"")))
        self._blank += len(block) - solid
        if self._blank > _BLANKS + _BLANKS_EACH * (self._read - self._blank):
            raise InputFileError(f"{self._path}: {self._blank:,} of its first {self._read:,} characters are blank")
        self._line = self._line + len(block) if not lines else 0
        if self._line > _LONGEST_LINE:
            raise InputFileError(f"{self._path}: a line is longer than {_LONGEST_LINE:,} bytes")
