"""`Outcome` of one data set in a batch, and error.json, the record of a failure."""

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

from gpuclust.app.data.ownership import OutputRefused
from gpuclust.app.data.sealed import read_sealed, write_sealed
from gpuclust.app.job.job import Job
from gpuclust.app.job.results import read_labels
from gpuclust.app.options import recorded
from gpuclust.core.text import displayed
from gpuclust.errors import GpuclustError

ERROR = "error.json"
DONE, UNCHANGED, FAILED, NOT_RUN = "done", "unchanged", "failed", "not run"


@dataclass(frozen=True)
class Outcome:
    """Outcome of one data set.

    Attributes
    ----------
    index : int
        Position in the batch, from 0.
    name : str
    data : str
        Path as given.
    folder : Path
        Folder of the results.
    status : str
        ``"done"``, ``"unchanged"`` (complete from an earlier run), ``"failed"`` or ``"not run"`` (stopped before).
    record : dict
        Content of run.json; empty without a result.
    error, kind : str or None
        Message and class name of the error.
    seconds : float
        Seconds spent in this run.
    said : tuple of str
        Notes on files of an earlier result that were damaged or changed, and under which names they are kept.

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
        """Cluster of each row, shape (n,), from 1; of several cuts, by the first. None without a cut."""
        options = recorded(self.record["parameters"])
        return read_labels(self.folder, options.labels_format, next(iter(options.cuts))) if options.cuts else None


@dataclass(frozen=True)
class Failure:
    """An error as text, for another process and for error.json."""

    kind: str
    message: str
    trace: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure of an exception, with its traceback if it is unexpected."""
        message = displayed(" ".join(str(error).split()))
        if isinstance(error, MemoryError) and not isinstance(error, GpuclustError):
            return cls("MemoryError", f"out of memory{': ' + message if message else ''}")
        expected = isinstance(error, (GpuclustError, ValueError, OSError))
        trace = None if expected else "".join(traceback.format_exception(error))
        return cls(type(error).__name__, message or type(error).__name__, trace)


def write_error(job: Job, failure: Failure) -> None:
    """Write error.json into the folder of a job, if possible: the summary has the error too.

    A file of another origin is not replaced.
    """
    if failure.kind == OutputRefused.__name__ or (os.path.lexists(job.out / ERROR) and not _is_ours(job.out)):
        return
    record = {
        "error": failure.kind,
        "message": failure.message,
        "traceback": failure.trace,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        # Options may be infinite or NaN, which JSON does not have.
        "parameters": json.loads(json.dumps({**asdict(job), "out": str(job.out)}), parse_constant=str),
    }
    with contextlib.suppress(OSError):
        job.out.mkdir(parents=True, exist_ok=True)
        write_sealed(job.out / ERROR, record)


def forget_error(folder: Path) -> None:
    """Delete the error.json of an earlier run."""
    if os.path.lexists(folder / ERROR) and _is_ours(folder):
        with contextlib.suppress(OSError):
            (folder / ERROR).unlink()


def _is_ours(folder: Path) -> bool:
    found = read_sealed(folder / ERROR)
    return found is not None and "error" in found
