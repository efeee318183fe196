"""The launch layer: checks of arguments, counters, cached arrays; on a device, or emulated."""

from __future__ import annotations

import gc
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import ON_DEVICE, SIMULATED

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

from gpuclust.kernels.cuda import launch
from gpuclust.kernels.cuda.launch import INT, THREADS, cuda, kernel, types

pytestmark = ON_DEVICE


@kernel(types.float32[::1], types.float32, INT, types.float32[:, ::1])
def spread(x, factor, columns, out):
    """``factor`` times x in each of the columns."""
    i = cuda.grid(1)
    if i < x.size:
        for column in range(columns):
            out[i, column] = x[i] * factor


@pytest.fixture
def taken():
    """Arguments that `spread` takes."""
    x = launch.upload(np.arange(5, dtype=np.float32))
    return [x, 2, 3, launch.full((5, 4), -1, np.float32)]


def test_numbers_are_converted(taken):
    for factor in (2, 2.0, np.float64(2), np.float32(2), np.int8(2)):
        taken[1], taken[3] = factor, launch.full((5, 4), -1, np.float32)
        spread(1, *taken)
        expected = np.repeat([[0], [2], [4], [6], [8]], 4, axis=1)
        expected[:, 3] = -1
        np.testing.assert_array_equal(launch.download(taken[3]), expected)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, lambda: launch.empty(5, np.float64)),
        (0, lambda: launch.empty(5, np.int32)),
        (0, lambda: launch.empty((5, 1), np.float32)),
        (0, lambda: launch.empty(10, np.float32)[::2]),
        (3, lambda: launch.empty((5, 4), np.float64)),
        (3, lambda: launch.empty(20, np.float32)),
        (3, lambda: launch.empty((4, 5), np.float32).T),
        (3, lambda: launch.empty((5, 8), np.float32)[:, :4]),
    ],
)
def test_other_arrays_are_refused(taken, place, wrong):
    taken[place] = wrong()
    before = launch.download(taken[3]) if place != 3 else None
    with pytest.raises(TypeError, match=r"spread takes array\(float32.*, got a \d-dimensional array of "):
        spread(1, *taken)
    if before is not None:
        np.testing.assert_array_equal(launch.download(taken[3]), before)


def test_another_number_of_arguments_is_refused(taken):
    for arguments in ([], taken[:-1], [*taken, 1]):
        with pytest.raises(TypeError, match=rf"spread takes 4 arguments, got {len(arguments)}\."):
            spread(1, *arguments)


def test_no_blocks_launch_nothing(taken):
    before = launch.counts["launches"]
    spread(0, *taken)
    assert launch.counts["launches"] == before
    assert (launch.download(taken[3]) == -1).all()
    spread(1, *taken)
    assert launch.counts["launches"] == before + 1


def test_more_threads_than_elements():
    """Blocks are rounded up; what is past the end is left alone."""
    for n in (1, THREADS - 1, THREADS, THREADS + 1, 3 * THREADS):
        x = launch.upload(np.arange(n, dtype=np.float32))
        out = launch.full((n, 1), -1, np.float32)
        blocks = launch.blocks_for(n)
        assert (blocks - 1) * THREADS < n <= blocks * THREADS
        spread(blocks, x, 3, 1, out)
        np.testing.assert_array_equal(launch.download(out)[:, 0], 3 * np.arange(n))
    assert launch.blocks_for(0) == 0


def test_what_is_moved_is_counted():
    array = np.arange(12.0).reshape(3, 4)
    before = dict(launch.counts)

    def since(name: str) -> int:
        return launch.counts[name] - before.get(name, 0)

    there = launch.upload(array)
    assert (since("uploads"), since("bytes up"), since("downloads")) == (1, 96, 0)
    back = launch.download(there[1:])
    assert (since("uploads"), since("downloads"), since("bytes down")) == (1, 1, 64)
    np.testing.assert_array_equal(back, array[1:])
    assert since("launches") == 0


