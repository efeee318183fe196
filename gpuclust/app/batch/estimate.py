"""Size of a data set and predicted cost of its linkage, from the header or the first lines of its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuclust.app.data.arrays import npy_header, npz_header
from gpuclust.app.data.files import COLUMNAR, OTHERS, TABLES, split_key, table_ending
from gpuclust.app.data.reading import Reading
from gpuclust.app.data.tables import table_shape
from gpuclust.app.job.job import Job
from gpuclust.app.options import READING
from gpuclust.core import devices
from gpuclust.core.triangle import count_of
from gpuclust.errors import DoesNotFit, GpuclustError
from gpuclust.plan import Plan, plan


@dataclass(frozen=True)
class Estimate:
    """Predicted memory and cost of a job.

    Attributes
    ----------
    plan : Plan or None
        None if the size is unknown; reading the file will raise the error.
    memory : int
        Bytes of host memory, including the input.
    cost : float
        Estimate of time, in arbitrary units, for the order of jobs.
    refusal : DoesNotFit or None
        The error, if the job exceeds the limit.
    """

    plan: Plan | None
    memory: int
    cost: float
    refusal: DoesNotFit | None = None

    @property
    def on_card(self) -> bool:
        return self.plan is not None and self.plan.device.on_gpu


UNKNOWN = Estimate(None, 0, 0.0)


def estimate(job: Job, limit: int) -> Estimate:
    """Plan a job within ``limit`` bytes; the size of a text table follows from its first lines and its length."""
    try:
        shape, held = _shape(job)
    except Exception:  # of many kinds; reading the file raises an error with a better message
        return UNKNOWN
    if len(shape) == 1 or job.precomputed or job.gower:
        n, m = shape[0] if len(shape) == 2 else count_of(shape[0]), None
        held += 4 * n * (n - 1) if job.gower else 0
    else:
        n, m = shape[::-1] if job.transpose else shape
        m = m if job.pca is None else job.pca
    if n < 2 or m == 0:
        return UNKNOWN
    try:
        chosen = None
        if job.device != "cpu" and devices.cards():
            chosen = plan(n, m, job.method, job.metric_of_linkage, job.dtype, job.device)
        if chosen is None or chosen.device == "cpu":
            device = job.device if chosen is None else "cpu"
            chosen = plan(n, m, job.method, job.metric_of_linkage, job.dtype, device, max(1, limit - held))
    except (GpuclustError, ValueError):
        return UNKNOWN
    cost = float(n) * n * (12 + (m or 0))
    on_card = chosen.device.on_gpu
    try:
        chosen.check()
    except DoesNotFit as error:
        return Estimate(chosen, held + chosen.memory, cost, error)
    return Estimate(chosen, held + (0 if on_card else chosen.memory), cost)


def _shape(job: Job) -> tuple[tuple[int, ...], int]:
    """Return the shape of the data, and their bytes in memory (0 if memory-mapped)."""
    path, key = split_key(job.data)
    name = path.name.lower()
    if name.endswith(".npy"):
        shape, dtype = npy_header(path)
        if len(shape) == 2:
            width = shape[1] if job.columns is None else len(job.columns)
            shape = (shape[0], max(0, width - len(job.exclude or ())))
        copied = any(name in READING or name == "precomputed" for name in job.given()) and len(shape) == 2
        return shape, int(np.prod(shape)) * dtype.itemsize if copied else 0
    if name.endswith(".npz"):
        shape, dtype = npz_header(path, key)
        return shape, int(np.prod(shape)) * dtype.itemsize
    if name.endswith(COLUMNAR):
        from gpuclust.app.data.columnar import columnar_shape

        shape = columnar_shape(path)
    else:
        separator = "," if name.endswith(OTHERS) else TABLES[table_ending(path) or ""]
        reading = Reading(
            job.columns, job.exclude, job.header, job.index, job.decimal, distances=job.precomputed, mixed=job.gower
        )
        shape = table_shape(path, separator, reading)
    return shape, int(np.prod(shape)) * 8
