"""The documentation and the files of a release, as far as that takes no build of the site (`make docs`)."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from test_examples import public_names
from typer.main import get_command

from benchmarks import tables
from gpuclust.app.cli import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "sphinxext"))
running = import_module("running")

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/README.md")]
    if not {"generated", "_build"} & {*path.relative_to(ROOT).parts} and path != DOCS / "cli.md"
)
FENCE = re.compile(r"^( *)```(\{code-block\} )?(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def documented() -> set[str]:
    """Names on the pages of the API, in full."""
    found = set()
    for page in (DOCS / "api").glob("*.md"):
        for module, names in re.findall(
            r"currentmodule:: (\S+)\n\n.*?toctree: generated\n\n(.*?)```", page.read_text(), re.DOTALL
        ):
            found |= {f"{module}.{name}" for name in names.split()}
    return found


def test_every_public_name_has_a_page():
    values = [getattr(import_module(module), name) for module, _, name in (n.rpartition(".") for n in documented())]
    missing = {name for name, value in public_names().items() if not any(value is other for other in values)}
    assert not missing


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """Pages made by the build are those of the commands and of the names of the API."""
    made = {f"api/generated/{name}.rst" for name in documented()}
    made |= {"cli.md"} | {f"generated/cli/{name}.md" for name in get_command(app).commands}  # type: ignore[attr-defined]
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in LINK.findall(text):
        place = (path.parent / target).resolve()
        known = place.exists() or (place.is_relative_to(DOCS) and str(place.relative_to(DOCS)) in made)
        assert known, f"{target} is not there"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_snippets_can_be_parsed(path):
    for _, directive, language, code in FENCE.findall(path.read_text(encoding="utf-8")):
        if language == "python":
            text = re.sub(r"\A(:.*\n)+", "", code) if directive else code
            compile(text, str(path), "exec")


@pytest.mark.parametrize("name", tables.FILES)
def test_tables_are_those_of_the_results(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert tables.BLOCK.search(text)
    assert tables.renewed(text) == text, "python -m benchmarks.tables writes them again"


def test_every_page_is_in_a_table_of_contents():
    listed = {"index"}
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            entries = [line.split("<")[-1].rstrip(">") for line in block.splitlines() if line and line[0] != ":"]
            listed |= {str((page.parent / entry).relative_to(DOCS)) for entry in entries}
    assert {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES if DOCS in path.parents} <= listed


# Running snippets


def test_what_a_snippet_prints_shows_and_draws(tmp_path):
    space: dict = {}
    done = running.run(
        "python", "import warnings\nx = 2\nprint('a')\nwarnings.warn('b')\nx + 1", space, tmp_path, "s"
    )
    assert (done.text, done.error) == ("a\nUserWarning: b\n3", "")
    drawn = running.run(
        "python", "from matplotlib import pyplot\npyplot.plot([x])\npyplot.title('t')", space, tmp_path, "s"
    )
    assert drawn.text == ""
    ((path, description, width),) = drawn.figures
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert (description, width) == ("t", 614)


def test_snippets_that_fail_say_so(tmp_path):
    assert "ZeroDivisionError" in running.run("python", "1 / 0", {}, tmp_path, "s").error
    assert "Expected" in running.run("pycon", ">>> 1 + 1\n3", {}, tmp_path, "s").error
    assert not running.run("pycon", ">>> 1 + 1\n2", {}, tmp_path, "s").error
    assert "exit code 1" in running.run("console", "$ false", {}, tmp_path, "s").error
    assert running.run("console", "$ gpuclust --version", {}, tmp_path, "s").text.startswith("gpuclust ")
    assert running.same_output("a ... c", "a b  c")
    assert not running.same_output("a", "b")


# Files of a release


def test_versions_and_requirements_are_those_of_the_project():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == citation["version"] == PROJECT["version"]
    assert PROJECT["requires-python"] == f">={recipe['context']['python_min']}"
    ours = {requirement.split(";")[0].strip() for requirement in PROJECT["dependencies"]}
    theirs = {
        line.replace("matplotlib-base", "matplotlib").replace(" ", "") for line in recipe["requirements"]["run"]
    }
    assert theirs - {"python>=${{python_min}}"} == ours
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]
    for found in (recipe["about"]["repository"], citation["repository-code"]):
        assert found == PROJECT["urls"]["Repository"]


def test_workflows_test_the_declared_pythons():
    declared = [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == declared
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert set(re.findall(r"make ([a-z-]+)", path.read_text())) <= targets


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.github-workflows", ".github/workflows/release.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
        ("vendor.readthedocs", ".readthedocs.yaml"),
    ],
)
def test_files_follow_their_schemas(schema, name):
    tool = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    if not tool.exists():
        pytest.skip("check-jsonschema is not installed")
    done = subprocess.run([str(tool), "--builtin-schema", schema, str(ROOT / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_references_of_the_paper():
    text = (ROOT / "paper" / "paper.md").read_text(encoding="utf-8")
    entries = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "paper.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"@(\w+)", text.partition("---\n\n")[2])) == entries
