"""What all tests share: the devices that they run on, and where the real data are.

XPNN_TEST_DEVICES names the devices, of cpu, fake and cuda, with commas between; without it, cpu and the fake one.
A device that is named and not there stops the run: nothing is skipped for want of a GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
from cuda_emulator import find_compiler
from fake_device import FakeCupy, make_fake_cupy

from xpnn.backend import get_xp, why_no_cuda

DEVICES = tuple(os.environ.get("XPNN_TEST_DEVICES", "cpu,fake").split(","))
MNIST_FILES = [
    f"{part}-ubyte" for part in ("train-images?idx3", "train-labels?idx1", "t10k-images?idx3", "t10k-labels?idx1")
]


def pytest_configure() -> None:
    # A busy machine is no fault of an example's; and where CI is set, a change meets the examples of the one before.
    hypothesis.settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
    hypothesis.settings.load_profile("untimed")
    unknown = [name for name in DEVICES if name not in ("cpu", "fake", "cuda")]
    if unknown:
        raise pytest.UsageError(f"XPNN_TEST_DEVICES names {unknown}: choose from cpu, fake and cuda")
    if "cuda" in DEVICES and (problem := why_no_cuda()):
        raise pytest.UsageError(f"XPNN_TEST_DEVICES names cuda, but {problem}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    problem = _why_no_mnist()
    for item in items:
        if problem and item.get_closest_marker("mnist"):
            item.add_marker(pytest.mark.skip(reason=problem))


def _why_no_mnist() -> str:
    if "XPNN_DATA_DIR" not in os.environ:
        return "XPNN_DATA_DIR is not set: it names the folder that holds mnist/"
    folder = Path(os.environ["XPNN_DATA_DIR"], "mnist")
    missing = [name for name in MNIST_FILES if not any(folder.glob(f"{name}*"))]
    return f"not in {folder}: {', '.join(missing)}" if missing else ""


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, also for the programs that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPNN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("XPNN_CSV_CACHE_MB", raising=False)
        patch.delenv("XPNN_MEMORY_MB", raising=False)
        yield


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """The device to hand to xpnn. The fake one is called "cuda" too: what is under test can't tell."""
    if request.param == "fake":
        request.getfixturevalue("fake_cupy")
    return "cpu" if request.param == "cpu" else "cuda"


@pytest.fixture(params=[name for name in DEVICES if name != "cpu"])
def cuda(request: pytest.FixtureRequest) -> str:
    """As `device`, for what is about CUDA alone."""
    if request.param == "fake":
        request.getfixturevalue("fake_cupy")
    return "cuda"


@pytest.fixture
def xp(device: str) -> ModuleType:
    """The array module of `device`."""
    module: ModuleType = get_xp(device)
    return module


@pytest.fixture
def fake_cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """A fake CuPy with two devices, installed for the time of the test."""
    if find_compiler() is None:
        pytest.skip("no C++ compiler on Linux (g++ or clang++), with which the fake device runs the CUDA kernels")
    fake = make_fake_cupy(devices=2)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setitem(sys.modules, "cupyx", fake.cupyx)
    monkeypatch.setattr("xpnn.fast.cublas.library", lambda: fake.cublas)
    return fake
