"""Columns of text tables: which are features, and what the first lines do not show."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from gpuclust.app.data import tables
from gpuclust.app.data.files import read_points
from gpuclust.errors import InputFileError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("a,gene_id\n4,1001\n1,1\n2,9\n", ["a"], "left out (identifiers): gene_id"),
        ("x,a,sample_id\nu,4,7\nv,1,7\nw,2,7\n", ["a"], "left out (identifiers): sample_id"),
        ("gene,symbol,a\nx,y,1\nz,w,2\n", ["a"], "left out (text): symbol"),
        ("a,b,c\n1,x,\n3,y,NA\n", ["a"], "left out (text): b; left out (no values): c"),
        ("5.1,0.2,setosa\n4.9,0.2,setosa\n", None, "left out (text): 2"),
        ("a,day\n4,2020-01-01\n1,2020-01-02\n", ["a"], "left out (text): day"),
    ],
)
def test_what_is_no_feature_is_left_out_and_said(tmp_path, text, columns, said):
    found = read_points(write(tmp_path / "t.csv", text))
    assert found.columns == columns
    assert found.how.endswith(said)


def test_identifiers_are_features_where_they_are_chosen(tmp_path):
    path = write(tmp_path / "t.csv", "a,gene_id\n4,1001\n1,1\n2,9\n")
    assert read_points(path, columns=["gene_id", "a"]).values[0].tolist() == [1001, 4]
    assert read_points(path, index="none").columns == ["a", "gene_id"]
    assert read_points(path, index="gene_id").names == ["1001", "1", "9"]
    assert read_points(path, exclude=["gene_id"]).columns == ["a"]
    assert read_points(path, columns=["a", "gene_id"], exclude=[1]).columns == ["a"]
    with pytest.raises(InputFileError, match="no column of numbers is left to read"):
        read_points(path, exclude=["a", 1])
    with pytest.raises(InputFileError, match="column 'b'"):
        read_points(path, exclude=["b"])


@pytest.mark.parametrize(
    ("heading", "classes", "warned"),
    [
        ("count", [0, 1, 0, 0], False),
        ("count", [0] * 5 + [1] * 5 + [2] * 5, True),  # numbered runs of rows, in the last column
        ("count", [0] * 5 + [1] * 5 + [2] * 4 + [0], False),
        ("class", list(range(20)), False),
    ],
)
def test_known_classes_are_warned_of(tmp_path, heading, classes, warned):
    rows = "".join(f"{0.5 + i % 3},{number}\n" for i, number in enumerate(classes))
    path = write(tmp_path / "t.csv", f"a,{heading}\n{rows}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert read_points(path).columns == ["a", heading]
    messages = [str(warning.message) for warning in said]
    assert any(f"--exclude {heading}" in text for text in messages) == (warned or heading == "class")
    assert any("known classes" in text for text in messages) == warned


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("heading", "classes"), [("class", [2, 7, 2, 7]), ("target", [0, 1, 0, 0])])
def test_known_classes_are_left_out(tmp_path, heading, classes, kind):
    columns = {"a": [0.5, 1.5, 2.5, 0.5], heading: classes}
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        rows = "".join(f"{a},{number}\n" for a, number in zip(*columns.values(), strict=True))
        write(path, f"a,{heading}\n{rows}")
    else:
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.table(columns), path)
    found = read_points(path)
    assert found.columns == ["a"]
    assert f"left out (known classes): {heading}" in found.how
    assert read_points(path, columns=["a", heading]).columns == ["a", heading]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_texts_that_repeat_name_no_rows(tmp_path, kind):
    """The first column of penguins.csv is the species; that of a table of genes may have some names twice."""

    def read(heading: str, names: list[str]):
        columns = {heading: names, "a": [0.5 + i for i in range(len(names))]}
        path = tmp_path / f"t.{kind}"
        if kind == "csv":
            write(path, f"{heading},a\n" + "".join(f"{n},{a}\n" for n, a in zip(*columns.values(), strict=True)))
        else:
            arrow = pytest.importorskip("pyarrow")
            pytest.importorskip("pyarrow.parquet").write_table(arrow.table(columns), path)
        return read_points(path)

    kinds = ["Adelie"] * 3 + ["Gentoo"] * 3
    assert read("species", kinds).names is None
    assert "left out (text): species" in read("species", kinds).how.replace("large_string", "text")
    assert read("gene", kinds).names == kinds  # said to be names
    assert read("of", [*"abcdd"]).names == [*"abcdd"]


def test_what_the_first_lines_do_not_show(tmp_path, monkeypatch):
    """Missing values, numbers and decimal commas below the lines that the layout is found from."""
    monkeypatch.setattr(tables, "_SAMPLE", 20_000)

    def late(cell: str, other: str = "7", first: str = "2.5", separator: str = ",") -> Path:
        rows = [f"{first}{separator}{cell if i == 7_900 else other}" for i in range(8_000)]
        return write(tmp_path / "t.csv", f"a{separator}b\n" + "\n".join(rows))

    with pytest.raises(InputFileError, match=r"line 7902, column 2: the cell is empty .*--missing"):
        read_points(late(""), missing="error")
    assert read_points(late("")).rows is not None
    assert read_points(late(""), missing="drop").values.shape == (7_999, 2)
    assert read_points(late("NA"), missing="mean").values[7_900].tolist() == [2.5, 7]
    found = read_points(late("5", other=""), missing="mean")
    assert found.columns == ["a", "b"]
    assert found.values[0].tolist() == [2.5, 5]
    assert read_points(late("1,5", first="2", separator=";")).values[7_900].tolist() == [2, 1.5]
    assert read_points(late("1.234", first="2,5", separator=";")).values[7_900].tolist() == [2.5, 1234]
    with pytest.raises(InputFileError, match=r"line 2, column 1: '2,5' is not a number \(decimal points, decimal"):
        read_points(late("1.5", first="2,5", separator=";"))
    with pytest.raises(InputFileError, match=r"line 7902, column 2: '1,5' is not a number"):
        read_points(late("1,5", separator=";"))
    with pytest.raises(InputFileError, match=r"line 7902, column 2: 'x' is not a number .*--exclude b"):
        read_points(late("x"))
