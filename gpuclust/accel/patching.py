"""Functions of other packages that ask gpuclust for a result before they compute it themselves.

A function is compiled again from its source with one statement in front of its body, and its code object is replaced.
It remains the same object with the same signature, so that every reference to it is served; where gpuclust declines,
the body runs in the same frame as before, and its errors and warnings name the same lines.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: Functions by the module that users import them from.
TARGETS = {
    "scipy.cluster.hierarchy": [
        *("cophenet", "cut_tree", "dendrogram", "fcluster", "inconsistent", "leaders", "leaves_list", "linkage"),
        *("maxRstat", "maxdists", "maxinconsts"),
    ],
    "scipy.spatial.distance": ["cdist", "pdist"],
    "fastcluster": ["linkage", "linkage_vector"],
}

_ASK = "gpuclust_result = __import__('gpuclust.accel.routing', fromlist=['attempt']).attempt()"
_TAKE = "if gpuclust_result is not None: return gpuclust_result[0]"

#: Replaced functions, with the code that they had.
_replaced: dict[str, tuple[FunctionType, CodeType]] = {}


def install() -> None:
    """Replace the functions of modules that are imported, and of the others when they are."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    for name in TARGETS:
        if name in sys.modules:
            _replace_in(sys.modules[name])


def uninstall() -> None:
    """Give all functions their own code back."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    while _replaced:
        function, code = _replaced.popitem()[1]
        function.__code__ = code


def original(name: str) -> FunctionType:
    """A function with the code that it had before; it calls functions that may be replaced."""
    function, code = _replaced[name]
    copy = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _replace_in(module: ModuleType) -> None:
    for short in TARGETS[module.__name__]:
        name = f"{module.__name__}.{short}"
        function = getattr(module, short, None)
        if name in _replaced or not isinstance(function, FunctionType):
            continue
        try:
            code = _asking(function, name)
        except (OSError, SyntaxError, ValueError):  # without its source, or not as Python knows it
            continue
        _replaced[name] = function, function.__code__
        function.__code__ = code


def _asking(function: FunctionType, name: str) -> CodeType:
    """The code of a function that first calls ``attempt(name, *its arguments)``."""
    lines, first = inspect.getsourcelines(function.__code__)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    (definition,) = tree.body
    if not isinstance(definition, ast.FunctionDef):
        raise ValueError(f"{name} is no plain function")
    ask, take = ast.parse(_ASK).body[0], ast.parse("def f():\n " + _TAKE).body[0].body[0]  # type: ignore[attr-defined]
    ask.value.args, ask.value.keywords = _passed_on(definition.args, name)  # type: ignore[attr-defined]
    place = int(ast.get_docstring(definition, clean=False) is not None)
    definition.body[place:place] = [ask, take]
    free = function.__code__.co_freevars
    outer = ast.parse(f"def outer({', '.join(free)}):\n pass").body[0]
    outer.body = [definition]  # type: ignore[attr-defined]
    tree.body = [outer]
    for statement in (ask, take):
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                node.lineno = node.end_lineno = definition.lineno  # type: ignore[attr-defined]
    ast.increment_lineno(tree, first - 1)
    compiled = compile(ast.fix_missing_locations(tree), function.__code__.co_filename, "exec", _futures(function))
    found = _inner(_inner(compiled, "outer"), definition.name)
    if found.co_freevars != free:
        raise ValueError(f"{name} has other free variables")
    return found


def _passed_on(arguments: ast.arguments, name: str) -> tuple[list[ast.expr], list[ast.keyword]]:
    """The arguments of a call that hands a function's own on, all by name."""
    if arguments.vararg or arguments.posonlyargs:
        raise ValueError(f"{name} has arguments without names")
    own = [*arguments.args, *arguments.kwonlyargs]
    named = [ast.keyword(argument.arg, ast.Name(argument.arg, ast.Load())) for argument in own]
    if arguments.kwarg:
        named.append(ast.keyword(None, ast.Name(arguments.kwarg.arg, ast.Load())))
    return [ast.Constant(name)], named


def _futures(function: FunctionType) -> int:
    """The flags of the ``__future__`` imports that a function was compiled with."""
    import __future__

    every = 0
    for feature in __future__.all_feature_names:
        every |= getattr(__future__, feature).compiler_flag
    return function.__code__.co_flags & every


def _inner(code: CodeType, name: str) -> CodeType:
    return next(part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name)


class _Finder(MetaPathFinder):
    """Finds the modules of `TARGETS` as the other finders do, and has their functions replaced after the import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in TARGETS:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Replacing(spec.loader)
                return spec
        return None


class _Replacing(Loader):
    """A loader that replaces functions of the module that another one has loaded."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        if _finder in sys.meta_path:
            _replace_in(importlib.import_module(module.__name__))


_finder = _Finder()
