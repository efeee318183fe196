"""The disk cache of compiled kernels: hits in later processes, never with another kernel's code, in any folder."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import children
import numba
import pytest

from gpuclust.core import disk_cache

ROOT = Path(__file__).resolve().parents[1]

CALLS = """
import json, sys, numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
import gpuclust
from gpuclust.compute import compute
X = np.random.default_rng(0).random((60, 5))
wrong = []
for call in sys.argv[1:]:
    metric, method = call.split("/")
    if not np.allclose(compute(X, method, metric).Z, linkage(pdist(X, metric), method), rtol=1e-12, atol=0):
        wrong.append(call)
    if not np.allclose(gpuclust.pdist(X, metric), pdist(X, metric), rtol=1e-12, atol=0):
        wrong.append(metric)
print(json.dumps(wrong))
"""


def run(cache: Path | None, *arguments: str, code: str = CALLS, **environment: str) -> str:
    env = {**os.environ, **({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}), **environment}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("method", "metrics"),
    [
        ("single", ["cityblock", "chebyshev"]),
        pytest.param("single", ["cityblock", "euclidean", "chebyshev"], marks=pytest.mark.sweep),
        pytest.param("average", ["cityblock", "euclidean", "chebyshev"], marks=pytest.mark.sweep),
    ],
)
def test_kernels_from_disk_and_new_ones_do_not_mix(tmp_path, method, metrics):
    """Processes that compile the same kernels in another order, and find some of them on disk.

    Numba's symbols are numbered by process: without names of their own, two closures of one builder collide.
    """
    calls = [f"{metric}/{method}" for metric in metrics]
    for order in (calls[:1], calls[1:2] * (len(calls) > 2), calls[::-1], calls):
        assert run(tmp_path, *order).strip() == "[]"


def test_every_compiled_closure_is_named():
    """A compiled closure must say what it was made for."""
    missing = []
    rooms = ("kernels", "gpuclust/core", "gpuclust/algorithms", "gpuclust/hierarchy")
    for path in [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            closure = line.startswith("    ") and line.strip() in ("@compiled", "@jitable", "@uncounted")
            if closure and not lines[number + 1].strip().startswith("@named("):
                missing.append(f"{path.name}:{number + 1}")
    assert not missing


def test_no_kernel_calls_a_kernel_of_its_builder():
    """Numba hashes what a closure captures, and a kernel has an identity of its own in every process.

    So the caller would be compiled by every process. Shared code is a `jitable` function.
    """
    found = []
    for path in sorted((ROOT / "kernels" / "cpu").rglob("*.py")):
        for builder in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]:
            functions = [node for node in builder.body if isinstance(node, ast.FunctionDef)]
            kernels = {node.name for node in functions if "compiled" in map(ast.unparse, node.decorator_list)}
            for function in functions:
                used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                found += [f"{path.name}: {function.name} calls {name}" for name in used & kernels]
    assert not found


#: Prints the functions that are compiled.
RECORDED = """
import numpy as np, gpuclust
from numba.core import event
X = np.random.default_rng(0).normal(size=(1100, 16))
with event.install_recorder("numba:compile") as compiled:
    {work}
print([str(begun.data["dispatcher"]) for _, begun in compiled.buffer])
"""
WORK = """
    for data in (X, X[:, :2]):
        for method in ("single", "complete", "average", "weighted", "centroid", "median", "ward"):
            gpuclust.linkage(data, method)
        gpuclust.linkage(data, "single", "cityblock")
        gpuclust.linkage(data, "average", "sqeuclidean")
    gpuclust.linkage(X[:60], "centroid")
"""


def test_a_later_process_compiles_nothing(tmp_path):
    """A second process finds the kernels that a first one has compiled, for all of the library.

    In the cache that all tests share, where most of it is by now: a new one takes two minutes to fill.
    """
    assert "dispatcher" in run(tmp_path, code=RECORDED.format(work="gpuclust.linkage(X[:9], 'single')")).lower()
    shared = Path(os.environ["NUMBA_CACHE_DIR"]) if "NUMBA_CACHE_DIR" in os.environ else None
    run(shared, code=RECORDED.format(work=WORK))
    assert run(shared, code=RECORDED.format(work=WORK)).strip() == "[]"


LOADED = """
import math, sys
import numpy as np
from gpuclust.core.jit import compiled, uncounted

