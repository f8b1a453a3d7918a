"""Which device a name means, what is said where it can't be used, and the operations that differ between the two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_device import FakeCupy, make_fake_cupy

import xpnn
from xpnn.backend import (
    INSTALL_CUPY,
    Device,
    all_finite,
    get_xp,
    matmul,
    take,
    to_device,
    to_host,
    why_no_cuda,
    xp_of,
)
from xpnn.errors import DeviceError

NO_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
NO_CARD = "cudaErrorNoDevice: no CUDA-capable device is detected"

Install = Callable[[Any], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a module what `import cupy` finds; None: it isn't installed."""

    def put(module: Any) -> None:
        if module is None:
            monkeypatch.delitem(sys.modules, "cupy", raising=False)
            monkeypatch.setattr(sys, "meta_path", [_NotInstalled, *sys.meta_path])
        else:
            monkeypatch.setitem(sys.modules, "cupy", module)

    return put


class _NotInstalled:
    """Says of CuPy what the import system says of a package that isn't there."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "cupy":
            raise ModuleNotFoundError("No module named 'cupy'", name="cupy")


@pytest.fixture
def broken_cupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a CuPy with this source what `import cupy` finds."""

    def write(source: str) -> None:
        (tmp_path / "cupy.py").write_text(source, encoding="utf-8")
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    return write


def problem_of(name: str) -> str:
    """What Device.named says, which is one line."""
    with pytest.raises(DeviceError) as caught:
        Device.named(name)
    text = str(caught.value)
    assert text.startswith(f"device {name} can't be used: ")
    assert "\n" not in text
    return text


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize(
    ("name", "device", "text"),
    [
        ("cpu", Device("cpu"), "cpu"),
        ("cuda", Device("cuda", 0), "cuda:0"),
        ("cuda:0", Device("cuda", 0), "cuda:0"),
        ("cuda:1", Device("cuda", 1), "cuda:1"),
        ("auto", Device("cuda", 0), "cuda:0"),
    ],
)
def test_name_means_device(name: str, device: Device, text: str) -> None:
    assert Device.named(name) == device
    assert str(Device.named(name)) == text
    assert Device.named(device) == device
    assert Device.named(text) == device
    assert Device.is_name(name)
    assert get_xp(name) is device.xp is get_xp(device)
    assert xpnn.MLP([2, 2], device=name).device == device


def test_xp_is_the_module(fake_cupy: FakeCupy) -> None:
    assert get_xp("cpu") is np
    assert get_xp("cuda") is get_xp("cuda:1") is get_xp() is fake_cupy


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpu",
        "CPU",
        "CUDA",
        " cuda",
        "cuda:",
        "cuda:x",
        "cuda:-1",
        "cuda:1.0",
        "cuda:²",
        "cuda:1:2",
        "cuda:12345",
        "cuda:٣",
        "cpu:0",
        "auto:0",
    ],
)
def test_unknown_name(name: str) -> None:
    for use in (Device.named, get_xp, lambda name: xpnn.MLP([2, 2], device=name)):
        with pytest.raises(ValueError, match=r"unknown device .*: choose auto, cpu, cuda or cuda:N"):
            use(name)
    assert not Device.is_name(name)


def test_cuda_without_cupy(install: Install) -> None:
    install(None)

    assert problem_of("cuda").endswith(f"CuPy is not installed; {INSTALL_CUPY}")


def test_cuda_with_the_import_of_cupy_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)

    assert INSTALL_CUPY in problem_of("cuda")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import fastrlock_that_is_missing", "No module named 'fastrlock_that_is_missing'"),
        ("raise ImportError('libnvrtc.so.12: cannot open shared object file')\n", "libnvrtc.so.12: cannot open"),
        ("raise ImportError('CuPy failed to load:\\n\\na long text')", "CuPy failed to load:"),
        ("raise OSError", "OSError"),
        ("1 / 0", "division by zero"),
    ],
)
def test_cuda_with_a_broken_cupy(broken_cupy: Callable[[str], None], source: str, reason: str) -> None:
    broken_cupy(source)

    problem = problem_of("cuda")
    assert reason in problem
    assert problem.endswith(f"reinstall it: {INSTALL_CUPY}")
    assert Device.named("auto") == Device("cpu")


@pytest.mark.parametrize(
    ("devices", "failure", "name", "words"),
    [
        (1, NO_DRIVER, "cuda", ["no NVIDIA driver", "install or update the driver", INSTALL_CUPY]),
        (1, NO_CARD, "cuda", ["no CUDA card", "nvidia-smi", "--device cpu"]),
        (1, "cudaErrorUnknown: unknown error", "cuda", ["cudaErrorUnknown: unknown error", "--device cpu"]),
        (0, None, "cuda", ["there is no cuda:0; the devices here are: none"]),
        (2, None, "cuda:2", ["there is no cuda:2; the devices here are: cuda:0, cuda:1"]),
        (1, RuntimeError("no libnvrtc\nmore"), "cuda", ["can't run on cuda:0 (no libnvrtc)", "pip install"]),
        (1, OSError(), "cuda:0", ["can't run on cuda:0 (OSError)", "pip install"]),
        (1, MemoryError("out of memory"), "cuda", ["out of memory"]),
    ],
)
def test_cuda_that_fails(
    install: Install, devices: int, failure: str | Exception | None, name: str, words: list[str]
) -> None:
    install(make_fake_cupy(devices, failure))

    problem = problem_of(name)
    assert [word for word in words if word not in problem] == []
    with pytest.raises(DeviceError, match="can't be used"):
        get_xp(name)
    with pytest.raises(DeviceError, match="can't be used"):
        xpnn.MLP([2, 2], device=name)


