"""docs/first-hour.md, typed in from beginning to end: what it says is to be seen is seen."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pages import DOCS, steps
from xpnn_cli import main

NUMBER = r"-?\d+(?:[.,]\d+)*%?"
OF_MNIST = ("MNIST", "Your own handwriting")


def typed(line: str) -> str:
    """What the command prints, on either stream."""
    program, *arguments = line.split()
    result = CliRunner().invoke(main, arguments)
    assert (program, result.exit_code) == ("xpnn", 0), result.output
    return result.output


def room(number: str) -> float:
    """How far off it may be: another BLAS rounds otherwise, and then a few of the 355 test rows are read otherwise."""
    return 2.0 if "%" in number else max(0.2 * abs(value(number)), 0.02 if "." in number else 0.0)


def value(number: str) -> float:
    return float(number.strip("%").replace(",", ""))


def is_seen(shown: str, line: str) -> bool:
    """Whether a printed line begins as the page shows it, but for the last digits of its numbers."""
    numbers = re.findall(NUMBER, shown)
    words = re.split(NUMBER, shown)
    start = re.match(f"({NUMBER})".join(map(re.escape, words)), line)
    return start is not None and all(
        abs(value(found) - value(number)) <= room(number) for found, number in zip(start.groups(), numbers, strict=True)
    )


def assert_seen(text: str, printed: str) -> None:
    """Each line of the page's text is among those that were printed, in its order."""
    lines = iter(printed.splitlines())
    for shown in text.splitlines():
        assert shown == "..." or any(is_seen(shown, line) for line in lines), f"{shown!r} isn't in\n{printed}"


@pytest.mark.parametrize(
    ("shown", "line", "seen"),
    [
        ("epoch 1/10  loss 0.9846  accuracy 74.69%", "epoch 1/10  loss 0.9848  accuracy 74.61%  0.01 s", True),
        ("epoch 1/10  loss 0.9846  accuracy 74.69%", "epoch 2/10  loss 0.9846  accuracy 74.69%  0.01 s", False),
        ("accuracy: train 99.38%", "accuracy: train 96.38%", False),
        ("accuracy: train 99.38%", "train 99.38%", False),
        ("0.07", "2.37", False),
        ("(1442, 64) (355, 64)", "(1442, 64) (355, 32)", False),
    ],
)
def test_what_counts_as_seen(shown: str, line: str, seen: bool) -> None:
    assert is_seen(shown, line) == seen


def test_the_hour_on_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = ""
    for heading, language, text in steps("first-hour.md"):
        if heading in OF_MNIST:
            continue
        if language == "text":
            assert_seen(text, printed)
        elif language == "sh":
            printed = "".join(map(typed, text.splitlines()))
        else:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(text, heading, "exec"), names)  # noqa: S102  # the repository's own page
            printed = output.getvalue()
    (recipe,) = re.findall(r"`(xpnn train --recipe seed)`", (DOCS / "first-hour.md").read_text(encoding="utf-8"))
    assert f"test {names['scorecard'].mean():.2%}" in typed(recipe)  # the same network, whichever way


@pytest.mark.mnist
def test_the_hour_on_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one epoch of the ten; what ten come to is in docs/benchmarks.md."""
    monkeypatch.chdir(tmp_path)
    get_and_train, _, query = (text for heading, _, text in steps("first-hour.md") if heading in OF_MNIST)
    get, train = get_and_train.splitlines()
    page = (DOCS / "first-hour.md").read_text(encoding="utf-8").replace("\n", " ")
    draw, ask = "xpnn draw --index 7 --out mine.png", "xpnn query model.safetensors mine.png"
    assert f"`{draw}`" in page
    assert f"`{ask}`" in page
    for command in (get, f"{train} --epochs 1", "xpnn train", draw):
        typed(command)
    for command in (query, ask):
        assert re.search(r"^mine\.png  7 ", typed(command), re.MULTILINE)
