"""What a compiled closure was made of, as text that is the same in every process: the key of a kernel on disk.

Numba's own key is a hash of the pickled variables of a closure. A pickle says where a string is the same object as an
earlier one, which depends on whether a module was loaded from its source or from bytecode. So what the first process
of a new installation compiled, which had no bytecode, was not found by later ones, and they compiled it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.serialize import dumps
from numba.core.types import Type

#: Values that are told apart by type and representation.
_PLAIN = (str, bytes, bool, int, float, complex, type(None), type(...), np.generic, np.dtype, Type)


def fingerprint(function: FunctionType) -> str:
    """A hash of a function's bytecode, of the variables of its closure, and of numbers that it takes from its module.

    Functions of the top level of a module stand for themselves: kernels have a stamp (`gpuclust.core.closures.stamp`)
    of the source of others that they call.
    """
    return _digest(function, {})


def _digest(function: FunctionType, known: dict[FunctionType, str]) -> str:
    """The hash of a function; ``known`` has those of functions that were met before."""
    if function not in known:
        known[function] = "itself"  # a closure may call itself
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        parts = [function.__qualname__, *_code(function.__code__, function.__globals__)]
        parts += [_text(value, known) for value in (*cells, *(function.__defaults__ or ()))]
        known[function] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return known[function]


def _code(code: CodeType, scope: dict[str, Any]) -> Iterator[str]:
    """Bytecode, names and constants, of inner code too; and the numbers among the names in ``scope``."""
    yield f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars}"
    for name in code.co_names:
        if isinstance(scope.get(name), (bool, int, float, np.generic)):
            yield f"{name} = {scope[name]!r}"
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _code(value, scope)
        else:
            yield repr(value)


def _text(value: object, known: dict[FunctionType, str]) -> str:
    """A value of a closure as text."""
    kind = type(value)
    if isinstance(value, FunctionType):
        name = f"{value.__module__}.{value.__qualname__}"
        return f"{name} {_digest(value, known)}" if "<" in name else name
    if isinstance(value, (tuple, list)):
        return f"{kind.__qualname__}({', '.join(_text(item, known) for item in value)})"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, (type, BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.ufunc):
        return f"ufunc {value.__name__}"
    if isinstance(value, _PLAIN):
        return f"{kind.__qualname__} {value!r}"
    return str(hashlib.sha256(dumps(value)).hexdigest())
