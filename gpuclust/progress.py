"""Progress of long work: a bar, or a function of the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: True for a bar on standard error, or a function called with (merges made, merges in all).
Progress = bool | Callable[[int, int], None]

#: Seconds between two calls.
INTERVAL = 0.1


def check_progress(progress: Progress) -> None:
    """``TypeError`` for what is neither a bool nor callable."""
    if not (isinstance(progress, bool) or callable(progress)):
        raise TypeError(
            f"progress must be True, False or a function of (merges made, merges in all), got {progress!r}."
        )


@contextmanager
def reporter(progress: Progress, total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes the number of merges made, for algorithms to call as often as they like."""
    if progress is False:
        yield _nothing
        return
    if callable(progress):
        yield _seldom(progress, total)
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=" merges", unit_scale=True, desc="linkage", delay=0.5) as bar:

        def move(done: int, _total: int) -> None:
            bar.update(done - bar.n)

        yield _seldom(move, total)


def _nothing(done: int) -> None:
    """Nobody wants to know."""


def _seldom(call: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """``call``, but not more often than every INTERVAL, and always at the end."""
    last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= INTERVAL:
            last = now
            call(done, total)

    return report
