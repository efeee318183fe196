"""The errors and warnings of the library. Each is also one of Python's own classes, so old handlers keep working."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GpuclustError(Exception):
    """Base of every error that is particular to gpuclust."""


class BackendUnavailable(GpuclustError, RuntimeError):
    """The device asked for cannot be used; the message names what is missing and how to get it."""


class DoesNotFit(GpuclustError, MemoryError):
    """A job needs more memory than there is; raised before anything is allocated."""


class InputFileError(GpuclustError, ValueError):
    """A data file is missing, truncated, or does not hold numbers."""


class ClusterWarning(UserWarning):
    """An input is probably not what was meant (a square distance matrix given as points, say)."""


class FallbackWarning(UserWarning):
    """Memory ran out, and the job goes on in another way than planned; the message says what happened and how."""


class PictureWarning(UserWarning):
    """A picture or report could not be made; the results, which do not depend on it, are complete."""


def unknown_name(kind: str, got: object, allowed: Iterable[str]) -> ValueError:
    """``ValueError`` for a name that is not in a table, with the nearest allowed one as a suggestion."""
    names = sorted(set(allowed))
    near = difflib.get_close_matches(str(got).lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"Unknown {kind} {got!r}.{hint} Allowed: {', '.join(names)}.")


def overflow(dtype: object) -> ValueError:
    """``ValueError`` for finite input whose dissimilarities are not."""
    return ValueError(
        f"The dissimilarities of this input are not finite in {dtype}: values are too large, or the metric is not "
        "defined for some pair (the cosine of a zero vector, say). Scale the data, or remove such rows."
    )
