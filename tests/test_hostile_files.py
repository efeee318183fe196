"""Special files and bombs: refused in one line that names the file, without waiting, with little memory."""

from __future__ import annotations

import gzip
import io
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

from gpuclust.app.cli import app
from gpuclust.app.data.files import read_points, read_shape
from gpuclust.app.data.opening import open_regular
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


def packed(path, content, times):
    """A file that unpacks to a content many times over, of as many members, compressed once."""
    path.write_bytes(gzip.compress(content, compresslevel=9) * times)


def blank_lines(path):
    packed(path, b"\n" * 2**20, 64)


def many_rows(path):
    packed(path, b"1,2\n" * 2**18, 50)


def one_line(path):
    packed(path, b"1" * 2**20, 300)


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
