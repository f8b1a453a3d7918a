"""Each schedule against PyTorch's scheduler (tests/reference) or its paper's formula, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xpnn import schedules
from xpnn.schedules import SCHEDULES, Schedule, scheduled

REFERENCE = json.loads((Path(__file__).parent / "reference" / "schedules.json").read_text())
RATE = REFERENCE["rate"]
OURS: dict[str, Schedule] = {
    "constant": schedules.constant(RATE),
    "step": schedules.step_decay(RATE, 20),
    "step, not a divisor": schedules.step_decay(RATE, 20, drops=2, factor=0.3),
    "exponential": schedules.exponential(RATE, 20),
    "polynomial": schedules.polynomial(RATE, 20),
    "polynomial of power 0.7": schedules.polynomial(RATE, 20, power=0.7),
    "linear": schedules.linear(RATE, 20),
    "cosine": schedules.cosine(RATE, 20),
    "cosine to a tenth": schedules.cosine(RATE, 20, end=0.1),
    "cosine-restarts": schedules.cosine_restarts(RATE, 21),
    "cosine-restarts of equal lengths": schedules.cosine_restarts(RATE, 21, multiplier=1, end=0.2),
    "cyclical": schedules.cyclical(RATE, 20),
    "cyclical, from a tenth": schedules.cyclical(RATE, 20, cycles=2, low=0.1),
    "one-cycle": schedules.one_cycle(RATE, 20),
    "one-cycle with other shares": schedules.one_cycle(RATE, 20, peak=0.6, start=0.1, end=0.002),
    "warm-up to cosine": scheduled("cosine", RATE, 20, warmup_steps=5),
}
NOT_PYTORCHS = {"inverse-square-root"}
EVERY = pytest.mark.parametrize("name", SCHEDULES)


def test_every_reference_and_every_schedule_is_compared() -> None:
    assert OURS.keys() == REFERENCE["rates of steps 0 to 20"].keys()
    assert SCHEDULES.keys() - OURS.keys() == NOT_PYTORCHS


@pytest.mark.parametrize("name", OURS)
def test_rates_are_pytorchs(name: str) -> None:
    expected = REFERENCE["rates of steps 0 to 20"][name]
    np.testing.assert_allclose(OURS[name](np.arange(21.0)), expected, rtol=1e-12, atol=1e-15)


@EVERY
def test_table_gives_the_schedule_that_was_compared(name: str) -> None:
    """Its defaults are those of the function, and no warm-up changes no bit."""
    if name in OURS:
        steps = 21 if name == "cosine-restarts" else 20
        np.testing.assert_array_equal(scheduled(name, RATE, steps)(np.arange(30.0)), OURS[name](np.arange(30.0)))


def test_linear_is_a_straight_line_to_the_bit() -> None:
    """Saved runs used this very formula."""
    steps = np.arange(5000.0)
    np.testing.assert_array_equal(scheduled("linear", 0.004, 4500)(steps), 0.004 * (1 - steps / 4500).clip(0))


def test_inverse_square_root_with_warm_up_is_the_transformers() -> None:
    """Vaswani et al., 2017, equation 3: the rate of step s = 1, 2, ..., scaled to its top at s = 40."""
    s = np.arange(1.0, 1001)
    ours = schedules.warmup(schedules.inverse_square_root(0.1, 40), 39)(s - 1)
    np.testing.assert_allclose(ours, 0.1 * 40**0.5 * np.minimum(s**-0.5, s * 40**-1.5), rtol=1e-13)
    assert scheduled("inverse-square-root", 0.1, 100)(np.array([12.0]))[0] == pytest.approx(0.1 / math.sqrt(4))


def test_restarts_fall_on_whole_steps() -> None:
    """Of 100 steps, cycles of 100/7, 200/7 and 400/7 start at 0, 14 and 43."""
    rates = schedules.cosine_restarts(0.1, 100)(np.arange(100.0))
    assert [int(step) for step in np.flatnonzero(rates == 0.1)] == [0, 14, 43]


@EVERY
def test_after_the_run_the_rate_stays(name: str) -> None:
    if name in ("cyclical", "inverse-square-root"):
        return  # these two know no end
    rates = scheduled(name, 0.1, 50, warmup_steps=10)(np.array([50.0, 51, 500]))
    assert rates[0] == rates[1] == rates[2]


@EVERY
@given(steps=st.integers(1, 200), share=st.floats(0, 1))
def test_rates_of_any_run_are_positive_and_at_most_the_one_given(name: str, steps: int, share: float) -> None:
    schedule = scheduled(name, 0.1, steps, warmup_steps=min(int(share * steps), steps - 1))
    rates = schedule(np.arange(float(steps)))
    assert rates.dtype == np.float64
    assert (rates > 0).all()
    assert (rates <= 0.1 * (1 + 1e-15)).all()


@EVERY
def test_a_run_of_one_step_learns(name: str) -> None:
    assert 0.02 < scheduled(name, 0.1, 1)(np.zeros(1))[0] <= 0.1


@EVERY
@given(ends=st.lists(st.integers(1, 99), unique=True))
def test_epochs_of_any_lengths_have_the_rates_of_the_whole_run(name: str, ends: list[int]) -> None:
    schedule = scheduled(name, 0.1, 100, warmup_steps=7)
    epochs: list[NDArray[Any]] = np.split(np.arange(100.0), sorted(ends))
    np.testing.assert_array_equal(np.concatenate([schedule(epoch) for epoch in epochs]), schedule(np.arange(100.0)))


def test_warm_up_is_a_straight_line_that_wastes_no_step() -> None:
    rates = schedules.warmup(schedules.constant(0.1), 4)(np.arange(6.0))
    np.testing.assert_allclose(rates, [0.02, 0.04, 0.06, 0.08, 0.1, 0.1], rtol=1e-15)


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda make=make: make(0.0, 10), "learning_rate must be a positive number") for make in SCHEDULES.values()),
        *((lambda make=make: make(NAN, 10), "learning_rate must be a positive number") for make in SCHEDULES.values()),
        *(
            (lambda name=name, steps=steps: scheduled(name, 0.1, steps), "steps must be a whole number of 1 or more")
            for name in SCHEDULES
            for steps in (0, -3, 1.5)
        ),
        (lambda: scheduled("cosin", 0.1, 10), "unknown schedule 'cosin': choose from constant, cosine,"),
        (lambda: scheduled("linear", 0.1, 10, 10), r"warmup_steps must be a whole number in \[0, 10\)"),
        (lambda: scheduled("linear", 0.1, 10, -1), r"warmup_steps must be a whole number in \[0, 10\)"),
        (lambda: schedules.step_decay(0.1, 10, drops=0), "drops must be a whole number of 1 or more, not 0"),
        (lambda: schedules.step_decay(0.1, 10, factor=0.0), r"factor must lie in \(0, 1\], not 0.0"),
        (lambda: schedules.step_decay(0.1, 10, factor=1.5), r"factor must lie in \(0, 1\], not 1.5"),
        (lambda: schedules.exponential(0.1, 10, end=0.0), r"end must lie in \(0, 1\], not 0.0"),
        (lambda: schedules.exponential(0.1, 10, end=NAN), r"end must lie in \(0, 1\], not nan"),
        (lambda: schedules.polynomial(0.1, 10, power=0.0), "power must be a positive number, not 0.0"),
        (lambda: schedules.cosine(0.1, 10, end=-0.1), r"end must lie in \[0, 1\], not -0.1"),
        (lambda: schedules.cosine_restarts(0.1, 10, cycles=0), "cycles must be a whole number of 1 or more, not 0"),
        (lambda: schedules.cosine_restarts(0.1, 10, multiplier=0.5), "multiplier must be a number of 1 or more"),
        (lambda: schedules.cyclical(0.1, 10, cycles=1.5), "cycles must be a whole number"),  # type: ignore[arg-type]
        (lambda: schedules.cyclical(0.1, 10, low=1.1), r"low must lie in \[0, 1\], not 1.1"),
        (lambda: schedules.one_cycle(0.1, 10, peak=1.0), r"peak must lie in \[0, 1\), not 1.0"),
        (lambda: schedules.one_cycle(0.1, 10, start=1.1), r"start must lie in \[0, 1\], not 1.1"),
        (lambda: schedules.one_cycle(0.1, 10, end=NAN), r"end must lie in \[0, 1\], not nan"),
        (lambda: schedules.inverse_square_root(0.1, 0.0), "timescale must be a positive number, not 0.0"),
        (lambda: schedules.warmup(schedules.constant(0.1), -1), "steps must be a whole number of 0 or more, not -1"),
    ],
)
def test_settings_that_cannot_work(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
