"""Atomic writing of files, never through a link.

A file is written under a temporary name in the same folder, synced to disk, and renamed in one step. Whatever happens
before (an error, Ctrl-C, a kill, a full disk), no partial file has the final name. `gpuclust.app.data.ownership`
decides which files may be replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from gpuclust.errors import GpuclustError


class OutputError(GpuclustError, OSError):
    """A file or folder cannot be written; the message says which and why."""


#: Temporary names of files and folders that are being written.
_SCRATCH = re.compile(r"\.gpuclust-[0-9]+-[0-9a-f]{8}\.tmp")
#: Metadata that keep the date out of a picture, so that equal pictures are equal files.
_WITHOUT_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_unfinished: set[Path] = set()
#: Folders made for results that are not written yet, the innermost first.
_made: list[Path] = []
_lock = threading.Lock()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when the ``with`` block ends without an error.

    Parameters
    ----------
    path : path
        The final name. An existing file is replaced; of a symbolic link, the link and not its target.
    mode : {"wb", "w"}
        Bytes, or text in UTF-8 with line ends as written; surrogates (of names that are not UTF-8) are escaped.

    Raises
    ------
    OutputError
        The folder does not exist or cannot be written, or the disk is full.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"mode must be 'wb' or 'w', got {mode!r}")
    final = Path(path)
    scratch = final.with_name(_scratch_name())
    try:
        with _lock:
            _unfinished.add(scratch)
            # os.open rather than tempfile: the permissions then follow the umask.
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
        with open(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, final)
        sync_folder(final.parent)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        # On a full disk NumPy reports only how many numbers it could not write.
        reason = error.strerror or f"{error} (is the disk full?)"
        raise OutputError(f"{path}: cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        with _lock:
            _unfinished.discard(scratch)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Create a hidden temporary folder in an output folder, for files that are moved there when all are written.

    Raises
    ------
    OutputError
        It cannot be created.
    """
    scratch = folder / _scratch_name()
    with _lock:
        _unfinished.add(scratch)
    try:
        try:
            scratch.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(f"{folder}: the folder cannot be written: {error.strerror or error}") from error
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with _lock:
            _unfinished.discard(scratch)


def _scratch_name() -> str:
    return f".gpuclust-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def check_output_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder if necessary and test that it can be written, so that a long job does not fail at its end.

    Returns the folder; if ``path`` is a link, its target, so that later changes of the link have no effect.

    Raises
    ------
    OutputError
        It cannot be created or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{folder}: is a file, a folder is needed for the results") from error
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be created: {error.strerror or error}") from error
    if folder.is_symlink():
        folder = folder.resolve()
    trial = folder / _scratch_name()
    try:
        trial.write_bytes(b"gpuclust")
        trial.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror or error}") from error
    return folder


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Check an output folder; if the ``with`` block raises an error, remove the folders created for it.

    Only empty folders are removed.
    """
    missing = [folder for folder in (Path(path), *Path(path).parents) if not os.path.exists(folder)]
    with _lock:
        _made.extend(missing)
    try:
        yield check_output_folder(path)
    except BaseException:
        _remove_empty(missing)
        raise
    finally:
        with _lock:
            _made[:] = [folder for folder in _made if folder not in missing]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def save_figure(
    path: str | os.PathLike[str],
    paint: Callable[[Any], Any],
    size: tuple[float, float] = (8.0, 6.0),
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> None:
    """Draw on new axes with ``paint(ax)``, and save the figure as .png, .svg or .pdf; needs no display.

    Parameters
    ----------
    size : (float, float)
        Width and height in inches, at 100 dots per inch.
    title, xlabel, ylabel : str
        Set where given, after painting.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100, layout="constrained")
    ax = figure.add_subplot()
    paint(ax)
    for text, put in ((title, ax.set_title), (xlabel, ax.set_xlabel), (ylabel, ax.set_ylabel)):
        if text:
            put(text)
    with atomic_write(path) as file:
        form = Path(path).suffix[1:].lower()
        figure.savefig(file, format=form, metadata=_WITHOUT_DATE.get(form))


def discard_unfinished(for_good: bool = False) -> None:
    """Delete all unfinished files, for a process that is about to end without cleaning up.

    ``for_good`` keeps other threads from beginning new files, and removes output folders that are still empty.
    """
    _lock.acquire()
    for scratch in _unfinished:
        _remove(scratch)
    if for_good:
        _remove_empty(_made)
    if not for_good:
        _lock.release()


def discard_left_behind(folder: Path) -> None:
    """Delete unfinished files of a killed process, in a folder that no other process writes into."""
    with contextlib.suppress(OSError):
        for scratch in os.scandir(folder):
            if _SCRATCH.fullmatch(scratch.name):
                _remove(Path(scratch.path))


def _remove(scratch: Path) -> None:
    """Delete an unfinished file or folder; anything else under its name (such as a link) stays."""
    with contextlib.suppress(OSError):
        mode = os.lstat(scratch).st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(scratch, ignore_errors=True)
        elif stat.S_ISREG(mode):
            scratch.unlink()


def sync_folder(folder: Path) -> None:
    """Sync a rename to disk, if the file system supports that for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
