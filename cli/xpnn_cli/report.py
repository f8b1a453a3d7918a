"""What `xpnn train` says in the end: in plain numbers, and for people."""

from __future__ import annotations

import math
from typing import Any

import xpnn
from xpnn.data.catalogue import NAMES
from xpnn.early_stopping import best_record
from xpnn.history import Record
from xpnn.recipes import Recipe
from xpnn_cli.options import typed
from xpnn_cli.pictures import predictions_picture
from xpnn_cli.settings import LBFGS
from xpnn_cli.tables import predictions, predicts_values, scores_by_part, scores_lines

PARTED = 1.1  # times its least value: a validation loss above that has turned


def summary(
    net: xpnn.MLP,
    dataset: xpnn.Dataset,
    validation: xpnn.Samples | None,
    records: list[Record],
    settings: Recipe,
) -> dict[str, Any]:
    """How it went, in plain numbers."""
    stops = settings.patience is not None
    best = best_record(records, settings.metric, settings.minimum_change) if stops else records[-1]
    watches_test = validation is dataset.test
    parts = {"train": dataset.train, "validation": None if watches_test else validation, "test": dataset.test}
    found = {name: rows and xpnn.evaluate(net, rows) for name, rows in parts.items()}
    if not all(math.isfinite(score) for part in found.values() if part for score in part.scores().values()):
        raise xpnn.DivergenceError("the trained net's answers are no finite numbers: try a lower --lr")
    return {
        "data": dataset.name,
        "rows": len(dataset.train),
        "sizes": list(net.sizes),
        "parameters": net.parameters.size,
        "device": str(net.device),
        "dtype": net.dtype,
        "step": best["step"],
        "epochs": len(records),
        "best_epoch": best["epoch"] if stops else None,
        "loss": best["loss"],
        **{f"{name}_accuracy": part and part.accuracy for name, part in found.items()},
        **scores_by_part(found),
        "note": None if stops else _note(records, watches_test, settings),
        "epoch_seconds": [record["seconds"] for record in records],
    }


def _note(records: list[Record], watches_test: bool, settings: Recipe) -> str | None:
    """A word where training and validation have parted ways: more epochs then only learn the training rows by heart."""
    losses: list[Any] = [record.get("validation_loss") for record in records]
    if len(losses) < 3 or None in losses:  # not all are numbers
        return None
    best = min(range(len(losses)), key=losses.__getitem__)
    if losses[-1] <= PARTED * losses[best] or records[-1]["loss"] >= records[best]["loss"]:
        return None
    rows = "test" if watches_test else "validation"
    return (
        f"the {rows} loss was least after epoch {best + 1} ({losses[best]:.4f}) and has risen to {losses[-1]:.4f}, "
        f"while the training loss fell: the net overfits; try {_remedies(settings)} or fewer epochs"
    )


def _remedies(settings: Recipe) -> str:
    """Options that the run didn't have, and that its optimizer takes."""
    if settings.optimizer == LBFGS:
        return "a larger --l2" if settings.regularization.l2 else "--l2 0.001"
    return "--patience 5" if settings.regularization.dropout else "--patience 5, --dropout 0.3"


def report(net: xpnn.MLP, dataset: xpnn.Dataset, result: dict[str, Any]) -> str:
    """The same for people, with a few rows as the net sees them."""
    sizes, model = "-".join(map(str, net.sizes)), typed(result["model"])
    is_table = predicts_values(dataset)
    rows, shape = dataset.test or dataset.train, dataset.image_shape
    accuracies = {name: result[f"{name}_accuracy"] for name in ("train", "validation", "test")}
    shares = ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items() if value is not None)
    best = f"; the weights are those of epoch {result['best_epoch']}, the best" if result["best_epoch"] else ""
    note = f"\nnote: {result['note']}\n" if result["note"] else ""
    column = dataset.label_column if dataset.columns is None else None  # a table's is in the model
    labels = f" --label-column {typed(column)}" if column else ""
    is_known = dataset.name in NAMES or dataset.labels == tuple(map(str, range(dataset.classes)))
    holds_digits = dataset.columns is None and is_known  # for which alone `xpnn query` looks in a picture
    on = "" if dataset.name == "digits" else f" {dataset.name}" if dataset.name in NAMES else " DATA"
    draw = f"\n  xpnn draw{on}{labels} --out picture.png" if holds_digits else ""
    return f"""\
{sizes} network, {result["parameters"]:,} parameters, trained on {result["rows"]:,} rows \
in {result["train_seconds"]:.1f} s on {result["device"]}{best}
{scores_lines(result) if is_table else f"accuracy: {shares}"}
{note}
{predictions_picture(net, rows, shape) if dataset.columns is None else predictions(net, rows)}

saved {result["model"]}; now try
  xpnn test {model}{on}{labels}{draw}
  xpnn query {model} {"picture.png" if holds_digits else "DATA"}"""
