"""Ctrl-C takes effect within two seconds in every phase, and later calls work; progress during long passes."""

from __future__ import annotations

import ctypes
import gc
import json
import signal
import sys

import children
import numpy as np
import pytest

from gpuclust.compute import compute
from gpuclust.core import progress
from gpuclust.core.compiling import without_collections
from gpuclust.core.jit import compiled, run
from gpuclust.distance import pdist

#: For each phase: small, so that all is compiled (of a matrix with more than the 2,048 points of a square array),
#: then large, interrupted after so many seconds. Prints the phase and how long after the signal KeyboardInterrupt
#: came; None if the work was over before. That is in seconds by the clock or of processor time, whichever are fewer:
#: another program may take the processors for any time in between.
PROGRAM = """
import json, os, signal, sys, threading, time
import numpy as np
from gpuclust.distance import nearest_neighbors, pdist
from gpuclust.hierarchy import cophenet, cophenetic_correlation, inconsistent, optimal_leaf_ordering
from gpuclust.hierarchy.assemble import assemble
from gpuclust.core.clusters import Merges
from gpuclust.compute import compute

rng = np.random.default_rng(0)

def points(small, large, m):
    return lambda size: rng.random((large if size else small, m)) + 0.01

def zeros(n):
    return lambda size: np.zeros((n if size else 100) * ((n if size else 100) - 1) // 2)

def gaps(n):
    return lambda size: pdist(np.cumsum(1 + np.arange(n if size else 700) * 1e-3)[:, None])

def linkage(data, method, **options):
    return lambda size: (lambda y=data(size): compute(y, method, **options))

def edges(size):
    i = np.arange(1, 4_000_000 if size else 100)
    merges = Merges(np.stack((rng.integers(0, i), i), axis=1), rng.random(i.size), edges=True)
    return lambda: assemble(merges)

def tree(n):
    i = np.arange(1, n)
    return assemble(Merges(np.stack((rng.integers(0, i), i), axis=1), rng.random(i.size), edges=True))

def correlation(size):
    x = points(200, 30_000, 16)(size)
    Z = tree(len(x))
    return lambda: cophenetic_correlation(Z, x)

def ordering(size):
    y = pdist(points(50, 3000, 3)(size))
    Z = compute(y, "average").Z
    return lambda: optimal_leaf_ordering(Z, y)

PHASES = {
    "making points ready": linkage(points(100, 3000, 20_000), "ward", algorithm="stored"),
    "nearest neighbours": linkage(points(1100, 60_000, 130), "single", algorithm="spanning tree"),
    "kd-tree": linkage(points(20_000, 600_000, 3), "single", algorithm="spanning tree"),
    "lists of neighbours": linkage(points(1100, 60_000, 64), "complete"),
    "a matrix of points": linkage(points(2100, 9000, 500), "ward", algorithm="stored"),
    "a metric with logarithms": linkage(points(2100, 5000, 12), "average", metric="jensenshannon"),
    "pdist": lambda size: (lambda x=points(20, 5000, 300)(size): pdist(x, "jensenshannon")),
    "spanning tree of a matrix": linkage(zeros(16_000), "single"),
    "rounds": linkage(zeros(8000), "average"),
    "chain": linkage(gaps(8000), "average"),
    "generic": linkage(points(1100, 30_000, 50), "centroid", algorithm="generic"),
    "generic, stored": linkage(zeros(8000), "centroid"),
    "summaries": linkage(points(1100, 30_000, 100), "ward", algorithm="summaries"),
    "hybrid": linkage(points(1100, 20_000, 50), "average", algorithm="hybrid", memory_limit="80MB"),
    "assembling": edges,
    "leaf order": ordering,
    "screened boxes": linkage(points(1100, 60_000, 16), "single"),
    "screened boxes of many features": linkage(points(1100, 30_000, 64), "single"),
    "wide boxes": linkage(points(1100, 3000, 8000), "single"),
    "screened summaries": linkage(points(1100, 80_000, 16), "ward"),
    "screened neighbours": lambda size: (lambda x=points(1100, 80_000, 16)(size): nearest_neighbors(x, 10)),
    "cophenetic distances": lambda size: (lambda Z=tree(15_000 if size else 100): cophenet(Z)),
    "cophenetic correlation": correlation,
    "inconsistency": lambda size: (lambda Z=tree(1_000_000 if size else 100): inconsistent(Z, 40)),
}

def now():
    return np.array([time.perf_counter(), time.process_time()])

def kill(sent):
    sent.append(now())
    os.kill(os.getpid(), signal.SIGINT)

for name, phase in PHASES.items():
    phase(False)()
    work = phase(True)
    for delay in json.loads(sys.argv[1]):
        sent, late = [], None
        timer = threading.Timer(delay, kill, (sent,))
        try:
            try:
                timer.start()
                work()
                timer.cancel()
                timer.join()
            except KeyboardInterrupt:
                late = float((now() - sent[0]).min())
        except KeyboardInterrupt:  # between the end of the work and of the timer
            pass
        print(json.dumps([name, delay, late]), flush=True)
    del work
"""


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("delays", [(0.3,), pytest.param((0.1, 0.7, 2.0), marks=pytest.mark.sweep)])
def test_ctrl_c_is_heard_in_every_phase(delays):
    command = [sys.executable, "-c", PROGRAM, json.dumps(delays)]
    done = children.run(command, timeout=1400)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 24 * len(delays)
    assert [name for name, _, late in found if late is not None and late >= 2] == []
    stopped = {name for name, _, late in found if late is not None}
    assert len(stopped) >= 19, "most phases last long enough to be interrupted"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("after", ["nothing", "an error"])
