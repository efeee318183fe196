"""The number of threads on the CPU: of the process, of an environment variable, or of a limit set in the program."""

from __future__ import annotations

import os
from types import TracebackType

from gpuclust.core.arguments import whole_number

#: Environment variable with the number of threads.
VARIABLE = "GPUCLUST_NUM_THREADS"

_limit: int | None = None


class threads:
    """Limit the number of threads that gpuclust uses on the CPU, for the whole process.

    The limit holds from the call on, or within a ``with`` statement, as that of ``threadpoolctl.threadpool_limits``.
    Results do not depend on it.

    Parameters
    ----------
    limits : int or None
        Number of threads, at least 1; None for the default: the environment variable GPUCLUST_NUM_THREADS, or the
        processors that the process may run on.

    Raises
    ------
    TypeError, ValueError
        ``limits`` is not a whole number, or below 1.

    Examples
    --------
    >>> import gpuclust
    >>> with gpuclust.threads(1):
    ...     Z = gpuclust.linkage([[0.0], [1.0], [5.0]], "ward")
    """

    def __init__(self, limits: int | None) -> None:
        global _limit
        self._before = _limit
        _limit = None if limits is None else whole_number(limits, "limits", 1)

    def __enter__(self) -> threads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.restore_original_limits()

    def restore_original_limits(self) -> None:
        """Set the limit that held before."""
        global _limit
        _limit = self._before

    def __repr__(self) -> str:
        return f"threads({thread_count()})"


def thread_count() -> int:
    """Threads to use: the limit of `threads`, GPUCLUST_NUM_THREADS, or the processors this process may run on."""
    if _limit is not None:
        return _limit
    asked = os.environ.get(VARIABLE, "")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"{VARIABLE} must be a whole number >= 1, got {asked!r}")
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
