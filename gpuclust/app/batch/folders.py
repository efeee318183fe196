"""Ownership of the output folder of a batch and of the folders of its data sets.

The ledger of the output folder, ``.gpuclust.json``, lists the folders that batches have created or completed. Only in
these a changed file is renamed to make room for a new one. For each complete data set the ledger holds the hash of
its run.json, which `gpuclust.app.batch.verify` checks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gpuclust.app.batch.lock import NAME as LOCK
from gpuclust.app.batch.outcome import ERROR, FAILED, Outcome
from gpuclust.app.batch.summary import FILES, write_summary
from gpuclust.app.data.ownership import (
    JOURNAL,
    LEDGER,
    RECORD,
    Inode,
    OutputFolder,
    OutputRefused,
    check_folder,
    check_no_input,
    known_files,
)
from gpuclust.app.data.sealed import read_sealed
from gpuclust.app.job.results import RESULTS
from gpuclust.core.text import displayed


class Folders:
    """The output folder of a batch, with a folder for each data set."""

    def __init__(self, out: Path, *, overwrite: bool = False, inputs: Mapping[Inode, str] | None = None) -> None:
        self._overwrite, self._inputs = overwrite, inputs or {}
        again = os.path.lexists(out / LEDGER)
        self._results = OutputFolder(out, FILES, overwrite=overwrite, keep=again, inputs=self._inputs)
        ledger = read_sealed(out / LEDGER) or {}
        self._made: set[str] = set(ledger.get("folders", ()))
        self._seals: dict[str, str] = dict(ledger.get("runs", {}))

    @property
    def said(self) -> list[str]:
        """Notes on changed files (summary.csv, index.html) that were kept under other names."""
        return self._results.said

    def check_summary(self) -> None:
        """Check that summary.csv, index.html and the lock can be written.

        Raises
        ------
        OutputRefused
            One of them is an input, or was not written by gpuclust.
        """
        self._results.check(FILES)
        check_no_input(self._results.path / LOCK, self._inputs)

    def begin(self, names: Iterable[str]) -> None:
        """Record in the ledger which folders the batch is going to create.

        Raises
        ------
        OutputError
            As `check_summary`; or the folder cannot be written.
        """
        out = self._results.path
        self.check_summary()
        self._made.update(name for name in names if _is_free(out / name))
        self._results.write_ledger(**self._notes())

    def check(self, name: str) -> None:
        """Check that results can be written into the folder of a data set.

        Raises
        ------
        OutputRefused
            It is a link or a file; a result would replace an input; or a file has the name of a result, and neither
            the folder nor the file was made by gpuclust.
        """
        folder = self._results.path / name
        check_folder(folder)
        if not folder.exists():
            return
        for file in (*RESULTS, RECORD, JOURNAL, ERROR):
            check_no_input(folder / file, self._inputs)
        if self._overwrite or name in self._made:
            return
        known = known_files(folder)
        for file in (*RESULTS, RECORD, JOURNAL):
            ours = file in known or (file in (RECORD, JOURNAL) and read_sealed(folder / file) is not None)
            if os.path.lexists(folder / file) and not ours:
                raise OutputRefused(
                    f"{displayed(folder / file)}: was not written by gpuclust, so it is not replaced. Move it away, "
                    "name another folder, or allow it: --overwrite"
                )

    def write_summary(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Write summary.csv, index.html and the ledger."""
        for outcome in outcomes:
            if outcome.ok:
                self._seals[outcome.name] = outcome.record["sha256"]
                self._made.add(outcome.name)
            elif outcome.status == FAILED:
                self._seals.pop(outcome.name, None)
        write_summary(self._results, outcomes, seconds, **self._notes())

    def _notes(self) -> dict[str, object]:
        return {"folders": sorted(self._made), "runs": self._seals}


def _is_free(folder: Path) -> bool:
    """Whether the folder does not exist, or is empty."""
    if not os.path.lexists(folder):
        return True
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return not folder.is_symlink() and next(entries, None) is None
    return False
