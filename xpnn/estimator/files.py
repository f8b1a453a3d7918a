"""Files of estimators: the net's safetensors file, with the rest of what a fit leaves in its metadata."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from xpnn.backend import to_host
from xpnn.checkpoint import load_model, save
from xpnn.errors import ModelFileError, Path
from xpnn.plain import from_plain, to_plain
from xpnn.safetensors import damaged, read_tensors
from xpnn.state_file import load_state, save_state

SAVED: dict[str, Any] = {  # beside the net and the parameters, with their types
    "classes_": np.ndarray,
    "feature_names_in_": np.ndarray,
    "n_iter_": int,
    "t_": int,
    "loss_": float,
    "loss_curve_": list,
    "best_loss_": float | None,
    "validation_scores_": list | None,
    "best_validation_score_": float | None,
    "learning_rate_": float | int,
    "_is_multilabel": bool,
    "_no_improvement_count": int,
    "_seed": int,
}


def write(estimator: Any, path: Path) -> None:
    """What `save` of an estimator does."""
    kept = {name: getattr(estimator, name) for name in SAVED if hasattr(estimator, name)}
    moments, state = estimator._resume or (None, None)
    record = {"kind": estimator._kind, "attributes": to_plain(kept), "parameters": {}, "moments": to_plain(moments)}
    for name, value in estimator.get_params(deep=False).items():
        try:
            record["parameters"][name] = to_plain(value)
        except TypeError as error:
            raise TypeError(f"{name} can't be saved ({error}): set_params({name}=None) first") from error
    metadata = {"estimator": json.dumps(record)}
    if state is None:
        save(estimator.net_, path, metadata)
    else:
        save_state(
            estimator.net_, replace(state, parameters=to_host(estimator.net_.parameters)), path, metadata=metadata
        )


def read(cls: Any, path: Path, device: str) -> Any:
    """What `load` of an estimator's class does."""
    net, metadata = load_model(path, device), read_tensors(path).metadata
    if "estimator" not in metadata:
        raise ModelFileError(f"{path}: this model was not saved by an estimator; xpnn.load_model reads it")
    state = load_state(path).state if "state" in metadata else None
    try:
        record = json.loads(metadata["estimator"])
        if record["kind"] != cls._kind:
            raise ModelFileError(f"{path}: this is a {record['kind']!s:.20}, not a {cls._kind}: load it as one")
        estimator = cls(**{name: from_plain(value) for name, value in record["parameters"].items()})
        estimator._revive(net, from_plain(record["attributes"]))
        if state is not None:
            estimator._resume = from_plain(record["moments"]), replace(state, parameters=np.empty(0))
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise damaged(path, f"its description of the estimator is wrong: {error!r}") from error
    estimator.device = device
    return estimator
