"""The command line: files and output of a run, exit codes, the demonstration, and Ctrl-C."""

from __future__ import annotations

import csv
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
from scipy.spatial.distance import pdist
from typer.testing import CliRunner

from gpuclust.app import demo, tutorial
from gpuclust.app.cli import app
from gpuclust.app.compare import peers
from gpuclust.app.cut import Cut
from gpuclust.app.data.opening import sha256_of
from gpuclust.app.job import results
from gpuclust.app.job.job import Job
from gpuclust.app.options import recorded
from gpuclust.app.terminal import stoppable
from gpuclust.hierarchy.correspondence import adjusted_rand_index

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
POINTS = np.random.default_rng(1).normal(size=(60, 3))


@pytest.fixture
def points(tmp_path):
    np.save(tmp_path / "points.npy", POINTS)
    return tmp_path / "points.npy"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(folder):
    return np.load(folder / "Z.npy"), json.loads((folder / "run.json").read_text())


def labels_in(folder):
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("options", "criterion", "threshold", "depth"),
    [
        (["--clusters", 4], "maxclust", 4, 2),
        (["--distance", 1.3], "distance", 1.3, 2),
        (["--inconsistent", 0.9], "inconsistent", 0.9, 2),
        (["--inconsistent", 1.1, "--depth", 4], "inconsistent", 1.1, 4),
    ],
)
def test_run_gives_what_scipy_gives(points, tmp_path, options, criterion, threshold, depth):
    out = tmp_path / "results"
    done = invoke(
        "run", points, "--method", "complete", "--metric", "cityblock", "--out", out, "--no-plots", *options
    )
    assert done.exit_code == 0, done.output
    Z, record = read(out)
    expected = reference.linkage(POINTS, "complete", "cityblock")
    np.testing.assert_allclose(Z, expected, rtol=1e-12)
    labels = [int(row["label"]) for row in labels_in(out)]
    np.testing.assert_array_equal(labels, reference.fcluster(expected, threshold, criterion, depth))
    assert [int(row["row"]) for row in labels_in(out)] == list(range(60))
    assert record["result"]["clusters"] == max(labels)
    assert record["parameters"][{"maxclust": "clusters"}.get(criterion, criterion)] == threshold
    assert recorded(record["parameters"]).cut == Cut(criterion, threshold, depth)
    assert sorted(os.listdir(out)) == sorted(record["files"]) == ["Z.npy", "labels.csv", "run.json"]


def test_run_records_what_it_did(points, tmp_path):
    done = invoke("run", points, "--method", "ward", "--clusters", 3, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    _, record = read(tmp_path / "o")
    assert sorted(os.listdir(tmp_path / "o")) == ["Z.npy", "dendrogram.png", "elbow.png", "labels.csv", "run.json"]
    assert record["input"]["sha256"] == sha256_of(points)
    assert record["input"]["shape"] == [60, 3]
    assert record["parameters"]["method"] == "ward"
    assert record["device"] == "cpu"
    assert record["algorithm"]
    assert {"reading", "linkage", "cutting", "writing", "drawing", "total"} == set(record["seconds"])
    assert sum(record["seconds"].values()) <= 2 * record["seconds"]["total"] + 0.001
    assert record["peak_memory_bytes"] > 10**7
    assert record["versions"]["numpy"] == np.__version__
    assert "3 of sizes" in done.output
    for name in ("dendrogram.png", "elbow.png"):
        assert (tmp_path / "o" / name).read_bytes().startswith(b"\x89PNG")


def test_run_without_a_cut_only_suggests(points, tmp_path):
    done = invoke("run", points, "--out", tmp_path / "o", "--no-plots")
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir(tmp_path / "o")) == ["Z.npy", "run.json"]
    assert "elbow suggests" in done.output
    assert "not cut" in done.output
    assert read(tmp_path / "o")[1]["result"]["clusters"] is None


