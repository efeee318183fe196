"""The closing line of .ci/run: what several runs of pytest have counted, together."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "closing-line"

pytestmark = pytest.mark.skipif(shutil.which("awk") is None, reason="awk is not on PATH")


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("ruff\n12 passed in 3.20s\n", "12 passed in 3.2s (1 run)"),
        (
            "12 passed, 3 skipped, 7 deselected, 1 warning in 3.20s\n...\n"
            "=== 1 failed, 700 passed, 2 errors in 400.00s (0:06:40) ===\n",
            "1 failed, 712 passed, 2 errors, 3 skipped in 403.2s (2 runs)",
        ),
        ("=== 1 error in 0.12s ===\n", "1 errors in 0.1s (1 run)"),
        ("no tests ran in 0.10s\n", "no tests ran in 0.1s (1 run)"),
        ("12 passed the exam in 3 years\n", "pytest did not run to its end: see above"),
        ("", "pytest did not run to its end: see above"),
    ],
)
def test_closing_lines_are_summed(printed, line):
    done = subprocess.run([SCRIPT], input=printed, capture_output=True, text=True, check=True)
    assert done.stdout == line + "\n"
