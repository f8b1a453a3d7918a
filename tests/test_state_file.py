"""Checkpoints: each wrong bit is noticed, hostile ones are refused, and each is a model that can be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpnn import (
    MLP,
    ModelFileError,
    ReduceOnPlateau,
    TrainingState,
    early_stopping,
    load_model,
    load_state,
    record_of,
    save,
    save_state,
    standardization_of,
    train,
)
from xpnn.safetensors import write_tensors
from xpnn.scaling import Standardization, fold_target_scaling
from xpnn.state_file import Checkpoint

GENERATOR = np.random.default_rng(4)
X, T = GENERATOR.normal(size=(30, 4)), GENERATOR.integers(0, 3, 30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of a run with all that a state may have, in the middle of its second epoch."""
    net, states = MLP([4, 5, 3], seed=1), []
    options: dict[str, Any] = {"validation": (X, T), "epochs": 2, "batch_size": 10, "plateau": ReduceOnPlateau()}
    training: Any = train(net, (X, T), average_decay=0.9, progress=lambda _: states.append(epochs.state()), **options)
    epochs = early_stopping(training, net)
    history = [record_of(epoch) for epoch in epochs]
    save_state(net, states[4], tmp_path / "checkpoint", history=history[:1])
    return tmp_path / "checkpoint"


def test_it_is_plain_safetensors_with_the_states_vectors(path: Path) -> None:
    tensors = load_file(path)
    names = ["early_stopping.parameters", "layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"]
    moments = ["first_moment", "second_moment"]
    assert sorted(tensors) == [
        *names,
        "training.average",
        "training.learnt",
        *(f"training.optimizer.{name}" for name in moments),
    ]
    state = load_state(path).state
    np.testing.assert_array_equal(tensors["training.learnt"], state.vectors["learnt"])
    assert (state.epoch, state.rows, state.sums.finite_updates) == (1, 20, 2)


def test_each_wrong_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    generator = np.random.default_rng(3)
    for place in [*range(60), *generator.integers(len(content), size=200)]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        for load in (load_state, load_model):
            with pytest.raises(ModelFileError):
                load(path)
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            load_state(path)


