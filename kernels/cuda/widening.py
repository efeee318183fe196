"""Check of a kernel's index arithmetic, in PTX: a 32-bit number that may have wrapped around must not be widened.

Numba gives every sum and product of integers 64 bits, so an index wraps only where a kernel casts one to int32, or
where NVVM has transformed such a cast. It may be stored in 32 bits (the number of a point: there are fewer than
2^31), but must not be widened to an address or another 64-bit number.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple


class Size(IntEnum):
    """Range of an integer in a register."""

    SMALL = 0  # a thread's number, a constant, or computed from those
    LARGE = 1  # a block's number or a loaded value; in 64 bits also values computed from those
    WRAPPED = 2  # in 32 bits, computed from large ones: upper bits may be lost


class Statement(NamedTuple):
    """A line of PTX: a label, or an instruction; a guarded one depends on a predicate."""

    label: str
    guarded: bool
    name: str
    target: str
    sources: list[str]


_LINE = re.compile(r"^\s*(?:(\$\w+):|(?:\{\s*)?(@!?%\w+\s+)?([a-z]\w*(?:\.[\w:]+)*)\s+([^;]*);)", re.MULTILINE)
_REGISTER = re.compile(r"%rd?\d+")
_OF_BLOCKS = ("%ctaid", "%nctaid")
_GROWING = ("add.", "sub.", "mul.lo.", "mad.lo.", "shl.", "neg.")


def wrapped(ptx: str) -> list[str]:
    """The statements that widen to 64 bits a number which may have wrapped around in 32."""
    functions = re.split(r"^\}", re.sub(r"//.*", "", ptx), flags=re.MULTILINE)  # each has registers of its own
    return [found for text in functions for found in _of_function(_statements(text))]


def _statements(text: str) -> list[Statement]:
    lines = []
    for label, guard, name, operands in _LINE.findall(text):
        target, *sources = re.split(r"\s*,\s*", operands.strip())
        lines.append(Statement(label, bool(guard), name, target, sources))
    return lines


def _of_function(statements: list[Statement]) -> list[str]:
    exact = _exact(statements)
    known: dict[str, Size] = {}  # what a register holds at most, wherever it was written
    while True:
        before, found = dict(known), []
        here: dict[str, Size] = {}  # of what was written since the last label
        for place, (label, guarded, name, target, sources) in enumerate(statements):
            if label:
                here.clear()
                continue
            sizes = [here.get(source, known.get(source, _alone(source))) for source in sources]
            if Size.WRAPPED in sizes and _widens(name):
                found.append(f"{name} {target}, {', '.join(sources)}")
            if _REGISTER.fullmatch(target):
                size = Size.LARGE if place in exact else _result(name, target, sources, sizes)
                known[target] = max(size, known.get(target, size))
                here[target] = known[target] if guarded else size
        if known == before:  # sizes only rise, so this ends
            return found


def _alone(source: str) -> Size:
    return Size.LARGE if source.startswith(_OF_BLOCKS) else Size.SMALL


def _widens(name: str) -> bool:
    return ".wide." in name or re.fullmatch(r"cvt\.[su]64\.[su]32", name) is not None


def _result(name: str, target: str, sources: list[str], sizes: list[Size]) -> Size:
    """The size of what an instruction computes."""
    if name.startswith(("ld.", "atom.", "shfl.")):
        return Size.LARGE
    if name.startswith("and."):  # no more than either; a mask below zero has the upper bits
        return min(
            Size.LARGE if source.startswith("-") else size for source, size in zip(sources, sizes, strict=True)
        )
    largest = max(sizes, default=Size.SMALL)
    if target.startswith("%rd"):
        return min(largest, Size.LARGE)
    cut = re.fullmatch(r"cvt\.[su]32\.[su]64", name) is not None
    return Size.WRAPPED if largest == Size.LARGE and (cut or name.startswith(_GROWING)) else largest


def _exact(statements: list[Statement]) -> set[int]:
    """Places of divisions that NVVM does in 32 bits after a test that the upper halves of both numbers are zero.

    Also of remainders computed from the quotient.
    """
    found: set[int] = set()
    quotients, products = set[str](), set[str]()
    for place, each in enumerate(statements):
        if each.name in ("div.u32", "rem.u32"):
            found.add(place)
            quotients.add(each.target)
    for place, each in enumerate(statements):
        if each.name in ("mul.lo.s32", "mul.lo.u32") and quotients.intersection(each.sources):
            found.add(place)
            products.add(each.target)
    for place, each in enumerate(statements):
        if each.name in ("sub.s32", "sub.u32") and each.sources[1] in products:
            found.add(place)
    return found
