"""The history: what is written is what was measured, and what can't be read is named with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xpnn import MLP, DataError, Epoch, Evaluation, XpnnError, load, read_history, record_of, recorded, train

DIGITS = load("digits")


def test_a_record_has_the_epochs_numbers_by_name() -> None:
    confusion = np.array([[3, 1], [0, 4]])
    epoch = Epoch(2, 0.5, 0.75, Evaluation(8, float("nan"), confusion), 0.1, "reference", 0.01)
    assert record_of(epoch) == {
        "epoch": 2,
        "loss": 0.5,
        "accuracy": 0.75,
        "validation_loss": None,
        "validation_accuracy": 0.875,
        "learning_rate": 0.01,
        "seconds": 0.1,
        "step": "reference",
    }
    assert record_of(Epoch(1, 2.0, None, None, 0.1, "reference", 0.01)).keys() == {
        "epoch",
        "loss",
        "learning_rate",
        "seconds",
        "step",
    }


def test_history_is_on_disk_as_soon_as_an_epoch_ends_and_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("the history of another run\n")
    records = []
    net = MLP([64, 10])
    for epoch in recorded(train(net, DIGITS.train, validation=DIGITS.test, epochs=3), path):
        records.append(record_of(epoch))
        assert read_history(path) == records
    assert len(records) == 3
    assert read_history(tmp_path) == records  # the folder stands for its file
    assert [record["epoch"] for record in records] == [1, 2, 3]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "loss": 2.0}\n{"epoch": 2, "lo')
    assert [record["epoch"] for record in read_history(path)] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no epoch in it yet"),
        ('{"epoch": 1, "loss": 2.0}\nepoch 2\n{}\n', "line 2: this is no record of an epoch"),
        ('{"epoch": 1}\n', "line 1: this is no record"),
        ('{"epoch": 1, "loss": NaN}\n', "line 1: this is no record"),
        ('{"epoch": 1, "loss": true}\n', "line 1: this is no record"),
        ('{"epoch": 1, "loss": 1e300}\n', "line 1: this is no record"),
        (f'{{"epoch": 1, "loss": 1{"0" * 400}}}\n', "line 1: this is no record"),
        ('{"epoch": 1, "loss": 1, "accuracy": {}}\n', "line 1: this is no record"),
        ('{"epoch": 1, "loss": 1, "accuracy": "high"}\n', "line 1: this is no record"),
        ("[1, 2]\n", "line 1: this is no record"),
        ("[" * 100_000, "line 1: this is no record"),
        ("\x00\ufffd", "line 1: this is no record"),
    ],
)
def test_what_is_no_history_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"metrics.jsonl.*{message}"):
        read_history(path)


def test_missing_history_and_unwritable_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file; give a folder of xpnn train --run"):
        read_history(tmp_path / "nothing")
    with pytest.raises(XpnnError, match="can't be written"):
        next(recorded(iter([Epoch(1, 2.0, None, None, 0.1, "reference", 0.01)]), tmp_path / "no folder" / "a.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_an_old_history_stays_until_the_first_epoch_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "loss": 2.0}\n')

    def fails() -> Iterator[Epoch]:
        raise ValueError("before the first epoch")
        yield

    with pytest.raises(ValueError, match="before the first epoch"):
        list(recorded(fails(), path))
    assert len(read_history(path)) == 1


def test_an_error_of_the_run_is_not_taken_for_one_of_the_file(tmp_path: Path) -> None:
    def progress(_: object) -> None:
        raise OSError(5, "mine")

    with pytest.raises(OSError, match="mine"):
        list(recorded(train(MLP([64, 10]), DIGITS.train, progress=progress), tmp_path / "metrics.jsonl"))
