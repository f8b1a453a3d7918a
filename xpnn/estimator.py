"""scikit-learn estimators: nets with scikit-learn's parameters, attributes and habits.

All that scikit-learn asks of an estimator is here, its checks of parameters and of data among it; what learns and
answers is `xpnn.MLP` and `xpnn.train`, as everywhere. docs/from-scikit-learn.md tells what is the same and what isn't.

The same `random_state` draws the same initial weights as scikit-learn's MLP. Where the order of the rows is the same
too (`shuffle=False`, batches of all rows, lbfgs), the run is the same but for rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

try:
    import sklearn  # noqa: F401  # its first import, so that its absence is told in one line
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "xpnn.estimator needs scikit-learn; pip install 'xpnn[sklearn]'", name="sklearn"
    ) from error
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xpnn.backend import all_finite, as_floats, to_host
from xpnn.callbacks import Callback
from xpnn.checkpoint import load_model, save
from xpnn.epochs import Epoch
from xpnn.errors import ModelFileError
from xpnn.errors import Path as PathLike
from xpnn.learner import Learner, Rows
from xpnn.losses import check_targets, natural_loss
from xpnn.network import MLP
from xpnn.plain import from_plain, to_plain
from xpnn.regularization import MOST_DROPOUT
from xpnn.safetensors import damaged, read_tensors
from xpnn.schedules import SCHEDULES, Schedule
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
CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [str],
    "loss": [str],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "validation_data": [tuple, list, None],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, MOST_DROPOUT, closed="both")],
    "callback": [callable, None],
    "device": [str],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
}


def _as_names(values: Iterable[Any]) -> tuple[str, ...]:
    """The values as names of a net's inputs or outputs; () where one of them can be none."""
    names = tuple(values)
    if not all(isinstance(name, str) and name and name.isprintable() for name in names) or len({*names}) < len(names):
        return ()
    return tuple(map(str, names))


