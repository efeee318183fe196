"""Run one peer on one case: ``python -m benchmarks.worker CASE PEER N M DIGEST``; prints JSON."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks import cases, scale
from gpuclust.core.memory import peak_memory


def main(name: str, peer: str, n: int, m: int, digest: str) -> None:
    case = {**cases.CASES, **scale.CASES}[name]
    call = case.peers[peer]()
    call(case.make(min(case.warm, n), m))
    data = case.make(n, m)
    best = float("inf")
    for _ in range(case.repeat):
        started = time.perf_counter()
        for _ in range(case.calls):
            result = call(data)
        best = min(best, (time.perf_counter() - started) / case.calls)
    np.save(digest, case.digest(result))
    print(json.dumps({"seconds": best, "memory": peak_memory()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
