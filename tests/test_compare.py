"""`gpuclust compare`: results of other programs, and programs that are unsuitable, fail, hang or are wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from rich.console import Console
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score
from typer.testing import CliRunner

from gpuclust.app.cli import app
from gpuclust.app.compare import compare, peers
from gpuclust.app.compare.compare import ComparisonError, Options
from gpuclust.app.compare.peers import PEERS, Size, Task
from gpuclust.errors import DoesNotFit, InputFileError
from gpuclust.hierarchy.correspondence import adjusted_rand_index

X = np.random.default_rng(5).normal(size=(90, 3))
OTHERS = [name for name in PEERS if name != "gpuclust" and PEERS[name].installed]


@pytest.fixture
def points(tmp_path):
    np.save(tmp_path / "points.npy", X)
    return tmp_path / "points.npy"


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Puts a module in the place of fastcluster, in the processes that are started."""

    pytest.importorskip("fastcluster")

    def put(code):
        folder = tmp_path / "instead"
        folder.mkdir()
        (folder / "fastcluster.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return put


def test_every_program_gives_our_tree():
    found = compare.compare(X, OTHERS, Task("single"), Options(clusters=4))
    assert [run.program for run in found.runs] == ["gpuclust", *OTHERS]
    assert {run.status for run in found.runs} == {"done"}
    assert len(found.runs) >= 4
    assert found.ok
    for run in found.runs[1:]:
        assert run.height_difference == 0.0
        assert run.same_clusters
        assert run.adjusted_rand_index == 1.0
        assert run.times == pytest.approx(run.seconds / found.runs[0].seconds)
        assert 10**7 < run.peak_memory_bytes < 10**9
    assert (found.clusters, found.suggested, found.n, found.m, found.equal_distances) == (4, False, 90, 3, 0.0)


def test_on_the_command_line(points):
    pytest.importorskip("quitefastmst")
    done = CliRunner().invoke(app, ["compare", str(points), "-m", "ward", "--against", "scipy,quitefastmst"])
    assert done.exit_code == 0, done.output
    assert "ward linkage, euclidean, float64" in done.output
    assert "the same" in done.output
    assert "quitefastmst skipped: makes spanning trees" in done.output
    assert "is the number that the elbow suggests" in done.output


def test_as_json(points):
    arguments = ["--metric", "minkowski", "--p", "3", "--sample", "40", "-k", "5", "--threads", "1", "--json"]
    done = CliRunner().invoke(app, ["compare", str(points), "--against", "scipy,sklearn", *arguments])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["task"]["p"] == 3.0
    assert (record["n"], record["m"], record["clusters"], record["ok"]) == (40, 3, 5, True)
    ours, scipy, sklearn = record["runs"]
    assert ours["height_difference"] is None
    assert scipy["relative_difference"] < 1e-12
    assert scipy["version"]
    assert (sklearn["status"], sklearn["reason"]) == ("skipped", "takes no p")


def test_condensed_distances_and_booleans():
    # What cannot do it is not even looked for.
    found = compare.compare(pdist(X), ["scipy", "fastcluster.linkage_vector", "sklearn"], Task("average"))
    assert found.m is None
    assert [run.reason for run in found.runs] == ["", "", "takes points only", "takes no condensed distances"]
    assert found.runs[1].relative_difference < 1e-12
    booleans = compare._observations(X > 0, Task("average", "jaccard"))
    assert booleans.dtype == bool
    assert compare.equal_distances(booleans, Task("average", "cityblock")) > 0.9


def test_a_program_that_is_wrong(points, instead):
    instead(
        "from scipy.cluster.hierarchy import linkage as right\n"
        "def linkage(X, method, metric):\n"
        "    return right(X) * [1, 1, 1.001, 1]\n"
    )
    done = CliRunner().invoke(app, ["compare", str(points), "-m", "single", "--against", "fastcluster"])
    assert done.exit_code == 1
    assert "the same" in done.output
    assert "Heights differ by more than rounding. No distance" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("code", "timeout", "status", "reason"),
    [
        ("def linkage(X, *rest):\n    raise ValueError('no such luck')\n", 600, "failed", "ValueError: no such luck"),
        ("import os\nos.kill(os.getpid(), 9)\n", 600, "failed", "was ended by SIGKILL (out of memory?)"),
        ("import time\ntime.sleep(100_000)\n", 1, "timeout", "stopped after 1 s"),
    ],
)
def test_a_program_that_fails_or_hangs(points, instead, code, timeout, status, reason):
    instead(code)
    options = Options(timeout=timeout)
    found, tree = compare._measure("fastcluster", Task("single"), points, 90, options)
    assert (found.status, found.reason, tree) == (status, reason, None)
    ours = compare.Run("gpuclust", None, "done", seconds=1.0, times=1.0)
    record = compare.Comparison(Task("single"), 90, 3, 2, True, 1.0, 0.0, [ours, found])
    assert not record.ok
    screen = Console(file=io.StringIO(), width=100)
    compare.show(record, "points.npy", screen)
    assert reason in screen.file.getvalue()


