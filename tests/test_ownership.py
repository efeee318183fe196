"""Files that gpuclust did not write are never replaced or removed: inputs, the user's files, targets of links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app import demo
from gpuclust.app.batch.folders import Folders
from gpuclust.app.cli import app
from gpuclust.app.data.output import OutputError
from gpuclust.app.data.ownership import (
    JOURNAL,
    LEDGER,
    OutputFolder,
    OutputRefused,
    exclusive,
)
from gpuclust.app.data.sealed import read_sealed, write_sealed
from gpuclust.app.job.job import Job
from gpuclust.app.job.results import RESULTS
from gpuclust.app.job.runner import run

POINTS = np.random.default_rng(5).normal(size=(30, 2))
MINE = "written by hand\n"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def contents(folder):
    """Everything in a folder: bytes of files, targets of links."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = f"-> {os.readlink(path)}" if path.is_symlink() else path.is_file() and path.read_bytes()
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refused(here, *command, naming, overwrite=False):
    """The command does nothing, says so in one line with the file's name, and leaves everything as it was."""
    before = contents(here)
    done = invoke(*command, *(["--overwrite"] if overwrite else []))
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1, done.stderr
    assert naming in done.stderr
    assert contents(here) == before
    return done.stderr


@pytest.mark.parametrize("name", ["Z.npy", "labels.csv"])
@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_an_input_is_not_replaced_by_a_result(here, name, link):
    """`gpuclust run labels.csv --out .` once destroyed labels.csv; by its name, or by that of a link to it."""
    np.savetxt("t.csv", POINTS, delimiter=",") if name.endswith("csv") else np.save("t.npy", POINTS)
    os.rename(f"t{name[-4:]}", name)
    given = name
    if link:
        given = f"other{name[-4:]}"
        (os.symlink if link == "symbolic" else os.link)(name, given)
    for overwrite in (False, True):
        said = refused(here, "run", given, "--out", ".", "-k", 2, "--no-plots", naming=name, overwrite=overwrite)
        assert "is the input" in said


def test_an_input_that_is_an_earlier_result_is_not_removed(here):
    np.save("a.npy", POINTS)
    assert invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots").exit_code == 0
    said = refused(here, "run", "o/labels.csv", "--out", "o", "--no-plots", naming="o/labels.csv", overwrite=True)
    assert "is the input" in said


def test_files_of_the_users_are_not_replaced_by_a_run(here):
    np.save("a.npy", POINTS)
    os.mkdir("o")
    for name in ("Z.npy", "labels.csv", "run.json", "dendrogram.png", "report.html"):
        Path("o", name).write_text(MINE)
        said = refused(here, "run", "a.npy", "--out", "o", "-k", 2, "--report", naming=f"o/{name}")
        assert "--overwrite" in said
        os.unlink(Path("o", name))
    Path("o", "labels.csv").write_text(MINE)  # a run that writes none of its own
    assert invoke("run", "a.npy", "--out", "o", "--no-plots").exit_code == 0
    assert Path("o", "labels.csv").read_text() == MINE
    done = invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots", "--overwrite")
    assert done.exit_code == 0, done.output
    assert Path("o", "labels.csv").read_text().startswith("row,label")
    assert sorted(os.listdir("o")) == ["Z.npy", "labels.csv", "run.json"]


def test_a_result_that_was_changed_since_is_the_users(here):
    np.save("a.npy", POINTS)
    assert invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots").exit_code == 0
    with open("o/labels.csv", "a") as file:
        file.write(MINE)
    refused(here, "run", "a.npy", "--out", "o", "-k", 3, "--no-plots", naming="o/labels.csv")
    assert invoke("run", "a.npy", "--out", "o", "--no-plots").exit_code == 0  # would only have removed it
    assert Path("o/labels.csv").read_text().endswith(MINE)


def test_a_name_that_is_a_folder(here):
    np.save("a.npy", POINTS)
    os.makedirs("o/Z.npy/inside")
    refused(here, "run", "a.npy", "--out", "o", "--no-plots", naming="o/Z.npy", overwrite=True)


def test_links_in_the_output_folder_are_not_followed(here):
    """Not to a file, not to a name where there is none; with --overwrite the link itself is replaced."""
    np.save("a.npy", POINTS)
    os.mkdir("o")
    Path("precious").write_text(MINE)
    for target in ("../precious", "../nothing"):
        for name in ("labels.csv", "Z.npy", "run.json", JOURNAL):
            os.symlink(target, Path("o", name))
            refused(here, "run", "a.npy", "--out", "o", "-k", 2, "--no-plots", naming=f"o/{name}")
            done = invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots", "--overwrite")
            assert done.exit_code == 0, done.output
            assert not any(path.is_symlink() for path in Path("o").iterdir())
            assert Path("precious").read_text() == MINE
            assert sorted(os.listdir(".")) == ["a.npy", "o", "precious"]
            shutil.rmtree("o")
            os.mkdir("o")


