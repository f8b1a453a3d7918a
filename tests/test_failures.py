"""A card that runs out of memory or fails in the middle of work: one line that says what to do, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_cuda import CUDARuntimeError
from fake_device import FakeCupy
from fake_trouble import OutOfMemoryError

import xpnn
from xpnn.backend import Device
from xpnn.errors import DeviceError
from xpnn.failures import device_error

MIB = 1 << 20
ILLEGAL = "cudaErrorIllegalAddress: an illegal memory access was encountered"
SHORT = "cudaErrorMemoryAllocation: out of memory"
X, T = np.random.default_rng(0).random((64, 8)), np.arange(64) % 3
ALL_FREE = "80.0 GiB of its 80.0 GiB are free"
WHAT_TO_LOWER = (
    "; lower the batch size, the hidden sizes or the number of rows, end what else is on the card (nvidia-smi lists "
    "it), or use --device cpu"
)


class CompileError(Exception):
    """As CuPy's, which shows the compiler's output."""

    __module__ = "cupy.cuda.compiler"


class CublasError(RuntimeError):
    """As CuPy's."""

    __module__ = "cupy_backends.cuda.libs.cublas"


def a_net(device: str = "cuda") -> xpnn.MLP:
    return xpnn.MLP([8, 4, 3], device=device)


def failing(use: Callable[[], Any]) -> str:
    """What a use says, in one line, of an error of CuPy's."""
    with pytest.raises(DeviceError) as caught:
        use()
    assert type(caught.value.__cause__).__module__.startswith("cupy")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (OutOfMemoryError(1600 * MIB, 5), f"1.6 GiB more were needed, {ALL_FREE}"),
        (
            OutOfMemoryError(3 * MIB // 2, 5, 9 * MIB),
            f"1.5 MiB more were needed, {ALL_FREE}, CuPy may take 9.0 MiB (CUPY_GPU_MEMORY_LIMIT)",
        ),
        (OutOfMemoryError(1536, 0), f"1,536 bytes more were needed, {ALL_FREE}"),
        (OutOfMemoryError(MIB, 0), f"1.0 MiB more were needed, {ALL_FREE}"),
        (OutOfMemoryError(1024 * MIB, 0), f"1.0 GiB more were needed, {ALL_FREE}"),
        (CUDARuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), f"CUDA_ERROR_OUT_OF_MEMORY, {ALL_FREE}"),
        (CUDARuntimeError(SHORT), f"{SHORT}, {ALL_FREE}"),
        (CublasError("CUBLAS_STATUS_ALLOC_FAILED"), f"CUBLAS_STATUS_ALLOC_FAILED, {ALL_FREE}"),
    ],
)
def test_what_is_said_of_memory(fake_cupy: FakeCupy, error: Exception, facts: str) -> None:
    net = a_net("cuda:1")
    fake_cupy.trouble.fail(error, lost=False)

    assert failing(lambda: net.query(X)) == f"cuda:1 is out of memory: {facts}{WHAT_TO_LOWER}"


def test_memory_of_a_card_that_does_not_say_how_much_it_has(fake_cupy: FakeCupy) -> None:
    net = a_net()
    fake_cupy.trouble.fail(CUDARuntimeError(SHORT))

    assert failing(lambda: net.query(X)) == f"cuda:0 is out of memory: {SHORT}{WHAT_TO_LOWER}"


def test_what_is_said_of_a_lost_card(fake_cupy: FakeCupy) -> None:
    net = a_net()
    fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL + "\nmore"), after=8)

    text = failing(lambda: net.query(X))

    assert text.startswith(f"cuda:0 failed ({ILLEGAL}; seen in xpnn.fast.")  # the last place, not the first
    assert text.endswith(
        "): what was on the card is lost, files saved before are intact; start the program again, or use --device cpu; "
        "nvidia-smi shows the card's state; if it fails again, report what this says with CUDA_LAUNCH_BLOCKING=1 set, "
        "which finds the place"
    )


def test_what_is_said_where_the_card_still_answers(fake_cupy: FakeCupy) -> None:
    net = a_net()
    fake_cupy.trouble.fail(CompileError("kernel.cu(3): error: no such name\n\n1 error detected"), after=3, lost=False)

    text = failing(lambda: net.query(X))

    assert text.startswith("cuda:0 failed (kernel.cu(3): error: no such name; seen in xpnn.")
    assert "the card still answers, what is on it and files saved before are intact" in text
    assert net.query(X).shape == (64, 3)


