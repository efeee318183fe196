"""Files written whole or not at all, and never through a link.

A file is written under another name in the same folder, brought to the disk, and renamed in one step. Whatever
happens before that step (an error, Ctrl-C, a kill, a full disk), nothing half-written is left under the final name.
Which files may be replaced is decided by `gpuclust.app.data.ownership`.
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


#: Names of files, and of folders of files, that are being written.
_SCRATCH = re.compile(r"\.gpuclust-[0-9]+-[0-9a-f]{8}\.tmp")
_unfinished: set[Path] = set()
_lock = threading.Lock()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when the ``with`` block ends without an error.

    Parameters
    ----------
    path : path
        The final name. A file already there is replaced, and so is a symbolic link, not what it points to.
    mode : {"wb", "w"}
        Bytes, or text in UTF-8 with line ends as written; what is no text (a name that is not UTF-8) is escaped.

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
            # os.open rather than tempfile: the new file gets the rights that the user's umask gives.
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
        # NumPy says of a full disk only how many numbers it wanted to write and how many it did.
        reason = error.strerror or f"{error} (is the disk full?)"
        raise OutputError(f"{path}: cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        with _lock:
            _unfinished.discard(scratch)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden folder in an output folder, for files that are going to be moved there; gone at the end.

    Raises
    ------
    OutputError
        It cannot be made.
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
    """Create a folder if need be and write a file into it, so that a long job doesn't fail at its end.

    Returns the folder; where ``path`` is a link to one, that one, so that it is the same until the end.

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
    """`check_output_folder` for a ``with`` block; if that ends with an error, folders made for it are removed again.

    Only folders that are still empty: what was written stays.
    """
    missing = [folder for folder in (Path(path), *Path(path).parents) if not os.path.exists(folder)]
    folder = check_output_folder(path)
    try:
        yield folder
    except BaseException:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


def save_figure(
    path: str | os.PathLike[str],
    paint: Callable[[Any], Any],
    size: tuple[float, float] = (8.0, 6.0),
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> None:
    """Let ``paint(ax)`` draw on new axes and keep the picture as a PNG file; needs no display, leaves no figure open.

    Parameters
    ----------
    size : (float, float)
        Width and height in inches, at 100 dots an inch.
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
        figure.savefig(file, format="png")


def discard_unfinished(for_good: bool = False) -> None:
    """Delete what ``atomic_write`` has begun and not finished; for a process about to end without unwinding.

    ``for_good``: no thread can begin another file, in the moment that is left to it.
    """
    _lock.acquire()
    for scratch in _unfinished:
        _remove(scratch)
    if not for_good:
        _lock.release()


def discard_left_behind(folder: Path) -> None:
    """Delete what a killed process had begun to write in a folder that no other process writes in."""
    with contextlib.suppress(OSError):
        for scratch in os.scandir(folder):
            if _SCRATCH.fullmatch(scratch.name):
                _remove(Path(scratch.path))


def _remove(scratch: Path) -> None:
    """Delete what was begun; what has been put there in the place of it (a link, say) stays."""
    with contextlib.suppress(OSError):
        mode = os.lstat(scratch).st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(scratch, ignore_errors=True)
        elif stat.S_ISREG(mode):
            scratch.unlink()


def sync_folder(folder: Path) -> None:
    """Bring a rename to the disk. Some file systems can't do that for folders; the file itself is safe already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
