"""Checkpoints: a run's state in a file, from which it goes on to the same bits.

The file is a model file, of the parameters after the last whole epoch, and can be used as one. Beside the layers it
has the state's vectors, and in its metadata the numbers, the history so far, the run's settings, and a checksum of all
of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from xpnn.backend import Device
from xpnn.checkpoint import description_of, model_in, named_tensors, vectors_in
from xpnn.errors import ModelFileError
from xpnn.errors import Path as PathLike
from xpnn.layers import layers_of
from xpnn.network import MLP
from xpnn.safetensors import damaged, read_tensors, write_tensors
from xpnn.scaling import Standardization
from xpnn.state import PlateauState, StoppingState, Sums, TrainingState

KEPT = "early_stopping.parameters"
_PREFIX = "training."  # of the state's vectors


class Checkpoint(NamedTuple):
    """What a file holds.

    net:      on the CPU, with the parameters after the last whole epoch. Where targets were standardised for training,
              as `xpnn train` does for tables, it answers in deviations; `load_model` gives one in their own units.
    state:    of the run.
    history:  the records of its epochs, where they were given.
    settings: with which these were learnt, by their names, where they were given.
    """

    net: MLP
    state: TrainingState
    history: list[dict[str, Any]]
    settings: dict[str, Any]


def save_state(
    net: MLP,
    state: TrainingState,
    path: PathLike,
    *,
    history: Iterable[dict[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    target_scaling: Standardization | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint, whole or not at all.

    net:            gives its shape and settings; the parameters are the state's.
    history:        a record of each whole epoch, see `xpnn.record_of`, or none.
    settings:       of the run, as JSON can hold them, or none.
    target_scaling: in which the net is being trained, and which `load_model` then folds into it.
    metadata:       what else is to be kept in the file, by names that the file hasn't got yet.

    Raises XpnnError if the file can't be written; one that was there before is then untouched.
    """
    tensors = named_tensors(layers_of(state.parameters, net.sizes, net.bias))
    tensors |= {f"{_PREFIX}{name}": vector for name, vector in state.vectors.items()}
    if state.stopping is not None:
        tensors[KEPT] = state.stopping.parameters
    described = description_of(net) | {"state": json.dumps(_numbers(state) | {"history": list(history)})}
    if settings:
        described["settings"] = json.dumps(settings)
    if target_scaling is not None:
        means, deviations = (list(map(float, numbers)) for numbers in target_scaling)
        described["target_scaling"] = json.dumps({"means": means, "deviations": deviations})
    write_tensors(path, {**(metadata or {}), **described}, tensors, checked=True)


def load_state(path: PathLike) -> Checkpoint:
    """Read a checkpoint. Raises ModelFileError if the file is missing, damaged or none."""
    found = read_tensors(path)
    net = model_in(found, Device("cpu"))
    if "state" not in found.metadata:
        raise ModelFileError(f"{path}: this is a model alone, no checkpoint of a run; give one of xpnn train --run")
    numbers = found.text("state")
    vectors = {name: found.tensor(name, net.parameters, finite=False) for name in vectors_in(found)}
    kept = vectors.pop(KEPT, None)
    try:
        plateau, stopping, history = numbers["plateau"], numbers["stopping"], numbers["history"]
        is_list = isinstance(history, list) and all(isinstance(record, dict) for record in history)
        if not is_list or len(history) not in (0, numbers["epoch"]):
            raise ValueError("its history is not of its epochs")
        state = TrainingState(
            epoch=_count(numbers["epoch"]),
            updates=_count(numbers["updates"]),
            parameters=net.parameters.copy(),  # the net may be trained on
            vectors={name.removeprefix(_PREFIX): vector for name, vector in vectors.items()},
            rows=_count(numbers["rows"]),
            sums=_sums(*numbers["sums"]),
            plateau=None if plateau is None else _plateau(*plateau),
            stopping=None if stopping is None else _stopping(kept, *stopping),
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise damaged(path, f"its state is wrong: {error!r}") from error
    settings = found.text("settings") if "settings" in found.metadata else {}
    return Checkpoint(net, state, history, settings)


def _numbers(state: TrainingState) -> dict[str, Any]:
    """The state without its vectors; floats are in hexadecimal, so that each has its bits, and infinity a name."""
    plateau, stopping, sums = state.plateau, state.stopping, state.sums
    return {
        "epoch": state.epoch,
        "updates": state.updates,
        "rows": state.rows,
        "sums": [sums.loss.hex(), sums.hits, sums.finite_updates],
        "plateau": plateau and [float(plateau.current).hex(), float(plateau.best).hex(), plateau.waited],
        "stopping": stopping and [float(stopping.best).hex(), stopping.waited],
    }


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no count")
    return number


def _sums(loss: str, hits: Any, finite_updates: Any) -> Sums:
    return Sums(float.fromhex(loss), _count(hits), _count(finite_updates))


def _plateau(current: str, best: str, waited: Any) -> PlateauState:
    return PlateauState(float.fromhex(current), float.fromhex(best), _count(waited))


def _stopping(kept: Any, best: str, waited: Any) -> StoppingState:
    if kept is None:
        raise ValueError(f"there is no {KEPT}")
    return StoppingState(float.fromhex(best), _count(waited), kept)