def test_nested_contexts_tell_an_error_once(fake_cupy: FakeCupy) -> None:
    first, second = Device("cuda", 0), Device("cuda", 1)
    fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL))
    with pytest.raises(DeviceError) as caught, first.active(), second.active(), first.active(), second.active():
        fake_cupy.zeros(3)

    assert str(caught.value).startswith("cuda:1 failed")
    assert str(caught.value).count(ILLEGAL) == 1
    assert type(caught.value.__cause__) is CUDARuntimeError


@pytest.mark.parametrize("error", [ValueError("theirs"), MemoryError("NumPy's"), KeyboardInterrupt(), DeviceError("x")])
def test_errors_that_are_not_cupys_pass_through(fake_cupy: FakeCupy, error: BaseException) -> None:
    for name in ("cpu", "cuda"):
        with pytest.raises(type(error)) as caught, Device.named(name).active():
            raise error
        assert caught.value is error
    fake_cupy.zeros(3)


def test_entering_and_leaving_a_lost_card(fake_cupy: FakeCupy) -> None:
    fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL))
    with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"), Device("cuda").active(), suppress(Exception):
        fake_cupy.zeros(3)
    with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"), Device("cuda").active():
        pass


def test_a_failure_shows_where_the_result_is_fetched(fake_cupy: FakeCupy) -> None:
    outputs = a_net("cuda:1").query(X)
    fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL))

    assert failing(lambda: xpnn.to_host(outputs)).startswith(f"cuda:1 failed ({ILLEGAL}")


@pytest.mark.parametrize(
    "use",
    [
        lambda net, path: net.query(X),
        lambda net, path: net.predict(X[0]),
        lambda net, path: net.to("cpu"),
        lambda net, path: net.to("cuda:1"),
        lambda net, path: net.train(X, T),
        lambda net, path: xpnn.evaluate(net, (X, T)),
        lambda net, path: xpnn.find_learning_rate(net, (X, T), steps=20),
        lambda net, path: xpnn.fold_target_scaling(net, [1.0] * 3, [2.0] * 3),
        xpnn.save,
        lambda net, path: xpnn.load_model(path, "cuda"),
        lambda net, path: xpnn.MLP([8, 4, 3], device="cuda"),
        lambda net, path: xpnn.to_device(X, net.device),
        lambda net, path: xpnn.to_host(net.parameters),
    ],
)
def test_wherever_a_card_fails(fake_cupy: FakeCupy, tmp_path: Path, use: Callable[[xpnn.MLP, Path], Any]) -> None:
    """At calls all over the use, once; and for good."""
    path = tmp_path / "model.safetensors"
    net = xpnn.MLP([8, 4, 3], output="identity", device="cuda")
    xpnn.save(net, path)
    before = path.read_bytes()
    for _ in range(3):  # at once, recorded, replayed: from then on each use is as many calls
        calls = fake_cupy.trouble.calls
        use(net, path)
    calls = fake_cupy.trouble.calls - calls

    for after in range(0, calls, max(1, calls // 50)):
        fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL), after=after, lost=False)
        with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"):
            use(net, path)
        assert path.read_bytes() == before
    fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL))
    with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"):
        use(net, path)


