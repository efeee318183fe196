"""Data sets at URLs that fsspec knows (``s3://``, ``gs://``, ``https://``): copied to a temporary file to be read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from gpuclust.app.data.files import ENDINGS, split_key
from gpuclust.errors import InputFileError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: URLs by the temporary folders of their copies.
_copies: dict[Path, str] = {}


def is_url(data: str) -> bool:
    """Whether ``data`` is a URL, and no path."""
    return _URL.match(data) is not None


def listed(url: str) -> list[tuple[str, str]]:
    """URLs of the data sets of a pattern, or below a folder, with their paths in it; otherwise the URL itself.

    Raises
    ------
    InputFileError
        There are none, or the store cannot be asked.
    """
    bare, key = _parts(url)
    system, path = _opened(bare)
    try:
        if any(sign in path for sign in "*?["):
            base, found = path.partition("*")[0].rpartition("/")[0], system.glob(path)
        elif system.isdir(path):
            base, found = path, system.find(path)
        else:
            return [(url, PurePosixPath(path).name)]
    except Exception as error:  # of a store: of many kinds
        raise InputFileError(f"{url}: cannot be listed: {error}") from error
    names = [str(name) for name in found if str(name).lower().endswith(ENDINGS)]
    if not names:
        raise InputFileError(f"{url}: there is no data set (allowed: {', '.join(ENDINGS)})")
    suffix = "" if key is None else f":{key}"
    return [(system.unstrip_protocol(name) + suffix, name[len(base) :].strip("/")) for name in sorted(names)]


@contextmanager
def fetched(data: str) -> Iterator[str]:
    """Yield a path to the data; of a URL, that of a temporary copy.

    Raises
    ------
    InputFileError
        It cannot be copied.
    """
    if not is_url(data):
        yield data
        return
    url, key = _parts(data)
    system, path = _opened(url)
    with tempfile.TemporaryDirectory(prefix="gpuclust-url-") as folder:
        copy = Path(folder).resolve() / PurePosixPath(path).name
        try:
            system.get_file(path, str(copy))
        except FileNotFoundError as error:
            raise InputFileError(f"{url}: does not exist") from error
        except Exception as error:
            raise InputFileError(f"{url}: cannot be copied: {error}") from error
        _copies[copy.parent] = data
        try:
            yield str(copy) if key is None else f"{copy}:{key}"
        finally:
            del _copies[copy.parent]


def origin(data: str) -> str | None:
    """The URL of which ``data`` is the temporary copy, if it is one."""
    return _copies.get(Path(data).parent)


def _parts(url: str) -> tuple[str, str | None]:
    """URL and key of ``s3://bucket/data.npz:X``."""
    key = split_key(url)[1]
    return (url, None) if key is None else (url[: -len(key) - 1], key)


def _opened(url: str) -> tuple[Any, str]:
    """The file system and path of a URL."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except ModuleNotFoundError as error:
        if error.name != "fsspec":
            raise InputFileError(f"{url}: {error}") from error
        raise InputFileError(f"{url}: URLs need fsspec: pip install 'gpuclust[dask]'") from error
    except (ImportError, ValueError) as error:  # the package of a protocol is missing, or there is none
        raise InputFileError(f"{url}: {error}") from error
    return system, path
