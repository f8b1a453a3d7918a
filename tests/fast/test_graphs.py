"""Capturing a CUDA graph: what is in its way is kept away, and everything is as before when it ends, or fails."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fake_device import FakeCupy

from xpnn.fast.graphs import captured


def test_nothing_is_collected_during_a_capture(fake_cupy: FakeCupy) -> None:
    """An older step's cuBLAS handle would be destroyed, which waits for the device."""
    pool, seen = fake_cupy.cuda.MemoryPool(), []
    captured(fake_cupy, pool, lambda: seen.append(gc.isenabled()))
    assert (seen, gc.isenabled()) == ([False], True)


def test_the_garbage_collector_stays_off_where_it_was(fake_cupy: FakeCupy) -> None:
    gc.disable()
    try:
        captured(fake_cupy, fake_cupy.cuda.MemoryPool(), lambda: None)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_breaks_a_capture_off_ends_it(fake_cupy: FakeCupy, error: type[BaseException]) -> None:
    """Ctrl-C too, or each later use of the card would fail."""
    before = fake_cupy.cuda.get_current_stream()

    def fail() -> None:
        raise error

    with pytest.raises(error):
        captured(fake_cupy, fake_cupy.cuda.MemoryPool(), fail)
    assert not fake_cupy._streams.is_capturing()
    assert fake_cupy.cuda.get_current_stream() is before
    assert gc.isenabled()


def test_scratch_memory_comes_from_the_graphs_own_pool(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """From CuPy's pool it would be given to others, who would find it written to at each replay."""
    pool, allocators = fake_cupy.cuda.MemoryPool(), [None]

    @contextmanager
    def using(allocator: Any) -> Iterator[None]:
        allocators.append(allocator)
        yield
        allocators.pop()

    monkeypatch.setattr(fake_cupy.cuda, "using_allocator", using)
    seen: list[Any] = []
    captured(fake_cupy, pool, lambda: seen.append(allocators[-1]))
    assert (seen, allocators) == ([pool.malloc], [None])
