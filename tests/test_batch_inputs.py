"""Inputs of a batch: files, patterns, folders, manifests; their options, names, plans and order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gpuclust.app.batch import pool
from gpuclust.app.batch.entry import merged
from gpuclust.app.batch.estimate import Estimate, estimate
from gpuclust.app.batch.inputs import collect
from gpuclust.app.batch.manifest import is_manifest, read_manifest
from gpuclust.app.batch.prepare import Settings, prepare
from gpuclust.app.batch.schedule import GROUP, Queue, Task
from gpuclust.app.cut import Cut
from gpuclust.app.job.job import Job
from gpuclust.errors import InputFileError

OUT = Path("out")


@pytest.fixture
def tree(tmp_path):
    """A folder of data sets, with what is to be left out."""
    for name in (
        "b/x.npy",
        "a/x.npy",
        "a/y.csv",
        "top.tsv.gz",
        ".hidden.npy",
        "notes.txt",
        "old/Z.npy",
        "old/run.json",
        "was/.gpuclust.lock",
        "was/summary.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1,2\n")
    (tmp_path / "list.csv").write_text("path\na/x.npy\n")
    return tmp_path


def names(inputs, **defaults):
    return [name for name, _ in collect(inputs, defaults)]


def test_folders_are_searched_in_a_stable_order(tree):
    assert names(tree) == ["top", "a-x", "a-y", "b-x"]
    assert [name for name, _ in collect(tree, {}, tree / "a")] == ["top", "b-x"]


def test_patterns_and_files(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names("*/x.npy") == ["a-x", "b-x"]
    assert names(["**/*.npy", "top.tsv.gz"])[-1] == "top"
    assert names(["a/y.csv", "missing.npy"]) == ["y", "missing"]
    with pytest.raises(InputFileError, match="no file matches"):
        collect("*.parquet", {})
    (tree / "empty").mkdir()
    with pytest.raises(InputFileError, match="holds no data set"):
        collect("empty", {})


def test_names_are_unique_and_the_same_each_time():
    def of(*paths):
        return names([{"path": path} if isinstance(path, str) else path for path in paths])

    assert of("x.npy", "x.csv") == ["x-npy", "x-csv"]
    assert of("one/x.npy", "two/x.npy") == ["one-x", "two-x"]
    assert of("x.npy", "x.npy") == ["x", "x-2"]
    assert of("x.npy", "x.npy", {"path": "z.npy", "name": "x-2"}) == ["x", "x-3", "x-2"]
    assert of("X.npy", "x.npy") == ["X", "x-2"], "folders of one name on some file systems"
    assert of({"path": "a.npy", "name": "n"}, {"path": "b.npy", "name": "n"}) == ["n", "n-2"]
    assert of({"path": "a.npy", "name": "../../etc/passwd"}) == ["_.._etc_passwd"]
    assert of({"path": "a.npy", "name": "index.html"}) == ["index.html-2"]
    assert of({"path": "a.npy", "name": "é" * 200}) == ["é" * 60]
    assert of("d.npz:A", "d.npz:B", {"path": "d.npz", "key": "C"}) == ["d-A", "d-B", "d-C"]


def test_manifest_as_a_table(tmp_path):
    (tmp_path / "m.csv").write_text(
        "path,name,method,clusters,distance,columns,weights,precomputed\n"
        "a.npy,first,ward,3,,0;2,1 2,\n\n"
        '"b.csv",,single,,2.5,"x, y",,no\n'
        "c.npy,,,,,,,true\n"
    )
    assert is_manifest(tmp_path / "m.csv")
    found = collect(tmp_path / "m.csv", {"method": "average", "clusters": 9, "weights": "5", "metric": "cityblock"})
    assert [name for name, _ in found] == ["first", "b", "c"]
    first, second, third = (entry.job(OUT) for _, entry in found)
    assert first.data == str(tmp_path / "a.npy")
    assert (first.method, first.cut, first.columns, first.weights) == (
        "ward",
        Cut("maxclust", 3),
        ("0", "2"),
        (1.0, 2.0),
    )
    assert (second.cut, second.columns, second.weights) == (Cut("distance", 2.5), ("x", "y"), (5.0,))
    assert (third.precomputed, third.cut, third.weights, third.metric) == (
        True,
        Cut("maxclust", 9),
        None,
        "euclidean",
    )


def test_manifest_in_toml(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "data" / f"{name}.npy", np.eye(3))
    (tmp_path / "m.toml").write_text(
        '[defaults]\nmethod = "complete"\nmetric = "minkowski"\np = 3\nclusters = 4\n'
        '[[dataset]]\npath = "data/*.npy"\ninconsistent = 1.5\ndepth = 3\n'
        '[[dataset]]\npath = "c.npz"\nkey = "X"\nmetric = "cosine"\nweights = [1, 2.5]\nmin_size = 2\n'
    )
    a, b, c = (entry.job(OUT) for _, entry in collect(tmp_path / "m.toml", {"method": "ward", "dtype": "float32"}))
    assert (a.method, a.p, a.cut, a.dtype) == ("complete", 3.0, Cut("inconsistent", 1.5, 3), "float32")
    assert b.data.endswith("b.npy")
    assert (c.data, c.metric, c.p) == (f"{tmp_path / 'c.npz'}:X", "cosine", None)
    assert (c.weights, c.cut, c.min_size) == ((1.0, 2.5), Cut("maxclust", 4, min_size=2), 2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "path,metod\na.npy,ward\n", "Unknown column 'metod'. Did you mean 'method'"),
        ("m.csv", "path,clusters\na.npy,many\n", "line 2: clusters must be a number, got 'many'"),
        ("m.csv", "path,clusters\n,3\n", "line 2: path is missing"),
        ("m.csv", "path\na.npy,3\n", "line 2: has 2 cells"),
        ("m.csv", "path,path\na.npy,b\n", "twice"),
        ("m.csv", "path\n", "no data set"),
        ("m.toml", "[[dataset]]\npath = 'a'\nclutsers = 2\n", "Did you mean 'clusters'"),
        ("m.toml", "[[dataset]]\nclusters = 2\n", "number 1: path is missing"),
        ("m.toml", "[[datasets]]\npath = 'a'\n", "Did you mean 'dataset'"),
        ("m.toml", "[dataset]\npath = 'a'\n", "one for each"),
        ("m.toml", "[[dataset]\n", "is not TOML"),
        ("m.toml", "[[dataset]]\npath = 'a'\nprecomputed = 'perhaps'\n", "must be true or false"),
        ("m.toml", "[[dataset]]\npath = '*.npy'\nname = 'one'\n", "2 data sets cannot have one name"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path, name, text, message):
    for other in ("p.npy", "q.npy"):
        (tmp_path / other).touch()
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        collect(tmp_path / name, {})


def test_tables_of_numbers_are_no_manifests(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    assert not is_manifest(tmp_path / "t.csv")
    assert not is_manifest(tmp_path / "none.csv")
    with pytest.raises(InputFileError, match="does not exist"):
        read_manifest(tmp_path / "none.csv")


def test_own_options_replace_defaults_that_contradict_them():
    defaults = {"clusters": 3, "min_size": 2, "metric": "minkowski", "p": 3.0, "weights": (1.0,)}
    assert merged(defaults, {"distance": 2.0}).keys() == {"distance", "metric", "p", "weights"}
    assert "p" not in merged(defaults, {"metric": "cosine"})
    assert merged(defaults, {"precomputed": True}).keys() == {"clusters", "min_size", "precomputed"}


def test_estimates_are_the_plan_of_what_the_file_holds(tmp_path):
    import gpuclust

    X = np.random.default_rng(0).normal(size=(500, 6))
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", X=X, other=X[:9])
    np.savetxt(tmp_path / "a.csv", X, delimiter=",", header="a,b,c,d,e,f", comments="")
    np.save(tmp_path / "d.npy", np.ones(500 * 499 // 2))
    np.save(tmp_path / "s.npy", np.ones((500, 500)))
    limit = 10**9
    plan = gpuclust.plan(500, 6, "average", memory_limit=limit, device="cpu")
    for data, held in (("a.npy", 0), ("a.npz:X", X.nbytes)):
        found = estimate(Job(str(tmp_path / data), OUT, device="cpu"), limit)
        assert (found.plan.n, found.plan.m, found.memory) == (500, 6, plan.memory + held)
    table = estimate(Job(str(tmp_path / "a.csv"), OUT, device="cpu"), limit)
    assert table.plan.m == 6
    assert 450 <= table.plan.n <= 550
    for data in ("d.npy", "s.npy"):
        found = estimate(Job(str(tmp_path / data), OUT, device="cpu", precomputed=True), limit)
        assert (found.plan.n, found.plan.m) == (500, None)
    assert estimate(Job(str(tmp_path / "none.npy"), OUT), limit).plan is None
    refused = estimate(Job(str(tmp_path / "d.npy"), OUT, device="cpu"), 10**5)
    assert "may be used" in str(refused.refusal)


def task(index, memory, cost, **options):
    return Task(index, str(index), Job("a", OUT), Estimate(None, memory, cost), **options)


def test_the_largest_that_fits_is_next():
    queue = Queue([task(0, 10, 1e9), task(1, 60, 9e9), task(2, 50, 8e9), task(3, 200, 2e9)], 100)
    assert [t.index for t in queue.take(None, 4)] == [1]
    assert [t.index for t in queue.take(None, 4)] == [0], "50 more do not fit beside 60 of 100"
    assert queue.memory == 70
    assert queue.take(None, 4) == []
    queue.finished(1)
    assert [t.index for t in queue.take(None, 4)] == [2]
    queue.finished(0)
    queue.finished(2)
    assert [t.index for t in queue.take(None, 4)] == [3], "what fits nowhere runs alone"


def test_small_ones_go_in_groups_and_the_last_are_shared_out():
    queue = Queue([task(i, 1, 100.0) for i in range(100)], 100)
    taken = [len(queue.take(None, 2))]
    queue.finished(0)
    assert taken == [GROUP]
    while queue:
        group = queue.take(None, 2)
        queue.finished(group[0].index)
        taken.append(len(group))
    assert sum(taken) == 100
    assert taken[-1] <= 2


def test_one_that_killed_its_worker_runs_alone():
    queue = Queue([task(0, 1, 9e9, alone=True), task(1, 1, 1e9)], 100)
    assert [t.index for t in queue.take(None, 2)] == [1]
    assert queue.take(None, 2) == []
    queue.finished(1)
    assert [t.index for t in queue.take(None, 2)] == [0]
    queue.put_back([task(2, 1, 1.0)])
    assert queue.take(None, 2) == []


def test_devices_get_their_own():
    queue = Queue([task(0, 1, 9e9, card=-1), task(1, 1, 8e9), task(2, 1, 7e9, card=1)], 100)
    assert queue.take(0, 3)[0].index == 0
    assert queue.take(None, 3)[0].index == 1
    assert queue.take(0, 3) == []
    assert queue.take(1, 3)[0].index == 2


def test_a_worker_sees_only_its_device(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pool.environment(2)["CUDA_VISIBLE_DEVICES"] == "2"
    assert pool.environment(None)["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-abc")
    assert pool.environment(1)["CUDA_VISIBLE_DEVICES"] == "GPU-abc"


def test_refused_options_stop_only_their_own(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(5))
    jobs = [{"path": str(tmp_path / "a.npy"), "method": method} for method in ("ward", "wards")]
    tasks, refused = prepare(collect(jobs, {}), tmp_path, Settings())
    assert [t.name for t in tasks] == ["a"]
    assert "Did you mean 'ward'" in refused[0][0].error


@pytest.mark.parametrize(
    "wrong", [{"plots": "some"}, {"workers": 0}, {"memory_limit": "much"}], ids=lambda wrong: next(iter(wrong))
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong).check()


def test_names_do_not_depend_on_the_working_directory(tree, monkeypatch):
    absolute = names([str(tree / "a" / "x.npy"), str(tree / "a" / "y.csv")])
    monkeypatch.chdir(tree)
    assert names([os.path.join("a", "x.npy"), os.path.join("a", "y.csv")]) == absolute == ["x", "y"]