def test_ctrl_c_while_llvm_calls_back_is_not_lost(monkeypatch, after):
    """No exception gets through a function of C; the compiler goes on, or fails for another reason."""
    interrupted = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))

    def compile(self, signature):
        interrupted()
        if after == "an error":
            raise RuntimeError("no compiled object yet")
        return original(self, signature)

    dispatcher = type(compiled(lambda x: x))
    original = dispatcher.compile
    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "compile", compile)
        kernel = compiled(lambda x: x + 1)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                kernel(1)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
    assert compiled(lambda x: x + 1)(1) == 2


def test_no_garbage_is_collected_while_a_kernel_compiles():
    """It is afterwards, also after an error; unless the caller has turned that off."""
    seen = []

    def compile(fails: bool) -> None:
        seen.append(gc.isenabled())
        if fails:
            raise RuntimeError("a kernel that cannot be compiled")

    assert gc.isenabled()
    without_collections(compile)(False)
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="cannot be compiled"):
        without_collections(compile)(True)
    assert gc.isenabled()
    assert seen == [False, False]
    gc.disable()
    try:
        without_collections(compile)(False)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_pass_is_told_of(monkeypatch):
    """The progress that a bar shows during a pass without merges, and the arguments of a function."""
    monkeypatch.setattr(progress, "INTERVAL", 0)
    X = np.random.default_rng(0).random((3000, 8))

    class Bar:
        shares: list[float] = []  # noqa: RUF012
        merges: list[tuple[int, int]] = []  # noqa: RUF012

        def __call__(self, done: int, total: int) -> None:
            self.merges.append((done, total))

        def passing(self, share: float) -> None:
            self.shares.append(share)

    compute(X, "complete", progress=Bar())
    assert min(Bar.shares) < 0.5
    assert max(Bar.shares) == 1
    assert Bar.merges[-1] == (2999, 2999)
    seen: list[int] = []
    compute(X, "complete", progress=lambda done, total: seen.append(done))
    assert seen[0] == 0
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert pdist(X).size  # no progress is reported any more
    assert progress._here.tell is None


def test_a_nested_pass_is_not_told_of():
    shares: list[float] = []
    with progress.reporter(lambda done, total: shares.append(done), 4) as report:
        progress._here.tell = shares.append
        run(lambda k: run(lambda j: None, [(1,), (2,)]), [(1,), (2,)], threads=False)
        report(4)
    assert shares[-1] == 4
    assert set(shares[:-1]) <= {0.5, 1.0}
