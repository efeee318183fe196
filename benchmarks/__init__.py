"""Benchmarks of gpuclust and other programs, with checks of their results. See README.md."""

import sys
from pathlib import Path

# For trees, and the verifier of tied ones, by the names under which the tests import them: compiled code is kept on
# disk with these names in it.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
