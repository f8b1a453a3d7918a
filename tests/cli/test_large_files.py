"""Commands on files whose rows stay there, because they would take too much memory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import Result
from pyarrow import parquet

import xpnn
from xpnn import memory, stored

Run = Callable[..., Result]
SMALL = ("--hidden", "6", "--epochs", "2", "--device", "cpu")


@pytest.fixture(autouse=True)
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fits into memory; blocks of 10 rows, windows of 40."""
    monkeypatch.setattr(memory, "SHARE", 0.0)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 640)
    monkeypatch.setattr(stored, "WINDOW_BYTES", 4 * 640)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The digits as IDX."""
    digits = xpnn.load("digits").train.take(slice(300))
    path, labels = tmp_path / "big-images.idx", np.array(digits.targets).astype(np.uint8)
    path.write_bytes(struct.pack(">IIII", 0x803, 300, 8, 8) + digits.inputs.tobytes())
    (tmp_path / "big-labels.idx").write_bytes(struct.pack(">II", 0x801, 300) + labels.tobytes())
    return path


def answer(result: Result) -> Any:
    return json.loads(result.stdout)


def test_training_says_that_the_rows_stay_and_which_step_ran(run: Run, images: Path) -> None:
    result = run("train", "big-images.idx", "--json", *SMALL)
    assert "big-images.idx: 1.92e-05 GB, more than 50% of the free memory: its rows stay in the file" in result.stderr
    assert "validation: 30 of the 300 training rows are set aside" in result.stderr
    assert answer(result)["step"] == "reference, from file"
    assert answer(result)["rows"] == 270
    again = run("train", "big-images.idx", "--json", *SMALL)
    assert answer(again)["loss"] == answer(result)["loss"]
    shown = run("train", "big-images.idx", "--test-data", "big-images.idx", "--limit", "100", *SMALL)
    assert "trained on 100 rows" in shown.stdout
    assert "saved model.safetensors" in shown.stdout


def test_what_fits_into_memory_says_nothing(run: Run, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SHARE", 0.5)
    result = run("train", "big-images.idx", "--json", *SMALL)
    assert "stay in the file" not in result.stderr
    assert answer(result)["step"] == "reference"


def test_the_other_commands_read_such_files_too(
    run: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("train", "big-images.idx", *SMALL)
    commands = [
        ("test", "model.safetensors", "big-images.idx", "--json", "--device", "cpu"),
        ("query", "model.safetensors", "big-images.idx", "--json", "--device", "cpu"),
        ("draw", "big-images.idx", "--index", "299"),
    ]
    found = [run(*command).stdout for command in commands]
    monkeypatch.setattr(memory, "SHARE", 0.5)
    assert [run(*command).stdout for command in commands] == found
    monkeypatch.setattr(memory, "SHARE", 0.0)
    swept = run("find-lr", "big-images.idx", "--steps", "30", "--device", "cpu")
    assert "learning rate" in swept.stdout
    parts = run("cross-validate", "big-images.idx", "--folds", "2", *SMALL)
    assert "accuracy" in parts.stdout
    assert all("its rows stay in the file, and are shuffled by blocks" in result.stderr for result in (swept, parts))


def test_a_run_keeps_to_the_order_of_its_rows(run: Run, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory comes and goes; a run that goes on in the other order would see some rows twice and others never."""
    command = ("train", "big-images.idx", *SMALL)
    run(*command, "--run", "filed")
    monkeypatch.setattr(memory, "SHARE", 0.5)
    run(*command, "--run", "loaded")
    for folder in ("filed", "loaded"):
        Path(folder, "result.json").unlink()  # as if they had been stopped after the last epoch
    was = "the rows were {} when the run began, and now they {}, where they come in another order: set XPNN_MEMORY_MB"
    result = run("train", "--resume", "filed", exit_code=1)
    assert f"{was.format('in their file', 'fit into memory')} to 0, or begin anew with --config" in result.stderr
    repeated = run("train", "--config", "filed/config.toml", "--run", "again")
    assert "note: the rows were in their file when the run began" in repeated.stderr

    monkeypatch.setenv("XPNN_MEMORY_MB", "0")
    result = run("train", "--resume", "filed")
    assert "GB, more than $XPNN_MEMORY_MB has room for: its rows stay in the file" in result.stderr
    result = run("train", "--resume", "loaded", exit_code=1)
    assert was.format("in memory", "stay in their file") in result.stderr
    monkeypatch.setenv("XPNN_MEMORY_MB", "1")
    run("train", "--resume", "loaded")
    monkeypatch.setenv("XPNN_MEMORY_MB", "lots")
    result = run(*command, exit_code=1)
    assert "XPNN_MEMORY_MB is 'lots', expected a whole number of megabytes, or 0 for none" in result.stderr


def test_a_table_in_its_file_is_looked_through_a_block_at_a_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])
    frame.assign(kind=np.arange(90) % 2).to_parquet("train.parquet", row_group_size=20)
    frame.loc[70, "b"] = 1e12
    frame.assign(kind=np.arange(90) % 2).to_parquet("far.parquet", row_group_size=20)
    run("train", "train.parquet", "--label-column", "kind", *SMALL)
    for part in ("--test-data", "--validation-data"):
        command = ("train", "train.parquet", "--label-column", "kind", part, "far.parquet", *SMALL)
        monkeypatch.setattr(stored.StoredRows, "__array__", None)  # which would read all of it
        result = run(*command, exit_code=1)
        assert "far.parquet: 'b' in row 70, counted from 0, is 1e+12, out of all reach" in result.stderr


def test_what_can_not_be_done_with_them_is_one_line(run: Run, images: Path) -> None:
    result = run("train", "big-images.idx", "--optimizer", "lbfgs", *SMALL, exit_code=2)
    assert "L-BFGS needs all rows in memory, and these stay in their file: take another optimizer" in result.stderr
    os.truncate(images, 1000)
    result = run("train", "big-images.idx", *SMALL, exit_code=1)
    assert "big-images.idx: cut short: 984 bytes follow the header, which promises 300 x 8 x 8" in result.stderr


def test_shards_as_the_hub_has_them(run: Run, tmp_path: Path) -> None:
    digits = xpnn.load("digits").train.take(slice(300))
    table = pa.table({"pixels": list(digits.inputs), "label": np.array(digits.targets)})
    for name, start, stop in (("train-0-of-2", 0, 130), ("train-1-of-2", 130, 250), ("test-0-of-1", 250, 300)):
        parquet.write_table(table.slice(start, stop - start), tmp_path / f"{name}.parquet", row_group_size=10)
    result = run("train", ".", "--json", *SMALL)
    assert ".: 1.6e-05 GB, more than 50% of the free memory: its rows stay in the file" in result.stderr
    assert (answer(result)["step"], answer(result)["rows"]) == ("reference, from file", 250)
    assert "of 50" in run("test", "model.safetensors", ".", "--device", "cpu").stdout
    assert (
        "a CSV, Parquet or Arrow file with column names is needed"
        in run("train", ".", "--targets", "label", exit_code=1).stderr
    )
    parquet.write_table(table, tmp_path / "train-1-of-2.parquet")
    os.truncate(tmp_path / "train-0-of-2.parquet", 900)
    result = run("train", ".", *SMALL, exit_code=1)
    assert "train-0-of-2.parquet: damaged Parquet or Arrow file" in result.stderr
