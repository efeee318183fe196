"""Catalogue of the kernels that the backend can launch, and of their resources when compiled for each architecture.

``python -m gpuclust.kernels.cuda.catalogue`` writes kernels/README.md. No GPU and no driver are needed.

Work is spread over processes: for each kernel some two seconds of a processor, about ten minutes of two cores for
all. Results are kept on disk as they come, if a folder is given, so that a run that was stopped is continued, and
computed anew when a source file that the kernel's module imports, or a compiler, has changed.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from gpuclust.core.methods import METHODS
from gpuclust.core.metrics import BIT_FORMS, METRICS, WIDE_FORMS
from gpuclust.kernels.cuda.inspection import (
    ARCHITECTURES,
    Capability,
    Facts,
    Resources,
    assembled,
    compile,
    facts,
    has_assembler,
    occupancy,
    resources,
    sm,
    supported,
)
from gpuclust.kernels.cuda.launch import Kernel

#: Kernels in a piece of work.
CHUNK = 8
#: The function of a metric that compiles fastest.
SHORTEST = "between.between"
#: Architectures in the table.
SHOWN: tuple[Capability, ...] = ((8, 0), (9, 0), (12, 0))


# -------------------------------------------------------------------------------------------------- what there is


@cache
def modules() -> dict[str, ModuleType]:
    """The modules of this folder that have kernels, by name."""
    folder = str(__spec__.parent)
    names = sorted(entry.name for entry in pkgutil.iter_modules(import_module(folder).__path__))
    found = {name: import_module(f"{folder}.{name}") for name in names if name not in ("backend", "catalogue")}
    return {name: module for name, module in found.items() if hasattr(module, "kernels")}


@cache
def kernels() -> dict[str, Kernel]:
    """Every kernel, by the names of its module and its own."""
    return {f"{name}.{kernel.name}": kernel for name, module in modules().items() for kernel in module.kernels()}


class Form(NamedTuple):
    """The parts of a kernel's name: ``function_metric_weighted_dtype``, or fewer of these."""

    function: str
    made_for: str
    dtype: str


def form(name: str) -> Form:
    """The parts of a kernel's name."""
    parts, made_for, dtype = name.split("_"), list[str](), ""
    while len(parts) > 1:
        if len(parts) > 2 and "_".join(parts[-2:]) in METRICS:
            parts[-2:] = ["_".join(parts[-2:])]
        word = parts[-1]
        if re.fullmatch(r"(float|int)(32|64)", word):
            dtype = word
        elif word in METRICS or word in METHODS or word in (metric.name for metric in (*WIDE_FORMS, *BIT_FORMS)):
            made_for.insert(0, word)
        elif word == "True":
            made_for.insert(0, "weighted")
        elif word != "False":
            break
        parts.pop()
    return Form("_".join(parts), " ".join(made_for), dtype)


# -------------------------------------------------------------------------------------------------- all of them


class Record(NamedTuple):
    """Resources of a kernel by architecture ("sm_90"); ``errors`` says why it does not compile for one."""

    facts: dict[str, Facts]
    resources: dict[str, Resources]
    errors: dict[str, str]


def examine(
    kernel: Kernel, assemble: Sequence[Capability] = (), targets: Sequence[Capability] = ARCHITECTURES
) -> Record:
    """Compile a kernel for architectures, all that it is for by default, and assemble it for some of them."""
    record = Record({}, {}, {})
    try:
        compiled = compile(kernel, [cc for cc in targets if cc in supported(kernel)])
    except Exception as error:
        return record._replace(errors={"all": f"{type(error).__name__}: {error}"})
    for cc, ptx in compiled.items():
        record.facts[sm(cc)] = facts(ptx)
        if cc in assemble:
            try:
                record.resources[sm(cc)] = resources(ptx, cc)
            except RuntimeError as error:
                record.errors[sm(cc)] = str(error)
    return record


def representatives() -> list[str]:
    """A sample of the kernels that takes a tenth of the time of all.

    One for each function and dtype, in turn for another metric or linkage; and two for each metric, without weights
    in one dtype and with weights in the other, of the function that compiles fastest.
    """
    families: dict[tuple[str, str], list[str]] = {}
    metrics: dict[str, dict[str, str]] = {}
    for name in kernels():
        function, made_for, dtype = form(name)
        if function != SHORTEST:
            families.setdefault((function, dtype), []).append(name)
        else:
            metrics.setdefault(made_for.split()[0], {})[f"{made_for} {dtype}"] = name
    chosen = [names[place % len(names)] for place, names in enumerate(families.values())]
    for place, (metric, forms) in enumerate(metrics.items()):
        wanted = (
            (f"{metric} float64", f"{metric} weighted float32"),
            (f"{metric} float32", f"{metric} weighted float64"),
        )
        # One that is always weighted, or never, has two forms only.
        chosen += forms.values() if len(forms) == 2 else [forms[which] for which in wanted[place % 2]]
    seen = {form(name).made_for for name in chosen}
    rest = {form(name).made_for: name for name in kernels() if form(name).made_for not in seen}
    return list(dict.fromkeys([*chosen, *rest.values()]))


