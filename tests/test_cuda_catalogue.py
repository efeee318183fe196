"""Kernels for CUDA are compiled for every architecture, and obey the rules; no GPU is needed.

``make test`` compiles representatives, each for one architecture: every function in one dtype, metrics by form, and
the search of summaries with each of its switches on and off.
``make test-sweep`` compiles every kernel for all.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import FORMS
from cuda_rules import LIMITED, RULES, needs_assembler

from gpuclust.kernels.cuda import catalogue, inspection
from gpuclust.kernels.cuda.catalogue import Record, form, kernels
from gpuclust.kernels.cuda.inspection import ARCHITECTURES, LIMITS, Facts, Resources, assembled, sm, supported
from gpuclust.kernels.cuda.launch import kernel, types

ROOT = Path(__file__).resolve().parents[1]
#: Assembled for all architectures; the others for sm_90 only, to save time: ptxas takes longest.
THOROUGHLY = ("euclidean", "sqeuclidean", "cosine", "jaccard weighted", "minkowski weighted")
#: Of the functions whose names begin so, which are one with four switches, those in which each switch is on and off.
SEARCH = "screen_kernels.search"
SEARCHES = {SEARCH, f"{SEARCH}_products_points", f"{SEARCH}_screened_boxes"}

pytestmark = pytest.mark.timeout(1800)


def is_flavour(function: str) -> bool:
    """Whether a function is compiled in the sweep only: a search with other switches than `SEARCHES`."""
    return function.startswith(SEARCH) and function not in SEARCHES


def some() -> list[str]:
    """Of the representatives one for each function, and one for each form of a metric.

    Functions in float64 and in float32 in turn; metrics in turn without weights in float64, without in float32, with
    weights in float32, and with in float64.
    """
    functions: dict[str, list[str]] = {}
    metrics: dict[str, list[str]] = {}
    for name in catalogue.representatives():
        function, made_for, _ = form(name)
        if function == catalogue.SHORTEST:
            if made_for.split()[0] in FORMS:
                metrics.setdefault(made_for.split()[0], []).append(name)
        elif not is_flavour(function):
            functions.setdefault(function, []).append(name)
    chosen = [names[place % len(names)] for place, names in enumerate(functions.values())]
    return chosen + [names[(place + 1) // 2 % len(names)] for place, names in enumerate(metrics.values())]


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.sweep)])
def records(request) -> Mapping[str, Record]:
    """The records of each kernel for every architecture, or of some for one: sm_90, or in turn another one."""
    folder = request.config.cache.mkdir("cuda-catalogue")
    if request.param == "all":
        wanted = {
            name: [cc for cc in assembled() if cc == (9, 0) or form(name).made_for in ("", *THOROUGHLY)]
            for name in kernels()
        }
        return catalogue.survey(wanted, folder)
    others = itertools.cycle(cc for cc in ARCHITECTURES if cc != (9, 0))
    targets = {
        name: [(9, 0)] if place % 3 else [next(cc for cc in others if cc in supported(kernels()[name]))]
        for place, name in enumerate(some())
    }
    wanted = {name: [cc for cc in each if cc in assembled()] for name, each in targets.items()}
    return catalogue.survey(wanted, folder, targets, targets, workers=1)  # other tests are run beside


@pytest.mark.parametrize("target", [sm(cc) for cc in ARCHITECTURES])
@pytest.mark.parametrize("name", RULES)
def test_every_kernel_keeps(records, name, target):
    broken = {
        kernel: RULES[name](kernels()[kernel], record.facts[target])
        for kernel, record in records.items()
        if target in record.facts
    }
    fail_for(f"{name} on {target}", broken)


@needs_assembler
@pytest.mark.parametrize("target", [sm(cc) for cc in ARCHITECTURES])
@pytest.mark.parametrize("name", LIMITED)
def test_every_kernel_fits(records, name, target):
    broken = {
        kernel: LIMITED[name](kernels()[kernel], record.resources[target])
        for kernel, record in records.items()
        if target in record.resources
    }
    fail_for(f"{name} on {target}", broken)


def fail_for(what: str, broken: Mapping[str, object]) -> None:
    assert broken, f"{what}: no kernel was looked at"
    said = [f"  {kernel}: {why}" for kernel, why in broken.items() if why]
    if said:
        pytest.fail("\n".join((f"{what}: {len(said)} of {len(broken)} kernels", *said)), pytrace=False)


def test_every_kernel_compiles_for_every_architecture(records):
    assert len(records) in (len(kernels()), len(some()))
    fail_for("compiles", {name: record.errors for name, record in records.items()})
    seen = {name: record.facts.keys() for name, record in records.items()}
    assert set().union(*seen.values()) == set(map(sm, ARCHITECTURES))
    for name, each in seen.items():
        assert len(each) in (1, len(supported(kernels()[name])))


@needs_assembler
def test_as_many_blocks_are_resident_as_were_asked_for(records):
    """With its shared memory, on sm_90; a kernel may ask for what an older architecture can't give."""
    broken = {}
    for name, record in records.items():
        if "sm_90" not in record.resources:
            continue
        kernel, used = kernels()[name], record.resources["sm_90"]
        held = inspection.resident_blocks(kernel.threads, used.registers, record.facts["sm_90"].shared, (9, 0))
        broken[name] = held < kernel.resident and f"{held} blocks resident, not {kernel.resident}"
    fail_for("resident blocks on sm_90", broken)


