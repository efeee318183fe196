"""How long work takes on the CPU and on a card: a model, to choose between the two.

It only has to tell the clear cases apart: what a card makes ten times faster, and what is over before a card has
begun. The CPU's figures are measured ones; a card's follow from what the algorithms do (docs/gpu-model.md counts it)
and from what its driver says of it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from gpuclust import devices, metrics, sizes
from gpuclust.devices import Card

#: Seconds that CUDA costs before its first result: loading libraries and kernels takes about one, once in a process;
#: this is what one call is made to bear of it. Shorter work stays on the CPU.
START = 0.25
#: Bytes a second between host and card, from memory that is not pinned.
TRANSFER = 8e9
#: Seconds of a round of merges for what does not grow with n: some 20 launches, and four waits for the card.
ROUND = 300e-6
#: Rounds of a linkage: clusters fall by a third in each, and a chain finishes the last few hundred.
ROUNDS = 40
#: Seconds of a step that all blocks of a card must have made before the next: one or two grid-wide barriers.
STEP = 8e-6
#: Instructions of a pair of points, and of each of its features, as counted in docs/gpu-model.md.
INSTRUCTIONS = {"float32": (15, 2.6), "float64": (20, 4.1)}
#: Share of a card's arithmetic and of its bandwidth that kernels reach.
REACHED = 0.5
#: Threads on as many cores do a little less than as many times the work of one.
SCALING = 0.8
#: A CPU does float32 in so much of the time of float64.
SINGLE = 0.6


class Work(NamedTuple):
    """What an algorithm does for n points of m features.

    Attributes
    ----------
    base, feature : nanoseconds of one CPU thread, times n², and times n² m
    passes : distances computed on a card, in units of n²
    moved : numbers read or written, in units of n²
    rounds, steps : rounds of merges; grid-wide steps, in units of n
    linear : nanoseconds of one CPU thread, times n
    """

    base: float
    feature: float
    passes: float
    moved: float
    rounds: int = 0
    steps: float = 0
    linear: float = 0


#: From points. Measured on 2 cores at 3 GHz with AVX2, n = 8,000, m = 2, 16, 64, float64.
POINTS = {
    "spanning tree": Work(0.6, 0.10, 0.6, 0, ROUNDS // 2),
    "spanning tree, stored": Work(3.0, 0.10, 0.6, 0.5, 0, 1),
    "stored": Work(2.2, 0.18, 2, 4, ROUNDS),
    "stored, all pairs": Work(8.0, 7.0, 0.5, 8, ROUNDS),  # of metrics with a logarithm or a power a feature
    # A card has no tree: it searches all clusters. A CPU takes 7 microseconds a point at 100,000 in the plane.
    "cluster tree": Work(0, 0, 30, 0, 3 * ROUNDS, linear=7000),
    "hybrid": Work(4.4, 0.36, 4, 4, ROUNDS),
    "summaries": Work(0.1, 0.035, 1.3, 0, ROUNDS),
    "generic": Work(0.6, 0.17, 1.3, 0, 0, 2),
    "generic, stored": Work(8.0, 0.10, 0.5, 3, 0, 2),
}
#: Points in so few dimensions are searched by kd-trees: single linkage takes a CPU 1.3 microseconds a point at a
#: million in the plane, ward 3.5, centroid 9 at 100,000.
FEW = sizes.BY_TREE
BY_TREE = {
    "spanning tree": Work(0, 0, 0.6, 0, ROUNDS // 2, linear=2000),
    "summaries": Work(0, 0, 1.3, 0, ROUNDS, linear=4500),
    "generic": Work(0, 0, 1.3, 0, 0, 2, linear=16_000),  # one thread
}
#: Squared distances are screened in single precision; n = 20,000, m = 16 and 64, with AVX-512. Lists of neighbours.
SCREENED = {"spanning tree": Work(0.08, 0.010, 0.6, 0, ROUNDS // 2)}
SCREENED_NEIGHBOURS = Work(0.1, 0.011, 1, 1)
#: From condensed dissimilarities.
CONDENSED = {
    "spanning tree": Work(6.0, 0, 0, 0.5, 0, 1),
    "stored": Work(6.5, 0, 0, 7.5, ROUNDS),
    "generic, stored": Work(8.0, 0, 0, 3, 0, 2),
}
#: All distances of pairs, written down; lists of the least of each point; and used where they are computed.
MATRIX = Work(2.0, 0.05, 0.5, 0.5)
NEIGHBOURS = Work(1.2, 0.17, 1, 1)
PAIRS = Work(1.0, 0.05, 0.5, 1)


def threads() -> int:
    """Threads of the CPU backend, without importing it; a wrong GPUCLUST_NUM_THREADS is refused there."""
    asked = os.environ.get("GPUCLUST_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cpu(work: Work, n: float, m: int | None, dtype: str) -> float:
    """Seconds on all threads of the CPU."""
    one = 1e-9 * n * (n * (work.base + work.feature * (m or 0)) * (SINGLE if dtype == "float32" else 1) + work.linear)
    return one / max(1.0, SCALING * threads())


def on_card(work: Work, n: float, m: int | None, dtype: str, card: Card, transfer: int) -> float:
    """Seconds on a card, without its start; ``transfer`` is what must be brought there or back, in bytes."""
    pair, feature = INSTRUCTIONS.get(dtype, INSTRUCTIONS["float64"])
    computed = work.passes * n * n * (pair + feature * (m or 0)) / (REACHED * card.rate(dtype))
    moved = work.moved * n * n * (4 if dtype == "float32" else 8) / (REACHED * card.bandwidth)
    return transfer / TRANSFER + work.rounds * ROUND + work.steps * n * STEP + computed + moved


def work_of(algorithm: str, m: int | None, metric: str) -> Work:
    """What an algorithm does for points of ``m`` features, or for condensed dissimilarities (None)."""
    if algorithm in BY_TREE and m is not None and m <= FEW and metrics.bounded_by_boxes(metric):
        return BY_TREE[algorithm]
    if m is not None and algorithm in SCREENED and metrics.screened(metric):
        return SCREENED[algorithm]
    return (CONDENSED if m is None else POINTS)[algorithm]


def neighbours(metric: str) -> Work:
    """What a search for lists of nearest neighbours does."""
    return SCREENED_NEIGHBOURS if metrics.screened(metric) else NEIGHBOURS


def seconds(algorithm: str, n: int, m: int | None, metric: str, dtype: str, device: str) -> float:
    """Modelled time of a linkage on a device, with its start; to about an order of magnitude."""
    work = work_of(algorithm, m, metric)
    family, _, index = device.partition(":")
    if family != "cuda" or not devices.cards():
        return on_cpu(work, n, m, dtype)
    return START + on_card(work, n, m, dtype, devices.cards()[int(index or 0)], 0)


def choose(
    work: Work, n: float, m: int | None, dtype: str, transfer: int, holder: int | None = None
) -> tuple[str, str]:
    """Device and reason for "auto": a card where one can be used and is done before the CPU, as modelled.

    A card is looked for only where there is time to gain, so that small jobs never wait for a driver. Where the input
    lies on a card already, that is ``holder``, and no other is thought of.
    """
    host = on_cpu(work, n, m, dtype)
    if host <= START:
        return "cpu", "Too little work for a GPU to gain by."
    if devices.emulated():
        return "cpu", "CUDA is only emulated here."
    lack = devices.missing()
    if lack is not None:
        return "cpu", f"No GPU is used: {lack.what}."
    card = devices.cards()[holder or 0]
    there = START + on_card(work, n, m, dtype, card, transfer)
    times = f"{_text(there)} on {card.name}, {_text(host)} on {threads()} threads of the CPU"
    return f"cuda:{card.index}" if there < host else "cpu", f"Modelled time: {times}."


def _text(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