def test_a_second_run_leaves_nothing_of_the_first(points, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert invoke("run", points, "--clusters", 3, "--out", out).exit_code == 0
    assert invoke("run", points, "--out", out, "--no-plots").exit_code == 0
    assert sorted(os.listdir(out)) == ["Z.npy", "mine.txt", "run.json"]


def test_names_of_rows_reach_the_labels(tmp_path):
    (tmp_path / "t.csv").write_text('who,x\nann,0\nbob,1\n"c, d",9\n')
    done = invoke("run", tmp_path / "t.csv", "--clusters", 2, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert [(row["name"], row["label"]) for row in labels_in(tmp_path / "o")] == [
        ("ann", "1"),
        ("bob", "1"),
        ("c, d", "2"),
    ]
    assert "row names" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("options", "metric", "arguments"),
    [
        (["--metric", "minkowski", "--p", 3], "minkowski", {"p": 3}),
        (["--metric", "minkowski", "--p", 1], "cityblock", {}),
        (["--metric", "minkowski", "--p", 3, "--weights", "1,2,0.5"], "minkowski", {"p": 3, "w": [1, 2, 0.5]}),
        (["--metric", "canberra", "--weights", "1,2,0.5"], "canberra", {"w": [1, 2, 0.5]}),
    ],
)
def test_options_of_metrics(points, tmp_path, options, metric, arguments):
    done = invoke("run", points, "--out", tmp_path / "o", "--no-plots", "--quiet", *options)
    assert done.exit_code == 0, done.output
    assert done.output == ""
    expected = reference.linkage(pdist(POINTS, metric, **arguments), "average")
    np.testing.assert_allclose(read(tmp_path / "o")[0], expected, rtol=1e-12)


def test_condensed_distances_and_two_observations(tmp_path):
    np.save(tmp_path / "d.npy", pdist(POINTS))
    assert invoke("run", tmp_path / "d.npy", "--out", tmp_path / "o", "--no-plots").exit_code == 0
    Z, record = read(tmp_path / "o")
    np.testing.assert_allclose(Z, reference.linkage(pdist(POINTS), "average"), rtol=1e-12)
    assert record["input"]["kind"] == "condensed distances"
    assert record["input"]["n"] == 60
    np.save(tmp_path / "two.npy", POINTS[:2])
    done = invoke("run", tmp_path / "two.npy", "--out", tmp_path / "two", "-k", 1)
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "two")[1]["result"]["suggested_clusters"] is None
    assert "elbow.png" not in os.listdir(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "wards"], "Did you mean 'ward'"),
        (["--metric", "euclidian"], "Did you mean 'euclidean'"),
        (["--method", "ward", "--metric", "cityblock"], "Euclidean"),
        (["--clusters", 2, "--distance", 3], "not several"),
        (["--depth", 3], "depth goes with inconsistent"),
        (["--clusters", 0], "at least 1, got 0"),
        (["--clusters", 61], "61 clusters were asked for, but there are 60 rows"),
        (["--distance", "nan"], "--distance must be a finite number, got 'nan'"),
        (["--distance", "-1"], "must be a number >= 0, got -1"),
        (["--inconsistent", 1, "--depth", 0], "depth of inconsistency must be at least 1, got 0"),
        (["--p", 3], "means nothing to euclidean"),
        (["--metric", "minkowski", "--p", "-1"], "p must be greater than 0"),
        (["--weights", "1,2"], "2 weights were given for 3 columns"),
        (["--weights", "1,b,2"], "got '1,b,2'"),
        (["--metric", "mahalanobis", "--weights", "1,1,1"], "takes no weights"),
        (["--dtype", "float16"], "float16"),
        (["--memory-limit", "much"], "'much'"),
    ],
)
def test_bad_options_are_refused_in_one_line(points, tmp_path, options, message):
    done = invoke("run", points, "--out", tmp_path / "o", *options)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.startswith("gpuclust: error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o" / "run.json").exists()


