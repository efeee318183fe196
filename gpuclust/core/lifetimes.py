"""Lifetimes of variables, computed where Numba's compiler reads them.

After every pass that may change a function Numba computes which variables are alive at the beginning of which block.
That is a tenth of the time of compiling a kernel, and only generators and Python objects need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import transforms
from numba.core.postproc import PostProcessor, VariableLifetime

_complete = PostProcessor.run


def _run(self: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
    """Numba's method without the variables at the beginning of blocks; all others are computed on demand."""
    if self.func_ir.is_generator:
        return _complete(self, emit_dels, extend_lifetimes)
    self.func_ir.blocks = transforms.canonicalize_cfg(self.func_ir.blocks)
    self.func_ir.variable_lifetime = VariableLifetime(self.func_ir.blocks)
    self.func_ir.generator_info = None
    if emit_dels:
        self._insert_var_dels(extend_lifetimes=extend_lifetimes)


@contextmanager
def on_demand() -> Iterator[None]:
    """Within it functions are compiled so; for the thread that holds the lock of Numba's compiler."""
    before, PostProcessor.run = PostProcessor.run, _run
    try:
        yield
    finally:
        PostProcessor.run = before
