"""Answers of tasks, kept in files from which a job goes on whose client or scheduler has died.

Everything that a job decides follows from the answers of its tasks, and which tasks there are does not depend on the
workers. So a new run that takes the answers of an earlier one from the files makes the same merges, and then goes on.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import Any

import numpy as np

from gpuclust.core.version import __version__

#: Seconds between two files.
EVERY = 5.0


class Checkpoint:
    """Files ``answers-000000.npz``, ... in a folder, and ``job.json`` that says of which job they are.

    Parameters
    ----------
    url : str or path, optional
        A folder, with `fsspec` also a remote one ("s3://bucket/job"); None keeps nothing.
    """

    def __init__(self, url: Any) -> None:
        self.url = None if url is None else str(url).rstrip("/")
        self._known: dict[str, tuple[np.ndarray, ...]] = {}
        self._new: dict[str, np.ndarray] = {}
        self._count = 0
        self._last = time.monotonic()

    def open(self, job: dict[str, Any]) -> None:
        """Read the answers of an earlier run of the same job.

        Raises
        ------
        ValueError
            If the folder holds those of another job.
        """
        if self.url is None:
            return
        self._system, self._path = _file_system(self.url)
        self._system.makedirs(self._path, exist_ok=True)
        job = {"gpuclust": __version__, **job}
        head = f"{self._path}/job.json"
        if self._system.exists(head):
            before = json.loads(self._system.cat_file(head))
            if before != job:
                other = sorted(name for name in {*before, *job} if before.get(name) != job.get(name))
                raise ValueError(
                    f"checkpoint: {self.url} is that of another job, with other {', '.join(other)}. "
                    "Give another folder, or remove this one."
                )
        else:
            self._write("job.json", json.dumps(job).encode())
        for name in sorted(self._system.ls(self._path, detail=False)):
            if name.rsplit("/", 1)[-1].startswith("answers-"):
                self._read(name)

    def _read(self, name: str) -> None:
        self._count = max(self._count, int(name.rsplit("-", 1)[-1].split(".")[0]) + 1)
        with np.load(io.BytesIO(self._system.cat_file(name)), allow_pickle=False) as file:
            parts: dict[str, list[np.ndarray]] = {}
            for key in file.files:  # in the order in which they were written
                parts.setdefault(key.rsplit(".", 1)[0], []).append(file[key])
        self._known |= {key: tuple(arrays) for key, arrays in parts.items()}

    def answer(self, call: str, place: int, parts: int) -> tuple[np.ndarray, ...] | None:
        """The answer of a part of a call, if it is known."""
        return self._known.pop(f"{call}.{place}.{parts}", None)

    def keep(self, call: str, place: int, parts: int, answer: tuple[np.ndarray, ...]) -> None:
        """Keep an answer; a file is written every few seconds."""
        if self.url is None:
            return
        for at, array in enumerate(answer):
            self._new[f"{call}.{place}.{parts}.{at}"] = np.asarray(array)
        if time.monotonic() - self._last >= EVERY:
            self.flush()

    def flush(self, force: bool = False) -> None:
        """Write what is not yet written, if that was some seconds ago."""
        if not self._new or not (force or time.monotonic() - self._last >= EVERY):
            return
        buffer = io.BytesIO()
        np.savez(buffer, **self._new)  # type: ignore[arg-type]
        self._write(f"answers-{self._count:06}.npz", buffer.getvalue())
        self._count, self._new, self._last = self._count + 1, {}, time.monotonic()

    def _write(self, name: str, content: bytes) -> None:
        """Write a file that is there as a whole or not at all."""
        whole, part = f"{self._path}/{name}", f"{self._path}/.{name}.part"
        if "file" in _protocols(self._system):
            self._system.pipe_file(part, content)
            self._system.mv(part, whole)
        else:  # stores of objects have no incomplete ones
            self._system.pipe_file(whole, content)

    def remove(self) -> None:
        """Remove the files of a job that is done."""
        if self.url is not None:
            self._new = {}
            for name in self._system.ls(self._path, detail=False):
                base = name.rsplit("/", 1)[-1]
                if base == "job.json" or base.lstrip(".").startswith("answers-"):
                    self._system.rm_file(name)


def digest(*values: Any) -> str:
    """A hash of arrays and of the text of other values."""
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).data.cast("B") if value.size else b"")
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise ImportError("checkpoint= needs fsspec: pip install 'gpuclust[dask]'") from error
    system, path = url_to_fs(url)
    return system, path.rstrip("/")


def _protocols(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)