def test_representatives_are_of_all_kinds():
    """Every function in every dtype, every metric with and without weights, and both dtypes of every metric."""
    every, few = ([form(name) for name in names] for names in (kernels(), catalogue.representatives()))
    assert len(every) > 300
    assert len(few) < 0.3 * len(every)
    assert {each[::2] for each in few} == {each[::2] for each in every}
    assert {each.made_for for each in few} == {each.made_for for each in every}

    def metrics(forms):
        return {(each.made_for.split()[0], each.dtype) for each in forms if each.function == catalogue.SHORTEST}

    assert metrics(few) == metrics(every)


def test_what_is_compiled_here_is_of_all_kinds():
    """Every function but flavours, in either dtype; each form of a metric, with and without weights in both."""
    every, few = ([form(name) for name in names] for names in (kernels(), some()))
    assert {each.function for each in few} == {each.function for each in every if not is_flavour(each.function)}
    switches = [
        {word in name.split("_") for name in SEARCHES} for word in ("points", "products", "screened", "boxes")
    ]
    assert switches == [{True, False}] * 4
    functions = [each.dtype for each in few if each.function != catalogue.SHORTEST]
    assert min(functions.count(dtype) for dtype in ("float32", "float64")) > 15
    assert {each.made_for.split()[0] for each in few if each.function == catalogue.SHORTEST} == {*FORMS}
    kinds = [("weighted" in each.made_for, each.dtype) for each in few if each.function == catalogue.SHORTEST]
    assert min(kinds.count((weighted, dtype)) for weighted in (True, False) for dtype in ("float32", "float64")) > 0


def test_kernels_have_names_of_their_own():
    names = [kernel.name for kernel in kernels().values()]
    assert not {name for name in names if names.count(name) > 1}


@pytest.mark.parametrize(
    ("name", "function", "made_for", "dtype"),
    [
        ("pairwise.pairwise_dice_True_float32", "pairwise.pairwise", "dice weighted", "float32"),
        ("pairwise.pairwise_dice_False_float64", "pairwise.pairwise", "dice", "float64"),
        ("generic.merge_stored_median_float64", "generic.merge_stored", "median", "float64"),
        ("between.between_nan_euclidean_False_float32", "between.between", "nan_euclidean", "float32"),
        ("pairwise.pairwise_unfused_dice_True_float32", "pairwise.pairwise_unfused", "dice weighted", "float32"),
        ("cophenetic.windows_int32", "cophenetic.windows", "", "int32"),
        ("tiles.fold", "tiles.fold", "", ""),
    ],
)
def test_forms(name, function, made_for, dtype):
    assert form(name) == (function, made_for, dtype)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_distances_in_float32_are_fused_or_have_the_bits_of_the_cpu(metric):
    names = (f"pairwise.pairwise_{unfused}{metric}_False_float32" for unfused in ("", "unfused_"))
    fused, unfused = (inspection.compile(kernels()[name], [(8, 0)])[8, 0] for name in names)
    assert "fma.rn.f32" in fused
    assert "fma.rn.f32" not in unfused
    assert "mul.rn.f32" in unfused


def test_ptx_is_the_same_by_the_public_way(monkeypatch):
    """Types are inferred once for all architectures; by Numba's public function each time. The outcome is one."""
    chosen = kernels()["tiles.minima_float32"]
    capabilities = [(8, 0), (12, 0)]
    once = inspection.compile(chosen, capabilities)
    monkeypatch.setattr(inspection, "_library", lambda *_: None)
    each = inspection.compile(chosen, capabilities)

    def numbered(ptx: str) -> str:  # symbols count the compilations of a process
        return re.sub(r"B\d+v\d+|_v?\d+|\$\d+", "", re.sub(r"_ZN\w+", "", ptx))

    assert {cc: numbered(ptx) for cc, ptx in once.items()} == {cc: numbered(ptx) for cc, ptx in each.items()}


def test_occupancy_is_the_programming_guides():
    occupancy, resident = inspection.occupancy, inspection.resident_blocks
    assert occupancy(256, 32, 0, (8, 0)) == 1
    assert occupancy(256, 128, 0, (9, 0)) == 0.25
    assert resident(256, 255, 0, (9, 0)) == 1
    assert resident(256, 64, 0, (7, 5)) == 4
    assert resident(256, 16, 48 * 1024, (7, 5)) == 1
    assert resident(256, 16, 48 * 1024, (12, 0)) == 2
    assert resident(32, 16, 0, (12, 0)) == LIMITS[12, 0].blocks
    assert resident(1024, 65, 0, (9, 0)) == 0


