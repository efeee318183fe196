"""``gpuclust plan``: the needs of a linkage, without computing it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import gpuclust
from gpuclust.app.cli import app
from gpuclust.app.plan_report import record
from gpuclust.core.memory import format_bytes


def ask(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["plan", *arguments])
    return found.exit_code, found.output


def test_a_number_of_points():
    code, said = ask("1_000_000", "2", "--method", "ward", "--memory-limit", "8GB", "--device", "cpu")
    assert code == 0
    job = gpuclust.plan(1_000_000, 2, "ward", memory_limit="8GB", device="cpu")
    for words in ("1,000,000 observations", "summaries", "cpu", format_bytes(job.memory), "8 GB: it fits", "about"):
        assert words in said


@pytest.mark.parametrize("number", ["1e6", "1,000,000", "1 000 000", "1_000_000", "1E+6"])
def test_ways_to_write_a_number_of_points(number):
    code, said = ask(number, "2", "--method", "ward")
    assert code == 0
    assert "1,000,000 observations, points of 2 features" in said


def test_what_does_not_fit_ends_with_1_and_says_what_would():
    code, said = ask("200,000", "--method", "average", "--memory-limit", "8GB")
    assert code == 1
    assert "8 GB: it does not fit" in said
    assert "method='single'" in said
    assert "at most about" in said


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "condensed"])
def test_the_shape_of_a_file(tmp_path, kind):
    X = np.arange(60.0).reshape(20, 3)
    path = tmp_path / f"points.{kind.replace('condensed', 'npy')}"
    name, m = str(path), 3
    if kind == "npy":
        np.save(path, X)
    elif kind == "npz":
        np.savez(path, X=X, other=X[0])
        name = f"{path}:X"
    elif kind == "csv":
        np.savetxt(path, X, delimiter=",")
    else:
        np.save(path, np.ones(190))
        m = None
    code, said = ask(name, "--json", "--method", "complete", "--algorithm", "stored", "--memory-limit", "1GB")
    assert code == 0
    expected = gpuclust.plan(20, m, "complete", memory_limit="1GB", algorithm="stored")
    assert json.loads(said) == record(expected)


def test_only_the_header_is_read(tmp_path):
    """Of an array of 8 TB in an .npz file, that is not there."""
    import zipfile

    path = tmp_path / "large.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("X.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000)})
    code, said = ask(str(path), "--method", "single", "--json", "--memory-limit", "1TB")
    assert code == 1
    assert (json.loads(said)["n"], json.loads(said)["m"]) == (10**9, 1000)
    assert json.loads(said)["what_would_fit"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "does not exist; give a whole number of observations, or a file"),
        (["10", "2", "--method", "wards"], "Did you mean 'ward'"),
        (["1", "2"], "n must be at least 2"),
        (["10", "2", "--algorithm", "generic"], "Allowed: 'auto', 'stored', 'hybrid'"),
        (["10", "2", "--memory-limit", "much"], "memory_limit must be"),
    ],
)
def test_what_cannot_be_planned(arguments, message):
    code, said = ask(*arguments)
    assert code == 2
    assert message in said


def test_features_of_a_file_are_in_it(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    code, said = ask(str(tmp_path / "x.npy"), "2")
    assert code == 2
    assert "features are read from" in said
