"""Batches from end to end: results, reports, unchanged results, and failures that do not affect other data sets."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import children
import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from scipy.spatial.distance import pdist, squareform
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app.batch import pool
from gpuclust.app.batch.lock import locked
from gpuclust.app.cli import app
from gpuclust.app.data.output import OutputError
from gpuclust.app.job.job import Job
from gpuclust.app.job.record import Source, identity
from gpuclust.core.device import Device
from gpuclust.errors import InputFileError, RoundingWarning

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(80, 3)) + 6.0 * RNG.integers(0, 3, (80, 1))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def run(jobs, out, **options):
    """Outcomes by name."""
    options = {"workers": 1, "plots": "none", "reports": False, **options}
    return {outcome.name: outcome for outcome in batch.run(jobs, out, **options)}


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def summary(out):
    with open(out / "summary.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


class Page(HTMLParser):
    """The tags and links of a page; an error where tags do not match."""

    VOID = ("meta", "input", "br", "link")

    def __init__(self, path):
        super().__init__()
        self.links, self.sources, self.tags, self._open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == [], path

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def test_each_data_set_gets_what_scipy_gives_and_all_its_files(data, tmp_path):
    np.save(data / "points.npy", POINTS)
    np.savez(data / "arrays.npz", X=POINTS[:50], y=np.arange(50))
    np.savetxt(data / "table.csv", POINTS[:30], delimiter=",", header="a,b,c", comments="")
    np.save(data / "condensed.npy", pdist(POINTS))
    np.save(data / "square.npy", squareform(pdist(POINTS)))
    jobs = [
        {"path": data / "points.npy", "method": "ward", "clusters": 3},
        {"path": data / "arrays.npz", "key": "X", "metric": "cityblock", "weights": [1, 2, 0.5], "distance": 4.0},
        {"path": data / "table.csv", "columns": ["c", "a"], "method": "complete"},
        {"path": data / "condensed.npy", "method": "single", "precomputed": True, "clusters": 2},
        {"path": data / "square.npy", "precomputed": True, "inconsistent": 1.1, "depth": 3},
        {"path": data / "points.npy", "name": "weighted ward", "method": "ward", "weights": [4, 1, 0.25]},
        {"path": data / "points.npy", "name": "left out", "clusters": 12, "min_size": 4, "labels_format": "parquet"},
    ]
    out = tmp_path / "out"
    found = run(jobs, out, plots="auto", reports=True, workers=2)
    assert [outcome.error for outcome in found.values() if not outcome.ok] == []
    assert list(found) == ["points", "arrays-X", "table", "condensed", "square", "weighted ward", "left out"]

    X = POINTS
    expected = {
        "points": reference.linkage(X, "ward"),
        "arrays-X": reference.linkage(pdist(X[:50], "cityblock", w=[1, 2, 0.5]), "average"),
        "table": reference.linkage(X[:30][:, [2, 0]], "complete"),
        "condensed": reference.linkage(pdist(X), "single"),
        "square": reference.linkage(pdist(X), "average"),
        "weighted ward": reference.linkage(X * [2, 1, 0.5], "ward"),
        "left out": reference.linkage(X, "average"),
    }
    for name, Z in expected.items():
        np.testing.assert_allclose(found[name].Z, Z, rtol=1e-10, err_msg=name)
    for name, arguments in {
        "points": (3, "maxclust"),
        "arrays-X": (4.0, "distance"),
        "condensed": (2, "maxclust"),
        "square": (1.1, "inconsistent", 3),
    }.items():
        np.testing.assert_array_equal(found[name].labels, reference.fcluster(expected[name], *arguments))
    assert found["table"].labels is None
    labels = reference.fcluster(expected["left out"], 12, "maxclust")
    np.testing.assert_array_equal(found["left out"].labels == 0, np.bincount(labels)[labels] < 4)

    always = {"Z.npy", "dendrogram.png", "elbow.png", "run.json", "report.html"}
    files = {name: set(os.listdir(out / name)) - always for name in found}
    assert files["points"] == {"labels.csv", "scatter.png"}
    assert files["table"] == {"scatter.png"}
    assert files["square"] == {"labels.csv", "scatter.png"}
    assert files["left out"] == {"labels.parquet", "scatter.png"}
    assert set(os.listdir(out)) == {*found, "summary.csv", "index.html", ".gpuclust.lock", ".gpuclust.json"}
    for name, outcome in found.items():
        assert all(size == (out / name / file).stat().st_size for file, size in outcome.record["bytes"].items())
        page = Page(out / name / "report.html")
        assert page.sources == []
        assert all(not link.startswith("http") and (out / name / link).exists() for link in page.links)
        assert page.tags.count("svg") == 3 + 3 + 2, "drawings, those that a script fills, and signs of the key"
    rows = summary(out)
    assert rows["points"]["clusters"] == "3"
    assert rows["square"]["features"] == ""
    correlation = reference.cophenet(expected["points"], pdist(X))[0]
    assert float(rows["points"]["cophenetic_correlation"]) == pytest.approx(correlation, rel=1e-9)
    assert {f"{name.replace(' ', '%20')}/report.html" for name in found} <= set(Page(out / "index.html").links)


def test_a_report_says_how_to_do_it_again(tmp_path, data, monkeypatch):
    np.savez(data / "it's.npz", X=POINTS, y=np.arange(80))
    job = {
        "path": data / "it's.npz",
        "key": "X",
        "metric": "minkowski",
        "p": 3,
        "weights": [1, 0.5, 2],
        "clusters": 4,
    }
    (outcome,) = run(job, tmp_path / "out", reports=True).values()
    from html import unescape

    text = (outcome.folder / "report.html").read_text(encoding="utf-8")
    command, program = (unescape(part) for part in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.S))
    scope = {}
    exec(program, scope)
    np.testing.assert_allclose(scope["Z"], outcome.Z, rtol=1e-12)
    np.testing.assert_array_equal(scope["labels"], outcome.labels)
    import shlex

    arguments = shlex.split(command)
    assert arguments[:2] == ["gpuclust", "run"]
    arguments[-1] = str(tmp_path / "again")
    done = invoke(*arguments[1:])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "again" / "Z.npy").read_bytes() == (outcome.folder / "Z.npy").read_bytes()


def test_names_and_values_are_escaped(tmp_path, data):
    (data / "<b>x&y.csv").write_text("who,x\n<script>alert(1)</script>,0\nb,1\nc,5\nd,6\n")
    (data / "<i>.csv").write_text("x\n1\n<u>\n")
    out = tmp_path / "out"
    batch.run(data, out, workers=1, plots="none", clusters=2)
    assert len([path for path in out.iterdir() if path.is_dir()]) == 2
    for path in (out / "index.html", *out.glob("*/report.html")):
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<b>x" not in text
        assert "<u>" not in text
        Page(path)


def test_nothing_complete_is_done_again(tmp_path, data):
    for place in range(3):
        np.save(data / f"{place}.npy", POINTS[place:])
    out = tmp_path / "out"

    def states():
        return {name: (out / name / "run.json").stat().st_ino for name in "012"}

    assert set(statuses(run(data, out, clusters=3)).values()) == {"done"}
    first = states()
    assert set(statuses(run(data, out, clusters=3, workers=2, memory_limit="1GB")).values()) == {"unchanged"}
    assert states() == first
    (tmp_path / "data").rename(tmp_path / "moved")  # what counts is the content
    moved = tmp_path / "moved"
    os.utime(moved / "0.npy", (1, 1))
    assert set(statuses(run(moved, out, clusters=3)).values()) == {"unchanged"}
    np.save(moved / "1.npy", POINTS[::-1])
    (out / "2" / "labels.csv").write_text("cut off")
    assert statuses(run(moved, out, clusters=3)) == {"0": "unchanged", "1": "done", "2": "done"}
    assert states()["0"] == first["0"]
    assert set(statuses(run(moved, out, clusters=4)).values()) == {"done"}, "another cut"


def test_quiet_prints_errors_only(tmp_path, data):
    (data / "bad.csv").write_text("a,b\n1,2\n3,x\n4,5\n")
    np.save(data / "good.npy", POINTS)
    inputs = [data / "bad.csv", data / "good.npy"]
    done = invoke("batch", *inputs, "--out", tmp_path / "o", "--quiet", "--plots", "none", "--workers", 1)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"gpuclust: error: bad: {data / 'bad.csv'}: line 3, column 2: 'x' is not a number")
    assert done.stderr.count("\n") == 1


def test_what_tells_one_result_from_another(tmp_path, data):
    np.savez(data / "a.npz", X=POINTS, Y=POINTS)
    job = Job(str(data / "a.npz:X"), tmp_path / "one")
    source = Source.of(job)
    other = {
        "data": str(data / "a.npz:Y"),
        "method": "ward",
        "metric": "cosine",
        "p": 3.0,
        "weights": (1.0, 2.0, 3.0),
        "clusters": 3,
        "distance": 1.5,
        "inconsistent": 1.0,
        "depth": 3,
        "dtype": "float32",
        "columns": (0, 1),
        "header": True,
        "index": "none",
        "exclude": (2,),
        "decimal": ",",
        "missing": "drop",
        "transpose": True,
        "standardize": "zscore",
        "pca": 2,
        "precomputed": True,
        "min_size": 2,
        "labels_format": "parquet",
        "write": ("newick",),
        "format": ("svg",),
        "heatmap": True,
        "report": True,
    }
    same = {"out": tmp_path / "two", "device": "cpu", "memory_limit": "1GB", "plots": False, "overwrite": True}
    assert {*other, *same} == {field.name for field in dataclasses.fields(Job)}
    identities = {identity(dataclasses.replace(job, **{name: value}), source) for name, value in other.items()}
    assert len({identity(job, source), *identities}) == len(other) + 1
    assert identity(dataclasses.replace(job, **same), source) == identity(job, source)
    np.savez(data / "a.npz", X=POINTS[1:], Y=POINTS)
    assert identity(job, Source.of(job)) != identity(job, source)


def test_pictures_are_added_without_computing_again(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    out = tmp_path / "out"
    run(data, out, clusters=3, reports=True)
    before = (out / "a" / "Z.npy").stat().st_mtime_ns
    found = run(data, out, clusters=3, reports=True, plots="all")["a"]
    assert found.status == "done"
    assert (out / "a" / "Z.npy").stat().st_mtime_ns == before
    assert {"dendrogram.png", "elbow.png", "scatter.png"} <= set(found.record["bytes"])
    assert run(data, out, clusters=3, reports=True)["a"].status == "unchanged"
    assert (out / "a" / "scatter.png").exists(), "more than was asked for does no harm"


def test_a_failure_leaves_results_only_where_they_are_still_right(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    out = tmp_path / "out"
    run(data / "a.npy", out, clusters=3)
    (data / "a.npy").rename(data / "b.npy")
    assert run(data / "a.npy", out, clusters=3)["a"].status == "failed"
    assert {"Z.npy", "run.json", "error.json"} <= set(os.listdir(out / "a")), (
        "the file is away; its result may be right"
    )
    np.save(data / "a.npy", POINTS[:1])
    assert run(data / "a.npy", out, clusters=3)["a"].status == "failed"
    assert os.listdir(out / "a") == ["error.json"], "another content: its result is wrong"
    (data / "b.npy").rename(data / "a.npy")
    assert run(data / "a.npy", out, clusters=3)["a"].status == "done"
    assert "error.json" not in os.listdir(out / "a")


BAD = {
    "missing.npy": (None, "does not exist"),
    "empty.npy": (b"", "is empty"),
    "text.npy": (b"hello, world", "is not a .npy file"),
    "header.npy": (b"\x93NUMPY\x01\x00v\x00{'descr'", "header"),
    "damaged.npz": (b"PK\x03\x04 and nothing", "is not an .npz file"),
    "word.csv": (b"a,b\n1,2\n3,x\n", "line 3, column 2: 'x' is not a number"),
    "ragged.csv": (b"a,b\n1,2\n3\n", "line 3 has 1 cell"),
    "half.csv": (b"\xff\xfea\0,\0b\0\n\0" + b"1", "is not text in UTF-16"),
    "gzip.csv.gz": (b"not a gzip file", "cannot be read"),
    "garbage.parquet": (b"PAR1 no, it is not", "not a .parquet file"),
    "other.xls": (b"1,2\n", "unknown kind of file '.xls'"),
}


def spoiled_files(data):
    """A file for each kind of damage, by name, with what the error says."""
    messages = {}
    for name, (content, message) in BAD.items():
        if content is not None:
            (data / name).write_bytes(content)
        messages[name] = message
    np.save(data / "nan.npy", np.where(np.arange(240).reshape(80, 3) >= 7, np.nan, POINTS))
    np.save(data / "one_row.npy", POINTS[:1])
    np.save(data / "cube.npy", np.zeros((3, 3, 3)))
    np.save(data / "short.npy", POINTS)
    with open(data / "short.npy", "r+b") as file:
        file.truncate(500)
    messages |= {
        "nan.npy": "got nan in row 2, column 1",
        "one_row.npy": "at least 2",
        "cube.npy": "has shape (3, 3, 3)",
    }
    return messages | {"short.npy": "is truncated"}


def test_sixty_files_of_which_fifteen_are_bad(tmp_path, data):
    messages = spoiled_files(data)
    assert len(messages) == 15
    for place in range(45):
        np.save(data / f"good{place:02}.npy", POINTS[: 20 + place])
    inputs = [str(data / name) for name in sorted({*os.listdir(data), "missing.npy"})]
    assert len(inputs) == 60
    out = tmp_path / "out"
    done = invoke("batch", *inputs, "--out", out, "-k", 3, "--plots", "none", "--workers", 2, "--log-format", "json")
    assert done.exit_code == 1, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events].count("done") == 45
    assert events[-1] | {"time": 0, "seconds": 0} == {
        "time": 0, "event": "end", "seconds": 0, "data_sets": 60, "done": 45, "failed": 15,
    }  # fmt: skip
    rows = summary(out)
    assert len(rows) == 60
    for place in range(45):
        assert rows[f"good{place:02}"]["status"] == "done"
        Z = np.load(out / f"good{place:02}" / "Z.npy")
        np.testing.assert_allclose(Z, reference.linkage(POINTS[: 20 + place], "average"), rtol=1e-12)
    failures = {row["data"]: row for row in rows.values() if row["status"] == "failed"}
    for name, message in messages.items():
        row = failures[str(data / name)]
        assert message in row["error"], row
        assert str(data / name) in row["error"]
        assert row["error_kind"] == "InputFileError"
        record = json.loads((out / row["name"] / "error.json").read_text())
        assert record["message"] == row["error"]
        assert os.listdir(out / row["name"]) == ["error.json"]
    text = (out / "index.html").read_text()
    assert text.count('<tr class="failed">') == 15
    assert text.index('<tr class="failed">') < text.index("good00")
    assert text.rindex('<tr class="failed">') < text.index("good00"), "what failed is on top"


def test_options_that_do_not_suit_fail_alone(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    np.save(data / "big.npy", np.ones((20_000, 2)))
    jobs = [
        {"path": data / "a.npy", "name": "good"},
        {"path": data / "a.npy", "name": "k", "clusters": 81},
        {"path": data / "a.npy", "name": "method", "method": "wards"},
        {"path": data / "a.npy", "name": "metric", "method": "ward", "metric": "cosine"},
        {"path": data / "a.npy", "name": "columns", "columns": [0, 3]},
        {"path": data / "a.npy", "name": "column", "columns": "x"},
        {"path": data / "a.npy", "name": "weights", "weights": [1, 2]},
        {"path": data / "a.npy", "name": "square", "precomputed": True},
        {"path": data / "big.npy", "name": "memory", "metric": "cityblock", "method": "median", "precomputed": False},
    ]
    found = run(jobs, tmp_path / "out", memory_limit="1MB")
    said = {name: outcome.error for name, outcome in found.items() if not outcome.ok}
    assert "good" not in said
    assert "81 clusters were asked for, but there are 80 rows" in said["k"]
    assert "Did you mean 'ward'" in said["method"]
    assert "Euclidean" in said["metric"]
    assert "has columns 0 to 2, but column 3" in said["columns"]
    assert "its columns have no names" in said["column"]
    assert "2 weights were given for 3 columns" in said["weights"]
    assert "a matrix of distances is square, got 80 x 3" in said["square"]
    assert found["memory"].status == "failed"


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path, data):
    rows, columns = 20_000_000, 50_000
    with open(data / "huge.npy", "wb") as file:  # 8 TB of zeros that take no room, and an hour to read
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (rows, columns)})
        file.truncate(file.tell() + 8 * rows * columns)
    np.save(data / "a.npy", POINTS)
    found = run(data, tmp_path / "out", memory_limit="1GB", method="ward")
    assert statuses(found) == {"a": "done", "huge": "failed"}
    assert found["huge"].kind == "DoesNotFit"
    assert "1 GB may be used" in found["huge"].error


@pytest.mark.parametrize("kind", ["asymmetric", "diagonal", "negative", "nan", "oblong"])
def test_square_distances_are_checked(tmp_path, data, kind):
    D = squareform(pdist(POINTS))
    place = {"asymmetric": (3, 70), "diagonal": (5, 5), "negative": (2, 1), "nan": (4, 6)}
    if kind == "oblong":
        D = D[:, :70]
    else:
        D[place[kind]] = {"asymmetric": 99.0, "diagonal": 1.0, "negative": -1.0, "nan": np.nan}[kind]
    np.save(data / "D.npy", D)
    from gpuclust.app.job.job import load

    with pytest.raises(InputFileError, match={"oblong": "80 x 70"}.get(kind, "row .*, column")):
        load(Job(str(data / "D.npy"), tmp_path, precomputed=True))


def test_rounding_in_square_distances_is_allowed(data, tmp_path):
    from gpuclust.app.job.job import load

    D = squareform(pdist(POINTS))
    D[np.tril_indices(80, -1)] *= 1 + 1e-12
    np.savetxt(data / "D.csv", D, delimiter=",")
    with pytest.warns(RoundingWarning, match="not symmetric"):
        loaded = load(Job(str(data / "D.csv"), tmp_path, precomputed=True)).values
    np.testing.assert_array_equal(
        loaded, squareform(np.triu(np.loadtxt(data / "D.csv", delimiter=",")), checks=False)
    )
    np.savetxt(data / "c.csv", pdist(POINTS))
    np.testing.assert_array_equal(load(Job(str(data / "c.csv"), tmp_path, precomputed=True)).values, pdist(POINTS))


def test_a_file_that_changes_or_vanishes_is_noticed(data, tmp_path):
    np.save(data / "a.npy", POINTS)
    source = Source.of(Job(str(data / "a.npy"), tmp_path))
    source.check_unchanged()
    np.save(data / "a.npy", POINTS[:70])
    with pytest.raises(InputFileError, match="was changed while it was being read"):
        source.check_unchanged()
    (data / "a.npy").unlink()
    with pytest.raises(InputFileError, match="vanished while it was being read"):
        source.check_unchanged()


def worker_that(monkeypatch, patch):
    """Let workers run this program before they begin."""
    monkeypatch.setattr(pool, "_PROGRAM", pool._PROGRAM.replace("import sys;", f"exec({patch!r});", 1).replace(
        "sys.path[:] =", "import sys; sys.path[:] =", 1))  # fmt: skip


DIES = """
import os, signal, sys
sys.path[:] = {path!r}
import gpuclust.app.batch.worker as worker
first = worker.Source.of
def of(job):
    if "bomb" in job.data:
        os.kill(os.getpid(), signal.{signal})
    return first(job)
