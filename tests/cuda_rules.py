"""The rules that kernels for CUDA obey, by their PTX and by what ptxas makes of it.

Tests that import this are skipped where CUDA is emulated or there is no compiler.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from conftest import EMULATED

if EMULATED:
    pytest.skip("kernels are compiled in the run without emulation", allow_module_level=True)
if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.kernels.cuda import inspection
from gpuclust.kernels.cuda.inspection import REGISTERS, Facts, assembled
from gpuclust.kernels.cuda.launch import Kernel

if not inspection.has_compiler():
    pytest.skip("NVVM is not installed: pip install gpuclust[ptx]", allow_module_level=True)

#: These call log or pow, which NVIDIA's library writes with fused multiply-adds.
FROM_LIBRARY = ("jensenshannon", "minkowski")
#: Kernels that may spill so many bytes of registers. The assembler takes 255 registers for capability 12.0, where it
#: takes 162 for 9.0; smaller tiles would be slower on all others, and in float64 the former have a 64th of the rate.
SPILT: dict[str, int] = {"nearest_in_boxes_chebyshev_False_float64": 88}
#: Kernels that may use local memory or a stack, and why.
ON_STACK: dict[str, str] = dict.fromkeys(
    tuple(
        f"{function}_haversine_False_float32"
        for function in ("pairwise", "pairwise_unfused", "nearest", "nearest_outside", "nearest_in_boxes")
    ),
    "the inverse sine is too long for the loop over sums to be unrolled",
)

needs_assembler = pytest.mark.skipif(not assembled(), reason="ptxas is not on PATH")

Rule = Callable[[Kernel, Facts], object]
#: Name -> what is wrong with a kernel by its PTX: nothing, or what to say.
RULES: dict[str, Rule] = {}
#: The same, by what ptxas makes of it.
LIMITED: dict[str, Callable[[Kernel, inspection.Resources], object]] = {}


def rule(table: dict) -> Callable:
    return lambda function: table.setdefault(function.__name__, function)


def works_in(kernel: Kernel, dtype: str) -> bool:
    """Whether a type occurs among a kernel's arguments, by itself or in an array."""
    return any(dtype in str(kind) for kind in kernel.signature)


@rule(RULES)
def no_local_memory(kernel: Kernel, found: Facts):
    return found.local and kernel.name not in ON_STACK and f"{found.local} bytes of arrays are not in registers"


@rule(RULES)
def float32_stays_float32(kernel: Kernel, found: Facts):
    return found.doubles and not works_in(kernel, "float64") and f"{found.doubles} instructions in float64"


@rule(RULES)
def float64_is_not_contracted(kernel: Kernel, found: Facts):
    library = any(name in kernel.name for name in FROM_LIBRARY)
    return found.fused and not library and f"{found.fused} fused multiply-adds in float64"


@rule(RULES)
def atomics_in_any_order(kernel: Kernel, found: Facts):
    """Sums and minima of integers are the same in any order; a compare-and-swap may be anything."""
    allowed = re.compile(r"(atom|red)\.[\w.]*\b(add|min|max|and|or)\.([us]|b)(32|64)")
    return [name for name in found.atomics if not allowed.fullmatch(name)]


@rule(RULES)
def indices_do_not_wrap_around(kernel: Kernel, found: Facts):
    """Up to 2^31 points: what depends on a block's number has 64 bits before it is more than that."""
    return found.wrapped


@rule(RULES)
def launch_bounds_are_declared(kernel: Kernel, found: Facts):
    declared, asked = (found.threads, found.resident), (kernel.threads, kernel.resident)
    return declared != asked and f"declares (threads, resident blocks) {declared}, not {asked}"


@rule(RULES)
def shared_memory_fits(kernel: Kernel, found: Facts):
    return found.shared > 48 * 1024 and f"{found.shared} bytes of shared memory"


@rule(LIMITED)
def no_spills(kernel: Kernel, used: inspection.Resources):
    return used.spills > SPILT.get(kernel.name, 0) and f"{used.spills} bytes are spilt, at {used.registers} registers"


@rule(LIMITED)
def no_stack(kernel: Kernel, used: inspection.Resources):
    return used.stack and kernel.name not in (*ON_STACK, *SPILT) and f"{used.stack} bytes of stack"


@rule(LIMITED)
def registers_for_all_resident_blocks(kernel: Kernel, used: inspection.Resources):
    budget = min(255, REGISTERS // (kernel.threads * kernel.resident))
    return used.registers > budget and f"{used.registers} registers, {budget} are there"
