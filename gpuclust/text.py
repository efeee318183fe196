"""Names and messages as they can be shown: without control characters, and without bytes that are no text."""

from __future__ import annotations

import os
import re
from contextlib import suppress

#: Control characters, marks that change the direction of what follows, separators of lines, and lone surrogates.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def displayed(name: str | os.PathLike[str]) -> str:
    r"""A path or a message for people: what cannot be shown is escaped; for the file system use the name itself.

    Names of files are bytes. Those that are not UTF-8 come from the system with lone surrogates in place of these
    bytes, which no terminal and no file in UTF-8 takes.

    >>> displayed("caf\udce9.csv")
    'caf\\xe9.csv'
    """
    text = os.fspath(name)
    if text.isascii() and text.isprintable():
        return text
    with suppress(UnicodeEncodeError):  # surrogates that stand for no byte
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
