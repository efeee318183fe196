"""Data sets that fail in a batch: damaged files, unsuitable options, what does not fit; the others are computed."""

from __future__ import annotations

import json
import os

import batch_folders
import numpy as np
import pytest
import scipy.cluster.hierarchy as reference
from batch_folders import POINTS, invoke, run, statuses, summary
from scipy.spatial.distance import pdist, squareform

from gpuclust.app.job.job import Job
from gpuclust.app.job.record import Source
from gpuclust.errors import InputFileError, RoundingWarning

data = batch_folders.data


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
