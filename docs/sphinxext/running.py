"""Running snippets: what a piece of code prints, shows and draws. Needs no Sphinx."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import shlex
import subprocess
import sys
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
#: Resolution of figures, and the pixels of a web page in an inch.
DPI, CSS_PIXELS = 144, 96


@dataclass
class Result:
    """Printed text, values that show themselves as HTML, and figures as (file, description, width in pixels)."""

    text: str = ""
    error: str = ""
    html: list[str] = field(default_factory=list)
    figures: list[tuple[Path, str, int]] = field(default_factory=list)


def run(
    language: str, code: str, space: dict[str, Any], figures: Path, stem: str
) -> Result:
    """Run code of ``python``, ``pycon`` or ``console`` in a namespace; figures get names that begin with ``stem``."""
    result, said = Result(), io.StringIO()
    space.setdefault("__name__", "__main__")
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, category, *_: print(
                f"{category.__name__}: {message}"
            )
            {"python": _python, "console": _console, "pycon": _doctest}[language](
                code, space, result
            )
    except Exception:
        result.error = traceback.format_exc(limit=-4)
    result.text = said.getvalue().rstrip()
    _keep_figures(result, figures, stem)
    return result


def same_output(expected: str, got: str) -> bool:
    """Whether an output is the expected one, as doctest compares: ``...`` stands for anything."""
    return doctest.OutputChecker().check_output(expected + "\n", got + "\n", OPTIONS)


def _python(code: str, space: dict[str, Any], result: Result) -> None:
    """Run a block, and show the value of its last expression, unless it has drawn figures."""
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<snippet>", "exec"), space)
    value = (
        None
        if last is None
        else eval(compile(ast.Expression(last.value), "<snippet>", "eval"), space)
    )
    if value is None or _open_figures():
        return
    if hasattr(value, "_repr_html_"):
        result.html.append(value._repr_html_())
    else:
        print(repr(value))


def _console(code: str, space: dict[str, Any], result: Result) -> None:
    """Run the lines that begin with ``$``; gpuclust is that of this Python."""
    ours = f"$ {shlex.quote(sys.executable)} -m gpuclust "
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "88"}
    for line in code.replace("\\\n", " ").splitlines():
        if not line.startswith("$ "):
            continue
        command = (
            ours + line.removeprefix("$ gpuclust ")
            if line.startswith("$ gpuclust ")
            else line
        )[2:]
        done = subprocess.run(
            command,
            shell=True,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        print((done.stderr + done.stdout).rstrip())
        if done.returncode:
            raise RuntimeError(f"{line}: exit code {done.returncode}\n{done.stderr}")


def _doctest(code: str, space: dict[str, Any], result: Result) -> None:
    """Check examples as doctest does."""
    test = doctest.DocTest(
        doctest.DocTestParser().get_examples(code), space, "example", None, None, code
    )
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=OPTIONS).run(
        test, out=said.append, clear_globs=False
    )
    if failed:
        raise AssertionError("".join(said))


def _open_figures() -> list[int]:
    return (
        sys.modules["matplotlib.pyplot"].get_fignums()
        if "matplotlib.pyplot" in sys.modules
        else []
    )


def _keep_figures(result: Result, folder: Path, stem: str) -> None:
    """Save what pyplot has drawn; titles describe it to those who do not see it."""
    for number in _open_figures():
        from matplotlib import pyplot

        figure = pyplot.figure(number)
        path = folder / f"{stem}-{len(result.figures) + 1}.png"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, bbox_inches="tight")
        titles = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
        description = (
            "; ".join(dict.fromkeys(filter(None, titles)))
            or "Figure drawn by the code above"
        )
        result.figures.append(
            (path, description, round(figure.get_figwidth() * CSS_PIXELS))
        )
        pyplot.close(figure)
