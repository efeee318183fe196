"""Run a program with accelerated SciPy: ``python -m gpuclust.accel [-v] script.py [arguments]``."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from types import ModuleType

from gpuclust import accel

DESCRIPTION = """Run a Python program unchanged, with functions of scipy.cluster.hierarchy, scipy.spatial.distance
and fastcluster computed by gpuclust where it is faster and gives the same result. Their callers gain too:
scikit-learn's AgglomerativeClustering, seaborn's clustermap, Plotly, Scanpy, BERTopic."""
EPILOG = """examples:
  python -m gpuclust.accel script.py --option value
  python -m gpuclust.accel -v script.py        # report what was computed where
  python -m gpuclust.accel -m package.module   # as python -m
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m gpuclust.accel",
        usage="%(prog)s [-h] [-v] [--any-tree] (script.py | -m module) [arguments]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="write to standard error what was computed where and how long it took, and a summary",
    )
    found.add_argument(
        "--any-tree",
        action="store_true",
        help="use gpuclust also where equal distances make the tree ambiguous; its tree may differ",
    )
    found.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    found.add_argument("program", help="the script, or with -m the module")
    found.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    return found


def main() -> None:
    """Parse the command line, install, and run the program."""
    options = parser().parse_args()
    accel.install(options.verbose, ties="any" if options.any_tree else "original")
    sys.argv[:] = [options.program, *options.arguments]
    if options.module:
        sys.path[0] = os.getcwd()
        runpy.run_module(options.program, run_name="__main__", alter_sys=True)
    else:
        _run_script(options.program)


def _run_script(path: str) -> None:
    """Run a script as Python does: as the module __main__, with its folder first on the path."""
    path = os.path.abspath(path)
    sys.path[0] = os.path.dirname(path)
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
    except OSError as error:
        raise SystemExit(f"gpuclust.accel: cannot open {path}: {error.strerror}") from None
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)
    except Exception as error:  # without this file in the traceback
        error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
