"""Functions that kernels call: compiled into kernels, never to machine code of their own.

Numba's `register_jitable` compiles such a function once for every set of flags that its callers have (a kernel
releases the GIL, a function counts no references), although it inherits few of them, and makes machine code of it,
which never runs: LLVM links the function into its callers. That took a sixth of the time of compiling. LLVM's passes
over a whole module, which inline functions, run in the kernel's module only: another tenth for ward linkage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.targetconfig import ConfigStack
from numba.core.typing.templates import infer_global, make_overload_template

from gpuclust.core.flags import QuickCompiler

#: Flags that a function inherits where its options do not set them (numba.core.cpu.CPUTargetOptions): option -> flag.
_INHERITED = {"_nrt": "nrt", "forceinline": "forceinline"}
#: Options of every function; they are those of kernels too, so that callers make no difference.
_OPTIONS = {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_OPTIONS["fastmath"] = False


def inner(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Register a function for calls in compiled code, and return it as it is.

    Parameters
    ----------
    function : callable
        It may not make Python objects: neither print nor raise an error with values of its own. Numba keeps what such
        objects are made from at an address in machine code.
    **options
        Of `numba.jit`, in addition to the error model of kernels.

    Returns
    -------
    callable
        ``function``
    """

    def implementation(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        return function

    options = {**_OPTIONS, **options, "pipeline_class": _Pipeline}
    template: Any = make_overload_template(function, implementation, options, strict=False, inline="never")
    infer_global(function, types.Function(type(template.__name__, (_OncePerFlags, template), {})))
    return function


class _OncePerFlags:
    """Compiles a function once for types and inherited flags; Numba does so for all flags of the caller."""

    def _get_impl(self: Any, args: Any, kws: Any) -> Any:
        flags = ConfigStack().top()
        inherited = (getattr(flags, name) for option, name in _INHERITED.items() if option not in self._jit_options)
        key = self.context, tuple(args), tuple(kws.items()), *inherited
        return self._impl_cache.get(key) or self._build_impl(key, args, kws)


class _Pipeline(QuickCompiler):
    """A compiler whose result is only linked."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.library = _Linked(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


class _Linked(JITCodeLibrary):  # type: ignore[misc]
    """Intermediate code, simplified, that other libraries link; there is no machine code to find a function in."""

    def _optimize_final_module(self) -> None:
        """Do nothing: the modules of kernels are optimised, with the functions of this one in them."""

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> _Linked:
        """What is told where the Python objects of a function are: there are none."""
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing."""
