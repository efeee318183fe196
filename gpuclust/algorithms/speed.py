"""How long work takes on the CPU and on a card: a model, to choose between the two.

It only has to tell the clear cases apart: what a card makes ten times faster, and what is over before a card has
begun. The CPU's figures are measured ones; a card's follow from what the algorithms do (docs/gpu-model.md counts it)
and from what its driver says of it.
"""

from __future__ import annotations

import os

from gpuclust.algorithms.costs import Work
from gpuclust.core import devices, metrics
from gpuclust.core.device import CPU, Device
from gpuclust.core.devices import Card
from gpuclust.core.text import format_seconds

#: Seconds that CUDA costs before its first result: loading libraries and kernels takes about one, once in a process;
#: this is what one call is made to bear of it. Shorter work stays on the CPU.
START = 0.25
#: Bytes a second between host and card, from memory that is not pinned.
TRANSFER = 8e9
#: Seconds of a round of merges for what does not grow with n: some 20 launches, and four waits for the card.
ROUND = 300e-6
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


#: Squared distances are screened in single precision; n = 20,000, m = 16 and 64, with AVX-512. Lists of neighbours.
SCREENED_NEIGHBOURS = Work(0.1, 0.011, 1, 1)
#: Cost of a full distance matrix, of k-nearest lists, and of a fused pass that stores nothing.
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


def neighbours(metric: str) -> Work:
    """What a search for lists of nearest neighbours does."""
    return SCREENED_NEIGHBOURS if metrics.screened(metric) else NEIGHBOURS


def seconds(work: Work, n: int, m: int | None, dtype: str, device: Device) -> float:
    """Modelled time of a linkage on a device, with its start; to about an order of magnitude."""
    if not device.on_gpu or not devices.cards():
        return on_cpu(work, n, m, dtype)
    return START + on_card(work, n, m, dtype, devices.cards()[device.number], 0)


def choose(
    work: Work, n: float, m: int | None, dtype: str, transfer: int, holder: int | None = None
) -> tuple[Device, str]:
    """Device and reason for "auto": a card where one can be used and is done before the CPU, as modelled.

    A card is looked for only where there is time to gain, so that small jobs never wait for a driver. Where the input
    lies on a card already, that is ``holder``, and no other is thought of.
    """
    host = on_cpu(work, n, m, dtype)
    if host <= START:
        return CPU, "Too little work for a GPU to gain by."
    if devices.emulated():
        return CPU, "CUDA is only emulated here."
    lack = devices.missing()
    if lack is not None:
        return CPU, f"No GPU is used: {lack.what}."
    card = devices.cards()[holder or 0]
    there = START + on_card(work, n, m, dtype, card, transfer)
    times = f"{format_seconds(there)} on {card.name}, {format_seconds(host)} on {threads()} threads of the CPU"
    return Device(f"cuda:{card.index}") if there < host else CPU, f"Modelled time: {times}."
