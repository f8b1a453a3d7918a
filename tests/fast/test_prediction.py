"""Queries on a CUDA device: the CPU's outputs but for rounding, and one graph for rows as many as before."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_device import FakeCupy
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES

from xpnn import MLP, evaluate, to_host
from xpnn.fast import prediction
from xpnn.fast.prediction import captured_query
from xpnn.network import CUDA_QUERY_ROWS, ChunkBuffers
from xpnn.scaling import Scaling

GENERATOR = np.random.default_rng(8)
PIXELS, FLOATS = GENERATOR.integers(0, 256, (40, 6)).astype("uint8"), GENERATOR.normal(size=(40, 6))
OUTPUTS = dict(zip(HIDDEN_NAMES, [*ACTIVATION_NAMES, *["softmax"] * 20], strict=False))


@pytest.mark.parametrize("inputs", [PIXELS, FLOATS], ids=["pixels", "floats"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("hidden", "output"), OUTPUTS.items())
def test_outputs_are_the_cpus_the_first_time_and_later(
    cuda: str, hidden: str, output: str, dtype: str, inputs: Any
) -> None:
    settings: dict[str, Any] = {"hidden": hidden, "output": output, "loss": "squared-error", "dtype": dtype}
    net, here = (MLP([6, 9, 8, 4], **settings, device=device, seed=2) for device in (cuda, "cpu"))
    for rows in (inputs, inputs[:1], inputs[0]):
        expected = here.query(rows)
        for _ in range(3):  # at once, recorded, replayed
            np.testing.assert_allclose(to_host(net.query(rows)), expected, rtol=1e-5, atol=2e-6)


def test_as_many_rows_as_before_are_one_graph(fake_cupy: FakeCupy) -> None:
    net = MLP([6, 9, 4], device="cuda")
    x = net.place_inputs(FLOATS)
    for _ in range(2):
        net.outputs(x)
    with fake_cupy.counting() as counts:
        net.outputs(x)
    assert (counts.graphs, counts.launches) == (1, 2)  # the rows go to where the graph reads, the outputs come back
    assert (counts.allocations, counts.synchronisations, counts.copies) == (1, 0, 0)  # the result


def test_graphs_see_the_parameters_as_they_are(cuda: str) -> None:
    net = MLP([6, 9, 4], device=cuda, seed=1)
    for _ in range(3):
        net.query(FLOATS)
    other = MLP([6, 9, 4], seed=2)
    net.parameters[...] = net.xp.asarray(other.parameters)
    np.testing.assert_allclose(to_host(net.query(FLOATS)), other.query(FLOATS), rtol=1e-5)


def test_pixels_and_floats_are_as_many_rows_but_not_one_graph(cuda: str) -> None:
    net, here = MLP([6, 9, 4], device=cuda, seed=1), MLP([6, 9, 4], seed=1)
    for rows in (FLOATS, PIXELS) * 3:
        np.testing.assert_allclose(to_host(net.query(rows)), here.query(rows), rtol=1e-5)


def test_what_a_graph_writes_to_lives_as_long_as_it(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy would give the memory to other arrays, and the graph write into these."""
    net, make = MLP([6, 9, 4], device="cuda"), MLP.chunk_buffers
    seen: list[weakref.ref[Any]] = []

    def watched(self: MLP, x: Any, result: Any) -> ChunkBuffers:
        buffers = make(self, x, result)
        seen.extend(weakref.ref(array) for array in (buffers.x, *buffers.outputs, buffers.column))
        return buffers

    net.query(PIXELS)
    monkeypatch.setattr(MLP, "chunk_buffers", watched)
    net.query(PIXELS)  # which is captured
    gc.collect()
    assert len(seen) == 4
    assert all(array() is not None for array in seen)
    del net
    gc.collect()
    assert all(array() is None for array in seen)


def test_a_result_stays_as_it_is(cuda: str) -> None:
    net = MLP([6, 9, 4], device=cuda, seed=1)
    results = [net.query(FLOATS + shift) for shift in range(4)]
    expected = [MLP([6, 9, 4], seed=1).query(FLOATS + shift) for shift in range(4)]
    np.testing.assert_allclose([to_host(result) for result in results], expected, rtol=1e-5)


def test_many_rows_go_in_chunks(cuda: str) -> None:
    inputs = GENERATOR.normal(size=(2 * CUDA_QUERY_ROWS + 5, 6))
    net, here = MLP([6, 4], device=cuda, seed=1), MLP([6, 4], seed=1)
    np.testing.assert_allclose(to_host(net.query(inputs)), here.query(inputs), rtol=1e-5)
    labels = GENERATOR.integers(0, 4, len(inputs))
    ours, theirs = evaluate(net, (inputs, labels)), evaluate(here, (inputs, labels))
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-6)
    np.testing.assert_array_equal(ours.confusion, theirs.confusion)