@needs_assembler
def test_newer_ptx_than_ptxas_reads_is_taken():
    @kernel(types.float64[::1], threads=128)
    def nothing(x):
        x[0] = 0

    ptx = inspection.compile(nothing)[9, 0]
    assert inspection.resources(re.sub(r"\.version .*", ".version 99.9", ptx), (9, 0)).registers > 0
    with pytest.raises(RuntimeError, match="ptxas"):
        inspection.resources(ptx.replace("st.global", "st.nowhere"), (9, 0))


class Pool:
    """Instead of processes: notes which kernels are looked at, and for what."""

    looked_at: list[str]
    asked: dict[str, tuple[object, object]]

    def __init__(self, *_, **__): ...

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def map(self, function, chunks):
        for chunk in chunks:
            self.looked_at.extend(chunk)
            self.asked.update(chunk)
            fact, used = Facts(0, 0, 0, 0, 0, 0, [], []), Resources(16, 0, 0)
            yield {
                name: Record({sm(cc): fact for cc in targets}, {sm(cc): used for cc in assembled}, {})
                for name, (assembled, targets) in chunk.items()
            }


@pytest.fixture
def two(monkeypatch):
    """A catalogue of two kernels, which are not compiled."""
    some = {name: kernels()[name] for name in ("tiles.fold_float64", "candidates.nearest_of_pairs_float64")}
    monkeypatch.setattr(catalogue, "kernels", lambda: some)
    monkeypatch.setattr(catalogue, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(Pool, "looked_at", [], raising=False)
    monkeypatch.setattr(Pool, "asked", {}, raising=False)
    return some


def test_a_changed_source_is_looked_at_again(tmp_path, monkeypatch, two):
    """Only kernels whose module imports it; and a second run finds everything on disk."""
    some, looked_at, targets = two, Pool.looked_at, {name: [(9, 0)] for name in two}
    keys = {"tiles.fold_float64": "a", "candidates.nearest_of_pairs_float64": "b"}
    monkeypatch.setattr(catalogue, "_keys", lambda: keys)
    first = catalogue.survey({}, tmp_path, targets=targets)
    assert sorted(looked_at) == sorted(some)
    looked_at.clear()
    assert catalogue.survey({}, tmp_path, targets=targets) == first
    assert looked_at == []
    keys["tiles.fold_float64"] = "c"
    catalogue.survey({}, tmp_path, targets=targets)
    assert looked_at == ["tiles.fold_float64"]
    looked_at.clear()
    catalogue.survey(targets, tmp_path, targets=targets)  # what was not assembled before is
    assert sorted(looked_at) == sorted(some)
    looked_at.clear()
    catalogue.survey({}, tmp_path)  # and what was not compiled for all architectures
    assert sorted(looked_at) == sorted(some)


def test_the_table_is_made_of_what_it_shows_and_says_how_far_it_is(tmp_path, monkeypatch, two, capsys):
    """Kernels are compiled for the architectures of its columns only; a run that was stopped is continued."""
    monkeypatch.setattr(catalogue, "CHUNK", 1)
    monkeypatch.setattr(catalogue, "assembled", lambda: catalogue.SHOWN)

    class Stopped(Pool):
        def map(self, function, chunks):
            yield next(iter(super().map(function, chunks)))
            raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "ProcessPoolExecutor", Stopped)
    with pytest.raises(KeyboardInterrupt):
        catalogue.write_readme(tmp_path / "README.md", tmp_path)
    assert capsys.readouterr().err == "0 of 2 kernels\n1 of 2 kernels\n"
    assert not (tmp_path / "README.md").exists()
    monkeypatch.setattr(catalogue, "ProcessPoolExecutor", Pool)
    catalogue.write_readme(tmp_path / "README.md", tmp_path)
    assert capsys.readouterr().err == "1 of 2 kernels\n2 of 2 kernels\n"
    assert sorted(Pool.looked_at) == sorted(two)
    assert set(Pool.asked.values()) == {(catalogue.SHOWN, catalogue.SHOWN)}
    assert (tmp_path / "README.md").read_text().count("| 16, 100% | 16, 100% | 16, 100% |") == 2


def test_what_decides_about_a_kernel():
    sources = {Path(path).name for path in catalogue._sources("gpuclust.kernels.cuda.tiles")}
    assert {"tiles.py", "launch.py", "closures.py"} <= sources
    assert not {"chain.py", "linkage.py"} & sources
    assert "metrics.py" in {Path(path).name for path in catalogue._sources("gpuclust.kernels.cuda.pairwise")}
    keys = catalogue._keys()
    assert keys.keys() == kernels().keys()
    assert keys["tiles.fold_float64"] != keys["chain.chain_average_float64"]


def test_the_readme_lists_every_kernel():
    """Its numbers depend on the compilers; its lines do not. Written by python -m gpuclust.kernels.cuda.catalogue."""
    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \| (\w*) \| (\d+) \|", text, re.MULTILINE)
    forms = [form(name) for name in kernels()]
    there = {(each.function, each.dtype): sum(each[::2] == other[::2] for other in forms) for each in forms}
    assert {(function, dtype): int(count) for function, dtype, count in listed} == there
