"""Text tables: detection of header and row names, refused dialects, and messages."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust.app.batch.entry import parse_options
from gpuclust.app.cli import app
from gpuclust.app.data.files import read_points, read_shape
from gpuclust.app.data.tables import table_shape
from gpuclust.app.job.job import Job, load
from gpuclust.app.job.results import write_labels
from gpuclust.errors import ClusterWarning, InputFileError

YEARS = "country,2019,2020,2021\nA,1,2,3\nB,1.1,2.1,3.1\nC,9,8,7\n"
UNNAMED = "Unnamed: 0,a,b\n0,1,2\n1,9,9\n2,1,3\n3,9,8\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


#: What is certain, and read without a warning: text, names of columns, names of rows, values of the first row.
CERTAIN = {
    "years over named rows": (YEARS, ["2019", "2020", "2021"], ["A", "B", "C"], [1, 2, 3]),
    "text and a year": ("country,pop,2020\nA,1,2\nB,1,5\n", ["pop", "2020"], ["A", "B"], [1, 2]),
    "pandas without index": ("0,1,2\n1.5,2.5,3.5\n4.5,5.5,6.5\n", ["0", "1", "2"], None, [1.5, 2.5, 3.5]),
    "pandas, one column": ("0\n1.5\n2.5\n", ["0"], None, [1.5]),
    "pandas": (",0,1\n0,1.5,2.5\n1,3.5,4.5\n", ["0", "1"], ["0", "1"], [1.5, 2.5]),
    "pandas, whole numbers": (",0,1\n0,1,2\n1,3,4\n", ["0", "1"], ["0", "1"], [1, 2]),
    "pandas, years": (",2019,2020,2021\nA,1,2,3\nB,4,5,6\n", ["2019", "2020", "2021"], ["A", "B"], [1, 2, 3]),
    "wavelengths": ("400,410,420\n0.1,0.2,0.3\n0.5,0.6,0.7\n", ["400", "410", "420"], None, [0.1, 0.2, 0.3]),
    "R, one cell less": ("2019,2020\nr1,1,2\nr2,3,4\n", ["2019", "2020"], ["r1", "r2"], [1, 2]),
    "named, no header": ("s1,1,2,3\ns2,4,5,6\ns3,9,8,7\n", None, ["s1", "s2", "s3"], [1, 2, 3]),
    "another name": ("t,1,2,3\ns2,4,5,6\ns3,9,8,7\ns4,1,1,1\n", list("123"), ["s2", "s3", "s4"], [4, 5, 6]),
    "decimals in the first row": ("a,0.5,2\nb,1,3\n", None, ["a", "b"], [0.5, 2]),
    "whole numbers in the first row": ("0,0\n0.1,0\n5,5\n5.1,5\n", None, None, [0, 0]),
    "all whole numbers": ("7,2\n3,4\n", None, None, [7, 2]),
    "binary": ("0,1\n1,0\n1,1\n", None, None, [0, 1]),
    "numpy.arange": ("0,1,2\n3,4,5\n6,7,8\n", None, None, [0, 1, 2]),
    "distances on a line": ("0,1,2\n1,0,1\n2,1,0\n", None, None, [0, 1, 2]),
    "named distances": ("A,0,1,2\nB,1,0,3\nC,2,3,0\n", None, ["A", "B", "C"], [0, 1, 2]),
    "pandas' index once more": (UNNAMED, ["a", "b"], ["0", "1", "2", "3"], [1, 2]),
    "numbers of genes": ("gene_id,a\n1001,1\n5002,1\n1003,9\n", ["a"], ["1001", "5002", "1003"], [1]),
    "numbers with zeros in front": ("sampleID,a\n007,1\n008,1\n", ["a"], ["007", "008"], [1]),
    "names like numbers": ("name,a\nNan,1\nBob,2\nInf,3\n", ["a"], ["Nan", "Bob", "Inf"], [1]),
    "names like numbers, all": ("name,a\n1E5,1\n2E3,2\n1E7,3\n", ["a"], ["1E5", "2E3", "1E7"], [1]),
    "a first name like a number": ("x,a\n1E5,1\nBob,2\nAnn,3\n", ["a"], ["1E5", "Bob", "Ann"], [1]),
    "dates": ("date,a\n2020-01-01,1\n2020-01-02,2\n", ["a"], ["2020-01-01", "2020-01-02"], [1]),
    "addresses, no header": ("10.0.0.1,1.5\n10.0.0.2,2\n", None, ["10.0.0.1", "10.0.0.2"], [1.5]),
    "true and false": ("a,b\nTrue,1\nFALSE,2\n", ["a", "b"], None, [1, 1]),
    "separators at the end": ("a,b\n1,2,\n3,4,\n", ["a", "b"], None, [1, 2]),
    "separators at the end, header too": ("a,b,\n1,2,\n3,4,\n", ["a", "b"], None, [1, 2]),
    "R's write.table": ('"a" "b"\n"r 1" 1  2\n"r2" 3 4\n', ["a", "b"], ["r 1", "r2"], [1, 2]),
    "numpy.savetxt": ("1.0e+00 2.0e+00 \n 3.0e+00 4.0e+00\n", None, None, [1, 2]),
    "comments": ("# made by hand\n# in May\na,b\n1,2\n3,4\n", ["a", "b"], None, [1, 2]),
    "comments and blank lines": ("# one\n\n# two\n\na,b\n1,2\n3,4\n", ["a", "b"], None, [1, 2]),
    "a header in a comment": ("# x,y\n1,2\n3,4\n", ["x", "y"], None, [1, 2]),
    "names that begin as comments do": ("#a,b\n#1,2\n#3,4\n", ["b"], ["#1", "#3"], [2]),
    "Excel's separator": ("sep=;\na;b\n1;2\n3;4\n", ["a", "b"], None, [1, 2]),
    "bars": ("a|b\n1|2\n3|4\n", ["a", "b"], None, [1, 2]),
    "semicolons in names": ('n,a\n"x;y",1\n"z;w",2\n', ["a"], ["x;y", "z;w"], [1]),
    "names over two lines": ('name,a\n"x\ny",1\nz,2\n', ["a"], ["x\ny", "z"], [1]),
    "a header over two lines": ('name,"a\nb"\nx,1\nz,2\n', ["a\nb"], ["x", "z"], [1]),
    "guarded names": ("name,a\n'=1+1,1\n''=x,2\n-1.5,3\n", ["a"], ["=1+1", "'=x", "-1.5"], [1]),
}


@pytest.mark.parametrize("case", CERTAIN)
@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_header_and_names_by_all_the_evidence(tmp_path, case, ending):
    text, columns, names, first = CERTAIN[case]
    path = write(tmp_path / f"t.{ending}", text)
    found = read_points(path)
    assert found.columns == columns
    assert found.names == names
    assert found.values[0].tolist() == first
    assert names is None or len(found.values) == len(names)
    said = "header in a comment" if case == "a header in a comment" else "first line is the header"
    assert (said in found.how) == (columns is not None)
    assert ("row names from column" in found.how) == (names is not None)
    assert table_shape(path, None)[1] == found.values.shape[1]


@pytest.mark.parametrize(
    ("text", "header", "shape"),
    [
        ("0,1,2\n1,2,3\n5,6,7\n", True, (2, 3)),  # 0, 1, 2 over other whole numbers
        ("2019,2020\n1,2\n4,5\n", True, (2, 2)),
        ("1,2\n1.5,2.5\n3.5,4.5\n", True, (2, 2)),
        ("5\n1.5\n2.5\n", False, (3, 1)),
        ("0,1\n5,6\n2,3\n", False, (3, 2)),
        ("A,1,2,3\nB,4,5,6\nC,9,8,7\n", False, (3, 3)),
    ],
)
def test_what_is_not_certain_is_said_and_can_be_overruled(tmp_path, text, header, shape):
    path = write(tmp_path / "t.csv", text)
    with pytest.warns(ClusterWarning, match=r"the first line \(.*not certain; give --(no-)?header") as said:
        assert read_points(path).values.shape == shape
    assert ("--no-header" in str(said[0].message)) == header
    assert len(read_points(path, header=not header).values) == shape[0] + (1 if header else -1)
    assert read_points(path, header=header).values.shape == shape


@pytest.mark.parametrize(
    ("text", "names", "n"),
    [
        (",0,1\n0,0.0,1.0\n1,1.0,0.0\n", ["0", "1"], 2),
        ("0,1\n0.0,1.0\n1.0,0.0\n", None, 2),
        ("0,1,2\n1,0,1\n2,1,0\n", None, 3),  # no header: the row is mirrored in the first column
        ("0,1,2\n0,5,4\n5,0,1\n4,1,0\n", None, 3),
        ("0,1\n0,5\n5,0\n", None, 2),  # square only if the first line is a header
        ("1,0,5\n2,5,0\n", ["1", "2"], 2),  # and only if the first column names the rows
        ("A,0,5\nB,5,0\n", ["A", "B"], 2),
    ],
)
def test_matrices_of_distances(tmp_path, text, names, n):
    path = write(tmp_path / "d.csv", text)
    found = load(Job(str(path), tmp_path, precomputed=True))
    assert found.values.shape == (n * (n - 1) // 2,)
    assert found.names == names


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("t,a,b\n1,1,2\n2,1,2\n3,9,9\n", "'t' numbers the rows"),
        ("0,1.5\n1,1.2\n2,1.1\n", "0 numbers the rows"),
        ("a,b,n\n1,5,0\n4,5,1\n3,2,2\n", "'n' numbers the rows"),
        ("sample,a\n1,1\n1,1\n2,9\n", "'sample' has the heading of identifiers"),
        ("acid,a\n4,1\n1,1\n2,9\n", "'acid' has the heading of identifiers"),
        ("a,gene_id\n4,1001\n1,1\n2,1\n", "'gene_id' has the heading of identifiers"),
        ("a,heat_index\n4,1001\n1,1\n2,9\n", "'heat_index' has the heading of identifiers"),
    ],
)
def test_identifiers_are_never_clustered_silently(tmp_path, text, column):
    path = write(tmp_path / "t.csv", text)
    with pytest.warns(ClusterWarning, match=f"column {column}, and is used as a feature.*--index none"):
        width = read_points(path).values.shape[1]
    assert read_points(path, index="none").values.shape[1] == width
    assert read_points(path, columns=range(width)).values.shape[1] == width


def test_options_overrule_names(tmp_path):
    path = write(tmp_path / "t.csv", UNNAMED)
    assert read_points(path, index="none").columns == ["Unnamed: 0", "a", "b"]
    assert read_points(path, columns=["Unnamed: 0", "b"]).values[1].tolist() == [1, 9]
    found = read_points(path, index="b")
    assert (found.names, found.columns) == (["2", "9", "3", "8"], ["Unnamed: 0", "a"])
    assert read_points(path, index=1).columns == ["Unnamed: 0", "b"]
    assert read_points(path, index="1").columns == ["Unnamed: 0", "b"]
    for wrong in ("c", 3, "7"):
        with pytest.raises(
            InputFileError, match=r"is no column: there are columns 0 to 2 \('Unnamed: 0', 'a', 'b'\)"
        ):
            read_points(path, index=wrong)
    words = write(tmp_path / "w.csv", "a,b\nx,y\nz,w\n")
    with pytest.raises(InputFileError, match="line 2, column 2: 'y' is not a number"):
        read_points(words)


def test_columns_count_as_the_file_counts(tmp_path):
    path = write(tmp_path / "t.csv", YEARS)
    assert read_points(path, columns=["2019", "2021"]).columns == ["2019", "2021"]
    assert read_points(path, columns=[1, 3]).columns == ["2019", "2021"]  # column 0 names the rows
    assert read_points(path, columns=["1", "3"]).columns == ["2019", "2021"]
    assert read_points(path, columns=[2019]).columns == ["2019"]
    assert read_points(path, columns=["2019"]).names == ["A", "B", "C"]
    with pytest.raises(InputFileError, match="columns 0 to 3, but column 4"):
        read_points(path, columns=[4])
    with pytest.raises(InputFileError, match="line 2, column 1: 'A' is not a number"):
        read_points(path, columns=["country"])
    shorter = write(tmp_path / "r.csv", "a,b\nr1,1,2\nr2,3,4\n")
    assert read_points(shorter, columns=[1]).columns == ["a"]
    swapped = write(tmp_path / "s.csv", "x,2,1\n1,2,3\n4,5,6\n")
    with pytest.warns(
        ClusterWarning, match="2 is taken for the column of that name, number 1, and not for column num"
    ):
        assert read_points(swapped, columns=["2"]).values.tolist() == [[2], [5]]
    assert read_points(swapped, columns=[2]).values.tolist() == [[3], [6]]
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    assert read_points(tmp_path / "a.npy", columns=["2"]).values.tolist() == [[2], [5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,5;2.25\n3,5;4.25\n", r"line 1, column 1: '1,5' is not a number \(decimal points, decimal commas and"),
        ('a,b\n"1,234,567",2\n"1.234,5",3\n', r"'1,234,567' is not a number \(decimal points, decimal commas"),
        ('a,b\n"1,234",2\n', "a thousands separator, or a decimal comma"),
        ("a,b\n1,NA\n3,4\n", r"line 2, column 2: 'NA' is not a number \(a missing value"),
        ("a,b\n1,\n3,4\n", r"line 2, column 2: the cell is empty \(a missing value: fill it in"),
        ("NA,2\n3,4\n", "line 1, column 1: 'NA' is not a number"),
        (",0.5\n1.5,2.5\n", "line 1, column 1: the cell is empty"),
        ("a,b\n1,2\n3,4\n,\n", r"line 4, column 1: the cell is empty \(the line holds separators only"),
        ("a,b\n1,2\n".encode("utf-16") + b"1", r"is not text in UTF-16-LE .byte .*save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "byte 1 is NUL.; is it in UTF-16"),
        ("a,b\n1,2\n# note\n3,4\n", "line 3 has 1 cell.*comments are allowed above the table only"),
        ("3\nA 0 1 2\nB 1 0 3\nC 2 3 0\n", "a matrix in PHYLIP form"),
        ("3\n0 1 2\n1 0 3\n2 3 0\n", "line 2 has 3 cells, but the rows before it have 1"),
        ("0\n1,0\n2,3,0\n", "a triangle of distances"),
        ("A\nB,1\nC,2,3\n", "a triangle of distances"),
        ("0,,\n1,0,\n2,3,0\n", "line 1, column 2: the cell is empty; a triangle of distances"),
        ("0,1,2\n,0,3\n,,0\n", "line 3, column 2: the cell is empty; a triangle of distances. Give --precomputed"),
        ("a,b\n1,2\n3,4\n5,u\n", "line 4, column 2: 'u' is not a number .correct it, or leave .* out: --exclude b"),
        ("a,b\n1,NA\n,4\n3,3\n", "'NA' is not .*--missing drop.; 2 values are missing, in columns 'a', 'b'"),
        ("a,b,c\n1,2\n3,4\n", "line 2 has 2 cells, but the rows before it have 3"),
        ("a,b\n1,2,3,4\n5,6,7,8\n", "line 2 has 4 cells, but the rows before it have 2"),
        ("1.5,word\n3,4\n", "line 1, column 2: 'word' is not a number"),
        ("a,b\n1,True\n2,maybe\n3,4\n", "line 2, column 2: 'True' is not a number .*true and false are read where"),
        ("a,b\n1,2\n0x10,2\n", "'0x10' is not a number .if the first column names the rows, give --index 0"),
    ],
)
def test_dialects_that_are_refused_say_what_to_do(tmp_path, text, message):
    with pytest.raises(InputFileError, match=message):
        read_points(write(tmp_path / "t.csv", text), missing="error")


def test_rows_without_values_are_left_out(tmp_path):
    found = read_points(write(tmp_path / "t.csv", "a,b\n1,2\n3,4\n,\n"))
    assert found.values.tolist() == [[1, 2], [3, 4]]
    assert found.how.endswith(
        "1 row with missing values left out (--missing error refuses them, mean and median fill them in)"
    )
    with pytest.raises(InputFileError, match=r"line 1, column 2: the cell is empty; a triangle of distances"):
        read_points(write(tmp_path / "d.csv", "0,,\n1,0,\n2,3,0\n"))


def test_rows_of_an_array_without_values_are_left_out(tmp_path):
    values = np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0], [7.0, 8.0]])
    np.save(tmp_path / "a.npy", values)
    found = read_points(tmp_path / "a.npy")
    assert found.values.tolist() == values[[0, 2, 3]].tolist()
    assert found.rows is not None
    assert found.rows.tolist() == [0, 2, 3]
    assert np.isnan(read_points(tmp_path / "a.npy", missing="error").values).sum() == 1
    values[2:, 0] = np.nan
    np.save(tmp_path / "a.npy", values)
    assert np.isnan(read_points(tmp_path / "a.npy").values).sum() == 3, "refused by name when it is clustered"


def test_the_whole_file_decides(tmp_path):
    """Names that look like numbers for more lines than the layout is found from."""
    rows = [f"{i},{i % 7}.5" for i in range(40_000)] + [f"MARCH{i},1.5" for i in range(45_000)]
    found = read_points(write(tmp_path / "long.csv", "x,a\n" + "\n".join(rows)))
    assert found.columns == ["a"]
    assert found.names is not None
    assert (found.names[0], found.names[-1]) == ("0", "MARCH44999")
    repeated = "gene_id,a\n" + "\n".join(f"{i % 79_999},1.5" for i in range(80_000))
    with pytest.warns(ClusterWarning, match="'gene_id' has the heading of identifiers"):
        assert read_points(write(tmp_path / "twice.csv", repeated)).values.shape == (80_000, 2)


def test_a_line_may_be_longer_than_a_cell(tmp_path):
    row = ",".join(["0.125"] * 60_000)
    assert read_points(write(tmp_path / "wide.csv", f"{row}\n" * 5)).values.shape == (5, 60_000)


def test_columnar_files(tmp_path):
    arrow, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    table = {"index": [7, 8, 9], "a": [1.0, 2.0, 9.0], "__index_level_0__": [3, 1, 2]}
    feather.write_feather(arrow.table(table), tmp_path / "t.feather")
    found = read_points(tmp_path / "t.feather")
    assert found.how.endswith("left out (identifiers): __index_level_0__")
    assert found.names == ["7", "8", "9"]
    assert "row names from column 'index'" in found.how
    assert read_points(tmp_path / "t.feather", index="none").values.shape == (3, 3)
    assert read_points(tmp_path / "t.feather", index=2).names == ["3", "1", "2"]
    assert read_points(tmp_path / "t.feather", columns=["0", "a"]).columns == ["index", "a"]
    feather.write_feather(arrow.table({"index": [7, 7, 9], "a": [1.0, 2.0, 9.0]}), tmp_path / "u.feather")
    with pytest.warns(ClusterWarning, match="'index' has the heading"):
        assert read_points(tmp_path / "u.feather").values.shape == (3, 2)


def test_every_command_says_how_it_read_and_can_be_overruled(tmp_path):
    path = write(tmp_path / "years.csv", YEARS)
    line = (
        "years.csv: 3 rows x 3 columns (2019, 2020, 2021); first line is the header; row names from column 'country'"
    )
    done = invoke("run", path, "-k", 2, "--out", tmp_path / "o", "--no-plots")
    assert done.exit_code == 0, done.output
    assert line in " ".join(done.output.split())
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["input"]["read_as"] == line
    assert (tmp_path / "o" / "labels.csv").read_text() == "row,name,label\n0,A,1\n1,B,1\n2,C,2\n"
    done = invoke("plan", path)
    assert line in " ".join(done.output.split())
    assert "3 observations, points of 3 features" in done.output
    done = invoke("run", path, "--no-header", "--out", tmp_path / "p", "--no-plots")
    assert "4 rows x 3 columns; no header" in " ".join(done.output.split())
    done = invoke("run", path, "--index", "none", "--out", tmp_path / "p", "--no-plots")
    assert done.exit_code == 0
    assert "no row names; left out (text): country" in " ".join(done.output.split())
    done = invoke("run", path, "--columns", "country,2020", "--out", tmp_path / "p", "--no-plots")
    assert done.exit_code == 2
    assert "line 2, column 1: 'A' is not a number (if the first column names" in done.stderr
    assert read_shape(path, index="country") == ((3, 3), line)
    assert parse_options({"header": "no", "index": 2}, "") == {"header": False, "index": 2}
    assert parse_options({"header": True, "index": "none"}, "") == {"header": True, "index": "none"}
    done = invoke("batch", path, "--out", tmp_path / "b", "--no-header", "--log-format", "json", "--plots", "none")
    assert done.exit_code == 0, done.output
    assert '"read_as": "years.csv: 4 rows x 3 columns; no header;' in done.output


def test_what_labels_csv_holds_is_read_back(tmp_path):
    names = ["=1+1", "+x", "-y", "@z", "'=q", "''-w", "-1.5", "plain", "'quoted'", 'a"b,c', "=\nx"]
    write_labels(tmp_path, np.arange(1, 12), names)
    cells = [line.split(",")[1] for line in (tmp_path / "labels.csv").read_text().splitlines()[1:10]]
    assert cells == ["'=1+1", "'+x", "'-y", "'@z", "''=q", "'''-w", "-1.5", "plain", "'quoted'"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_points(tmp_path / "labels.csv", index="name")
    assert found.names == names
