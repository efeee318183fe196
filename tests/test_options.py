"""An option of a data set is one entry: tried by adding one to a copy of the source."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuclust
from gpuclust.app.batch import engine
from gpuclust.app.batch.command import batch as command
from gpuclust.app.cut import Cut
from gpuclust.app.job.job import Job
from gpuclust.app.options import OPTIONS, TABLE, Options, command_line, from_command_line, recorded

ROOT = Path(__file__).parents[1]
ANCHOR = '    device: str = option("auto"'
ADDED = """    optimal_ordering: bool = option(
        False, parsers.flag, "Order the leaves.", shown=bool, call="linkage", argument="optimal_ordering"
    )
"""
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from typer.testing import CliRunner
from gpuclust.app.batch.manifest import read_manifest
from gpuclust.app.cli import app
from gpuclust.app.job.job import Job
from gpuclust.app.report.report import command, program

folder = Path(sys.argv[1])
invoke = lambda *words: CliRunner().invoke(app, list(words), terminal_width=120)
(folder / "m.csv").write_text("path,optimal_ordering\\npoints.npy,yes\\n")
given = dict(read_manifest(folder / "m.csv"))
job = Job(str(folder / "points.npy"), folder / "out", optimal_ordering=True)
done = invoke("run", str(folder / "points.npy"), "--optimal-ordering", "--no-plots", "--out", str(folder / "out"))
print(json.dumps({
    "help": [name for name in ("run", "batch") if "--optimal-ordering" in invoke(name, "--help").output],
    "manifest": given["points.npy"],
    "command": command(job),
    "program": program(job),
    "code": done.exit_code,
    "recorded": json.loads((folder / "out" / "run.json").read_text())["parameters"]["optimal_ordering"],
    "Z": np.load(folder / "out" / "Z.npy").tolist(),
}))
"""