worker.Source = type("Source", (), dict(of=staticmethod(of)))
"""


@pytest.mark.parametrize(
    ("name", "said"), [("SIGKILL", "as the system does when memory runs out"), ("SIGSEGV", "SIGSEGV")]
)
def test_a_worker_that_dies_takes_only_its_own_job(tmp_path, data, monkeypatch, name, said):
    for place in range(20):
        np.save(data / f"{place:02}.npy", POINTS[place:])
    np.save(data / "bomb.npy", POINTS)
    worker_that(monkeypatch, DIES.format(path=sys.path, signal=name))
    found = run(data, tmp_path / "out", workers=2)
    assert [outcome.name for outcome in found.values() if not outcome.ok] == ["bomb"]
    assert found["bomb"].kind == "WorkerDied"
    assert said in found["bomb"].error
    assert "and again when it was tried alone" in found["bomb"].error
    assert (tmp_path / "out" / "bomb" / "error.json").exists()


SEES = """
import os, sys
sys.path[:] = {path!r}
from dataclasses import replace
import gpuclust.app.batch.worker as worker
real = worker.run_job
def run_job(job, *arguments, **options):
    done = real(replace(job, device="cpu"), *arguments, **options)
    (job.out / "seen").write_text(" ".join([job.device, os.environ["CUDA_VISIBLE_DEVICES"], str(os.getpid())]))
    return done
