"""Damaged data files: an error in one line that names the file, and other data sets are computed."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import struct
import sys
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app.cli import app
from gpuclust.app.data.files import read_points, read_shape
from gpuclust.errors import DoesNotFit, InputFileError

POINTS = np.random.default_rng(5).normal(size=(30, 2))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


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
