"""Public names that are imported on first use (PEP 562), so that a package is light to import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package whose public names live in submodules and are imported when first asked for.

    A public name may be the name of a submodule too (``dendrogram`` in ``dendrogram.py``). Python sets a submodule
    as an attribute of its package when it has been imported; here that never hides the public name.
    """

    _home_of: Mapping[str, str]
    _submodules: frozenset[str]
    _unlisted: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        if name in self._submodules:
            return importlib.import_module(f"{self.__name__}.{name}")
        home = self._home_of.get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        value = getattr(importlib.import_module(home), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self._home_of:
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        """Public names and those of the language; other names in the package are details of the import."""
        special = {name for name in super().__dir__() if name.startswith("__")}
        return sorted({*special, *self._home_of, *self._submodules} - self._unlisted)


def export(
    package: str, names_in: Mapping[str, str], submodules: str = "", needs: Mapping[str, str] | None = None
) -> list[str]:
    """Make ``package`` offer names that live in other modules, without importing those now.

    Parameters
    ----------
    package : str
        ``__name__`` of the package that calls this.
    names_in : mapping
        From the full name of a module to the names it holds, parted by spaces.
    submodules : str
        Submodules to be imported when first asked for, parted by spaces.
    needs : mapping, optional
        From a name to the other package that it needs. Where that is not installed the name is not listed, so that
        ``import *`` and ``help`` work; asking for it by name raises what importing its module does.

    Returns
    -------
    list of str
        All the names that are listed, sorted: the package's ``__all__``.
    """
    module = sys.modules[package]
    home_of = {name: home for home, names in names_in.items() for name in names.split()}
    module.__dict__["_home_of"] = home_of
    module.__dict__["_submodules"] = frozenset(submodules.split())
    unlisted = {name for name, other in (needs or {}).items() if find_spec(other) is None}
    module.__dict__["_unlisted"] = frozenset(unlisted)
    module.__class__ = LazyPackage
    return sorted({*home_of, *submodules.split()} - unlisted)