worker.run_job = run_job
"""


def test_each_card_has_a_process_and_the_cpu_a_pool(tmp_path, data, monkeypatch):
    """Jobs for GPUs run on the CPU here, after they have recorded the GPU that their process sees."""
    from dataclasses import replace

    from gpuclust.app.batch import estimate as estimates
    from gpuclust.app.batch import prepare
    from gpuclust.core.devices import Card

    for place in range(12):
        np.save(data / f"{'card' if place % 2 else 'cpu'}{place:02}.npy", POINTS[place:])
    cards = tuple(Card(index, "card", (9, 0), 2**36, 132, 1e9, 1e12) for index in range(2))
    monkeypatch.setattr("gpuclust.core.devices.cards", lambda: cards)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    def planned(job, limit):
        n = len(np.load(job.data))
        plan = estimates.plan(n, 3, job.method, device="cpu", memory_limit=limit)
        on_card = Path(job.data).name.startswith("card")
        return estimates.Estimate(replace(plan, device=Device("cuda" if on_card else "cpu")), 0, 1e10 + n)

    monkeypatch.setattr(prepare, "estimate", planned)
    worker_that(monkeypatch, SEES.format(path=sys.path))
    found = run(data, tmp_path / "out", workers=1)
    assert all(outcome.ok for outcome in found.values())
    seen = {name: (outcome.folder / "seen").read_text().rsplit(" ", 1) for name, outcome in found.items()}
    assert {what for name, (what, _) in seen.items() if name.startswith("card")} <= {"cuda 4", "cuda 7"}
    assert {what for name, (what, _) in seen.items() if name.startswith("cpu")} == {"cpu "}
    for what in {what for what, _ in seen.values()}:
        assert len({process for other, process in seen.values() if other == what}) == 1


def test_workers_that_cannot_start_end_the_batch(tmp_path, data, monkeypatch):
    np.save(data / "a.npy", POINTS)
    worker_that(monkeypatch, "raise SystemError('no such thing')")
    with pytest.raises(pool.WorkerError, match=r"before it was ready[\s\S]*no such thing"):
        run(data, tmp_path / "out")
    assert summary(tmp_path / "out")["a"]["status"] == "not run"


FULL = """
import errno, os, sys
sys.path[:] = {path!r}
import gpuclust.app.data.output
real = os.fsync
def fsync(descriptor):
    if os.path.exists({flag!r}):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(descriptor)
