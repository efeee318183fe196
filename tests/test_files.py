"""Data files: the content read from each format, and the errors for files that cannot be read."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.app.data.files import read_points, split_key
from gpuclust.app.data.opening import sha256_of
from gpuclust.app.data.output import (
    OutputError,
    atomic_write,
    check_output_folder,
    discard_unfinished,
    output_folder,
    save_figure,
)
from gpuclust.errors import InputFileError

NUMBERS = np.array([[1.5, -2.0], [3.25, 1e-300], [0.1, 7.0]])


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_memory_mapped(tmp_path, dtype, order):
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_points(tmp_path / "a.npy")
    assert isinstance(found.values, np.memmap)
    assert found.values.dtype == array.dtype
    np.testing.assert_array_equal(found.values, array)
    assert found.names is None
    assert found.columns is None


def test_npy_of_one_dimension_is_kept(tmp_path):
    np.save(tmp_path / "condensed.npy", np.arange(6.0))
    assert read_points(tmp_path / "condensed.npy").values.shape == (6,)


def test_npz(tmp_path):
    np.savez(tmp_path / "one.npz", NUMBERS)
    np.savez_compressed(tmp_path / "two.npz", X=NUMBERS, y=np.arange(3))
    np.testing.assert_array_equal(read_points(tmp_path / "one.npz").values, NUMBERS)
    np.testing.assert_array_equal(read_points(f"{tmp_path / 'two.npz'}:X").values, NUMBERS)
    np.testing.assert_array_equal(read_points(tmp_path / "two.npz", key="X").values, NUMBERS)
    with pytest.raises(InputFileError, match=r"holds X, y; name one array, like two.npz:X"):
        read_points(tmp_path / "two.npz")
    with pytest.raises(InputFileError, match=r"no array 'Z', but X, y"):
        read_points(f"{tmp_path / 'two.npz'}:Z")


def test_split_key(tmp_path):
    assert split_key("a.npz:X") == (Path("a.npz"), "X")
    assert split_key("a:b.csv") == (Path("a:b.csv"), None)
    assert split_key("a.npz") == (Path("a.npz"), None)


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("heading", "named"),
    [
        (None, False),
        (["x", "y"], False),
        (None, True),
        (["name", "x", "y"], True),
        (["", "x", "y"], True),  # pandas, and R's write.csv
        (["x", "y"], True),  # R's write.table: a header one cell shorter than the rows
    ],
)
def test_tables(tmp_path, separator, newline, heading, named):
    rows = [[*([f"r {i}"] if named else []), *map(repr, row)] for i, row in enumerate(NUMBERS.tolist())]
    lines = [separator.join(row) for row in ([heading] if heading else []) + rows]
    (tmp_path / "t.csv").write_bytes(("\ufeff" + newline.join(lines) + newline + newline).encode())
    found = read_points(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.values, NUMBERS)
    assert found.values.flags.c_contiguous
    assert found.names == (["r 0", "r 1", "r 2"] if named else None)
    assert found.columns == (["x", "y"] if heading else None)


def test_quoted_cells_tsv_and_gzip(tmp_path):
    text = 'id\t"a ""b"""\n"one\tmore"\t1\ntwo\t2\n'
    write(tmp_path / "t.tsv", text)
    with gzip.open(tmp_path / "t.tsv.gz", "wt") as file:
        file.write(text)
    for name in ("t.tsv", "t.tsv.gz"):
        found = read_points(tmp_path / name)
        assert found.names == ["one\tmore", "two"]
        assert found.columns == ['a "b"']
        np.testing.assert_array_equal(found.values, [[1.0], [2.0]])


