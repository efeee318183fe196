"""Sealed records: JSON files that hold the SHA-256 of their own content, so that a change of them is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpuclust.app.data.opening import sha256_of_open
from gpuclust.app.data.output import atomic_write

#: Largest size of a record in bytes; run.json of a table with a million named columns is smaller.
_LONGEST_RECORD = 2**28


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the hash of its content under ``sha256``."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return {**content, "sha256": hashlib.sha256(_canonical(content).encode()).hexdigest()}


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def write_sealed(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record as JSON, and return it as written."""
    content: dict[str, Any] = sealed(json.loads(json.dumps(record, allow_nan=False)))
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    return content


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Read a record; None if it is missing, damaged or changed."""
    try:
        with _open_unlinked(path) as file:
            found = json.loads(file.read(_LONGEST_RECORD))
        whole = isinstance(found, dict) and sealed(found)["sha256"] == found.get("sha256")
    except (OSError, ValueError, RecursionError):
        return None
    return found if whole else None


def hash_of(path: Path) -> str | None:
    """Return the SHA-256 of a regular file; None for anything else, including a link, and if it is missing."""
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
