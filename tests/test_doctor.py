"""``gpuclust doctor``: every primitive and linkage is checked; faults are found, and set the exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import METHODS
from typer.testing import CliRunner

from gpuclust.app import doctor
from gpuclust.app.cli import app
from gpuclust.core import backend as backends
from gpuclust.core import devices
from gpuclust.kernels.cpu.backend import CpuBackend

#: Methods of the protocols, and the checks that cover them under another name.
#: Square arrays, which only some backends have, are in the check of each linkage.
ELSEWHERE = {"active", "square_of_points", "square_of_condensed", "square_of_summaries", "generic_square"}


@pytest.fixture
def without_cuda(monkeypatch):
    """A machine with no driver, whatever this one has."""
    lack = devices.Lack("driver", "no NVIDIA driver is found (libcuda.so.1)", "")
    monkeypatch.setattr(devices, "lacks", lambda: iter([lack]))
    monkeypatch.setattr(devices, "cards", lambda: ())


def invoke(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_every_primitive_is_checked():
    primitives = {name for name in vars(backends.Backend) if not name.startswith("_")} - {"name"} - ELSEWHERE
    assert primitives <= doctor.PRIMITIVES.keys(), primitives - doctor.PRIMITIVES.keys()
    assert {"merge", "chain"} <= doctor.PRIMITIVES.keys()


@pytest.mark.usefixtures("without_cuda")
def test_all_is_well_on_the_cpu():
    found = invoke("--json")
    assert found.exit_code == 0
    report = json.loads(found.stdout)
    assert report["ok"] is True
    assert not report["cuda"]["usable"]
    assert report["cuda"]["missing"][0]["piece"] == "driver"
    names = {check["name"] for check in report["checks"] if check["backend"] == "cpu"}
    assert names == {*doctor.PRIMITIVES, *(f"{method} linkage" for method in METHODS)}
    assert all(check["ok"] for check in report["checks"])


@pytest.mark.usefixtures("without_cuda")
def test_what_is_wrong_is_found(monkeypatch):
    """A neighbour that is not the nearest, and a primitive that does not run."""
    right = CpuBackend.nearest_among

    def nearest_among(self, *arguments):
        index, distance = right(self, *arguments)
        return np.where(index == index[3], 0, index), distance

    def knn(self, points, k):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(CpuBackend, "nearest_among", nearest_among)
    monkeypatch.setattr(CpuBackend, "knn", knn)
    chosen = ("nearest_among", "knn", "store_points")
    monkeypatch.setattr(doctor, "PRIMITIVES", {name: doctor.PRIMITIVES[name] for name in chosen})
    monkeypatch.setattr(doctor.methods, "METHODS", {"complete": doctor.methods.METHODS["complete"]})
    found = invoke()
    assert found.exit_code == 1
    assert "2 of 4 checks failed" in found.stdout
    assert "values are wrong" in found.stdout
    assert "no such instruction" in found.stdout
    assert "no NVIDIA driver is found" in found.stdout
