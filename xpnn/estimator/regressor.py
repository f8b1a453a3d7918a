"""The regressor: what it makes of numbers, and its answers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from xpnn.callbacks import Callback
from xpnn.epochs import Epoch
from xpnn.estimator.shared import Estimator
from xpnn.learner import Rows
from xpnn.losses import check_targets
from xpnn.schedules import Schedule


class MLPRegressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
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
