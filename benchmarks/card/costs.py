"""The model of a GPU's time (`gpuclust.algorithms.costs`): its terms for a linkage, and its constants as measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.algorithms import costs
from gpuclust.algorithms.table import ALGORITHMS
from gpuclust.core import devices
from gpuclust.plan import Plan

#: Constants of the model, each with the term of a row that it multiplies; REACHED divides its own.
TERMS = {"REACHED": "peak", "ROUND": "rounds", "STEP": "steps"}


def terms(plan: Plan) -> dict[str, float]:
    """What the model adds up: seconds at the GPU's peak rates, rounds, steps; and its sum without the start."""
    problem = plan.problem
    work = ALGORITHMS[plan.algorithm].work(problem)
    if not devices.cards():
        return {}
    card = devices.cards()[plan.device.number]

    def seconds(part: costs.Work) -> float:
        return costs.on_card(part, plan.n, problem.terms, plan.dtype, card, 0)

    return {
        "peak": seconds(work._replace(rounds=0, steps=0)) * costs.REACHED,
        "rounds": work.rounds,
        "steps": work.steps * plan.n,
        "modelled": seconds(work),
    }


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Constants with the least squares of relative differences; one that would be negative is left out."""
    used = [row for row in rows if "peak" in row and row.get("best") and row.get("right", True)]
    names = [name for name, term in TERMS.items() if any(row[term] for row in used)]
    while used and names:
        seconds = np.array([row["best"] for row in used])
        matrix = np.array([[row[TERMS[name]] for name in names] for row in used]) / seconds[:, None]
        found = np.linalg.lstsq(matrix, np.ones(len(used)), rcond=None)[0]
        if (found > 0).all():
            return {name: float(1 / x if name == "REACHED" else x) for name, x in zip(names, found, strict=True)}
        names.pop(int(found.argmin()))
    return {}


def predicted(row: dict[str, Any], constants: dict[str, float]) -> float:
    """Seconds of a row by these constants."""
    values = {"REACHED": costs.REACHED, "ROUND": costs.ROUND, "STEP": costs.STEP} | constants
    return float(row["peak"] / values["REACHED"] + row["rounds"] * values["ROUND"] + row["steps"] * values["STEP"])


def fitted(rows: list[dict[str, Any]]) -> str:
    """A section of the report: the constants in use, and those that fit the measurements."""
    constants = fit(rows)
    used = [row for row in rows if "peak" in row and row.get("best")]
    if not constants:
        return ""
    lines = ["## Model", "", "| constant | in use | fitted |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {getattr(costs, name):.3g} | {value:.3g} |" for name, value in constants.items()]

    def off(given: dict[str, float]) -> float:
        return float(np.exp(np.median([abs(np.log(predicted(row, given) / row["best"])) for row in used])))

    lines += ["", f"Median factor between modelled and measured seconds: {off({}):.2f}, fitted {off(constants):.2f}."]
    return "\n".join(lines) + "\n"