def test_the_graph_used_longest_ago_makes_room(fake_cupy: FakeCupy) -> None:
    net, plans = MLP([6, 4], device="cuda"), []
    for n in range(1, prediction.MOST_GRAPHS + 3):
        for _ in range(2):
            net.query(FLOATS[:n])
        net.query(FLOATS[:1])  # used again and again
        plans.append(next(plan for key, plan in captured_query(net).plans.items() if key[0] == 1))
    assert len({id(plan) for plan in plans}) == 1  # nor was it made again
    rows = [key[0] for key in captured_query(net).plans]
    assert len(rows) == prediction.MOST_GRAPHS
    assert 1 in rows
    assert 2 not in rows


def test_threads_take_turns(cuda: str) -> None:
    net, here = MLP([6, 9, 4], device=cuda, seed=1), MLP([6, 9, 4], seed=1)
    wrong: list[float] = []

    def ask(seed: int) -> None:
        rows = np.random.default_rng(seed).normal(size=(30, 5, 6))
        wrong.extend(float(abs(to_host(net.query(x)) - here.query(x)).max()) for x in rows)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert max(wrong) < 1e-5


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])  # noqa: S301
def test_a_copy_learns(copied: Callable[[MLP], MLP]) -> None:
    """Its layers are views of its own parameters."""
    net, labels = MLP([6, 5, 4], seed=1), GENERATOR.integers(0, 4, 40)
    before = net.query(FLOATS)
    other = copied(net)
    np.testing.assert_array_equal(other.query(FLOATS), before)
    other.train(FLOATS, labels, epochs=1)
    assert not np.array_equal(other.query(FLOATS), before)
    assert np.shares_memory(other.layers[0].W, other.parameters)
    assert np.shares_memory(other.weights, other.parameters)


def test_a_net_that_nobody_holds_gives_its_memory_back_at_once(cuda: str) -> None:
    gc.disable()
    try:
        net = MLP([6, 4], device=cuda)
        for _ in range(3):
            net.query(FLOATS)
        held = weakref.ref(net)
        queries = weakref.ref(captured_query(net))
        del net
        assert (held(), queries()) == (None, None)
    finally:
        gc.enable()


def test_many_rows_take_no_graph(fake_cupy: FakeCupy) -> None:
    net, x = MLP([6, 4], device="cuda"), np.zeros((prediction.MOST_ROWS + 1, 6))
    with fake_cupy.counting() as counts:
        for _ in range(3):
            net.query(x)
    assert counts.graphs == 0
    assert captured_query(net).plans == {}


def test_streams_wait_for_each_other(fake_cupy: FakeCupy) -> None:
    """They share the graphs' buffers; work is put off, so that a wait that is missing shows."""
    net, here = MLP([6, 9, 4], device="cuda", seed=1), MLP([6, 9, 4], seed=1)
    fake_cupy._streams.puts_off = True
    streams = [fake_cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    results, rows = [], GENERATOR.normal(size=(8, 5, 6))
    for i, x in enumerate(rows):
        with streams[i % 2]:
            results.append(net.query(x))
    while any(stream.works for stream in streams):
        for stream in reversed(streams):
            stream.work_to(stream.done + 1)  # one of each in turn, as a device may
    for x, result in zip(rows, results, strict=True):
        np.testing.assert_allclose(result._data, here.query(x), rtol=1e-5)


def test_settings_that_change_are_seen(cuda: str) -> None:
    net, here = (MLP([6, 4], device=device, seed=1) for device in (cuda, "cpu"))
    for _ in range(3):
        net.query(PIXELS)
    net.scaling = here.scaling = Scaling(0.01, 0.5)
    np.testing.assert_allclose(to_host(net.query(PIXELS)), here.query(PIXELS), rtol=1e-5)


def test_where_cuda_refuses_one_warning_says_why(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("cudaErrorNotSupported: operation not supported")

    monkeypatch.setattr("fake_cuda.FakeStream.begin_capture", refuse)
    net, here = MLP([6, 4], device="cuda", seed=1), MLP([6, 4], seed=1)
    net.query(FLOATS)
    with pytest.warns(RuntimeWarning, match=r"can't be captured as CUDA graphs \(cudaErrorNotSupported") as caught:
        results = [to_host(net.query(FLOATS)) for _ in range(4)]
    assert len(caught) == 1
    for result in results:
        np.testing.assert_allclose(result, here.query(FLOATS), rtol=1e-5)


class CompileException(Exception):  # noqa: N818  # CuPy's name
    """What CuPy raises where a kernel doesn't compile."""

    __module__ = "cupy.cuda.compiler"


@pytest.mark.parametrize("kind", [RuntimeError, CompileException])
def test_without_the_compiler_plain_operations_answer(
    fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def broken(*arguments: Any) -> None:
        raise kind("NVRTC can't be loaded")

    monkeypatch.setattr("fake_device.emulated", broken)
    net, here = MLP([6, 4], device="cuda", seed=1), MLP([6, 4], seed=1)
    with pytest.warns(RuntimeWarning, match="NVRTC can't be loaded"):
        result = net.query(FLOATS)
    np.testing.assert_array_equal(to_host(result), here.query(FLOATS))
