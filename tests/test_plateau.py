"""ReduceOnPlateau against PyTorch's ReduceLROnPlateau (tests/reference), and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xpnn.plateau import ReduceOnPlateau

REFERENCE = json.loads((Path(__file__).parent / "reference" / "schedules.json").read_text())["plateau"]
OURS: dict[str, Callable[[], ReduceOnPlateau]] = {
    "usual": lambda: ReduceOnPlateau(patience=5),
    "impatient": lambda: ReduceOnPlateau(factor=0.5, patience=0),
    "with a least rate": lambda: ReduceOnPlateau(factor=0.3, patience=2, least_rate=0.05),
    "choosy": lambda: ReduceOnPlateau(factor=0.5, patience=3, minimum_change=0.05),
}


def test_every_reference_is_compared() -> None:
    assert OURS.keys() == REFERENCE["factors"].keys()


@pytest.mark.parametrize("name", OURS)
def test_factors_are_pytorchs(name: str) -> None:
    plateau, expected = OURS[name](), REFERENCE["factors"][name]
    factors = [plateau.after_epoch(loss) for loss in REFERENCE["losses"]]
    assert len(set(expected)) > 2  # the rate did fall, more than once
    np.testing.assert_allclose(factors, expected, rtol=1e-14)


def test_it_goes_on_from_its_attributes() -> None:
    losses = REFERENCE["losses"]
    whole, first, second = ReduceOnPlateau(), ReduceOnPlateau(), ReduceOnPlateau()
    expected = [whole.after_epoch(loss) for loss in losses]
    found = [first.after_epoch(loss) for loss in losses[:17]]
    second.current, second.best, second.waited = first.current, first.best, first.waited
    assert found + [second.after_epoch(loss) for loss in losses[17:]] == expected


def test_a_loss_that_is_no_number_is_no_progress() -> None:
    plateau = ReduceOnPlateau(factor=0.5, patience=1)
    assert [plateau.after_epoch(loss) for loss in (1.0, float("nan"), float("nan"), 0.5)] == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReduceOnPlateau(factor=1.0), r"factor must lie in (0, 1), not 1.0"),
        (lambda: ReduceOnPlateau(factor=0.0), r"factor must lie in (0, 1), not 0.0"),
        (lambda: ReduceOnPlateau(factor=float("nan")), r"factor must lie in (0, 1), not nan"),
        (lambda: ReduceOnPlateau(patience=-1), "patience must be a whole number of 0 or more, not -1"),
        (
            lambda: ReduceOnPlateau(patience=1.5),  # type: ignore[arg-type]
            "patience must be a whole number of 0 or more, not 1.5",
        ),
        (lambda: ReduceOnPlateau(minimum_change=1.0), r"minimum_change must lie in [0, 1), not 1.0"),
        (lambda: ReduceOnPlateau(minimum_change=-0.1), r"minimum_change must lie in [0, 1), not -0.1"),
        (lambda: ReduceOnPlateau(least_rate=1.1), "least_rate must lie in [0, 1], a share of the schedule's rate"),
        (lambda: ReduceOnPlateau(least_rate=-0.1), "least_rate must lie in [0, 1]"),
    ],
)
def test_settings_that_cannot_work(make: Callable[[], ReduceOnPlateau], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared below, letter by letter
        make()
    assert str(caught.value).startswith(message)
