"""Inputs that are not data: special files, bombs, damaged files, invalid manifests, names that are not text.

Each is refused in one line that names the file, without waiting and without much memory, and does not affect others.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app.batch.inputs import collect
from gpuclust.app.cli import app
from gpuclust.app.data.files import read_points, read_shape
from gpuclust.app.data.opening import open_regular
from gpuclust.app.job.job import Job
from gpuclust.app.job.runner import run
from gpuclust.core.text import displayed
from gpuclust.errors import DoesNotFit, InputFileError

POINTS = np.random.default_rng(5).normal(size=(30, 2))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def special(path, kind):
    """A file of a kind that is no data set."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        os.symlink("/dev/zero", path)
    elif kind == "random":
        os.symlink("/dev/urandom", path)
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "loop":
        os.symlink(path.name, path)
    elif kind == "to fifo":
        os.mkfifo(f"{path}.fifo")
        os.symlink(f"{path}.fifo", path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    return path


KINDS = {
    "fifo": "a FIFO",
    "zero": "a device",
    "random": "a device",
    "folder": "a folder",
    "socket": "a socket",
    "to fifo": "a FIFO",
    "loop": "cannot be read",
}


@pytest.mark.parametrize("kind", KINDS)
def test_special_files_are_refused_at_once(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    for ending in (".csv", ".tsv.gz", ".npy", ".npz", ".parquet", ".feather"):
        path = special(tmp_path / f"x{ending}", kind)
        for read in (read_points, read_shape, open_regular):
            with pytest.raises(InputFileError, match=re.escape(str(path))) as caught:
                read(path)
            assert KINDS[kind] in str(caught.value)
    for command in (["run"], ["plan"], ["compare"]):
        done = invoke(*command, tmp_path / "x.csv", *(["--out", tmp_path / "o"] if command == ["run"] else []))
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert str(tmp_path / "x.csv") in done.stderr


def test_special_files_stop_no_batch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", POINTS)
    for kind in KINDS:
        special(tmp_path / f"{kind}.csv", kind)
    special(tmp_path / "m.toml", "fifo")
    Path("manifest.csv").write_text("path\ngood.npy\nfifo.csv\n*o.csv\n")
    for inputs in (["*.csv", "good.npy"], [".", "good.npy"], ["manifest.csv"], ["m.toml", "good.npy"]):
        done = invoke(
            "batch", *inputs, "--out", f"out-{len(inputs[0])}", "--plots", "none", "--no-reports", "--workers", 1
        )
        assert done.exit_code == 1, done.output
        assert "1 done" in done.stdout or "2 done" in done.stdout
        assert "a FIFO" in done.stdout or "unknown kind" in done.stdout


# Bombs


def blank_lines(path):
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(64):
            file.write(b"\n" * 2**20)


def many_rows(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(50):
            file.write(b"1,2\n" * 2**18)


def one_line(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"1" * 2**20)


def huge_member(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (200_000_000, 100)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", header.getvalue() + bytes(2**20))


def long_header(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**27) + b" " * 2**27)


def repeated(path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 20_000_000, pyarrow.int32()), [1.5])
    parquet.write_table(pyarrow.table({"a": column.cast(pyarrow.float64())}), path, compression="zstd")


def repeated_batch(path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    column = pyarrow.array(np.full(20_000_000, 1.5))
    feather.write_feather(pyarrow.table({"a": column}), path, compression="zstd", chunksize=20_000_000)


def nulls(path):
    """Columns of nulls have no bytes, however long they are."""
    pyarrow = pytest.importorskip("pyarrow")
    batch = pyarrow.record_batch([pyarrow.nulls(10**9)], ["a"])
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, batch.schema) as stream:
        stream.write_batch(batch)


def wide_dictionary(path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    column = pyarrow.DictionaryArray.from_arrays([0, 1], pyarrow.array(np.arange(20_000_000.0)))
    feather.write_feather(pyarrow.table({"a": column}), path, compression="lz4")


def sparse(path):
    with open(path, "wb") as file:
        file.write(b"a,b\n1,2\n")
        file.truncate(2**40)


BOMBS = {
    "blank.csv.gz": (blank_lines, InputFileError, "are blank"),
    "rows.csv.gz": (many_rows, DoesNotFit, "more than 6,250,000 rows of 2 numbers, which take 100 MB"),
    "line.tsv.gz": (one_line, InputFileError, "a line is longer than"),
    "member.npz": (huge_member, DoesNotFit, "20,000,000,000 numbers, which take 160 GB, and 100 MB"),
    "header.npz": (long_header, InputFileError, "damaged or truncated .npy header"),
    "repeated.parquet": (repeated, DoesNotFit, "20,000,000 numbers, which take 160 MB, and 100 MB"),
    "repeated.feather": (repeated_batch, DoesNotFit, "20,000,000 numbers, which take 160 MB, and 100 MB"),
    "nulls.arrow": (nulls, DoesNotFit, "1,000,000,000 numbers, which take 8 GB, and 100 MB"),
    "dictionary.feather": (wide_dictionary, DoesNotFit, "which take 160 MB, and 100 MB"),
    "sparse.csv": (sparse, InputFileError, "is not text in UTF-8 (byte 8 is NUL)"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_the_memory_that_may_be_used(tmp_path, name):
    make, error, message = BOMBS[name]
    make(tmp_path / name)
    with pytest.raises(error, match=re.escape(message)) as caught:
        read_points(tmp_path / name, limit=10**8)
    assert str(tmp_path / name) in str(caught.value)


def test_a_bomb_takes_no_memory(tmp_path):
    """Within 600 MB of address space beyond the libraries."""
    for name in ("blank.csv.gz", "header.npz"):
        BOMBS[name][0](tmp_path / name)
    program = (
        "import resource, sys\nfrom gpuclust.app.data.files import read_points, read_shape\n"
        "from gpuclust.errors import InputFileError\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    for read in (read_points, read_shape):\n"
        "        try:\n            read(path)\n            sys.exit('was read')\n"
        "        except InputFileError:\n            pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)\n"
    )
    paths = [str(tmp_path / name) for name in ("blank.csv.gz", "header.npz")]
    done = subprocess.run([sys.executable, "-c", program, *paths], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000, "kB"


def test_blank_lines_are_no_fault(tmp_path):
    (tmp_path / "t.csv").write_text("\n" * 5000 + "a,b\n" + ("1,2\n" + "\n" * 20) * 50 + "\n" * 5000)
    assert read_points(tmp_path / "t.csv").values.shape == (50, 2)


# Damaged files


def npy(header, version=b"\x01\x00", length=None):
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + version + size + header + bytes(100)


def archive(method, change):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        member = io.BytesIO()
        np.save(member, POINTS)
        file.writestr("X.npy", member.getvalue())
    return change(bytearray(buffer.getvalue()))


def everywhere(mark, at, value):
    """Set bytes in the headers of a zip file, the local and the central one."""

    def change(content):
        for signature, offset in ((b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)):
            place = content.index(signature) + offset
            content[place : place + 2] = struct.pack("<H", value)
        return bytes(content)

    return change


def spoil(content):
    start = content.index(b"X.npy") + 5
    content[start + 10 : start + 200] = b"\xff" * 190
    return bytes(content)


def parquet(metadata):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    buffer = io.BytesIO()
    files.write_table(pyarrow.table({"a": [1.0, 2.0]}).replace_schema_metadata({b"pandas": metadata}), buffer)
    return buffer.getvalue()


DAMAGED = {
    "lzma.npz": lambda: archive(zipfile.ZIP_LZMA, spoil),
    "bz2.npz": lambda: archive(zipfile.ZIP_BZIP2, spoil),
    "deflated.npz": lambda: archive(zipfile.ZIP_DEFLATED, spoil),
    "encrypted.npz": lambda: archive(zipfile.ZIP_STORED, everywhere("flags", 6, 1)),
    "unknown.npz": lambda: archive(zipfile.ZIP_STORED, everywhere("method", 8, 77)),
    "text.npz": lambda: b"PK\x05\x06" + bytes(18),
    "unended.npy": lambda: npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, "),
    "nested.npy": lambda: npy(b"(" * 5000),
    "deep.npy": lambda: npy(b"{'descr': " + b"[" * 3000 + b"]" * 3000 + b"}"),
    "kind.npy": lambda: npy(b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (3,)}"),
    "negative.npy": lambda: npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2)}"),
    "large.npy": lambda: npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 400 + b", 2)}"),
    "larger.npy": lambda: npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b", 2)}"),
    "long.npy": lambda: npy(b"{}", b"\x02\x00", 2**31),
    "version.npy": lambda: npy(b"{}", b"\x09\x00"),
    "short.npy": lambda: b"\x93NUMPY\x01",
    "garbage.csv.gz": lambda: gzip.compress(b"1,2\n" * 1000)[:20] + b"\xff" * 50,
    "footer.parquet": lambda: b"PAR1" + b"\xff" * 100 + struct.pack("<I", 90) + b"PAR1",
    "footer.feather": lambda: b"ARROW1\0\0" + b"\xff" * 100 + struct.pack("<I", 90) + b"ARROW1",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(DAMAGED[name]())
    if name.startswith("footer"):
        pytest.importorskip("pyarrow")
    for read in (read_points, read_shape):
        with pytest.raises(InputFileError, match=re.escape(str(path))) as caught:
            read(path)
        assert len(str(caught.value)) < 600
    done = invoke("run", path, "--out", tmp_path / "o")
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1


def test_damaged_files_stop_no_batch(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name, make in DAMAGED.items():
        (data / name).write_bytes(make())
    np.save(data / "good.npy", POINTS)
    outcomes = batch.run(data, tmp_path / "out", plots="none", reports=False, workers=1)
    assert [outcome.name for outcome in outcomes if outcome.ok] == ["good"]
    assert {outcome.kind for outcome in outcomes if not outcome.ok} == {"InputFileError"}


@pytest.mark.parametrize("metadata", [b"7", b"[]", b'{"index_columns": 3}', b"{", b"[" * 100_000])
def test_a_note_of_pandas_that_is_damaged_names_no_rows(tmp_path, metadata):
    (tmp_path / "a.parquet").write_bytes(parquet(metadata))
    np.testing.assert_array_equal(read_points(tmp_path / "a.parquet").values, [[1.0], [2.0]])


@pytest.mark.sweep
def test_random_damage_is_an_error_of_input(tmp_path):
    """Bytes changed, and files cut short, in every format: an InputFileError, or numbers."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    from gpuclust.app.data.columnar import write_columnar

    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", POINTS)
    np.savez_compressed(tmp_path / "a.npz", X=POINTS)
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        np.savetxt(file, POINTS, delimiter=",")
    with open(tmp_path / "a.parquet", "wb") as file:
        write_columnar(file, {"x": POINTS[:, 0]})
    feather.write_feather(pyarrow.table({"x": POINTS[:, 0], "y": POINTS[:, 1]}), tmp_path / "a.feather")
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for _ in range(300):
            content = bytearray(whole[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.3 else whole)
            for _ in range(rng.integers(0, 6)):
                content[rng.integers(len(content))] = rng.integers(256)
            path.write_bytes(content)
            with contextlib.suppress(InputFileError, DoesNotFit):
                read_points(path)


# Manifests


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


# Names that are not UTF-8


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
