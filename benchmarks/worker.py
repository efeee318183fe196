"""One peer on one case, in a process of its own: ``python -m benchmarks.worker CASE PEER N M DIGEST``.

Prints JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.cases import CASES


def peak_memory() -> int:
    """Bytes; of this process only (``ru_maxrss`` would start from what the parent had)."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def main(name: str, peer: str, n: int, m: int, digest: str) -> None:
    case = CASES[name]
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
