"""The command ``gpuclust batch``: plans, messages, progress bars and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import batch_folders
import children
import numpy as np
from batch_folders import POINTS, invoke

data = batch_folders.data


def test_quiet_prints_errors_only(tmp_path, data):
    (data / "bad.csv").write_text("a,b\n1,2\n3,x\n4,5\n")
    np.save(data / "good.npy", POINTS)
    inputs = [data / "bad.csv", data / "good.npy"]
    done = invoke("batch", *inputs, "--out", tmp_path / "o", "--quiet", "--plots", "none", "--workers", 1)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"gpuclust: error: bad: {data / 'bad.csv'}: line 3, column 2: 'x' is not a number")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", "/proc/none/of/this"):
        done = invoke("batch", data, "--out", out)
        assert done.exit_code == 2
        assert str(out) in done.stderr
        assert done.stderr.count("\n") == 1


def test_dry_run_prints_plans_and_writes_nothing(tmp_path, data, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    np.save(data / "a.npy", POINTS)
    np.save(data / "b.npy", np.zeros((3, 3, 3)))
    done = invoke("batch", data, "--out", tmp_path / "out", "--dry-run", "-k", 4)
    assert done.exit_code == 1
    assert re.search(r"a +80 x 3 +average +clusters 4 +stored +cpu", done.stdout)
    assert "cannot be looked at" in done.stdout
    assert not (tmp_path / "out").exists()
    done = invoke("batch", data / "a.npy", "--out", tmp_path / "out", "--dry-run", "--log-format", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["algorithm"] == "stored"


def test_command_says_what_came_of_it(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    done = invoke("batch", data, data / "no.csv", "--out", tmp_path / "out", "--plots", "none", "--workers", 1)
    assert done.exit_code == 1
    assert "2 data sets: 1 done, 1 failed" in done.stdout
    assert "no.csv: does not exist" in done.stdout
    assert "gpuclust: failed: no: " in done.stderr
    for wrong, message in (
        (["--method", "wards"], "Did you mean 'ward'"),
        (["--clusters", 2, "--distance", 1], "not several"),
        (["--plots", "some"], "plots must be one of"),
        (["--log-format", "xml"], "format of the log"),
        (["--weights", "1,x"], "got '1,x'"),
    ):
        done = invoke("batch", data, "--out", tmp_path / "no", *wrong)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
    assert not (tmp_path / "no").exists()


def test_bars_for_a_person_at_a_terminal(tmp_path, data):
    import pty

    np.save(data / "a.npy", POINTS)
    (data / "b.csv").write_text("x\n1\n[bold]\n")
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "gpuclust.app.cli", "batch", data, "--out", tmp_path / "out", "--plots", "none"]
    process = children.start([*command, "--workers", "1"], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # the other end is closed
        pass
    said, _ = process.communicate(timeout=children.PATIENCE)
    os.close(ours)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert process.returncode == 1, shown
    assert "failed: b: " in shown
    assert "'[bold]' is not a number" in shown
    assert re.search(r"data sets .*2/2 1 done, 1 failed, [0-9.]+/(s|min)", shown)
    assert b"2 data sets: 1 done, 1 failed" in said


def test_bars_show_what_takes_long(monkeypatch):
    from gpuclust.app.batch import log
    from gpuclust.app.batch.outcome import Outcome

    monkeypatch.setattr(log, "_SHOW_AFTER", 0.0)
    bars = log.Bars()
    bars.begin(2, Path("out"))
    bars.started("large")
    bars.progress("large", "linkage", 30, 100)
    assert [(task.description, task.completed) for task in bars._screen.tasks] == [("data sets", 0), ("large", 30)]
    bars.finished(Outcome(0, "large", "large.npy", Path("out/large"), "done"))
    assert [(task.description, task.completed) for task in bars._screen.tasks] == [("data sets", 1)]
    bars.end([], 1.0)