class _MLP(Learner, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the two estimators share: checks, and files. Each adds what it makes of targets and of outputs."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    _kind: ClassVar[str]
    convergence_warning = ConvergenceWarning

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows X (n_samples, n_features), dense or sparse, and their targets y; gives the estimator.

        sample_weight: (n_samples,), how much each row counts: a row of weight 2 is as good as two of weight 1.
        Raises ValueError for parameters and data that can't work, and for a run that diverges.
        """
        self._validate_params()
        first = not (self.warm_start and hasattr(self, "net_"))
        rows = self._checked(X, y, sample_weight, reset=first, learn=True)
        generator = check_random_state(self.random_state)
        if first:
            self._begin(rows, generator, self._names(y))
        else:
            self._check_shape(rows)
            self._go_on(rows)
        held_out = None
        if self.solver != "lbfgs":
            rows, held_out = self._held_out(rows, generator)
        self._begin_run(generator)
        if self.solver == "lbfgs":
            self._minimize(self._weighted(rows))
        else:
            self._descend(self._weighted(rows), held_out, self.max_iter)
        return self

    def _learns_in_steps(self) -> bool:
        """Whether there is a `partial_fit`."""
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit goes with the solvers sgd and adam; lbfgs needs all rows at once")
        return True

    def _learn_more(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """An epoch over these rows; the optimizer goes on where `fit` or the last `partial_fit` left it."""
        self._validate_params()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: call it as often as is good")
        first = not hasattr(self, "net_")
        rows = self._checked(X, y, sample_weight, reset=first, learn=False)
        if first:
            generator = check_random_state(self.random_state)
            self._begin(rows, generator, self._names(y))
            self._begin_run(generator)
        else:
            self._check_shape(rows)
            self._go_on(rows)
        self._descend(self._weighted(rows), self._validation_rows(), None)
        return self

    def _checked(self, X: Any, y: Any, sample_weight: Any, reset: bool, learn: bool) -> Rows:
        """What is to be learnt, checked.

        reset: whether it says how many columns there are; learn: whether it says which classes.
        """
        dtype: Any = self.dtype
        if dtype == "auto":
            dtype = [np.float64, np.float32] if reset else self.net_.dtype
        options = {"accept_sparse": "csr", "dtype": dtype, "order": "C", "multi_output": True}
        X, y = validate_data(self, X, y, reset=reset, y_numeric=self._kind == "regressor", **options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = self._targets(y, reset, learn)
        if targets.ndim > 1:
            targets = as_floats(targets, X.dtype.name)
        return Rows(X, targets, self._weights(X, sample_weight))

    def _names(self, y: Any) -> dict[str, Any]:
        """Names of the net's inputs and outputs, as arguments of `MLP`: a table's columns are found by them."""
        columns = _as_names(getattr(self, "feature_names_in_", ()))
        of_targets = _as_names(getattr(y, "columns", [getattr(y, "name", None)] if getattr(y, "ndim", 0) == 1 else []))
        labels, label_column = self._output_names(() if set(of_targets) & set(columns) else of_targets)
        if not columns:
            return {"labels": labels}
        while label_column in columns:
            label_column += "_"
        scaling = 1.0, 0.0  # a table's whole numbers are no pixels
        return {"labels": labels, "columns": columns, "label_column": label_column, "scaling": scaling}

    def _check_shape(self, rows: Rows) -> None:
        """Raise ValueError where the parameters and targets ask for a net that can't have the weights there are."""
        asked = self._net_settings(rows)
        for name in ("sizes", "output"):
            there = getattr(self.net_, name)
            if asked[name] != there:
                raise ValueError(
                    f"hidden_layer_sizes, loss and y ask for a net of the {name} {asked[name]}, and the weights that "
                    f"warm_start and partial_fit go on with are of {there}: set them as they were, or fit with "
                    "warm_start=False for new weights"
                )

    def _weighted(self, rows: Rows) -> Rows:
        """The rows as they count where they are learnt; where they are scored, they count as the user says."""
        return rows

    def _weights(self, X: Any, sample_weight: Any) -> NDArray[np.float64] | None:
        """(n,), or None where all rows count the same."""
        if sample_weight is None:
            return None
        weights: NDArray[np.float64]
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("Sample weights must contain at least one non-zero number: no row counts")
        return weights

    def _validation_rows(self) -> Rows | None:
        """What `validation_data` gives."""
        if self.validation_data is None:
            return None
        if len(self.validation_data) != 2:
            raise ValueError("validation_data must be a pair (X, y): rows, and their targets")
        X, y = self.validation_data
        try:
            return self._checked(X, y, None, reset=False, learn=False)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from error

    def _held_out(self, rows: Rows, generator: np.random.RandomState) -> tuple[Rows, Rows | None]:
        """The rows to learn from, and those to measure the net on, if there are any."""
        if self.validation_data is not None or not self.early_stopping:
            return rows, self._validation_rows()
        is_binary = self._kind == "classifier" and self.n_outputs_ == 1
        kept, aside = train_test_split(
            np.arange(len(rows.targets)),
            random_state=generator,
            test_size=self.validation_fraction,
            stratify=rows.targets.astype(bool) if is_binary else None,
        )
        if len(aside) < 2:
            raise ValueError("The validation set is too small: raise validation_fraction, or give validation_data")
        learnt, held_out = rows.take(kept), rows.take(aside)
        if not all(part.weights is None or part.weights.any() for part in (learnt, held_out)):
            raise ValueError(
                "Sample weights must contain a non-zero number among the rows held out, and one among the others: "
                "give validation_data"
            )
        return learnt, held_out

    def _answers(self, X: Any) -> NDArray[Any]:
        """(n, n_out) for rows that a user gives."""
        if not hasattr(self, "net_"):
            check_is_fitted(self)  # tells so; it takes as long as answering some rows
        if not self._is_plain(X):
            X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=self.net_.dtype, order="C")
        return self._outputs(X)

    def _is_plain(self, X: Any) -> bool:
        """Whether X would pass scikit-learn's checks as it is: they take longer than to answer some hundred rows."""
        net = self.net_
        is_array = type(X) is np.ndarray and X.ndim == 2 and X.dtype == net.dtype and X.flags.c_contiguous
        fits = is_array and len(X) > 0 and X.shape[1] == net.sizes[0] and not hasattr(self, "feature_names_in_")
        return fits and all_finite(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def save(self, path: PathLike) -> None:
        """Write the fitted estimator to a safetensors file, whole or not at all; `load` reads it.

        The optimizer's state is in it, so that `partial_fit` goes on to the same bits. `xpnn.load_model`, and the
        command line, read the file as that of any net.

        Raises TypeError for a parameter that is no data, such as a callback, XpnnError if the file can't be written.
        """
        check_is_fitted(self)
        kept = {name: getattr(self, name) for name in SAVED if hasattr(self, name)}
        moments, state = self._resume or (None, None)
        record = {"kind": self._kind, "attributes": to_plain(kept), "parameters": {}, "moments": to_plain(moments)}
        for name, value in self.get_params(deep=False).items():
            try:
                record["parameters"][name] = to_plain(value)
            except TypeError as error:
                raise TypeError(f"{name} can't be saved ({error}): set_params({name}=None) first") from error
        metadata = {"estimator": json.dumps(record)}
        if state is None:
            save(self.net_, path, metadata)
        else:
            save_state(self.net_, replace(state, parameters=to_host(self.net_.parameters)), path, metadata=metadata)

    @classmethod
    def load(cls, path: PathLike, device: str = "cpu") -> Self:
        """The estimator that `save` wrote, on a device. It runs no code from the file.

        Raises ModelFileError for a file that is missing, damaged or none of such an estimator, DeviceError as `MLP`.
        """
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

    def _revive(self, net: MLP, attributes: dict[str, Any]) -> None:
        """Take over what `save` kept. Raises ValueError for what doesn't fit the net."""
        if not {"t_", "loss_curve_", "_seed"} <= attributes.keys() <= SAVED.keys():
            raise ValueError(f"the attributes are {sorted(attributes)}")
        for name, value in attributes.items():
            if not isinstance(value, SAVED[name]):
                raise ValueError(f"{name} is {value!r:.40}")
        for name, value in attributes.items():
            setattr(self, name, value)
        self.net_, self._resume = net, None
        self.n_features_in_ = net.sizes[0]
        self._describe_net()
        self._validate_params()


class MLPClassifier(ClassifierMixin, _MLP):  # type: ignore[misc]  # scikit-learn has no types
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
    warm_start:          `fit` goes on with the weights that there are.
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
    device:              cpu, cuda, cuda:N or auto. Data and answers are NumPy's whatever it is.
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
        classes = _as_names(map(str, self.classes_))
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


class MLPRegressor(RegressorMixin, _MLP):  # type: ignore[misc]  # scikit-learn has no types
    """Numbers, one a row or several, by a multilayer perceptron: scikit-learn's MLPRegressor on `xpnn.MLP`.

    loss: squared_error, which is half of it as in scikit-learn, absolute_error, huber:0.5 or another one of
          docs/losses.md. `loss_` is its mean over rows and outputs. poisson is for counts, y of 0 or more, through the
          output activation exp; as in scikit-learn, `loss_` is then the sum over the outputs.

    The other parameters and the attributes are those of `MLPClassifier`, but for class_weight and classes_; the score
    of rows held out is R2.
    """

    _kind: ClassVar[str] = "regressor"

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
        loss: str = "squared_error",
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

    @available_if(lambda self: self._learns_in_steps())  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One epoch over X (n_samples, n_features) and y; the optimizer goes on where the last one, or `fit`, ended.

        Raises ValueError as `fit` does.
        """
        return self._learn_more(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) numbers, or (n, n_outputs), float32 or float64. X is (n, n_features)."""
        outputs = self._answers(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _targets(self, y: Any, reset: bool, learn: bool) -> NDArray[Any]:
        """(n, n_outputs)."""
        columns: NDArray[Any] = y[:, None] if y.ndim == 1 else y
        if self.loss == "poisson":
            check_targets(columns, self.loss)  # now, while rows have the numbers that the user gave them
        return columns

    def _output(self, targets: NDArray[Any]) -> tuple[int, str, str]:
        """How many outputs there are, their activation, and the loss."""
        return targets.shape[1], "exp" if self.loss == "poisson" else "identity", self.loss.replace("_", "-")

    def _output_names(self, of_targets: tuple[str, ...]) -> tuple[tuple[str, ...] | None, None]:
        return of_targets or None, None

    def _loss_of(self, epoch: Epoch) -> float:
        """The mean over the outputs, as scikit-learn's but for poisson; xpnn's is the sum."""
        return epoch.loss if self.loss == "poisson" else epoch.loss / int(self.n_outputs_)

    def _agreement(self, outputs: NDArray[Any], rows: Rows) -> float:
        """R2, its mean over the outputs."""
        return float(r2_score(rows.targets, outputs, sample_weight=rows.weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags
