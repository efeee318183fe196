"""Files in an output folder that gpuclust wrote; no other file is ever replaced or removed.

A file is ours if an intact record in its folder lists its SHA-256. The records are run.json; the journal of a run,
``.gpuclust-run.json``, which is written before files are moved into place and deleted when run.json is complete (so
that a killed run can be repeated); and ``.gpuclust.json``, the ledger of batches and demonstrations. They are sealed
(`gpuclust.app.data.sealed`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpuclust.app.data.output import OutputError, discard_left_behind, sync_folder
from gpuclust.app.data.sealed import hash_of, read_sealed, write_sealed
from gpuclust.core.text import displayed

#: Names of the records.
LEDGER, JOURNAL, RECORD = ".gpuclust.json", ".gpuclust-run.json", "run.json"

#: Identity of a file: device and inode number.
Inode = tuple[int, int]


def inodes(paths: Iterable[str | os.PathLike[str]]) -> dict[Inode, str]:
    """Return the inodes of existing files, with their paths; links are followed."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(path)
            found[state.st_dev, state.st_ino] = os.fspath(path)
    return found


class OutputRefused(OutputError):
    """A result would replace a file that may not be replaced."""


class OutputFolder:
    """A folder for results, and the known hashes of the files in it.

    Parameters
    ----------
    path : Path
    names : collection of str
        Possible names of our files, in addition to the records.
    is_run : bool
        The folder gets a run.json; see `complete`.
    overwrite : bool
        Replace files of any origin. Inputs are never replaced.
    keep : bool
        Rename a file that is not ours, instead of refusing; see `said`.
    inputs : dict
        Input files; see `inodes`.

    Attributes
    ----------
    known : dict
        Hashes of our files, by name.
    said : list of str
        Notes on renamed files.
    replaced : bool
        Whether earlier results have been replaced.
    """

    def __init__(
        self,
        path: Path,
        names: Collection[str],
        *,
        is_run: bool = False,
        overwrite: bool = False,
        keep: bool = False,
        inputs: Mapping[Inode, str] | None = None,
    ) -> None:
        self.path, self._names, self._overwrite, self._keep = path, names, overwrite, keep
        self._ledger = JOURNAL if is_run else LEDGER
        self._inputs = inputs or {}
        self.said: list[str] = []
        self.replaced = False
        self._records = {name: _own_hash(path / name) for name in ((JOURNAL, RECORD) if is_run else (LEDGER,))}
        self.known = {name: hashes for name, hashes in known_files(path).items() if name in names}

    def check(self, names: Iterable[str]) -> None:
        """Check, before anything is computed, that files with these names can be written.

        Raises
        ------
        OutputRefused
            One of them is an input, or exists and is not as gpuclust wrote it.
        """
        for name in self._names:
            check_no_input(self.path / name, self._inputs)
        for name in (*names, *self._records):
            self._is_in_the_way(name, None)

    def _is_in_the_way(self, name: str, new: str | None) -> bool:
        """Whether a file with that name must be renamed; `OutputRefused` if it may not be replaced."""
        path = self.path / name
        check_no_input(path, self._inputs)
        if not os.path.lexists(path):
            return False
        if path.is_dir() and not path.is_symlink():
            raise OutputRefused(f"{displayed(path)}: is a folder, and a result has this name. Name another folder")
        if self._overwrite:
            return False
        found = hash_of(path)
        if found is not None and (found == new or found in self._ours(name)):
            return False
        if self._keep:
            return True
        raise OutputRefused(
            f"{displayed(path)}: was not written by gpuclust, or was changed since, so it is not replaced. Move it "
            "away, name another folder, or allow it: --overwrite"
        )

    def _ours(self, name: str) -> Collection[str]:
        return (self._records if name in self._records else self.known).get(name, ())

    def commit(self, staged: Path, names: Collection[str], **notes: Any) -> dict[str, str]:
        """Move files from the folder ``staged`` into place, and return their hashes by name.

        The ledger or journal is written first, with ``notes``; the run.json of an earlier run is deleted.

        Raises
        ------
        OutputError
            As `check`; or the folder cannot be written.
        """
        with _as_output_error(self.path):
            hashes = {name: _hash_of_staged(staged / name) for name in names}
            for name in (*names, *self._records):
                if self._is_in_the_way(name, hashes.get(name)):
                    self._make_way(name)
            for name, digest in hashes.items():
                self.known[name] = [digest, *(old for old in self._ours(name) if old != digest)][:3]
            self.write_ledger(**notes)
            self.replaced = True
            if RECORD in self._records:
                (self.path / RECORD).unlink(missing_ok=True)
            for name in names:
                os.replace(staged / name, self.path / name)
            sync_folder(self.path)
        return hashes

    def write_ledger(self, **notes: Any) -> None:
        """Write the known hashes and ``notes`` into the ledger; its entries of other names stay."""
        path = self.path / self._ledger
        before = read_sealed(path) or {}
        others = {name: hashes for name, hashes in before.get("files", {}).items() if name not in self._names}
        write_sealed(path, {**before, **notes, "files": {**others, **self.known}})
        self._records[self._ledger] = _own_hash(path)

    def complete(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write run.json, then delete the journal and files of an earlier run that run.json does not list."""
        with _as_output_error(self.path):
            if self._is_in_the_way(RECORD, None):
                self._make_way(RECORD)
            self._forget(name for name in self.known if name not in record["hashes"])
            written = write_sealed(self.path / RECORD, record)
            self._forget([JOURNAL])
        return written

    def _forget(self, names: Iterable[str]) -> None:
        """Delete files of these names, unless they were changed."""
        for name in names:
            if hash_of(self.path / name) in self._ours(name):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()

    def forget_all(self) -> None:
        """Delete all files that are as we wrote them."""
        with contextlib.suppress(OSError):
            if self.known and not self._records[self._ledger]:
                self.write_ledger()
        self._forget([RECORD])
        self._forget(self.known)
        if not any(os.path.lexists(self.path / name) for name in self.known):
            self._forget([self._ledger])

    def _make_way(self, name: str) -> None:
        """Rename a file that is not ours, and note its new name."""
        stem, ending = os.path.splitext(name)
        number = 1
        while os.path.lexists(self.path / (other := f"{stem}.changed-{number}{ending}")):
            number += 1
        os.rename(self.path / name, self.path / other)
        self.said.append(f"{name} was not as gpuclust had written it; it is kept as {other}")


def tidy(folder: Path) -> None:
    """Delete temporary files and the journal of a run that was killed after run.json was written."""
    discard_left_behind(folder)
    if read_sealed(folder / JOURNAL) is not None:
        with contextlib.suppress(OSError):
            (folder / JOURNAL).unlink()


def known_files(folder: Path) -> dict[str, list[str]]:
    """Return the hashes of our files in a folder, by name, from its records."""
    known: dict[str, list[str]] = {}
    for record in (LEDGER, JOURNAL, RECORD):
        content = read_sealed(folder / record) or {}
        files = content.get("hashes" if record == RECORD else "files")
        for name, hashes in files.items() if isinstance(files, dict) else ():
            known.setdefault(name, []).extend([hashes] if isinstance(hashes, str) else hashes)
    return known


def _hash_of_staged(path: Path) -> str:
    digest = hash_of(path)
    if digest is None:
        raise OutputError(f"{path}: vanished before it was complete")
    return digest


def _own_hash(path: Path) -> list[str]:
    """Return the hash of an intact record."""
    return [digest] if read_sealed(path) is not None and (digest := hash_of(path)) else []


def check_folder(path: Path) -> None:
    """Raise `OutputRefused` if the path of a results folder is a link or a file."""
    if path.is_symlink():
        raise OutputRefused(f"{displayed(path)}: is a link, and results are not written through links")
    if path.exists() and not path.is_dir():
        raise OutputRefused(f"{displayed(path)}: is a file, a folder is needed for the results")


def check_no_input(path: Path, inputs: Mapping[Inode, str]) -> None:
    """Raise `OutputRefused` if a path, or the target of a link, is an input."""
    for look in (os.lstat, os.stat):
        try:
            state = look(path)
        except OSError:  # no such file, or a broken link
            continue
        source = inputs.get((state.st_dev, state.st_ino))
        if source is not None:
            raise OutputRefused(
                f"{displayed(path)}: is the input {displayed(source)}, which would be replaced by a result. Name "
                "another folder for the results"
            )


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs, if its file system has locks.

    Raises
    ------
    OutputError
        Another run holds the lock.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                raise OutputError(
                    f"{folder}: another run is at work there. Wait for it, or name another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _as_output_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
