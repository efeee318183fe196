"""Damaged results: a resumed batch computes them again with a note, and --verify finds them."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app.batch.outcome import Outcome
from gpuclust.app.batch.verify import verify
from gpuclust.app.batch.worker import do
from gpuclust.app.cli import app
from gpuclust.app.data.ownership import JOURNAL
from gpuclust.app.data.sealed import write_sealed
from gpuclust.app.job.job import Job
from gpuclust.app.job.record import read_record
from gpuclust.errors import InputFileError

POINTS = np.random.default_rng(5).normal(size=(40, 2))
FILES = ("run.json", "Z.npy", "labels.csv", "report.html")
DAMAGES = 200


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished batch of one data set, and what it is to look like."""
    folder = tmp_path_factory.mktemp("finished")
    np.save(folder / "a.npy", POINTS)
    (outcome,) = batch.run(folder / "a.npy", folder / "out", clusters=3, plots="none", workers=1)
    assert outcome.ok
    return folder


def wrong_type(rng):
    return [None, 7, -1.5, "x", [], {}, [None], {"a": 1}, True, "../../x", 10**30][rng.integers(11)]


def damage_record(text, rng):
    """run.json with a key away, or a value of another type, at a random depth."""
    record = json.loads(text)
    here = record
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = keys[rng.integers(len(keys))]
        if isinstance(here[key], (dict, list)) and here[key] and rng.random() < 0.5:
            here = here[key]
            continue
        if rng.random() < 0.5:
            del here[key]
        else:
            before = here[key]
            while here[key] == before:
                here[key] = wrong_type(rng)
        return json.dumps(record, indent=2) + "\n"


def damage(folder, place):
    """Damage one of the files in a folder; its name."""
    rng = np.random.default_rng(place)
    name = FILES[place % len(FILES)] if place % 2 else "run.json"
    path = folder / name
    content = path.read_bytes()
    kind = rng.integers(6 if name == "run.json" else 4)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(content[: rng.integers(len(content))])
    elif kind == 2:
        at = rng.integers(len(content))
        changed = bytes([content[at] ^ (1 << rng.integers(8))])
        path.write_bytes(content[:at] + changed + content[at + 1 :])
    elif kind == 3:
        path.write_bytes(rng.bytes(rng.integers(1, 2 * len(content))))
    else:
        path.write_text(damage_record(content.decode(), rng))
    return name


def check(finished, copy, place):
    """A worker finds the damage, does the job again, and loses nothing; so does the list of what is wrong."""
    shutil.copytree(finished / "out", copy)
    before = {name: (copy / "a" / name).read_bytes() for name in FILES}
    name = damage(copy / "a", place)
    assert (copy / "a" / name).read_bytes() != before[name] if (copy / "a" / name).exists() else True
    wrong, complete = verify(copy)
    assert complete == 0
    assert any(line.startswith(f"{copy / 'a' / name}: ") for line in wrong), (place, name, wrong)
    damaged = (copy / "a" / name).read_bytes() if (copy / "a" / name).exists() else None
    job = Job(str(finished / "a.npy"), copy / "a", clusters=3.0, plots=False, report=True)
    attempt = do(job)
    assert attempt.status == "done", (place, name, attempt.failure)
    assert attempt.said or name == "run.json", (place, name)
    for same in ("Z.npy", "labels.csv"):
        assert (copy / "a" / same).read_bytes() == before[same], (place, name)
    assert do(job).status == "unchanged"
    kept = [path for path in (copy / "a").iterdir() if ".changed-" in path.name]
    assert damaged is None or any(path.read_bytes() == damaged for path in kept)
    assert read_record(copy / "a")["result"] == json.loads(before["run.json"])["result"]
    outcome = Outcome(0, "a", job.data, copy / "a", attempt.status, attempt.record)
    assert outcome.labels.max() == 3


@pytest.mark.parametrize("place", [*range(8), 11, 17, 31])
def test_damaged_results_are_done_again(finished, tmp_path, place):
    check(finished, tmp_path / "out", place)


@pytest.mark.sweep
def test_damaged_results_are_done_again_whatever_the_damage(finished, tmp_path):
    for place in range(DAMAGES):
        check(finished, tmp_path / str(place), place)
        shutil.rmtree(tmp_path / str(place))


