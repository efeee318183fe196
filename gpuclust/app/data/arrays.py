"""Arrays of NumPy: .npy files, memory-mapped, and arrays of .npz files."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuclust.app.data.opening import check_size, damage_of, open_regular
from gpuclust.errors import InputFileError

NOT_NUMBERS = {"c": "complex numbers", "O": "Python objects", "S": "bytes", "U": "text", "V": "records"}
NOT_NUMBERS |= {"M": "dates", "m": "time spans"}
#: The longest header of a .npy file, in bytes; that of an array of numbers takes 118.
_LONGEST_HEADER = 2**16
#: Arrays that scipy.sparse.save_npz writes for every format of a sparse matrix.
_SPARSE = {"format", "shape", "data"}


def _check_array(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ``InputFileError`` unless shape and dtype are those of points or condensed dissimilarities."""
    if dtype.kind not in "biuf":
        kind = NOT_NUMBERS.get(dtype.kind, f"dtype {dtype}")
        raise InputFileError(f"{what}: holds {kind} ({dtype}); booleans, integers and real numbers are allowed")
    if len(shape) not in (1, 2):
        raise InputFileError(
            f"{what}: has shape {shape}; (points, features), or one dimension of condensed distances, is allowed"
        )
    if 0 in shape:
        raise InputFileError(f"{what}: is empty (shape {shape})")


def npz_header(path: Path, key: str | None) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array in an .npz file, from its header."""
    with damage_of(path), open_regular(path) as file, _archive(path, file) as archive:
        wanted = _pick(path, [name.removesuffix(".npy") for name in archive.namelist()], key)
        with archive.open(f"{wanted}.npy") as member:
            return _read_header(f"{path}:{wanted}", member)[:2]


def _archive(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(file):
        raise InputFileError(f"{path}: is not an .npz file, or a truncated one")
    return zipfile.ZipFile(file)


def _read_header(what: str, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read shape, dtype and order (whether Fortran's) from a .npy header; the file is left where the data begin."""
    begin = file.read(12)
    if begin[:6] != b"\x93NUMPY":
        found = "is empty" if not begin else f"starts with {begin[:6]!r}"
        raise InputFileError(f"{what}: is not a .npy file ({found})")
    with damage_of(what, "damaged or truncated .npy header"):
        short = begin[6:7] == b"\x01"
        (length,) = struct.unpack("<H" if short else "<I", begin[8:10] if short else begin[8:12])
        if length > _LONGEST_HEADER:  # NumPy reads the whole header before checking it
            raise ValueError(f"it is {length:,} bytes long")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        if not all(0 <= length < 2**63 for length in shape):
            raise ValueError(f"its shape is {shape}")
    _check_array(what, shape, dtype)
    return shape, dtype, by_columns


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a .npy file; ``InputFileError`` if it is truncated."""
    with open_regular(path) as file:
        return _whole_header(path, file)[:2]


def _whole_header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    shape, dtype, by_columns = _read_header(str(path), file)
    need = dtype.itemsize * math.prod(int(length) for length in shape)
    have = os.fstat(file.fileno()).st_size - file.tell()
    if have < need:
        raise InputFileError(
            f"{path}: is truncated: its header promises {_times(shape)} {dtype} values ({need:,} bytes), "
            f"but only {have:,} bytes follow"
        )
    return shape, dtype, by_columns


def read_npy(path: Path) -> NDArray[Any]:
    """Map a .npy file into memory."""
    with open_regular(path) as file:
        shape, dtype, by_columns = _whole_header(path, file)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_columns else "C")


def _pick(path: Path, keys: list[str], key: str | None) -> str:
    """Return the name of the requested array of an .npz file."""
    if key is None and len(keys) != 1:
        held = ", ".join(keys) or "nothing"
        raise InputFileError(f"{path}: holds {held}; name one array, like {path.name}:{keys[0] if keys else 'X'}")
    wanted = keys[0] if key is None else key
    if wanted not in keys:
        raise InputFileError(f"{path}: holds no array {wanted!r}, but {', '.join(keys) or 'nothing'}")
    return wanted


def read_npz(path: Path, key: str | None, limit: int | None) -> NDArray[Any]:
    """Read an array of an .npz file; a sparse matrix of SciPy is read as a dense one if it fits."""
    with damage_of(path), open_regular(path) as file, _archive(path, file) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        if key is None and set(keys) >= _SPARSE:
            return _read_sparse(path, archive, limit)
        wanted = _pick(path, keys, key)
        what = f"{path}:{wanted}"
        with archive.open(f"{wanted}.npy") as member:
            shape, dtype, _ = _read_header(what, member)
            check_size(what, math.prod(shape), dtype.itemsize, limit)
            member.seek(0)
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)  # type: ignore[arg-type]
            if member.read(1):
                raise InputFileError(f"{what}: is damaged (more follows than its header promises)")
    return array


def _read_sparse(path: Path, archive: zipfile.ZipFile, limit: int | None) -> NDArray[Any]:
    try:
        from scipy import sparse
    except ImportError:
        raise InputFileError(
            f"{path}: holds a sparse matrix; reading it needs SciPy: pip install scipy, or save it dense by np.save"
        ) from None
    with archive.open("shape.npy") as member:
        shape = [int(length) for length in np.lib.format.read_array(member, allow_pickle=False)]  # type: ignore[arg-type]
    with archive.open("data.npy") as member:
        _, dtype, _ = _read_header(f"{path}:data", member)
    _check_array(str(path), tuple(shape), dtype)
    check_size(f"{path}: as a dense matrix", math.prod(shape), dtype.itemsize, limit)
    with open_regular(path) as file:
        found: NDArray[Any] = sparse.load_npz(file).toarray()
    return found


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
