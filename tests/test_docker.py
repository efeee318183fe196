"""docker/: linting, and every step that needs no base image, run in a folder in place of the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from dockerfile import instructions, steps

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "docker" / "Dockerfile.cpu", ROOT / "docker" / "Dockerfile.cuda"]
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def tool(name):
    path = SCRIPTS / name
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip(f"{name} is not installed: there is no build of it for this system")
    return str(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path, tmp_path):
    done = subprocess.run([tool("hadolint"), str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    spoiled = tmp_path / "Dockerfile"
    spoiled.write_text(path.read_text().replace("--no-cache-dir ", "").replace("USER 10001:10001", "USER root"))
    done = subprocess.run([tool("hadolint"), str(spoiled)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DL3042" in done.stdout
    assert "DL3002" in done.stdout


def test_compose_file_of_a_cluster():
    """A scheduler and two workers, from the image for the CPU."""
    path = ROOT / "docker" / "compose.dask.yaml"
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    services = yaml.safe_load(path.read_text())["services"]
    scheduler, worker = services["scheduler"], services["worker"]
    assert worker["deploy"]["replicas"] == 2
    assert f"tcp://scheduler:{scheduler['ports'][0].rsplit(':', 1)[1]}" in worker["command"]
    for service in (scheduler, worker):
        assert service["image"] == COMPOSE["services"]["cpu"]["image"]
        assert service["entrypoint"] == ["dask"]
        assert service["read_only"]
        assert service["user"] == "${GPUCLUST_USER:-10001:10001}"
    install = next(step.command for step in steps(FILES[0]) if "pip install" in step.command)
    assert "dask" in re.search(r"\[(.*?)\]\"", install)[1].split(",")


def test_compose_file():
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker" / "compose.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    gpu, cpu = COMPOSE["services"]["gpu"], COMPOSE["services"]["cpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in cpu
    for service in (gpu, cpu):
        context = (ROOT / "docker" / service["build"]["context"]).resolve()
        assert context == ROOT
        assert context / service["build"]["dockerfile"] in FILES
        folders = [volume.rsplit(":", 1)[1] for volume in service["volumes"]]
        assert folders == ["/data", "/var/cache/gpuclust"]
        assert service["volumes"][1].split(":")[0] in COMPOSE["volumes"]
        assert service["read_only"]
        assert service["user"] == "${GPUCLUST_USER:-10001:10001}"
    version = re.fullmatch(r"\$\{CUDA:-(.*)\}", gpu["build"]["args"]["CUDA"])[1]
    assert ("ARG", f"CUDA={version}") in instructions(FILES[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_images_run_as_nobody_special(path):
    found = instructions(path)
    assert [text for name, text in found if name == "USER"] == ["10001:10001"]
    assert ("ENTRYPOINT", '["gpuclust"]') in found
    # What is written at run time lies in the one folder that is open to all.
    (written,) = (text for name, text in found if name == "ENV" and "CACHE" in text)
    for pair in written.split():
        assert re.fullmatch(r"\w+=/var/cache/gpuclust/\w+", pair)
    assert any("mkdir -m 777 /data /var/cache/gpuclust" in step.command for step in steps(path))


def test_the_extra_matches_cuda():
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    versions = sorted(set(re.findall(r"CUDA=(\d[\d.]+)", FILES[1].read_text())))
    assert len(versions) == 2
    for version in versions:
        (install,) = (step for step in steps(FILES[1], CUDA=version) if "pip install" in step.command)
        assert install.environment["CUDA"] == version
        given = re.search(r'"\$\(echo [^)]*\)\[(.*?)\]"', install.command)[1]
        environment = {"CUDA": version, "PATH": os.environ["PATH"]}
        chosen = subprocess.run(["sh", "-c", f'echo "{given}"'], env=environment, capture_output=True, text=True)
        names = chosen.stdout.strip().split(",")
        assert names[0] == f"cuda{version.split('.')[0]}"
        assert set(names) <= set(extras)
    # Without an argument the first of them is meant.
    assert steps(FILES[1])[-1].environment["CUDA"] in versions


class Image:
    """A folder in which the steps of a Dockerfile run, with the paths of the image put below it."""

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o555)
        (folder / "var" / "cache" / "gpuclust").mkdir(parents=True)

    def inside(self, text):
        return re.sub(r"/(opt|wheels|src|var)\b", lambda found: f"{self.folder}{found[0]}", text)

    def run(self, command, environment, cwd=None):
        """Without network, and without dependencies, which come from the environment of the tests."""
        variables = {name: self.inside(value) for name, value in environment.items()}
        outside = f"{SCRIPTS}:{os.environ['PATH']}"
        variables["PATH"] = variables.get("PATH", "$PATH").replace("$PATH", outside)
        variables |= {"HOME": str(self.home), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PYTHONSAFEPATH": "1"}
        command = self.inside(command).replace("pip wheel", "pip wheel --no-build-isolation")
        done = subprocess.run(
            ["sh", "-c", command], env=variables, cwd=cwd or self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def copied(path, context):
    """The files of the repository that COPY takes, by .dockerignore."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule[0] == "!"]
    ignored = shutil.ignore_patterns(*(rule.removeprefix("**/") for rule in rules if rule.startswith("**/")))
    for name, text in instructions(path):
        if name == "COPY":
            *sources, target = text.split()
            for source in sources:
                assert any(fnmatch(source, rule) for rule in let_in), source
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, context / target, symlinks=True, ignore=ignored)
                else:
                    shutil.copy(ROOT / source, context / target)
    for step in steps(path):
        for mount in step.mounts:
            assert mount.get("from") == "wheel" or mount["source"] in let_in


