"""Pages made when the documentation is built: one for each command, and those files of the repository that are read.

Links to files of the repository lead to their page where there is one, and to the repository otherwise.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
#: Files of the repository that have a page, and its name.
PAGES = {
    "ARCHITECTURE.md": "generated/project/architecture",
    "CHANGELOG.md": "generated/project/changelog",
    "CONTRIBUTING.md": "generated/project/contributing",
    "CODE_OF_CONDUCT.md": "generated/project/conduct",
    "SECURITY.md": "generated/project/security",
    "benchmarks/README.md": "generated/project/benchmarks",
    "docker/README.md": "generated/project/docker",
    "kernels/README.md": "generated/project/kernels",
    "examples/README.md": "generated/project/examples",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def repository() -> str:
    """Address of the repository, as pyproject.toml has it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def relinked(text: str, folder: str, page: str) -> str:
    """Replace links of a text that stands in a folder of the repository by links from a page of the site."""

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        here = posixpath.dirname(page)
        if path in PAGES:
            found = posixpath.relpath(PAGES[path] + ".md", here or ".")
        elif path.startswith("docs/"):
            found = posixpath.relpath(path.removeprefix("docs/"), here or ".")
        else:
            assert (ROOT / path).exists(), f"{page}: {match[2]} is not there"
            found = f"{repository()}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"
        return match[1] + found + match[3]

    return LINK.sub(target, text)


def write_project_pages(source: Path) -> None:
    for path, page in PAGES.items():
        if (ROOT / path).exists():
            text = relinked(
                (ROOT / path).read_text(encoding="utf-8"), posixpath.dirname(path), page
            )
            _write(source / f"{page}.md", text)


def write_commands(source: Path) -> None:
    """A page for each command, from its own help, and their list."""
    from gpuclust.app.cli import app as program
    from typer.main import get_command

    group = get_command(program)
    names = sorted(group.commands)  # type: ignore[attr-defined]
    for name in names:
        _write(
            source / f"generated/cli/{name}.md",
            command_page(name, group.commands[name]),
        )  # type: ignore[attr-defined]
    rows = [
        f"| [gpuclust {name}](generated/cli/{name}.md) | {_first(group.commands[name].help)} |"
        for name in names
    ]  # type: ignore[attr-defined]
    listed = "\n".join(f"generated/cli/{name}" for name in names)
    text = ["# Command line", (source / "cli.txt").read_text(encoding="utf-8").strip()]
    text += [
        "| command | |\n|---|---|\n" + "\n".join(rows),
        f"```{{toctree}}\n:hidden:\n\n{listed}\n```",
    ]
    _write(source / "cli.md", "\n\n".join(text))


def command_page(name: str, command: Any) -> str:
    """The help of a command as Markdown: usage, description, options by panel, examples."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [
        p for p in command.params if p.param_type_name == "option" and not p.hidden
    ]
    usage = " ".join(["gpuclust", name, "[OPTIONS]", *(_metavar(p) for p in arguments)])
    text = [f"# gpuclust {name}", f"```text\n{usage}\n```", _prose(command.help or "")]
    if arguments:
        text.append(
            "## Arguments\n\n"
            + "\n".join(
                f"`{_metavar(p)}`\n: {_prose(p.help or '')}\n" for p in arguments
            )
        )
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(
            getattr(option, "rich_help_panel", None) or "Options", []
        ).append(option)
    for panel, members in panels.items():
        text.append(f"## {panel}\n\n" + "\n".join(_option(p) for p in members))
    text.append(_epilog(command.epilog or ""))
    return "\n\n".join(text)


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" `{_metavar(option)}`"
    default = option.default
    shown = (
        ""
        if default in (None, False, (), []) or option.is_flag
        else f" Default: `{default}`."
    )
    return f"{names}{value}\n: {_prose(option.help or '') or 'See the description.'}{shown}\n"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.opts[0].lstrip("-").upper())


def _prose(text: str) -> str:
    """Help without rich's markup, its names of options as code."""
    plain = (
        re.sub(r"\[/?[a-z ]+\]", "", text)
        .replace("\f", "")
        .replace("\b", "")
        .replace("*", r"\*")
        .replace("<", r"\<")
    )
    return re.sub(r"(?<![\w`/-])(--[a-z][a-z-]*)", r"`\1`", plain).strip()


def _epilog(text: str) -> str:
    """Examples as code, and what follows as text."""
    plain = re.sub(r"\[/?[a-z ]+\]", "", text)
    parts = [part.strip() for part in plain.split("\n\n") if part.strip()]
    examples = [part for part in parts if part.startswith("gpuclust ")]
    others = [part for part in parts if part not in examples and part != "Examples"]
    code = (
        "## Examples\n\n```bash\n" + "\n".join(examples) + "\n```" if examples else ""
    )
    return "\n\n".join(filter(None, [code, *(_prose(part) for part in others)]))


def _first(text: str | None) -> str:
    return _prose(text or "").split("\n\n")[0].replace("\n", " ")


def _write(path: Path, text: str) -> None:
    """Write a page; one that has not changed is left, so that it is not read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text.rstrip() + "\n":
        path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _make(app: Sphinx, *_: Any) -> None:
    source = Path(app.srcdir)
    write_project_pages(source)
    write_commands(source)


def _relink(app: Sphinx, page: str, content: list[str]) -> None:
    if page.startswith(("generated/", "api/generated/")):
        return
    content[0] = relinked(
        content[0], posixpath.join("docs", posixpath.dirname(page)).rstrip("/"), page
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", _make)
    app.connect("source-read", _relink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
