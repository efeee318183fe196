"""HTML from the templates beside this file: what is filled in is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gpuclust.core.memory import format_bytes
from gpuclust.core.text import displayed
from gpuclust.plotting.style import PALETTE

#: Stands where there is no number.
NOTHING = "\N{EN DASH}"


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["palette"] = PALETTE
    environment.filters["number"] = number
    environment.filters["bytes"] = lambda count: "unknown" if count is None else format_bytes(count)
    environment.filters["seconds"] = seconds
    return environment


def _readable(value: Any) -> Any:
    """What is filled in, without characters that no page may hold, or that mislead its reader."""
    from markupsafe import Markup

    return value if not isinstance(value, str) or isinstance(value, Markup) else displayed(value, keep="\n\t")


def render(template: str, **values: Any) -> str:
    """The page that a template makes of these values."""
    return str(_environment().get_template(template).render(**values))


def number(value: float | int | None) -> str:
    """``12345`` -> ``"12,345"``, ``0.123456789`` -> ``"0.123457"``."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def seconds(value: float | None) -> str:
    """``0.0123`` -> ``"12 ms"``, ``75`` -> ``"1 min 15 s"``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
