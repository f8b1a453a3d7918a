"""The fake device's troubles come when they are asked for, and go when memory is given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_cuda import CUDARuntimeError
from fake_device import FakeCupy
from fake_trouble import OutOfMemoryError


def test_memory_is_counted_and_given_back(fake_cupy: FakeCupy) -> None:
    fake_cupy.trouble.total = 100
    array = fake_cupy.zeros(5)
    kept = array[1:].reshape(2, 2).T
    assert fake_cupy.cuda.Device(1).mem_info == (60, 100)
    with pytest.raises(OutOfMemoryError) as caught:
        fake_cupy.add(array, fake_cupy.asarray(np.ones((2, 5))))
    assert str(caught.value) == "Out of memory allocating 80 bytes (allocated so far: 40 bytes)."
    fake_cupy.add(array, 1, out=array)

    del array, caught
    assert fake_cupy.cuda.Device(0).mem_info == (60, 100)  # a view holds it all
    del kept
    assert fake_cupy.cuda.Device(0).mem_info == (100, 100)


def test_a_failure_comes_once_where_it_was_asked_for(fake_cupy: FakeCupy) -> None:
    array = fake_cupy.zeros(3)
    fake_cupy.trouble.fail(ValueError("now"), after=2, lost=False)
    array += 1
    assert array.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="now"):
        array += 1
    assert array.tolist() == [1, 1, 1]


def test_a_lost_card_fails_for_good(fake_cupy: FakeCupy) -> None:
    array, card = fake_cupy.zeros(3), fake_cupy.cuda.Device(1)
    fake_cupy.trouble.fail(CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure"))

    def enter(card: Any) -> None:
        with card:
            pass

    for use in (
        lambda: array + 1,
        lambda: array + 1,
        array.get,
        lambda: fake_cupy.asarray([1]),
        lambda: enter(card),
        lambda: card.mem_info,
        lambda: float(array[0]),
        card.synchronize,
        fake_cupy.cuda.runtime.getDeviceCount,
    ):
        with pytest.raises(CUDARuntimeError, match="cudaErrorLaunchFailure"):
            use()
