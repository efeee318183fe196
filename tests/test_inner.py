"""Functions that kernels call: how often they are compiled, and how far."""

from __future__ import annotations

import re
from collections import Counter

import numba
import numpy as np
import pytest
from numba.core import analysis, event
from numba.core.codegen import CPUCodeLibrary, JITCodeLibrary
from numba.core.compiler import Flags
from numba.core.targetconfig import TargetConfig

from gpuclust.core import flags, jit
from gpuclust.core.jit import compiled, inlined, jitable, uncounted


@pytest.fixture(autouse=True)
def nothing_on_disk(monkeypatch):
    """Kernels of these tests are not kept, or a second run would compile none."""
    monkeypatch.setattr(jit, "has_place", lambda source: False)


@pytest.fixture
def machine_code(monkeypatch):
    """The names of what is compiled to machine code."""
    names: list[str] = []
    finalize = JITCodeLibrary._finalize_specific

    def record(library):
        if library.name != "nrt":  # Numba's own, of the first kernel of a process
            names.append(library.name.rsplit(".", 1)[-1])
        finalize(library)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", record)
    return names


def test_once_for_all_callers_and_no_machine_code(machine_code):
    @jitable
    def half(x):
        return x / 2

    @uncounted
    def quarter(x):
        return half(half(x))

    @uncounted
    def eighth(x):
        return half(quarter(x))

    @compiled
    def kernel(values):
        for k in range(values.size):
            values[k] = eighth(values[k]) + quarter(values[k]) + eighth(values[k])

    @compiled
    def other_kernel(x):
        return eighth(x) - quarter(x)

    with event.install_recorder("numba:compile") as recorder:
        values = np.full(3, 16.0)
        kernel(values)
        assert values.tolist() == [8.0] * 3
        assert other_kernel(16.0) == -2.0
    begun = Counter(each.data["dispatcher"].py_func.__name__ for _, each in recorder.buffer if each.is_start)
    assert begun == {"kernel": 1, "other_kernel": 1, "eighth": 1, "quarter": 1, "half": 1}
    assert machine_code == ["kernel", "other_kernel"]


def test_only_modules_of_kernels_are_optimised(monkeypatch):
    names: list[str] = []
    optimize = CPUCodeLibrary._optimize_final_module

    def record(library):
        if library.name != "nrt":
            names.append(library.name.rsplit(".", 1)[-1])
        optimize(library)

    monkeypatch.setattr(CPUCodeLibrary, "_optimize_final_module", record)

    @uncounted
    def half(x):
        return x / 2

    @inlined
    def quarter(x):
        return half(half(x))

    @compiled
    def kernel(x):
        return quarter(x) + half(x)

    assert kernel(8.0) == 6.0
    assert names == ["kernel"]


def test_what_is_inherited_is_compiled_for_each():
    """In a function that is always inlined its functions are inlined too, and nowhere else."""

    @uncounted
    def twice(x):
        return 2 * x

    @inlined
    def within(x):
        return twice(x)

    @compiled
    def kernel(x):
        return within(x) + twice(x)

    with event.install_recorder("numba:compile") as recorder:
        assert kernel(3) == 12
    begun = Counter(each.data["dispatcher"].py_func.__name__ for _, each in recorder.buffer if each.is_start)
    assert begun == {"kernel": 1, "within": 1, "twice": 2}


def test_errors_come_out_of_inner_functions():
    @jitable
    def root(x):
        if x < 0:
            raise ValueError("negative")
        return x**0.5

    @compiled
    def kernel(x):
        return root(x)

    assert kernel(4.0) == 2.0
    with pytest.raises(ValueError, match="negative"):
        kernel(-1.0)


def test_flags_are_compared_by_identity(monkeypatch):
    """While functions are looked up by the flags of their callers; by values only once for a function."""

    @uncounted
    def smallest(values):
        return min(values[0], values[1]) + min(values[1], values[2])

    @uncounted
    def largest(values):
        return max(values[0], values[1]) - min(values[1], values[2])

    @compiled
    def kernel(values):
        return smallest(values) + largest(values) + min(values[0], values[1])

    compared = []
    equal = TargetConfig.__eq__
    monkeypatch.setattr(TargetConfig, "__eq__", lambda *flags: compared.append(flags) or equal(*flags))
    assert kernel(np.arange(4.0)) == 1.0
    assert len(compared) < 10


def test_shared_flags_equal_numbas():
    plain = Flags()
    plain.release_gil = plain.nrt = True
    shared = flags._OwnFlags(plain).copy()
    assert flags._OwnFlags(plain).copy() is shared
    assert shared == plain
    assert plain == shared
    assert hash(shared) == hash(plain)
    other = shared.copy()
    other.nrt = False
    assert shared.nrt
    assert shared != other
    assert other != shared
    assert flags._OwnFlags(other).copy() != shared


def test_lifetimes_are_computed_on_demand(monkeypatch):
    """The machine code is that of Numba's compiler, which computes variables at the beginning of blocks each time."""
    counts = Counter()
    live = analysis.compute_live_variables

    def counted(*arguments):
        counts["live"] += 1
        return live(*arguments)

    monkeypatch.setattr(analysis, "compute_live_variables", counted)
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

    def kernel(values):
        total = 0.0
        for k in range(values.size):
            if values[k] < 0:
                continue
            total += values[k] * values[k]
        return total

    ours, theirs = compiled(kernel), numba.njit(**options)(kernel)
    values = np.arange(-3.0, 4.0)
    assert ours(values) == 14
    assert not counts
    assert theirs(values) == 14
    assert counts["live"] > 1
    (code,), (expected,) = (each.inspect_asm().values() for each in (ours, theirs))
    assert instructions(code) == instructions(expected)


def instructions(code: str) -> list[str]:
    """Machine code without directives, and without names, in which options occur."""
    lines = [re.sub(r"[.\w]*_Z\w+", "", line) for line in code.splitlines() if re.match(r"\t[^.]", line)]
    assert len(lines) > 20
    return lines


def test_generators_have_what_lives_across_a_yield():
    @compiled
    def squares(n):
        before = 0
        for k in range(n):
            yield before
            before += 2 * k + 1

    assert list(squares(4)) == [0, 1, 4, 9]