def survey(
    assemble: Mapping[str, Sequence[Capability]] | None = None,
    folder: Path | None = None,
    names: Iterable[str] | None = None,
    targets: Mapping[str, Sequence[Capability]] | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
    workers: int | None = None,
) -> dict[str, Record]:
    """`examine` kernels of the catalogue.

    Parameters
    ----------
    assemble : optional
        Architectures to assemble for, by kernel name. Default: all that ptxas supports.
    folder : optional
        Folder in which results are kept.
    names : optional
        Which kernels. Default: all.
    targets : optional
        Architectures to compile for, by kernel name. Default: all.
    report : callable
        Called with the number of kernels that are done, and that of all, at first and whenever it grows.
    workers : int, optional
        Number of processes. Default: that of cores.
    """
    which = kernels() if names is None else names
    wanted = {
        name: tuple(
            tuple(cc for cc in asked if cc in supported(kernels()[name]))
            for asked in (
                assembled() if assemble is None else assemble.get(name, ()),
                ARCHITECTURES if targets is None else targets[name],
            )
        )
        for name in which
    }
    keys = _keys() if folder else {}
    found: dict[str, Record] = {}
    for name, needed in wanted.items():
        known = _load(folder / f"{name}.json", keys[name]) if folder else None
        there = () if known is None else (known.resources.keys(), known.facts.keys())
        if known is not None and all(set(map(sm, some)) <= kept for some, kept in zip(needed, there, strict=True)):
            found[name] = known
    # Kernels for one metric share functions, which a process compiles once: they go to the same worker.
    missing = sorted(wanted.keys() - found.keys(), key=lambda name: form(name)[::-1])
    report(len(found), len(wanted))
    chunks = [{name: wanted[name] for name in missing[i : i + CHUNK]} for i in range(0, len(missing), CHUNK)]
    if chunks:
        workers = min(workers or len(os.sched_getaffinity(0)), len(chunks))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=gc.disable) as pool:
            for records in pool.map(_examine_some, chunks):
                for name, record in records.items():
                    found[name] = record
                    if folder and not record.errors:
                        _save(folder / f"{name}.json", keys[name], record)
                report(len(found), len(wanted))
    return {name: found[name] for name in wanted}


def _examine_some(work: Mapping[str, tuple[Sequence[Capability], Sequence[Capability]]]) -> dict[str, Record]:
    """Compile and inspect kernels in a worker process.

    Numba allocates many objects and keeps most of them, so the garbage collector would take half of the time. It runs
    once after each chunk, and the objects left are then frozen.
    """
    records = {name: examine(kernels()[name], *needed) for name, needed in work.items()}
    gc.collect()
    gc.freeze()
    return records


def _keys() -> dict[str, str]:
    """A hash for each kernel of the source files and compilers that its results depend on."""
    tools = sorted(
        f"{found.name} {found.version}"
        for found in metadata.distributions()
        if found.name.lower().startswith(("numba", "llvmlite", "nvidia", "cuda"))
    )
    if has_assembler():
        tools.append(subprocess.run(["ptxas", "--version"], capture_output=True, text=True, check=True).stdout)
    keys = {}
    for name, module in modules().items():
        text = hashlib.sha256("\n".join((sys.version, *tools)).encode())
        for path in sorted(_sources(module.__name__) | _sources(__spec__.name)):
            text.update(Path(path).read_bytes())
        keys.update({f"{name}.{kernel.name}": text.hexdigest() for kernel in module.kernels()})
    return keys


@cache
def _sources(module: str) -> frozenset[str]:
    """Files of a module and of all that it imports of gpuclust, directly or not."""
    seen, left = dict[str, str](), [module]
    while left:
        name = left.pop()
        if name in seen:
            continue
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:  # not a module, but a name in one
            continue
        if spec is not None and spec.origin is not None:
            seen[name] = spec.origin
            left.extend(_imported(spec.origin))
    return frozenset(seen.values())