def test_bad_data_are_refused_in_one_line(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,x\n")
    for data in (tmp_path / "t.csv", tmp_path / "none.npy"):
        done = invoke("run", data, "--out", tmp_path / "o")
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert str(data) in done.stderr
        assert not (tmp_path / "o").exists()
    np.save(tmp_path / "nan.npy", np.array([[0.0, 1.0], [2.0, np.nan]]))
    np.save(tmp_path / "five.npy", np.ones(5))
    for name, message in (("nan.npy", "got nan in row 1, column 1"), ("five.npy", "got 5")):
        done = invoke("run", tmp_path / name, "--out", tmp_path / "o")
        assert done.exit_code == 2
        assert name in done.stderr
        assert message in done.stderr
    done = invoke("run", tmp_path / "t.csv", "--out", tmp_path / "t.csv")
    assert done.exit_code == 2
    assert "is a file, a folder is needed" in done.stderr
    np.save(tmp_path / "condensed.npy", np.ones(3))
    done = invoke("run", tmp_path / "condensed.npy", "--weights", "1", "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "condensed" in done.stderr


def test_other_failures_have_another_exit_code(points, tmp_path):
    done = invoke("run", points, "--memory-limit", "1kB", "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "1 kB may be used" in done.stderr


def test_debug_shows_the_traceback(points, tmp_path):
    done = invoke("run", points, "--method", "wards", "--debug", "--out", tmp_path / "o")
    assert isinstance(done.exception, ValueError)


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(tmp_path):
    np.save(tmp_path / "square.npy", np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0))))
    done = invoke("run", tmp_path / "square.npy", "--out", tmp_path / "o", "--no-plots")
    assert done.exit_code == 0
    assert done.stderr.startswith("gpuclust: warning: ")
    assert done.stderr.count("\n") == 1


