"""Scalar functions of the metric and linkage tables, rewritten so that no bit depends on the device's compiler.

NVVM contracts ``a * b + c`` into one fused multiply-add, which rounds once instead of twice, and there is no switch
for it. So every product is written as a call of a function that rounds it (``mul``) and cannot be fused, and float64
gives the CPU's bits. In float32 the sums of distance tiles use fused multiply-adds, which are faster and more
accurate; they are written as calls as well, so that all tiles of one metric give the same bits.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from math import nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from numba.cuda import libdevice

from gpuclust.core.bits import popcount
from gpuclust.core.metrics import BIT_FORMS, METRICS, WIDE_FORMS
from gpuclust.core.points import Metric
from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import cuda, device, named, real


class Arithmetic(NamedTuple):
    """Products as functions; plain ones in the simulator."""

    mul: Callable[[Any, Any], Any]
    fma: Callable[[Any, Any, Any], Any]


@cache
def arithmetic(dtype: np.dtype) -> Arithmetic:
    """``mul(x, y)``, a rounded product, and ``fma(x, y, z)``, a fused multiply-add, for kernels to call."""
    if launch.SIMULATED:
        return Arithmetic(lambda x, y: x * y, lambda x, y, z: x * y + z)
    if dtype == np.float32:
        return Arithmetic(libdevice.fmul_rn, libdevice.fmaf_rn)
    return Arithmetic(libdevice.dmul_rn, libdevice.fma_rn)


@cache
def ones_of(dtype: np.dtype) -> Callable[[Any], Any]:
    """``ones(word)``: the number of ones in a word, as a number of ``dtype``."""
    number = dtype.type if launch.SIMULATED else real(dtype)

    @device
    @named(dtype)
    def ones(word: Any) -> Any:
        return number(np.int32(cuda.popc(word)))

    return ones


class _Rewrite(ast.NodeTransformer):
    """Products become calls of ``mul`` or, where asked, part of ``fma``; without weights, factors of w go."""

    def __init__(self, weighted: bool, fused: bool) -> None:
        self.weighted, self.fused = weighted, fused

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, ast.Mult) and not self.weighted:
            if _is_weight(node.left):
                return self.visit(node.right)
            if _is_weight(node.right):
                return self.visit(node.left)
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Mult):
            return _call("mul", left, right)
        if isinstance(node.op, ast.Add) and self.fused and _is_product(right):
            return _call("fma", *right.args, left)
        return ast.copy_location(ast.BinOp(left, node.op, right), node)


def _is_weight(node: ast.expr) -> bool:
    """``w``, or a comparison of it."""
    return (isinstance(node, ast.Name) and node.id == "w") or (
        isinstance(node, ast.Compare) and _is_weight(node.left)
    )


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "mul"


@cache
def translated(
    function: Callable[..., Any], dtype: np.dtype, weighted: bool = True, fused: bool = False
) -> Callable[..., Any]:
    """``function``, a scalar function of plain arithmetic, for kernels to call on numbers of ``dtype``.

    Parameters
    ----------
    function : callable
        Defined in a file, with no closure.
    weighted : bool
        False: its parameter ``w`` is one, and multiplying by it is left out.
    fused : bool
        Whether float32 may use fused multiply-adds.
    """
    fused = fused and dtype == np.float32
    tree = _rewritten(function, weighted, fused)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    names = {**function.__globals__, **arithmetic(dtype)._asdict()}
    if names.get("popcount") is popcount:
        names["popcount"] = ones_of(dtype)
    if launch.SIMULATED:
        names["sqrt"] = lambda x: sqrt(x) if x >= 0 else nan  # as on a device: Python raises an error
    exec(compile(tree, f"<{function.__name__} for CUDA>", "exec"), names)
    return device(named(dtype, weighted, fused)(names[definition.name]))


def _rewritten(function: Callable[..., Any], weighted: bool, fused: bool) -> ast.Module:
    """The source of a function with its products rewritten."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list, definition.returns = [], None
    for argument in definition.args.args:
        argument.annotation = None
    tree = _Rewrite(weighted, fused).visit(tree)
    return ast.fix_missing_locations(tree)


@cache
def fuses(metric: Metric, weighted: bool, dtype: np.dtype) -> bool:
    """Whether the sums of distance tiles have other bits than the CPU's: products that are fused with an addition."""
    calls = ast.walk(_rewritten(metric.step, weighted, fused=True))
    return dtype == np.float32 and any(isinstance(node, ast.Name) and node.id == "fma" for node in calls)


class Terms(NamedTuple):
    """A metric's two functions for the device; see `gpuclust.core.points.Metric`."""

    step: Callable[..., Any]
    finish: Callable[..., Any]


def terms(metric: Metric, weighted: bool, dtype: np.dtype, fused: bool = False) -> Terms:
    """``step(a, b, x, y, w, p) -> (a, b)`` and ``finish(a, b, sx, sy, p)`` of a metric.

    ``fused``: use fused multiply-adds in float32, as distance tiles do. Otherwise float32 gives the CPU's bits too.
    """
    return Terms(translated(metric.step, dtype, weighted, fused), translated(metric.finish, dtype))


def forms() -> Iterator[tuple[Metric, bool, np.dtype]]:
    """Every (metric, weighted, dtype) that points can be prepared for, and that kernels must support."""
    for metric in (*METRICS.values(), *WIDE_FORMS, *BIT_FORMS):
        if metric.prepared_as is not None:
            continue
        for dtype in (np.dtype("float64"), np.dtype("float32")):
            # Variances are weights, and booleans without weights are packed.
            if "V" not in metric.parameters and (metric.words or not metric.boolean):
                yield metric, False, dtype
            if (metric.accepts_weights or metric.by_feature) and not metric.words:
                yield metric.weighted_form or metric, True, dtype
