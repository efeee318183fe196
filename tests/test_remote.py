"""Data sets at URLs: listed by their store, copied, and recorded by their URL."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest

from gpuclust import batch
from gpuclust.app.data.remote import fetched, is_url, listed, origin
from gpuclust.errors import InputFileError

fsspec = pytest.importorskip("fsspec")

OPTIONS: dict[str, Any] = {"method": "average", "clusters": 2, "plots": "none"}


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a folder with two data sets, one of which is in a folder of its own, and a text."""
    url = f"{request.param}://{tmp_path}/in"
    system, path = fsspec.core.url_to_fs(url)
    system.makedirs(f"{path}/b", exist_ok=True)
    for seed, name in enumerate(("a.csv", "b/c.npz", "README")):
        with system.open(f"{path}/{name}", "wb") as file:
            X = np.random.default_rng(seed).normal(size=(12, 2))
            np.savez(file, X=X) if name.endswith("npz") else np.savetxt(file, X, delimiter=",")
    return str(url)


def test_urls() -> None:
    assert [is_url(text) for text in ("s3://b/x.npy", "x.npy", "C:\\x.npy", "https://h/x.csv", "/a://b")] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_listing(store: str) -> None:
    def found(url: str) -> list[tuple[str, str]]:
        return [(place.replace(":///", "://").split("/in/")[1], name) for place, name in listed(url)]

    assert found(store) == [("a.csv", "a.csv"), ("b/c.npz", "b/c.npz")]
    assert found(f"{store}/*/*.npz") == [("b/c.npz", "b/c.npz")]
    assert found(f"{store}/b/c.npz:X") == [("b/c.npz:X", "c.npz")]
    with pytest.raises(InputFileError, match="no data set"):
        listed(f"{store}/*.h5ad")


def test_copies(store: str) -> None:
    url = f"{store}/b/c.npz:X"
    with fetched(url) as path:
        assert path.endswith("c.npz:X")
        assert origin(path) == url
    assert not Path(path[:-2]).exists()
    assert origin(path) is None


@pytest.mark.parametrize(
    ("url", "text"), [("memory://nothing.csv", "does not exist"), ("nonsense://a.csv", "Protocol not known")]
)
def test_what_cannot_be_copied(url: str, text: str) -> None:
    with pytest.raises(InputFileError, match=text), fetched(url):
        pass


def test_a_batch_on_a_cluster(store: str, tmp_path: Path) -> None:
    """Whose workers read the URLs; records have these, and no temporary files."""
    pytest.importorskip("distributed")
    from dask_clusters import local_cluster
    from distributed import Client

    with local_cluster(1, processes=False) as cluster, Client(cluster, set_as_default=False) as client:
        missing = f"{store}/none.csv"
        outcomes = batch.run([store, missing], tmp_path / "out", client=client, **OPTIONS)
        again = batch.run(store, tmp_path / "out", client=client, **OPTIONS)
    assert [outcome.name for outcome in outcomes] == ["a", "b-c", "none"]
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    assert [outcome.status for outcome in again] == ["unchanged"] * 2
    assert outcomes[2].error == f"{missing}: does not exist"
    assert not [file for file in tmp_path.glob("out/**/*.*") if b"gpuclust-url" in file.read_bytes()]
    record = json.loads((tmp_path / "out" / "b-c" / "run.json").read_text())
    assert record["input"]["path"] == record["parameters"]["data"] == outcomes[1].data


def test_the_commands_of_a_report(tmp_path: Path) -> None:
    """Of a batch on this machine: they repeat it."""
    from gpuclust.app.job.job import Job
    from gpuclust.app.report.report import command, program

    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, 2)))
    url = f"file://{tmp_path}/a.npy"
    batch.run(url, tmp_path / "out", plots="none", reports=False)
    with fetched(url) as path:
        job = Job(path, tmp_path / "other")
        done = children.run([sys.executable, "-m", *shlex.split(command(job))])
        scope: dict[str, Any] = {}
        exec(program(job), scope)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "other" / "Z.npy").read_bytes() == (tmp_path / "out" / "a" / "Z.npy").read_bytes()
    assert (scope["Z"] == np.load(tmp_path / "out" / "a" / "Z.npy")).all()
