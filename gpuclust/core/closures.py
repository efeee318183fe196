"""Names and stamps of compiled closures, on the CPU and on CUDA."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any


def named(*parts: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator, to stand under the one that compiles, that gives a closure a name of its own.

    Numba names machine code after the function's qualified name and a number that counts functions in the process. A
    kernel loaded from disk carries the number of the process that compiled it. So two closures made by one builder,
    one from disk and one new, can get the same symbol, and one of them then runs the other's code, silently. Every
    closure that is compiled must therefore name what it was made for, the dtype included: types share one index on
    disk, which two processes that compile at once could write over each other.
    """

    def rename(function: Callable[..., Any]) -> Callable[..., Any]:
        tag = "_".join(str(part) for part in parts)
        function.__name__ = f"{function.__name__}_{tag}"
        function.__qualname__ = f"{function.__qualname__}_{tag}"
        return function

    return rename


@cache
def stamp(*modules: ModuleType) -> str:
    """A hash of the source of ``modules``.

    Numba notices an edit of the file a kernel stands in, but not of the files whose functions it has inlined. A
    kernel that is built as a closure captures this string, so that such an edit compiles it anew.
    """
    text = hashlib.sha256()
    for module in modules:
        text.update(Path(str(module.__file__)).read_bytes())
    return text.hexdigest()
