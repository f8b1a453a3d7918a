"""Augmentation: the maps against SciPy's, the elastic field against smoothed noise, and what is drawn for whom."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from xpnn import Augmentation, augmented, get_xp, to_host
from xpnn.augmenter import Augmenter
from xpnn.backend import matmul

SIDE, N = 9, 5
PICTURES: NDArray[Any] = np.random.default_rng(1).random((N, SIDE * SIDE))
ALL = Augmentation(shift=1.5, rotate=10, zoom=0.2, shear=10, elastic=34, cutout=3)
DRAWN = ("angle", "zoom", "shear", "shift_x", "shift_y", "hole_x", "hole_y")


def augmenter_for(
    settings: Augmentation, device: str = "cpu", side: int = SIDE, n: int = N, dtype: str = "float64"
) -> Augmenter:
    augmenter = Augmenter(settings, get_xp(device), side, n, dtype, background=0.25, seed=3)
    augmenter.draws.begin_epoch(0, 1)
    return augmenter


def changed(augmenter: Augmenter, pictures: NDArray[Any]) -> NDArray[Any]:
    xp = get_xp("cpu" if isinstance(augmenter.padded, np.ndarray) else "cuda")
    x = xp.asarray(pictures.astype(augmenter.padded.dtype))
    augmenter.augment(x, xp.zeros(1, dtype="int64"), matmul)
    return np.array(to_host(x))


def given(augmenter: Augmenter, **drawn: float) -> Augmenter:
    """The augmenter with these numbers, between -1 and 1, in place of drawn ones; 0 for the rest."""
    values = np.array([[drawn.get(name, 0.0)] * N for name in DRAWN])

    def draw(_: Any) -> None:
        augmenter.maps.values[...] = get_xp("cpu").asarray(values)

    augmenter.draws = SimpleNamespace(draw=draw)  # type: ignore[assignment]
    return augmenter


def by_scipy(settings: Augmentation, pictures: NDArray[Any], **drawn: float) -> NDArray[Any]:
    """The same by an affine map of rows and columns, from the definitions: zoom, then shear, turn, shift."""
    angle = math.radians(settings.rotate) * drawn.get("angle", 0)
    lean = math.tan(math.radians(settings.shear)) * drawn.get("shear", 0)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # of (x, y)
    forward = turn @ np.array([[1, lean], [0, 1]]) * (1 + settings.zoom * drawn.get("zoom", 0))
    back = np.linalg.inv(forward)[::-1, ::-1]  # of (row, column)
    shift = settings.shift * np.array([drawn.get("shift_y", 0), drawn.get("shift_x", 0)])
    middle = np.full(2, (SIDE - 1) / 2)
    return np.array(
        [
            ndimage.affine_transform(
                picture.reshape(SIDE, SIDE),
                back,
                middle - back @ (middle + shift),
                order=1,
                mode="grid-constant",
                cval=0.25,
            ).ravel()
            for picture in pictures
        ]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", [1, 2, 9, 28])
def test_settings_of_nothing_give_the_very_pictures(device: str, side: int, dtype: str) -> None:
    pictures = np.random.default_rng(2).normal(size=(N, side * side)).astype(dtype)
    result = changed(augmenter_for(Augmentation(), device, side, dtype=dtype), pictures)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, pictures)


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({"rotate": 10}, {"angle": 1.0}),
        ({"rotate": 10}, {"angle": -0.4}),
        ({"rotate": 90}, {"angle": 0.7}),
        ({"shift": 2.5}, {"shift_x": 0.9, "shift_y": -0.3}),
        ({"zoom": 0.3}, {"zoom": 0.8}),
        ({"zoom": 0.3}, {"zoom": -0.8}),
        ({"shear": 20}, {"shear": 0.9}),
        (
            {"rotate": 30, "shift": 2, "zoom": 0.2, "shear": 15},
            {"angle": 0.5, "shift_x": -0.5, "shift_y": 0.8, "zoom": -0.5, "shear": 0.6},
        ),
    ],
)
def test_maps_are_scipys(settings: dict[str, float], drawn: dict[str, float]) -> None:
    expected = by_scipy(Augmentation(**settings), PICTURES, **drawn)  # type: ignore[arg-type]
    for dtype, tolerance in (("float64", 1e-13), ("float32", 2e-6)):
        augmenter = given(augmenter_for(Augmentation(**settings), dtype=dtype), **drawn)  # type: ignore[arg-type]
        np.testing.assert_allclose(changed(augmenter, PICTURES), expected, atol=tolerance)
    assert np.abs(expected - PICTURES).max() > 0.1


def test_a_shift_by_whole_pixels_moves_them_and_brings_in_background() -> None:
    augmenter = given(augmenter_for(Augmentation(shift=4)), shift_x=0.5, shift_y=-0.25)  # right by 2, up by 1
    expected = np.full((N, SIDE, SIDE), 0.25)
    expected[:, :-1, 2:] = PICTURES.reshape(N, SIDE, SIDE)[:, 1:, :-2]
    np.testing.assert_allclose(changed(augmenter, PICTURES), expected.reshape(N, -1), atol=1e-15)


def test_a_turn_by_a_positive_angle_is_clockwise_on_the_screen() -> None:
    picture = np.zeros((N, SIDE, SIDE))
    picture[:, 4, 7] = 1  # right of the middle
    turned = changed(given(augmenter_for(Augmentation(rotate=90)), angle=1.0), picture.reshape(N, -1))
    assert np.unravel_index(turned[0].argmax(), (SIDE, SIDE)) == (7, 4)  # below it: y grows downward


def field(augmenter: Augmenter) -> NDArray[Any]:
    """(n, 2, side, side): displacements in pixels, x and y."""
    changed(augmenter, np.zeros((len(augmenter.coefficients), augmenter.side**2)))
    moved = augmenter.coefficients[:, :, 3:] @ augmenter.functions[3:]
    return np.array(moved.reshape(*moved.shape[:2], augmenter.side, augmenter.side))


def test_the_elastic_field_is_simards_smoothed_noise() -> None:
    """As large and as smooth as uniform noise that SciPy smooths by a Gaussian of sigma 4, times alpha."""
    n = 600
    ours = field(augmenter_for(Augmentation(elastic=34), side=28, n=n)).reshape(-1, 28, 28)
    noise = np.random.default_rng(5).uniform(-1, 1, (2 * n, 28, 28))
    theirs = 34 * ndimage.gaussian_filter(noise, 4, mode="constant", axes=(1, 2))
    inside = np.s_[:, 8:20, 8:20]
    assert ours[inside].std() == pytest.approx(34 / math.sqrt(3) / (2 * math.sqrt(math.pi) * 4), rel=0.05)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), atol=0.15)  # of 1.4; at the edges less
    assert np.abs(ours.mean(axis=0)).max() < 0.2  # its standard error is 0.04
    for lag in (1, 3, 6, 10):
        left, right = np.s_[:, 14, 14 - lag // 2], np.s_[:, 14, 14 - lag // 2 + lag]
        correlations = [np.corrcoef(d[left], d[right])[0, 1] for d in (ours, theirs)]
        np.testing.assert_allclose(correlations, math.exp(-(lag**2) / 64), atol=0.1)  # three standard errors


def test_x_and_y_are_displaced_apart_and_other_sizes_in_proportion() -> None:
    large, small = (field(augmenter_for(Augmentation(elastic=34), side=side, n=400)) for side in (28, 14))
    assert abs(np.corrcoef(large[:, 0, 14, 14], large[:, 1, 14, 14])[0, 1]) < 0.15  # three standard errors
    assert small.std() / large.std() == pytest.approx(0.5, rel=0.02)  # the same numbers are drawn


def test_an_elastic_picture_is_the_old_one_at_the_displaced_places() -> None:
    augmenter = augmenter_for(Augmentation(elastic=20))
    moved = field(augmenter)
    x = changed(augmenter, PICTURES)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for result, picture, (dx, dy) in zip(x, PICTURES, moved, strict=True):
        places = [rows + dy, columns + dx]
        image = picture.reshape(SIDE, SIDE)
        expected = ndimage.map_coordinates(image, places, order=1, mode="grid-constant", cval=0.25)
        np.testing.assert_allclose(result, expected.ravel(), atol=1e-13)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_cutout_blanks_a_square_whose_middle_is_anywhere(device: str, size: int) -> None:
    n = 4000
    white = np.ones((n, SIDE * SIDE))
    result = changed(augmenter_for(Augmentation(cutout=size), device, n=n), white).reshape(n, SIDE, SIDE)
    assert set(np.unique(result)) == {0.25, 1.0}
    holes = result == 0.25
    heights, widths = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2)), heights * widths)  # a rectangle, cut off by the border alone
    first_rows = holes.any(axis=2).argmax(axis=1)
    assert (heights[(first_rows > 0) & (first_rows + size < SIDE)] == size).all()
    assert {heights.max(), widths.max()} == {size}
    middles = np.array([[holes.any(axis=axis)[:, place].mean() for place in range(SIDE)] for axis in (1, 2)])
    reach = [
        sum(0 <= middle < SIDE for middle in range(at - (size - 1) // 2, at + size // 2 + 1)) for at in range(SIDE)
    ]
    np.testing.assert_allclose(middles, [np.array(reach) / SIDE] * 2, atol=0.04)  # four standard errors


def maps(settings: Augmentation, seed: int = 3, update: int = 0, n: int = 4000) -> NDArray[Any]:
    """(n, 2, 3) the affine maps of an update."""
    augmenter = Augmenter(settings, np, 3, n, "float64", 0.0, seed)
    augmenter.draws.begin_epoch(update, 1)
    augmenter.augment(np.zeros((n, 9)), np.zeros(1, dtype=np.int64), matmul)
    return np.array(augmenter.coefficients[:, :, :3])


def test_settings_are_the_limits_of_what_is_drawn_evenly() -> None:
    quantities: dict[str, tuple[float, Callable[[NDArray[Any]], NDArray[Any]]]] = {
        "rotate": (10.0, lambda m: np.degrees(np.arctan2(m[:, 0, 2], m[:, 1, 2]))),
        "zoom": (0.2, lambda m: 1 / m[:, 0, 1] - 1),
        "shift": (1.5, lambda m: 2 - m[:, 0, 0]),
        "shear": (20.0, lambda m: np.degrees(np.arctan(-m[:, 0, 2]))),
    }
    for name, (limit, measured) in quantities.items():
        found = measured(maps(Augmentation(**{name: limit})))  # type: ignore[arg-type]
        assert np.abs(found).max() <= limit * (1 + 1e-12), name
        expected = np.quantile(found, [0.02, 0.25, 0.5, 0.75, 0.98]) / limit
        np.testing.assert_allclose(expected, [-0.96, -0.5, 0, 0.5, 0.96], atol=0.06, err_msg=name)


def test_every_row_update_and_seed_has_its_own_whatever_else_is_on() -> None:
    turned = maps(Augmentation(rotate=10))
    assert len(np.unique(turned[:, 0, 2])) == len(turned)
    for other in (maps(Augmentation(rotate=10), seed=4), maps(Augmentation(rotate=10), update=1)):
        assert (other[:, 0, 2] == turned[:, 0, 2]).mean() < 0.01
    np.testing.assert_array_equal(maps(Augmentation(rotate=10, elastic=34, cutout=2)), turned)
    np.testing.assert_array_equal(maps(Augmentation(rotate=10)), turned)


def test_both_devices_give_the_same_bits_and_a_part_of_a_batch_those_of_the_whole(device: str) -> None:
    xp = get_xp(device)
    for dtype in ("float32", "float64"):
        pictures = PICTURES.astype(dtype)
        result = to_host(augmented(xp.asarray(pictures), ALL, 0.25, seed=3))
        np.testing.assert_array_equal(result, augmented(pictures, ALL, 0.25, seed=3))
        assert np.abs(result - pictures).max() > 0.2
        part = changed(augmenter_for(ALL, device, dtype=dtype), pictures[:3])
        np.testing.assert_allclose(part, result[:3], atol=1e-6)  # BLAS rounds products of other sizes otherwise


def test_the_map_says_nothing_of_the_field() -> None:
    augmenter = augmenter_for(Augmentation(elastic=34), n=400)
    augmenter.draws.draw(np.zeros(1, dtype=np.int64))
    maps, fields = augmenter.maps.values.ravel(), augmenter.fields.values.ravel()
    assert abs(np.corrcoef(maps, fields[: maps.size])[0, 1]) < 0.08  # four standard errors