def test_default_folder(points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("run", "points.npy", "--no-plots", "-q").exit_code == 0
    assert (tmp_path / "out" / "points" / "run.json").exists()


def test_help_and_version():
    import gpuclust

    shown = invoke("--help").output
    assert "run" in shown
    assert "demo" in shown
    assert "--inconsistent" in invoke("run", "--help").output
    assert invoke("--version").output == f"gpuclust {gpuclust.__version__}\n"
    assert invoke("run").exit_code == 2


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom gpuclust.app.cli import app\n"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0\n"
        "print(sorted({'numpy', 'numba', 'matplotlib', 'scipy', 'cupy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_cut_is_drawn_where_it_separates():
    Z = reference.linkage(POINTS, "average")
    for k in (2, 5, 59, 60):
        height = results.cut_height(Z, Cut("maxclust", k), k)
        assert reference.fcluster(Z, height, "distance").max() == k
    assert results.cut_height(Z, Cut("maxclust", 1), 1) is None
    assert results.cut_height(Z, Cut("inconsistent", 1.0), 4) is None
    assert results.cut_height(Z, Cut("distance", 2.5), 4) == 2.5
    inverted = reference.linkage(np.array([[0, 0], [1, 0], [0.5, 0.87], [9, 9]]), "centroid")
    assert (np.diff(inverted[:, 2]) < 0).any()
    assert results.cut_height(inverted, Cut("maxclust", 2), 2) is None


def test_job_refuses_metrics_without_a_name():
    with pytest.raises(ValueError, match="must be a name"):
        Job("a.npy", Path("o"), metric=lambda x, y: 0.0).check()  # type: ignore[arg-type]


# The demonstration


def test_the_tutorial_reproduces():
    compared = tutorial.compare(tutorial.cluster())
    assert len(compared) == 14
    assert [figure.name for figure in compared if not figure.equal] == []


def test_a_figure_that_differs_is_found():
    run = tutorial.cluster()
    Z = run.Z.copy()
    Z[-1, 2] += 2e-5
    changed = tutorial.compare(tutorial.Tutorial(run.X, run.X2, Z, run.Z2, run.clusters[::-1]))
    different = {figure.name for figure in changed if not figure.equal}
    assert {"Z[-4:, 2]", "fcluster(Z, 50, 'distance')", "inconsistent(Z, 3)[-10:]"} <= different
    assert "Z[:20]" not in different


def test_demo(tmp_path):
    done = invoke("demo", "--out", tmp_path / "o", "--points", 500)
    assert done.exit_code == 0, done.output
    assert "14 of 14 figures equal" in done.output
    assert "Adjusted Rand index of clusters and digits: 0.794" in done.output
    assert "agree (largest relative difference" in done.output
    assert done.output.rstrip().splitlines()[-1].startswith(f"The pictures are in {tmp_path / 'o'}")
    assert len(list((tmp_path / "o" / "tutorial").glob("*.png"))) == 14
    assert len(list((tmp_path / "o").glob("*.png"))) == 4


def test_demo_fails_when_a_figure_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(tutorial, "LAST_HEIGHTS", "15.11533 17.11527 23.12199 180.27044")
    monkeypatch.setattr(tutorial, "draw", lambda run, folder: [])
    done = invoke("demo", "--out", tmp_path / "o", "--points", 200, "--examples", tmp_path)
    assert done.exit_code == 1
    assert "DIFFERENT" in done.output
    assert "13 of 14" in done.output
    assert "Skipped" in done.output


def test_demo_without_scipy(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.setattr(tutorial, "draw", lambda run, folder: [])
    done = invoke("demo", "--out", tmp_path / "o", "--points", 200, "--examples", tmp_path)
    assert done.exit_code == 0
    assert "SciPy was not run" in done.output


def test_adjusted_rand_index():  # scikit-learn's values
    truth = np.array([0, 0, 0, 1, 1, 1])
    counts = demo.contingency(truth, np.array([1, 1, 2, 2, 3, 3]))
    assert counts.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert adjusted_rand_index(truth, [1, 1, 2, 2, 3, 3]) == pytest.approx(
        0.24242424242424243
    )  # scikit-learn's value
    assert adjusted_rand_index(truth, truth + 1) == 1.0
    assert adjusted_rand_index(truth, np.ones(6, dtype=int)) == 0.0
    assert adjusted_rand_index(np.zeros(4, dtype=int), np.ones(4, dtype=int)) == 1.0


def test_examples_are_what_they_say():
    with np.load(EXAMPLES / "digits.npz") as digits:
        assert digits["pixels"].shape == (1797, 64)
        assert digits["pixels"].max() == 16
        assert digits["digit"].shape == (1797,)
    from gpuclust.app.data.files import read_points

    np.testing.assert_allclose(read_points(EXAMPLES / "tutorial.csv").values, tutorial.data_sets()[0], rtol=1e-12)


# Ctrl-C


def test_stoppable_hands_on_codes_and_errors():
    assert stoppable(lambda: 3) == 3
    assert stoppable(lambda: sys.exit(4)) == 4
    with pytest.raises(ZeroDivisionError):
        stoppable(lambda: 1 // 0)


STOPPED = """
import ctypes, signal, sys, threading, time
from gpuclust.app.data.output import atomic_write
from gpuclust.app.terminal import stoppable

def unwinding():
    with atomic_write(sys.argv[1], "w") as file:
        file.write("half")
        print("ready", flush=True)
        while True:
            time.sleep(0.01)

def stuck():
    "Like a kernel that does not return: the interrupt is not delivered until it does."
    with atomic_write(sys.argv[1], "w") as file:
        file.write("half")
        print("ready", flush=True)
        time.sleep(100_000)

def compiling():
    "Like a compiler that calls Python back: an interrupt that is raised there goes no further."
    @ctypes.CFUNCTYPE(None)
    def called_back():
        while True:
            time.sleep(0.01)
    with atomic_write(sys.argv[1], "w") as file:
        file.write("half")
        print("ready", flush=True)
        while True:
            called_back()

sys.exit(stoppable(globals()[sys.argv[2]]))
"""


@pytest.mark.parametrize("work", ["unwinding", "stuck", "compiling"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_work_and_leaves_no_half_files(tmp_path, work, number, code):
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "a.txt"), work]
    process = children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=children.PATIENCE)  # "stuck" by itself would never end
    assert process.returncode == code
    assert said == "gpuclust: stopped\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_is_stopped_while_it_works(tmp_path, number, code):
    """With SIGTERM as in the background of a shell, where Ctrl-C is ignored."""
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(200_000, 16)))
    out = tmp_path / "o"
    command = [
        sys.executable,
        "-m",
        "gpuclust.app.cli",
        "run",
        tmp_path / "big.npy",
        "--method",
        "single",
        "--out",
        out,
    ]
    ignoring = [signal.SIGINT] if number == signal.SIGTERM else []
    process = children.start(command, ignoring=ignoring, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not out.exists():  # made just before the data are read
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    for ignored in ignoring:
        process.send_signal(ignored)
    process.send_signal(number)
    _, said = process.communicate(timeout=children.PATIENCE)
    assert process.returncode == code
    assert said == "gpuclust: stopped\n"
    assert not out.exists()  # the folder made for the results goes too