@cache
def _imported(path: str) -> frozenset[str]:
    """Names of gpuclust in the imports at the top of a file."""
    names = set[str]()
    for node in ast.parse(Path(path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("gpuclust."))


def _save(path: Path, key: str, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([key, *record]))


def _load(path: Path, key: str) -> Record | None:
    try:
        kept, facts_of, resources_of, errors = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if kept != key:
        return None
    return Record(
        {target: Facts(*values) for target, values in facts_of.items()},
        {target: Resources(*values) for target, values in resources_of.items()},
        errors,
    )


# ------------------------------------------------------------------------------------------------------ the table

TEXT = """\
# Kernels

Compiled kernels: one implementation of the backend protocol (`gpuclust/core/backend.py`) in each folder. Installs as
`gpuclust.kernels`.

- `cpu/`: all cores, with Numba.
- `cuda/`: one GPU, with Numba-CUDA; arrays are CuPy's. Only `cuda/launch.py` depends on whether there is a device.
- `reference/`: plain NumPy, the specification.

## Proofs

Five, of which only the last needs a GPU:

1. **Simulated.** `make test` runs the tests of all backends a second time with `NUMBA_ENABLE_CUDASIM=1`: Numba runs
   the kernels as Python threads.
2. **Compiled.** `tests/test_cuda_catalogue.py` compiles kernels for sm_75, sm_80, sm_90, sm_100 and sm_120: every
   function and every form of a metric for one of these, and with `make test-sweep` every kernel for all. It
   checks the PTX: no array in local memory, no float64 in a float32 kernel, no fused multiply-add where the bits of
   the CPU are required, no atomic operation whose order could matter, no index that may wrap around in 32 bits. NVVM
   comes from PyPI. If `ptxas` is on PATH: no register spills, and registers for as many blocks as the kernel
   requires. Repeated runs check only kernels whose source has changed.
3. **Executed without a GPU.** With `GPUCLUST_CUDA_EMULATION=1` arrays on the device are NumPy's, and kernels are
   launched through `numba.cuda` as on a device. An emulator of PTX in place of `numba.cuda` runs the same tests, and
   may check every access: `GPUCLUST_CUDA_EMULATION=1 python -m pytest tests/test_backends.py tests/test_cuda_*.py`.
4. **Launched.** `tests/test_driver.py` compiles a CUDA driver for tests (`tests/cuda_driver/driver.c`) in place of
   NVIDIA's. Under it the real numba-cuda compiles, links and caches, and cuda.core launches (`cuda/direct.py`); the
   driver checks arguments, memory, streams and limits of each launch, and runs the kernel in the simulator, with a
   device's blocks and tiles. Products on tensor cores are made by threads that take turns there; on a device a trial
   decides whether they are used. CuPy is a stand-in that takes CuPy's arguments and no others. Warnings are errors
   there.
5. **On a GPU.** `make test-gpu`.

## Resources of the kernels

Written by `python -m gpuclust.kernels.cuda.catalogue` with {tools}; {count} kernels. A line stands for all metrics or
linkages of a kernel, and shows the one that takes most. Bytes are those of shared memory for each block. Below an
architecture: registers of a thread, and occupancy (resident warps, as a fraction of the limit of a multiprocessor).
{spilt}

"""


def table(records: Mapping[str, Record]) -> str:
    """Markdown: one line for each function and dtype."""
    families: dict[tuple[str, str], list[str]] = {}
    for name in records:
        families.setdefault(form(name)[::2], []).append(name)
    heads = ["Kernel", "Type", "Made for", "Takes most", "Threads", "Bytes", *map(sm, SHOWN)]
    lines = [heads, ["---"] * 4 + ["---:"] * (len(heads) - 4)]
    for (function, dtype), names in families.items():
        cells = {name: _cells(kernels()[name], records[name]) for name in names}
        worst = min(names, key=lambda name: cells[name][0])
        lines.append([f"`{function}`", dtype, str(len(names)), form(worst).made_for, *cells[worst][1]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(kernel: Kernel, record: Record) -> tuple[tuple[float, ...], list[str]]:
    """Occupancy of a kernel, as the sort key, and its cells of the table."""
    shared = max(found.shared for found in record.facts.values())
    rank, cells = [], [str(kernel.threads), str(shared)]
    for cc in SHOWN:
        used = record.resources.get(sm(cc))
        if used is None:
            cells.append("?")
            continue
        part = occupancy(kernel.threads, used.registers, shared, cc)
        rank += [-used.spills - used.stack, part, -used.registers]
        cells.append(f"{used.registers}, {part:.0%}" + (f" ({used.spills} B spilt)" if used.spills else ""))
    return tuple(rank), cells


def write_readme(path: Path, folder: Path | None = None) -> None:
    """kernels/README.md, from the kernels as they are; progress goes to stderr."""

    def report(done: int, of: int) -> None:
        print(f"{done} of {of} kernels", file=sys.stderr, flush=True)

    shown = dict.fromkeys(kernels(), SHOWN)
    records = survey(shown, folder, targets=shown, report=report)
    failed = {name: record.errors for name, record in records.items() if record.errors}
    assert not failed, failed
    tools = f"numba-cuda {metadata.version('numba-cuda')}"
    spilt = sorted(name for name, record in records.items() if any(used.stack for used in record.resources.values()))
    said = f"On the stack: {', '.join(spilt)}." if spilt else "None has a stack or spills registers."
    path.write_text(TEXT.format(tools=tools, count=len(records), spilt=said) + table(records))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    write_readme(root / "kernels" / "README.md", root / ".pytest_cache" / "d" / "cuda-catalogue")
