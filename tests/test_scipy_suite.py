"""SciPy's own tests of ``cluster.hierarchy`` and of distances, run on gpuclust in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

#: SciPy's own tests by where they may be: before SciPy 1.18, and since.
HIERARCHY = [
    ["scipy.cluster.tests.test_hierarchy", "scipy.cluster.tests.test_disjoint_set"],
    ["scipy.cluster.hierarchy.tests"],
]
DISTANCE = [["scipy.spatial.tests.test_distance"]]


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False


def run_suite(places: list[list[str]], at_least: int, folder: Path, plugin: str, compile: str = "always") -> str:
    """Run the tests of the first of ``places`` that is installed, with a plugin; returns what pytest printed.

    With ``compile="auto"`` small jobs are done without compiled kernels.
    """
    found = [modules for modules in places if all(map(is_installed, modules))]
    if not found:
        pytest.skip(f"{places[0][0].partition('.')[0]} was installed without its tests")
    (folder / "pytest.ini").write_text("[pytest]\n")  # not our settings
    report = folder / "report.xml"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", "pytest", "--pyargs", *found[0], "-q", "-p", plugin, "-p", "no:xdist"]
    command += ["-c", str(folder / "pytest.ini"), "--rootdir", str(folder), f"--junitxml={report}"]
    command += ["-o", f"cache_dir={folder / 'cache'}", "--tb=short"]
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg", "PYTEST_ADDOPTS": ""}
    environment |= {"GPUCLUST_COMPILE": compile, "GPUCLUST_NUM_THREADS": "1"}  # no other process compiles, either
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    passed = [case for case in ET.parse(report).iter("testcase") if not len(case.findall("*"))]
    assert len(passed) >= at_least, f"only {len(passed)} tests passed:\n{done.stdout[-2_000:]}"
    return done.stdout


@pytest.mark.parametrize("compile", ["auto", pytest.param("always", marks=pytest.mark.sweep)])
@pytest.mark.parametrize(("places", "at_least"), [(HIERARCHY, 110), (DISTANCE, 420)], ids=["hierarchy", "distance"])
def test_scipys_own_tests_pass(places: list[list[str]], at_least: int, compile: str, tmp_path: Path) -> None:
    """What users see first, small jobs without compiled kernels; in the sweep with them. Both have the same bits."""
    run_suite(places, at_least, tmp_path, "scipy_plugin", compile)
