"""The errors and warnings of the library. Each is also one of Python's own classes, so old handlers keep working."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable


class GpuclustError(Exception):
    """Base of every error that is particular to gpuclust.

    Examples
    --------
    >>> from gpuclust.errors import DoesNotFit, GpuclustError
    >>> issubclass(DoesNotFit, GpuclustError)
    True
    """


class BackendUnavailable(GpuclustError, RuntimeError):
    """The device asked for cannot be used; the message names what is missing and how to get it.

    Examples
    --------
    >>> import gpuclust
    >>> try:
    ...     gpuclust.linkage([[0.0], [1.0]], device="cuda:99")
    ... except gpuclust.BackendUnavailable:
    ...     print("no such device")
    no such device
    """


class DoesNotFit(GpuclustError, MemoryError):
    """A job needs more memory than there is; raised before anything is allocated.

    Examples
    --------
    >>> import gpuclust
    >>> import numpy as np
    >>> try:
    ...     gpuclust.linkage(np.ones(499_500), "average", memory_limit="1kB")
    ... except gpuclust.DoesNotFit:
    ...     print("not enough memory")
    not enough memory
    """


class ClusterFailed(GpuclustError, RuntimeError):
    """A Dask cluster does not answer, or its workers die of a task.

    Examples
    --------
    >>> from gpuclust.errors import ClusterFailed
    >>> ClusterFailed.__mro__[1:3]
    (<class 'gpuclust.errors.GpuclustError'>, <class 'RuntimeError'>)
    """


class InputFileError(GpuclustError, ValueError):
    """A data file is missing, truncated, or does not hold numbers.

    Examples
    --------
    >>> from gpuclust import batch
    >>> (outcome,) = batch.run(["missing.csv"], "out")
    >>> outcome.ok
    False
    """


class ClusterWarning(UserWarning):
    """An input is probably not what was meant (a square distance matrix given as points, say).

    Examples
    --------
    >>> import warnings
    >>> from gpuclust import ClusterWarning, linkage
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     Z = linkage([[0.0, 2.0, 9.0], [2.0, 0.0, 8.0], [9.0, 8.0, 0.0]])
    >>> caught[0].category is ClusterWarning
    True
    """


class RoundingWarning(UserWarning):
    """Distances that were given are not quite distances (negative, not symmetric, a diagonal other than zero), by no
    more than rounding explains, and were mended; the message says how many, and by how much.

    Examples
    --------
    >>> import warnings
    >>> import gpuclust
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     Z = gpuclust.linkage([1.0, -1e-17, 2.0], "single")
    >>> caught[0].category.__name__
    'RoundingWarning'
    """


class LinkageWarning(ClusterWarning):
    """A linkage matrix of another origin was repaired: its column of cluster sizes does not follow from its ids.

    Examples
    --------
    >>> import warnings
    >>> from gpuclust import fcluster
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     labels = fcluster([[0, 1, 1.0, 2], [2, 3, 4.0, 0]], 2, "maxclust")
    >>> caught[0].category.__name__
    'LinkageWarning'
    """


class FallbackWarning(UserWarning):
    """Memory ran out, or a GPU failed, and the job goes on in another way than planned; the message says how.

    Examples
    --------
    >>> import warnings
    >>> from gpuclust.errors import FallbackWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", FallbackWarning)  # a fallback is an error from here on
    """


class PictureWarning(UserWarning):
    """A picture or report could not be made; the results, which do not depend on it, are complete.

    Examples
    --------
    >>> import warnings
    >>> from gpuclust.errors import PictureWarning
    >>> warnings.simplefilter("ignore", PictureWarning)
    """


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning for the line that called gpuclust, however deep inside it this is."""
    level, frame = 2, sys._getframe(1)  # level 2 is what called this function
    while frame is not None and (frame.f_globals.get("__name__") or "").split(".")[0] == "gpuclust":
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=level)


def unknown_name(kind: str, got: object, allowed: Iterable[str], hint: str = "") -> ValueError:
    """``ValueError`` for a name that is not in a table, with the nearest one, or a ``hint``, as a suggestion."""
    names = sorted(set(allowed))
    near = difflib.get_close_matches(str(got).lower(), names, n=1, cutoff=0.5)
    if hint or near:
        hint = f" {hint}" if hint else f" Did you mean {near[0]!r}?"
    return ValueError(f"Unknown {kind} {got!r}.{hint} Allowed: {', '.join(names)}.")


class NotFinite(GpuclustError, ValueError):
    """Finite input has dissimilarities that are not.

    Examples
    --------
    >>> import gpuclust
    >>> from gpuclust.errors import NotFinite
    >>> try:
    ...     gpuclust.linkage([[0.0], [1e308], [-1e308]], "complete")
    ... except NotFinite:
    ...     print("distances overflow")
    distances overflow
    """


def overflow(dtype: object) -> NotFinite:
    """The error for finite input whose dissimilarities are not."""
    return NotFinite(
        f"The dissimilarities of this input are not finite in {dtype}: values are too large, or the metric is not "
        "defined for some pair. Scale the data, or remove such rows."
    )
