"""The CUDA kernels keep inside their arrays, and blocks that are fewer than there is work take all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_emulator import KernelError, guarded
from device_cases import Case
from fake_device import FakeCupy
from numpy.typing import NDArray

from xpnn import MLP, Samples, optimizers, to_host, train
from xpnn.fast.fused import FusedStep
from xpnn.fast.kernels import Kernels

ROWS, SIZES = 32, (6, 8, 4)  # an array of these in float64 ends with its guarded memory, to the byte
GUARDED = {
    "softmax": Case(),
    "momentum": Case(optimizer=optimizers.momentum),
    "adam": Case(optimizer=optimizers.adam),
    "pixels": Case(inputs="pixels"),
    "weights": Case(weights=True),
    "no labels": Case(net={"output": "identity", "loss": "squared-error"}, targets="numbers"),
    "no biases": Case(net={"bias": False}),
}


@pytest.fixture
def walls(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory follows on a new array's, so that one number read or written beyond it is a KernelError."""
    make = FakeCupy._made

    def make_guarded(self: FakeCupy, data: NDArray[Any], *arguments: Any) -> Any:
        array = make(self, data, *arguments)
        if array._data.base is None:
            array._data = guarded(array._data)
        return array

    monkeypatch.setattr(FakeCupy, "_made", make_guarded)


def trained(case: Case, batch_size: int, sizes: tuple[int, ...] = SIZES, rows: int = ROWS) -> NDArray[Any]:
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(rows, sizes[0]))
    if case.inputs == "pixels":
        inputs = generator.integers(0, 256, inputs.shape).astype("uint8")
    is_labelled = case.targets == "labels"
    targets = generator.integers(0, sizes[-1], rows) if is_labelled else generator.random((rows, sizes[-1]))
    samples = Samples(inputs, targets, generator.random(rows) if case.weights else None)
    net = MLP(sizes, **case.net, device="cuda", dtype="float64", seed=3)
    (epoch,) = train(net, samples, epochs=1, batch_size=batch_size, optimizer=case.optimizer())
    assert "captured" in epoch.step
    parameters: NDArray[Any] = to_host(net.parameters)
    return parameters


@pytest.mark.usefixtures("walls")
def test_one_number_beyond_an_array_is_found(fake_cupy: FakeCupy) -> None:
    """Else the next test would say nothing."""
    kernels, z, b = Kernels(fake_cupy, "float64"), fake_cupy.zeros((2, 4)), fake_cupy.zeros(4)
    kernels.over_elements("activate", 8, z, b, np.int64(8), 4, True, 3)
    with pytest.raises(KernelError, match="kernel activate: memory is read or written where there is none"):
        kernels.over_elements("activate", 9, z, b, np.int64(9), 4, True, 3)
    with pytest.raises(KernelError, match="kernel activate: memory is read or written where there is none"):
        kernels.over_elements("activate", 8, z, b, np.int64(8), 5, True, 3)


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("case", GUARDED.values(), ids=GUARDED.keys())
def test_kernels_keep_inside_their_arrays(request: pytest.FixtureRequest, case: Case, batch_size: int) -> None:
    request.getfixturevalue("fake_cupy")
    expected = trained(case, batch_size)
    request.getfixturevalue("walls")
    np.testing.assert_array_equal(trained(case, batch_size), expected)


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("name", ["softmax", "momentum", "adam"])
def test_a_thread_takes_several_elements_where_blocks_are_few(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does of matrices of a million elements."""
    sizes = (6, 40, 60)  # 640 hidden units of a batch and 2,740 parameters, of which two blocks take 512 at a time
    expected = trained(GUARDED[name], 16, sizes)
    monkeypatch.setattr("xpnn.fast.kernels.MOST_BLOCKS", 2)
    np.testing.assert_array_equal(trained(GUARDED[name], 16, sizes), expected)


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("case", [Case(), Case(inputs="pixels")], ids=["floats", "pixels"])
def test_rows_longer_than_a_block_are_gathered_whole(case: Case) -> None:
    net = MLP((600, 300), output="identity", device="cuda")
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (3, 600)).astype("uint8")
    targets = generator.random((3, 300))
    placed = net.place_inputs(inputs if case.inputs == "pixels" else inputs / 255), net.place_targets(targets)
    step = FusedStep(net, optimizers.sgd(), *placed, 3)
    buffers = step._buffers_for(3)
    step._gather(net.xp.asarray([2, 0, 1]), buffers)
    np.testing.assert_allclose(to_host(buffers.x), inputs[[2, 0, 1]] / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_host(buffers.t), targets[[2, 0, 1]].astype("float32"))
