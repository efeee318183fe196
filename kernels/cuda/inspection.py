"""Compilation of a kernel for any architecture, and inspection of its code, without a GPU or a driver.

PTX comes from Numba and NVVM, registers from ptxas, where that is on PATH.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from gpuclust.kernels.cuda.launch import Kernel
from gpuclust.kernels.cuda.widening import wrapped

Capability = tuple[int, int]


class Limits(NamedTuple):
    """Limits of a multiprocessor: warps, blocks, bytes of shared memory, and the bytes that each block costs."""

    warps: int
    blocks: int
    shared: int
    reserved: int


#: Compute capability -> limits. Source: CUDA C++ Programming Guide, compute capabilities.
LIMITS: dict[Capability, Limits] = {
    (7, 5): Limits(32, 16, 64 * 1024, 0),
    (8, 0): Limits(64, 32, 164 * 1024, 1024),
    (9, 0): Limits(64, 32, 228 * 1024, 1024),
    (10, 0): Limits(64, 32, 228 * 1024, 1024),
    (12, 0): Limits(48, 24, 100 * 1024, 1024),
}
ARCHITECTURES: tuple[Capability, ...] = tuple(LIMITS)
#: 32-bit registers of a multiprocessor.
REGISTERS = 64 * 1024


def sm(cc: Capability) -> str:
    """An architecture's name: sm_90."""
    return f"sm_{cc[0]}{cc[1]}"


@contextmanager
def _no_device_asked(capability: Capability) -> Iterator[None]:
    """Answer Numba's query of the current device's capability, made when it compiles the callees of a kernel."""
    from numba.cuda import dispatcher

    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


def has_compiler() -> bool:
    """Whether NVVM is installed. It comes with numba-cuda's extras, and needs no driver."""
    from numba.cuda.cudadrv import nvvm

    try:
        return bool(nvvm.is_available())
    except Exception:  # of some library that it needs
        return False


def supported(kernel: Kernel) -> tuple[Capability, ...]:
    """The architectures that a kernel is for."""
    return tuple(cc for cc in ARCHITECTURES if cc >= kernel.oldest)


def compile(kernel: Kernel, capabilities: Sequence[Capability] = ARCHITECTURES) -> dict[Capability, str]:
    """PTX of a kernel for each of ``capabilities``, as it is compiled for a device, launch bounds included.

    Numba's part (types, NVVM's input) takes longest and is the same for all, so it is done once where Numba allows.
    """
    oldest = min(capabilities)
    with _no_device_asked(oldest):
        library = _library(kernel, oldest)
        return {cc: _alone(kernel, cc) if library is None else library.get_asm_str(cc=cc) for cc in capabilities}


def _library(kernel: Kernel, cc: Capability) -> Any:
    """Numba's part; by a function that is not public, and not in every version."""
    from numba.cuda import compiler

    function = getattr(compiler, "_compile_pyfunc_with_fixup", None)
    bounds = (kernel.threads, kernel.resident)
    if function is None:
        return None
    return function(kernel.function, kernel.signature, device=False, abi="numba", cc=cc, launch_bounds=bounds)[0]


def _alone(kernel: Kernel, cc: Capability) -> str:
    from numba import cuda

    bounds = (kernel.threads, kernel.resident)
    return str(cuda.compile_ptx(kernel.function, kernel.signature, cc=cc, launch_bounds=bounds)[0])


class Facts(NamedTuple):
    """Properties of a kernel, from its PTX.

    Attributes
    ----------
    local : bytes of local memory: arrays that are not in registers.
    shared : bytes of shared memory.
    threads, resident : launch bounds.
    doubles : instructions on float64.
    fused : fused multiply-adds in float64.
    atomics : atomic instructions.
    wrapped : statements that widen to 64 bits a number that may have wrapped around in 32
        (`gpuclust.kernels.cuda.widening`).
    """

    local: int
    shared: int
    threads: int
    resident: int
    doubles: int
    fused: int
    atomics: list[str]
    wrapped: list[str]


_INSTRUCTION = re.compile(r"^\s*(?:\{\s*)?(?:@!?%\w+\s+)?([a-z]\w*(?:\.[\w:]+)+)\s", re.MULTILINE)


