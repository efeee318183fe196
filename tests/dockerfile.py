"""Parser of Dockerfiles, as far as ours need it: a list of instructions."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """A RUN instruction: its command, and what holds where it stands.

    Attributes
    ----------
    command : str
        What the shell runs, without the options of RUN.
    mounts : list of dict
        The options of each ``--mount``.
    stage : int
        Number of the FROM above it.
    environment : dict
        ENV and ARG with a default, variables put in.
    user : str
    folder : str
        WORKDIR.
    """

    command: str
    mounts: list[dict[str, str]]
    stage: int
    environment: dict[str, str]
    user: str
    folder: str


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and text of each instruction; lines that are continued are joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), text.strip()) for name, text in found]


def steps(path: Path, **arguments: str) -> list[Step]:
    """All RUN instructions of a Dockerfile, built with these arguments."""
    found: list[Step] = []
    known: dict[str, str] = {}
    stage, environment, user, folder = -1, dict[str, str](), "root", "/"
    for name, text in instructions(path):
        if name == "FROM":
            stage, environment, user, folder = stage + 1, {}, "root", "/"
        elif name == "ARG":
            variable, _, default = text.partition("=")
            known.setdefault(variable, arguments.get(variable, default))
            if stage >= 0:
                environment[variable] = known[variable]
        elif name == "ENV":
            for pair in shlex.split(text):
                variable, _, value = pair.partition("=")
                environment[variable] = value
        elif name == "USER":
            user = text
        elif name == "WORKDIR":
            folder = text
        elif name == "RUN":
            mounts = []
            while option := re.match(r"--mount=(\S+)\s+", text):
                mounts.append(dict(pair.split("=", 1) for pair in option[1].split(",")))
                text = text[option.end() :]
            found.append(Step(text, mounts, stage, dict(environment), user, folder))
    return found
