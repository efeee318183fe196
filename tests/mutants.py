"""Mutation test of the CPU's kernels: planted bugs that the fuzzer must find (``make test-mutants``).

Each mutant changes one place of a kernel: a margin is dropped, a comparison of ties turned, a stale entry kept.
Kernels run as plain Python (`interpreted.py`), in a child process for each mutant, on seeds of the fuzzer until
one fails. With ``--compiled`` they are compiled, from a copy of the package that is changed, and more seeds and the
tests of `COMPILED` are run. What survives is a missing test, or is listed as equivalent with the reason::

    python tests/mutants.py                    # all
    python tests/mutants.py --only tree_knn    # those with this in the name or the file
    python tests/mutants.py --compiled --only tree_knn
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import importlib.util
import io
import itertools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mutants_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[1]
#: Which methods of the fuzzer reach a file: the beginning of its name, the longest first.
REACHED_BY = {
    "gpuclust/algorithms/candidates": ("clusters", "complete", "average", "weighted"),
    "gpuclust/algorithms/equal": ("complete", "average", "weighted", "ward"),
    "gpuclust/algorithms/greedy": ("centroid", "median"),
    "gpuclust/core/matrix_free": ("complete", "average", "weighted"),
    "gpuclust/core/component_search": ("single",),
    "gpuclust/algorithms/boruvka": ("single",),
    "gpuclust/algorithms/rounds": ("ward", "complete", "average", "weighted"),
    "gpuclust/algorithms/unions": ("ward", "complete", "average", "weighted"),
    "gpuclust/hierarchy/assemble": ("average", "ward", "single"),
    "kernels/cpu/clusters/candidates": ("clusters", "complete", "average"),
    "kernels/cpu/matrix/chain": ("ward", "complete", "average", "weighted"),
    "kernels/cpu/clusters/cluster_search": ("clusters", "complete", "average"),
    "kernels/cpu/clusters/cluster_tree": ("clusters", "complete", "average", "weighted"),
    "kernels/cpu/clusters/hull": ("clusters", "complete"),
    "kernels/cpu/matrix/fill": ("clusters", "complete", "ward", "average"),
    "kernels/cpu/clusters/greedy": ("centroid", "median"),
    "kernels/cpu/space/kdtree": ("neighbours", "single", "clusters"),
    "kernels/cpu/points/knn": ("neighbours", "complete"),
    "kernels/cpu/points/nearest": ("single",),
    "kernels/cpu/points/boruvka": ("single",),
    "kernels/cpu/space/rounded": ("centroid", "median"),
    "kernels/cpu/matrix/rounds": ("ward", "complete", "average", "weighted"),
    "kernels/cpu/clusters/screen_pairs": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/points/index": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/space/boxes": ("ward", "average", "weighted"),
    "kernels/cpu/space/removal": ("ward", "average", "weighted"),
    "kernels/cpu/space/screen": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/space/products": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/space/strips": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/clusters/product": ("neighbours", "single", "ward", "average"),
    "kernels/cpu/points/angles": ("neighbours", "single", "complete"),
    "kernels/cpu/matrix/components": ("single",),
    "kernels/cpu/matrix/prim": ("single",),
    "kernels/cpu/matrix/square": ("ward", "complete", "average", "weighted"),
    "kernels/cpu/matrix/stored": ("clusters", "ward", "complete"),
    "kernels/cpu/matrix/minima": ("ward", "complete", "average", "centroid"),
    "kernels/cpu/clusters/stored": ("ward", "average", "weighted"),
    "kernels/cpu/clusters/summar": ("ward", "average", "weighted"),
    "kernels/cpu/matrix/tiles": ("ward", "complete", "centroid"),
    "kernels/cpu/points/tree_knn": ("neighbours", "single"),
    "kernels/cpu/points/tree_boruvka": ("single",),
    "kernels/cpu/points/component_edges": ("single",),
    "kernels/cpu/points/tree_points": ("neighbours", "single"),
}
#: Tests of bounds, without pytest, that are tried before any seed: the beginning of a file's name, and test modules.
TESTS = {
    "gpuclust/algorithms/candidates": "test_candidates",
    "kernels/cpu/clusters/cluster_tree": "test_tree_bounds",
    "kernels/cpu/clusters/hull": "test_tree_bounds",
    "kernels/cpu/clusters/screen_pairs": "test_screen_bounds",
    "kernels/cpu/points/index": "test_screen_bounds",
    "kernels/cpu/space/screen": "test_screen_bounds",
    "kernels/cpu/space/products": "test_product_bounds",
    "kernels/cpu/space/strips": "test_product_bounds",
    "kernels/cpu/points/tree_knn": "test_tree_bounds",
}
#: Modules of tests that are run with ``--compiled``: the beginning of a file's name, the longest first.
COMPILED = {
    "gpuclust/algorithms/candidates": ("candidates", "cluster_tree", "hybrid"),
    "gpuclust/algorithms/equal": ("equal", "order_of_ties"),
    "gpuclust/algorithms/greedy": ("generic_exact", "generic_tree", "offsets"),
    "gpuclust/core/matrix_free": ("algorithms", "order_of_ties"),
    "gpuclust/core/component_search": ("outgoing", "order_of_ties"),
    "gpuclust/algorithms/boruvka": ("outgoing", "order_of_ties"),
    "gpuclust/algorithms/rounds": ("algorithms", "hybrid", "order_of_ties"),
    "gpuclust/algorithms/unions": ("unions", "algorithms", "hybrid", "order_of_ties"),
    "gpuclust/hierarchy": ("disjoint_set", "order_of_ties", "algorithms"),
    "kernels/cpu/clusters": ("candidates", "cluster_tree", "screen_bounds", "tree_bounds", "order_of_ties"),
    "kernels/cpu/clusters/greedy": ("generic_exact", "generic_tree", "offsets", "order_of_ties"),
    "kernels/cpu/clusters/product": ("products", "product_bounds"),
    "kernels/cpu/clusters/stored": ("stored_squares",),
    "kernels/cpu/clusters/summar": (
        "stored_squares",
        "summaries",
        "summaries_exact",
        "offsets",
        "outliers",
        "order_of_ties",
    ),
    "kernels/cpu/matrix": ("algorithms", "order_of_ties", "hybrid", "backends", "first_call", "given"),
    "kernels/cpu/points": (
        "products",
        "neighbors",
        "outgoing",
        "screen_bounds",
        "tree_bounds",
        "scans",
        "order_of_ties",
    ),
    "kernels/cpu/space": (
        "kdtree",
        "rounded",
        "neighbors",
        "screen_bounds",
        "product_bounds",
        "products",
        "tree_bounds",
        "summaries_exact",
        "outliers",
    ),
}
#: Seeds of the fuzzer for each method with ``--compiled``.
COMPILED_SEEDS = 150
#: Seconds of CPU time that a case takes at most; what takes longer runs for ever.
A_CASE = 10
#: Seeds of each method and kind of points (None: any): a few first, and many for what survives.
FEW: dict[str | None, int] = {"lattice": 12, "nearly a lattice": 12, "one place of ulps": 8, None: 30}
MANY: dict[str | None, int] = {None: 1000} | dict.fromkeys(
    ("ulps", "one place of ulps", "lattice", "nearly a lattice", "decimals", "hub", "duplicates", "offset", "groups"),
    150,
)


def methods_for(file: str) -> tuple[str, ...]:
    return REACHED_BY[longest(REACHED_BY, file)]


def longest(table: Iterable[str], file: str) -> str:
    """The longest beginning of a file's name in a table."""
    return max((start for start in table if file.startswith(start)), key=len)


