"""Lock of an output folder, for one batch at a time.

The lock is flock's, not the existence of the file: it is released when the last process that holds it ends, so it is
never stale. Workers inherit it: while a worker of a killed batch still writes, the folder stays locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from gpuclust.app.data.output import OutputError
from gpuclust.app.data.ownership import OutputRefused
from gpuclust.errors import FallbackWarning

NAME = ".gpuclust.lock"
#: Seconds to wait for a lock: workers of a killed batch may take a moment to end.
PATIENCE_SECONDS = 3.0
#: Longest content of a lock file, in bytes: process, host, time.
_NOTE = 4096


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder, and yield its file descriptor, for workers to inherit.

    Raises
    ------
    OutputError
        Another batch holds it, the folder cannot be written, or the lock file was not written by gpuclust.
    """
    path = folder / NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise _refused(path) from None
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}") from error
    try:
        if not _is_ours(descriptor):
            raise _refused(path)
        _acquire(descriptor, folder)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk: the lock is held without its content
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                text = f"{folder}: its file system has no locks ({error.strerror}); start no second batch there"
                warnings.warn(text, FallbackWarning, stacklevel=4)
                return
            if time.monotonic() >= until:
                raise OutputError(f"{folder}: another batch is at work there{_holder(descriptor)}") from None
        time.sleep(0.05)


def _is_ours(descriptor: int) -> bool:
    """Whether an open file is a lock of gpuclust: empty, or with our content, possibly truncated."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    content = os.pread(descriptor, _NOTE + 1, 0)
    return len(content) <= _NOTE and content.startswith(b'{"pid": '[: len(content)])


def _refused(path: Path) -> OutputRefused:
    return OutputRefused(f"{path}: is no lock of gpuclust (a link, or a file of another origin). Move it away")


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, _NOTE, 0))
        return (
            f": process {note['pid']} on {note['host']}, since {note['since']}. Wait for it, or name another folder"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ". Wait for it, or name another folder"
