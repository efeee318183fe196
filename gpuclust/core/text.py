"""Text for display and for tables: escaping of names and messages, guarding of cells, durations, docstrings."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from textwrap import indent
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: Control characters, marks that change the direction of what follows, separators of lines, and lone surrogates.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def displayed(name: object, keep: str = "", most: int | None = None) -> str:
    r"""A path, name or message for people: what cannot be shown is escaped; for the file system use the name itself.

    Names of files are bytes. Those that are not UTF-8 come from the system with lone surrogates in place of these
    bytes, which no terminal and no file in UTF-8 takes.

    Characters of ``keep`` stay (line ends, say). A text of more than ``most`` characters is cut, and ends in an
    ellipsis.

    >>> displayed("caf\udce9.csv")
    'caf\\xe9.csv'
    """
    text = str(name)
    if not (text.isascii() and text.isprintable()):
        with suppress(UnicodeEncodeError):  # surrogates that stand for no byte
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        text = _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found), text)
    return text if most is None or len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def guarded(cell: object) -> object:
    """A cell for a table that a spreadsheet may open: text that it would take for a formula gets ``'`` in front.

    So does text with such marks before the formula's first character, so that `unguarded` gives back what was
    written. Numbers, and texts that spell one (-1.5), stay as they are. Surrogates and NUL are escaped: no file in
    UTF-8 holds the first, and csv of Python 3.10 refuses the second.
    """
    if not isinstance(cell, str):
        return cell
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in cell):
        cell = re.sub("[\0\ud800-\udfff]", lambda found: displayed(found[0]), cell)
    if not _FORMULA.match(cell):
        return cell
    return cell if _NUMBER.fullmatch(cell) else "'" + cell


def unguarded(cell: str) -> str:
    """Invert `guarded`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def format_seconds(seconds: float) -> str:
    """Format a duration.

    >>> [format_seconds(value) for value in (0.0123, 7.25, 75, 4000)]
    ['12 ms', '7.2 s', '1 min 15 s', '1 h 6 min']
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600:,} h {whole % 3600 // 60} min"


def documented(**parts: str) -> Callable[[F], F]:
    """Decorator that puts text into a docstring, for each line ``{name}``, with the indentation of that line."""

    def filled(function: F) -> F:
        for name, text in parts.items():
            function.__doc__ = re.sub(
                rf"^([ \t]*)\{{{name}\}}$",
                lambda found, text=text: indent(text, found[1]),  # type: ignore[misc]
                function.__doc__ or "",
                flags=re.MULTILINE,
            )
        return function

    return filled
