"""The fake device puts work off until it is waited for, as late as a GPU might be: other tests rely on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_cuda import CUDARuntimeError
from fake_device import FakeCupy


@pytest.fixture
def stream(fake_cupy: FakeCupy) -> Any:
    return fake_cupy.cuda.Stream(non_blocking=True)


@pytest.fixture
def pinned(fake_cupy: FakeCupy) -> Any:
    array = fake_cupy.cupyx.empty_pinned((3,), dtype="float64")
    assert np.isnan(array).all()
    array[:] = 1
    return array


def seen(array: Any) -> Any:
    """What is in its memory, without waiting for anything."""
    return array._data.tolist()


def test_without_events_work_is_done_at_once(fake_cupy: FakeCupy) -> None:
    array = fake_cupy.zeros(2)
    array.fill(3)
    assert seen(array) == [3, 3]


def test_work_is_put_off_until_a_number_is_read(fake_cupy: FakeCupy) -> None:
    fake_cupy._streams.puts_off = True
    array = fake_cupy.zeros(2)
    fake_cupy.add(array, 3, out=array)
    assert seen(array) == [7, 7]  # nor was it filled with 0
    assert array.tolist() == [3, 3]
    array.fill(4)
    assert fake_cupy.add(array, 1).tolist() == [5, 5]  # whose memory is new


def test_a_copy_reads_the_hosts_memory_when_it_is_made(fake_cupy: FakeCupy, stream: Any, pinned: Any) -> None:
    array, event = fake_cupy.zeros(3), fake_cupy.cuda.Event()
    array.set(pinned, stream=stream)
    stream.record(event)
    pinned[:] = 2  # too early
    assert array.tolist() == [0, 0, 0]  # which waits for another stream
    event.synchronize()
    assert array.tolist() == [2, 2, 2]


def test_a_copy_may_be_early(fake_cupy: FakeCupy, stream: Any, pinned: Any) -> None:
    fake_cupy._streams.early = True
    array = fake_cupy.zeros(3)
    fake_cupy.cuda.Event()
    array.fill(5)
    array.set(pinned, stream=stream)
    assert seen(array) == [1, 1, 1]
    assert array.tolist() == [5, 5, 5]  # the fill, which nothing made the copy wait for


def test_a_stream_waits_for_anothers_event(fake_cupy: FakeCupy, stream: Any, pinned: Any) -> None:
    array, event = fake_cupy.zeros(3), fake_cupy.cuda.Event()
    fake_cupy.cuda.get_current_stream().work_off()
    array.set(pinned, stream=stream)
    stream.record(event)
    array.set(pinned, stream=stream)  # after the event
    fake_cupy.cuda.get_current_stream().wait_event(event)
    fake_cupy.add(array, 1, out=array)
    assert seen(array) == [0, 0, 0]
    assert array.tolist() == [2, 2, 2]
    assert len(stream.works) == 1


def test_an_event_is_of_the_work_before_it(fake_cupy: FakeCupy) -> None:
    array, (early, never) = fake_cupy.zeros(3), (fake_cupy.cuda.Event() for _ in range(2))
    fake_cupy._streams.puts_off = True
    current = fake_cupy.cuda.get_current_stream()
    array.fill(1)
    current.record(early)
    array.fill(2)
    with fake_cupy.counting() as counts:
        never.synchronize()
        assert seen(array) == [0, 0, 0]
        early.synchronize()
        assert seen(array) == [1, 1, 1]
    assert counts.synchronisations == 2
    current.record(early)  # it stands for the later place from now on
    early.synchronize()
    assert seen(array) == [2, 2, 2]


def test_copies_that_would_not_be_asynchronous_are_refused(fake_cupy: FakeCupy, stream: Any, pinned: Any) -> None:
    array = fake_cupy.zeros(3)
    with pytest.raises(AssertionError, match="isn't pinned"):
        array.set(pinned.copy(), stream=stream)
    with pytest.raises(AssertionError, match="a blocking stream"):
        array.set(pinned, stream=fake_cupy.cuda.Stream())
    with pytest.raises(ValueError, match="Shape mismatch"):
        array.set(pinned[:2], stream=stream)
    with pytest.raises(ValueError, match="Shape mismatch"):
        fake_cupy.zeros(3, dtype="float32").set(pinned, stream=stream)
    with pytest.raises(RuntimeError, match="non-contiguous"):
        array[::2].set(pinned[:2], stream=stream)


def test_events_and_copies_are_refused_in_a_capture(fake_cupy: FakeCupy, stream: Any, pinned: Any) -> None:
    array, event = fake_cupy.zeros(3), fake_cupy.cuda.Event()
    with stream:
        stream.begin_capture()
        for use in (
            event.synchronize,
            lambda: stream.wait_event(event),
            lambda: stream.record(event),
            lambda: array.set(pinned, stream=stream),
        ):
            with pytest.raises(CUDARuntimeError, match="StreamCaptureUnsupported"):
                use()
        stream.end_capture()