class Finder:
    """Imports one module from a changed text."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = ROOT / mutant.file
        self.name = "gpuclust." + mutant.file.removesuffix(".py").removeprefix("gpuclust/").replace("/", ".")
        text = self.path.read_text()
        if text.count(mutant.old) != 1:
            raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}, not once")
        self.code = compile(text.replace(mutant.old, mutant.new), str(self.path), "exec")

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=Loader(name, self.path, self.code))


class Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def failures(
    mutant: Mutant | None, plan: Sequence[tuple[str, str | None, int]], skip: set[Any], stop: bool
) -> list[Any]:
    """The cases that fail, (method, kind, seed) and what is wrong; only the first with ``stop``. In this process."""
    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    import fuzz_cases
    import fuzzing
    import interpreted

    interpreted.install()
    found: list[Any] = []
    if mutant is not None:
        found += tests_that_fail(mutant)
        if found:
            return found
    for method, kind, count in plan:
        for seed in range(count):
            if (method, kind, seed) in skip:
                continue
            signal.setitimer(signal.ITIMER_PROF, A_CASE)
            signal.alarm(100 * A_CASE)  # where it waits for ever
            case = fuzz_cases.draw(seed, True, {"method": method, "kind": kind})
            wrong = fuzzing.failure(case)
            if wrong is not None:
                found.append(((method, kind, seed), f"{case}: {wrong.splitlines()[-1].strip()}"))
                if stop:
                    return found
    return found


def tests_that_fail(mutant: Mutant) -> list[Any]:
    """Of `TESTS`, with every combination of their parameters."""
    for start, module in TESTS.items():
        if not mutant.file.startswith(start):
            continue
        tests = importlib.import_module(module)
        for name, test in vars(tests).items():
            marks = {mark.args[0]: mark.args[1] for mark in getattr(test, "pytestmark", [])}
            if name.startswith("test_"):
                for values in itertools.product(*marks.values()):
                    try:
                        test(**dict(zip(marks, values, strict=True)))
                    except AssertionError:
                        return [(None, f"{module}.{name}{values}")]
    return []


def in_child(*arguments: Any) -> list[Any]:
    """`failures` in a child process, which has imported no kernel; a time limit counts as a failure."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with redirect_stdout(io.StringIO()):
            try:
                found = failures(*arguments)
            except Exception as error:
                found = [(None, f"import or set-up failed: {error!r}")]
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not data:
        return [(None, f"ended by signal {os.WTERMSIG(status)}, or runs for ever")]
    return list(pickle.loads(data))


