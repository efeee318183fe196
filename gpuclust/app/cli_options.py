"""Options that several commands have beside those of a data set (`gpuclust.app.options`). Light to import."""

from __future__ import annotations

from typing import Annotated

import typer

MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", help="Most memory to use, like 8GB.", rich_help_panel="Machine")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files in the way that gpuclust did not write, or that were changed since. Never an input.",
        rich_help_panel="Output",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors and warnings.", rich_help_panel="Output")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show Python's traceback of an error.")]