def test_a_hard_link_keeps_the_earlier_result(here):
    """Files are replaced, not written into: what else has the earlier one keeps it."""
    np.save("a.npy", POINTS)
    assert invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots").exit_code == 0
    before = Path("o/labels.csv").read_bytes()
    os.link("o/labels.csv", "kept.csv")
    assert invoke("run", "a.npy", "--out", "o", "-k", 9, "--no-plots").exit_code == 0
    assert Path("kept.csv").read_bytes() == before != Path("o/labels.csv").read_bytes()


def test_the_output_folder_may_be_a_link(here):
    np.save("a.npy", POINTS)
    os.mkdir("elsewhere")
    os.symlink("elsewhere", "o")
    assert invoke("run", "a.npy", "--out", "o", "--no-plots").exit_code == 0
    assert sorted(os.listdir("elsewhere")) == ["Z.npy", "run.json"]
    assert invoke("batch", "a.npy", "--out", "o", "--plots", "none", "--no-reports", "--workers", 1).exit_code == 0
    assert {"a", "summary.csv"} < set(os.listdir("elsewhere"))
    assert Path("o").is_symlink()


# Batches


def quick(*arguments):
    return ("batch", *arguments, "--plots", "none", "--no-reports", "--workers", 1, "-k", 2)


@pytest.mark.parametrize("name", ["summary.csv", "index.html", ".gpuclust.lock"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_the_users_files_beside_those_of_a_batch(here, name, kind):
    np.save("a.npy", POINTS)
    Path("precious").write_text(MINE)
    Path(name).write_text(MINE) if kind == "file" else os.symlink("precious" if kind == "link" else "nothing", name)
    before = contents(here)
    done = invoke(*quick("a.npy", "--out", "."))
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert name in done.stderr
    assert {key: value for key, value in contents(here).items() if key in before} == before
    assert "a" not in os.listdir()  # nothing was begun
    if name != ".gpuclust.lock":
        assert invoke(*quick("a.npy", "--out", ".", "--overwrite")).exit_code == 0
        assert Path("precious").read_text() == MINE
        assert "nothing" not in os.listdir()


def test_the_users_files_in_the_folder_of_a_data_set(here):
    """`gpuclust batch iris.csv --out .` once deleted iris/labels.csv of the user's."""
    for name in ("iris", "other"):
        np.savetxt(f"{name}.csv", POINTS, delimiter=",")
    os.mkdir("iris")
    Path("iris/labels.csv").write_text(MINE)
    Path("iris/notes.txt").write_text(MINE)
    done = invoke(*quick("iris.csv", "other.csv", "--out", "."))
    assert done.exit_code == 1, "the other one is done"
    assert "iris/labels.csv: was not written by gpuclust" in done.stdout
    assert sorted(os.listdir("iris")) == ["labels.csv", "notes.txt"]
    assert Path("iris/labels.csv").read_text() == MINE
    assert Path("other/Z.npy").exists()
    done = invoke(*quick("iris.csv", "other.csv", "--out", ".", "--overwrite"))
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir("iris")) == ["Z.npy", "labels.csv", "notes.txt", "run.json"]
    assert Path("iris/notes.txt").read_text() == MINE


@pytest.mark.parametrize("overwrite", [False, True])
def test_inputs_in_folders_of_data_sets(here, overwrite):
    """Its own input, and that of another data set of the batch."""
    os.mkdir("labels")
    np.savetxt("labels/labels.csv", POINTS, delimiter=",")
    np.save("a.npy", POINTS)
    os.mkdir("a")
    os.link("labels/labels.csv", "a/labels.csv")
    before = contents(here)
    done = invoke(*quick("labels/labels.csv", "a.npy", "--out", ".", *(["--overwrite"] if overwrite else [])))
    assert done.exit_code == 1
    assert done.stdout.count("is the input labels/labels.csv") == 2
    assert {name: content for name, content in contents(here).items() if name in before} == before


def test_a_manifest_where_the_summary_would_go(here):
    np.save("a.npy", POINTS)
    Path("summary.csv").write_text("path\na.npy\n")
    refused(here, *quick("summary.csv", "--out", "."), naming="summary.csv: is the input", overwrite=True)


def test_the_folder_of_a_data_set_that_is_a_link(here):
    np.save("a.npy", POINTS)
    os.mkdir("elsewhere")
    Path("elsewhere/labels.csv").write_text(MINE)
    os.mkdir("o")
    os.symlink("../elsewhere", "o/a")
    for more in ([], ["--overwrite"]):
        done = invoke(*quick("a.npy", "--out", "o", *more))
        assert done.exit_code == 1
        assert "o/a: is a link" in done.stdout
        assert contents("elsewhere") == {"labels.csv": MINE.encode()}


def test_what_was_changed_in_a_batch_is_kept_and_done_again(here):
    np.save("a.npy", POINTS)
    assert invoke(*quick("a.npy", "--out", "o")).exit_code == 0
    before = contents("o/a")
    Path("o/a/labels.csv").write_text(MINE)
    Path("o/summary.csv").write_text(MINE)
    done = invoke(*quick("a.npy", "--out", "o"))
    assert done.exit_code == 0
    assert "a: labels.csv is damaged, or was changed: done again" in done.stderr
    assert "it is kept as labels.changed-1.csv" in done.stderr
    after = contents("o/a")
    assert after.pop("labels.changed-1.csv") == MINE.encode()
    assert [after[name] for name in ("Z.npy", "labels.csv")] == [before[name] for name in ("Z.npy", "labels.csv")]
    assert Path("o/summary.changed-1.csv").read_text() == MINE
    assert Path("o/summary.csv").read_text().startswith("name,")
    assert invoke(*quick("a.npy", "--out", "o")).stdout.startswith("1 data sets: 1 unchanged")


def test_a_run_and_a_batch_may_share_a_folder(here):
    """Neither replaces the other's files, nor loses the record of its own."""
    np.save("a.npy", POINTS)
    assert invoke(*quick("a.npy", "--out", "o")).exit_code == 0
    assert invoke("run", "a.npy", "--out", "o", "-k", 2, "--no-plots").exit_code == 0
    assert invoke("batch", "--verify", "o").exit_code == 0
    assert invoke(*quick("a.npy", "--out", "o")).exit_code == 0
    assert invoke("run", "a.npy", "--out", "o", "-k", 3, "--no-plots").exit_code == 0
    assert {"Z.npy", "run.json", "summary.csv", "a"} <= set(os.listdir("o"))


def test_python_has_the_same_rules(here):
    np.save("a.npy", POINTS)
    os.makedirs("o/a")
    Path("o/a/Z.npy").write_text(MINE)
    job = Job("a.npy", Path("o/a"), clusters=2, plots=False)
    with pytest.raises(OutputRefused, match=r"o/a/Z.npy: was not written by gpuclust"):
        run(job)
    options = {"plots": "none", "reports": False, "workers": 1}
    (outcome,) = batch.run("a.npy", "o", **options)
    assert outcome.kind == "OutputRefused"
    assert os.listdir("o/a") == ["Z.npy"]
    (outcome,) = batch.run("a.npy", "o", overwrite=True, **options)
    assert outcome.ok


def test_the_demonstration_has_the_same_rules(here, monkeypatch):
    for name in ("show_tutorial", "show_digits", "show_large"):
        monkeypatch.setattr(demo, name, lambda *arguments: pytest.fail("nothing is to be computed"))
    for name in ("digits-true.png", "tutorial/01-points.png"):
        os.makedirs(Path("o", name).parent, exist_ok=True)
        Path("o", name).write_text(MINE)
        refused(here, "demo", "--out", "o", naming=name)
        os.unlink(Path("o", name))


# The parts


def test_what_is_ours_survives_a_kill_at_any_step(tmp_path, monkeypatch):
    """After every system call that changes the folder, another run finds nothing that it takes for the user's."""
    np.save(tmp_path / "a.npy", POINTS)
    job = Job(str(tmp_path / "a.npy"), tmp_path / "o", clusters=2, plots=False)
    run(job)

    class Killed(BaseException):
        pass

    for step in range(100):
        left = [step]

        def counted(real, left=left):
            def call(*arguments, **options):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "rename", "fsync"):
                patch.setattr(os, name, counted(getattr(os, name)))
            patch.setattr(OutputFolder, "forget_all", lambda self: None)  # killed, not stopped
            try:
                run(Job(job.data, job.out, clusters=3 + step, plots=False))
            except (Killed, OutputError):
                pass
            else:
                break
        run(job)
        assert sorted(os.listdir(job.out)) == ["Z.npy", "labels.csv", "run.json"], step
    assert 8 < step < 99


