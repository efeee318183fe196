"""Coverage of the CPU's kernels by the fuzzer: lines that are not reached, with kernels as plain Python.

python tests/kernel_coverage.py --count 300      # seeds of each method; prints the lines never reached
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Prefixes of the files that are examined.
WATCHED = ("kernels/cpu/", "gpuclust/algorithms/")
#: Of these only functions that linkages and neighbour lists call: others are reached by tests of their own.
NOT_FOR_LINKAGE = (
    "kernels/cpu/matrix/cophenetic.py",
    "kernels/cpu/space/simd.py",  # vectors of LLVM, replaced by plain Python
)


class Reached:
    """Records the lines of watched files that are executed, in all threads."""

    def __init__(self) -> None:
        self.lines: dict[str, set[int]] = {}
        self.files = {str(path): name for name, path in watched()}
        self.known: dict[str, str | None] = {}  # by the file name that code has

    def start(self) -> None:
        if sys.version_info >= (3, 12):
            tool, events = sys.monitoring.COVERAGE_ID, sys.monitoring.events
            sys.monitoring.use_tool_id(tool, "kernel coverage")
            sys.monitoring.register_callback(tool, events.LINE, self._line)
            sys.monitoring.set_events(tool, events.LINE)
        else:
            threading.settrace(self._call)
            sys.settrace(self._call)

    def _line(self, code: CodeType, line: int) -> Any:
        name = self._name(code)
        if name is not None:
            self.lines.setdefault(name, set()).add(line)
        return sys.monitoring.DISABLE  # once is enough

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = self._name(frame.f_code)
        if name is None:
            return None
        lines = self.lines.setdefault(name, set())

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    def _name(self, code: CodeType) -> str | None:
        file = code.co_filename
        if file not in self.known:
            self.known[file] = self.files.get(str(Path(file).resolve()))
        return self.known[file]


def watched() -> Iterator[tuple[str, Path]]:
    """Names below the repository, and paths, of the files looked at."""
    for start in WATCHED:
        for path in sorted((ROOT / start).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in NOT_FOR_LINKAGE:
                yield name, path


def lines_of(path: Path) -> set[int]:
    """Lines inside functions that can be executed; of decorators and closures only what is inside."""
    found: set[int] = set()

    def walk(code: CodeType, inside: bool) -> None:
        if inside and not code.co_name.startswith("<"):
            found.update(line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                walk(constant, inside or constant.co_flags & 2 > 0)  # a function, no class body

    walk(compile(path.read_text(), str(path), "exec"), False)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Lines of kernels that the fuzzer never reaches.")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300, help="seeds of each method")
    parser.add_argument("--method", help="of one method only")
    chosen = parser.parse_args(arguments)
    import fuzz_cases
    import fuzzing
    import interpreted

    interpreted.install()
    reached = Reached()
    reached.start()
    for method in [chosen.method] if chosen.method else (*fuzz_cases.METHODS, "neighbours", "clusters"):
        for seed in range(chosen.first, chosen.first + chosen.count):
            fuzzing.failure(fuzz_cases.draw(seed, True, {"method": method}))
    missed = 0
    for name, path in watched():
        there, here = lines_of(path), reached.lines.get(name, set())
        left = sorted(there - here)
        missed += len(left)
        print(f"{name}: {len(there & here)} of {len(there)} lines reached")
        text = path.read_text().splitlines()
        for line in left:
            print(f"    {line:4} {text[line - 1].rstrip()}")
    print(f"{missed} lines were never reached.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