def test_numeric_row_names_under_an_empty_heading(tmp_path):
    found = read_points(write(tmp_path / "pandas.csv", ",a\n0,1.5\n1,2.5\n"))
    assert found.names == ["0", "1"]
    np.testing.assert_array_equal(found.values, [[1.5], [2.5]])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 5).flatmap(
        lambda m: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=m, max_size=m), min_size=1, max_size=8
        )
    )
)
def test_tables_keep_every_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    write(path, "\n".join(",".join(map(repr, row)) for row in rows))
    np.testing.assert_array_equal(read_points(path).values, np.array(rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "one line of text and no rows"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, but the rows before it have 2"),
        ("a,b\n1,2\n\n3\n", "line 4 has 1 cell, but the rows before it have 2"),
        ("x,1,2\ny,3\n", "line 2 has 2 cells, but the rows before it have 3"),
        (
            "1,2\n3,word\n",
            r"line 2, column 2: 'word' is not a number \(correct it, or leave column 1 out: --exclude 1",
        ),
        ("5.1,0.2,setosa\n4.9,0.2,1\n", "line 1, column 3: 'setosa' is not a number"),
        ("a,b,c\n1,2,3\n4,,6\n", "line 3, column 2: the cell is empty"),
        ("a,b\n1,2\n,\n", "line 3, column 1: the cell is empty"),
        ("a,b\n1,2\n3,nan\n", "line 3, column 2: 'nan' is not a finite number"),
        ("a,b\n1,inf\n3,4\n", "line 2, column 2: 'inf' is not a finite number"),
        ("a,b\n1,1e999\n3,4\n", "line 2, column 2: '1e999' is not a finite number"),
        (
            "1;2,5\n3;4.5\n",
            r"is not a number \(decimal points, decimal commas and .* are mixed: write all numbers alike",
        ),
        ("a;b\n1,5;2\n3;4.5\n", r"line 2, column 1: '1,5' is not a number \(decimal points, decimal commas"),
        ("1,2\n1_0,2\n", "line 2, column 1: '1_0' is not a number"),
        ("a,b\n1,2\n0x10,2\n", "line 3, column 1: '0x10' is not a number"),
        ("a,b\n1,2\n3+4j,2\n", "line 3, column 1: '3\\+4j' is not a number"),
    ],
)
def test_faults_in_tables_are_located(tmp_path, text, message):
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(InputFileError, match=message):
        read_points(path)


def test_tables_that_are_not_text(tmp_path):
    (tmp_path / "half.csv").write_bytes("name,1\n".encode("utf-16")[:-1])
    with pytest.raises(InputFileError, match=r"not text in UTF-16-LE \(byte"):
        read_points(tmp_path / "half.csv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1,2\n3,4\n")[:-6])
    with pytest.raises(InputFileError, match="cannot be read"):
        read_points(tmp_path / "t.csv.gz")
    write(tmp_path / "u.csv.gz", "1,2\n")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_points(tmp_path / "u.csv.gz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, "a"], dtype=object), "holds Python objects"),
        (np.ones((3, 2)) * 1j, "holds complex numbers"),
        (np.array([["a", "b"]]), "holds text"),
        (np.zeros(3, dtype=[("x", float)]), "holds records"),
        (np.array(["2024-01-01"], dtype="datetime64[D]"), "holds dates"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.float64(3.0), r"shape \(\)"),
        (np.ones((0, 4)), r"is empty \(shape \(0, 4\)\)"),
    ],
)
def test_arrays_that_are_no_points(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputFileError, match=message):
            read_points(tmp_path / name)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 128 + 8 * 20 - 1))
def test_a_truncated_npy_is_refused_wherever_it_ends(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("t") / "a.npy"
    np.save(path, np.ones((10, 2)))
    os.truncate(path, length)
    with pytest.raises(InputFileError, match=r"truncated|is not a \.npy file"):
        read_points(path)


def test_a_truncated_npy_says_how_much_is_missing(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10, 2)))
    os.truncate(tmp_path / "a.npy", 128 + 100)
    with pytest.raises(InputFileError, match=r"10 x 2 float64 values \(160 bytes\), but only 100 bytes follow"):
        read_points(tmp_path / "a.npy")