class Copy:
    """A copy of package and tests, with its own cache of kernels, in which files are changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("gpuclust", "kernels", "tests", "benchmarks", "docs", "pyproject.toml", "README.md"):
            source = ROOT / name
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name, follow_symlinks=False)
        self.environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(folder)}

    def says(self, command: Sequence[str]) -> str | None:
        """What is wrong, by a command that fails; None if it does not."""
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=2400
            )
        except subprocess.TimeoutExpired:
            return "runs for ever"
        lines = (done.stdout + done.stderr).strip().splitlines()
        if not done.returncode:
            return None
        return next((line for line in lines if line.startswith(("FAILED", "ERROR", "seed"))), lines[-1])

    def passes(self, modules: Iterable[str]) -> str | None:
        """What is wrong by some modules of tests; None if they pass."""
        files = [f"tests/test_{name}.py" for name in modules]
        return self.says([sys.executable, "-m", "pytest", "-x", "-q", "-m", "not gpu and not sweep", *files])

    def first_failure(self, file: str) -> str | None:
        """The last line that a failing run says; None if seeds and tests of a file pass."""
        wrong = self.passes(COMPILED[longest(COMPILED, file)])
        if wrong is not None:
            return wrong
        fuzz = [sys.executable, "tests/fuzzing.py", "--stop", "--count", str(COMPILED_SEEDS), "--method"]
        for method in methods_for(file):
            wrong = self.says([*fuzz, method])
            if wrong is not None:
                return wrong
        return None

    def survives(self, mutant: Mutant, tried: Callable[[str], str | None] | None = None) -> str | None:
        """`first_failure`, or what ``tried`` says of the file, with one change."""
        path = self.folder / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}, not once")
        path.write_text(text.replace(mutant.old, mutant.new))
        try:
            return (tried or self.first_failure)(mutant.file)
        finally:
            path.write_text(text)


def run_compiled(wanted: Sequence[Mutant], start: int) -> int:
    """Plant each mutant in a copy; the number of those that survive."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        modules = {name for mutant in wanted for name in COMPILED[longest(COMPILED, mutant.file)]}
        wrong = copy.passes(sorted(modules))
        if wrong is not None:
            raise RuntimeError(f"a test fails without a mutant: {wrong}")
        for number, mutant in enumerate(wanted, start):
            started = time.monotonic()
            wrong = copy.survives(mutant)
            verdict = "killed" if wrong else "equivalent" if mutant.equivalent else "SURVIVED"
            survived += verdict == "SURVIVED"
            seconds = time.monotonic() - started
            detail = wrong or mutant.equivalent or mutant.breaks
            print(
                f"{number:3} {verdict:10} {mutant.name} ({mutant.file}, {seconds:.0f} s): {detail[:300]}", flush=True
            )
    print(f"{len(wanted)} mutants, compiled: {survived} survived.")
    return survived


