"""Launches, operations on arrays, uploads and waits of calls of the CUDA backend, counted in Numba's simulator.

``NUMBA_ENABLE_CUDASIM=1 python -m benchmarks.launches`` counts rounds of ward. Every operation on a device array is
a launch: also an assignment, a copy, and each part of an expression. Memory comes from a pool, and is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from gpuclust.algorithms import rounds
from gpuclust.compute import compute
from gpuclust.kernels.cuda import boxes, halves, launch, screen
from gpuclust.kernels.cuda.summaries import Summaries

#: Names of kernels and operations, and how often each was launched.
counted: Counter[str] = Counter()
#: How many counted calls the current one is inside of.
_depth = 0


def _once(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, counted unless it is part of another one."""

    @wraps(call)
    def counting(*arguments: Any, **named: Any) -> Any:
        global _depth
        counted[name] += _depth == 0
        _depth += 1
        try:
            found = call(*arguments, **named)
        finally:
            _depth -= 1
        return found.view(Counted) if _depth == 0 and type(found) is np.ndarray else found

    return counting


class Counted(np.ndarray):
    """An array whose operations are counted."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        plain = [np.asarray(value) if isinstance(value, np.ndarray) else value for value in inputs]
        outputs = named.pop("out", ())
        if outputs:
            named["out"] = tuple(np.asarray(value) for value in outputs)
        found = _once(f"{ufunc.__name__} {method}", getattr(ufunc, method))(*plain, **named)
        return outputs[0] if outputs else found

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        return _once(function.__name__, super().__array_function__)(function, types, arguments, named)

    def __setitem__(self, key: Any, value: Any) -> None:
        _once("assignment", np.ndarray.__setitem__)(self, key, value)

    def __getitem__(self, key: Any) -> Any:
        whole = not any(isinstance(part, np.ndarray) for part in (key if isinstance(key, tuple) else (key,)))
        return super().__getitem__(key) if whole else _once("take", super().__getitem__)(key)

    def astype(self, *arguments: Any, **named: Any) -> Any:
        return _once("astype", super().astype)(*arguments, **named)

    def copy(self, *arguments: Any, **named: Any) -> Any:
        return _once("copy", super().copy)(*arguments, **named)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what is launched inside, by name; uploads are ``"upload"``, and waits for results ``"download"``."""
    assert launch.SIMULATED, "counted in the simulator: NUMBA_ENABLE_CUDASIM=1"
    empty, upload, download = launch.empty, launch.upload, launch.download
    kernel, lazy = launch.Kernel.__call__, launch._Lazy.__getattr__

    def array_function(self: Any, name: str) -> Any:
        found = lazy(self, name)
        return _once(name, found) if callable(found) and name != "empty" else found

    def launched(self: launch.Kernel, blocks: int, *arguments: Any) -> None:
        plain = [np.asarray(value) if isinstance(value, np.ndarray) else value for value in arguments]
        _once(self.name, kernel)(self, blocks, *plain)

    counted.clear()
    launch.empty = lambda *given: empty(*given).view(Counted)
    launch.upload = lambda array: array if isinstance(array, Counted) else _once("upload", upload)(array)
    launch.download = lambda *given: np.asarray(_once("download", download)(*given))
    launch.Kernel.__call__, launch._Lazy.__getattr__ = launched, array_function  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        launch.empty, launch.upload, launch.download = empty, upload, download
        launch.Kernel.__call__, launch._Lazy.__getattr__ = kernel, lazy  # type: ignore[method-assign]


def rounds_of_ward(n: int = 40, m: int = 8) -> list[Counter[str]]:
    """What each round of ward launches, with searches by products, where few rows are searched in many chunks."""
    found: list[Counter[str]] = []
    merge = Summaries.merge

    def merged(self: Summaries, *arguments: Any) -> None:
        with counting() as launches:
            merge(self, *arguments)
            found.append(Counter(launches))

    before = screen.FEWEST, halves.FEWEST, boxes.FEWEST, rounds.TAIL
    screen.FEWEST, halves.FEWEST, boxes.FEWEST, rounds.TAIL = 1, 1, 10**6, 16
    Summaries.merge = merged  # type: ignore[method-assign]
    try:
        X = np.random.default_rng(0).normal(size=(n, m))
        compute(X, "ward", device="cuda", algorithm="summaries")
    finally:
        Summaries.merge = merge  # type: ignore[method-assign]
        screen.FEWEST, halves.FEWEST, boxes.FEWEST, rounds.TAIL = before
    return found


if __name__ == "__main__":
    for launches in rounds_of_ward():
        waits = launches.pop("download")
        print(f"{launches.total()} launches, {waits} waits: {dict(launches.most_common())}")
