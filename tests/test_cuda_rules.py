"""Tests of the rules for CUDA kernels, by kernels that break them; no GPU is needed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cuda_rules import LIMITED, RULES, needs_assembler

from gpuclust.kernels.cuda import inspection
from gpuclust.kernels.cuda.catalogue import examine
from gpuclust.kernels.cuda.inspection import ARCHITECTURES, assembled, sm
from gpuclust.kernels.cuda.launch import Kernel, cuda, kernel, types

pytestmark = pytest.mark.timeout(1800)

F32, F64 = types.float32, types.float64


def planted(*signature, **options):
    return kernel(*signature, threads=128, **options)


def faults(kernel: Kernel) -> set[str]:
    record = examine(kernel, assembled())
    assert not record.errors
    assert record.facts.keys() == set(map(sm, ARCHITECTURES))
    broken = [{name for name, rule in RULES.items() if rule(kernel, found)} for found in record.facts.values()]
    assert all(found == broken[0] for found in broken), broken
    limited = {name for name, rule in LIMITED.items() for used in record.resources.values() if rule(kernel, used)}
    return broken[0] | limited


def test_a_kernel_that_keeps_the_rules():
    @planted(F64[::1], F64)
    def scaled(x, factor):
        i = cuda.grid(1)
        if i < x.size:
            x[i] = x[i] * factor

    assert faults(scaled) == set()


def test_an_array_that_is_indexed_at_run_time_is_noticed():
    @planted(F64[::1], types.int64)
    def shuffled(x, shift):
        values = cuda.local.array(16, F64)
        i = cuda.grid(1)
        for k in range(16):
            values[k] = x[i + k]
        x[i] = values[(i + shift) % 16]

    assert faults(shuffled) == {"no_local_memory", "no_stack"} if assembled() else {"no_local_memory"}


def test_a_float64_constant_in_float32_is_noticed():
    @planted(F32[::1])
    def halved(x):
        i = cuda.grid(1)
        x[i] = x[i] * 0.3

    assert faults(halved) == {"float32_stays_float32"}


def test_a_contracted_product_is_noticed():
    @planted(F64[::1], F64, F64)
    def contracted(x, a, b):
        i = cuda.grid(1)
        x[i] = x[i] * a + b

    assert faults(contracted) == {"float64_is_not_contracted"}


def test_a_sum_in_no_order_is_noticed():
    @planted(F64[::1], types.int64[::1])
    def summed(x, counts):
        cuda.atomic.add(counts, 0, 1)
        cuda.atomic.max(counts, 1, 7)
        cuda.atomic.add(x, 0, x[cuda.grid(1)])

    assert faults(summed) == {"atomics_in_any_order"}
    (found, *_) = examine(summed).facts.values()
    assert len(found.atomics) == 3


def test_a_compare_and_swap_is_noticed():
    @planted(F64[::1])
    def lowest(x):
        cuda.atomic.min(x, 0, x[cuda.grid(1)])

    assert faults(lowest) == {"atomics_in_any_order"}


def test_an_index_that_may_wrap_around_is_noticed():
    @planted(F64[:, ::1], types.int64)
    def scattered(x, height):
        first = np.int32(cuda.blockIdx.x * height)
        x[first, cuda.threadIdx.x] = 0

    @planted(F64[::1])
    def spread(x):
        x[np.int32(cuda.grid(1) * 3)] = 0

    assert faults(scattered) == faults(spread) == {"indices_do_not_wrap_around"}


def test_32_bits_that_are_no_index_are_not():
    """A number that is stored; one whose lower bits are all that counts; a division that 32 bits are enough for."""

    @planted(types.int32[::1], F64[::1], types.int64)
    def labelled(labels, x, across):
        place = cuda.grid(1)
        x[place % across] = x[place // across] + x[np.int32(place * 3) & 63]
        labels[place] = np.int32(place * 3)

    assert faults(labelled) == set()


def test_other_launch_bounds_are_noticed():
    @planted(F64[::1])
    def plain(x):
        x[0] = 0

    (found, *_) = examine(plain).facts.values()
    check = RULES["launch_bounds_are_declared"]
    assert not check(plain, found)
    assert check(Kernel(plain.function, plain.signature, threads=256), found)
    assert check(plain, inspection.facts(re.sub(r"\.maxntid.*", "", inspection.compile(plain)[9, 0])))


def test_too_much_shared_memory_is_noticed():
    @planted(F64[::1])
    def large(x):
        held = cuda.shared.array(7000, F64)
        held[cuda.threadIdx.x] = x[cuda.grid(1)]
        cuda.syncthreads()
        x[cuda.grid(1)] = held[127 - cuda.threadIdx.x]

    record = examine(large)
    assert all(RULES["shared_memory_fits"](large, found) for found in record.facts.values())
    assert {found.shared for found in record.facts.values()} == {56000}


@needs_assembler
def test_spills_are_noticed():
    @planted(F64[:, ::1], F64[::1], resident=16)  # 32 registers a thread
    def crowded(x, y):
        held = cuda.local.array(32, F64)
        for k in range(32):
            held[k] = x[k, cuda.grid(1)]
        for k in range(x.shape[0]):
            for i in range(32):
                held[i] = held[i] + held[(i + 5) % 32] / y[k]
        total = 0.0
        for k in range(32):
            total += held[k]
        y[cuda.grid(1)] = total

    assert "no_spills" in faults(crowded)


@needs_assembler
def test_registers_are_counted():
    check = LIMITED["registers_for_all_resident_blocks"]

    def wide(resident: int) -> Kernel:
        return Kernel(lambda: None, (), threads=256, resident=resident)

    assert not check(wide(2), inspection.Resources(128, 0, 0))
    assert check(wide(2), inspection.Resources(129, 0, 0))
    assert not check(wide(1), inspection.Resources(255, 0, 0))


def test_what_does_not_compile_is_said():
    @planted(F64[::1])
    def wrong(x):
        x[0] = x.nothing_of_the_kind

    record = examine(wrong)
    assert not record.facts
    assert "nothing_of_the_kind" in record.errors["all"]
