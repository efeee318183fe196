"""Plan the data sets of a batch: device and memory of each, and those that are refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpuclust.algorithms import costs
from gpuclust.app.batch.entry import Entry
from gpuclust.app.batch.estimate import Estimate, estimate
from gpuclust.app.batch.folders import Folders
from gpuclust.app.batch.outcome import FAILED, Failure, Outcome
from gpuclust.app.batch.schedule import Task
from gpuclust.app.data.files import split_key
from gpuclust.app.data.ownership import Inode, inodes
from gpuclust.app.job.job import Job
from gpuclust.core import devices
from gpuclust.core.device import Device
from gpuclust.core.memory import available_memory, parse_bytes

#: Largest number of data sets for which ``plots="auto"`` draws pictures.
PICTURES_UP_TO = 200
PLOTS = ("auto", "all", "none")
#: Share of the available memory that jobs may use, and bytes of a worker without a job.
_SHARE, _WORKER_BYTES = 0.9, 250 * 2**20


@dataclass(frozen=True)
class Settings:
    """Options of a batch, as opposed to those of its data sets."""

    workers: int | None = None
    memory_limit: int | str | None = None
    device: str = "auto"
    plots: str = "auto"
    reports: bool = True
    overwrite: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    cluster: bool = False

    def check(self) -> None:
        """Raise ``ValueError`` for an invalid option, `BackendUnavailable` for a device that cannot be used."""
        if self.plots not in PLOTS:
            raise ValueError(f"plots must be one of {', '.join(PLOTS)}, got {self.plots!r}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)
        lack = devices.missing() if Device(self.device).on_gpu and not self.cluster else None
        if lack is not None:
            raise devices.unavailable(self.device, lack)

    @property
    def limit_of_all(self) -> int:
        """Bytes of memory that the running jobs together may use: workers of a cluster have each their own."""
        return 2**62 if self.cluster else self.limit

    @property
    def limit(self) -> int:
        """Bytes of host memory that a job may use; all jobs together, except on a cluster."""
        if self.memory_limit is not None:
            return parse_bytes(self.memory_limit)
        workers = self.workers or costs.threads()
        return max(2**28, int(_SHARE * available_memory()) - workers * _WORKER_BYTES)


def prepare(
    named: Sequence[tuple[str, Entry]], out: Path, settings: Settings, folders: Folders | None = None
) -> tuple[list[Task], list[tuple[Outcome, Job]]]:
    """Return the planned tasks of a batch, and the outcomes of data sets that are refused."""
    folders = folders or Folders(out, overwrite=settings.overwrite, inputs=inputs_of(named))
    limit = settings.limit
    few = len(named) <= PICTURES_UP_TO
    plots = settings.plots == "all" or (settings.plots == "auto" and few)
    machine = {"device": settings.device, "plots": plots, "report": settings.reports}
    machine["overwrite"] = settings.overwrite
    tasks, refused = [], []
    for index, (name, entry) in enumerate(named):
        job = Job(entry.path, out / name)
        try:
            job = entry.job(out / name, **machine)
            job.check()
            folders.check(name)
            found = estimate(replace(job, device="cpu") if settings.cluster else job, limit)
            if found.refusal is not None:
                raise found.refusal
        except Exception as error:
            refused.append((failed(index, name, job, Failure.of(error)), job))
        else:
            placed = replace(job, memory_limit=str(limit)) if settings.cluster else _placed(job, found, limit)
            tasks.append(Task(index, name, placed, found, _card(job, found)))
    return tasks, refused


def inputs_of(named: Sequence[tuple[str, Entry]], given: Iterable[Any] = ()) -> dict[Inode, str]:
    """Return the files that a batch reads: data sets, and manifests among ``given``."""
    paths = [os.fspath(path) for path in given if isinstance(path, (str, os.PathLike))]
    return inodes([*paths, *(split_key(entry.path)[0] for _, entry in named)])


def _placed(job: Job, found: Estimate, limit: int) -> Job:
    """Return the job with the device that its worker sees: a worker for a GPU sees only that one."""
    if found.on_card:
        return replace(job, device="cuda")
    return replace(job, device="cpu" if job.device == "auto" or found.plan else job.device, memory_limit=str(limit))


def _card(job: Job, found: Estimate) -> int | None:
    if not found.on_card:
        return None
    return Device(job.device).number if ":" in job.device else -1


def failed(index: int, name: str, job: Job, failure: Failure, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a failed job."""
    return Outcome(index, name, job.data, job.out, FAILED, {}, failure.message, failure.kind, seconds)
