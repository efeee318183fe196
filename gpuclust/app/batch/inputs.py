"""Expand files, patterns, folders and manifests into a list of data sets with unique names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpuclust.app.batch.entry import Entry, merged, parse_options
from gpuclust.app.batch.lock import NAME as LOCK
from gpuclust.app.batch.manifest import is_manifest, read_manifest
from gpuclust.app.batch.summary import FILES
from gpuclust.app.data.files import ENDINGS, split_key
from gpuclust.app.data.remote import is_url, listed
from gpuclust.app.data.text_file import uncompressed
from gpuclust.core.text import displayed
from gpuclust.errors import InputFileError

#: A data set: a path (a pattern, a folder, a manifest), or a mapping with ``path`` and options.
Input = str | os.PathLike[str] | Mapping[str, Any]

#: Names in the output folder that are not those of data sets.
RESERVED = FILES
_LONGEST = 120


def collect(
    inputs: Input | Iterable[Input], defaults: Mapping[str, Any], out: Path | None = None
) -> list[tuple[str, Entry]]:
    """Collect data sets and give them names, in a stable order.

    Parameters
    ----------
    inputs : path, mapping, or several
        Files, patterns, folders (searched with all folders in them), manifests, and mappings with the keys of a
        manifest.
    defaults : mapping
        Options of data sets that do not set them.
    out : Path, optional
        The output folder, which is skipped if it lies in a folder that is searched.

    Raises
    ------
    InputFileError
        A manifest cannot be read, a pattern or folder contains no data set, or there is no data set at all.
    ValueError
        A manifest or mapping has an unknown key, or a value of the wrong type.
    """
    if isinstance(inputs, (str, os.PathLike, Mapping)):
        inputs = [inputs]
    common = parse_options(defaults, "defaults")
    entries: list[Entry] = []
    for place, given in enumerate(inputs, 1):
        if isinstance(given, Mapping):
            options = dict(given)
            path = options.pop("path", None)
            if not isinstance(path, (str, os.PathLike)):
                raise ValueError(f"data set number {place}: path is missing")
            entries += _entries(os.fspath(path), parse_options(options, f"data set number {place}"), common, out)
            continue
        text = os.fspath(given)
        if os.path.isfile(text) and is_manifest(Path(text)):
            folder = os.path.dirname(text)
            for path, own in read_manifest(Path(text)):
                whole = path if is_url(path) else os.path.join(folder, os.path.expanduser(path))
                entries += _entries(whole, own, common, out)
        else:
            entries += _entries(text, {}, common, out)
    if not entries:
        raise InputFileError("there is no data set: the manifest is empty")
    return list(zip(unique_names(entries), entries, strict=True))


def _entries(path: str, own: Mapping[str, Any], defaults: Mapping[str, Any], out: Path | None) -> list[Entry]:
    options = merged(defaults, own)
    if is_url(path):
        found = [(url, _stem(name, split_key(url)[1])) for url, name in listed(path)]
    elif os.path.isdir(path):
        found = [(file, _stem(os.path.relpath(file, path), None)) for file in _below(path, out)]
        if not found:
            raise InputFileError(f"{path}: holds no data set (allowed: {', '.join(ENDINGS)})")
    elif glob.has_magic(path) and not os.path.exists(path):
        base, key = split_key(path)
        pattern = str(base)
        # A folder named like a data file is kept: it fails with a message, rather than being ignored.
        matching = sorted(glob.glob(pattern, recursive=True))
        files = [file for file in matching if not os.path.isdir(file) or file.lower().endswith(ENDINGS)]
        if not files:
            raise InputFileError(f"{path}: no file matches")
        suffix = "" if key is None else f":{key}"
        found = [(file + suffix, _stem(os.path.basename(file), key)) for file in files]
    else:
        file, key = split_key(path, options.get("key"))
        found = [(path, _stem(file.name, key))]
    if "name" in own and len(found) > 1:
        raise ValueError(f"{path}: {len(found)} data sets cannot have one name, {own['name']!r}")
    return [Entry(file, options, stem) for file, stem in found]


def _below(folder: str, out: Path | None) -> Iterator[str]:
    """Yield the data files below a folder, sorted, without hidden files, results and manifests."""
    left_out = None if out is None else os.path.realpath(out)
    for here, folders, files in os.walk(folder):
        results = LOCK in files or ("run.json" in files and "Z.npy" in files)
        if results or os.path.realpath(here) == left_out:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(here, name)
            if name.lower().endswith(ENDINGS) and not name.startswith(".") and not is_manifest(Path(path)):
                yield path


def _stem(path: str, key: str | None) -> str:
    """``a/b.csv.gz`` -> ``a-b``, with the key of an .npz file behind."""
    parts = Path(path).parts
    last = uncompressed(parts[-1])
    stem = "-".join([*parts[:-1], os.path.splitext(last)[0] or last])
    return stem if key is None else f"{stem}-{key}"


def unique_names(entries: list[Entry]) -> list[str]:
    """Return a valid folder name for each data set, the same ones for the same list.

    Names that are equal up to case are distinguished by the file name extensions, then by the parent folders, and
    finally by numbers in the order of the list.
    """
    names = [_clean(str(entry.options.get("name", entry.stem))) for entry in entries]
    ways: list[Callable[[Entry], str]] = [_with_ending, _with_folder, lambda entry: _with_folder(entry, True)]
    for way in ways:
        groups: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            groups.setdefault(name.casefold(), []).append(place)
        for group in groups.values():
            free = [place for place in group if "name" not in entries[place].options]
            if len(group) == 1 or len(free) < len(group):
                continue
            others = {_clean(way(entries[place])) for place in group}
            if len({other.casefold() for other in others}) == len(group) and not any(
                other.casefold() in groups for other in others
            ):
                for place in group:
                    names[place] = _clean(way(entries[place]))
    taken: set[str] = set(RESERVED)
    wanted = {name.casefold() for name in names}
    result = []
    last: dict[str, int] = {}  # the last number given to each name: thousands may be equal
    for name in names:
        chosen, number = name, last.get(name.casefold(), 1)
        while chosen.casefold() in taken or (number > 1 and chosen.casefold() in wanted):
            number += 1
            chosen = f"{name}-{number}"
        last[name.casefold()] = number
        taken.add(chosen.casefold())
        result.append(chosen)
    return result


def _with_ending(entry: Entry) -> str:
    file, _ = split_key(entry.path)
    return f"{entry.stem}-{uncompressed(file.name).lower().rpartition('.')[2]}"


def _with_folder(entry: Entry, ending: bool = False) -> str:
    file, _ = split_key(entry.path)
    folders = [part for part in file.parent.parts if part not in ("/", ".", "..")]
    name = _with_ending(entry) if ending else entry.stem
    return "-".join([*folders[-3:], name])


def _clean(name: str) -> str:
    """Return a name that is valid on every file system and contains no separator."""
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", name)
    name = displayed(name).replace("\\", "_").strip().lstrip(".").rstrip(". ")
    encoded = name.encode("utf-8", "replace")[:_LONGEST]
    return os.fsdecode(encoded.decode("utf-8", "ignore").encode()) or "_"  # as the file system encodes it
