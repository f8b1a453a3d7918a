"""Pictures as text and as PNG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from xpnn import draw_digit
from xpnn.plots import digit_png


def test_small_pictures_in_five_shades() -> None:
    assert draw_digit([0, 52, 60, 120, 200, 255], (2, 3)) == "  ░░░░\n▒▒▓▓██"
    assert draw_digit(np.array([0, 255, 255, 0])) == "  ██\n██  "


def test_large_pictures_by_half_cells() -> None:
    image = np.zeros((3, 20), dtype="uint8")
    image[0, 1] = image[1, 2] = image[:2, 3] = image[2, 4] = 255
    assert [line.rstrip() for line in draw_digit(image, (3, 20)).splitlines()] == [" ▀▄█", "    ▀"]


def test_floats_within_0_and_1_are_shares() -> None:
    shares = np.array([0, 0.21, 0.24, 0.47, 0.78, 1])
    assert draw_digit(shares, (2, 3)) == "  ░░░░\n▒▒▓▓██"
    assert draw_digit(np.ones(784)) == "\n".join([28 * "█"] * 14)
    assert draw_digit(np.array([-5.0, 300, 255, 0])) == "  ██\n██  "
    assert draw_digit(np.array([0, 1, 1, 0])).strip() == ""  # whole numbers are levels


def test_png_is_the_picture_enlarged() -> None:
    pixels = np.arange(64, dtype="uint8") * 4
    with Image.open(io.BytesIO(digit_png(pixels, height=80))) as image:
        enlarged = np.asarray(image)
    assert enlarged.shape == (80, 80)
    np.testing.assert_array_equal(enlarged[5::10, 5::10].ravel(), pixels)
    np.testing.assert_array_equal(enlarged[::10], enlarged[9::10])


def test_pixels_that_do_not_fill_the_shape() -> None:
    with pytest.raises(ValueError, match="5 pixels don't fill 2 x 2"):
        draw_digit(np.zeros(5))
