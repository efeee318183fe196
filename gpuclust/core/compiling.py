"""Handling of Ctrl-C while a kernel is being compiled."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


def heeding_ctrl_c(compile: Callable[..., Any]) -> Callable[..., Any]:
    """``compile``, so that no interrupt is lost in it.

    LLVM calls Python back while it compiles. An exception of a signal's handler that is raised there gets no further:
    it is printed and ignored, the compiler goes on, and then misses what it was called back for ("no compiled object
    yet"). So the exception is raised again at the end, in place of what came of it.
    """

    @wraps(compile)
    def compile_or_stop(*arguments: Any, **options: Any) -> Any:
        with _raised_by_handlers() as raised:
            try:
                result = compile(*arguments, **options)
            except Exception:
                if raised:
                    raise raised[0] from None
                raise
            if raised:
                raise raised[0]
            return result

    return compile_or_stop


@contextmanager
def _raised_by_handlers() -> Iterator[list[BaseException]]:
    """A list of the exceptions that the handler of SIGINT raises within, wherever they end."""
    raised: list[BaseException] = []
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield raised
        return

    def handle(number: int, frame: Any) -> Any:
        try:
            return handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, handle)
    try:
        yield raised
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, handler)
