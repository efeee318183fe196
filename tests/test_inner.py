"""Functions that kernels call: how often they are compiled, and how far."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numba.core import event
from numba.core.codegen import JITCodeLibrary

from gpuclust.core import jit
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
