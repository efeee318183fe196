"""Small data files of the kinds that people have: each is read rightly, or refused with a message that helps."""

from __future__ import annotations

import re
import sys
import warnings

import numpy as np
import pytest
from binary_files import Read, Refused
from table_files import FILES, write_file
from typer.testing import CliRunner

from gpuclust.app.cli import app
from gpuclust.app.data.files import ENDINGS, read_points
from gpuclust.app.data.precomputed import as_distances
from gpuclust.errors import InputFileError


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_read_rightly_or_refused(tmp_path, name):
    expected = FILES[name][1]
    if expected.needs is not None:
        pytest.importorskip(expected.needs)
    path = write_file(tmp_path, name)
    if isinstance(expected, Refused):
        with pytest.raises(InputFileError, match=expected.message) as caught:
            read_points(path, **expected.options)
        assert str(caught.value).startswith(str(path))
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = read_points(path, **expected.options)
    messages = [str(warning.message) for warning in said]
    if expected.warned is None:
        assert messages == []
    else:
        assert len(messages) == 1
        assert re.search(expected.warned, messages[0])
    check(found, expected)


def check(found, expected: Read) -> None:
    assert found.values.shape == expected.shape
    assert found.values.flags.c_contiguous
    if expected.names is not None:
        assert found.names == expected.names
    if expected.columns is not None:
        assert found.columns == expected.columns
    if expected.first is not None:
        first = found.values[0] if found.values.ndim == 2 else found.values
        np.testing.assert_allclose(first, expected.first, rtol=1e-15)
    for words in expected.said:
        assert words in found.how
    if expected.options.get("distances"):
        np.testing.assert_array_equal(as_distances(found).values, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("package", "name"), [("openpyxl", "t.xlsx"), ("anndata", "t.h5ad"), ("pyarrow", "t.parquet"), ("scipy", "s.npz")]
)
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, package, name):
    path = tmp_path / name
    if name == "s.npz":
        pytest.importorskip("scipy")
        FILES["sparse.npz"][0](path)  # type: ignore[operator]
    else:
        path.write_bytes(b"any")
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputFileError, match=rf"(?i){package}.*pip install"):
        read_points(path)


def test_a_damaged_sheet_is_refused(tmp_path):
    for name, package in (("t.xlsx", "openpyxl"), ("t.h5ad", "anndata")):
        pytest.importorskip(package)
        (tmp_path / name).write_bytes(b"no")
        with pytest.raises(InputFileError, match=f"is not an {name[1:]} file, or a damaged one"):
            read_points(tmp_path / name)


@pytest.mark.parametrize("ending", [".bz2", ".xz", ".zip"])
def test_damaged_compressed_files_are_refused(tmp_path, ending):
    whole = write_file(tmp_path, f"packed.csv{ending}").read_bytes()
    for place, content in enumerate([b"", b"no archive", whole[: len(whole) // 2], whole[:-8] + bytes(8)]):
        path = tmp_path / f"{place}.csv{ending}"
        path.write_bytes(content)
        with pytest.raises(InputFileError, match=str(path)):
            read_points(path)


def test_a_folder_is_a_batch(tmp_path):
    """Each file of the folder that may stand in one gets results, or an error of input."""
    data = tmp_path / "data"
    data.mkdir()
    names = [name for name in FILES if " " not in name and ":" not in name and name.endswith(ENDINGS)]
    names = [name for name in names if FILES[name][1].needs in (None, "pyarrow", "pandas", "scipy")]
    for name in names:
        if FILES[name][1].needs is not None:
            pytest.importorskip(FILES[name][1].needs)
        write_file(data, name)
    arguments = [
        "batch",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--plots",
        "none",
        "--no-reports",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(app, arguments)
    good = [name for name in names if isinstance(FILES[name][1], Read) and not FILES[name][1].options]
    assert done.exit_code == 1, done.output
    folders = {folder.name for folder in (tmp_path / "out").iterdir() if (folder / "run.json").exists()}
    assert len(folders) >= len(good)
    assert "Traceback" not in done.output
