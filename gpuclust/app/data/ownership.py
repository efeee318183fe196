"""Which files in an output folder gpuclust wrote; nothing else is ever replaced or removed.

A file is ours if its SHA-256 is named by a record of the folder that is itself as it was written: by the run.json of
a run, by its journal, ``.gpuclust-run.json``, which is written before files are moved to their places and deleted
when run.json is there (so a run that was killed can be done again), or by ``.gpuclust.json``, the ledger of what is
no run: batches and demonstrations.

A record is sealed: it holds the SHA-256 of its own content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpuclust.app.data.opening import sha256_of_open
from gpuclust.app.data.output import OutputError, atomic_write, discard_left_behind, sync_folder
from gpuclust.core.text import displayed

#: Names of the records.
LEDGER, JOURNAL, RECORD = ".gpuclust.json", ".gpuclust-run.json", "run.json"
#: The longest record that is read; run.json of a table with a million named columns is smaller.
_LONGEST_RECORD = 2**28

#: A file as the system knows it: device and number.
Inode = tuple[int, int]


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the hash of its content, under ``sha256``."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return {**content, "sha256": hashlib.sha256(_canonical(content).encode()).hexdigest()}


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def write_sealed(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record as JSON; as it was written."""
    content: dict[str, Any] = sealed(json.loads(json.dumps(record, allow_nan=False)))
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    return content


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The content of a record; None if there is none, or if it is not as it was written."""
    try:
        with _open_unlinked(path) as file:
            found = json.loads(file.read(_LONGEST_RECORD))
        whole = isinstance(found, dict) and sealed(found)["sha256"] == found.get("sha256")
    except (OSError, ValueError, RecursionError):
        return None
    return found if whole else None


def hash_of(path: Path) -> str | None:
    """SHA-256 of a regular file; None for anything else (also for a link), and where there is none."""
    try:
        with _open_unlinked(path) as file:
            return sha256_of_open(file)
    except OSError:
        return None


def _open_unlinked(path: Path) -> Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file")
    return open(descriptor, "rb")


def inodes(paths: Iterable[str | os.PathLike[str]]) -> dict[Inode, str]:
    """Those of files that are there, links followed, with their paths."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(path)
            found[state.st_dev, state.st_ino] = os.fspath(path)
    return found


class OutputRefused(OutputError):
    """A file that may not be replaced is where a result would go."""


class OutputFolder:
    """A folder that results are moved into, and what is known of the files that are there.

    Parameters
    ----------
    path : Path
    names : collection of str
        Names that files of ours can have there, beside the records.
    is_run : bool
        The folder gets a run.json; see `complete`.
    overwrite : bool
        Replace files of any origin. Inputs are never replaced.
    keep : bool
        A file that is not ours makes way under another name instead of being refused; see `said`.
    inputs : dict
        Files that are read; see `inodes`.

    Attributes
    ----------
    known : dict
        Hashes that our files there may have, by name.
    said : list of str
        What was kept, and under which name.
    replaced : bool
        Whether anything was written yet: what was there before is gone then.
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
        """Refuse, before anything is computed, to write files with these names where others are in the way.

        Raises
        ------
        OutputRefused
            One of them is an input; or it is there, and not as gpuclust wrote it.
        """
        for name in self._names:
            check_no_input(self.path / name, self._inputs)
        for name in (*names, *self._records):
            self._is_in_the_way(name, None)

    def _is_in_the_way(self, name: str, new: str | None) -> bool:
        """Whether there is a file by that name that is to be kept under another one."""
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
        """Move files of these names out of the folder where they were written; their hashes by name.

        The ledger, or journal, is written first, with ``notes`` in it; the run.json of an earlier run is deleted.

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
        """What is ours here, and ``notes``, beside what the ledger says of other names."""
        path = self.path / self._ledger
        before = read_sealed(path) or {}
        others = {name: hashes for name, hashes in before.get("files", {}).items() if name not in self._names}
        write_sealed(path, {**before, **notes, "files": {**others, **self.known}})
        self._records[self._ledger] = _own_hash(path)

    def complete(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write run.json, which takes the place of the journal; files of an earlier run that it does not name go."""
        with _as_output_error(self.path):
            if self._is_in_the_way(RECORD, None):
                self._make_way(RECORD)
            self._forget(name for name in self.known if name not in record["hashes"])
            written = write_sealed(self.path / RECORD, record)
            self._forget([JOURNAL])
        return written

    def _forget(self, names: Iterable[str]) -> None:
        """Delete files of these names that are as we wrote them; others stay."""
        for name in names:
            if hash_of(self.path / name) in self._ours(name):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()

    def forget_all(self) -> None:
        """Delete everything here that is as we wrote it."""
        with contextlib.suppress(OSError):
            if self.known and not self._records[self._ledger]:
                self.write_ledger()
        self._forget([RECORD])
        self._forget(self.known)
        if not any(os.path.lexists(self.path / name) for name in self.known):
            self._forget([self._ledger])

    def _make_way(self, name: str) -> None:
        """Rename a file that is not ours."""
        stem, ending = os.path.splitext(name)
        number = 1
        while os.path.lexists(self.path / (other := f"{stem}.changed-{number}{ending}")):
            number += 1
        os.rename(self.path / name, self.path / other)
        self.said.append(f"{name} was not as gpuclust had written it; it is kept as {other}")


def tidy(folder: Path) -> None:
    """Delete what a run that was killed after run.json was written has left beside its complete result."""
    discard_left_behind(folder)
    if read_sealed(folder / JOURNAL) is not None:
        with contextlib.suppress(OSError):
            (folder / JOURNAL).unlink()


def known_files(folder: Path) -> dict[str, list[str]]:
    """Hashes that our files in a folder may have, by name, as its records say."""
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
    """Hash of a record that is as it was written."""
    return [digest] if read_sealed(path) is not None and (digest := hash_of(path)) else []


def check_folder(path: Path) -> None:
    """`OutputRefused` if something else than a folder is where results are to have theirs, such as a link."""
    if path.is_symlink():
        raise OutputRefused(f"{displayed(path)}: is a link, and results are not written through links")
    if path.exists() and not path.is_dir():
        raise OutputRefused(f"{displayed(path)}: is a file, a folder is needed for the results")


def check_no_input(path: Path, inputs: Mapping[Inode, str]) -> None:
    """``OutputError`` if what lies at a path, or what it links to, is an input."""
    for look in (os.lstat, os.stat):
        try:
            state = look(path)
        except OSError:  # nothing there, or a link to nothing
            continue
        source = inputs.get((state.st_dev, state.st_ino))
        if source is not None:
            raise OutputRefused(
                f"{displayed(path)}: is the input {displayed(source)}, which would be replaced by a result. Name "
                "another folder for the results"
            )


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, by a lock on the folder itself, where its file system has locks.

    Raises
    ------
    OutputError
        Another run is at work there.
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
