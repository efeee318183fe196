"""Kernels for CUDA are compiled for every architecture, and obey the rules; no GPU is needed.

``make test`` compiles representatives: every function in every dtype, every metric; ``make test-sweep`` every kernel.
The checks of the rules are tested with kernels that break them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import EMULATED

if EMULATED:
    pytest.skip("kernels are compiled in the run without emulation", allow_module_level=True)
if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.kernels.cuda import catalogue, inspection
from gpuclust.kernels.cuda.catalogue import Record, examine, form, kernels
from gpuclust.kernels.cuda.inspection import ARCHITECTURES, LIMITS, REGISTERS, Facts, assembled, sm
from gpuclust.kernels.cuda.launch import Kernel, cuda, kernel, types

if not inspection.has_compiler():
    pytest.skip("NVVM is not installed: pip install gpuclust[ptx]", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[1]
#: These call log or pow, which NVIDIA's library writes with fused multiply-adds.
FROM_LIBRARY = ("jensenshannon", "minkowski")
#: Kernels that may use local memory or a stack, and why.
ON_STACK: dict[str, str] = {
    "pairwise_haversine_False_float32": "the inverse sine is too long for the loop over sums to be unrolled",
}
#: Assembled for all architectures; the others for sm_90 only, to save time: ptxas takes longest.
THOROUGHLY = ("euclidean", "sqeuclidean", "cosine", "jaccard weighted", "minkowski weighted")

pytestmark = pytest.mark.timeout(1800)

needs_assembler = pytest.mark.skipif(not assembled(), reason="ptxas is not on PATH")


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.sweep)])
def records(request) -> Mapping[str, Record]:
    """The records of each kernel for every architecture, or of representatives for sm_90 and one more, in turn."""
    folder = request.config.cache.mkdir("cuda-catalogue")
    if request.param == "all":
        wanted = {
            name: [cc for cc in assembled() if cc == (9, 0) or form(name).made_for in ("", *THOROUGHLY)]
            for name in kernels()
        }
        return catalogue.survey(wanted, folder)
    others = itertools.cycle(cc for cc in ARCHITECTURES if cc != (9, 0))
    targets = {name: [(9, 0), next(others)] for name in catalogue.representatives()}
    wanted = {name: [cc for cc in two if cc in assembled()] for name, two in targets.items()}
    return catalogue.survey(wanted, folder, targets, targets)


# -------------------------------------------------------------------------------------------------------- rules

Rule = Callable[[Kernel, Facts], object]
#: Name -> what is wrong with a kernel by its PTX: nothing, or what to say.
RULES: dict[str, Rule] = {}
#: The same, by what ptxas makes of it.
LIMITED: dict[str, Callable[[Kernel, inspection.Resources], object]] = {}


def rule(table: dict) -> Callable:
    return lambda function: table.setdefault(function.__name__, function)


def works_in(kernel: Kernel, dtype: str) -> bool:
    """Whether a type occurs among a kernel's arguments, by itself or in an array."""
    return any(dtype in str(kind) for kind in kernel.signature)


@rule(RULES)
def no_local_memory(kernel: Kernel, found: Facts):
    return found.local and kernel.name not in ON_STACK and f"{found.local} bytes of arrays are not in registers"


@rule(RULES)
def float32_stays_float32(kernel: Kernel, found: Facts):
    return found.doubles and not works_in(kernel, "float64") and f"{found.doubles} instructions in float64"


@rule(RULES)
def float64_is_not_contracted(kernel: Kernel, found: Facts):
    library = any(name in kernel.name for name in FROM_LIBRARY)
    return found.fused and not library and f"{found.fused} fused multiply-adds in float64"


@rule(RULES)
def atomics_in_any_order(kernel: Kernel, found: Facts):
    """Sums and minima of integers are the same in any order; a compare-and-swap may be anything."""
    allowed = re.compile(r"(atom|red)\.[\w.]*\b(add|min|max|and|or)\.([us]|b)(32|64)")
    return [name for name in found.atomics if not allowed.fullmatch(name)]


@rule(RULES)
def indices_do_not_wrap_around(kernel: Kernel, found: Facts):
    """Up to 2^31 points: what depends on a block's number has 64 bits before it is more than that."""
    return found.wrapped


@rule(RULES)
def launch_bounds_are_declared(kernel: Kernel, found: Facts):
    declared, asked = (found.threads, found.resident), (kernel.threads, kernel.resident)
    return declared != asked and f"declares (threads, resident blocks) {declared}, not {asked}"


@rule(RULES)
def shared_memory_fits(kernel: Kernel, found: Facts):
    return found.shared > 48 * 1024 and f"{found.shared} bytes of shared memory"


@rule(LIMITED)
def no_spills(kernel: Kernel, used: inspection.Resources):
    return used.spills and f"{used.spills} bytes are spilt, at {used.registers} registers"


