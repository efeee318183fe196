"""Run one peer on one case: ``python -m benchmarks.worker CASE PEER N M BUDGET DIGEST``; prints JSON.

The JSON holds the seconds of each repeat, the bytes of the input, the most resident memory above that at the start of
a call, and of our searches by products the numbers of `gpuclust.kernels.cpu.space.products.Counts`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks import cases, pairs, scale
from gpuclust.core.memory import forget_peak, peak_memory

CASES = {**cases.CASES, **scale.CASES, **pairs.CASES}
#: Observations of the warm-up call: gpuclust loads its kernels, other programs only import.
WARM_OURS, WARM = 6000, 200
MOST, LEAST = 5, 3
#: Bytes of an input from which memory is touched before anything is timed.
LARGE = 2**28


def measured(name: str, peer: str, n: int, m: int, budget: float) -> dict[str, Any]:
    """Seconds of each repeat, memory, and the digest of the result."""
    case, ours = CASES[name], peer.startswith("gpuclust")
    call = case.peers[peer]()
    counts = _counted() if ours and case.group == "wide" else []
    call(case.make(min(WARM_OURS if ours else WARM, n), m))
    data = case.make(n, m)
    size = sum(part.nbytes for part in (data if isinstance(data, tuple) else (data,)))
    if size > LARGE:
        np.ones(size * 5 // 32)  # a virtual machine gets its memory from the host before, not while, it is timed
    taken: list[float] = []
    memory, compiled = 0, _compiled()
    while not _enough(taken, budget):
        given, result = (data.copy() if peer in case.copied else data), None
        counts.clear()
        compiled.clear()
        forget_peak()
        before = peak_memory() or 0
        started = time.perf_counter()
        for _ in range(case.calls):
            result = call(given)
        if compiled:  # kernels that the warm-up did not need
            continue
        taken.append(time.perf_counter() - started)
        memory = max(memory, (peak_memory() or 0) - before)
    if case.tied:
        verify(case, call, n, m)
    found: dict[str, Any] = {"seconds": [each / case.calls for each in taken], "memory": memory, "input": size}
    found["searched"] = np.sum(counts, axis=0).tolist() if counts else None
    return found | {"digest": None if result is None else case.digest(result)}


def main(name: str, peer: str, n: int, m: int, budget: float, digest: str) -> None:
    found = measured(name, peer, n, m, budget)
    np.save(digest, found.pop("digest"))
    print(json.dumps(found))


def _enough(taken: list[float], budget: float) -> bool:
    """Whether there were `MOST` repeats, or the budget is spent and there were `LEAST` or one exceeds it."""
    if not taken or len(taken) == MOST:
        return bool(taken)
    return sum(taken) >= budget and (len(taken) >= LEAST or taken[-1] >= budget)


def _compiled() -> list[Any]:
    """The list to which Numba's compilations in this process are appended."""
    if "numba" not in sys.modules:
        return []
    from numba.core import event

    recorder = event.RecordingListener()
    event.register("numba:compile", recorder)
    return recorder.buffer


def _counted() -> list[Any]:
    """The list to which the counts of searches by products are appended."""
    from gpuclust.kernels.cpu.space import products

    found: list[Any] = []
    products.OBSERVERS.append(found.append)
    return found


def verify(case: cases.Case, call: cases.Call, n: int, m: int) -> None:
    """Raise AssertionError unless each merge of the first points is one of a closest pair."""
    from replay import replay
    from scipy.spatial.distance import pdist, squareform

    X = case.make(min(n, 300), m)
    replay(call(X), squareform(pdist(X, "jaccard" if X.dtype == bool else "euclidean")), case.tied)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
