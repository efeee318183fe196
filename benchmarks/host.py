"""The host's own work in a ward linkage on a GPU, timed without a GPU.

``python -m benchmarks.host [n m]`` prints CPU time. Answers of searches are recorded from the CPU's backend, and
played back by what stands for the device: its rounds do on the host what those of the CUDA backend do there
(`gpuclust.kernels.cuda.summaries`), copies for uploads and downloads included. Launches are left out; validation, the
plan, preparation and Z are not.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.compute import compute
from gpuclust.core.device import Device
from gpuclust.core.first_call import compiling
from gpuclust.core.memory import available_memory
from gpuclust.core.methods import Method
from gpuclust.core.points import Points
from gpuclust.kernels.cpu.backend import CpuBackend
from gpuclust.kernels.cpu.clusters.summaries import Summaries
from gpuclust.kernels.cuda.summary_rows import after_round, rows_of

#: Number of timed runs.
RUNS = 30
Answer = tuple[Any, ...]


class Recorded(Summaries):
    """Searches of the CPU, whose answers are kept."""

    answers: list[Answer]

    def __init__(self, points: Points, method: Method, size: np.ndarray) -> None:
        super().__init__(points, method, size)
        self.answers = []
        self._note()

    def _note(self) -> None:
        self.answers.append((self.nearest.copy(), self.distance.copy(), self.scanned))

    def merge(self, *arguments: Any) -> None:
        super().merge(*arguments)
        self._note()

    def chain(self, method: Method, size: np.ndarray, ids: np.ndarray, *others: Any) -> Any:
        made = super().chain(method, size, ids, *others)
        self.answers.append((made, size.copy(), ids.copy()))
        return made


class Played:
    """In place of a device: nothing is searched."""

    #: Page-locked memory that there is already.
    staged = np.zeros(2**24, np.uint8)

    def __init__(self, answers: list[Answer], points: Points, size: np.ndarray) -> None:
        self.answers, self.at = answers, 0
        self.n, self.width = points.n, len(points.features)
        self.order: np.ndarray | None = np.arange(self.n)
        available_memory()  # for the plan's fallback on the CPU
        self._upload(points.features, size)
        self._answer()

    def _upload(self, *arrays: np.ndarray) -> None:
        """What CuPy does, or the driver: copies to page-locked memory."""
        for array in arrays:
            given = array.reshape(-1).view(np.uint8)
            for begin in range(0, given.size, self.staged.size):
                some = given[begin : begin + self.staged.size]
                self.staged[: some.size] = some

    def _next(self) -> Answer:
        self.at += 1
        return self.answers[self.at - 1]

    def _answer(self) -> None:
        nearest, distance, self.scanned = self._next()
        self.nearest, self.distance = nearest.copy(), distance.copy()  # as downloaded

    def merge(
        self,
        method: Method,
        first: np.ndarray,
        second: np.ndarray,
        between: np.ndarray,
        size: np.ndarray,
        new_size: np.ndarray,
        new_id: np.ndarray,
    ) -> None:
        if self.order is None:
            self.order = first[np.argsort(new_id, kind="stable")]
        whole, _ = after_round(first, second, new_size, self.nearest, self.order)
        self.n, self.order = first.size, rows_of(whole.parts).order
        self._upload(whole.parts[0].base)
        self._answer()

    def chain(self, method: Method, size: np.ndarray, ids: np.ndarray, *others: Any) -> Any:
        self.order = None
        made, size[:], ids[:] = self._next()
        return made


class Host(CpuBackend):
    """A GPU's backend of which the host's part runs."""

    name = Device("cuda")

    def __init__(self, recorded: Recorded | None = None) -> None:
        self.recorded = recorded

    def summarise(self, points: Points, method: Method, size: np.ndarray) -> Any:
        if self.recorded is None:
            self.recorded = Recorded(points, method, size)
            return self.recorded
        return Played(self.recorded.answers, points, size)


def of_ward(n: int = 20_000, m: int = 32) -> Callable[[], np.ndarray]:
    """A ward linkage of normally distributed points of which only the host's part runs."""
    X = np.random.default_rng(0).normal(size=(n, m))
    backend = Host()

    def run() -> np.ndarray:
        return compute(X, "ward", device="cpu", algorithm="summaries", backend=backend).Z

    expected = run()
    assert np.array_equal(run(), expected)
    return run


def main(n: int = 20_000, m: int = 32) -> None:
    with compiling():
        run = of_ward(n, m)
        seconds = []
        for _ in range(RUNS):
            begun = time.process_time()
            run()
            seconds.append(time.process_time() - begun)
        least, middle = min(seconds) * 1e3, np.median(seconds) * 1e3
        print(f"ward {n:,} x {m}: {least:.1f} ms of the host's CPU, median {middle:.1f}")
        profile = cProfile.Profile(time.process_time)
        profile.runcall(run)
        pstats.Stats(profile).sort_stats("cumtime").print_stats("gpuclust|host", 30)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
