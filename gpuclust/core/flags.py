"""Flags of Numba's compiler that take no time to compare.

Numba finds a function's implementation by types and by the flags of the caller, tens of thousands of times for a
kernel. Its flags all have the same hash, and are equal if 22 attributes are: together 7 % of the time of compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.compiler import Compiler, Flags

from gpuclust.core.lifetimes import on_demand


class SharedFlags(Flags):  # type: ignore[misc]
    """Flags that callers are told by; equal ones are one object, which does not change."""

    def __eq__(self, other: object) -> Any:
        return self is other or (type(other) is not SharedFlags and super().__eq__(other))

    def __hash__(self) -> int:
        return _HASH

    def copy(self) -> Flags:
        """Flags that may be changed."""
        return Flags(self)


#: The hash of all flags: that of the names of their attributes.
_HASH = hash(Flags())
_shared: list[SharedFlags] = []


class _OwnFlags(Flags):  # type: ignore[misc]
    """Flags of one function. The compiler copies them for the stack of flags, and only reads that copy."""

    def copy(self) -> SharedFlags:
        """The shared object that equals these flags."""
        for known in _shared:
            if self == known:
                return known
        _shared.append(SharedFlags(self))
        return _shared[-1]


class QuickCompiler(Compiler):  # type: ignore[misc]
    """Numba's compiler, with shared flags on the stack of flags, and lifetimes of variables on demand."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.flags = _OwnFlags(self.state.flags)
        with on_demand():
            return super().compile_extra(func)