@pytest.mark.parametrize("out", [np.empty((3, 4)), np.empty((3, 8))[:, ::2], np.empty((3, 4), np.float32)])
def test_a_copy_goes_where_it_is_wanted(out):
    there = launch.upload(np.arange(12.0).reshape(3, 4))
    assert launch.download(there, out) is out
    np.testing.assert_array_equal(out, np.arange(12).reshape(3, 4))
    none = np.empty((0, 4))
    assert launch.download(launch.upload(none), none) is none


def test_copies_are_copies():
    array = np.arange(4.0)
    there = launch.upload(array)
    array[0] = 7
    back = launch.download(there)
    np.testing.assert_array_equal(back, [0, 1, 2, 3])
    back[1] = 8
    np.testing.assert_array_equal(launch.download(there), [0, 1, 2, 3])
    assert type(back) is np.ndarray


def test_what_is_not_contiguous_is_uploaded():
    array = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(launch.download(launch.upload(array.T)), array.T)
    assert launch.upload(array.T).flags.c_contiguous
    np.testing.assert_array_equal(launch.download(launch.upload(array[:, ::2])), array[:, ::2])


def test_new_arrays():
    array = launch.full((2, 3), np.inf, np.float32)
    assert array.dtype == np.float32
    assert (launch.download(array) == np.inf).all()
    assert launch.empty(0, np.int64).shape == (0,)
    assert launch.empty((4, 0), np.int32).dtype == np.int32


def test_a_resident_copy_is_made_once_and_dies_with_its_array():
    gc.collect()  # of what other tests have left
    array = np.arange(6.0)
    before, known = launch.counts["uploads"], len(launch._resident)
    there = launch.resident(array)
    assert launch.resident(array) is there
    other = launch.resident(array.copy())
    assert other is not there
    assert launch.counts["uploads"] == before + 2
    assert len(launch._resident) == known + 1  # the copy is gone already
    np.testing.assert_array_equal(launch.download(there), array)
    del array
    gc.collect()
    assert len(launch._resident) == known


def test_the_device_is_described():
    device = launch.current_device()
    assert device.name
    assert device.capability >= (7, 5)
    assert device.multiprocessors >= 1
    free, total = launch.free_memory()
    assert 0 < free <= total
    with launch.on_device(0):
        assert launch.current_device() == device


def test_sizes_fit_each_other():
    """Kernels index by masks and shifts."""
    assert launch.SIDE * launch.SIDE == THREADS
    for size in (THREADS, launch.SIDE, launch.TILE):
        assert size & (size - 1) == 0
    assert THREADS % launch.TILE == 0 or launch.TILE % THREADS == 0


@kernel(INT[::1], INT[::1], cooperative=True)
def in_two_steps(x, out):
    """Blocks read what others wrote, after all have written."""
    i = cuda.grid(1)
    x[i] = i * i
    cuda.cg.this_grid().sync()
    out[i] = x[x.size - 1 - i]


def test_blocks_of_a_cooperative_launch_wait_for_each_other():
    blocks = min(in_two_steps.most_blocks(), 4)
    assert blocks >= 1
    x, out = launch.empty(blocks * THREADS, np.int64), launch.empty(blocks * THREADS, np.int64)
    in_two_steps(blocks, x, out)
    np.testing.assert_array_equal(launch.download(out), np.arange(blocks * THREADS)[::-1] ** 2)


@pytest.mark.skipif(not SIMULATED, reason="compiled kernels give no warnings")
def test_arithmetic_gives_no_warnings():
    """A device divides by zero without a word; warnings are errors here."""

    @kernel(types.float64[::1])
    def divide(x):
        x[0] = x[1] / x[2]

    x = launch.upload(np.array([1.0, 0.0, 0.0]))
    divide(1, x)
    assert np.isnan(x[0])


def test_a_kernel_has_one_signature_and_name():
    assert spread.name == "spread"
    assert (spread.threads, spread.resident, spread.cooperative) == (THREADS, 1, False)
    assert len(spread.signature) == 4