os.fsync = fsync
"""


def test_a_full_disk_ends_the_batch_and_it_goes_on_later(tmp_path, data, monkeypatch):
    for place in range(40):
        np.save(data / f"{place:02}.npy", POINTS[place:])
    flag, out = tmp_path / "full", tmp_path / "out"
    patch = FULL.format(path=sys.path, flag=str(flag))
    worker_that(monkeypatch, patch)
    monkeypatch.setattr(os, "fsync", os.fsync)  # put back at the end
    exec(patch, {})
    with pytest.raises(OutputError, match="nothing can be written there any more") as raised:
        batch.run(data, out, lambda outcome: flag.touch(), workers=1, plots="none", reports=False)
    assert "No space left" in str(raised.value)
    complete = len(list(out.glob("*/run.json")))
    assert 1 <= complete < 40
    assert list(out.rglob("*.tmp")) == []
    for folder in out.iterdir():
        assert not folder.is_dir() or {"run.json", "Z.npy"} <= set(os.listdir(folder)) or os.listdir(folder) == []
    flag.unlink()
    found = run(data, out)
    assert list(statuses(found).values()).count("unchanged") == complete
    assert all(outcome.ok for outcome in found.values())


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", "/proc/none/of/this"):
        done = invoke("batch", data, "--out", out)
        assert done.exit_code == 2
        assert str(out) in done.stderr
        assert done.stderr.count("\n") == 1


def test_two_batches_do_not_share_a_folder(tmp_path, data, monkeypatch):
    monkeypatch.setattr("gpuclust.app.batch.lock.PATIENCE_SECONDS", 0.2)
    np.save(data / "a.npy", POINTS)
    out = tmp_path / "out"
    out.mkdir()
    with locked(out):
        done = invoke("batch", data, "--out", out)
        assert done.exit_code == 2
        assert f"another batch is at work there: process {os.getpid()} on" in done.stderr
        assert os.listdir(out) == [".gpuclust.lock"]
    assert run(data, out)["a"].status == "done", "the file of a lock that nobody holds is no lock"


def test_outcomes_come_one_after_the_other_and_may_be_left(tmp_path, data):
    for place in range(60):
        np.save(data / f"{place:02}.npy", POINTS[: 70 - place])
    out = tmp_path / "out"
    seen = []
    for outcome in batch.iterate(data, out, workers=1, plots="none", reports=False):
        assert (outcome.folder / "run.json").exists()
        seen.append(outcome.name)
        if len(seen) == 5:
            break
    rows = summary(out)
    assert [row["status"] for row in rows.values()].count("done") == 5
    assert [row["status"] for row in rows.values()].count("not run") >= 1
    results = []
    batch.run(data, out, results.append, workers=1, plots="none", reports=False)
    assert len(results) == 60
    assert sum(outcome.status == "unchanged" for outcome in results) >= 5


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


def test_warnings_are_kept(tmp_path, data):
    np.save(data / "square.npy", squareform(pdist(POINTS)))
    found = run(data, tmp_path / "out", reports=True)["square"]
    assert "uncondensed distance matrix" in found.record["warnings"][0]
    assert "uncondensed" in summary(tmp_path / "out")["square"]["warnings"]
    assert 'class="warn"' in (found.folder / "report.html").read_text()


def test_examples(tmp_path):
    done = invoke("batch", EXAMPLES / "batch" / "manifest.toml", "--out", tmp_path / "out", "--plots", "none")
    assert done.exit_code == 0, done.output


def test_batch_needs_no_guard_in_a_script(tmp_path, data):
    np.save(data / "a.npy", POINTS)
    script = tmp_path / "script.py"
    script.write_text(
        "from gpuclust import batch\n"
        f"print([o.status for o in batch.run({str(data)!r}, {str(tmp_path / 'out')!r}, plots='none', workers=1)])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.stdout == "['done']\n", done.stderr
