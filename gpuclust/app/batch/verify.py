"""Whether everything in the output folder of a batch is as it was written. Reads only."""

from __future__ import annotations

import os
from pathlib import Path

from gpuclust.app.data.ownership import LEDGER, RECORD, hash_of, read_sealed
from gpuclust.app.job.record import changed_files, read_record
from gpuclust.errors import InputFileError


def verify(out: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Hold the results of a batch against the hashes that were written with them.

    Parameters
    ----------
    out : path
        Its output folder.

    Returns
    -------
    wrong : list of str
        A line for each file that is missing, damaged, or was changed since.
    complete : int
        Data sets whose results are as they were written.

    Raises
    ------
    InputFileError
        No batch has been there, or its list of files is damaged itself.
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