def facts(ptx: str) -> Facts:
    """Extract the properties of a kernel from its PTX."""
    text = re.sub(r"//.*", "", ptx)
    found = _INSTRUCTION.findall(text)

    def declared(space: str) -> int:
        arrays = re.findall(rf"^\s*(?:\.\w+\s+)?\.{space}\s+\.align\s+\d+\s+\.b8\s+\S+?\[(\d+)\]", text, re.MULTILINE)
        return sum(map(int, arrays))

    def bound(directive: str) -> int:
        match = re.search(rf"\.{directive}\s+(\d+)", text)
        return int(match[1]) if match else 0

    return Facts(
        declared("local"),
        declared("shared"),
        bound("maxntid"),
        bound("minnctapersm"),
        sum(".f64" in name for name in found),
        sum(name.startswith("fma.") and name.endswith(".f64") for name in found),
        sorted({name for name in found if re.match(r"(atom|red)\.", name)}),
        wrapped(text),
    )


# ------------------------------------------------------------------------------------------------------ resources


class Resources(NamedTuple):
    """Resources of a thread, by ptxas: registers, bytes of stack, bytes of register spills."""

    registers: int
    stack: int
    spills: int


def has_assembler() -> bool:
    """Whether ptxas is on PATH."""
    return shutil.which("ptxas") is not None


@cache
def _newest_version() -> tuple[int, ...]:
    """The newest version of PTX that ptxas reads. NVVM from PyPI may write a newer one than it uses."""
    said = _ptxas(".version 99.9\n.target sm_80\n.address_size 64\n", (8, 0))
    match = re.search(r"current version is '(\d+)\.(\d+)'", said.stderr)
    return tuple(map(int, match.groups())) if match else (99, 9)


@cache
def assembled() -> tuple[Capability, ...]:
    """The architectures that ptxas supports; none where it is not on PATH."""
    if not has_assembler():
        return ()

    def supports(cc: Capability) -> bool:
        version = ".".join(map(str, _newest_version()))
        return _ptxas(f".version {version}\n.target sm_{cc[0]}{cc[1]}\n.address_size 64\n", cc).returncode == 0

    return tuple(cc for cc in ARCHITECTURES if supports(cc))


def _ptxas(ptx: str, cc: Capability) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        command = ["ptxas", "-v", f"-arch={sm(cc)}", str(path), "-o", str(path) + ".cubin"]
        if ".extern .func" in ptx:  # of a cooperative kernel; they are linked in on the device
            command.append("--compile-only")
        return subprocess.run(command, capture_output=True, text=True, check=False)


def resources(ptx: str, cc: Capability) -> Resources:
    """Assemble a kernel; RuntimeError if ptxas rejects it."""

    def lower(match: re.Match[str]) -> str:
        written = tuple(map(int, match.groups()))
        return ".version " + ".".join(map(str, min(written, _newest_version())))

    done = _ptxas(re.sub(r"^\.version (\d+)\.(\d+)", lower, ptx, count=1, flags=re.MULTILINE), cc)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())

    def most(pattern: str) -> int:  # functions that were not inlined are listed too
        return max(map(int, re.findall(pattern, done.stderr)), default=0)

    spills = most(r"(\d+) bytes spill stores") + most(r"(\d+) bytes spill loads")
    return Resources(most(r"Used (\d+) registers"), most(r"(\d+) bytes stack frame"), spills)


def resident_blocks(threads: int, registers: int, shared: int, cc: Capability) -> int:
    """Resident blocks of a multiprocessor, from the threads of a block, registers of a thread and shared bytes."""
    limits = LIMITS[cc]
    warps = -(-threads // 32)
    by_registers = REGISTERS // (32 * _up(max(registers, 1), 8)) // 4 * 4 // warps  # four schedulers, a quarter each
    by_shared = limits.shared // max(_up(shared + limits.reserved, 256), 1)
    return min(limits.blocks, limits.warps // warps, by_registers, by_shared if shared else limits.blocks)


def occupancy(threads: int, registers: int, shared: int, cc: Capability) -> float:
    """Occupancy: resident warps of a multiprocessor, as a fraction of its limit."""
    return resident_blocks(threads, registers, shared, cc) * -(-threads // 32) / LIMITS[cc].warps


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
