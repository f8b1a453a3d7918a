"""Which initial weights suit tables: R2 of the usual ones and of Glorot's, beside scikit-learn's MLPRegressor.

    python benchmarks/tables.py

Friedman's first function with noise of deviation 1 (Multivariate Adaptive Regression Splines, 1991; ten columns, half
of them meaningless) and 1,000 test rows; scikit-learn's diabetes data in five folds. Inputs and targets are
standardised for all. Means over the seeds.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xpnn
from xpnn.recipes import RECIPES

SEEDS = 5


def ours(x: Any, t: Any, asked: Any, seed: int, initializer: str) -> Any:
    recipe = dataclasses.replace(RECIPES["default"], output="identity", initializer=initializer)
    means, deviations = xpnn.standardization_of(t)
    net = recipe.network(x.shape[1], ["t"], seed=seed, standardization=xpnn.standardization_of(x))
    list(recipe.train(net, xpnn.Samples(x, (t - means) / deviations), seed=seed))
    xpnn.fold_target_scaling(net, means, deviations)
    return net.query(asked)[:, 0]


def peers(x: Any, t: Any, asked: Any, seed: int) -> Any:
    model = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return TransformedTargetRegressor(model, transformer=StandardScaler()).fit(x, t[:, 0]).predict(asked)


def score(x: Any, t: Any, parts: list[tuple[Any, Any]], function: Any, *options: Any) -> float:
    scores = []
    for seed in range(SEEDS):
        said = np.concatenate([function(x[train], t[train, None], x[test], seed, *options) for train, test in parts])
        scores.append(r2_score(np.concatenate([t[test] for _, test in parts]), said))
    return float(np.mean(scores))


def main() -> None:
    cases = {}
    for rows in (400, 4000):
        x, t = make_friedman1(rows + 1000, noise=1, random_state=0)
        cases[f"Friedman, {rows:,} rows"] = (x, t, [(np.arange(rows), np.arange(rows, rows + 1000))])
    x, t = load_diabetes(return_X_y=True, scaled=False)
    cases["diabetes, 353 rows"] = (x, t, list(KFold(5, shuffle=True, random_state=0).split(x)))
    print("| initial weights | " + " | ".join(cases) + " |\n" + "|---" * (len(cases) + 1) + "|")
    for name in ("he-normal", "glorot-uniform"):
        print(f"| {name} | " + " | ".join(f"{score(*case, ours, name):.3f}" for case in cases.values()) + " |")
    print("| scikit-learn | " + " | ".join(f"{score(*case, peers):.3f}" for case in cases.values()) + " |")


main()