def test_damaged_npz(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", X=np.random.default_rng(0).normal(size=(50, 4)))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(whole[:300])
    (tmp_path / "wrong.npz").write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    write(tmp_path / "text.npz", "no")
    for name in ("short", "wrong", "text"):
        with pytest.raises(InputFileError, match=r"truncated|damaged"):
            read_points(tmp_path / f"{name}.npz")


def test_missing_files(tmp_path):
    write(tmp_path / "points.csv", "1,2\n")
    with pytest.raises(InputFileError, match=r"does not exist. Did you mean points.csv\?"):
        read_points(tmp_path / "point.csv")
    with pytest.raises(InputFileError, match=r"does not exist$"):
        read_points(tmp_path / "something-else.npy")
    with pytest.raises(InputFileError, match="nor does the folder"):
        read_points(tmp_path / "nowhere" / "points.csv")
    with pytest.raises(InputFileError, match="is a folder"):
        read_points(tmp_path)
    with pytest.raises(InputFileError, match=r"unknown kind of file '\.xls'.*\.npy, \.npz, \.csv, \.tsv"):
        read_points(write(tmp_path / "a.xls", "1"))
    with pytest.raises(InputFileError, match=r"only an \.npz file holds arrays by name"):
        read_points(tmp_path / "points.csv", key="X")


def test_sha256(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_atomic_write(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("first\n", "second, longer\r\n"):
        with atomic_write(path, "w") as file:
            file.write(text)
        assert path.read_bytes() == text.encode()
    with atomic_write(path) as file:
        file.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["a.txt"]
    plain = write(tmp_path / "plain", "")
    assert path.stat().st_mode == plain.stat().st_mode, "the rights that the umask gives"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_write_leaves_what_was_there_on_an_error(tmp_path, error):
    path = write(tmp_path / "a.txt", "old")

    def interrupted(path: Path) -> None:
        with atomic_write(path, "w") as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        interrupted(path)
    with pytest.raises(error):
        interrupted(tmp_path / "b.txt")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_write_survives_a_kill(tmp_path):
    """Killed in the midst: the old content stays under the final name."""
    path = write(tmp_path / "a.txt", "old")
    program = (
        "import os, signal, sys\nfrom gpuclust.app.data.output import atomic_write\n"
        "with atomic_write(sys.argv[1], 'w') as file:\n"
        "    file.write('new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"


def test_atomic_write_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "a.txt", "old")
    for name, target in (("link.txt", "a.txt"), ("other.txt", "none.txt")):
        (tmp_path / name).symlink_to(tmp_path / "real" / target)
        with atomic_write(tmp_path / name, "w") as file:
            file.write("text")
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "text"
    assert [path.read_text() for path in (tmp_path / "real").iterdir()] == ["old"]


def test_atomic_write_says_why_it_cannot(tmp_path):
    with (
        pytest.raises(OutputError, match=r"nowhere/a\.txt: cannot be written: No such file"),
        atomic_write(tmp_path / "nowhere" / "a.txt"),
    ):
        pytest.fail("the block must not be entered")
    with pytest.raises(ValueError, match="mode must be"), atomic_write(tmp_path / "a", "a"):
        pytest.fail("the block must not be entered")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *rest: real("/dev/full", os.O_WRONLY))
    with pytest.raises(OutputError, match="No space left on device"), atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    with pytest.raises(OutputError, match=r"9 written \(is the disk full\?\)"), atomic_write(tmp_path / "a"):
        raise OSError("100 requested and 9 written")  # as NumPy reports it


def test_discard_unfinished(tmp_path):
    writer = atomic_write(tmp_path / "a", "w")
    writer.__enter__().write("half")
    assert len(os.listdir(tmp_path)) == 1
    discard_unfinished()
    assert os.listdir(tmp_path) == []
    with pytest.raises(OutputError):  # there is nothing left to rename
        writer.__exit__(None, None, None)
    assert os.listdir(tmp_path) == []


def test_check_output_folder(tmp_path):
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []
    write(tmp_path / "file", "")
    with pytest.raises(OutputError, match="is a file, a folder is needed"):
        check_output_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be created"):
        check_output_folder(tmp_path / "file" / "below")


def test_a_folder_made_for_nothing_is_removed(tmp_path):
    with output_folder(tmp_path / "a" / "b") as folder:
        assert folder.is_dir()
    with pytest.raises(KeyError), output_folder(tmp_path / "c" / "d"):
        raise KeyError
    assert not (tmp_path / "c").exists()
    with pytest.raises(KeyError), output_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert (tmp_path / "a" / "b").is_dir()  # was there before
    with pytest.raises(FileNotFoundError), output_folder(tmp_path / "c" / "d") as folder:
        write(folder / "kept", "").rename(tmp_path / "none" / "kept")
    assert (tmp_path / "c" / "d" / "kept").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_output_folder_really_tries(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written: Permission denied"):
        check_output_folder(tmp_path / "locked")


def test_a_folder_that_refuses_files_is_found_out(tmp_path, monkeypatch):
    def refuse(self, data):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match="cannot be written: Read-only file system"):
        check_output_folder(tmp_path)


def test_save_figure(tmp_path):
    save_figure(tmp_path / "a.png", lambda ax: ax.plot([1, 2]), (4.0, 3.0), "title", "x", "y")
    from matplotlib import image

    assert image.imread(tmp_path / "a.png").shape[:2] == (300, 400)