def test_a_program_that_would_not_fit_is_not_started(monkeypatch):
    monkeypatch.setattr(compare, "available_memory", lambda: 10**8)
    monkeypatch.setattr(compare, "_measure", lambda *arguments: pytest.fail("started"))
    assert compare._obstacle("scipy", Task("average"), Size(20_000, 16)) == (
        "would need 3.4 GB of memory, and 100 MB may be used"
    )
    assert compare._obstacle("scipy", Task("average", memory_limit=10**10), Size(20_000, 16)) == ""
    with pytest.raises(DoesNotFit):
        compare.compare(X, ["scipy"], Task("average", memory_limit=1000))


def test_what_is_refused(points, monkeypatch):
    with pytest.raises(ValueError, match=r"Unknown program to compare with 'scypi'\. Did you mean 'scipy'"):
        compare.choose(["scypi"])
    for options in ({"clusters": 0}, {"sample": 1}, {"repeat": 0}, {"timeout": float("nan")}, {"threads": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            compare.compare(X, ["scipy"], options=Options(**options))
    with pytest.raises(ValueError, match="91 clusters were asked for, but there are 90 observations"):
        compare.compare(X, ["scipy"], options=Options(clusters=91))
    with pytest.raises(ValueError, match="requires the distance metric to be Euclidean, got 'cosine'"):
        compare.compare(X, ["scipy"], Task("ward", "cosine"))
    with pytest.raises(InputFileError, match="Points must be finite, got nan in row 0, column 0"):
        compare.compare(np.array([[np.nan], [1.0]]), ["scipy"])
    with pytest.raises(ComparisonError, match=r"gpuclust: stopped after 0\.01 s"):
        compare.compare(X, ["scipy"], options=Options(timeout=0.01))
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["compare", str(points), "--against", "sklearn"])
    assert done.exit_code == 1
    assert "sklearn is not installed: pip install scikit-learn (or 'gpuclust[bench]'" in done.output
    with pytest.raises(ComparisonError, match="None of scipy, fastcluster, sklearn is installed: pip install scipy"):
        compare.choose(None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_program_outlives_us(points, instead, tmp_path, number):
    note = tmp_path / "pid"
    instead(f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()) + '.')\ntime.sleep(100_000)\n")
    command = [sys.executable, "-m", "gpuclust.app.cli", "compare", str(points), "--against", "fastcluster"]
    path = os.pathsep.join([str(Path(compare.__file__).parents[1]), os.environ["PYTHONPATH"]])
    process = children.start(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    pid = _wait_for(lambda: note.exists() and note.read_text().endswith(".") and int(note.read_text()[:-1]))
    process.send_signal(number)
    process.wait(timeout=children.PATIENCE)
    try:
        _wait_for(lambda: not _runs(pid))
    except pytest.fail.Exception:
        os.kill(pid, signal.SIGKILL)
        raise


def _wait_for(condition, seconds=children.PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    return pytest.fail("it never came")


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("method", ["single", "complete", "average", "ward"])
def test_trees_of_programs_that_give_none(method):
    model = PEERS["sklearn"].load(Task(method))(X)
    np.testing.assert_allclose(PEERS["sklearn"].tree(model), reference.linkage(X, method), rtol=1e-12)


def test_parts_and_differences_and_agreement():
    rows = np.array([0, 3, 4, 50, 89])
    np.testing.assert_array_equal(peers.part_of(X, rows), X[rows])
    np.testing.assert_array_equal(peers.part_of(pdist(X), rows), squareform(squareform(pdist(X))[np.ix_(rows, rows)]))
    assert compare.differences(np.array([2.0, 0.0, 1.0]), np.array([0.0, 1.0, 2.0])) == (0.0, 0.0)
    assert compare.differences(np.array([0.0, 1.0, 4.0]), np.array([0.1, 1.5, 4.0])) == (0.5, pytest.approx(1 / 3))
    assert compare.differences(np.array([0.0, 4.0]), np.array([1.0, 4.0])) == (1.0, 0.25)
    first, second = np.random.default_rng(0).integers(0, 9, (2, 200))
    assert adjusted_rand_index(first, second) == pytest.approx(adjusted_rand_score(first, second))
