"""Gower's dissimilarities of data files: which columns count, missing values, the report, batches."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import gpuclust
from gpuclust.app.cli import app
from gpuclust.app.data.files import read_points
from gpuclust.app.data.mixed import as_gower, profiled
from gpuclust.app.job.job import Job, load
from gpuclust.core.gower import indicators
from gpuclust.core.tables import read_table
from gpuclust.errors import ClusterWarning, DoesNotFit, InputFileError

# The ranges are 4, 20 and 1.
TABLE = "size,colour,weight,ok\n1,red,10,true\n3,red,,true\n5,blue,30,false\n1,NA,20,false\n"
EXPECTED = [0.5 / 3, 1.0, 0.5, 2.5 / 3, 0.75, 0.5]
PEOPLE = "id,name,age,sex,group\n" + "".join(
    f"{i + 7},P. {i},{'' if i % 5 == 0 else 20 + 3 * i},{'fm'[i % 2]},{'abc'[i // 10]}\n" for i in range(30)
)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(folder, ending, text=TABLE):
    file = folder / f"t{ending}"
    rows = list(csv.reader(text.splitlines()))
    if ending == ".csv":
        file.write_text(text)
    elif ending == ".tsv":
        file.write_text(text.replace(",", "\t"))
    elif ending == ".xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for row in rows:
            book.active.append([float(cell) if cell.isdigit() else cell or None for cell in row])
        book.save(file)
    else:
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        kinds = {"colour": str, "ok": lambda cell: cell == "true"}
        columns = {
            head: [None if cell in ("", "NA") else kinds.get(head, float)(cell) for cell in cells]
            for head, *cells in zip(*rows, strict=True)
        }
        made = arrow.table(columns)
        if ending == ".feather":
            from pyarrow import feather

            made = made.set_column(1, "colour", made.column("colour").dictionary_encode())
            feather.write_feather(made, file)
        else:
            parquet.write_table(made, file)
    return file


def distances(file, missing="auto", **options):
    return as_gower(read_points(file, mixed=True, missing=missing, **options))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx", ".parquet", ".feather"])
def test_every_kind_of_file_gives_the_values_of_the_formula(tmp_path, ending):
    found = distances(write(tmp_path, ending))
    np.testing.assert_allclose(found.values, EXPECTED, rtol=1e-14)
    assert found.columns == ["size", "weight", "ok", "colour"]
    assert "4 rows x 4 columns" in found.how
    assert "categories: colour" in found.how
    assert found.how.endswith("2 missing values, left out of the pairs' means")


def test_missing_values(tmp_path):
    file = write(tmp_path, ".csv")
    dropped = distances(file, "drop")
    assert dropped.values.tolist() == [1.0]
    assert dropped.rows.tolist() == [0, 2]
    # The weight of row 1 is 20, the mean of the others; row 3 has no colour all the same.
    filled = [1 / 4, 1.0, 0.5, 3 / 4, 0.5, 0.5]
    filled[3] = (0.5 + 1 + 0.5 + 1) / 4
    filled[4] = (0.5 + 0 + 1) / 3
    found = distances(file, "mean")
    np.testing.assert_allclose(found.values, filled, rtol=1e-14)
    assert "1 missing value filled in by mean; 1 missing value, left out" in found.how
    with pytest.raises(InputFileError, match="a missing value"):
        distances(file, "error")
    with pytest.raises(InputFileError, match=r"column 'colour' has no value in row 3 \(1 are missing\)"):
        distances(file, "error", columns=["size", "colour"])
    lone = tmp_path / "lone.csv"
    lone.write_text("a,b\n1,x\n,x\n2,\n")
    with pytest.raises(InputFileError, match=r"lone.csv: rows 1 and 2 have no column in which both have a value"):
        distances(lone)


def test_columns(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    with pytest.warns(ClusterWarning, match="'group' may hold known classes of the rows .3 different texts"):
        found = distances(file)
    assert found.columns == ["age", "sex", "group"]
    assert "left out (texts that are all different): name" in found.how
    assert found.names[:2] == ["7", "8"]
    assert distances(file, columns=["sex", "name"]).columns == ["sex", "name"]
    assert distances(file, exclude=["group", "age"]).columns == ["sex"]
    assert read_points(file).columns == ["age"], "without the metric text is left out"


def test_text_only_numbers_only_and_text_below_many_numbers(tmp_path):
    file = tmp_path / "text.csv"
    file.write_text("a,b\nx,y\nx,z\nu,y\nu,y\n")
    assert distances(file).values.tolist() == [0.5, 0.5, 0.5, 1.0, 1.0, 0.0]
    file.write_text("1,x,2\n3,x,2\n5,y,4\n5,z,4\n")
    assert distances(file).columns == ["0", "2", "1"], "without a header"
    np.save(tmp_path / "t.npy", np.array([[0, 5], [2, 5], [4, 5]]))
    assert distances(tmp_path / "t.npy").values.tolist() == [0.25, 0.5, 0.25]
    late = tmp_path / "late.csv"  # the first lines, from which the layout is detected, show numbers only
    late.write_text("a,b\n" + "1.5,10000\n" * 30_000 + "2.5,x\n" * 40_000)
    assert read_points(late, mixed=True).categories[0][0] == "b"


def test_a_run_and_its_report(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    done = invoke(
        "run", file, "--metric", "Gower", "-k", 2, "--report", "--exclude", "group", "--out", tmp_path / "o"
    )
    assert done.exit_code == 0, done.output
    assert "30 x 2, numbers and categories" in done.output
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["input"]["columns"] == ["age", "sex"]
    assert record["failed_pictures"] == {}
    job = Job(str(file), tmp_path / "o", metric="gower", exclude=("group",))
    data = load(job)
    Z = np.load(tmp_path / "o" / "Z.npy")
    np.testing.assert_array_equal(Z, gpuclust.linkage(data.values, "average"))
    values, heads = profiled(data)
    assert heads == ["age", "sex = f", "sex = m"]
    assert values[1].tolist() == [23.0, 0.0, 1.0]
    assert np.isnan(values[0, 0])
    from gpuclust.app.report.report import program

    scope = {}
    exec(program(job), scope)
    np.testing.assert_array_equal(scope["Z"], Z)


def test_profiles_of_a_data_frame():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"kind": [None, "b", "a", "a"], "x": [1.0, 2.0, 3.0, 4.0]})
    values, heads = indicators(read_table(frame))
    assert heads == ["x", "kind = a", "kind = b"]
    np.testing.assert_array_equal(values[:, 1], [np.nan, 0, 1, 1])
    assert gpuclust.cluster(frame, metric="gower")._page("t").columns == heads


def test_batches_plans_and_comparisons(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    file = write(folder, ".csv")
    (folder / "u.csv").write_text(TABLE.replace("red", "green"))
    command = ["batch", folder, "--metric", "gower", "-k", 2, "--out", tmp_path / "o", "--plots", "none"]
    first, again = invoke(*command, "--workers", 1), invoke(*command, "--workers", 1)
    assert first.exit_code == again.exit_code == 0, first.output
    assert "2 unchanged" in again.output
    with open(tmp_path / "o" / "summary.csv", newline="") as lines:
        row = next(csv.DictReader(lines))
    assert (row["kind"], row["metric"], row["features"]) == ("numbers and categories", "gower", "4")
    planned = json.loads(invoke("plan", file, "--metric", "gower", "--json").output)
    assert (planned["n"], planned["m"]) == (4, None)
    compared = invoke("compare", file, "--metric", "gower", "--against", "scipy")
    assert compared.exit_code == 0, compared.output


@pytest.mark.parametrize(
    "option", [["--pca", 2], ["--standardize", "zscore"], ["--precomputed"], ["--weights", "1,2"]]
)
def test_options_that_do_not_go_with_it(tmp_path, option):
    done = invoke("run", write(tmp_path, ".csv"), "--metric", "gower", *option)
    assert done.exit_code == 2
    assert "mean nothing to metric gower" in done.output


def test_memory_is_checked_first(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((2000, 1)))
    with pytest.raises(DoesNotFit, match=r"t\.npy: Gower's dissimilarities"):
        load(Job(str(tmp_path / "t.npy"), tmp_path, metric="gower", memory_limit="10MB"))