def with_checksum(header: dict[str, Any], body: bytes) -> bytes:
    header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header).encode()
    text = text.replace(b"0" * 64, hashlib.sha256(text + body).hexdigest().encode(), 1)
    return len(text).to_bytes(8, "little") + text + body


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    """The file with other numbers of its state, and with the checksum that goes with them."""

    def edit(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        numbers = json.loads(header["__metadata__"]["state"])
        change(numbers)
        header["__metadata__"]["state"] = json.dumps(numbers)
        return with_checksum(header, content[8 + length :])

    return edit


def replaced(**numbers: Any) -> Callable[[bytes], bytes]:
    return edited(lambda found: found.update(numbers))


def test_a_file_edited_like_that_is_read(path: Path) -> None:
    path.write_bytes(replaced(rows=10)(path.read_bytes()))
    assert load_state(path).state.rows == 10


@pytest.mark.parametrize(
    "edit",
    [
        replaced(epoch=-1),
        replaced(epoch=True),
        replaced(epoch=2),  # its history has one record
        replaced(epoch="1"),
        replaced(rows=2.5),
        replaced(updates=None),
        replaced(history=None),
        replaced(history=[1]),
        replaced(history={}),
        replaced(history={"a": 1}),
        replaced(sums=None),
        replaced(sums=["1", 2]),
        replaced(sums=["one", 2, 3]),
        replaced(sums=[1.0, 2, 3]),
        replaced(sums=["0x1p99999", 2, 3]),
        replaced(plateau=["0x1p0"]),
        replaced(plateau=7),
        replaced(stopping=[None, 1]),
        replaced(stopping=["0x1p0", -1]),
        edited(lambda numbers: numbers.pop("rows")),
        edited(dict.clear),
    ],
)
def test_numbers_that_no_state_has_are_refused(path: Path, edit: Callable[[bytes], bytes]) -> None:
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(ModelFileError, match=r"checkpoint: the file is damaged \(its state is wrong: .*"):
        load_state(path)


@pytest.mark.parametrize("change", [{"shape": [42]}, {"dtype": "F64"}, {"data_offsets": [0, 10**9]}])
def test_a_vector_that_is_not_the_nets_is_refused(path: Path, change: dict[str, Any]) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["training.learnt"] |= change
    path.write_bytes(with_checksum(header, content[8 + length :]))
    with pytest.raises(ModelFileError, match=r"the tensor training\.learnt (is missing or not|lies outside the file)"):
        load_state(path)


def test_settings_come_back(tmp_path: Path) -> None:
    state, settings = TrainingState(0, 0, MLP([2, 2]).parameters), {"lr": 0.1, "hidden": [7], "name": "é"}
    save_state(MLP([2, 2]), state, tmp_path / "checkpoint", settings=settings)
    assert load_state(tmp_path / "checkpoint").settings == settings
    save_state(MLP([2, 2]), state, tmp_path / "checkpoint")
    assert load_state(tmp_path / "checkpoint").settings == {}
    save_state(MLP([2, 2]), state, tmp_path / "checkpoint", metadata={"settings": "[1]"})
    with pytest.raises(ModelFileError, match="its description of the settings is wrong: TypeError"):
        load_state(tmp_path / "checkpoint")


def test_a_checksum_that_is_no_text(path: Path) -> None:
    content = path.read_bytes()
    start = content.index(b'"sha256":"') + 10
    path.write_bytes(content[:start] + b"\\ud800" + content[start + 6 :])
    with pytest.raises(ModelFileError, match="the checksum that it was written with"):
        load_state(path)


def test_a_checkpoint_without_its_checksum_is_damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha255"', 1))
    for load in (load_state, load_model):
        with pytest.raises(ModelFileError, match="checksum is missing"):
            load(path)


def test_a_model_is_no_checkpoint(tmp_path: Path) -> None:
    save(MLP([2, 2]), tmp_path / "model")
    with pytest.raises(ModelFileError, match="this is a model alone, no checkpoint of a run"):
        load_state(tmp_path / "model")


def test_what_is_no_number_is_kept(tmp_path: Path) -> None:
    """A run that has just diverged, or whose moments overflow, goes on to the same end."""
    net = MLP([2, 2])
    infinite = np.full_like(net.parameters, np.inf)
    state = TrainingState(2, 8, net.parameters, {"optimizer.velocity": infinite}, rows=3)
    save_state(net, state, tmp_path / "checkpoint")
    np.testing.assert_array_equal(load_state(tmp_path / "checkpoint").state.vectors["optimizer.velocity"], infinite)


def test_the_net_of_a_checkpoint_may_go_on_itself(path: Path) -> None:
    found, other = load_state(path), MLP([4, 5, 3])
    options: dict[str, Any] = {"epochs": 2, "batch_size": 10, "average_decay": 0.9, "validation": (X, T)}
    for net in (found.net, other):
        epochs = train(net, (X, T), plateau=ReduceOnPlateau(), resume=found.state, progress=stopped, **options)
        with pytest.raises(KeyboardInterrupt):
            next(epochs)
        np.testing.assert_array_equal(net.parameters, load_model(path).parameters)  # as the epoch began
        list(train(net, (X, T), plateau=ReduceOnPlateau(), resume=found.state, **options))
    np.testing.assert_array_equal(found.net.parameters, other.parameters)


def stopped(_: object) -> None:
    raise KeyboardInterrupt


def test_as_a_model_it_answers_in_the_targets_own_units(tmp_path: Path) -> None:
    targets = 100 + 30 * X[:, :1]
    scaling = Standardization(*(tuple(numbers) for numbers in standardization_of(targets)))
    net = MLP([4, 5, 1], output="identity", seed=1)
    epochs = train(net, (X, (targets - scaling.means) / scaling.deviations), epochs=30)
    list(epochs)
    save_state(net, epochs.state(), tmp_path / "checkpoint", history=[{}] * 30, target_scaling=scaling)
    found: Checkpoint = load_state(tmp_path / "checkpoint")
    np.testing.assert_array_equal(found.state.parameters, net.parameters)
    fold_target_scaling(net, *scaling)
    np.testing.assert_array_equal(load_model(tmp_path / "checkpoint").parameters, net.parameters)
    assert abs(load_model(tmp_path / "checkpoint").query(X).mean() - 100) < 30


@pytest.mark.parametrize("length", range(1, 9))
def test_tensors_begin_at_a_multiple_of_8_bytes(tmp_path: Path, length: int) -> None:
    """As the format asks for, so that a file can be mapped into memory and used there."""
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"text": "x" * length}, {"x": np.zeros(3)})
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
