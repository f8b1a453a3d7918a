"""Pictures of digits as text and as PNG, and the curves of runs."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xpnn import MLP, XpnnError, draw_digit, find_learning_rate, load, plot_history, plot_range_test
from xpnn.history import Record
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


RECORDS: list[Record] = [
    {
        "epoch": 1,
        "loss": 2.0,
        "accuracy": 0.3,
        "validation_loss": None,
        "validation_accuracy": 0.2,
        "learning_rate": 0.1,
    },
    {
        "epoch": 2,
        "loss": 1.0,
        "accuracy": 0.6,
        "validation_loss": 1.5,
        "validation_accuracy": 0.5,
        "learning_rate": 0.05,
    },
]


def test_history_is_drawn_with_its_scores_and_without_a_global_state(tmp_path: Path) -> None:
    plot_history(RECORDS, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert {"<!-- loss -->", "<!-- accuracy -->", "<!-- learning rate -->"} <= set(re.findall("<!-- .* -->", text))
    assert text.count("<!-- validation -->") == 2
    plot_history([{"epoch": 1, "loss": 2.0, "learning_rate": 0.1}], tmp_path / "b.svg")
    assert "accuracy" not in (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "matplotlib.pyplot" not in sys.modules


def test_range_test_is_drawn_with_its_suggestion(tmp_path: Path) -> None:
    found = find_learning_rate(MLP([64, 20, 10]), load("digits").train)
    plot_range_test(found, tmp_path / "a.svg")
    assert f"<!-- suggestion {found.suggestion:.2g} -->" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_curves_that_cannot_be_drawn_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XpnnError, match="a.gif: a picture's name must end in .png, .svg or .pdf"):
        plot_history(RECORDS, tmp_path / "a.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(XpnnError, match="need Matplotlib; pip install 'xpnn.plots.'"):
        plot_history(RECORDS, tmp_path / "a.png")
