"""``gpuclust plan``: a plan as a table or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuclust.app.data.files import read_shape
from gpuclust.app.terminal import console
from gpuclust.core.memory import format_bytes
from gpuclust.core.observations import observations_of
from gpuclust.core.text import displayed, format_seconds
from gpuclust.errors import InputFileError
from gpuclust.plan import Plan

if TYPE_CHECKING:
    from rich.table import Table


def size_of(what: str, features: int | None, **reading: Any) -> tuple[int, int | None, str]:
    """Return observations, features (None for condensed dissimilarities), and how the file was read, if it is one.

    ``reading`` are options of `gpuclust.app.data.files.read_points`.

    Raises
    ------
    InputFileError
        If ``what`` is neither an integer nor a data file.
    ValueError
        If a number of features is given with a file.
    """
    number = _whole(what)
    if number is not None:
        return number, None if reading.get("mixed") else features, ""
    if features is not None:
        raise ValueError(f"features are read from {what}; give their number only after a number of observations")
    try:
        shape, how = read_shape(what, **reading)
    except InputFileError as error:
        looks_like_a_file = any(mark in what for mark in "./\\:") or Path(what).exists()
        hint = "" if looks_like_a_file else "; give a whole number of observations, or a file"
        raise InputFileError(f"{error}{hint}") from None
    if len(shape) == 2 and (reading.get("distances") or reading.get("mixed")):
        return shape[0], None, how
    return (shape[0], shape[1], how) if len(shape) == 2 else (observations_of(shape[0]), None, how)


def _whole(what: str) -> int | None:
    """Return an integer that may be written with separators of thousands, or as 1e6; None if it is none."""
    digits = what.translate(str.maketrans("", "", "_, "))
    if digits.isdecimal():
        return int(digits)
    try:
        found = float(digits)
    except ValueError:
        return None
    return int(found) if found.is_integer() and not Path(what).exists() else None


def show(plan: Plan, as_json: bool, how: str = "") -> None:
    """Print a plan; ``how`` says how its data file was read."""
    if as_json:
        print(json.dumps(record(plan), indent=2))
    else:
        if how:
            console().print(displayed(how), markup=False)
        console().print(_table(plan))


def record(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values, in bytes and seconds."""
    names = ("n", "m", "method", "metric", "dtype", "device", "algorithm", "reason", "memory", "matrix", "limit")
    return {name: getattr(plan, name) for name in names} | {
        "fits": plan.fits,
        "modelled_seconds": plan.seconds,
        "what_would_fit": [] if plan.fits else plan.what_would_fit(),
        "fallbacks": [
            {"device": other.device, "algorithm": other.algorithm, "memory": other.memory, "fits": other.fits}
            for other in plan.fallbacks
        ],
    }


def _table(plan: Plan) -> Table:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    shape = "condensed dissimilarities" if plan.m is None else f"points of {plan.m:,} features"
    table.add_row("input", f"{plan.n:,} observations, {shape}")
    table.add_row("linkage", f"{plan.method}, {plan.metric if plan.m is not None else 'precomputed'}, {plan.dtype}")
    table.add_row("device", plan.device)
    table.add_row("algorithm", plan.algorithm)
    table.add_row("why", plan.reason)
    matrix = f", of which {format_bytes(plan.matrix)} for a matrix" if plan.matrix else ""
    table.add_row("memory", f"{format_bytes(plan.memory)} beside the input{matrix}")
    verdict = "[green]it fits[/]" if plan.fits else "[bold red]it does not fit[/]"
    table.add_row("limit", f"{format_bytes(plan.limit)}: {verdict}")
    if plan.fits:
        table.add_row("time", f"about {format_seconds(float(f'{plan.seconds:.1g}'))} (modelled, rough)")
    else:
        table.add_row("would fit", "\n".join(plan.what_would_fit()) or "nothing")
    if plan.fallbacks:
        ways = (f"{other.algorithm} on {other.device}, {format_bytes(other.memory)}" for other in plan.fallbacks)
        table.add_row("if memory runs out", "\n".join(ways))
    return table
