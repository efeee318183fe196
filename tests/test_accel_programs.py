"""Whole programs under ``python -m gpuclust.accel``: the same output, errors and exit codes, and what is imported."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: An unchanged program; its size is in its arguments.
CLUSTERMAP = """
import sys
import matplotlib
matplotlib.use("Agg")
import numpy as np
import pandas as pd
import plotly.figure_factory
import seaborn
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import pdist

n, m = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
X = rng.normal(size=(n, m)) + 4 * rng.normal(size=(8, m))[rng.integers(0, 8, n)]
grid = seaborn.clustermap(pd.DataFrame(X), method="average", xticklabels=False, yticklabels=False)
print(grid.dendrogram_row.reordered_ind[:20], grid.dendrogram_col.reordered_ind[:20])
Z = linkage(X, "ward")
print(np.round(Z[-3:], 9).tolist(), np.bincount(fcluster(Z, 8, "maxclust")))
figure = plotly.figure_factory.create_dendrogram(X[: n // 4], color_threshold=3)
print(figure.layout.xaxis.ticktext[:20], len(figure.data), figure.data[5].y)
print(round(float(cophenet(Z, pdist(X))[0]), 9))
"""

LEAST = """
import sys
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
import sklearn.cluster

X = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 5))
Z = linkage(X, "ward")
print(np.round(Z[-3:], 9).tolist(), np.bincount(fcluster(Z, 8, "maxclust")), __name__, __file__, sys.argv)
print(np.bincount(sklearn.cluster.AgglomerativeClustering(6, linkage="average").fit_predict(X)))
print(pdist(X).sum())
"""


def run(*arguments: object, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def both(
    program: str, *arguments: object, folder: Path
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """A program by itself, and accelerated."""
    (folder / "program.py").write_text(program)
    alone = run("program.py", *arguments, folder=folder)
    return alone, run("-m", "gpuclust.accel", "program.py", *arguments, folder=folder, GPUCLUST_COMPILE="always")


def test_the_same_output(tmp_path: Path) -> None:
    alone, accelerated = both(LEAST, 1200, folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert (accelerated.stdout, accelerated.stderr) == (alone.stdout, alone.stderr)


@pytest.mark.parametrize("n", [600, pytest.param(5000, marks=pytest.mark.sweep)])
def test_clustermap_and_plotly(n: int, tmp_path: Path) -> None:
    for package in ("seaborn", "plotly"):
        pytest.importorskip(package)
    (tmp_path / "program.py").write_text(CLUSTERMAP)
    alone = run("program.py", n, 200, folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    environment = {"GPUCLUST_COMPILE": "always"}
    accelerated = run("-m", "gpuclust.accel", "-v", "program.py", n, 200, folder=tmp_path, **environment)
    assert accelerated.stdout == alone.stdout
    if n == 5000:
        assert len(re.findall(r"^  \S*linkage: \d+ calls? cpu", accelerated.stderr, re.MULTILINE)) >= 2, (
            accelerated.stderr
        )


def test_scanpy(tmp_path: Path) -> None:
    if importlib.util.find_spec("scanpy") is None:
        pytest.skip("Scanpy is not installed")
    program = """
import anndata
import numpy as np
import pandas as pd
import scanpy
names = [f"cell {k}" for k in range(300)]
groups = pd.Series(pd.Categorical([f"g{k % 7}" for k in range(300)]), index=names)
data = anndata.AnnData(np.random.default_rng(0).normal(size=(300, 20)), obs=pd.DataFrame({"g": groups}))
scanpy.tl.dendrogram(data, "g", use_rep="X")
print(data.uns["dendrogram_g"]["linkage"].tolist())
"""
    alone, accelerated = both(program, folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert accelerated.stdout == alone.stdout


def test_errors_are_those_of_the_program(tmp_path: Path) -> None:
    program = "import scipy.cluster.hierarchy as h\ndef f():\n    h.linkage([[0.0, 1.0], [1.0, 2.0]], 'nope')\nf()\n"
    alone, accelerated = both(program, folder=tmp_path)
    assert alone.returncode == accelerated.returncode == 1
    assert "accel" not in accelerated.stderr

    def lines(text: str) -> list[str]:  # the marks under a line are of the compiled code
        return [line for line in text.splitlines() if line.strip(" ^~")]

    assert lines(accelerated.stderr) == lines(alone.stderr)
    for code in ("raise SystemExit(3)", "import os; os._exit(4)", "import sys; sys.exit('bad')"):
        alone, accelerated = both(code, folder=tmp_path)
        assert (accelerated.returncode, accelerated.stderr) == (alone.returncode, alone.stderr)


def test_modules_options_and_help(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import sys\nprint(__name__, sys.argv[1:], sys.path[0])")
    done = run("-m", "gpuclust.accel", "-m", "module", "-v", "--any-tree", folder=tmp_path)
    assert done.stdout == f"__main__ ['-v', '--any-tree'] {tmp_path}\n", done.stderr
    done = run("-m", "gpuclust.accel", "-v", "--any-tree", "module.py", "-m", folder=tmp_path)
    assert done.stdout == f"__main__ ['-m'] {tmp_path}\n", done.stderr
    assert done.stderr == "gpuclust.accel: no function that can be accelerated was called\n"
    assert "--any-tree" in run("-m", "gpuclust.accel", "-h", folder=tmp_path).stdout
    missing = run("-m", "gpuclust.accel", "nowhere.py", folder=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.startswith("gpuclust.accel: cannot open ")


def test_little_is_imported(tmp_path: Path) -> None:
    """Neither SciPy before the program imports it, nor Numba for little work; modules imported later are served."""
    program = """
import sys
from gpuclust import accel
accel.install()
print([name for name in ("scipy", "numpy", "numba", "sklearn", "fastcluster") if name in sys.modules])
import numpy as np
import scipy.cluster.hierarchy as h
from scipy.cluster.hierarchy import linkage
linkage(np.random.default_rng(0).random((30, 2)))
linkage(np.random.default_rng(0).random((600, 2)))
from gpuclust.accel import routing
print("numba" in sys.modules, *sorted(how for of, how in routing.ledger.entries if of == "linkage"), sep="\\n")
print(h.__loader__.__class__.__name__, h.__spec__.loader is h.__loader__)
"""
    (tmp_path / "program.py").write_text(program)
    done = run("program.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "False",
        "original (as fast, or faster, for this input)",
        "original (little work so far: gpuclust is not loaded)",
        "SourceFileLoader True",
    ]
    assert not {"scipy", "numba", "sklearn"} & set(eval(done.stdout.splitlines()[0]))
