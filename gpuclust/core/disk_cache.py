"""Disk cache of compiled kernels: Numba's cache, with checks of ownership and integrity.

Its files are pickles, so anyone who can write them can have any code run. They are used only if they and their folder
belong to the user or to root, and no one else can write there. A file begins with the SHA-256 of its content: a
kernel whose file is damaged, or was written by another version, is compiled anew.

GPUCLUST_TRUST_KERNELS=1 uses the folder regardless of permissions, for machines with one user (a container, say).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import stat
import uuid
import warnings
from collections.abc import Iterator
from functools import cache
from typing import IO, Any

from numba.core.caching import FunctionCache, NullCache
from numba.core.runtime import rtsys

from gpuclust.core.fingerprint import fingerprint
from gpuclust.errors import FallbackWarning

TRUST = "GPUCLUST_TRUST_KERNELS"
_DIGEST = hashlib.sha256().digest_size


def protect(kernel: Any) -> Any:
    """Restrict the enabled cache of a Numba dispatcher to safe files; returns the dispatcher."""
    folder = kernel.stats.cache_path
    if folder is None:
        return kernel
    if refusal(str(folder)) is None:
        files: Any = kernel._cache._cache_file
        kind: Any = type(files)
        files.__class__ = _checked(kind)
        if type(kernel._cache) is FunctionCache:  # a kernel of CUDA has a cache, and a target, of its own
            kernel._cache.__class__ = _Loader
    else:
        kernel._cache = NullCache()
    return kernel


def on_disk(kernel: Any) -> bool:
    """Whether something compiled of a dispatcher is kept, for whatever types."""
    files = getattr(kernel._cache, "_cache_file", None)
    return files is not None and os.path.exists(files._index_path)


def has_place(source: str) -> bool:
    """Whether Numba can find a cache folder for a source file.

    Without a home folder it would make one called ``~`` in the working directory.
    """
    return (
        bool(os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME"))
        or os.path.isabs(os.path.expanduser("~"))
        or os.access(os.path.dirname(source), os.W_OK)
    )


def file_mode() -> int:
    """Permissions of files in the folder."""
    return 0o666 if trusted() else 0o600


def trusted() -> bool:
    """Whether the folder is used regardless of its permissions."""
    return os.environ.get(TRUST, "0") not in ("", "0")


@cache
def refusal(folder: str) -> str | None:
    """The reason, also issued as a warning, why a folder is not used as a cache; None if it is."""
    if trusted():
        return None
    try:
        state = os.stat(folder)
        if state.st_uid == os.geteuid() and os.path.basename(folder) != "__pycache__" and not os.listdir(folder):
            os.chmod(folder, 0o700)  # made just now
            state = os.stat(folder)
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    reason = unsafe(state)
    if reason is not None:
        warnings.warn(
            f"{folder}: compiled kernels are neither read from there nor kept there, since {reason}, and could have "
            f"other code run by you. Every process compiles anew. Let only yourself write there (chmod go-w), or set "
            f"NUMBA_CACHE_DIR to a folder of your own ({TRUST}=1 if no one else uses this machine)",
            FallbackWarning,
            stacklevel=2,
        )
    return reason


def unsafe(state: os.stat_result) -> str | None:
    """The reason why users other than the owner and root can write a file or folder; None if they cannot."""
    if state.st_uid not in (os.geteuid(), 0):
        return f"another user (number {state.st_uid}) owns it"
    if state.st_mode & stat.S_IWOTH:
        return "all users can write there"
    if state.st_mode & stat.S_IWGRP and not _is_private(state.st_gid):
        return f"a group (number {state.st_gid}) can write there"
    return None


@cache
def _is_private(group: int) -> bool:
    """Whether a group has no other members: many systems give each user a group of the same name."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


class _Loader(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a kernel, with a key that all processes agree on; loads one without what only compiling needs.

    Before it loads a kernel Numba registers all that it can compile, and imports some hundred modules for that: more
    than half of the time that the first call of a process takes. It does so before it compiles, too.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # what machine code calls, to count references and take arrays apart
        return self._load_overload(sig, target_context)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), fingerprint(self._py_func)


@cache
def _checked(kind: Any) -> Any:
    """Numba's class for the index and data files of a kernel, with the checks of this module."""
    return type("CheckedFiles", (_Checks, kind), {})


class _Checks:
    """Methods that override those of numba.core.caching.IndexDataCacheFile."""

    _index_path: str
    _version: str
    _source_stamp: Any

    def load(self, key: Any) -> Any:
        """The object stored under a key; None if there is none, or if it cannot be used."""
        try:
            return super().load(key)  # type: ignore[misc]
        except Exception:  # a pickle may raise anything
            with contextlib.suppress(OSError):
                self.flush()  # type: ignore[attr-defined]
            return None

    def save(self, key: Any, data: Any) -> None:
        """Store an object under a key, if the folder can be written."""
        try:
            super().save(key, data)  # type: ignore[misc]
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()  # type: ignore[attr-defined]
                super().save(key, data)  # type: ignore[misc]

    def _load_index(self) -> dict[Any, str]:
        try:
            content = _read(self._index_path)
        except FileNotFoundError:
            return {}
        version, rest = pickle.loads(content)
        if version != self._version:
            return {}
        stamp, overloads = pickle.loads(rest)
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        rest = self._dump((self._source_stamp, overloads))  # type: ignore[attr-defined]
        _write(self._index_path, pickle.dumps((self._version, rest)))

    def _load_data(self, name: str) -> Any:
        path = self._data_path(name)  # type: ignore[attr-defined]
        found = pickle.loads(_read(path))
        _log("[cache] data loaded from %r", path)
        return found

    def _save_data(self, name: str, data: Any) -> None:
        path = self._data_path(name)  # type: ignore[attr-defined]
        _write(path, self._dump(data))  # type: ignore[attr-defined]
        _log("[cache] data saved to %r", path)


def _read(path: str) -> bytes:
    """The content of a file that is safe and intact."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or (unsafe(state) is not None and not trusted()):
            raise ValueError(f"{path}: others can write it")
        digest, content = file.read(_DIGEST), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path}: is damaged")
    return content


def _write(path: str, content: bytes) -> None:
    with _replacing(path) as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is complete, since other processes use the folder too."""
    scratch = f"{path}.tmp.{uuid.uuid4().hex[:16]}"
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file_mode()), "wb") as file:
            yield file
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise


def _log(text: str, *arguments: Any) -> None:
    if os.environ.get("NUMBA_DEBUG_CACHE", "0") not in ("", "0"):
        print(text % arguments)