@pytest.mark.parametrize(
    "module", [None, *(make_fake_cupy(failure=why) for why in (NO_DRIVER, NO_CARD, RuntimeError("no compiler")))]
)
def test_auto_falls_back_to_the_cpu(install: Install, module: Any) -> None:
    install(module)

    assert Device.named("auto") == Device("cpu")
    assert get_xp() is get_xp("auto") is np
    assert why_no_cuda()


def test_cpu_does_not_ask_for_cupy(install: Install) -> None:
    install(None)

    assert get_xp("cpu") is np
    with Device("cpu").active():
        assert xp_of(np.zeros(1)) is np


def test_active_makes_arrays_on_the_device(fake_cupy: FakeCupy) -> None:
    with Device("cuda", 1).active():
        array = fake_cupy.zeros(2)
    with pytest.raises(ValueError, match="Array device must be same"):
        fake_cupy.add(array, 1)


def test_xp_of_arrays(device: str, xp: ModuleType) -> None:
    array = xp.zeros(2)

    assert xp_of(array) is xp_of(array, array[0], array.T) is xp
    assert get_xp(device) is xp


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("order", [1, -1])
def test_xp_of_a_mix(order: int) -> None:
    arrays = [np.zeros(2), get_xp("cuda").zeros(2)][::order]

    with pytest.raises(TypeError, match=r"host \(NumPy\) and device \(CuPy\) arrays are mixed; move one"):
        xp_of(*arrays)


@pytest.mark.parametrize(
    ("arrays", "kinds"),
    [
        ((), "nothing"),
        ((1.0,), "float"),
        (([1, 2],), "list"),
        ((np.zeros(1), [1]), "list, ndarray"),
        ((None, "text"), "NoneType, str"),
        ((type("ndarray", (), {"__module__": "numpyro"})(),), "ndarray"),
    ],
)
def test_xp_of_what_is_no_array(arrays: tuple[Any, ...], kinds: str) -> None:
    with pytest.raises(TypeError, match=f"expected NumPy or CuPy arrays, not {kinds}$"):
        xp_of(*arrays)


def test_cupy_is_not_imported_for_the_cpu(tmp_path: Path) -> None:
    program = """
import sys, numpy, xpnn
net = xpnn.MLP([2, 3, 2], device="cpu")
net.train(numpy.zeros((4, 2)), numpy.array([0, 1, 0, 1]), epochs=1)
net.query(numpy.zeros(2))
try:
    xpnn.backend.xp_of([1])
except TypeError:
    print(sorted({name.partition(".")[0] for name in sys.modules} & {"cupy", "cupyx", "cupy_backends"}))
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_to_device_and_back(device: str, xp: ModuleType) -> None:
    host = np.arange(6.0).reshape(2, 3)
    there = to_device(host, Device.named(device))
    back = to_host(there)

    assert xp_of(there) is xp
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, host)
    assert back.dtype == host.dtype
    assert to_device(there, Device.named(device)) is there
    assert to_host(back) is back
    assert (there is host) == (device == "cpu")


def test_to_device_moves_from_card_to_card(fake_cupy: FakeCupy) -> None:
    first, second = Device("cuda", 0), Device("cuda", 1)
    array = to_device(np.ones(2), first)
    moved = to_device(array, second)

    with second.active():
        assert (moved + 1).tolist() == [2, 2]
    assert to_device(array, first) is array


@pytest.mark.usefixtures("fake_cupy")
def test_to_device_does_not_copy_back_unasked() -> None:
    array = to_device(np.ones(2), Device("cuda"))

    with pytest.raises(TypeError, match=r"copy it to the host \(xpnn.to_host\(array\), or .* move the net"):
        to_device(array, Device("cpu"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "k", "m"), [(3, 4, 5), (3, 1, 5), (1, 1, 1), (1, 4, 1), (4, 5, 1), (1, 5, 4)])
@pytest.mark.parametrize("transposed", [(), (0,), (1,), (0, 1)])
def test_matmul(xp: ModuleType, dtype: str, n: int, k: int, m: int, transposed: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    host = [generator.normal(size=shape).astype(dtype) for shape in ((n, k), (k, m))]
    a, b = (xp.asarray(x.T.copy()).T if i in transposed else xp.asarray(x) for i, x in enumerate(host))
    out = xp.empty((n, m), dtype=dtype)

    matmul(a, b, out=out)

    wanted = host[0].astype("float64") @ host[1].astype("float64")
    np.testing.assert_allclose(to_host(out), wanted, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_take(xp: ModuleType, dtype: str, shape: tuple[int, ...]) -> None:
    host = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    rows = np.array([4, 0, 0, 2])
    out = xp.empty((4, *shape[1:]), dtype=dtype)

    take(xp.asarray(host), xp.asarray(rows), out=out)

    np.testing.assert_array_equal(to_host(out), host[rows])


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_finite(xp: ModuleType, dtype: str, n: int) -> None:
    rows = np.full((n, 4), np.finfo(dtype).max, dtype=dtype)  # whose sums are infinite
    assert all_finite(xp.asarray(rows))
    for pair in ((np.inf, -np.inf), (np.nan, 0), (-np.inf, 0)):
        rows[-1:, 1:3] = pair
        assert all_finite(xp.asarray(rows)) == (n == 0)


@pytest.mark.usefixtures("fake_cupy")
def test_operations_refuse_a_mix() -> None:
    host, there = np.ones((2, 2)), to_device(np.ones((2, 2)), Device("cuda"))

    with pytest.raises(TypeError, match="mixed"):
        matmul(host, there, out=there)
    with pytest.raises(TypeError, match="mixed"):
        take(there, np.array([0]), out=there)
