"""The installed package: content of the wheel, modules imported, and the version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel built from a copy of the source, without network."""
    copy = tmp_path_factory.mktemp("source") / "gpuclust"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("gpuclust", "kernels"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignored)
    done = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return path.name, archive.namelist(), {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_module(wheel):
    _, names, _ = wheel
    kernels = {f"gpuclust/{path.relative_to(ROOT)}" for path in (ROOT / "kernels").rglob("*.py")}
    host = {str(path.relative_to(ROOT)) for path in (ROOT / "gpuclust").rglob("*.py")}
    host = {name for name in host if not name.startswith("gpuclust/kernels/")}
    assert len(kernels) > 5
    assert kernels | host == {name for name in names if name.endswith(".py")}
    assert "gpuclust/py.typed" in names
    assert {
        f"gpuclust/report/{folder}/{path.name}"
        for folder in ("assets", "templates")
        for path in (ROOT / "gpuclust/report" / folder).iterdir()
    } <= {*names}
    assert "gpuclust/app/examples/digits.npz" in names, "what an installed gpuclust demo needs"


def test_the_wheel_holds_nothing_else(wheel):
    name, names, _ = wheel
    version = metadata.version("gpuclust")
    assert name == f"gpuclust-{version}-py3-none-any.whl"
    assert {entry.split("/")[0] for entry in names} == {"gpuclust", f"gpuclust-{version}.dist-info"}


def test_the_wheels_metadata(wheel):
    _, names, content = wheel
    folder = f"gpuclust-{metadata.version('gpuclust')}.dist-info"
    text = content[f"{folder}/METADATA"].decode()
    required = {
        re.split(r"[^A-Za-z0-9_-]", line.removeprefix("Requires-Dist: "))[0]
        for line in text.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }
    core = {"numpy", "numba", "matplotlib", "typer", "rich", "jinja2", "tomli"}
    assert required == core, "SciPy is no run-time dependency"
    assert "License-Expression: MIT" in text
    assert f"{folder}/licenses/LICENSE" in names
    assert content[f"{folder}/entry_points.txt"].decode().split() == [
        "[console_scripts]",
        "gpuclust",
        "=",
        "gpuclust.app.cli:main",
    ]


def test_the_link_to_kernels_is_relative():
    link = ROOT / "gpuclust" / "kernels"
    assert link.is_symlink()
    assert str(link.readlink()) == "../kernels"


def test_kernels_is_no_package_of_its_own():
    done = python("-c", "import kernels", cwd=ROOT)
    assert done.returncode == 1
    assert "ImportError: 'kernels' is not a package of its own: it installs as gpuclust.kernels" in done.stderr
    assert python("-c", "import gpuclust.kernels.reference", cwd=ROOT).returncode == 0


def test_importing_gpuclust_is_light():
    program = (
        "import sys, gpuclust\n"
        "heavy = {'numba', 'matplotlib', 'scipy', 'cupy', 'rich', 'typer', 'tqdm'} & set(sys.modules)\n"
        "print(sorted(heavy), 'linkage' in dir(gpuclust), gpuclust.__version__)"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[] True {metadata.version('gpuclust')}\n"


def test_working_takes_no_scipy():
    program = (
        "import sys, numpy as np\n"
        "sys.modules['scipy'] = None\n"  # any import of it fails now
        "import gpuclust\n"
        "Z = gpuclust.linkage(np.random.default_rng(0).normal(size=(30, 2)), 'ward')\n"
        "print(gpuclust.fcluster(Z, 3, 'maxclust').max())"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3\n"


def test_the_version_is_written_once():
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert metadata.version("gpuclust") == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    for path in (ROOT / "gpuclust").rglob("*.py"):
        assert f'"{version}"' not in path.read_text(encoding="utf-8"), path
