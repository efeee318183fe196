"""Arrays on a device: points and condensed distances that stay there, other libraries' arrays, and ``output``."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from conftest import DTYPES, EMULATED, METHODS, one_of_each_form, plainly, points_for, rarely_float32
from covering import covering
from fake_cuda import H200, DeviceArray

import gpuclust
from gpuclust.algorithms import costs
from gpuclust.compute import compute
from gpuclust.core import devices, metrics, preparation
from gpuclust.core.device import Device
from gpuclust.core.observations import as_array, place, to_host
from gpuclust.distance import cdist, pdist
from gpuclust.errors import BackendUnavailable


@plainly
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [20, 1500])
def test_points_on_a_device_stay_there(machine, method, n):
    X = points_for("euclidean", n, 3)
    Z = gpuclust.linkage(DeviceArray(X), method, device="cuda")
    assert machine.kept == [True] * len(machine.kept)
    assert machine.kept
    assert DeviceArray.fetched == 0
    np.testing.assert_array_equal(Z, gpuclust.linkage(X, method, device="cpu"))


#: Not dice, whose summary is a sum.
STAYING = [
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "euclidean",
    "hamming",
    "minkowski",
    "nan_euclidean",
    "sqeuclidean",
]


def parameters(metric):
    return {"p": 3} if metric == "minkowski" else {}


def test_metrics_whose_points_stay():
    assert {name for name in metrics.METRICS if preparation.keeps_points(name, **parameters(name))} == {*STAYING}


@plainly
@pytest.mark.parametrize("metric", one_of_each_form(metrics.METRICS, ("euclidean", "minkowski", "jaccard")))
def test_points_of_every_metric(machine, metric):
    """They stay where the metric takes them as they are; the others are brought over once, not more often."""
    X = points_for(metric, 60, 5)
    arguments, stays = parameters(metric), metric in STAYING
    X = X if X.dtype == bool else X.astype(np.float32)  # to be converted there
    found = compute(DeviceArray(X), "average", metric, device="cuda", dtype="float64", **arguments)
    assert machine.kept == [stays] * len(machine.kept) != []
    assert DeviceArray.fetched == (0 if stays else 1)
    expected = compute(X, "average", metric, device="cpu", dtype="float64", **arguments)
    np.testing.assert_array_equal(found.Z, expected.Z)


@plainly
@pytest.mark.parametrize(("method", "dtype"), covering(METHODS, DTYPES, rare=rarely_float32))
def test_condensed_on_a_device(machine, method, dtype):
    Y = pdist(points_for("euclidean", 40, 3), device="cpu")
    Z = gpuclust.linkage(DeviceArray(Y), method, device="cuda", dtype=dtype)
    assert DeviceArray.fetched == 0
    np.testing.assert_array_equal(Z, gpuclust.linkage(Y, method, device="cpu", dtype=dtype))


@plainly
def test_the_cpu_gets_them_once(machine):
    X = points_for("euclidean", 40, 3)
    np.testing.assert_array_equal(
        gpuclust.linkage(DeviceArray(X), "ward", device="cpu"), gpuclust.linkage(X, "ward", device="cpu")
    )
    assert DeviceArray.fetched == 1
    assert machine.calls == []
    np.testing.assert_array_equal(pdist(DeviceArray(X), device="cpu"), pdist(X, device="cpu"))
    np.testing.assert_array_equal(cdist(DeviceArray(X), X, device="cpu"), cdist(X, X, device="cpu"))
    metric = lambda x, y: abs(x - y).max()  # noqa: E731
    np.testing.assert_array_equal(
        gpuclust.linkage(DeviceArray(X), "average", metric), gpuclust.linkage(X, "average", "chebyshev", device="cpu")
    )
    assert DeviceArray.fetched == 4


@plainly
def test_auto_stays_on_the_device_that_holds_them(machine, monkeypatch):
    monkeypatch.setenv("GPUCLUST_NUM_THREADS", "1")
    monkeypatch.setattr(costs, "START", 1e-9)
    monkeypatch.setattr(costs, "on_card", lambda *arguments: 1e-9)
    X = points_for("euclidean", 700, 3)
    assert compute(DeviceArray(X, 1), "ward").plan.device == "cuda:1"
    assert compute(DeviceArray(X, 1), "ward", device="cuda").plan.device == "cuda"
    assert DeviceArray.fetched == 0


@plainly
def test_other_libraries_arrays_are_taken_on_their_own_device(machine):
    class Tensor:
        def __init__(self, array):
            self.array = array
            self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3}

        def __array__(self, *args, **kwargs):
            return self.array  # what the fake CuPy makes of a pointer

    X = points_for("euclidean", 20, 3)
    taken = as_array(Tensor(X))
    assert taken.device.id == 1
    np.testing.assert_array_equal(gpuclust.linkage(Tensor(X), device="cuda:1"), gpuclust.linkage(X, device="cpu"))


@plainly
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_are_looked_at_on_the_device(machine, value):
    X = points_for("euclidean", 20, 3)
    X[7, 2] = value
    with pytest.raises(ValueError, match=f"got {value} in row 7, column 2"):
        gpuclust.linkage(DeviceArray(X), device="cuda")
    with pytest.raises(ValueError, match=r"got -1\.0 at index 2"):
        gpuclust.linkage(DeviceArray([0, 0, -1.0]), "ward", device="cuda")
    with pytest.warns(gpuclust.ClusterWarning, match="squareform"):
        gpuclust.linkage(DeviceArray(np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])), device="cuda")
    with pytest.raises(ValueError, match="1 or 2 dimensional"):
        gpuclust.linkage(DeviceArray(np.zeros((2, 2, 2))), device="cuda")
    assert DeviceArray.fetched == 0


@plainly
def test_what_lies_on_a_device_that_cannot_be_used(bare):
    """torch's and Numba's arrays are brought over by their own means, others are refused with the reason."""
    bare.setattr(devices, "missing", lambda: devices.Lack("CuPy", "CuPy is not installed", "pip install it"))
    X = points_for("euclidean", 20, 3)

    class Strange:
        def __init__(self):
            self.__cuda_array_interface__ = {"shape": (20, 3)}

    class Tensor(Strange):
        requires_grad = False

        def cpu(self):
            return X

    np.testing.assert_array_equal(gpuclust.linkage(Tensor(), "ward"), gpuclust.linkage(X, "ward"))

    with pytest.raises(TypeError, match="Strange on a CUDA device cannot be read here, as CuPy is not installed"):
        gpuclust.linkage(Strange())


class Exchanged:
    """An array that can be had by DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_of_the_host():
    X = points_for("euclidean", 20, 3)
    assert np.shares_memory(as_array(Exchanged(X)), X)
    np.testing.assert_array_equal(gpuclust.linkage(Exchanged(X), "ward"), gpuclust.linkage(X, "ward"))
    np.testing.assert_array_equal(pdist(Exchanged(X)), pdist(X))


