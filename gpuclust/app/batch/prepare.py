"""From a list of data sets to tasks with plans: which device, how much memory, and what cannot be tried at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpuclust.algorithms import speed
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

#: With ``plots="auto"``, pictures are drawn for batches of at most so many data sets.
PICTURES_UP_TO = 200
PLOTS = ("auto", "all", "none")
#: Share of the available memory that jobs may take, and what a worker takes beside them.
_SHARE, _WORKER_BYTES = 0.9, 250 * 2**20


@dataclass(frozen=True)
class Settings:
    """How a batch is done, beside the options of its data sets."""

    workers: int | None = None
    memory_limit: int | str | None = None
    device: str = "auto"
    plots: str = "auto"
    reports: bool = True
    overwrite: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """``ValueError`` for what cannot be, `BackendUnavailable` for a device that cannot be used."""
        if self.plots not in PLOTS:
            raise ValueError(f"plots must be one of {', '.join(PLOTS)}, got {self.plots!r}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)
        lack = devices.missing() if Device(self.device).on_gpu else None
        if lack is not None:
            raise devices.unavailable(self.device, lack)

    @property
    def limit(self) -> int:
        """Bytes that all jobs together may take on the host."""
        if self.memory_limit is not None:
            return parse_bytes(self.memory_limit)
        workers = self.workers or speed.threads()
        return max(2**28, int(_SHARE * available_memory()) - workers * _WORKER_BYTES)


def prepare(
    named: Sequence[tuple[str, Entry]], out: Path, settings: Settings, folders: Folders | None = None
) -> tuple[list[Task], list[tuple[Outcome, Job]]]:
    """The tasks of a batch with their plans, and what cannot be tried at all."""
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
            found = estimate(job, limit)
            if found.refusal is not None:
                raise found.refusal
        except Exception as error:
            refused.append((failed(index, name, job, Failure.of(error)), job))
        else:
            tasks.append(Task(index, name, _placed(job, found, limit), found, _card(job, found)))
    return tasks, refused


def inputs_of(named: Sequence[tuple[str, Entry]], given: Iterable[Any] = ()) -> dict[Inode, str]:
    """The files that a batch reads: data sets, and manifests among what was given."""
    paths = [os.fspath(path) for path in given if isinstance(path, (str, os.PathLike))]
    return inodes([*paths, *(split_key(entry.path)[0] for _, entry in named)])


def _placed(job: Job, found: Estimate, limit: int) -> Job:
    """The job as a worker does it: each sees only its own device."""
    if found.on_card:
        return replace(job, device="cuda")
    return replace(job, device="cpu" if job.device == "auto" or found.plan else job.device, memory_limit=str(limit))


def _card(job: Job, found: Estimate) -> int | None:
    if not found.on_card:
        return None
    return Device(job.device).number if ":" in job.device else -1


def failed(index: int, name: str, job: Job, failure: Failure, seconds: float = 0.0) -> Outcome:
    """The outcome of a job that has failed."""
    return Outcome(index, name, job.data, job.out, FAILED, {}, failure.message, failure.kind, seconds)
