"""Recipes: complete settings for a net and its training, each good for something and named.

    default   quick and good on digits and MNIST, chosen by measurement (docs/benchmarks.md)
    augmented slower, and the best: 800 units that never see a digit twice, but turned and bent (Simard et al., 2003)
    dropout   slower and better: two layers of 800 with dropout and max-norm, made for MNIST (Srivastava et al., 2014)
    seed      a first network as the tutorials type it in, to the letter: one sample at a time, in file order,
              two sigmoids, no biases (Rashid, Make Your Own Neural Network, 2016)

`dataclasses.replace(RECIPES["default"], epochs=3)` changes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xpnn.augmentation import UNCHANGED, Augmentation
from xpnn.backend import Device
from xpnn.early_stopping import early_stopping
from xpnn.epochs import Epoch
from xpnn.lbfgs import train_lbfgs
from xpnn.network import MLP
from xpnn.optimizers import OPTIMIZERS, Optimizer, decoupled, settings_of
from xpnn.plateau import ReduceOnPlateau
from xpnn.regularization import NONE, Regularization
from xpnn.samples import Samples
from xpnn.schedules import scheduled
from xpnn.state import TrainingState
from xpnn.training import train

WITH_MOMENTUM = [name for name in OPTIMIZERS if "momentum" in settings_of(name)]


@dataclass(frozen=True)
class Recipe:
    """All settings but the data, the device and the seed; the names are those of `MLP` and `train`.

    optimizer:    a name of OPTIMIZERS, or lbfgs (see `xpnn.train_lbfgs`), which has no learning rate and no batches.
    warmup:       the share of the run's steps, in [0, 1), that lead up to the learning rate.
    momentum, weight_decay: None is the optimizer's own.
    plateau:      epochs without a lower loss after which the learning rate is divided by 10; None: it isn't.
    patience:     epochs without a better `metric` after which training ends, and the best parameters are taken; None:
                  it runs for all its epochs (see `xpnn.early_stopping`).
    """

    hidden_sizes: tuple[int, ...] = (200,)
    hidden: str | tuple[str, ...] = "relu"
    output: str = "softmax"
    loss: str | None = None
    bias: bool = True
    initializer: str | None = None
    scaling: tuple[float, float] = (1 / 255, 0.0)
    target_range: tuple[float, float] = (0.0, 1.0)
    dtype: str = "float32"
    optimizer: str = "adam"
    learning_rate: float = 0.004
    schedule: str = "linear"
    warmup: float = 0.0
    momentum: float | None = None
    weight_decay: float | None = None
    plateau: int | None = None
    precision: str = "float32"
    batch_size: int = 32
    epochs: int = 10
    shuffle: bool = True
    error_rule: str = "gradient"
    class_weight: str | tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    regularization: Regularization = NONE
    augmentation: Augmentation = UNCHANGED
    average_decay: float = 0.0
    patience: int | None = None
    metric: str = "validation_loss"
    minimum_change: float = 0.0

    def network(
        self, n_in: int, labels: Sequence[str], device: str | Device = "cpu", seed: int = 0, **options: Any
    ) -> MLP:
        """A new net with an output for each label; `options` are MLP's others (standardization, columns).

        Raises what `MLP` raises.
        """
        return MLP(
            (n_in, *self.hidden_sizes, len(labels)),
            hidden=self.hidden,
            output=self.output,
            loss=self.loss,
            bias=self.bias,
            initializer=self.initializer,
            scaling=self.scaling,
            target_range=self.target_range,
            labels=labels,
            device=device,
            dtype=self.dtype,
            seed=seed,
            **options,
        )

    def make_optimizer(self, n: int) -> Optimizer:
        """The optimizer for a run on n rows. Raises ValueError for settings that can't work."""
        steps = max(1, self.epochs * math.ceil(n / self.batch_size))
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), not {self.warmup}")
        schedule = scheduled(self.schedule, self.learning_rate, steps, warmup_steps=int(self.warmup * steps))
        settings = {} if self.momentum is None else {"momentum": self.momentum}
        if not settings.keys() <= settings_of(self.optimizer).keys():
            raise ValueError(f"{self.optimizer} takes no momentum: choose from {', '.join(WITH_MOMENTUM)}")
        made = OPTIMIZERS[self.optimizer](schedule, **settings)
        return made if self.weight_decay is None else decoupled(made, self.weight_decay)

    def train(
        self,
        net: MLP,
        samples: Samples,
        *,
        validation: Samples | None = None,
        seed: int = 0,
        resume: TrainingState | None = None,
        **options: Any,
    ) -> Iterator[Epoch]:
        """`xpnn.train` with the recipe's settings, and early stopping where it asks for it; raises what they raise.

        resume:  as for `xpnn.train`; the iterator has a `state()` but with L-BFGS, which runs to its end at once.
        options: what else `xpnn.train` takes, such as progress.

        Raises ValueError for a state to go on from with L-BFGS, too.
        """
        shared: dict[str, Any] = {
            "validation": validation,
            "epochs": self.epochs,
            "regularization": self.regularization,
            "class_weight": self.class_weight,
            "label_smoothing": self.label_smoothing,
        }
        if self.optimizer == "lbfgs":
            self._check_lbfgs()
            if resume is not None:
                raise ValueError("L-BFGS can't go on from a state: it runs to its end at once")
            return iter(train_lbfgs(net, samples, **shared))
        epochs = train(
            net,
            samples,
            batch_size=self.batch_size,
            precision=self.precision,
            optimizer=self.make_optimizer(len(samples)),
            shuffle=self.shuffle,
            seed=seed,
            error_rule=self.error_rule,
            augmentation=self.augmentation,
            average_decay=self.average_decay,
            plateau=None if self.plateau is None else ReduceOnPlateau(patience=self.plateau),
            resume=resume,
            **shared,
            **options,
        )
        if self.patience is None:
            return epochs
        return early_stopping(
            epochs, net, metric=self.metric, patience=self.patience, minimum_change=self.minimum_change, resume=resume
        )

    def _check_lbfgs(self) -> None:
        """Raise ValueError for settings that L-BFGS can't follow, beside those of a learning rate and of batches."""
        usual = Recipe()
        numbers = ("average_decay", "plateau", "patience", "momentum", "weight_decay", "precision")
        for name in ("error_rule", "augmentation", *numbers):
            if getattr(self, name) != getattr(usual, name):
                raise ValueError(f"L-BFGS can't follow {name}={getattr(self, name)!r}: take another optimizer")


RECIPES = {
    "default": Recipe(),
    "seed": Recipe(
        hidden="sigmoid",
        output="sigmoid",
        loss="squared-error",
        bias=False,
        initializer="lecun-normal",
        scaling=(0.99 / 255, 0.01),
        target_range=(0.01, 0.99),
        optimizer="sgd",
        learning_rate=0.1,
        schedule="constant",
        batch_size=1,
        epochs=5,
        shuffle=False,
        error_rule="book",
    ),
    "dropout": Recipe(
        hidden_sizes=(800, 800),
        learning_rate=0.001,
        batch_size=128,
        epochs=60,
        regularization=Regularization(dropout=0.5, input_dropout=0.2, max_norm=3.0),
    ),
    "augmented": Recipe(
        hidden_sizes=(800,),
        learning_rate=0.002,
        batch_size=128,
        epochs=60,
        augmentation=Augmentation(rotate=10.0, zoom=0.1, shear=5.0, elastic=18.0),
    ),
}
