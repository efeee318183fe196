"""How numbers are written in a text table: decimal point or comma, and separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

_BLANKS = " \u00a0\u202f"


@dataclass(frozen=True)
class Style:
    """One way of writing numbers.

    Attributes
    ----------
    decimal : {".", ","}
    thousands : str
        Characters that may separate groups of three digits; empty if none may.
    """

    decimal: str
    thousands: str = ""
    _form: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digits = r"[0-9]+"
        if self.thousands:
            mark = f"[{re.escape(self.thousands)}]"
            digits = rf"(?:{digits}|[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+)"
        point = re.escape(self.decimal)
        form = rf"[+-]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        object.__setattr__(self, "_form", re.compile(form))

    def reads(self, cell: str) -> bool:
        """Whether a cell is a number in this style."""
        return self._form.fullmatch(cell) is not None

    def to_number(self, cell: str) -> float:
        """Convert a cell; ``ValueError`` if it is not a number in this style."""
        if self.decimal == "," and "." not in cell and "_" not in cell and cell[-1:].isdigit():
            with suppress(ValueError):  # the form is checked only where separators of thousands may be there
                return float(cell.replace(",", "."))
        if not self.reads(cell):
            raise ValueError(f"{cell!r} is not a number")
        return float("".join(mark for mark in cell if mark not in self.thousands).replace(self.decimal, "."))

    def __str__(self) -> str:
        point = "decimal comma" if self.decimal == "," else "decimal point"
        names = {"": "", ",": "commas", ".": "points", "'": "apostrophes", _BLANKS: "blanks"}
        return f"{point}, {names[self.thousands]} between thousands" if self.thousands else point


PLAIN = Style(".")
#: All styles; of those that read a column alike, the first is taken.
STYLES = (
    PLAIN,
    Style(","),
    Style(",", "."),
    Style(".", ","),
    Style(".", _BLANKS),
    Style(",", _BLANKS),
    Style(".", "'"),
    Style(",", "'"),
)
#: The set of all styles, a bit for each.
ALL = (1 << len(STYLES)) - 1


@lru_cache(maxsize=100_000)
def styles_of(cell: str) -> int:
    """Return the set of styles in which a cell is a number."""
    if cell.isascii() and cell.isdigit():
        return ALL
    if not cell or not (cell[0].isdigit() or cell[0] in "+-.,"):
        return 0
    return sum(1 << place for place, style in enumerate(STYLES) if style.reads(cell))


def choose(allowed: int, examples: Iterable[str], separator: str, decimal: str | None) -> tuple[Style, str | None]:
    """Return the style of a table's numbers, and a warning if it is not certain.

    Parameters
    ----------
    allowed : int
        The styles that read all numbers.
    examples : iterable of str
        Numbers that show where styles differ.
    separator : str
        Separator of the cells; where it is no comma, decimal commas are expected.
    decimal : {".", ","} or None
        The decimal mark, if it is given.

    Returns
    -------
    style : Style
        `PLAIN` if no style reads all numbers, and if the numbers are ambiguous.
    doubt : str or None
    """
    found = [style for place, style in enumerate(STYLES) if allowed >> place & 1]
    found = [style for style in found if decimal is None or style.decimal == decimal]
    if not found or found[0] == PLAIN:
        return PLAIN, None
    other = next((style for style in found if style.decimal != found[0].decimal), None)
    differing = None
    if other is not None:
        differing = next((cell for cell in examples if found[0].to_number(cell) != other.to_number(cell)), None)
    if other is None or differing is None:
        return found[0], None
    if separator == ",":
        return PLAIN, None
    comma = found[0] if found[0].decimal == "," else other
    value = f"{comma.to_number(differing):.15g}"
    return (
        comma,
        f"{differing} is read as {value}, with a decimal comma; give --decimal . if it is no decimal",
    )