@pytest.mark.sweep
def test_the_steps_of_the_image(tmp_path):
    """On the CPU's file; that for CUDA has the same steps, but for apt and the extra."""
    same = [
        [re.sub(r"cuda\$\{CUDA%%\.\*\},", "", step.command) for step in steps(path) if "apt-get" not in step.command]
        for path in FILES
    ]
    assert same[0] == same[1]
    image = Image(tmp_path)
    (tmp_path / "src").mkdir()
    copied(FILES[0], tmp_path / "src")
    build, user, venv, install, warm = steps(FILES[0])
    assert user.command.startswith("useradd")
    image.run(build.command, build.environment, tmp_path / "src")
    image.run(venv.command, venv.environment)
    (site,) = (tmp_path / "opt" / "gpuclust" / "lib").glob("python*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    image.run(install.command, install.environment)
    package = site / "gpuclust"
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*.py")}
    assert len(before) > 50
    assert not any(time % 10**9 for time in before.values()), "layers of an image keep whole seconds"

    assert warm.user == "10001:10001"
    command = f"{ROOT}/docker/warm.py"
    command = warm.command.replace("/tmp/warm.py", f"{command} centroid")  # the other linkages take minutes
    assert command != warm.command
    at_home = list(image.home.iterdir())
    image.run(command, warm.environment)
    cache = tmp_path / "var" / "cache" / "gpuclust"
    assert len(list(cache.rglob("*.nbc"))) > 10
    for path in cache.rglob("*"):
        assert path.stat().st_mode & 0o666 == 0o666, path
    assert list(image.home.iterdir()) == at_home
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*.py")} == before
    assert not list(package.rglob("*.nb[ci]"))

    # Brought elsewhere as a layer is, with times in whole seconds, nothing is compiled again.
    image.run("tar --format=gnu -cf layer.tar opt var && rm -r opt var && tar -xf layer.tar", {})
    said = image.run(command, {**warm.environment, "NUMBA_DEBUG_CACHE": "1"})
    assert "data loaded from" in said
    assert "data saved to" not in said
    assert image.run("gpuclust --version", warm.environment).startswith("gpuclust ")
