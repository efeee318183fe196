"""Seeds of the fuzzer (`fuzzing.py`, which also repeats one): a few hundred here, any number in the sweep.

``GPUCLUST_FUZZ_CASES`` is how many seeds the sweep runs of each kind, ``GPUCLUST_FUZZ_FIRST`` where they begin.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fuzz_cases
import fuzzing
import numpy as np
import pytest
from conftest import once
from mutants import methods_for
from mutants_cuda import MUTANTS as CUDA_MUTANTS
from mutants_list import MUTANTS

from gpuclust.algorithms import rounds
from gpuclust.core import sizes

HERE = Path(__file__).resolve().parent
CASES = int(os.environ.get("GPUCLUST_FUZZ_CASES", "20000"))
FIRST = int(os.environ.get("GPUCLUST_FUZZ_FIRST", "1000000"))


def by_program(*arguments: object) -> str:
    """The output of the fuzzer as a program; it is an error if a case fails."""
    command = [sys.executable, str(HERE / "fuzzing.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600 * 12, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("method", [*fuzz_cases.METHODS, "neighbours", "clusters"])
def test_kernels_as_plain_python(method):
    """In small blocks, so that every state is reached with few points; all metrics and both types."""
    assert "0 of 60 cases failed" in by_program("--interpreted", "--method", method, "--count", 60)


@pytest.mark.parametrize("method", once([*fuzz_cases.METHODS, "neighbours", "clusters"]))
def test_compiled_kernels(method):
    """Of one metric, so that little is compiled for this test alone."""
    for seed in range(25):
        case = fuzz_cases.draw(seed, only={"method": method, "metric": "euclidean"})
        if case.dtype == "float64":
            wrong = fuzzing.failure(case)
            assert wrong is None, f"{case}\n{wrong}"


@pytest.mark.sweep
def test_many_cases_as_plain_python():
    by_program("--interpreted", "--first", FIRST, "--count", CASES)


@pytest.mark.sweep
def test_many_compiled_cases():
    by_program("--first", FIRST, "--count", CASES)


def test_a_seed_determines_its_case():
    one, other = fuzz_cases.draw(5), fuzz_cases.draw(5)
    assert one.in_full() == other.in_full()
    np.testing.assert_array_equal(one.X, other.X)


def test_one_seed_is_repeated_and_printed_in_full():
    printed = by_program("--seed", 3, "--interpreted")
    assert "X = np.array(" in printed
    assert "seed 3: " in printed
    assert "gpuclust.algorithms." in printed


def test_every_constant_that_is_drawn_exists_and_is_put_back():
    """A constant that was renamed would no longer be drawn."""
    case = fuzz_cases.draw(0, only={"method": "single"})
    case.settings = {
        (module, name): values[0] for module, names in fuzz_cases.SETTINGS.items() for name, values in names.items()
    }
    before = dict(np.geterr())
    with fuzzing.constants(case):
        pass
    assert np.geterr() == before
    with (
        pytest.raises(AttributeError),
        fuzzing.constants(fuzz_cases.Case(**vars(case) | {"settings": {("gpuclust.core.sizes", "NO_SUCH"): 1}})),
    ):
        pass


def test_a_failing_case_is_told():
    case = fuzz_cases.draw(0, only={"method": "single", "metric": "euclidean"})
    case.settings |= {("gpuclust.algorithms.rounds", "FUSED"): 3, ("gpuclust.core.sizes", "NO_SUCH"): 1}
    assert "NO_SUCH" in str(fuzzing.failure(case))
    assert rounds.FUSED == sizes.FUSED  # constants that were set before are put back


@pytest.mark.parametrize(
    "mutant", [*MUTANTS, *(mutant for mutant, _ in CUDA_MUTANTS)], ids=lambda mutant: mutant.name
)
def test_the_text_of_every_mutant_is_there(mutant):
    """Otherwise ``make test-mutants`` would plant nothing."""
    text = (HERE.parent / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert mutant.file.startswith("kernels/cuda/") or methods_for(mutant.file)
