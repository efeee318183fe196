"""A minute's selection of tests, for differences between versions of Python and of dependencies.

``make smoke`` runs it on the installed package, on each Python that is found and with the lowest versions of all
dependencies; ``make test`` runs all tests, on one Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from conftest import EMULATED, METHODS
from scipy.spatial.distance import pdist, squareform
from typer.testing import CliRunner

import gpuclust
from gpuclust import batch, hierarchy
from gpuclust.app.cli import app
from gpuclust.core import devices

POINTS = np.random.default_rng(1).normal(size=(60, 3))


@pytest.mark.parametrize("method", METHODS)
def test_linkage_of_points_is_scipys(method):
    np.testing.assert_allclose(gpuclust.linkage(POINTS, method), reference.linkage(POINTS, method), rtol=1e-12)


def test_linkage_of_distances_is_scipys():
    y = pdist(POINTS, "cityblock")
    np.testing.assert_allclose(gpuclust.linkage(y, "average"), reference.linkage(y, "average"), rtol=1e-12)


def length(Z, y):
    """Of the way from leaf to leaf."""
    order = reference.leaves_list(Z)
    return squareform(y)[order[1:], order[:-1]].sum()


def test_hierarchy_is_scipys():
    Z = reference.linkage(POINTS, "average")
    y = pdist(POINTS)
    np.testing.assert_array_equal(hierarchy.fcluster(Z, 5, "maxclust"), reference.fcluster(Z, 5, "maxclust"))
    np.testing.assert_array_equal(hierarchy.fcluster(Z, 1.1), reference.fcluster(Z, 1.1))
    np.testing.assert_allclose(hierarchy.cophenet(Z, y)[0], reference.cophenet(Z, y)[0], rtol=1e-12)
    np.testing.assert_allclose(hierarchy.inconsistent(Z), reference.inconsistent(Z), rtol=1e-12, atol=1e-15)
    ordered, theirs = (module.optimal_leaf_ordering(Z, y) for module in (hierarchy, reference))
    assert length(ordered, y) <= length(theirs, y) * (1 + 1e-12)  # SciPy's is not always the shortest
    ours, theirs = (module.dendrogram(Z, no_plot=True) for module in (hierarchy, reference))
    assert ours["ivl"] == theirs["ivl"]
    assert ours["color_list"] == theirs["color_list"]


def test_command_line(tmp_path):
    np.save(tmp_path / "points.npy", POINTS)
    out = tmp_path / "out"
    command = ["run", str(tmp_path / "points.npy"), "--method", "ward", "--clusters", "4", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--report"])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(np.load(out / "Z.npy"), reference.linkage(POINTS, "ward"), rtol=1e-12)
    assert (out / "dendrogram.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.html").stat().st_size > 1000
    assert json.loads((out / "run.json").read_text())["result"]["clusters"] == 4
    for help_of in ("run", "batch", "plan", "compare"):
        done = CliRunner().invoke(app, [help_of, "--help"])
        assert done.exit_code == 0
        assert "--" in done.output


def test_batch(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", POINTS)
    outcomes = batch.run([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "out", workers=1, clusters=3)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    assert (tmp_path / "out" / "a" / "report.html").stat().st_size > 1000


def test_the_installed_command_answers():
    done = subprocess.run([Path(sys.executable).with_name("gpuclust"), "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"gpuclust {gpuclust.__version__}\n"), done.stderr


@pytest.mark.skipif(EMULATED, reason="kernels are compiled in the run without emulation")
def test_a_kernel_for_cuda_compiles_without_a_warning():
    """With the NumPy that is here: importing numba.cuda warns with NumPy 2.5, and it finds no ``numpy.row_stack``."""
    pytest.importorskip("numba_cuda")
    program = (
        "import numpy\n"
        "from gpuclust.kernels.cuda import inspection, tiles\n"
        "kernel = next(iter(tiles.kernels()))\n"
        "if inspection.has_compiler():\n"
        "    assert all('.entry' in ptx for ptx in inspection.compile(kernel).values())\n"
        "print(hasattr(numpy, 'row_stack') == (numpy.lib.NumpyVersion(numpy.__version__) < '2.5.0'))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.toolkit_version()
