"""Keys of kernels on disk: the same in every process, and another one for everything that a kernel is made of."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from gpuclust.core import fingerprint as module
from gpuclust.core.fingerprint import fingerprint

#: A closure whose pickle says whether the name of the file and the module's are one object.
MADE = """
import numpy as np
SCALE = 2

def maker(least, dtype):
    def inner(x, shift=1):
        return max(least, SCALE * x) + shift
    def kernel(x):
        return np.sqrt(inner(x)) if x else kernel(inner(x)), dtype, np.float64
    return kernel
"""
PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import made
from gpuclust.core.fingerprint import fingerprint
from numba.core.serialize import dumps
kernel = made.maker(0.5, "float32")
pickled = dumps(tuple(cell.cell_contents for cell in kernel.__closure__))
print(fingerprint(kernel), hashlib.sha256(pickled).hexdigest())
"""


def test_from_source_and_from_bytecode(tmp_path):
    (tmp_path / "made.py").write_text(MADE)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert (tmp_path / "__pycache__").exists()
    assert first[0] == second[0]
    assert first[1] != second[1], "pickles do not differ: Numba's keys would do"


def build(text: str = MADE, *arguments):
    scope = {"__name__": "made"}
    exec(compile(text, "made.py", "exec"), scope)
    return fingerprint(scope["maker"](*(arguments or (0.5, "float32"))))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2", "SCALE = 3"),
        ("max(least", "min(least"),
        ("shift=1", "shift=2"),
        ("np.sqrt(inner", "np.exp(inner"),
        ("np.float64", "np.float32"),
        ("+ shift", "+ 2 * shift"),
        ("kernel", "other"),
    ],
)
def test_what_a_kernel_is_made_of(old, new):
    assert old in MADE
    assert build(MADE.replace(old, new)) != build() == build()


@pytest.mark.parametrize("values", [(0.25, "float32"), (0.5, "float64"), (0, "float32"), (False, "float32")])
def test_what_its_builder_was_given(values):
    keys = {build(MADE, *each) for each in (values, (0.5, "float32"))}
    assert len(keys) == 2


def test_values_of_every_kind():
    """Only what is of no known kind is pickled, as Numba would."""

    def of(value):
        return fingerprint(lambda: value)

    values = [1, 1.0, True, "1", b"1", (1,), (1, 2), [1], np.float32(1), np.dtype("float32"), np, np.minimum, max]
    values += [min, np.ndarray, dict, lambda: 1, lambda: 2, {"a": 1}, {"a": 2}, os.path.join, build]
    keys = [of(value) for value in values]
    assert len(set(keys)) == len(keys)


def test_nothing_of_a_kernel_is_pickled(monkeypatch):
    """Of those that all jobs use: a pickle takes ten times as long, and may differ between processes."""
    from gpuclust.core.metrics import METRICS
    from gpuclust.kernels.cpu.matrix.square import points_kernel

    def refuse(value):
        raise AssertionError(f"{value!r} is pickled")

    monkeypatch.setattr(module, "dumps", refuse)
    for name in ("euclidean", "cosine", "minkowski", "jaccard"):
        fingerprint(points_kernel(METRICS[name], False, np.dtype("float64")).py_func)
