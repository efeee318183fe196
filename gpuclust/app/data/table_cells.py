"""Classification of the cells of a text table: numbers, missing values, booleans, text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from gpuclust.app.data.number_style import styles_of

EMPTY, NUMBER, MISSING, INFINITE = "empty", "number", "missing", "infinite"
BOOLEAN, COMMA, TEXT = "boolean", "comma", "text"

#: Missing values as written by other programs, in lower case; in addition to the words that Python reads as NaN.
_MISSING = frozenset(("na", "n/a", "#n/a", "#na", "<na>", "null", "none", "nil", "?", "-", "--", ".", "missing"))
_BOOLEAN = {"true": 1.0, "false": 0.0}
#: Numbers with thousands separators, and integers.
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
_WHOLE = re.compile(r"[0-9]+")
#: Headings of columns of row names, if all cells are unique integers.
_NAMING = re.compile(
    r"unnamed: ?0(_level_[0-9]+)?|level_0|__index_level_[0-9]+__|.+[_ .-](id|ids|key|index)|ids?|index|key|names?"
    r"|row[_ .-]?(names?|ids?|number|no|nr)|(gene|sample|patient|subject)s?([_ .-]?(name|symbol|number|no|nr))?",
    re.IGNORECASE,
)
_CAMEL = re.compile(r".*[a-z](Id|ID)")
#: Further headings of columns that may be identifiers.
_PERHAPS_NAMING = re.compile(r".*id|row|no\.?|nr\.?|#|obs|observation|case|labels?", re.IGNORECASE)
#: Headings of columns of class labels.
_CLASS = re.compile(
    r"(.+[_ .-])?(class(es)?|labels?|targets?|species|clusters?|groups?|categor(y|ies)|diagnosis)"
    r"([_ .-]?(id|no|nr))?",
    re.IGNORECASE,
)


def kind(cell: str) -> str:
    """Classify a cell.

    EMPTY, NUMBER (finite), MISSING (NaN, NA, ...), INFINITE, BOOLEAN, COMMA (a number that is not written as in
    Python: 1,5 and 1,234 and 1 234) or TEXT.
    """
    if not cell:
        return EMPTY
    number = to_number(cell)
    if number is not None:
        return NUMBER if math.isfinite(number) else MISSING if math.isnan(number) else INFINITE
    low = cell.lower()
    if low in _MISSING:
        return MISSING
    if low in _BOOLEAN:
        return BOOLEAN
    return COMMA if styles_of(cell) else TEXT


def to_number(cell: str) -> float | None:
    """Convert a cell to a number, which may be infinite or NaN; None if it is not one."""
    if "_" in cell:  # Python reads 1_000, NumPy and other programs don't
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def to_boolean(cell: str) -> float:
    """Convert true to 1 and false to 0, ignoring case; ``ValueError`` for anything else."""
    found = _BOOLEAN.get(cell.strip().strip('"').lower())
    if found is None:
        raise ValueError(f"{cell!r} is neither true nor false")
    return found


def has_comma(cell: str) -> bool:
    """Whether a cell is a number with a decimal comma."""
    return cell.count(",") == 1 and to_number(cell.replace(",", ".")) is not None


def has_thousands(cell: str) -> bool:
    """Whether a cell is a number with thousands separators (1,234 may be one with a decimal comma as well)."""
    return _THOUSANDS.fullmatch(cell) is not None


def is_whole(cell: str) -> bool:
    """Whether a cell consists of digits only."""
    return _WHOLE.fullmatch(cell) is not None


def numeric(cells: Sequence[str]) -> bool:
    """Whether a column is numeric, possibly with faulty cells, rather than text."""
    texts = sum(kind(cell) == TEXT for cell in cells)
    return 2 * texts < len(cells)


def names_rows(heading: str) -> bool:
    """Whether a heading is that of row names or identifiers."""
    return _NAMING.fullmatch(heading) is not None or _CAMEL.fullmatch(heading) is not None


def may_name_rows(heading: str) -> bool:
    """Whether a heading may be that of identifiers, including doubtful ones such as ``acid`` and ``#``."""
    return names_rows(heading) or _PERHAPS_NAMING.fullmatch(heading) is not None


def is_class(heading: str) -> bool:
    """Whether a heading is that of known classes of the rows."""
    return _CLASS.fullmatch(heading) is not None


def repeats(different: int, rows: int) -> bool:
    """Whether texts, of which this many are different, group the rows rather than name them."""
    return 2 * different <= rows


def are_names(cells: Sequence[str]) -> bool:
    """Whether a column holds names: text without numbers, or at least as many words as other cells.

    A few malformed numbers (0x10, 3+4j) among numbers are faults, not names.
    """
    kinds = [kind(cell) for cell in cells]
    words = sum(found == TEXT and _is_word(cell) for found, cell in zip(kinds, cells, strict=True))
    others = sum(found in (NUMBER, TEXT, COMMA) for found in kinds) - words
    alone = TEXT in kinds and NUMBER not in kinds and COMMA not in kinds
    return alone or words >= max(1, others)


def _is_word(cell: str) -> bool:
    return not (cell[0].isdigit() or cell[0] in "+-.") or re.search(r"[^\W\d_]{2}", cell) is not None
