"""Batches from end to end: results, reports, and results that are kept, computed again or removed."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import batch_folders
import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from batch_folders import POINTS, Page, invoke, run, statuses, summary
from scipy.spatial.distance import pdist, squareform

from gpuclust import batch
from gpuclust.app.job.job import Job
from gpuclust.app.job.record import Source, identity

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
data = batch_folders.data


def test_each_data_set_gets_what_scipy_gives_and_all_its_files(data, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")  # each worker has metrics that hardly any other test has
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
    monkeypatch.setenv("GPUCLUST_COMPILE", "auto")
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