def test_a_batch_goes_on_in_a_damaged_folder(finished, tmp_path):
    """All of it at once: the ledger, the summary, and a run.json; what was there is kept."""
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    for name in (".gpuclust.json", "summary.csv", "a/run.json", "a/labels.csv"):
        (out / name).write_text("damaged")
    (outcome,) = batch.run(finished / "a.npy", out, clusters=3, plots="none", workers=1, overwrite=True)
    assert outcome.status == "done"
    assert verify(out) == ([], 1)
    (out / "a" / "run.json").write_text("damaged")
    (outcome,) = batch.run(finished / "a.npy", out, clusters=3, plots="none", workers=1)
    assert outcome.status == "done"
    assert "run.json is damaged, or was changed: done again" in outcome.said
    assert (out / "a" / "run.changed-1.json").read_text() == "damaged"
    assert verify(out) == ([], 1)
    (out / ".gpuclust.json").write_text("damaged")  # who made the folder is not known, but its run.json is whole
    (outcome,) = batch.run(finished / "a.npy", out, clusters=3, plots="none", workers=1)
    assert outcome.status == "unchanged"
    assert verify(out) == ([], 1)


def test_verify(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    def invoke(*arguments):
        return CliRunner().invoke(app, ["batch", *map(str, arguments)])

    done = invoke("--verify", out)
    assert (done.exit_code, done.stdout) == (0, "1 data sets are as they were written\n")
    (out / "index.html").write_text("x")
    (out / "a" / "Z.npy").unlink()
    done = invoke("--verify", out)
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{out / 'index.html'}: is damaged, or was changed",
        f"{out / 'a' / 'Z.npy'}: is missing",
        "0 data sets are as they were written; 2 files are not",
    ]
    shutil.rmtree(out / "a")
    assert f"{out / 'a' / 'run.json'}: is missing" in invoke("--verify", out).stdout
    assert set(out.rglob("*")) < set(times), "nothing is written"
    assert invoke("--verify", out, "a.npy").exit_code == 2
    assert "no batch was here" in invoke("--verify", tmp_path).stderr
    (out / ".gpuclust.json").write_text("x")
    with pytest.raises(InputFileError, match=r"\.gpuclust\.json: is damaged"):
        verify(out)
    assert invoke("a.npy").exit_code == 2
    assert "--out is missing" in invoke("a.npy").stderr


def test_another_whole_result_in_its_place_is_found(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    done = CliRunner().invoke(app, ["run", str(finished / "a.npy"), "--out", str(out / "a"), "--no-plots"])
    assert done.exit_code == 0, done.output
    assert verify(out) == ([f"{out / 'a' / 'run.json'}: is that of another run"], 0)


def test_what_a_kill_after_the_last_step_leaves_is_cleared_away(finished, tmp_path):
    """Between run.json and the end of its journal: found by one of fifty kills."""
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    before = sorted(os.listdir(out / "a"))
    record = read_record(out / "a")
    write_sealed(out / "a" / JOURNAL, {"files": {name: [digest] for name, digest in record["hashes"].items()}})
    (out / "a" / ".gpuclust-123-0123abcd.tmp").mkdir()
    job = Job(str(finished / "a.npy"), out / "a", clusters=3.0, plots=False, report=True)
    assert do(job).status == "unchanged"
    assert sorted(os.listdir(out / "a")) == before


def test_results_of_earlier_versions_are_kept(finished, tmp_path):
    """run.json without hashes proves nothing; with the ledger gone too, the folder is the user's."""
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    record = json.loads((out / "a" / "run.json").read_text())
    for key in ("hashes", "sha256", "kept"):
        del record[key]
    (out / "a" / "run.json").write_text(json.dumps(record))
    os.unlink(out / ".gpuclust.json")
    for name in ("summary.csv", "index.html"):
        os.unlink(out / name)
    (outcome,) = batch.run(finished / "a.npy", out, clusters=3, plots="none", workers=1)
    assert outcome.kind == "OutputRefused"
    assert json.loads((out / "a" / "run.json").read_text()) == record
