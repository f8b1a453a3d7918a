"""The classifier: what it makes of classes and labels, and its answers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target

from xpnn.callbacks import Callback
from xpnn.epochs import Epoch
from xpnn.estimator.shared import CONSTRAINTS, Estimator, as_names
from xpnn.learner import Rows
from xpnn.losses import natural_loss
from xpnn.network import MLP
from xpnn.schedules import Schedule


class MLPClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classes, or several labels a row, by a multilayer perceptron: scikit-learn's MLPClassifier on `xpnn.MLP`.

    hidden_layer_sizes:  units of each hidden layer, or a number for one; () for none.
    activation:          of the hidden layers: logistic, tanh, relu, identity, or any of docs/activations.md.
    solver:              adam, sgd or lbfgs.
    alpha:               the penalty alpha / 2 sum w^2, over the rows of a batch, is added to their mean loss.
    batch_size:          rows an update; "auto": 200, or all where there are fewer. lbfgs takes all.
    learning_rate:       of sgd: constant; invscaling: learning_rate_init / (rows seen + 1)^power_t, anew each epoch;
                         adaptive: a fifth whenever the rule below would end the run, down to 1e-6.
    learning_rate_init:  the (first) rate of sgd and adam.
    max_iter:            the most epochs; of lbfgs the most iterations, in max_fun passes over the rows at most.
    shuffle:             a new order of the rows each epoch.
    random_state:        of the initial weights, the rows held out, shuffles and dropout: a number, a RandomState, None.
    tol, n_iter_no_change: the run ends when the loss, or with early_stopping the validation score, has not become
                         better by tol for more than n_iter_no_change epochs in a row; lbfgs when no part of the
                         gradient is larger than tol.
    verbose:             print each epoch.
    warm_start:          `fit` goes on with the weights that there are, under the parameters as they are now.
    momentum, nesterovs_momentum: of sgd.
    beta_1, beta_2, epsilon: of adam.
    early_stopping:      hold out the share validation_fraction of the rows, end the run by their score, and take the
                         weights with the best.

    What scikit-learn doesn't have:
    loss:                log_loss, or another one of docs/losses.md, such as focal:2 or squared_error.
    class_weight:        {class: weight}, or "balanced" for weights that make all classes count the same, beside
                         sample_weight.
    validation_data:     (X, y) on which the net is scored after each epoch; early_stopping then holds out no others.
    schedule:            a name of docs/schedules.md, for a run of max_iter epochs, or a function (see
                         `xpnn.schedules`), instead of learning_rate.
    callback:            called with the `xpnn.Epoch` after each epoch of sgd and adam (see `xpnn.callbacks`).
    dropout:             the share of each hidden layer's units that are left out of an update.
    device:              cpu, cuda, cuda:N, or auto, a GPU if one can be used when the net is made. Data and answers are
                         NumPy's whatever it is.
    dtype:               float32, float64, or auto: that of the rows, which are float64 unless they are float32.

    Attributes: classes_, coefs_, intercepts_, loss_, best_loss_, loss_curve_ (a loss an epoch, or iteration),
    validation_scores_, best_validation_score_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_,
    feature_names_in_ are scikit-learn's; learning_rate_ is that of the next epoch, and net_ is the `xpnn.MLP`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _kind: ClassVar[str] = "classifier"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        validation_data: tuple[Any, Any] | None = None,
        schedule: str | Schedule | None = None,
        callback: Callback | None = None,
        dropout: float = 0.0,
        device: str = "cpu",
        dtype: str = "auto",
        loss: str = "log_loss",
        class_weight: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.validation_data = validation_data
        self.schedule = schedule
        self.callback = callback
        self.dropout = dropout
        self.device = device
        self.dtype = dtype
        self.loss = loss
        self.class_weight = class_weight

    @available_if(lambda self: self._learns_in_steps())  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One epoch over X (n_samples, n_features) and y; the optimizer goes on where the last one, or `fit`, ended.

        classes: all that there will be; needed in the first call, where y has not all of them.
        Raises ValueError as `fit` does.
        """
        if isinstance(self.class_weight, str):
            raise ValueError("partial_fit sees a part of the rows and can't balance them: give class_weight as a dict")
        if _check_partial_fit_first_call(self, classes):
            self._is_multilabel = type_of_target(y).startswith("multilabel")
        return self._learn_more(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) classes, or (n, n_labels) of 0 and 1 where a row has several labels. X is (n, n_features)."""
        return self._labels(self._answers(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """(n, n_classes) probabilities, float32 or float64, in the order of `classes_`; of labels, each its own."""
        outputs = self._answers(X)
        if self.out_activation_ == "softmax":
            return outputs
        limits = np.finfo(outputs.dtype)
        outputs = outputs.clip(limits.tiny, 1 - limits.epsneg)  # a logistic is never 0 or 1, but by rounding
        if self._is_multilabel:
            return outputs
        return np.hstack([1 - outputs, outputs]) if len(self.classes_) == 2 else np.ones_like(outputs)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """The logarithms of `predict_proba`; of 0 it is minus infinity."""
        with np.errstate(divide="ignore"):
            logarithms: NDArray[Any] = np.log(self.predict_proba(X))
        return logarithms

    def _targets(self, y: Any, reset: bool, learn: bool) -> NDArray[Any]:
        """(n,) int64 for several classes; (n, 1) of 0 and 1 for two, (n, n_labels) for several labels a row."""
        others = [label for label in y.flat if not isinstance(label, str)] if y.dtype == object else []
        if 0 < len(others) < y.size:
            problem = f"`y` has {others[0]!r:.40} among texts: correct it, or give all classes as texts"
            raise ValueError(f"Unknown label type: {problem}")
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError("Multioutput target data is not supported: give one column of classes, or 0 and 1 in each")
        is_multilabel = kind.startswith("multilabel")
        found, codes = (np.arange(y.shape[1]), None) if is_multilabel else np.unique(y, return_inverse=True)
        if reset and learn:
            self._is_multilabel, self.classes_ = is_multilabel, found
        elif learn and not np.array_equal(found, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if is_multilabel != self._is_multilabel or (is_multilabel and len(found) != len(self.classes_)):
            raise ValueError(f"`y` has other labels than those learnt before, {self.classes_}: it is {kind}")
        if is_multilabel:
            dense: NDArray[Any] = y.toarray() if issparse(y) else y
            return dense
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` has classes not in `self.classes_`: {unknown}; those are {self.classes_}")
        labels: NDArray[np.int64] = np.searchsorted(self.classes_, found)[codes]
        return labels if len(self.classes_) > 2 else labels[:, None]

    def _weighted(self, rows: Rows) -> Rows:
        if self.class_weight is None:
            return rows
        codes = rows.targets.astype(np.int64)
        labels = codes if self._is_multilabel else self.classes_[codes.ravel()]
        asked = self.class_weight if isinstance(self.class_weight, list) else [self.class_weight]
        if all(isinstance(one, dict) for one in asked):  # it may name classes that aren't among these rows
            every = np.repeat([[0], [1]], codes.shape[1], axis=1) if self._is_multilabel else self.classes_
            labels = np.concatenate([labels, every])
        weights = compute_sample_weight(self.class_weight, labels)[: len(codes)]
        return rows._replace(weights=weights if rows.weights is None else weights * rows.weights)

    def _output(self, targets: NDArray[Any]) -> tuple[int, str, str]:
        """How many outputs there are, their activation, and the loss."""
        n_out, output = (len(self.classes_), "softmax") if targets.ndim == 1 else (targets.shape[1], "sigmoid")
        loss = self.loss.replace("_", "-")
        if loss == "log-loss":
            loss = natural_loss(output)
        elif loss.startswith("focal") and output == "sigmoid":
            loss = f"binary-{loss}"
        return n_out, output, loss

    def _output_names(self, of_targets: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str | None]:
        classes = as_names(map(str, self.classes_))
        if len(self.classes_) > 2 and not self._is_multilabel:
            return classes or None, of_targets[0] if of_targets else "label"
        if self._is_multilabel or self.classes_.tolist() == [0, 1]:  # shares of each column
            return of_targets or None, None
        return classes[1:2] or None, None  # the second one's share

    def _codes(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The answers in the form of `_targets`."""
        return outputs.argmax(axis=1) if self.out_activation_ == "softmax" else (outputs > 0.5).astype(np.int64)

    def _labels(self, outputs: NDArray[Any]) -> NDArray[Any]:
        codes = self._codes(outputs)
        if self._is_multilabel:
            return codes
        labels: NDArray[Any] = self.classes_[np.minimum(codes.reshape(-1), len(self.classes_) - 1)]
        return labels

    def _loss_of(self, epoch: Epoch) -> float:
        return epoch.loss

    def _agreement(self, outputs: NDArray[Any], rows: Rows) -> float:
        """The share of the rows that are right in all."""
        right = self._codes(outputs) == rows.targets
        return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=rows.weights))

    def _revive(self, net: MLP, attributes: dict[str, Any]) -> None:
        super()._revive(net, attributes)
        classes, n_out = self.classes_, net.sizes[-1]
        counts = (n_out,) if self._is_multilabel or net.output == "softmax" else (1, 2)
        if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) not in counts:
            raise ValueError(f"{n_out} outputs don't go with the classes {classes}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
