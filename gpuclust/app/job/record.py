"""run.json, the record of a job: input, options and results, and the hashes that show whether it is complete.

It holds the SHA-256 of every result file, and of its own content. A result is identified by the content of the input
and by the options that change the results; device, memory and number of threads do not.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.app.data.data_set import DataSet
from gpuclust.app.data.files import split_key
from gpuclust.app.data.opening import open_regular, sha256_of, sha256_of_open
from gpuclust.app.data.ownership import RECORD
from gpuclust.app.data.remote import origin
from gpuclust.app.data.sealed import hash_of, read_sealed
from gpuclust.app.data.standard_input import shown
from gpuclust.app.job.results import RESULTS
from gpuclust.core.version import PACKAGES as COMPUTING
from gpuclust.core.version import package_version
from gpuclust.errors import InputFileError
from gpuclust.report.page import ELBOW_MERGES

if TYPE_CHECKING:
    from gpuclust.app.job.job import Job
    from gpuclust.app.job.runner import Result

#: Distributions whose versions run.json holds.
PACKAGES = ("gpuclust", "matplotlib", *(name for names in COMPUTING.values() for name in names))
version = package_version
#: Raised when results for the same input and options change: earlier results are then computed again.
RESULT_FORMAT = 4
#: Options that do not change the results.
_NO_MATTER = ("data", "out", "device", "memory_limit", "plots", "overwrite")
#: Largest number of cluster sizes that are recorded; of more clusters, the largest ones are.
_MOST_SIZES = 1000


@dataclass(frozen=True)
class Source:
    """The input file of a job: SHA-256 of its content, and its state when that was computed."""

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
        """Raise ``InputFileError`` if the file was modified or removed since it was hashed."""
        try:
            changed = _state(os.stat(self.path)) != self.state
        except OSError as error:
            raise InputFileError(f"{self.path}: vanished while it was being read ({error.strerror})") from error
        if changed:
            raise InputFileError(f"{self.path}: was changed while it was being read")

    def check_content(self) -> None:
        """Raise ``InputFileError`` if the content of the hashed file has changed.

        A file that was removed or replaced is not checked: the mapped memory of the old file does not change.
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
    """Return the hash of content, options and format that identifies a result."""
    options = {name: value for name, value in asdict(job).items() if name not in _NO_MATTER}
    text = json.dumps([RESULT_FORMAT, source.sha256, split_key(job.data)[1], options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read run.json; None if it is missing, damaged or changed."""
    found = read_sealed(folder / RECORD)
    return found if found is not None and "identity" in found else None


def complete_record(folder: Path, identity: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the record of the result with this identity, if all of its files are unchanged.

    Otherwise None, and a list of the files that are damaged or changed.
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
    """Return the names of the files of a result that are missing, damaged or changed."""
    hashes = record.get("hashes", {})
    return [name for name, digest in hashes.items() if name not in RESULTS or hash_of(folder / name) != digest]


def list_files(record: dict[str, Any], folder: Path, hashes: dict[str, str]) -> None:
    """Add to a record the names, sizes and SHA-256 of the files beside it."""
    record["bytes"] = {name: os.stat(folder / name).st_size for name in hashes}
    record["hashes"] = dict(hashes)
    record["files"] = [*hashes, RECORD]


def describe(data: DataSet, given: str, n: int, source: Source) -> dict[str, Any]:
    """Describe the input."""
    values, kind = data.values, "points" if data.values.ndim == 2 else "condensed distances"
    mixed = data.numbers is not None
    return {
        "path": origin(given) or shown(data.path.resolve()),
        "key": split_key(given)[1],
        "kind": "numbers and categories" if mixed else kind,
        "shape": [n, len(data.columns or ())] if mixed else list(values.shape),
        "dtype": str(values.dtype),
        "n": n,
        "columns": data.columns,
        "read_as": data.how,
        "row_names": data.names is not None,
        "bytes": source.state[1],
        "sha256": source.sha256,
    }


def summary(result: Result) -> dict[str, Any]:
    """Summarise the result in numbers."""
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
        "cuts": {title: len(np.unique(found[found > 0])) for title, found in result.cuts.items()},
    }