def test_a_net_or_rows_that_do_not_fit(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.fast.cublas.WORKSPACE", 16)
    monkeypatch.setattr("xpnn.network.CUDA_QUERY_ROWS", 2000)
    fake_cupy.trouble.total = MIB + 4096
    net = a_net()
    text = failing(lambda: xpnn.MLP([512, 512, 512], device="cuda"))
    assert text.startswith("cuda:0 is out of memory: 2.0 MiB more were needed, 1.0 MiB of its 1.0 MiB are free; lower")
    text = failing(lambda: net.query(np.zeros((100_000, 8))))  # the outputs alone
    assert text.startswith("cuda:0 is out of memory: 1.1 MiB more were needed, 1.0 MiB of its 1.0 MiB are free; ")
    rows = np.zeros((35_000, 8))  # 1.1 MiB, and they go through it in chunks
    assert net.query(rows).shape == (35_000, 3)
    assert xpnn.evaluate(net, (rows, np.zeros(35_000, dtype=int))).n == 35_000

    assert net.query(X).shape == (64, 3)


def test_a_full_card_is_named_as_such(fake_cupy: FakeCupy) -> None:
    fake_cupy.trouble.total = 0

    with pytest.raises(DeviceError) as caught:
        Device.named("cuda")
    assert str(caught.value) == (
        "device cuda can't be used: it is out of memory: 16 bytes more were needed, 0 bytes of its 0 bytes are free; "
        "end what else is on it (nvidia-smi lists it), or use --device cpu"
    )


@pytest.mark.parametrize("stops", [False, True])
def test_memory_that_runs_out_in_epoch_2_leaves_epoch_1(fake_cupy: FakeCupy, stops: bool) -> None:
    net = a_net()
    epochs: Iterator[xpnn.Epoch] = xpnn.train(net, (X, T), epochs=3, batch_size=8)
    epochs = xpnn.early_stopping(epochs, net, metric="loss") if stops else epochs
    next(epochs)
    after_1 = xpnn.to_host(net.parameters)
    fake_cupy.trouble.fail(OutOfMemoryError(MIB, 0), after=5, lost=False)

    text = failing(lambda: next(epochs))

    assert text.startswith("cuda:0 is out of memory: 1.0 MiB")
    np.testing.assert_array_equal(xpnn.to_host(net.parameters), after_1)
    assert net.train(X, T, epochs=1, batch_size=4)[0].loss > 0


def test_a_card_that_is_full_in_epoch_2(fake_cupy: FakeCupy) -> None:
    net = a_net()
    epochs = xpnn.train(net, (X, T), epochs=3, batch_size=8)
    next(epochs)
    after_1 = xpnn.to_host(net.parameters)
    fake_cupy.trouble.total = 0

    assert failing(lambda: next(epochs)).startswith("cuda:0 is out of memory: ")
    np.testing.assert_array_equal(xpnn.to_host(net.parameters), after_1)


@pytest.mark.parametrize("stops", [False, True])
def test_a_card_that_is_lost_in_epoch_2_tells_the_first_error(fake_cupy: FakeCupy, stops: bool) -> None:
    net = a_net()
    epochs: Iterator[xpnn.Epoch] = xpnn.train(net, (X, T), epochs=3, batch_size=8)
    epochs = xpnn.early_stopping(epochs, net, metric="loss") if stops else epochs
    next(epochs)
    first = CUDARuntimeError(ILLEGAL)
    fake_cupy.trouble.fail(first, after=5)

    with pytest.raises(DeviceError) as caught:
        next(epochs)
    assert caught.value.__cause__ is first
    assert "lost" in failing(lambda: net.query(X))


def test_a_broken_off_epoch_on_a_card_that_is_lost_then_says_that_it_is(fake_cupy: FakeCupy) -> None:
    """Ctrl-C promises the parameters of the epoch before, which are gone."""
    net = a_net()

    def interrupt(_: object) -> None:
        fake_cupy.trouble.fail(CUDARuntimeError(ILLEGAL))
        raise KeyboardInterrupt

    assert "lost" in failing(lambda: list(xpnn.train(net, (X, T), progress=interrupt)))


def test_half_a_target_scaling_is_not_done(fake_cupy: FakeCupy) -> None:
    net = xpnn.MLP([8, 3], output="identity", device="cuda")
    before = xpnn.to_host(net.parameters)
    calls = fake_cupy.trouble.calls
    fold = (net, [1.0] * 3, [2.0] * 3)
    xpnn.fold_target_scaling(*fold)
    calls = fake_cupy.trouble.calls - calls - 2  # the two in which the layer is written
    net.parameters[...] = fake_cupy.asarray(before)

    for after in range(calls):
        fake_cupy.trouble.fail(OutOfMemoryError(MIB, 0), after=after, lost=False)
        failing(lambda: xpnn.fold_target_scaling(*fold))
        np.testing.assert_array_equal(xpnn.to_host(net.parameters), before)


def test_an_error_without_words_or_traceback_is_named(fake_cupy: FakeCupy) -> None:
    text = str(device_error(CublasError(), fake_cupy.cuda.Device(0)))

    assert text.startswith("cuda:0 failed (CublasError): the card still answers")


def test_a_card_is_lost_that_does_not_finish_its_work() -> None:
    """It may say how much memory it has all the same."""

    def synchronize() -> None:
        raise CUDARuntimeError(ILLEGAL)

    card = SimpleNamespace(id=0, mem_info=(1, 2), synchronize=synchronize)
    assert "what was on the card is lost" in str(device_error(CUDARuntimeError(ILLEGAL), card))
    card.synchronize = lambda: None
    assert "the card still answers" in str(device_error(CUDARuntimeError(ILLEGAL), card))


def test_only_the_first_line_tells_what_an_error_is(fake_cupy: FakeCupy) -> None:
    error = CompileError("\nkernel.cu(3): error: no such name\n// out of memory: see there\n")
    text = str(device_error(error, fake_cupy.cuda.Device(0)))
    assert text.startswith("cuda:0 failed (kernel.cu(3): error: no such name): the card still answers")
