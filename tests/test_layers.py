"""The layers of the code, checked on its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Packages of gpuclust that each package may import in addition to itself; None: anything but the program.
ALLOWED: dict[str, tuple[str, ...] | None] = {
    "errors": (),
    "core": ("errors",),
    "kernels": ("core", "errors"),
    "algorithms": ("core", "errors"),
    "hierarchy": None,
    "dask": None,
    "distance": None,
    "plotting": None,
    "report": None,
    "cluster": None,
    "clustering": None,
    "compute": None,
    "linkage": None,
    "plan": None,
    "estimator": None,
    "warm": None,
    "accel": None,
}
#: The program, and the two modules through which users reach it.
PROGRAM = ("app", "batch", "__main__")
#: Rooms of kernels/cpu, each of which imports only itself and those before it.
ROOMS = ("space", "matrix", "clusters", "points")
BACKENDS = ("cpu", "cuda", "reference")


def modules() -> Iterator[tuple[str, ...]]:
    """Every module as the parts of its name after ``gpuclust``."""
    for folder, before in ((ROOT / "gpuclust", ()), (ROOT / "kernels", ("kernels",))):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if before or parts[0] != "kernels":  # a link to the other folder
                yield (*before, *(parts[:-1] if parts[-1] == "__init__" else parts))


MODULES = {".".join(("gpuclust", *parts)) for parts in modules()}


def source(parts: tuple[str, ...]) -> str:
    base = ROOT.joinpath(*parts) if parts[:1] == ("kernels",) else ROOT.joinpath("gpuclust", *parts)
    file = base.with_suffix(".py")
    return (file if file.exists() else base / "__init__.py").read_text()


def imported(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The modules of gpuclust that a module imports, anywhere in it, types included."""
    for node in ast.walk(ast.parse(source(parts))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in whole]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "gpuclust":
                yield tuple(name.split(".")[1:])


@pytest.mark.parametrize("parts", [p for p in modules() if p and p[0] not in PROGRAM], ids=".".join)
def test_library(parts):
    """The library never imports the program; core imports nothing of ours, kernels and algorithms only core."""
    allowed = ALLOWED[parts[0]]
    for other in imported(parts):
        room = other[0] if other else ""
        assert room not in PROGRAM
        if allowed is not None and room != parts[0]:
            assert room in allowed, f"{'.'.join(parts)} imports gpuclust.{'.'.join(other)}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_do_not_know_each_other(backend):
    for parts in modules():
        if parts[:2] == ("kernels", backend):
            assert {other[1] for other in imported(parts) if other[:1] == ("kernels",) and len(other) > 1} <= {
                backend
            }


def test_rooms_of_the_cpu():
    """A room of kernels/cpu imports only itself and those before it."""
    for parts in modules():
        if parts[:2] == ("kernels", "cpu") and len(parts) > 3:
            before = {*ROOMS[: ROOMS.index(parts[2]) + 1]}
            assert {other[2] for other in imported(parts) if other[:2] == ("kernels", "cpu")} <= before, parts


def test_top_of_the_package():
    """At the top stands what a user imports."""
    top = {parts[0] for parts in modules() if parts}
    assert top == {*ALLOWED, *PROGRAM}


def test_each_algorithm_is_one_object_in_one_file():
    from gpuclust.algorithms.base import Algorithm
    from gpuclust.algorithms.table import ALGORITHMS

    assert all(isinstance(algorithm, Algorithm) for algorithm in ALGORITHMS.values())
    names = [f'"{name}"' for name in ALGORITHMS if name != "generic"]
    for parts in modules():
        if parts[:1] == ("algorithms",):
            continue
        found = [node for node in ast.walk(ast.parse(source(parts))) if isinstance(node, ast.Compare)]
        texts = [ast.unparse(node).replace("'", '"') for node in found]
        assert not [text for text in texts if any(name in text for name in names)], parts