def plans(methods: Sequence[str]) -> tuple[list[Any], ...]:
    """Methods, kinds and numbers of seeds, of both stages."""
    return tuple(
        [(method, kind, count) for kind, count in stage.items() for method in methods] for stage in (FEW, MANY)
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Planted bugs that the fuzzer must find; the exit code is 1 if not.")
    parser.add_argument("--only", default="", help="mutants with one of these, separated by commas, in name or file")
    parser.add_argument("--from", type=int, default=1, dest="start", help="the number of the first")
    parser.add_argument("--quick", action="store_true", help="the few first seeds only")
    parser.add_argument("--compiled", action="store_true", help="compile kernels: slower to start, many more seeds")
    chosen = parser.parse_args(arguments)
    parts = chosen.only.split(",")
    wanted = [mutant for mutant in MUTANTS if any(part in mutant.name or part in mutant.file for part in parts)]
    wanted = wanted[chosen.start - 1 :]
    os.environ["GPUCLUST_COMPILE"] = "always"
    if chosen.compiled:
        return 1 if run_compiled(wanted, chosen.start) else 0
    import numpy
    import scipy.spatial.distance

    import gpuclust  # noqa: F401

    del numpy, scipy
    every = sorted({method for mutant in wanted for method in methods_for(mutant.file)})
    skip: set[Any] = set()
    for stage in plans(every)[: 1 if chosen.quick else 2]:  # what fails without a mutant says nothing
        found = in_child(None, stage, set(), False)
        skip |= {case for case, _ in found}
        for case, wrong in found:
            print(f"without a mutant: {case}: {wrong}", flush=True)
    survived, gone = 0, 0
    for number, mutant in enumerate(wanted, chosen.start):
        started = time.monotonic()
        found: list[Any] = []
        few, many = plans(methods_for(mutant.file))
        try:
            found = in_child(mutant, few, skip, True)
            if not (found or chosen.quick or mutant.equivalent):
                found = in_child(mutant, many, skip, True)
        except ValueError as error:
            print(f"{number:3} MISSING    {error}", flush=True)
            gone += 1
            continue
        verdict = "killed" if found else "equivalent" if mutant.equivalent else "SURVIVED"
        survived += verdict == "SURVIVED"
        detail = found[0][1] if found else mutant.equivalent or mutant.breaks
        seconds = time.monotonic() - started
        print(f"{number:3} {verdict:10} {mutant.name} ({mutant.file}, {seconds:.0f} s): {detail[:300]}", flush=True)
    print(f"{len(wanted)} mutants: {survived} survived, {gone} whose text is gone.")
    return 1 if survived or gone else 0


if __name__ == "__main__":
    sys.exit(main())
