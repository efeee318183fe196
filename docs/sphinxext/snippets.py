"""Run the snippets of the documentation while it is built, and show what they print and draw.

- Blocks of ``python`` of a page run one after the other in one namespace. What a block prints, the value of a last
  expression, warnings and figures are inserted below it. A block of ``output`` that follows is compared instead.
- Lines of a ``console`` block that begin with ``$`` run in a shell, in the same folder.
- Examples of docstrings (``>>>``) are checked as by doctest, one namespace for each object; figures are inserted.

Blocks of class ``no-run``, and those of a page with the comment ``<!-- snippets: no-run -->``, are compiled only; of
``hide-code`` only the results are shown, and the code of ``fold-code`` is shown on demand. Snippets run in a
temporary folder that holds ``DATA``; a page written there is kept as _static/reports/NAME.html. A failing snippet is
a warning, so with ``-W`` an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from running import ROOT, Result, run, same_output
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

LOG = logging.getLogger(__name__)
DATA = ("examples/*.csv", "examples/*.npz", "examples/batch/*.csv", "docs/data/*")
FIGURES = "generated/figures"
#: The comment of a page whose snippets need what is not here: a GPU, a cluster.
NO_RUN = "snippets: no-run"
#: Length of lines of an output above which they are wrapped.
LONGEST = 110


class RunSnippets(SphinxTransform):
    """Runs the snippets of a document as it is read."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        blocks = [
            node
            for node in self.document.findall(nodes.Element)
            if _language(node) not in ("", "output")
        ]
        spaces: dict[str, dict[str, Any]] = {}
        if not blocks:
            return
        remarks = [
            *self.document.findall(nodes.comment),
            *self.document.findall(nodes.raw),
        ]
        if any(NO_RUN in remark.astext() for remark in remarks):
            for node in blocks:
                node["classes"].append("no-run")
        with _folder():
            for number, node in enumerate(blocks, 1):
                self.run(node, spaces.setdefault(_owner(node), {}), number)
            for path in Path().glob("*.html"):
                kept = Path(self.app.outdir) / "_static" / "reports"
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, kept)

    def run(self, node: nodes.Element, space: dict[str, Any], number: int) -> None:
        language, code, page = _language(node), node.astext(), self.env.docname
        if "no-run" in node["classes"]:
            if language == "python":
                compile(code, page, "exec")
            return
        stem = f"{page.replace('/', '-')}-{number:02d}"
        result = run(language, code, space, Path(self.app.srcdir) / FIGURES, stem)
        if result.error:
            LOG.warning(
                "snippet of %s failed:\n%s\n%s", page, code, result.error, location=node
            )
        place, follows = node, node.next_node(siblings=True, descend=False)
        expected = isinstance(follows, nodes.Element) and _language(follows) == "output"
        if expected:
            place = follows
            if not same_output(follows.astext(), result.text):
                LOG.warning(
                    "output of %s differs:\n%s\nnow:\n%s",
                    code,
                    follows.astext(),
                    result.text,
                    location=node,
                )
        after = place.parent.index(place) + 1
        place.parent[after:after] = _shown(result, with_text=not expected)
        if "hide-code" in node["classes"]:
            node.parent.remove(node)
        if "fold-code" in node["classes"]:
            parent, place = node.parent, node.parent.index(node)
            parent.insert(place + 1, nodes.raw("", "</details>", format="html"))
            begin = "<details><summary>Code of this figure</summary>"
            parent.insert(place, nodes.raw("", begin, format="html"))


def _shown(result: Result, with_text: bool) -> list[nodes.Node]:
    """Nodes for what a snippet has printed, shown and drawn."""
    found: list[nodes.Node] = []
    if with_text and result.text:
        long = max(map(len, result.text.splitlines())) > LONGEST
        classes = ["snippet-output", *(["long-lines"] if long else [])]
        found.append(
            nodes.literal_block(
                result.text, result.text, language="text", classes=classes
            )
        )
    found += [
        nodes.raw("", f'<div class="snippet-table">{text}</div>', format="html")
        for text in result.html
    ]
    for path, description, width in result.figures:
        uri = f"/{FIGURES}/{path.name}"
        found.append(
            nodes.image(
                uri=uri, alt=description, width=f"{width}px", classes=["snippet-figure"]
            )
        )
    return found


def _language(node: nodes.Element) -> str:
    """python, console, pycon or output: how a node is run; empty for other nodes."""
    if isinstance(node, nodes.doctest_block):
        return "pycon"
    language = node.get("language", "") if isinstance(node, nodes.literal_block) else ""
    return language if language in ("python", "console", "pycon", "output") else ""


def _owner(node: nodes.Element) -> str:
    """Name of the object whose docstring holds a node; empty on pages."""
    while node is not None:
        if isinstance(node, addnodes.desc):
            return node[0].get("ids", [""])[0] or node[0].astext()
        node = node.parent
    return ""


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """A temporary working folder with the data files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        for pattern in DATA:
            for path in ROOT.glob(pattern):
                shutil.copy(path, place)
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(RunSnippets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
