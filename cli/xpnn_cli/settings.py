"""The options that change a recipe's settings: those of all commands that train."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from xpnn.activations import HIDDEN_ACTIVATIONS
from xpnn.errors import XpnnError
from xpnn.losses import LOSSES, natural_loss
from xpnn.names import choices
from xpnn.optimizers import OPTIMIZERS, settings_of
from xpnn.recipes import RECIPES, WITH_MOMENTUM, Recipe
from xpnn.regularization import Regularization
from xpnn.schedules import SCHEDULES
from xpnn_cli.augmentation import AUGMENTATION, AUGMENTATION_OPTIONS
from xpnn_cli.options import GroupedOption, finite, name_list, size_list

POSITIVE = click.IntRange(min=1)
NOT_NEGATIVE = click.FloatRange(min=0)
BELOW_ONE = click.FloatRange(0, 1, max_open=True)
LBFGS = "lbfgs"
WITH_LBFGS = {"optimizer", "epochs", "l2", "class_weight", "label_smoothing"} | {
    *("hidden_sizes", "hidden", "output", "loss", "dtype")
}
PENALTIES = {field.name for field in dataclasses.fields(Regularization)}


def _setting(
    group: str,
    *names: str,
    help: str,  # noqa: A002 - Click's own name for it
    shown: str | None = None,
    **options: Any,
) -> Callable[..., Any]:
    """An option that changes one setting of the recipe; its help shows the default recipe's, or what `shown` says."""
    field = names[-1].lstrip("-").replace("-", "_")
    default = RECIPES["default"]
    value = getattr(default.regularization if field in PENALTIES else default, field)
    if shown is None:
        shown = (
            ",".join(map(str, value))
            if isinstance(value, tuple)
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
        )
    if isinstance(options.get("type"), click.FloatRange):
        options.setdefault("callback", finite)
    return click.option(*names, cls=GroupedOption, group=group, help=f"{help}  [default: {shown}]", **options)


