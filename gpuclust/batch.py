"""Many data sets, unattended: each gets a folder with a complete result, whatever happens to the others.

>>> from gpuclust import batch
>>> for outcome in batch.iterate(["a.npy", "runs/"], "out", method="ward", clusters=5):  # doctest: +SKIP
...     print(outcome.name, outcome.status, outcome.error)

====================  ================================================================================
run, iterate          do a batch: all outcomes, or one after the other as they come
Outcome               what came of one data set
====================  ================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust.app.batch.engine import iterate as iterate
    from gpuclust.app.batch.engine import run as run
    from gpuclust.app.batch.outcome import Outcome as Outcome

__all__ = export(__name__, {"gpuclust.app.batch.engine": "run iterate", "gpuclust.app.batch.outcome": "Outcome"})
