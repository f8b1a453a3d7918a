"""Callbacks: what they write is read back by others' readers, also where a run goes on, and nothing is written over."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xpnn import MLP, DataError, Epoch, Evaluation, XpnnError, callbacks, load, record_of, train

DIGITS = load("digits")
MADE: dict[str, Callable[[Path], callbacks.Callback]] = {
    "csv": callbacks.csv_log,
    "tensorboard": callbacks.tensorboard_log,
}


def trained(epochs: int = 3) -> list[Epoch]:
    return list(train(MLP([64, 10]), DIGITS.train, validation=DIGITS.test, epochs=epochs))


def epoch_of(number: int, loss: float = 0.5) -> Epoch:
    return Epoch(number, loss, None, None, 0.25, "reference", 0.125)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each tag in a folder, as TensorBoard reads it."""
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_csv_is_the_record_as_pandas_reads_it_after_each_epoch(tmp_path: Path) -> None:
    path, records = tmp_path / "run.csv", []
    log = callbacks.csv_log(path)
    assert not path.exists()
    for epoch in train(MLP([64, 10]), DIGITS.train, validation=DIGITS.test, epochs=3):
        log(epoch)
        records.append({name: str(value) for name, value in record_of(epoch).items()})
        assert pd.read_csv(path, dtype=str).to_dict("records") == records  # each digit
    assert len(records) == 3
    assert b"\r" not in path.read_bytes()


def test_what_is_not_finite_is_an_empty_cell(tmp_path: Path) -> None:
    evaluation = Evaluation(8, math.nan, np.array([[3, 1], [0, 4]]))
    callbacks.csv_log(tmp_path / "run.csv")(Epoch(1, 0.5, 0.75, evaluation, 0.1, "reference", 0.01))
    assert pd.read_csv(tmp_path / "run.csv")["validation_loss"].isna().all()
    assert "1,0.5,0.75,,0.875,0.01,0.1,reference\n" in (tmp_path / "run.csv").read_text()


def test_tensorboard_reads_every_number_at_its_epoch(tmp_path: Path) -> None:
    folder, epochs = tmp_path / "runs" / "first", trained()
    log = callbacks.tensorboard_log(folder)
    for count, epoch in enumerate(epochs, 1):
        log(epoch)
        assert len(scalars(folder)["loss"]) == count  # as soon as it has ended
    found = scalars(folder)
    assert found == {  # TensorBoard keeps float32
        name: [(epoch.number, float(np.float32(callbacks.numbers_of(epoch)[name]))) for epoch in epochs]
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds")
    }


def test_a_run_that_goes_on_keeps_what_came_before_and_replaces_what_came_after(tmp_path: Path) -> None:
    for made, path in ((callbacks.csv_log, tmp_path / "run.csv"), (callbacks.tensorboard_log, tmp_path / "run")):
        log = made(path)
        for number in range(1, 6):
            log(epoch_of(number, 1.0))
        log = made(path)  # another process, from the checkpoint of epoch 3
        log(epoch_of(4, 2.0))
    expected = [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]
    table = pd.read_csv(tmp_path / "run.csv")
    assert list(zip(table["epoch"], table["loss"], strict=True)) == expected
    assert scalars(tmp_path / "run")["loss"] == expected


def test_a_run_from_the_start_replaces_the_one_that_was_there(tmp_path: Path) -> None:
    for made, path in ((callbacks.csv_log, tmp_path / "run.csv"), (callbacks.tensorboard_log, tmp_path / "run")):
        for loss in (1.0, 2.0):
            log = made(path)
            log(epoch_of(1, loss))
    log = callbacks.csv_log(tmp_path / "run.csv")
    for epoch in trained(1):  # with other columns
        log(epoch)
    assert pd.read_csv(tmp_path / "run.csv").columns[3] == "validation_loss"
    assert scalars(tmp_path / "run")["loss"] == [(1, 2.0)]


def test_one_callback_may_see_two_runs(tmp_path: Path) -> None:
    for made, path in ((callbacks.csv_log, tmp_path / "run.csv"), (callbacks.tensorboard_log, tmp_path / "run")):
        log = made(path)
        for number in (1, 2, 3, 1, 2):
            log(epoch_of(number))
    assert pd.read_csv(tmp_path / "run.csv")["epoch"].tolist() == [1, 2]
    assert scalars(tmp_path / "run")["loss"] == [(1, 0.5), (2, 0.5)]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    log = callbacks.csv_log(path)
    for number in (1, 2, 3):
        log(epoch_of(number))
    path.write_text(path.read_text()[:-4])
    callbacks.csv_log(path)(epoch_of(4))
    assert pd.read_csv(path)["epoch"].tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    "content", [b"area,price\n1,2\n", b"\xff\xfe", b"no line", b"epoch,loss\nx,2\n", b"a" * 200_000 + b"\n"]
)
def test_a_file_that_is_no_log_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="data.csv: this is no log of epochs: choose another file"):
        callbacks.csv_log(path)
    assert path.read_bytes() == content


def test_a_run_that_goes_on_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    callbacks.csv_log(path)(epoch_of(1))
    before = path.read_bytes()
    with pytest.raises(
        DataError, match="its columns are epoch, loss, .*step, and this run's are epoch, loss, accuracy,"
    ):
        callbacks.csv_log(path)(trained(2)[1])
    assert path.read_bytes() == before


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_what_cannot_be_written_is_found_before_training(tmp_path: Path, made: Callable[[Path], Any]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(XpnnError, match="can't be written"):
        made(tmp_path / "file" / "inside")


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_a_place_that_is_lost_in_the_course_of_a_run_is_one_line(tmp_path: Path, made: Callable[[Path], Any]) -> None:
    log = made(tmp_path / "folder" / "run" if made is callbacks.tensorboard_log else tmp_path / "run")
    log(epoch_of(1))
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "run").mkdir(exist_ok=True)
    with pytest.raises(XpnnError, match="can't be written .*; make room, or choose another place"):
        log(epoch_of(2))


def test_without_tensorboard_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(XpnnError, match=r"pip install 'xpnn\[tensorboard\]'"):
        callbacks.tensorboard_log(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_nets_own_train_calls_back_after_each_epoch() -> None:
    net, seen = MLP([64, 10]), []

    def watch(epoch: Epoch) -> str:
        seen.append((epoch, net.parameters.copy()))
        return "is not looked at"

    records = net.train(DIGITS.train.inputs, DIGITS.train.targets, epochs=2, callback=watch)
    assert [epoch for epoch, _ in seen] == records
    assert not np.array_equal(seen[0][1], seen[1][1])
    assert net.train(DIGITS.train.inputs, DIGITS.train.targets, epochs=1)[0].number == 1

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.train(DIGITS.train.inputs, DIGITS.train.targets, callback=stop)