@uncounted
def longest(rows):
    best = 0.0
    for k in range(len(rows)):
        row = rows[k]
        best = max(best, math.hypot(row[0], row[1]))
    return best

@compiled
def scaled(rows, factor):
    if factor < 0:
        raise ValueError("negative")
    result = np.empty(len(rows), rows.dtype)
    for k in range(len(rows)):
        result[k] = factor * math.exp(rows[k, 0])
    return result, longest(rows[1:])

def call(dtype):
    result, length = scaled(np.array([[1, 2], [3, 4]], dtype), 2.0)
    assert np.allclose(result, 2 * np.exp([1, 3]))
    assert length == 5
    try:
        scaled(np.zeros((2, 2), dtype), -1.0)
    except ValueError as error:
        assert str(error) == "negative"
    else:
        raise AssertionError("no error")
    print(len(scaled.stats.cache_misses), "numba.typed.typeddict" in sys.modules)
"""


def test_loading_imports_nothing_that_only_compiling_needs(tmp_path):
    """And a process that has loaded a kernel can still compile, for other types too."""
    (tmp_path / "shared.py").write_text(LOADED)
    program = "import sys; sys.path.insert(0, sys.argv[1]); import shared; [*map(shared.call, sys.argv[2:])]"

    def calls(*dtypes: str) -> list[str]:
        return run(tmp_path / "kernels", str(tmp_path), *dtypes, code=program).splitlines()

    assert calls("float64") == ["1 True"]
    assert calls("float64", "float64", "float32") == ["0 False", "0 False", "1 True"]
    assert calls("float32", "float64") == ["0 False", "0 False"]


def test_a_read_only_install(tmp_path):
    """Kernels go to the user's cache folder when the install folder can't be written, and are found there again."""
    site, home = tmp_path / "site", tmp_path / "home"
    for name in ("gpuclust", "kernels"):
        shutil.copytree(ROOT / name, site / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [p for p in site.rglob("*") if p.is_dir()]:
        if not (folder / "__pycache__").exists():
            (folder / "__pycache__").write_text("in the way: this folder takes no cache, not even from root")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import gpuclust, numpy as np
assert gpuclust.__file__.startswith(sys.argv[1]), gpuclust.__file__
gpuclust.linkage(np.random.default_rng(0).normal(size=(50, 3)), "single")
from gpuclust.kernels.cpu.matrix.prim import tree_kernel
print(sum(tree_kernel(np.dtype("float64")).stats.cache_hits.values()))
"""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env.update(HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"))
    hits = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(site)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        hits.append(done.stdout.strip())
    assert hits == ["0", "1"]
    # With no folder at all to keep kernels in, they are compiled each time.
    (tmp_path / "file").write_text("not a folder")
    env.update(HOME=str(tmp_path / "file" / "home"), XDG_CACHE_HOME=str(tmp_path / "file" / "cache"))
    code = code.replace("cache_hits", "cache_misses")
    done = subprocess.run([sys.executable, "-c", code, str(site)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert not list(site.rglob("*.nbi"))
    assert list(home.rglob("*.nbi"))


# Who may write what is run


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Makes a small kernel as a new process would: hits of the cache, its folder, and what was warned of."""
    source = tmp_path / "twice.py"
    source.write_text("from gpuclust.core.jit import compiled\n\n\n@compiled\ndef kernel(x):\n    return 2 * x\n")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))

    def call():
        disk_cache.refusal.cache_clear()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = importlib.util.spec_from_file_location("twice", source)
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            assert [module.kernel(21), module.kernel(21)] == [42, 42]
        stats = module.kernel.stats
        folder = None if stats.cache_path is None else Path(stats.cache_path)
        return sum(stats.cache_hits.values()), folder, [str(warning.message) for warning in heard]

    yield call
    disk_cache.refusal.cache_clear()


def files_of(folder):
    return sorted(path for path in folder.iterdir() if path.suffix in (".nbi", ".nbc"))


def test_folders_of_kernels_are_private(kernel):
    umask = os.umask(0)
    try:
        assert kernel()[0] == 0
    finally:
        os.umask(umask)
    hits, folder, said = kernel()
    assert (hits, said) == (1, [])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files_of(folder)] == [0o600, 0o600]


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o720])
def test_a_folder_that_others_can_write_is_not_used(kernel, mode, monkeypatch):
    """Kernels are pickles: whoever writes them has any code run."""
    _, folder, _ = kernel()
    folder.chmod(mode)
    os.chown(folder, -1, 12345 if os.geteuid() == 0 else os.getegid())
    if os.geteuid() and mode == 0o720:
        pytest.skip("the user's own group is private")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    hits, shown, said = kernel()
    assert (hits, shown) == (0, None)
    (line,) = said
    assert line.startswith(f"{folder}: compiled kernels are neither read from there nor kept there")
    assert "chmod go-w" in line
    assert "NUMBA_CACHE_DIR" in line
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    monkeypatch.setenv("GPUCLUST_TRUST_KERNELS", "1")
    assert kernel()[0] == 1
    monkeypatch.delenv("GPUCLUST_TRUST_KERNELS")
    folder.chmod(0o700)
    assert kernel()[0] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_what_another_user_owns_is_not_used(kernel):
    _, folder, _ = kernel()
    for path in files_of(folder):
        os.chown(path, 12345, -1)
        assert kernel()[0] == 0
        assert path.stat().st_uid == 0, "written anew"
        assert kernel()[0] == 1
    os.chown(folder, 12345, -1)
    hits, _, (said,) = kernel()
    assert hits == 0
    assert "another user (number 12345) owns it" in said


def test_files_that_others_can_write_are_not_used(kernel):
    _, folder, _ = kernel()
    for path in files_of(folder):
        path.chmod(0o666)
        assert kernel()[0] == 0
        assert path.stat().st_mode & 0o777 == 0o600
        assert kernel()[0] == 1


def test_damaged_kernels_are_compiled_anew(kernel):
    """Cut short, garbage, one bit changed, empty, a pickle that runs code, gone, a link, a folder in the way."""
    _, folder, _ = kernel()
    index, data = sorted(files_of(folder), key=lambda path: path.suffix, reverse=True)
    bomb = b"cos\nsystem\n(S'touch " + os.fsencode(folder / "ran") + b"'\ntR."
    for path in (index, data):
        whole = path.read_bytes()
        flipped = whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:]
        for content in (
            b"",
            whole[:20],
            whole[: len(whole) // 2],
            b"garbage" * 100,
            flipped,
            bomb,
            whole[:32] + bomb,
        ):
            path.write_bytes(content)
            assert kernel()[0] == 0, content[:40]
            assert kernel()[0] == 1
        path.unlink()
        path.symlink_to("/dev/zero")
        assert kernel()[0] == 0
        assert kernel()[0] == 1
        assert not path.is_symlink()
    assert not (folder / "ran").exists()
    index.unlink()
    index.mkdir()
    assert kernel()[0] == 0, "and nothing can be kept"


def test_many_processes_may_compile_at_once(tmp_path):
    program = (
        "import numpy as np\nfrom gpuclust.core.jit import compiled\n"
        "@compiled\ndef kernel(x):\n    return x.sum()\n"
        "for kind in ('f8', 'f4', 'i8', 'i4', 'u1'):\n    assert kernel(np.ones(3, kind)) == 3\n"
        "print(sum(kernel.stats.cache_hits.values()))\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    for _ in range(2):
        started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        said = [process.communicate(timeout=children.PATIENCE)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0, 0]
    assert said == ["5\n"] * 3


def test_the_private_group_of_a_user(monkeypatch):
    import grp
    import pwd
    from types import SimpleNamespace as Entry

    def unsafe(**state):
        disk_cache._is_private.cache_clear()
        return disk_cache.unsafe(Entry(**{"st_uid": 1000, "st_gid": 1000, "st_mode": 0o40775, **state}))

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: Entry(pw_gid=1000, pw_name="ann"))
    members = []
    monkeypatch.setattr(grp, "getgrgid", lambda gid: Entry(gr_name="ann" if gid == 1000 else "lab", gr_mem=members))
    assert unsafe() is None, "umask 002, of many systems"
    assert unsafe(st_uid=0, st_mode=0o40755) is None, "an installation of root's"
    assert "group (number 2000)" in unsafe(st_gid=2000)
    members.append("bob")
    assert "group (number 1000)" in unsafe()
    assert "another user (number 1001)" in unsafe(st_uid=1001)
    assert "all users" in unsafe(st_mode=0o40757)
    disk_cache._is_private.cache_clear()
