"""SciPy, fastcluster and scikit-learn, accelerated without a change of the program that uses them.

``python -m gpuclust.accel script.py`` runs a script, ``%load_ext gpuclust.accel`` serves a notebook, and `install` a
program of one's own. Functions of ``scipy.cluster.hierarchy``, ``scipy.spatial.distance`` and fastcluster are then
computed by gpuclust where it is faster and gives the same result, and by themselves otherwise. Their callers
(scikit-learn's AgglomerativeClustering, seaborn's clustermap, Plotly, Scanpy, BERTopic) gain by it too.
docs/accel.md lists what is accelerated, and when.
"""

from __future__ import annotations

from typing import Any

from gpuclust.core.arguments import one_of

__all__ = ["install", "uninstall"]


def install(verbose: bool = False, *, ties: str = "original", always: bool = False) -> None:
    """Accelerate the functions of SciPy and fastcluster in this process, imported already or later.

    Parameters
    ----------
    verbose : bool
        Write to standard error what was computed where and how long it took, and why an original was called; with
        a summary when the process ends.
    ties : {"original", "any"}
        What computes a linkage if some distances are equal, so that the tree is not unique: the original, so that its
        tree is returned, or gpuclust, which returns another valid tree. Distances are compared in a sample.
    always : bool
        Use gpuclust also where the original is expected to be faster (for tests).

    Raises
    ------
    TypeError, ValueError
        If ``ties`` is neither "original" nor "any".

    Notes
    -----
    The functions remain the same objects, so all references to them are accelerated: names imported before, default
    arguments, tables of functions. Each first asks gpuclust for a result, and otherwise runs as before. A second call
    changes the settings.

    Examples
    --------
    >>> import scipy.cluster.hierarchy as hierarchy
    >>> from gpuclust import accel
    >>> accel.install()
    >>> hierarchy.linkage([[0.0], [1.0], [5.0]], "average")
    array([[0. , 1. , 1. , 2. ],
           [2. , 3. , 4.5, 3. ]])
    >>> accel.uninstall()
    """
    from gpuclust.accel import patching, routing

    one_of(ties, "ties", ("original", "any"))
    routing.settings = routing.Settings(bool(verbose), ties, bool(always))
    if verbose:
        routing.ledger.summarise_at_exit()
    patching.install()


def uninstall() -> None:
    """Make the functions what they were before `install`.

    Examples
    --------
    >>> from gpuclust import accel
    >>> accel.install()
    >>> accel.uninstall()
    """
    from gpuclust.accel import patching

    patching.uninstall()


def load_ipython_extension(ipython: Any) -> None:
    """For ``%load_ext gpuclust.accel``."""
    install()


def unload_ipython_extension(ipython: Any) -> None:
    """For ``%unload_ext gpuclust.accel``."""
    uninstall()
