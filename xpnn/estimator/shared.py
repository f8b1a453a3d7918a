"""What the two estimators share: the checks of parameters, rows and weights, and the order of a fit."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xpnn.backend import all_finite, as_floats
from xpnn.errors import Path
from xpnn.estimator.files import SAVED, read, write
from xpnn.learner import Learner, Rows
from xpnn.network import MLP
from xpnn.regularization import MOST_DROPOUT
from xpnn.schedules import SCHEDULES

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


def as_names(values: Iterable[Any]) -> tuple[str, ...]:
    """The values as names of a net's inputs or outputs; () where one of them can be none."""
    names = tuple(values)
    if not all(isinstance(name, str) and name and name.isprintable() for name in names) or len({*names}) < len(names):
        return ()
    return tuple(map(str, names))


class Estimator(Learner, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
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
            self._go_on(self._settings_that_fit(rows))
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
            self._go_on(self._settings_that_fit(rows))
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
        columns = as_names(getattr(self, "feature_names_in_", ()))
        of_targets = as_names(getattr(y, "columns", [getattr(y, "name", None)] if getattr(y, "ndim", 0) == 1 else []))
        labels, label_column = self._output_names(() if set(of_targets) & set(columns) else of_targets)
        if not columns:
            return {"labels": labels}
        while label_column in columns:
            label_column += "_"
        scaling = 1.0, 0.0  # a table's whole numbers are no pixels
        return {"labels": labels, "columns": columns, "label_column": label_column, "scaling": scaling}

    def _settings_that_fit(self, rows: Rows) -> dict[str, Any]:
        """`_net_settings`. Raises ValueError where they are those of a net that can't have the weights there are."""
        asked = self._net_settings(rows)
        for name in ("sizes", "output"):
            there = getattr(self.net_, name)
            if asked[name] != there:
                raise ValueError(
                    f"hidden_layer_sizes, loss and y ask for a net of the {name} {asked[name]}, and the weights that "
                    f"warm_start and partial_fit go on with are of {there}: set them as they were, or fit with "
                    "warm_start=False for new weights"
                )
        return asked

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

    def save(self, path: Path) -> None:
        """Write the fitted estimator to a safetensors file, whole or not at all; `load` reads it.

        The optimizer's state is in it, so that `partial_fit` goes on to the same bits. `xpnn.load_model`, and the
        command line, read the file as that of any net.

        Raises TypeError for a parameter that is no data, such as a callback, XpnnError if the file can't be written.
        """
        check_is_fitted(self)
        write(self, path)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Self:
        """The estimator that `save` wrote, on a device. It runs no code from the file.

        Raises ModelFileError for a file that is missing, damaged or none of such an estimator, DeviceError as `MLP`.
        """
        estimator: Self = read(cls, path, device)
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
