"""What learns and answers behind the estimators: scikit-learn's rules for a run, on `xpnn.MLP` and `xpnn.train`.

Nothing here imports scikit-learn, and nothing checks what a user gives: `xpnn.estimator` does both.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Device, to_host
from xpnn.epochs import Epoch, Resumable, put_back
from xpnn.errors import DivergenceError
from xpnn.lbfgs import train_lbfgs
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, adam, sgd
from xpnn.regularization import Regularization
from xpnn.samples import Samples
from xpnn.schedules import Schedule, scheduled
from xpnn.sparse import SparseTraining, is_sparse, rows_of_a_block
from xpnn.state import TrainingState
from xpnn.training import train

LEAST_RATE = 1e-6  # at which learning_rate="adaptive" ends the run


class Rows(NamedTuple):
    """Checked rows, on the host: inputs (n, n_in), dense or CSR, targets as the net's, weights (n,) or None."""

    inputs: Any
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Those at `rows`."""
        return Rows(self.inputs[rows], self.targets[rows], None if self.weights is None else self.weights[rows])

    def scaled(self) -> tuple[Rows, float]:
        """The rows with weights of mean 1, and the mean of their own: penalties are over the sum of the weights."""
        if self.weights is None:
            return self, 1.0
        mean = float(self.weights.mean())
        return self._replace(weights=self.weights / mean), mean


class Learner:
    """The part of an estimator that has the net. The parameters are those of `xpnn.estimator.MLPClassifier`.

    An estimator adds: `_output`, the kind of its net; `_loss_of`, a record's loss as it reports it; `_agreement`, the
    score of outputs; and `convergence_warning`, the class of its warnings.
    """

    convergence_warning: ClassVar[type[Warning]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The parameters, which the estimators' constructors set, and what they add."""

    def _net_settings(self, rows: Rows) -> dict[str, Any]:
        """What the parameters and the targets make of a net, as the arguments of `MLP`."""
        hidden_sizes = self.hidden_layer_sizes
        hidden_sizes = list(hidden_sizes) if np.iterable(hidden_sizes) else [hidden_sizes]
        if any(isinstance(size, Integral) and size <= 0 for size in hidden_sizes):  # `MLP` refuses what is no number
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden_sizes}.")
        hidden = "sigmoid" if self.activation == "logistic" else self.activation
        n_out, output, loss = self._output(rows.targets)
        return {
            "sizes": (rows.inputs.shape[1], *hidden_sizes, n_out),
            "hidden": (hidden,) * len(hidden_sizes),
            "output": output,
            "loss": loss,
            "dtype": rows.inputs.dtype.name,
        }

    def _begin(self, rows: Rows, generator: np.random.RandomState, names: dict[str, Any]) -> None:
        """A new net with initial weights, and a record without entries. names: more arguments of `MLP`."""
        self.net_ = MLP(**self._net_settings(rows), **names, device=self.device)
        self._draw_weights(generator)
        self._describe_net()
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self._begin_rule(watches=False)

    def _go_on(self, settings: dict[str, Any]) -> None:
        """The same weights in a net of the settings that the parameters make now."""
        net, before = self.net_, self.net_.settings()
        device = net.device if self.device == "auto" else Device.named(self.device)
        if device != net.device or before | settings != before:
            self.net_ = MLP(**before | settings, device=device)
            with device.active():
                self.net_.parameters[...] = self.net_.xp.asarray(to_host(net.parameters))
        if self._rule_of_rate() == "constant":
            self.learning_rate_ = self.learning_rate_init

    def _describe_net(self) -> None:
        """scikit-learn's attributes of its shape."""
        self.n_outputs_, self.n_layers_ = self.net_.sizes[-1], len(self.net_.sizes)
        self.out_activation_ = "logistic" if self.net_.output == "sigmoid" else self.net_.output

    def _begin_run(self, generator: np.random.RandomState) -> None:
        """Shuffles of its own, the first learning rate, and an optimizer without moments."""
        self._seed = int(generator.randint(np.iinfo(np.int32).max))
        self.learning_rate_ = self.learning_rate_init
        # Where partial_fit goes on, and the kind of optimizer whose moments these are.
        self._resume: tuple[object, TrainingState] | None = None

    def _draw_weights(self, generator: np.random.RandomState) -> None:
        """Those that scikit-learn draws, biases too: uniform, of Glorot's variance, or a third of it for logistic."""
        factor = 2.0 if self.activation == "logistic" else 6.0
        with self.net_.device.active():
            for W, b in self.net_.layers:
                bound = math.sqrt(factor / sum(W.shape))
                for part in (W.T, *([] if b is None else [b])):
                    drawn = generator.uniform(-bound, bound, part.shape)
                    part[...] = self.net_.xp.asarray(drawn, dtype=self.net_.dtype)

    def _begin_rule(self, watches: bool) -> None:
        """Nothing is known yet of what `tol` and `n_iter_no_change` go by. watches: whether rows are held out."""
        self.best_loss_: Any = None if self.early_stopping else math.inf
        self.validation_scores_: Any = [] if watches else None
        self.best_validation_score_: Any = -math.inf if watches else None
        self._no_improvement_count = 0

    def _minimize(self, rows: Rows) -> None:
        """L-BFGS over all rows at once."""
        if any(part is not None for part in (self.callback, self.schedule, self.validation_data)):
            raise ValueError("callback, schedule and validation_data go with the solvers sgd and adam, not with lbfgs")
        rows, mean = rows.scaled()
        inputs = rows.inputs.toarray() if is_sparse(rows.inputs) else rows.inputs
        l2 = self.alpha / (len(inputs) * mean)
        words: list[str] = []
        records = train_lbfgs(
            self.net_,
            Samples(inputs, rows.targets, rows.weights),
            epochs=self.max_iter,
            regularization=Regularization(l2=l2, dropout=self.dropout),
            passes=self.max_fun,
            gradient_tolerance=self.tol,
            say=words.append,
        )
        self.n_iter_, penalty = 0, self._penalty(l2)  # of the last iteration; those before it aren't known
        for record in records:
            self._note(self._loss_of(record) + penalty, len(inputs))
        self.best_loss_ = min(self.loss_curve_)
        if not words[0].startswith("CONVERGENCE"):
            self._warn(f"lbfgs stopped after {self.n_iter_} iterations ({words[0]}): raise max_iter or max_fun")

    def _descend(self, rows: Rows, held_out: Rows | None, epochs: int | None) -> None:
        """Epochs of mini-batches, until the rule ends them. None: one, of partial_fit."""
        n, net, kept = len(rows.targets), self.net_, None
        watches = held_out is not None
        if watches != (self.validation_scores_ is not None) or self.early_stopping != (self.best_loss_ is None):
            self._begin_rule(watches)  # it is the first run, or the parameters are others now
        batch = min(200 if self.batch_size == "auto" else self.batch_size, n)
        updates = math.ceil(n / batch)
        rows, mean = rows.scaled()
        l2 = self.alpha / (batch * mean)
        run = self._run(rows, batch, l2, epochs or 1)
        self.n_iter_, self._resume, penalty = 0, None, self._penalty(l2)
        try:
            for epoch in run:
                before, penalty = penalty, self._penalty(l2)
                # scikit-learn adds the mean of those before each update; it moves little, so a straight line will do.
                penalties = before + (penalty - before) * (updates - 1) / (2 * updates)
                self._note(self._loss_of(epoch) + penalties, n)
                if self._watch(held_out) and self.early_stopping:
                    with net.device.active():
                        kept = net.parameters.copy()
                if self._is_over(epoch):
                    break
            else:
                if epochs is not None:
                    self._warn(f"{self.solver} has not converged in {epochs} epochs: raise max_iter, or tol")
            self._resume = (self._kind_of_moments(), replace(run.state(), parameters=np.empty(0)))
        except DivergenceError as error:
            if not self.early_stopping:
                raise ValueError(
                    "Solver produced non-finite parameter weights. The input data may contain large values and need "
                    f"to be preprocessed. ({error})"
                ) from error
            self.validation_scores_.append(math.nan)
            self._warn(f"{error}; the run ends with the weights of the best validation score")
        except KeyboardInterrupt:
            self._warn("Training interrupted by user.", UserWarning)
        if kept is not None:
            put_back(net, kept)

    def _warn(self, text: str, category: type[Warning] | None = None) -> None:
        warnings.warn(text, category or self.convergence_warning, stacklevel=4)  # the caller of fit

    def _run(self, rows: Rows, batch: int, l2: float, epochs: int) -> Resumable:
        """`train`, for so many epochs more; it goes on where partial_fit has something to go on from."""
        net, updates, resume = self.net_, math.ceil(len(rows.targets) / batch), None
        if self._resume is not None and self._resume[0] == self._kind_of_moments():
            state = self._resume[1]
            vectors = {name: vector.astype(net.dtype, copy=False) for name, vector in state.vectors.items()}
            resume = replace(state, parameters=to_host(net.parameters), vectors=vectors)
        settings: dict[str, Any] = {
            "epochs": epochs + (0 if resume is None else resume.epoch),
            "batch_size": batch,
            "optimizer": self._optimizer_for(updates),
            "shuffle": self.shuffle and updates > 1,  # in a batch of all rows their order is nothing but rounding
            "seed": self._seed,
            "regularization": Regularization(l2=l2, dropout=self.dropout),
            "resume": resume,
        }
        if not is_sparse(rows.inputs):
            return train(net, Samples(*rows), **settings)
        if rows.inputs.shape[0] <= rows_of_a_block(rows.inputs):
            return train(net, Samples(rows.inputs.toarray(), *rows[1:]), **settings)
        return SparseTraining(net, *rows, **settings)

    def _kind_of_moments(self) -> tuple[str, bool]:
        """Moments of another kind are of no use to an optimizer."""
        return self.solver, self.solver == "sgd" and self.momentum > 0

    def _optimizer_for(self, updates: int) -> Optimizer:
        """The one of `solver`, for so many updates an epoch."""
        schedule: Schedule
        if self.schedule is None:
            schedule = self._current_rate
        elif callable(self.schedule):
            schedule = self.schedule
        else:
            schedule = scheduled(self.schedule, self.learning_rate_init, self.max_iter * updates)
        if self.solver == "sgd":
            return sgd(schedule, self.momentum, nesterov=self.nesterovs_momentum and self.momentum > 0)
        chosen = adam(schedule, self.beta_1, self.beta_2, self.epsilon)
        small = self.epsilon / (1 - self.beta_2) ** 0.5  # scikit-learn's is beside the root of an uncorrected moment

        def coefficients(steps: NDArray[Any], rates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            rate, _ = chosen.coefficients(steps, rates)
            return rate, np.full_like(rate, small)

        return chosen._replace(coefficients=coefficients)

    def _current_rate(self, steps: NDArray[Any]) -> NDArray[Any]:
        """A schedule that is asked at the beginning of each epoch."""
        return np.full_like(steps, self.learning_rate_)

    def _penalty(self, l2: float) -> float:
        """The part of the loss that `alpha` adds."""
        if not l2:
            return 0.0
        weights = to_host(self.net_.weights)
        return l2 / 2 * float(weights @ weights)

    def _note(self, loss: float, n: int) -> None:
        """One more pass over n rows."""
        self.n_iter_ += 1
        self.t_ += n
        self.loss_ = loss
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")  # noqa: T201  # what `verbose` asks for

    def _watch(self, held_out: Rows | None) -> bool:
        """Measure the net on the rows held out; whether it was never as good."""
        if held_out is None:
            return False
        with np.errstate(over="ignore", invalid="ignore"):  # of a net that diverges
            outputs = self._outputs(held_out.inputs)
            score = self._agreement(outputs, held_out) if np.isfinite(outputs).all() else math.nan
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:.6f}")  # noqa: T201
        best = self.best_validation_score_
        if self.early_stopping:
            self._no_improvement_count = self._no_improvement_count + 1 if score < best + self.tol else 0
        self.best_validation_score_ = max(best, score)  # the best where the score is nan
        return bool(score > best)

    def _is_over(self, epoch: Epoch) -> bool:
        """Whether it is enough, by scikit-learn's rule. The callback sees the epoch with all that is known of it."""
        is_over = self._has_stalled()
        if self.callback is not None:
            self.callback(epoch)
        return is_over

    def _has_stalled(self) -> bool:
        """Whether the rule ends the run; if not, `learning_rate_` is that of the next epoch."""
        if not self.early_stopping:
            loss, best = self.loss_, self.best_loss_
            self._no_improvement_count = self._no_improvement_count + 1 if loss > best - self.tol else 0
            self.best_loss_ = min(loss, best)
        rule = self._rule_of_rate()
        if rule == "invscaling":
            self.learning_rate_ = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        if rule != "adaptive" or self.learning_rate_ <= LEAST_RATE:
            return True
        self.learning_rate_ /= 5
        self._no_improvement_count = 0
        return False

    def _rule_of_rate(self) -> str:
        """How `learning_rate_` changes from epoch to epoch."""
        return self.learning_rate if self.solver == "sgd" and self.schedule is None else "constant"

    def _outputs(self, X: Any) -> NDArray[Any]:
        """(n, n_out), on the host, for checked rows."""
        net = self.net_
        if not is_sparse(X):
            with net.device.active():
                outputs: NDArray[Any] = to_host(net.outputs(X))
            return outputs
        rows = rows_of_a_block(X)
        return np.concatenate([self._outputs(X[i : i + rows].toarray()) for i in range(0, X.shape[0], rows)])

    @property
    def coefs_(self) -> list[NDArray[Any]]:
        """The weights of each layer, (n_in, n_out); on the CPU the net's own memory."""
        return [to_host(layer.W).T for layer in self.net_.layers]

    @property
    def intercepts_(self) -> list[NDArray[Any]]:
        """The biases of each layer, (n_out,); on the CPU the net's own memory."""
        return [to_host(layer.b) for layer in self.net_.layers]
