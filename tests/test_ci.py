"""The scripts of continuous integration: Pythons found, packages installed, tests counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / ".ci"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

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
    done = subprocess.run([FOLDER / "closing-line"], input=printed, capture_output=True, text=True, check=True)
    assert done.stdout == line + "\n"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_python_behind_a_stub_is_found(tmp_path):
    """pyenv puts a stub for each version it has on PATH; those of versions that are not chosen only say so."""
    script(tmp_path / "bin" / f"python{VERSION}", f"echo 'pyenv: python{VERSION}: command not found' >&2; exit 127")
    script(tmp_path / ".pyenv/versions/one/bin/python3", f'exec "{sys.executable}" "$@"')
    script(tmp_path / ".pyenv/versions/old/bin/python3", "echo 'is older than 3.10' >&2; exit 1")
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    command = [FOLDER / "find-python", "--all"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith(f"{VERSION} ")]) == 1
    assert all(re.fullmatch(r"3\.1[0-4] /.*", line) for line in lines)
    assert "old" not in done.stderr
    assert f"python{VERSION}:" not in done.stderr


def test_that_there_is_no_python_is_said(tmp_path):
    environment = {**os.environ, "PYTHON": str(tmp_path / "python3")}
    script(tmp_path / "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    done = subprocess.run([FOLDER / "find-python"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"Found:\n  {tmp_path}/python3: pyenv: python3: command not found\n" in done.stderr
    assert done.stdout == ""


def test_every_dependency_declares_a_lowest_version():
    extras = ("cuda12", "cuda13", "ptx", "demo", "io", "sklearn", "bench", "test")
    done = subprocess.run([sys.executable, FOLDER / "lowest", *extras], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert all(re.match(r"[\w-]+==\d+(\.\d+)*(;.*)?$", line) for line in lines), lines
    done = subprocess.run([sys.executable, FOLDER / "lowest", "nothing"], capture_output=True, text=True, check=False)
    assert "no extra 'nothing'" in done.stderr
