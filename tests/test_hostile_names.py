"""Invalid values in manifests and on the command line, and names of files that are not UTF-8."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust.app.batch.inputs import collect
from gpuclust.app.cli import app
from gpuclust.app.job.job import Job
from gpuclust.app.job.runner import run
from gpuclust.core.text import displayed

POINTS = np.random.default_rng(5).normal(size=(30, 2))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "path,inconsistent,depth\na.npy,1,inf\n", "line 2: depth must be a finite number, got 'inf'"),
        ("m.csv", "path,clusters,min_size\na.npy,3,nan\n", "line 2: min_size must be a finite number, got 'nan'"),
        ("m.csv", "path,clusters,min_size\na.npy,3,1e300\n", "line 2: min_size must be a whole number of at most"),
        ("m.csv", "path,distance\na.npy,inf\n", "line 2: distance must be a finite number"),
        ("m.csv", f"path,columns\na.npy,{'7' * 5000}\n", "got no error"),
        ("m.csv", f"path,name\na.npy,{'x' * 200_000}\n", "line 2: is no row of a manifest"),
        ("m.csv", "path,name\na\0.npy,x\n", "line 2: "),
        ("m.csv", "path,name\na.npy,x\0y\n", "line 2: "),
        ("m.toml", "[[dataset]]\npath = 'a.npy'\ninconsistent = 1\ndepth = inf\n", "1: depth must be a finite"),
        ("m.toml", f"[[dataset]]\npath = 'a.npy'\nclusters = {'9' * 400}\n", "number 1: clusters must be a number"),
        ("m.toml", f"[[dataset]]\npath = 'a.npy'\nclusters = {'9' * 5000}\n", "m.toml"),
        ("m.toml", f"[[dataset]]\npath = 'a.npy'\nclusters = {'[' * 5000}{']' * 5000}\n", "nested too deeply"),
        ("m.toml", "[[dataset]]\npath = \"a\\u0000.npy\"\n", "number 1: path holds a NUL character"),
        ("m.toml", "[[dataset]]\npath = 'a.npy'\ncolumns = ['²']\n", "got no error"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_located(tmp_path, name, text, message):
    np.save(tmp_path / "a.npy", POINTS)
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = invoke("batch", tmp_path / name, "--out", tmp_path / "o", "--plots", "none", "--no-reports")
    if message == "got no error":  # of the manifest: the data set has no such column
        assert done.exit_code == 1
        assert "a.npy: its columns have no names" in done.stdout
        return
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert name in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 500


def test_mappings_are_checked_too():
    for wrong in ({"depth": float("inf")}, {"clusters": 10**400}, {"min_size": 2**40}, {"columns": [2.5]}):
        with pytest.raises(ValueError, match=f"number 1: {next(iter(wrong))}"):
            collect([{"path": "a.npy", **wrong}], {})


def test_numbers_of_the_command_line_are_bounded(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    for options in (["--inconsistent", 1, "--depth", 10**30], ["-k", 3, "--min-size", 10**30]):
        done = invoke("run", tmp_path / "a.npy", "--out", tmp_path / "o", *options)
        assert done.exit_code == 2
        assert "at most 2,147,483,647, got 1" in done.stderr


def latin(folder, name=b"caf\xe9.csv"):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    try:
        path.write_text("x,y\n" + "\n".join(f"{a},{b}" for a, b in POINTS))
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    return path


def test_displayed():
    assert displayed("plain text, n\u00e4me") == "plain text, n\u00e4me"
    assert displayed(os.fsdecode(b"caf\xe9")) == "caf\\xe9"
    assert displayed("a\x1b[31m\nb\u202ec\x00") == "a\\x1b[31m\\x0ab\\u202ec\\x00"
    assert displayed("\udcc3\udca9") == "\u00e9", "bytes of UTF-8, as a system without it gives them"
    assert displayed("\ud800") == "\\ud800"
    assert displayed(Path("a/b")) == "a/b"


def test_a_name_that_is_not_utf8_in_a_run(tmp_path):
    path = latin(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "gpuclust.app.cli", "run", path, "--report", "--no-plots", "--out", tmp_path / "o"],
        env=ENVIRONMENT, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "o" / "run.json").read_text(encoding="utf-8"))
    assert os.fsencode(record["input"]["path"]) == os.fsencode(path), "kept as bytes"
    assert "caf\\xe9.csv" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    missing = latin(tmp_path, b"\xff.csv")
    missing.unlink()
    done = invoke("run", missing, "--out", tmp_path / "p")
    assert done.exit_code == 2
    assert "\\xff.csv: does not exist" in done.stderr


def test_names_that_are_not_utf8_in_a_batch(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    latin(data)
    latin(data, b"caf\xe8.csv")
    latin(data, b"bad\xff.csv").write_text("x\nword\n")
    np.save(data / "good.npy", POINTS)
    done = invoke("batch", data, "--out", tmp_path / "out", "--plots", "none", "--workers", 1)
    assert done.exit_code == 1, done.output
    assert "4 data sets: 3 done, 1 failed" in done.stdout
    with open(tmp_path / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"caf_xe9", "caf_xe8", "bad_xff", "good"}
    assert rows["caf_xe9"]["data"].endswith("caf\\xe9.csv")
    assert "caf_xe9" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    again = invoke("batch", data, "--out", tmp_path / "out", "--plots", "none", "--workers", 1)
    assert "3 unchanged" in again.stdout


def test_the_command_in_a_report_does_it_again(tmp_path):
    from gpuclust.app.report.report import command, program

    path = latin(tmp_path, b"it's caf\xe9.csv")
    job = Job(str(path), tmp_path / "o", plots=False, report=True)
    run(job)
    line = command(job)
    assert line.isascii()
    shown = subprocess.run(["bash", "-c", f"printf '%s' {line.split(' ', 2)[2]}"], capture_output=True)
    assert shown.stdout.startswith(os.fsencode(path))
    scope: dict = {}
    exec(program(job), scope)
    assert scope["X"].shape == (30, 2)
