"""scikit-learn estimators: nets with scikit-learn's parameters, attributes and habits.

All that scikit-learn asks of an estimator is here, its checks of parameters and of data among it; what learns and
answers is `xpnn.MLP` and `xpnn.train`, as everywhere. docs/from-scikit-learn.md tells what is the same and what isn't.

The same `random_state` draws the same initial weights as scikit-learn's MLP. Where the order of the rows is the same
too (`shuffle=False`, batches of all rows, lbfgs), the run is the same but for rounding.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401  # its first import, so that its absence is told in one line
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "xpnn.estimator needs scikit-learn; pip install 'xpnn[sklearn]'", name="sklearn"
    ) from error
from xpnn.estimator.classifier import MLPClassifier
from xpnn.estimator.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