def test_two_runs_do_not_share_a_folder(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    (tmp_path / "o").mkdir()
    with exclusive(tmp_path / "o"), pytest.raises(OutputError, match="another run is at work there"):
        run(Job(str(tmp_path / "a.npy"), tmp_path / "o", plots=False))


def test_sealed_records(tmp_path):
    path = tmp_path / "r.json"
    written = write_sealed(path, {"b": [1, 2.5, None], "a": {"x": "caf\udce9"}})
    assert read_sealed(path) == written
    for text in ("", "[]", "{}", "nonsense", "[" * 100_000, path.read_text().replace("2.5", "2.6")):
        path.write_text(text)
        assert read_sealed(path) is None
    path.unlink()
    os.mkfifo(path)
    assert read_sealed(path) is None


def test_names_that_no_result_has_are_left_alone(tmp_path):
    """Also if a record, which anybody can make, names them."""
    thesis = tmp_path / "thesis.txt"
    thesis.write_text(MINE)
    from gpuclust.app.data.opening import sha256_of

    write_sealed(tmp_path / "run.json", {"identity": "", "hashes": {"thesis.txt": sha256_of(thesis)}})
    write_sealed(tmp_path / LEDGER, {"files": {"thesis.txt": [sha256_of(thesis)]}})
    OutputFolder(tmp_path, RESULTS, is_run=True).forget_all()
    assert thesis.read_text() == MINE
    Folders(tmp_path).begin(["a"])
    assert read_sealed(tmp_path / LEDGER)["folders"] == ["a"]
