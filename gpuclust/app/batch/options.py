"""THE table of what may be said of one data set: in a manifest, in the Python API, as a default of the command."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuclust.app.job.job import Job
from gpuclust.app.job.results import MOST, Cut
from gpuclust.errors import unknown_name

#: Characters of a wrong value that a message shows.
_SHOWN = 80


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("must be text without NUL characters")
    return value.strip()


def _number(value: Any, infinite: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a number") from None
    if not math.isfinite(number) and not infinite:
        raise ValueError("must be a finite number")
    return number


def _exponent(value: Any) -> float:
    return _number(value, infinite=True)


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number) or abs(number) > MOST:
        raise ValueError(f"must be a whole number of at most {MOST:,}")
    return int(number)


def _flag(value: Any) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = value if isinstance(value, bool) else known.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = [part.strip() for part in re.split(r"[;,]" if re.search(r"[;,]", value) else r"\s+", value.strip())]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list")
    return list(value)


def _columns(value: Any) -> tuple[str | int, ...]:
    parts = [value] if isinstance(value, int) and not isinstance(value, bool) else _parts(value)
    if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
        raise ValueError("must be names, or numbers from 0")
    return tuple(parts)


def _index(value: Any) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return _text(value)


def _weights(value: Any) -> tuple[float, ...]:
    return tuple(_number(part) for part in _parts(value))


#: What each key's value must be. Those of `CUTS` decide on the cut, and only one of them may be given.
OPTIONS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "method": _text,
    "metric": _text,
    "p": _exponent,
    "weights": _weights,
    "columns": _columns,
    "header": _flag,
    "index": _index,
    "key": _text,
    "precomputed": _flag,
    "clusters": _number,
    "distance": _number,
    "inconsistent": _number,
    "depth": _whole,
    "min_size": _whole,
    "dtype": _text,
    "device": _text,
    "labels_format": _text,
}
CUTS = {"clusters": "maxclust", "distance": "distance", "inconsistent": "inconsistent"}


def parse_options(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by key; ``ValueError`` that names ``where`` for an unknown key or a value of the wrong kind."""
    found = {}
    for key, value in given.items():
        if key not in OPTIONS:
            raise ValueError(f"{where}: {unknown_name('key', key, ['path', *OPTIONS])}")
        try:
            found[key] = OPTIONS[key](value)
        except ValueError as error:
            raise ValueError(f"{where}: {key} {error}, got {_shortened(value)}") from None
    return found


def _shortened(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; deeply nested lists
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's own options, and the defaults that do not contradict them."""
    left = dict(defaults)
    if any(key in own for key in CUTS):
        for key in (*CUTS, "depth", "min_size"):
            left.pop(key, None)
    if "metric" in own or own.get("precomputed"):
        left.pop("p", None)
    if own.get("precomputed"):
        for key in ("weights", "columns", "metric"):
            left.pop(key, None)
    return {**left, **own}


@dataclass(frozen=True)
class Entry:
    """A data set that was asked for: its file, its options, and the place of its name.

    ``stem`` is the name that it gets unless one is given or others have it too.
    """

    path: str
    options: Mapping[str, Any]
    stem: str

    def job(self, out: Path, **machine: Any) -> Job:
        """What is to be done, with ``machine``'s options beside those of the data set.

        Raises
        ------
        ValueError
            Options that don't go together.
        """
        options = dict(self.options)
        options.pop("name", None)
        key = options.pop("key", None)
        cut = _cut(options)
        return Job(
            data=self.path if key is None else f"{self.path}:{key}", out=out, cut=cut, **{**machine, **options}
        )


def _cut(options: dict[str, Any]) -> Cut | None:
    """Takes the options of the cut out of the others."""
    chosen = [(criterion, options.pop(key)) for key, criterion in CUTS.items() if key in options]
    depth = options.pop("depth", None)
    if len(chosen) > 1:
        raise ValueError(f"give one of {', '.join(CUTS)}, not several")
    if depth is not None and not (chosen and chosen[0][0] == "inconsistent"):
        raise ValueError("depth goes with inconsistent")
    return Cut(*chosen[0], depth=2 if depth is None else depth) if chosen else None
