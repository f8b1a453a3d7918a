"""Augmentation in training: what of a step it touches, what decides what is drawn, and which rows are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnn import MLP, Augmentation, optimizers, to_host, train
from xpnn.steps import ReferenceStep

SIDE, N = 9, 5
PICTURES: NDArray[Any] = np.random.default_rng(1).random((N, SIDE * SIDE))
ALL = Augmentation(shift=1.5, rotate=10, zoom=0.2, shear=10, elastic=34, cutout=3)


def make_step(
    inputs: NDArray[Any], device: str, augmentation: Augmentation, seed: int = 2, first: int = 0, **net: Any
) -> ReferenceStep:
    made = MLP([SIDE * SIDE, 4, 3], device=device, seed=1, **net)
    placed = made.place_inputs(inputs), made.place_targets(np.arange(len(inputs)) % 3)
    step = ReferenceStep(made, optimizers.sgd(0.1), *placed, N, augmentation=augmentation, seed=seed)
    step.begin_epoch(first, made.xp.asarray(np.ones((2, 3), dtype="float32")))
    return step


def test_rows_and_labels_stay_as_they_are(device: str) -> None:
    pixels = (255 * PICTURES).astype("uint8")
    for inputs in (pixels, PICTURES.astype("float32")):
        step = make_step(inputs, device, ALL)
        before = to_host(step.inputs).copy()
        step(step.net.xp.asarray(np.arange(N)))
        np.testing.assert_array_equal(to_host(step.inputs), before)
        np.testing.assert_array_equal(to_host(step.buffers[N].labels), np.arange(N) % 3)
        np.testing.assert_array_equal(to_host(step.buffers[N].t).argmax(axis=1), np.arange(N) % 3)


def test_a_step_draws_by_its_seed_and_the_updates_number_in_the_run(device: str) -> None:
    def seen(updates: int = 1, **options: int) -> list[NDArray[Any]]:
        """The inputs of each update."""
        step, found = make_step(PICTURES, device, ALL, **options), []
        for _ in range(updates):
            step(step.net.xp.asarray(np.arange(N)))
            found.append(to_host(step.buffers[N].x).copy())
        return found

    first, second = seen(updates=2)
    np.testing.assert_array_equal(seen(first=1)[0], second)
    for other in (second, seen(seed=3)[0]):
        assert np.abs(other - first).max() > 0.2


def test_the_background_is_what_a_pixel_of_0_becomes_and_0_for_floats(device: str) -> None:
    far = Augmentation(shift=8, rotate=180)
    for inputs, background in ((np.full((N, SIDE * SIDE), 255, "uint8"), 0.01), (np.ones((N, SIDE * SIDE)), 0.0)):
        step = make_step(inputs, device, far, scaling=(0.99 / 255, 0.01))
        step(step.net.xp.asarray(np.arange(N)))
        x = to_host(step.buffers[N].x)
        assert x.min() == pytest.approx(background, abs=1e-7)
        assert x.max() == pytest.approx(1)


def test_a_run_is_repeated_by_its_seed_and_unlike_one_without() -> None:
    def parameters(settings: Augmentation, seed: int = 1, fast: bool = False) -> NDArray[Any]:
        net = MLP([SIDE * SIDE, 6, 3], seed=1)
        labels = np.arange(N) % 3
        list(train(net, (PICTURES, labels), epochs=2, batch_size=2, augmentation=settings, seed=seed, fast=fast))
        return np.array(net.parameters)

    once = parameters(ALL)
    np.testing.assert_array_equal(parameters(ALL), once)
    for other in (parameters(ALL, seed=2), parameters(Augmentation()), parameters(Augmentation(rotate=10))):
        assert np.abs(other - once).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotate": 181}, "rotate must be a number from 0 to 180, not 181"),
        ({"shift": -1}, "shift must be 0 or a positive number, not -1"),
        ({"shift": math.inf}, "shift must be 0 or a positive number, not inf"),
        ({"zoom": 1.0}, "zoom must be a number from 0 to 0.9, not 1.0"),
        ({"shear": math.nan}, "shear must be a number from 0 to 60, not nan"),
        ({"elastic": 2000}, "elastic must be a number from 0 to 1000, not 2000"),
        ({"cutout": 2.5}, "cutout must be a whole number of pixels, not 2.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)


def test_rows_that_are_no_pictures_are_refused() -> None:
    turns = Augmentation(rotate=1)
    table = MLP([4, 2], columns="abcd")
    with pytest.raises(ValueError, match=r"augmentation \(.*\) is for square pictures, not for tables"):
        train(table, (np.ones((3, 4)), [0, 1, 0]), augmentation=turns)
    wide = MLP([4, 2], image_shape=(1, 4))
    with pytest.raises(ValueError, match="augmentation is for square pictures, and the net's have 1 x 4 pixels"):
        train(wide, (np.ones((3, 4)), [0, 1, 0]), augmentation=turns)
    with pytest.raises(ValueError, match="augmentation is for square pictures; rows of 5 values are none"):
        train(MLP([5, 2]), (np.ones((3, 5)), [0, 1, 0]), augmentation=turns)
    for name in ("shift", "cutout"):
        with pytest.raises(ValueError, match=f"{name} 2 leaves nothing of pictures of 2 x 2 pixels"):
            train(MLP([4, 2]), (np.ones((3, 4)), [0, 1, 0]), augmentation=Augmentation(**{name: 2}))
    with pytest.raises(TypeError, match="augmentation must be an Augmentation, such as"):
        train(MLP([4, 2]), (np.ones((3, 4)), [0, 1, 0]), augmentation={"rotate": 1})  # type: ignore[arg-type]
    train(MLP([5, 2]), (np.ones((3, 5)), [0, 1, 0]), augmentation=Augmentation())
