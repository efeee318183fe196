"""Verify the results of a batch against the hashes that were written with them; nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

from gpuclust.app.data.ownership import LEDGER, RECORD
from gpuclust.app.data.sealed import hash_of, read_sealed
from gpuclust.app.job.record import changed_files, read_record
from gpuclust.errors import InputFileError


def verify(out: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Compare the results of a batch with the hashes that were written with them.

    Parameters
    ----------
    out : path
        Output folder of the batch.

    Returns
    -------
    wrong : list of str
        One message for each file that is missing, damaged or changed.
    complete : int
        Number of data sets whose results are unchanged.

    Raises
    ------
    InputFileError
        The folder has no ledger of a batch, or the ledger is damaged.
    """
    folder = Path(out)
    ledger = read_sealed(folder / LEDGER)
    if ledger is None or "runs" not in ledger:
        reason = "is damaged, or was changed" if os.path.lexists(folder / LEDGER) else "is missing: no batch was here"
        raise InputFileError(f"{folder / LEDGER}: {reason}")
    wrong = [
        f"{folder / name}: {_how(folder / name)}"
        for name, hashes in ledger["files"].items()
        if hash_of(folder / name) != hashes[0]
    ]
    complete = 0
    for name, seal in ledger["runs"].items():
        place = folder / name
        record = read_record(place)
        if record is None:
            wrong.append(f"{place / RECORD}: {_how(place / RECORD)}")
            continue
        found = [f"{place / file}: {_how(place / file)}" for file in changed_files(place, record)]
        if record["sha256"] != seal:
            found.insert(0, f"{place / RECORD}: is that of another run")
        wrong += found
        complete += not found
    return wrong, complete


def _how(path: Path) -> str:
    return "is damaged, or was changed" if os.path.lexists(path) else "is missing"
