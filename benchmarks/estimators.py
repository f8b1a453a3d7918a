"""Accuracy and time of the estimators beside scikit-learn's MLP, with the same settings, on seven sets.

    python benchmarks/estimators.py [--quick] [--json] [--set NAME ...] [--dtype float32]

The sets are the digits, MNIST (left out where $XPNN_DATA_DIR has none), and five tables of scikit-learn's
make_classification and make_regression. Both get the same arrays, which are float64 and standardised (the pictures:
0-1), and all of scikit-learn's defaults but for the number of epochs on MNIST. --dtype float32 gives ours its own
precision: the rows stay float64.

Each seed trains both in turn, in an order that changes from seed to seed. A set is won on time where the median of the
seeds' ratios is above 1, for fit and for predict; scores are equal where the means differ by no more than twice the
standard error of the difference. Before that the two are shown to compute the same: in full batches their loss curves
agree to 1e-9.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sklearn
import sklearn.neural_network
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import xpnn
import xpnn.estimator

SEEDS = 5


class Case(NamedTuple):
    estimator: str
    parts: Any  # rows to train on, to test on; their targets
    settings: dict[str, Any]


def digits() -> Case:
    x, y = load_digits(return_X_y=True)
    return Case("MLPClassifier", train_test_split(x / 16, y, stratify=y, random_state=0), {})


def mnist() -> Case:
    data = xpnn.load("mnist")
    assert data.test is not None
    parts = (data.train.inputs / 255, data.test.inputs / 255, data.train.targets, data.test.targets)
    return Case("MLPClassifier", parts, {"max_iter": 5})


def classes(**shape: Any) -> Case:
    x, y = make_classification(random_state=0, flip_y=0.05, n_redundant=0, **shape)
    return standardized("MLPClassifier", x, y)


def numbers(**shape: Any) -> Case:
    x, y = make_regression(random_state=0, noise=20, **shape)
    return standardized("MLPRegressor", x, y)


def standardized(estimator: str, x: Any, y: Any) -> Case:
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    scaler = StandardScaler().fit(x_train)
    if estimator == "MLPRegressor":
        mean, deviation = y_train.mean(axis=0), y_train.std(axis=0)
        y_train, y_test = (y_train - mean) / deviation, (y_test - mean) / deviation
    return Case(estimator, (scaler.transform(x_train), scaler.transform(x_test), y_train, y_test), {})


CASES: dict[str, Callable[[], Case]] = {
    "digits": digits,
    "mnist": mnist,
    "2 classes, 300 x 10": lambda: classes(n_samples=400, n_features=10, n_informative=5),
    "5 classes, 3,000 x 50": lambda: classes(n_samples=4000, n_features=50, n_informative=20, n_classes=5),
    "2 classes, 15,000 x 20": lambda: classes(n_samples=20_000, n_features=20, n_informative=10),
    "1 number, 750 x 10": lambda: numbers(n_samples=1000, n_features=10),
    "3 numbers, 7,500 x 100": lambda: numbers(n_samples=10_000, n_features=100, n_targets=3),
}


def check_same(case: Case) -> None:
    """Raise AssertionError unless both learn the same where the order of the rows doesn't matter."""
    x, _, y, _ = case.parts
    x, y = x[:200], y[:200]
    modules = (sklearn.neural_network, xpnn.estimator)
    models = [getattr(module, case.estimator)(random_state=1, max_iter=20, alpha=0.1) for module in modules]
    curves = [model.fit(x, y).loss_curve_ for model in models]
    np.testing.assert_allclose(*curves, rtol=1e-9)


def timed(model: Any, case: Case) -> dict[str, float]:
    x_train, x_test, y_train, y_test = case.parts
    started = time.perf_counter()
    model.fit(x_train, y_train)
    fit = time.perf_counter() - started
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        model.predict(x_test)
        seconds.append(time.perf_counter() - started)
    return {"fit": fit, "predict": min(seconds), "score": model.score(x_test, y_test), "epochs": model.n_iter_}


def measure(name: str, case: Case, seeds: int, quick: bool, dtype: str) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
    settings = {**case.settings, **({"max_iter": 3} if quick else {})}
    for seed in range(seeds):
        models = {
            "theirs": getattr(sklearn.neural_network, case.estimator)(random_state=seed, **settings),
            "ours": getattr(xpnn.estimator, case.estimator)(random_state=seed, dtype=dtype, **settings),
        }
        for framework in sorted(models, reverse=bool(seed % 2)):
            found[framework].append(timed(models[framework], case))
    record: dict[str, Any] = {"set": name, "runs": found}
    for what in ("fit", "predict"):
        ratios = [b[what] / a[what] for a, b in zip(found["ours"], found["theirs"], strict=True)]
        record[what] = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    scores = {name: [run["score"] for run in runs] for name, runs in found.items()}
    means = {name: statistics.mean(values) for name, values in scores.items()}
    spread = sum(statistics.variance(values) / seeds for values in scores.values()) ** 0.5 if seeds > 1 else 0.0
    record["scores"] = {"means": means, "equal": abs(means["ours"] - means["theirs"]) <= max(2 * spread, 1e-12)}
    return record


def line(record: dict[str, Any]) -> str:
    runs, columns = record["runs"], [record["set"]]
    for what, scale in (("score", 1), ("epochs", 1), ("fit", 1), ("predict", 1e3)):
        for name in ("theirs", "ours"):
            values = [run[what] * scale for run in runs[name]]
            if what == "score":
                columns.append(f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
            else:
                columns.append(f"{statistics.median(values):.3g}")
        if what in record:
            ratio = record[what]
            columns.append(f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})")
        if what == "score":
            columns.append("yes" if record["scores"]["equal"] else "no")
    return f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds of three epochs, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--set", action="append", help="the sets whose names begin so; may be given again")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "float64"), help="of ours")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    records = []
    if not arguments.json:
        threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
        print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, BLAS threads: {threads}\n")
        both = "scikit-learn | xpnn"
        print(
            f"| set | score: {both} | equal | epochs: {both} | fit, s: {both} | ratio | predict, ms: {both} | ratio |"
        )
        print("|---" * 12 + "|")
    for name in [name for name in CASES if not arguments.set or name.startswith(tuple(arguments.set))]:
        try:
            case = CASES[name]()
        except xpnn.DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        check_same(case)
        records.append(measure(name, case, 2 if arguments.quick else SEEDS, arguments.quick, arguments.dtype))
        if not arguments.json:
            print(line(records[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"scikit-learn": sklearn.__version__, "dtype": arguments.dtype, "sets": records}))


if __name__ == "__main__":
    main()
