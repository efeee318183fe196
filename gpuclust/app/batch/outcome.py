"""What came of one data set, and error.json, the record of a failure."""

from __future__ import annotations

import contextlib
import json
import os
import traceback
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.ownership import OutputRefused, read_sealed, write_sealed
from gpuclust.app.job.job import Job
from gpuclust.app.job.results import read_labels
from gpuclust.app.options import recorded
from gpuclust.core.text import displayed
from gpuclust.errors import GpuclustError

ERROR = "error.json"
DONE, UNCHANGED, FAILED, NOT_RUN = "done", "unchanged", "failed", "not run"


@dataclass(frozen=True)
class Outcome:
    """What came of one data set.

    Attributes
    ----------
    index : int
        Its place in the batch, from 0.
    name : str
    data : str
        Its path, as it was given.
    folder : Path
        Where its results are.
    status : str
        ``"done"``, ``"unchanged"`` (complete from an earlier run), ``"failed"`` or ``"not run"`` (stopped before).
    record : dict
        What run.json holds, if there is a result; else empty.
    error, kind : str or None
        What went wrong, and the class of the error.
    seconds : float
        Spent on it this time.
    said : tuple of str
        What was found damaged or changed of an earlier result, and what became of it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gpuclust.batch import Outcome
    >>> outcome = Outcome(0, "iris", "iris.csv", Path("out/iris"), "failed", error="no such file")
    >>> outcome.ok
    False
    """

    index: int
    name: str
    data: str
    folder: Path
    status: str
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    error: str | None = None
    kind: str | None = None
    seconds: float = 0.0
    said: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status in (DONE, UNCHANGED)

    @property
    def Z(self) -> NDArray[np.float64]:
        """The linkage matrix, shape (n - 1, 4), memory-mapped."""
        mapped: NDArray[np.float64] = np.load(self.folder / "Z.npy", mmap_mode="r")
        return mapped

    @property
    def labels(self) -> NDArray[Any] | None:
        """Cluster of each row, shape (n,), from 1; None without a cut."""
        if recorded(self.record["parameters"]).cut is None:
            return None
        return read_labels(self.folder, self.record["parameters"]["labels_format"])


@dataclass(frozen=True)
class Failure:
    """An error, in words that can be sent to another process and kept in a file."""

    kind: str
    message: str
    trace: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """An expected error by its message; any other one with where it was raised."""
        message = displayed(" ".join(str(error).split()))
        if isinstance(error, MemoryError) and not isinstance(error, GpuclustError):
            return cls("MemoryError", f"out of memory{': ' + message if message else ''}")
        expected = isinstance(error, (GpuclustError, ValueError, OSError))
        trace = None if expected else "".join(traceback.format_exception(error))
        return cls(type(error).__name__, message or type(error).__name__, trace)


def write_error(job: Job, failure: Failure) -> None:
    """error.json in the folder of a job; nothing where that cannot be written: the summary has the error too.

    Nor where something of the user's is in the way.
    """
    if failure.kind == OutputRefused.__name__ or (os.path.lexists(job.out / ERROR) and not _is_ours(job.out)):
        return
    record = {
        "error": failure.kind,
        "message": failure.message,
        "traceback": failure.trace,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        # Options may be numbers that are none in JSON.
        "parameters": json.loads(json.dumps({**asdict(job), "out": str(job.out)}), parse_constant=str),
    }
    with contextlib.suppress(OSError):
        job.out.mkdir(parents=True, exist_ok=True)
        write_sealed(job.out / ERROR, record)


def forget_error(folder: Path) -> None:
    """Delete error.json of an earlier attempt."""
    if os.path.lexists(folder / ERROR) and _is_ours(folder):
        with contextlib.suppress(OSError):
            (folder / ERROR).unlink()


def _is_ours(folder: Path) -> bool:
    found = read_sealed(folder / ERROR)
    return found is not None and "error" in found