class Gradient:
    """torch's tensor with a gradient hands out nothing; detached, it does."""

    requires_grad = True

    def __init__(self, array):
        self.array = array

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return self.array


def test_a_gradient_is_left_aside():
    X = points_for("euclidean", 20, 3)
    assert as_array(Gradient(X)) is X


class OnDevice:
    """Memory with a CUDA array interface; emulated, it is the host's."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3}


@pytest.mark.skipif(not EMULATED, reason="memory of the host in the guise of a device's")
def test_cuda_array_interface():
    X = points_for("euclidean", 20, 6)[:, ::2]
    taken = as_array(OnDevice(X))
    assert np.shares_memory(taken, X)
    np.testing.assert_array_equal(taken, X)
    owner = weakref.ref(X)
    del X
    assert owner() is not None, "the array keeps its memory"
    np.testing.assert_array_equal(gpuclust.linkage(OnDevice(taken), "ward"), gpuclust.linkage(taken, "ward"))
    for device in ("cpu", "cuda"):
        Z = gpuclust.linkage(OnDevice(np.asfortranarray(taken)), "complete", device=device)
        np.testing.assert_array_equal(Z, gpuclust.linkage(taken, "complete"))
    np.testing.assert_array_equal(pdist(OnDevice(taken), device="cuda"), pdist(taken, device="cpu"))


def test_place():
    X = np.zeros((3, 2))
    assert place(X, Device("cuda")) is X
    assert to_host(X) is X


@plainly
def test_results_go_where_they_are_wanted(machine, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: True)
    X = points_for("euclidean", 20, 3)
    Z = gpuclust.linkage(X, "ward")
    for result, expected in (
        (gpuclust.fcluster(Z, 3, "maxclust", output="cupy"), gpuclust.fcluster(Z, 3, "maxclust")),
        (pdist(X, device="cpu", output="cupy"), pdist(X)),
        (cdist(X, X, device="cpu", output="cupy"), cdist(X, X)),
        (pdist(X, lambda x, y: 1.0, output="cupy"), np.ones(190)),
        (gpuclust.cophenet(Z, output="cupy"), gpuclust.cophenet(Z)),
        (gpuclust.cophenet(Z, DeviceArray(pdist(X)), output="cupy")[1], gpuclust.cophenet(Z)),
    ):
        assert isinstance(result, DeviceArray)
        np.testing.assert_array_equal(result.data, expected)


@plainly
def test_output_is_refused_at_once(bare):
    Z = np.array([[0, 1, 1.0, 2]])
    for function, arguments in (
        (gpuclust.fcluster, (Z, 1)),
        (gpuclust.cophenet, (Z,)),
        (pdist, ([[0.0], [1.0]],)),
        (cdist, ([[0.0]], [[1.0]])),
    ):
        with pytest.raises(ValueError, match="Unknown output 'cuda'"):
            function(*arguments, output="cuda")
        bare.setattr(devices, "_driver", lambda process: (0, (), devices.Lack("driver", "no driver is found", "")))
        with pytest.raises(BackendUnavailable, match='output="cupy" was asked for, but no driver is found'):
            function(*arguments, output="cupy")
        bare.setattr(devices, "_driver", lambda process: (12040, (H200,), None))
        bare.setattr(devices, "find_spec", lambda name: None)
        with pytest.raises(BackendUnavailable, match=r'CuPy is not installed: pip install "gpuclust\[cuda12\]"'):
            function(*arguments, output="cupy")


@plainly
def test_out_is_for_numpy(machine, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: True)
    with pytest.raises(ValueError, match="does not go with output='cupy'"):
        pdist([[0.0], [1.0]], out=np.empty(1), output="cupy")
