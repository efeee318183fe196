"""Batches for tests: a folder of data, outcomes by name, the summary, and the tags and links of a page."""

from __future__ import annotations

import csv
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import batch
from gpuclust.app.cli import app

RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(80, 3)) + 6.0 * RNG.integers(0, 3, (80, 1))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def run(jobs, out, **options):
    """Outcomes by name."""
    options = {"workers": 1, "plots": "none", "reports": False, **options}
    return {outcome.name: outcome for outcome in batch.run(jobs, out, **options)}


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def summary(out):
    with open(out / "summary.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


class Page(HTMLParser):
    """The tags and links of a page; an error where tags do not match."""

    VOID = ("meta", "input", "br", "link")

    def __init__(self, path):
        super().__init__()
        self.links, self.sources, self.tags, self._open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == [], path

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
