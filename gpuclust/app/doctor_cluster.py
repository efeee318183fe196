"""``gpuclust doctor --scheduler``: versions, devices and results of every worker of a Dask cluster."""

from __future__ import annotations

import json
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.app.terminal import console
from gpuclust.core.jit import one_thread
from gpuclust.core.memory import format_bytes
from gpuclust.core.version import __version__
from gpuclust.linkage import linkage

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds for the scheduler to answer, and for all workers to do the small job, with compilation.
REACH, DEADLINE = 20, 300
#: Linkages of the small job: through neighbour lists, all distances, summaries, and a matrix.
JOBS = (("single", "euclidean"), ("single", "cityblock"), ("ward", "euclidean"), ("average", "euclidean"))


def examined() -> dict[str, Any]:
    """Facts about this process, and hashes of the linkages of a small job."""
    from gpuclust.core import devices
    from gpuclust.dask.checkpoint import digest

    lacks = [lack.what for lack in devices.lacks()]
    rows = np.random.default_rng(8).normal(size=(1200, 8))
    with one_thread():
        found = {f"{method} {metric}": digest(linkage(rows, method, metric, device="cpu")) for method, metric in JOBS}
    return {
        "gpuclust": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gpus": [] if lacks else [card.name for card in devices.cards()],
        "bits": found,
    }


def examine(address: str) -> dict[str, Any]:
    """Facts about each worker, and what is wrong with it."""
    from gpuclust.dask.connection import connect, reaching, result, workers_of

    ours = examined()
    with connect(address, timeout=REACH) as client:
        workers = workers_of(client)
        # Tasks rather than `Client.run`, which blocks a worker; each is for one worker only.
        options = {"allow_other_workers": False, "pure": False}
        with reaching(client):
            futures = {name: client.submit(examined, workers=[name], **options) for name in workers}
        found, until = {}, time.monotonic() + DEADLINE
        for name, future in futures.items():
            try:
                facts = result(client, future, max(1.0, until - time.monotonic()))
                wrong = [
                    f"{what} is {facts[what]}, here {ours[what]}"
                    for what in ("gpuclust",)
                    if facts[what] != ours[what]
                ]
                wrong += [f"other bits: {job}" for job, bits in facts["bits"].items() if bits != ours["bits"][job]]
            except Exception as error:  # of a worker's environment: anything
                if client.status != "running":
                    raise
                facts, wrong = {}, [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"]
            found[name] = {
                **facts,
                "threads": workers[name]["nthreads"],
                "memory_limit": workers[name]["memory_limit"],
                "wrong": wrong,
            }
    return {"scheduler": address, "workers": found, "ok": bool(found) and not any(w["wrong"] for w in found.values())}


def run(address: str, as_json: bool = False, screen: Console | None = None) -> bool:
    """Examine the workers, print a report, and return whether there are some and all are well."""
    screen = screen or console()
    report = examine(address)
    if as_json:
        print(json.dumps(report, indent=2), file=screen.file)
        return bool(report["ok"])
    for name, facts in report["workers"].items():
        memory = format_bytes(facts["memory_limit"]) if facts["memory_limit"] else "no limit"
        known = f"gpuclust {facts['gpuclust']}, Python {facts['python']}, " if "python" in facts else ""
        gpus = ", ".join(facts.get("gpus", [])) or "no GPU"
        screen.print(f"{name}: {known}{facts['threads']} threads, {memory}, {gpus}", markup=False)
        for problem in facts["wrong"]:
            screen.print(f"  {problem}", markup=False)
    bad = sum(bool(facts["wrong"]) for facts in report["workers"].values())
    screen.print(f"{len(report['workers'])} workers, {bad} of them with problems.")
    return bool(report["ok"])
