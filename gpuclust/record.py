"""run.json: what a job was, what it found, and whether what lies in a folder is its complete result.

A result is identified by the content of the input and by the options that can change what is written; not by the
device, the memory or the number of threads, which change nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.errors import InputFileError
from gpuclust.files import DataSet, check_is_file, sha256_of, split_key
from gpuclust.output import atomic_write
from gpuclust.results import ELBOW_MERGES

if TYPE_CHECKING:
    from gpuclust.job import Job, Result

PACKAGES = ("gpuclust", "numpy", "numba", "llvmlite", "matplotlib", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")
#: Counts up when what is written for the same input and options changes: earlier results are then made anew.
RESULT_FORMAT = 2
#: Options that change nothing of a result.
_NO_MATTER = ("data", "out", "device", "memory_limit", "plots")
#: Sizes of clusters that are recorded, the first ones or the largest.
_MOST_SIZES = 1000


@dataclass(frozen=True)
class Source:
    """The input file of a job, as it was when its content was hashed."""

    path: Path
    sha256: str
    state: tuple[int, int, int]

    @classmethod
    def of(cls, job: Job) -> Source:
        """Hash the file.

        Raises
        ------
        InputFileError
            There is no such file, or it cannot be read.
        """
        path, _ = split_key(job.data)
        check_is_file(path)
        try:
            state = _state(path)
            return cls(path, sha256_of(path), state)
        except OSError as error:
            raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error

    def check_unchanged(self) -> None:
        """``InputFileError`` if the file has changed, or vanished, since it was hashed."""
        try:
            changed = _state(self.path) != self.state
        except OSError as error:
            raise InputFileError(f"{self.path}: vanished while it was being read ({error.strerror})") from error
        if changed:
            raise InputFileError(f"{self.path}: was changed while it was being read")


def _state(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def identity(job: Job, source: Source) -> str:
    """What tells a result from every other one: a hash of content, options and format."""
    options = {name: value for name, value in asdict(job).items() if name not in _NO_MATTER}
    text = json.dumps([RESULT_FORMAT, source.sha256, split_key(job.data)[1], options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """What run.json holds; None if there is none, or none of ours."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def complete_record(folder: Path, identity: str) -> dict[str, Any] | None:
    """The record of a result, if it is this one, and each of its files is there in full."""
    found = read_record(folder)
    if found is None or found.get("identity") != identity:
        return None
    sizes = found.get("bytes")
    if not isinstance(sizes, dict):
        return None
    try:
        whole = all(os.stat(folder / name).st_size == size for name, size in sizes.items())
    except OSError:
        return None
    return found if whole else None


def list_files(record: dict[str, Any], folder: Path, files: list[str]) -> None:
    """Put into a record which files there are beside it, and how long they are."""
    record["bytes"] = {name: os.stat(folder / name).st_size for name in files}
    record["files"] = [*files, "run.json"]


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """run.json: written last, it makes a result complete."""
    with atomic_write(folder / "run.json", "w") as file:
        file.write(json.dumps(record, indent=2, allow_nan=False) + "\n")


def describe(data: DataSet, given: str, n: int, source: Source) -> dict[str, Any]:
    """The input."""
    values = data.values
    return {
        "path": str(data.path.resolve()),
        "key": split_key(given)[1],
        "kind": "points" if values.ndim == 2 else "condensed distances",
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "n": n,
        "columns": data.columns,
        "read_as": data.how,
        "row_names": data.names is not None,
        "bytes": source.state[1],
        "sha256": source.sha256,
    }


def summary(result: Result) -> dict[str, Any]:
    """What was found, in numbers."""
    Z, labels = result.linkage.Z, result.labels
    sizes = None if labels is None else np.bincount(labels)[1:].tolist()
    return {
        "last_heights": Z[-ELBOW_MERGES:, 2].tolist(),
        "clusters": None if sizes is None else len(sizes),
        "cluster_sizes": sizes
        if sizes is None or len(sizes) <= _MOST_SIZES
        else sorted(sizes)[: -_MOST_SIZES - 1 : -1],
        "left_out": None if labels is None else int((labels == 0).sum()),
        "suggested_clusters": result.suggested,
    }


@cache
def version(package: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
