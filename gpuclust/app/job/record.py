"""run.json: what a job was, what it found, and whether what lies in a folder is its complete result.

It is sealed: it holds the SHA-256 of every file beside it, and of its own content. A result is identified by the
content of the input and by the options that can change what is written; not by the device, the memory or the number
of threads, which change nothing.
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

from gpuclust.app.data.files import DataSet, split_key
from gpuclust.app.data.opening import open_regular, sha256_of, sha256_of_open
from gpuclust.app.data.ownership import RECORD, hash_of, read_sealed
from gpuclust.app.job.results import ELBOW_MERGES, RESULTS
from gpuclust.errors import InputFileError

if TYPE_CHECKING:
    from gpuclust.app.job.job import Job, Result

PACKAGES = ("gpuclust", "numpy", "numba", "llvmlite", "matplotlib", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")
#: Counts up when what is written for the same input and options changes: earlier results are then made anew.
RESULT_FORMAT = 3
#: Options that change nothing of a result.
_NO_MATTER = ("data", "out", "device", "memory_limit", "plots", "overwrite")
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
        try:
            with open_regular(path) as file:
                state = _state(os.fstat(file.fileno()))
                return cls(path, sha256_of_open(file), state)
        except OSError as error:
            raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from error

    def check_unchanged(self) -> None:
        """``InputFileError`` if the file has changed, or vanished, since it was hashed."""
        try:
            changed = _state(os.stat(self.path)) != self.state
        except OSError as error:
            raise InputFileError(f"{self.path}: vanished while it was being read ({error.strerror})") from error
        if changed:
            raise InputFileError(f"{self.path}: was changed while it was being read")

    def check_content(self) -> None:
        """``InputFileError`` if the file that was hashed has another content by now.

        A file that has been removed or replaced by another one is none that could have changed: what was mapped into
        memory stays as it was.
        """
        try:
            if os.stat(self.path).st_ino != self.state[0]:
                return
        except OSError:
            return
        if sha256_of(self.path) != self.sha256:
            raise InputFileError(f"{self.path}: was changed while it was being read")


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def identity(job: Job, source: Source) -> str:
    """What tells a result from every other one: a hash of content, options and format."""
    options = {name: value for name, value in asdict(job).items() if name not in _NO_MATTER}
    text = json.dumps([RESULT_FORMAT, source.sha256, split_key(job.data)[1], options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """What run.json holds; None if there is none, or if it is not as it was written."""
    found = read_sealed(folder / RECORD)
    return found if found is not None and "identity" in found else None


def complete_record(folder: Path, identity: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The record of a result, if it is this one, and each of its files is as it was written.

    Otherwise None, and what is wrong, if it was a result of ours.
    """
    found = read_record(folder)
    if found is None:
        there = os.path.lexists(folder / RECORD)
        return None, ["run.json is damaged, or was changed"] if there else []
    if found["identity"] != identity:
        return None, []
    wrong = changed_files(folder, found)
    return (None if wrong else found), [f"{name} is damaged, or was changed" for name in wrong]


def changed_files(folder: Path, record: dict[str, Any]) -> list[str]:
    """Names of the files of a result that are missing, or not as they were written."""
    hashes = record.get("hashes", {})
    return [name for name, digest in hashes.items() if name not in RESULTS or hash_of(folder / name) != digest]


def list_files(record: dict[str, Any], folder: Path, hashes: dict[str, str]) -> None:
    """Put into a record which files there are beside it, how long they are, and their SHA-256."""
    record["bytes"] = {name: os.stat(folder / name).st_size for name in hashes}
    record["hashes"] = dict(hashes)
    record["files"] = [*hashes, RECORD]


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
