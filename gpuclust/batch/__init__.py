"""Many data sets, unattended: each gets a folder with a complete result, whatever happens to the others.

>>> from gpuclust import batch
>>> for outcome in batch.iterate(["a.npy", "runs/"], "out", method="ward", clusters=5):  # doctest: +SKIP
...     print(outcome.name, outcome.status, outcome.error)

====================  ================================================================================
run, iterate          do a batch: all outcomes, or one after the other as they come
Outcome               what came of one data set
====================  ================================================================================

How it is made: `inputs` and `manifest` find the data sets, `options` says what may be said of each, `estimate` and
`prepare` plan them, `schedule` decides which is next, `pool` and `worker` are the two ends of a worker process,
`engine` leads them, `lock` keeps others out, `summary` writes summary.csv and index.html, `log` tells about it,
`command` is the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.lazy import export

if TYPE_CHECKING:
    from gpuclust.batch.engine import iterate as iterate
    from gpuclust.batch.engine import run as run
    from gpuclust.batch.outcome import Outcome as Outcome

__all__ = export(__name__, {"gpuclust.batch.engine": "run iterate", "gpuclust.batch.outcome": "Outcome"})
