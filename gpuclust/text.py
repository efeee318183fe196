"""Text from elsewhere (names of rows, columns, files, data sets) where it is shown, or written for other programs."""

from __future__ import annotations

import re
import unicodedata

#: Characters that turn the direction of the text around them.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Control characters, separators of lines, and half of a pair (what Python makes of a file name that is not UTF-8).
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def shown(text: object, keep: str = "", most: int | None = None) -> str:
    """A text as it may be printed or drawn: what would act on a terminal, or mislead a reader, is escaped.

    Parameters
    ----------
    text : object
        Anything; its ``str`` is taken.
    keep : str
        Characters that stay, such as line ends.
    most : int, optional
        Longer texts are cut, and end in an ellipsis.

    Returns
    -------
    str
        Control characters, line separators, marks that turn the direction of text, and surrogates are written as in
        Python's string literals: ``\\x1b``, ``\\u202e``, ``\\udcff``.
    """
    given = str(text)
    if given.isascii() and given.isprintable():
        result = given
    else:
        result = "".join(char if char in keep or not _acts(char) else _escaped(char) for char in given)
    return result if most is None or len(result) <= most else result[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _acts(char: str) -> bool:
    return char in _TURNING or unicodedata.category(char) in _HIDDEN


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def guarded(cell: object) -> object:
    """A cell for a table that a spreadsheet may open: text that it would take for a formula gets ``'`` in front.

    So does text with such marks before the formula's first character, so that `unguarded` gives back what was
    written. Numbers, and texts that spell one (-1.5), stay as they are. Surrogates are escaped: no file in UTF-8
    holds them.
    """
    if not isinstance(cell, str):
        return cell
    if any("\ud800" <= char <= "\udfff" for char in cell):
        cell = "".join(_escaped(char) if "\ud800" <= char <= "\udfff" else char for char in cell)
    if not _FORMULA.match(cell):
        return cell
    return cell if _NUMBER.fullmatch(cell) else "'" + cell


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell
