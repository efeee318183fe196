"""A data set of a batch: its file, and the options that a manifest, a mapping or the command give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuclust.app import option
from gpuclust.app.cut import CUTS
from gpuclust.app.job.job import Job
from gpuclust.app.options import GOWER, NOT_OF_DISTANCES, NOT_OF_GOWER, OPTIONS
from gpuclust.errors import unknown_name

#: Keys of a data set: `gpuclust.app.options.OPTIONS`, its name, and the array of an .npz file.
KEYS = {"name": option.text, "key": option.text} | {name: known.parse for name, known in OPTIONS.items()}


def parse_options(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by key; ``ValueError`` that names ``where`` for an unknown key or a value of the wrong kind."""
    found = {}
    for key, value in given.items():
        if key not in KEYS:
            raise ValueError(f"{where}: {unknown_name('key', key, ['path', *KEYS])}")
        try:
            found[key] = KEYS[key](value)
        except ValueError as error:
            raise ValueError(f"{where}: {key} {error}, got {option.shortened(value)}") from None
    return found


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's own options, and the defaults that do not contradict them."""
    left = dict(defaults)
    if any(key in own for key in CUTS):
        for key in (*CUTS, "depth", "min_size"):
            left.pop(key, None)
    if "metric" in own or own.get("precomputed"):
        left.pop("p", None)
    if str(own.get("metric")).lower() == GOWER:
        for key in NOT_OF_GOWER:
            left.pop(key, None)
    if own.get("precomputed"):
        for key in (*NOT_OF_DISTANCES, "metric"):
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
        """The job of the data set, with the options of ``machine`` in addition to its own."""
        options = dict(self.options)
        options.pop("name", None)
        key = options.pop("key", None)
        return Job(self.path if key is None else f"{self.path}:{key}", out, **{**machine, **options})
