"""Linkages with inversions (centroid, median): one merge a step, over lower bounds of nearest-neighbour distances.

Their unions can be nearer to others than both parts were, so pairs cannot merge out of order: what is done is exactly
the greedy algorithm (Müllner 2011, Modern hierarchical, agglomerative clustering algorithms, section 3.1). The steps
are made inside one primitive of the backend; here the clusters that are left are moved together each time half of
them are gone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.core.backend import Generic
from gpuclust.core.merges import Merges
from gpuclust.errors import overflow

#: So few clusters are finished without moving them together again.
TAIL = 384
#: Merges between two reports are bounded by rows times clusters, so that Ctrl-C takes effect.
STEP = 200_000_000


def greedy(engine: Generic, n: int, report: Callable[[int], None]) -> Merges:
    """All merges, in greedy order, with squared heights. O(n²) time on most data, O(n³) at worst."""
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1, engine.dtype)
    scans = n
    done = 0
    while done < n - 1:
        live = n - done
        target = done + (live // 2 if live > TAIL else live - 1)
        while done < target:
            stop = min(target, done + max(1, STEP // (live * engine.width)))
            pairs[done:stop], heights[done:stop], rows = engine.merge(n + done, stop - done)
            if rows < 0:
                raise overflow(engine.dtype)
            scans += rows
            done = stop
            report(done)
        if done < n - 1:
            engine.compact()
    return Merges(pairs, heights, scans, monotone=False)