OPTIONS = [
    click.option(
        "--recipe",
        type=click.Choice(sorted(RECIPES)),
        default="default",
        show_default=True,
        help="Settings to start from; the options below each change one, and the defaults that they show are the"
        " default recipe's. `seed` is the first network of the textbooks, with two sigmoids, learning one sample at a"
        " time; `dropout` and `augmented`, which turns and bends its pictures, are slower and better on MNIST.",
    ),
    _setting(
        "Network",
        "--hidden",
        "hidden_sizes",
        metavar="N[,N...]",
        callback=size_list,
        help='Units of the hidden layers, such as 300,100; "" for none.',
    ),
    _setting(
        "Network",
        "--activation",
        "hidden",
        metavar="NAME[,NAME...]",
        callback=name_list,
        help=f"Of the hidden layers; one, or one for each: {choices(HIDDEN_ACTIVATIONS)}. A number may follow.",
    ),
    _setting(
        "Network",
        "--output",
        metavar="NAME",
        help="Activation of the output layer: softmax, exp (for counts) or any of the hidden ones.",
    ),
    _setting(
        "Network",
        "--loss",
        metavar="NAME",
        shown="the one made for the output",
        help=f"What training lowers: {choices(LOSSES)}.",
    ),
    _setting(
        "Network", "--dtype", type=click.Choice(["float32", "float64"]), help="Of the weights and all arithmetic."
    ),
    _setting(
        "Network",
        "--precision",
        type=click.Choice(["float32", "tf32", "bf16"]),
        help="Rounding of the inputs of matrix products in training on a CUDA GPU: tf32 keeps 10 bits of fraction,"
        " bf16 7.",
    ),
    _setting(
        "Learning",
        "--optimizer",
        metavar="NAME",
        type=click.Choice([*sorted(OPTIMIZERS), LBFGS]),
        help=f"How the weights follow the gradient: {', '.join(sorted(OPTIMIZERS))}; or lbfgs, which is for small data,"
        " and needs SciPy.",
    ),
    _setting("Learning", "--epochs", type=POSITIVE, help="Passes over the training rows."),
    _setting("Learning", "--batch-size", type=POSITIVE, help="Rows an update."),
    _setting(
        "Learning",
        "--momentum",
        type=BELOW_ONE,
        shown="the optimizer's own",
        help=f"Share of the last step in the next; for {', '.join(WITH_MOMENTUM)}.",
    ),
    _setting(
        "Learning",
        "--average",
        "average_decay",
        metavar="DECAY",
        type=BELOW_ONE,
        help="Use a moving average of the weights, such as 0.999 for one over about the last 1,000 updates.",
    ),
    _setting(
        "Learning",
        "--class-weight",
        type=click.Choice(["balanced"]),
        shown="all rows count the same",
        help="balanced: rare classes count more, so that all count the same.",
    ),
    _setting(
        "Learning",
        "--label-smoothing",
        type=BELOW_ONE,
        help="Share of a label's certainty that is spread over the classes, such as 0.1.",
    ),
    _setting(
        "Learning rate",
        "--lr",
        "learning_rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Learning rate, the highest of the run. Another optimizer than the recipe's has its own usual one;"
        " `xpnn find-lr` finds one for your data.",
    ),
    _setting(
        "Learning rate",
        "--schedule",
        metavar="NAME",
        type=click.Choice(sorted(SCHEDULES)),
        help=f"How the rate changes in the run: {', '.join(sorted(SCHEDULES))}.",
    ),
    _setting(
        "Learning rate",
        "--warmup",
        metavar="SHARE",
        type=BELOW_ONE,
        help="Share of the run's updates in which the rate rises from 0 to where the schedule starts.",
    ),
    _setting(
        "Learning rate",
        "--plateau",
        metavar="EPOCHS",
        type=click.IntRange(min=0),
        shown="no such thing",
        help="Divide the rate by 10 when the loss hasn't fallen for more than EPOCHS epochs.",
    ),
    _setting(
        "Regularisation",
        "--dropout",
        type=click.FloatRange(0, 0.99),
        help="Share of the hidden units left out of each update.",
    ),
    _setting("Regularisation", "--input-dropout", type=click.FloatRange(0, 0.99), help="Share of the inputs left out."),
    _setting(
        "Regularisation", "--input-noise", type=NOT_NEGATIVE, help="Standard deviation of noise on the scaled inputs."
    ),
    _setting("Regularisation", "--l1", type=NOT_NEGATIVE, help="Penalty l1 * sum |w| on the weights."),
    _setting("Regularisation", "--l2", type=NOT_NEGATIVE, help="Penalty l2 / 2 * sum w^2 on the weights."),
    _setting(
        "Regularisation",
        "--weight-decay",
        type=NOT_NEGATIVE,
        shown="the optimizer's own: 0.01 of adamw, else 0",
        help="Each update takes lr * this share off the weights, apart from the gradient.",
    ),
    _setting(
        "Regularisation", "--max-norm", type=NOT_NEGATIVE, help="Largest norm of a hidden unit's weights; 0: no limit."
    ),
    _setting("Regularisation", "--clip-norm", type=NOT_NEGATIVE, help="Largest norm of the gradient; 0: no limit."),
    _setting("Regularisation", "--clip-value", type=NOT_NEGATIVE, help="Largest part of the gradient; 0: no limit."),
    *AUGMENTATION_OPTIONS,
    _setting(
        "Stopping",
        "--patience",
        metavar="EPOCHS",
        type=POSITIVE,
        shown="no early stopping",
        help="Stop when --metric hasn't become better for EPOCHS epochs, and take the best epoch's weights.",
    ),
    _setting("Stopping", "--metric", metavar="NAME", help="What is watched: loss, validation_accuracy, ..."),
    _setting("Stopping", "--minimum-change", type=NOT_NEGATIVE, help="What it must be better by, to count."),
]


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def changed_recipe(name: str, options: dict[str, Any]) -> Recipe:
    """The recipe with the user's changes, and with what follows from them where the user doesn't say otherwise.

    options: the values by the settings' names; None where the user said nothing. What is no setting is left alone.
    """
    recipe, given = RECIPES[name], {key: value for key, value in options.items() if value is not None}
    penalties = {key: value for key, value in given.items() if key in PENALTIES}
    augmentation = {key: value for key, value in given.items() if key in AUGMENTATION}
    fields = {field.name for field in dataclasses.fields(Recipe)}
    changes: dict[str, Any] = {key: value for key, value in given.items() if key in fields}
    optimizer = changes.get("optimizer", recipe.optimizer)
    if "momentum" in changes and optimizer not in WITH_MOMENTUM:
        raise click.UsageError(f"--momentum goes with --optimizer {', '.join(WITH_MOMENTUM)}; not with {optimizer}.")
    if optimizer == LBFGS:
        every = {field.name for field in dataclasses.fields(Recipe)} | PENALTIES | AUGMENTATION
        reason = "doesn't go with --optimizer lbfgs, which takes all rows at once and no learning rate; leave it out."
        refuse_options(given, sorted(every - WITH_LBFGS), reason)
    elif optimizer != recipe.optimizer:
        changes.setdefault("learning_rate", settings_of(optimizer)["learning_rate"])
    if changes.get("patience", recipe.patience) is None:
        refuse_options(given, ["metric", "minimum_change"], "is for --patience; give that too.")
    output = changes.get("output", recipe.output)
    if output != recipe.output:
        changes.setdefault("loss", natural_loss(output))
    if changes.get("loss", recipe.loss) != recipe.loss:
        changes["target_range"] = (0.0, 1.0)
    if penalties:
        changes["regularization"] = dataclasses.replace(recipe.regularization, **penalties)
    if augmentation:
        changes["augmentation"] = dataclasses.replace(recipe.augmentation, **augmentation)
    return dataclasses.replace(recipe, **changes)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Settings that don't go together are wrong usage; what is wrong with data or a device is not."""
    try:
        yield
    except XpnnError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def refuse_options(given: dict[str, Any], names: Iterable[str], because: str) -> None:
    """Raise UsageError for the first of the settings `names` that the user has given: none is ignored in silence."""
    for name in names:
        if given.get(name) is not None:
            option = {"learning_rate": "lr", "average_decay": "average"}.get(name, name).replace("_", "-")
            raise click.UsageError(f"--{option} {because}")
