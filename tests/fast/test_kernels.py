"""Each CUDA kernel against the array operations that it stands for, threads and blocks in several orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_emulator import Module
from fake_device import FakeCupy

from xpnn import MLP, optimizers, to_host
from xpnn.activations import activation_named
from xpnn.backend import Device
from xpnn.fast.cublas import Cublas
from xpnn.fast.fused import FusedOperations, FusedStep
from xpnn.fast.kernels import ACTIVATIONS, LOSSES, Kernels
from xpnn.layers import PLAIN
from xpnn.losses import loss_named
from xpnn.steps import ReferenceStep
from xpnn.training import update_table

SHAPES = [(1, 1), (1, 33), (3, 10), (9, 32), (40, 65), (1100, 5)]  # (rows, units): the last is summed by a product
ORDERS = ["forward", "backward", 1]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}  # a few roundings, of numbers of about 1


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads and blocks take turns in this order, where they are emulated."""
    usual, Module.order = Module.order, request.param
    yield
    Module.order = usual


def operations_on(xp: Any, dtype: str) -> FusedOperations:
    return FusedOperations(Kernels(xp, dtype), Cublas(xp, dtype), rows=1100)


def close(ours: Any, theirs: Any, dtype: str) -> None:
    np.testing.assert_allclose(to_host(ours), theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax", "elu"])
def test_activate(cuda: str, name: str, has_bias: bool, dtype: str) -> None:
    xp, activation, generator = Device.named(cuda).xp, activation_named(name), np.random.default_rng(0)
    for shape in SHAPES:
        z, b = (3 * generator.normal(size=size).astype(dtype) for size in (shape, shape[1]))
        (ours, our_b), (theirs, their_b) = ((module.asarray(z), module.asarray(b)) for module in (xp, np))
        theirs = theirs.copy()
        slopes = [module.zeros((2, *shape), dtype=dtype) for module in (xp, np)]
        saved = slopes if activation.keeps_slope else [ours, theirs]
        columns = [module.zeros((shape[0], 1), dtype=dtype) for module in (xp, np)]
        operations_on(xp, dtype).activate(ours, our_b if has_bias else None, activation, saved[0], columns[0])
        PLAIN.activate(theirs, their_b if has_bias else None, activation, saved[1], columns[1])
        close(ours, theirs, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax"])
def test_extremes_and_what_is_not_a_number(cuda: str, name: str, dtype: str) -> None:
    """A net that diverges must be found out; nothing finite may overflow."""
    xp, activation = Device.named(cuda).xp, activation_named(name)
    z = np.array([[1e30, -1e30, 0], [800, -800, 1], [np.nan, 0, 1], [np.inf, 1, 2], [0, -np.inf, 1]], dtype=dtype)
    z = np.concatenate([z, np.array([[-800, -801, -802]], dtype=dtype)])  # whose exponentials are 0
    ours = xp.asarray(z)
    operations_on(xp, dtype).activate(ours, None, activation, ours, xp.zeros((6, 1), dtype=dtype))
    with np.errstate(all="ignore"):
        PLAIN.activate(z, None, activation, z, np.zeros((6, 1), dtype=dtype))
    np.testing.assert_allclose(to_host(ours), z, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("place", [0, 31, 32, 64])
def test_a_rows_largest_input_is_found_wherever_it_is(cuda: str, place: int) -> None:
    """Or its exponential overflows; a lane takes two or three of 65."""
    xp, softmax = Device.named(cuda).xp, activation_named("softmax")
    z = np.zeros((1, 65))
    z[0, place] = 800
    ours = xp.asarray(z)
    operations_on(xp, "float64").activate(ours, None, softmax, ours, xp.zeros((1, 1)))
    np.testing.assert_array_equal(to_host(ours), z / 800)  # exp(-800) is 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_small_outputs_keep_their_digits(cuda: str, name: str, dtype: str) -> None:
    """A loss takes their logarithm, down to the smallest normal number."""
    xp, activation = Device.named(cuda).xp, activation_named(name)
    z = np.linspace(0, -87 if dtype == "float32" else -708, 60).astype(dtype)[:, None]
    z = z if name == "sigmoid" else np.concatenate([z, -z / 9], axis=1)
    ours, exact = xp.asarray(z), z.astype(np.longdouble)
    operations_on(xp, dtype).activate(ours, None, activation, ours, xp.zeros((60, 1), dtype=dtype))
    expected = 1 / (1 + np.exp(-exact))
    if name == "softmax":
        expected = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    normal = expected > 2 * np.finfo(dtype).tiny
    assert normal.sum() > 50
    rtol = abs(z).max() * np.finfo(dtype).eps  # what z is rounded by, in a difference
    np.testing.assert_allclose(to_host(ours)[normal], expected[normal].astype(dtype), rtol=rtol)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax", None])
def test_differentiate(cuda: str, name: str | None, has_bias: bool, dtype: str) -> None:
    xp, generator = Device.named(cuda).xp, np.random.default_rng(0)
    activation = None if name is None else activation_named(name)
    for shape in SHAPES:
        delta, y = generator.normal(size=shape).astype(dtype), generator.random(shape).astype(dtype)
        ours, our_b = xp.asarray(delta), xp.zeros(shape[1], dtype=dtype)
        theirs, their_b = delta.copy(), np.zeros(shape[1], dtype=dtype)
        column = xp.zeros((shape[0], 1), dtype=dtype)
        operations_on(xp, dtype).differentiate(ours, activation, xp.asarray(y), column, our_b if has_bias else None)
        PLAIN.differentiate(theirs, activation, y, np.zeros((shape[0], 1), dtype), their_b if has_bias else None)
        close(ours, theirs, dtype)
        np.testing.assert_allclose(to_host(our_b), their_b, rtol=1e-4, atol=30 * TOLERANCE[dtype])  # sums of many


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_sums_over_many_rows_are_not_rounded(cuda: str, precision: str) -> None:
    """They are a product with ones, but none whose factors may be cut."""
    xp, delta = Device.named(cuda).xp, np.random.default_rng(0).normal(size=(1100, 5)).astype("float32")
    operations = FusedOperations(Kernels(xp, "float32"), Cublas(xp, "float32", precision), rows=1100)
    ours, column = xp.zeros(5, dtype="float32"), xp.zeros((1100, 1), dtype="float32")
    operations.differentiate(xp.asarray(delta), None, xp.asarray(delta), column, ours)
    np.testing.assert_allclose(to_host(ours), delta.astype(float).sum(axis=0), rtol=0, atol=1e-4)  # of about 30


def steps_for(device: str, dtype: str, **options: Any) -> list[ReferenceStep]:
    """(the fused step on the device, the reference on the CPU) for the same rows."""
    generator = np.random.default_rng(5)
    made: list[ReferenceStep] = []
    usual: dict[str, Any] = {
        "sizes": [37, 6, 11],
        "optimizer": optimizers.sgd(),
        "pixels": True,
        "weights": False,
        "n": 300,
    }
    options = usual | options
    sizes, optimizer, n = options["sizes"], options["optimizer"], options["n"]
    inputs = generator.integers(0, 256, (n, sizes[0])).astype("uint8" if options["pixels"] else dtype)
    labels, counts = generator.integers(0, sizes[-1], n), generator.random((n, 1)).astype(dtype)
    loss, output = options.get("loss"), options.get("output", "softmax")
    for place, make in ((device, FusedStep), ("cpu", ReferenceStep)):
        net = MLP(sizes, device=place, dtype=dtype, loss=loss, output=output, scaling=(1 / 100, 0.25), seed=1)
        weights = net.xp.asarray(counts) if options["weights"] else None
        placed = net.place_inputs(inputs), net.place_targets(labels)
        step = make(net, optimizer, *placed, n, weights=weights)
        table = update_table(optimizer, np.arange(3.0), np.array([0.1, 0.2, 0.3]))
        step.begin_epoch(0, net.xp.asarray(table, dtype=dtype))
        made.append(step)
    return made


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("pixels", "weights"), [(True, False), (False, True)])
def test_gather(cuda: str, pixels: bool, weights: bool, dtype: str) -> None:
    ours, theirs = steps_for(cuda, dtype, pixels=pixels, weights=weights)
    rows = np.random.default_rng(0).permutation(300)[:17]
    found = []
    for step in (ours, theirs):
        buffers = step._buffers_for(17)
        step._gather(step.net.xp.asarray(rows), buffers)
        found.append([to_host(part) for part in (buffers.x, buffers.t, buffers.labels, buffers.weights)])
    close(found[0][0], found[1][0], dtype)
    for part in range(1, 4 if weights else 3):
        np.testing.assert_array_equal(found[0][part], found[1][part])


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("n", [1, 5, 300])
@pytest.mark.parametrize("loss", [*LOSSES, "huber"])
def test_measure_and_count(cuda: str, loss: str, n: int, weights: bool, dtype: str) -> None:
    output = loss_named(loss).link or "tanh"
    found = []
    for step in steps_for(cuda, dtype, loss=loss, output=output, weights=weights, sizes=[37, 6, 41]):
        generator, buffers = np.random.default_rng(2), step._buffers_for(n)
        z = 3 * generator.normal(size=(n, 41)).astype(dtype)
        z[0, [3, 4, 35]] = z.max() + 9  # three largest, two of them one lane's: the first one counts
        z[1:2] -= 20
        z[1:2, 3] = -2  # where all are negative
        z[-1, 7] = -1e4
        buffers.t[...] = step.net.xp.asarray(generator.random((n, 41)), dtype=dtype)
        buffers.labels[...] = step.net.xp.asarray(np.full(n, 3))
        buffers.weights[...] = step.net.xp.asarray(generator.random((n, 1)), dtype=dtype)
        b, activation = step.net.layers[-1].b, step.activations[-1]
        assert b is not None
        b[...] = step.net.xp.asarray(np.where(np.isin(np.arange(41), (3, 4, 35)), 0.5, generator.normal(size=41)))
        for _ in range(2):
            y = buffers.outputs[-1]
            y[...] = step.net.xp.asarray(z)
            if not getattr(step, "fuses_outputs", False):
                step.operations.activate(y, b, activation, buffers.saved[-1], buffers.column)
            step._measure(buffers)
            step._count(buffers)
        sums = [step.total_loss, step.total_hits, step.finite_count, step.position, step.row]
        found.append([to_host(part) for part in (buffers.errors[-1], buffers.column, buffers.hits, *sums)])
    ours, theirs = found
    for our, their in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(our, their, rtol=20 * TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_allclose(ours[3], theirs[3], rtol=20 * TOLERANCE[dtype])
    for our, their in zip([ours[2], *ours[4:]], [theirs[2], *theirs[4:]], strict=True):
        np.testing.assert_array_equal(our, their)
    assert ours[2][:2].all()


def test_losses_that_are_not_finite_are_counted_no_more(cuda: str) -> None:
    step, _ = steps_for(cuda, "float32")
    buffers = step._buffers_for(4)
    buffers.hits.fill(False)
    for values in ([1, 2, 3, 4], [1, np.nan, 1, 1], [1, 1, 1, 1]):
        buffers.column[...] = step.net.xp.asarray(np.array(values, dtype="float32")[:, None])
        step._count(buffers)
    assert step.finite_updates() == 1


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("bad", [[], [0], [299], [10, 266], [255, 43, 299]], ids=str)
def test_rows_are_counted_up_to_the_first_loss_that_is_not_finite(
    cuda: str, bad: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each row is an update, as in the online step; 10 and 266 are one thread's."""
    step, _ = steps_for(cuda, "float32")
    monkeypatch.setattr(step, "_updates_of", lambda buffers: 300)
    buffers, losses = step._buffers_for(300), np.ones((300, 1), dtype="float32")
    for row in bad:
        losses[row] = np.nan if row % 2 else np.inf
    buffers.column[...] = step.net.xp.asarray(losses)
    step._count(buffers)
    assert step.finite_updates() == min([*bad, 300])
    assert step.position.tolist() == [300]


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [
        *(optimizers.sgd(), optimizers.momentum(), optimizers.nesterov(), optimizers.adam(), optimizers.adamw()),
        *(optimizers.decoupled(optimizers.momentum(), 0.3), optimizers.rmsprop(), optimizers.lion()),
    ],
    ids=lambda optimizer: f"{optimizer.name}, decay {optimizer.weight_decay}",
)
def test_descend(cuda: str, optimizer: Any, dtype: str) -> None:
    found = []
    for step in steps_for(cuda, dtype, optimizer=optimizer):
        generator = np.random.default_rng(3)
        for _ in range(3):
            gradient = generator.normal(size=step.gradient.size).astype(dtype)
            step.gradient[...] = step.net.xp.asarray(gradient)
            step._count(step._buffers_for(1))
            step._descend()
        found.append([to_host(part) for part in (step.net.parameters, *step.state.values())])
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=0, atol=5 * TOLERANCE[dtype])
    for name, ours, theirs in zip(step.state, found[0][1:], found[1][1:], strict=True):
        if name != "scratch":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=5 * TOLERANCE[dtype])


def test_numbers_become_what_the_kernels_declare(fake_cupy: FakeCupy) -> None:
    kernels = Kernels(fake_cupy, "float32")
    typed = [type(kernels._typed(value)) for value in (1, 1.0, True, np.int64(3), np.float64(2))]
    assert typed == [np.int32, np.float32, np.int32, np.int64, np.float32]