def test_an_option_takes_one_entry(tmp_path):
    copy = tmp_path / "copy"
    unfinished = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")
    for name in ("gpuclust", "kernels"):  # with the compiled kernels, if they are kept there: none of them changes
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=unfinished)
    table = copy / "gpuclust" / "app" / "options.py"
    text = table.read_text()
    assert text.count(ANCHOR) == 1
    table.write_text(text.replace(ANCHOR, ADDED + ANCHOR))
    X = np.random.default_rng(0).normal(size=(30, 2))
    np.save(tmp_path / "points.npy", X)
    environment = os.environ | {"PYTHONPATH": str(copy), "GPUCLUST_COMPILE": "auto"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["help"] == ["run", "batch"]
    assert found["manifest"] == {"optimal_ordering": True}
    assert "--optimal-ordering" in found["command"]
    assert "linkage(X, 'average', 'euclidean', optimal_ordering=True)" in found["program"]
    assert (found["code"], found["recorded"]) == (0, True)
    np.testing.assert_array_equal(found["Z"], gpuclust.linkage(X, "average", optimal_ordering=True))


#: A value of each option that is not its default, and what the command line says for it.
VALUES = {
    "method": ("ward", ["--method", "ward"]),
    "metric": ("minkowski", ["--metric", "minkowski"]),
    "p": (3.0, ["--p", "3"]),
    "weights": ((1.0, 0.1), ["--weights", "1,0.10000000000000001"]),
    "columns": (("a b", "2"), ["--columns", "a b,2"]),
    "exclude": (("0", "id"), ["--exclude", "0,id"]),
    "header": (False, ["--no-header"]),
    "index": ("none", ["--index", "none"]),
    "decimal": (",", ["--decimal", ","]),
    "missing": ("median", ["--missing", "median"]),
    "transpose": (True, ["--transpose"]),
    "heatmap": (True, ["--heatmap"]),
    "standardize": ("robust", ["--standardize", "robust"]),
    "pca": (3, ["--pca", "3"]),
    "precomputed": (True, ["--precomputed"]),
    "clusters": (3.0, ["--clusters", "3"]),
    "distance": (0.5, ["--distance", "0.5"]),
    "inconsistent": (1.25, ["--inconsistent", "1.25"]),
    "depth": (3, ["--depth", "3"]),
    "min_size": (2, ["--min-size", "2"]),
    "dtype": ("float32", ["--dtype", "float32"]),
    "labels_format": ("parquet", ["--labels-format", "parquet"]),
    "write": (("clustered", "hclust"), ["--write", "clustered,hclust"]),
    "format": (("svg", "pdf"), ["--format", "svg,pdf"]),
}


def test_all_options_are_here():
    assert VALUES.keys() == OPTIONS.keys() - {"device"}
    assert OPTIONS.keys() <= set(Job.__dataclass_fields__)


@pytest.mark.parametrize("name", VALUES)
def test_the_command_gives_back_the_option(name):
    value, expected = VALUES[name]
    words = command_line(Options(**{name: value}))
    assert words == expected
    given = words[1] if len(words) == 2 else not words[0].startswith("--no-")
    assert from_command_line({name: given}) == {name: value}


def test_several_cuts_have_headings():
    options = Options(**from_command_line({"clusters": "2, 5;10"}))
    assert options.clusters == (2.0, 5.0, 10.0)
    assert {title: str(cut) for title, cut in options.cuts.items()} == {
        "clusters_2": "clusters 2", "clusters_5": "clusters 5", "clusters_10": "clusters 10",
    }  # fmt: skip
    assert options.cut == Cut("maxclust", 2.0)
    assert list(Options(distance=(0.5, 1e-9)).cuts) == ["distance_0.5", "distance_1e-09"]
    assert list(Options(distance=0.5).cuts) == ["label"]
    assert command_line(options) == ["--clusters", "2,5,10"]
    assert recorded(json.loads(json.dumps(dataclasses.asdict(options)))) == options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"write": ("clustered",)}, "clustered.csv holds labels: give a cut"),
        ({"write": ("clustered",), "clusters": 2, "transpose": True}, "goes with neither precomputed nor transpose"),
        (
            {"missing": "drop", "precomputed": True},
            "missing, transpose, standardize, pca and heatmap mean nothing to precomputed",
        ),
        ({"exclude": ()}, "columns and exclude must name at least one column"),
        ({"pca": 0}, "number of principal components must be at least 1, got 0"),
        ({"clusters": (2, 0)}, "number of clusters must be at least 1, got 0"),
        ({"clusters": (2, 3), "distance": 1.0}, "give one of clusters, distance and inconsistent, not several"),
    ],
)
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(ValueError, match=message):
        Options(**given).check()


def test_defaults_are_not_written():
    assert command_line(Options()) == []
    assert from_command_line({name: default for name, (_, default) in TABLE.items()}) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": "1,x"}, "--weights must be finite numbers, like 1,1,0.5, got '1,x'"),
        ({"weights": "1,inf"}, "--weights must be finite numbers, like 1,1,0.5, got '1,inf'"),
        ({"missing": "skip"}, "--missing must be auto, error, drop, mean or median, got 'skip'"),
        ({"decimal": ";"}, "--decimal must be . or ,, got ';'"),
        ({"pca": "two"}, "--pca must be a number"),
        ({"clusters": "2,2"}, "--clusters must be a number, or several different ones, got '2,2'"),
        ({"clusters": "2,x"}, "--clusters must be a number, got '2,x'"),
        ({"write": "tree"}, "--write must be clustered, newick or hclust, got 'tree'"),
        ({"format": "png,gif"}, "--format must be png, svg or pdf, got 'png,gif'"),
        ({"min_size": 2**40}, "--min-size must be a whole number of at most 2,147,483,647"),
    ],
)
def test_values_of_the_wrong_kind(given, message):
    with pytest.raises(ValueError, match=message):
        from_command_line(given)


@pytest.mark.parametrize("function", [command, engine.run])
def test_documentation_names_all_options(function):
    assert "{options}" not in function.__doc__
    for name in OPTIONS:
        assert name in function.__doc__
