"""Decision for each call: computed by gpuclust, or by the original."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuclust.accel.ledger import Ledger

#: Seconds to import Numba and to load compiled kernels from disk.
LOADING = 1.0


@dataclass(frozen=True)
class Settings:
    """The arguments of `gpuclust.accel.install`."""

    verbose: bool = False
    ties: str = "original"
    always: bool = False


@dataclass(frozen=True)
class Job:
    """A call that gpuclust can compute.

    Attributes
    ----------
    label : str
        Arguments, for messages.
    estimate : float
        Seconds that the original takes; measured on one machine, to a factor of about three.
    gains : bool
        Whether gpuclust is faster, once it is loaded and compiled.
    price : float
        Seconds to compile what the call needs.
    kind : tuple
        What decides which kernels the call needs, or nearly so.
    compute : callable
        ``compute(compile)`` returns the result and what computed it. It raises `NotCompiled` if ``compile`` is false
        and kernels are missing.
    sample : callable, optional
        ``sample(original)`` runs the original on a part of the data, and returns by which factor the whole is more
        work.
    """

    label: str
    estimate: float
    gains: bool
    price: float
    kind: tuple[object, ...]
    compute: Callable[[bool], tuple[Any, str]]
    sample: Callable[[Callable[..., Any]], float] | None = None


class Declined(Exception):
    """The original computes this call, for the reason given."""


settings = Settings()
ledger = Ledger()
_inside = threading.local()


def attempt(name: str, /, *arguments: Any, **named: Any) -> tuple[Any] | None:
    """The result of a call of the function ``name``, in a tuple; None where the original is to compute it."""
    if getattr(_inside, "active", False):
        return None
    _inside.active = True
    what = name.removeprefix("scipy.cluster.hierarchy.").removeprefix("scipy.spatial.distance.")
    label, outcome = "", ""
    try:
        from gpuclust.accel.routes import ROUTES

        job = ROUTES[name](*arguments, **named)
        label = job.label
        started = time.perf_counter()
        result, where = _computed(job)
        seconds = time.perf_counter() - started
        ledger.note(what, label, where, settings.verbose, seconds, _original_seconds(name, job))
        return (result,)
    except Declined as reason:
        outcome = f"original ({reason})"
    except Exception as error:  # the original has its own, or a result
        outcome = f"original (gpuclust: {type(error).__name__})"
    finally:
        _inside.active = False
    ledger.note(what, label, outcome, settings.verbose)
    return None


def _computed(job: Job) -> tuple[Any, str]:
    """The result of a job; `Declined` if the original is expected to be faster."""
    if settings.always:
        return job.compute(True)
    if not job.gains:
        raise Declined("as fast, or faster, for this input")
    if "numba" not in sys.modules and not ledger.worth("load", job.estimate, LOADING):
        raise Declined("little work so far: gpuclust is not loaded")
    from gpuclust.core.first_call import NotCompiled  # imports Numba

    try:
        return job.compute(False)
    except NotCompiled:
        if not ledger.worth(job.kind, job.estimate, job.price):
            raise Declined("kernels are not compiled; `gpuclust warm` compiles them ahead of time") from None
    return job.compute(True)


def _original_seconds(name: str, job: Job) -> float | None:
    """An estimate of what the original would have taken, from the time that it takes for a part of the data."""
    if not settings.verbose or job.sample is None:
        return None
    from gpuclust.accel import patching

    original = patching.original(name)
    job.sample(original)
    started = time.perf_counter()
    factor = job.sample(original)
    return factor * (time.perf_counter() - started)