@rule(LIMITED)
def no_stack(kernel: Kernel, used: inspection.Resources):
    return used.stack and kernel.name not in ON_STACK and f"{used.stack} bytes of stack"


@rule(LIMITED)
def registers_for_all_resident_blocks(kernel: Kernel, used: inspection.Resources):
    budget = min(255, REGISTERS // (kernel.threads * kernel.resident))
    return used.registers > budget and f"{used.registers} registers, {budget} are there"


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
    assert len(records) in (len(kernels()), len(catalogue.representatives()))
    fail_for("compiles", {name: record.errors for name, record in records.items()})
    seen = [record.facts.keys() for record in records.values()]
    assert set().union(*seen) == set(map(sm, ARCHITECTURES))
    assert all("sm_90" in each and len(each) in (2, len(ARCHITECTURES)) for each in seen)


@needs_assembler
def test_as_many_blocks_are_resident_as_were_asked_for(records):
    """With its shared memory, on sm_90; a kernel may ask for what an older architecture can't give."""
    broken = {}
    for name, record in records.items():
        kernel, used = kernels()[name], record.resources["sm_90"]
        held = inspection.resident_blocks(kernel.threads, used.registers, record.facts["sm_90"].shared, (9, 0))
        broken[name] = held < kernel.resident and f"{held} blocks resident, not {kernel.resident}"
    fail_for("resident blocks on sm_90", broken)


def test_representatives_are_of_all_kinds():
    """Every function in every dtype, every metric with and without weights, and both dtypes of every metric."""
    every, some = ([form(name) for name in names] for names in (kernels(), catalogue.representatives()))
    assert len(every) > 300
    assert len(some) < 0.3 * len(every)
    assert {each[::2] for each in some} == {each[::2] for each in every}
    assert {each.made_for for each in some} == {each.made_for for each in every}

    def metrics(forms):
        return {(each.made_for.split()[0], each.dtype) for each in forms if each.function == catalogue.SHORTEST}

    assert metrics(some) == metrics(every)


def test_kernels_have_names_of_their_own():
    names = [kernel.name for kernel in kernels().values()]
    assert not {name for name in names if names.count(name) > 1}


# ----------------------------------------------------------------------------------------- kernels that break them

F32, F64 = types.float32, types.float64


def planted(*signature, **options):
    return kernel(*signature, threads=128, **options)


def faults(kernel: Kernel) -> set[str]:
    record = examine(kernel, assembled())
    assert not record.errors
    assert record.facts.keys() == set(map(sm, ARCHITECTURES))
    broken = [{name for name, rule in RULES.items() if rule(kernel, found)} for found in record.facts.values()]
    assert all(found == broken[0] for found in broken), broken
    limited = {name for name, rule in LIMITED.items() for used in record.resources.values() if rule(kernel, used)}
    return broken[0] | limited


def test_a_kernel_that_keeps_the_rules():
    @planted(F64[::1], F64)
    def scaled(x, factor):
        i = cuda.grid(1)
        if i < x.size:
            x[i] = x[i] * factor

    assert faults(scaled) == set()


def test_an_array_that_is_indexed_at_run_time_is_noticed():
    @planted(F64[::1], types.int64)
    def shuffled(x, shift):
        values = cuda.local.array(16, F64)
        i = cuda.grid(1)
        for k in range(16):
            values[k] = x[i + k]
        x[i] = values[(i + shift) % 16]

    assert faults(shuffled) == {"no_local_memory", "no_stack"} if assembled() else {"no_local_memory"}


def test_a_float64_constant_in_float32_is_noticed():
    @planted(F32[::1])
    def halved(x):
        i = cuda.grid(1)
        x[i] = x[i] * 0.3

    assert faults(halved) == {"float32_stays_float32"}


def test_a_contracted_product_is_noticed():
    @planted(F64[::1], F64, F64)
    def contracted(x, a, b):
        i = cuda.grid(1)
        x[i] = x[i] * a + b

    assert faults(contracted) == {"float64_is_not_contracted"}


def test_a_sum_in_no_order_is_noticed():
    @planted(F64[::1], types.int64[::1])
    def summed(x, counts):
        cuda.atomic.add(counts, 0, 1)
        cuda.atomic.max(counts, 1, 7)
        cuda.atomic.add(x, 0, x[cuda.grid(1)])

    assert faults(summed) == {"atomics_in_any_order"}
    (found, *_) = examine(summed).facts.values()
    assert len(found.atomics) == 3


def test_a_compare_and_swap_is_noticed():
    @planted(F64[::1])
    def lowest(x):
        cuda.atomic.min(x, 0, x[cuda.grid(1)])

    assert faults(lowest) == {"atomics_in_any_order"}


def test_an_index_that_may_wrap_around_is_noticed():
    @planted(F64[:, ::1], types.int64)
    def scattered(x, height):
        first = np.int32(cuda.blockIdx.x * height)
        x[first, cuda.threadIdx.x] = 0

    @planted(F64[::1])
    def spread(x):
        x[np.int32(cuda.grid(1) * 3)] = 0

    assert faults(scattered) == faults(spread) == {"indices_do_not_wrap_around"}


def test_32_bits_that_are_no_index_are_not():
    """A number that is stored; one whose lower bits are all that counts; a division that 32 bits are enough for."""

    @planted(types.int32[::1], F64[::1], types.int64)
    def labelled(labels, x, across):
        place = cuda.grid(1)
        x[place % across] = x[place // across] + x[np.int32(place * 3) & 63]
        labels[place] = np.int32(place * 3)

    assert faults(labelled) == set()


def test_other_launch_bounds_are_noticed():
    @planted(F64[::1])
    def plain(x):
        x[0] = 0

    (found, *_) = examine(plain).facts.values()
    check = RULES["launch_bounds_are_declared"]
    assert not check(plain, found)
    assert check(Kernel(plain.function, plain.signature, threads=256), found)
    assert check(plain, inspection.facts(re.sub(r"\.maxntid.*", "", inspection.compile(plain)[9, 0])))


def test_too_much_shared_memory_is_noticed():
    @planted(F64[::1])
    def large(x):
        held = cuda.shared.array(7000, F64)
        held[cuda.threadIdx.x] = x[cuda.grid(1)]
        cuda.syncthreads()
        x[cuda.grid(1)] = held[127 - cuda.threadIdx.x]

    record = examine(large)
    assert all(RULES["shared_memory_fits"](large, found) for found in record.facts.values())
    assert {found.shared for found in record.facts.values()} == {56000}


@needs_assembler
def test_spills_are_noticed():
    @planted(F64[:, ::1], F64[::1], resident=16)  # 32 registers a thread
    def crowded(x, y):
        held = cuda.local.array(32, F64)
        for k in range(32):
            held[k] = x[k, cuda.grid(1)]
        for k in range(x.shape[0]):
            for i in range(32):
                held[i] = held[i] + held[(i + 5) % 32] / y[k]
        total = 0.0
        for k in range(32):
            total += held[k]
        y[cuda.grid(1)] = total

    assert "no_spills" in faults(crowded)


@needs_assembler
def test_registers_are_counted():
    check = LIMITED["registers_for_all_resident_blocks"]

    def wide(resident: int) -> Kernel:
        return Kernel(lambda: None, (), threads=256, resident=resident)

    assert not check(wide(2), inspection.Resources(128, 0, 0))
    assert check(wide(2), inspection.Resources(129, 0, 0))
    assert not check(wide(1), inspection.Resources(255, 0, 0))


def test_what_does_not_compile_is_said():
    @planted(F64[::1])
    def wrong(x):
        x[0] = x.nothing_of_the_kind

    record = examine(wrong)
    assert not record.facts
    assert "nothing_of_the_kind" in record.errors["all"]


# -------------------------------------------------------------------------------------------- the catalogue itself


@pytest.mark.parametrize(
    ("name", "function", "made_for", "dtype"),
    [
        ("pairwise.pairwise_dice_True_float32", "pairwise.pairwise", "dice weighted", "float32"),
        ("pairwise.pairwise_dice_False_float64", "pairwise.pairwise", "dice", "float64"),
        ("generic.merge_stored_median_float64", "generic.merge_stored", "median", "float64"),
        ("fill.between_nan_euclidean_False_float32", "fill.between", "nan_euclidean", "float32"),
        ("cophenetic.windows_int32", "cophenetic.windows", "", "int32"),
        ("tiles.fold", "tiles.fold", "", ""),
    ],
)
def test_forms(name, function, made_for, dtype):
    assert form(name) == (function, made_for, dtype)


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
    @planted(F64[::1])
    def nothing(x):
        x[0] = 0

    ptx = inspection.compile(nothing)[9, 0]
    assert inspection.resources(re.sub(r"\.version .*", ".version 99.9", ptx), (9, 0)).registers > 0
    with pytest.raises(RuntimeError, match="ptxas"):
        inspection.resources(ptx.replace("st.global", "st.nowhere"), (9, 0))


def test_a_changed_source_is_looked_at_again(tmp_path, monkeypatch):
    """Only kernels whose module imports it; and a second run finds everything on disk."""
    some = {name: kernels()[name] for name in ("tiles.fold_float64", "candidates.nearest_of_pairs_float64")}
    monkeypatch.setattr(catalogue, "kernels", lambda: some)
    looked_at, targets = [], {name: [(9, 0)] for name in some}

    class Pool:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def map(self, function, chunks):
            looked_at.extend(name for chunk in chunks for name in chunk)
            return [
                {name: Record({"sm_90": Facts(0, 0, 0, 0, 0, 0, [], [])}, {}, {}) for name in chunk}
                for chunk in chunks
            ]

    monkeypatch.setattr(catalogue, "ProcessPoolExecutor", Pool)
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
