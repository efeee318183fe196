"""HTML pages from the templates of this package, with escaping and without external resources."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gpuclust.core.memory import format_bytes
from gpuclust.core.text import displayed, format_seconds
from gpuclust.core.version import __version__
from gpuclust.plotting.style import PALETTE

#: Shown for a missing number.
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
    environment.globals["version"] = __version__
    environment.filters["number"] = number
    environment.filters["bytes"] = lambda count: "unknown" if count is None else format_bytes(count)
    environment.filters["seconds"] = lambda value: NOTHING if value is None else format_seconds(value)
    return environment


def _readable(value: Any) -> Any:
    """Return a value to be inserted, with control characters and direction marks escaped."""
    from markupsafe import Markup

    return value if not isinstance(value, str) or isinstance(value, Markup) else displayed(value, keep="\n\t")


def render(template: str, **values: Any) -> str:
    """Render a template."""
    return str(_environment().get_template(template).render(**values))


def number(value: float | int | None) -> str:
    """``12345`` -> ``"12,345"``, ``0.123456789`` -> ``"0.123457"``."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
