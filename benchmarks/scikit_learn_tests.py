"""scikit-learn's own tests of its MLP, pointed at xpnn's estimators; and `check_estimator` for both, as they are made.

    python benchmarks/scikit_learn_tests.py [--json]

The tests come with the installed scikit-learn; nothing of them is copied here. Those in DIFFERENT are known not to
pass, for the reason that stands there, and in the table of docs/from-scikit-learn.md. The exit code is 1 where another
one fails, where one of these passes, and where a check of `check_estimator` fails or is left out for another reason
than that there is nothing to check.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported; without it check_estimator leaves out a check

import pytest
import sklearn
import sklearn.neural_network
from sklearn.utils.estimator_checks import check_estimator

import xpnn.estimator

MODULE = "sklearn.neural_network.tests.test_mlp"
DIFFERENT = {
    "test_fit": "writes the private arrays of scikit-learn's MLP before the first fit; `net_` holds ours",
    "test_gradient": "calls a private method for the gradient; the test suite compares xpnn's with numeric ones",
}
NOTHING_TO_CHECK = "does not have a decision_function method"  # nor has scikit-learn's


class MLPClassifier(xpnn.estimator.MLPClassifier):
    """With the one private name through which scikit-learn's tests read the learning rate."""

    @property
    def _optimizer(self) -> SimpleNamespace:
        return SimpleNamespace(learning_rate=self.learning_rate_)


class Outcomes:
    """A plugin of pytest: {test: why it fails}, or an empty text where all of its cases pass."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.split("::")[-1].split("[")[0]
        self.failures.setdefault(name, "")
        if not report.passed:
            self.failures[name] = str(report.longrepr).strip().splitlines()[-1]


def run_tests() -> dict[str, str]:
    sklearn.neural_network.MLPClassifier = MLPClassifier  # which the test module imports
    sklearn.neural_network.MLPRegressor = xpnn.estimator.MLPRegressor
    outcomes = Outcomes()
    quiet = ["-q", "--no-header", "--no-summary", "--tb=line", "-p", "no:cacheprovider", "-c", os.devnull]
    stdout, sys.stdout = sys.stdout, sys.stderr  # what pytest says is no result
    try:
        pytest.main([*quiet, "--pyargs", MODULE], plugins=[outcomes])
    finally:
        sys.stdout = stdout
    return outcomes.failures


def run_checks() -> dict[str, str]:
    failures = {}
    for estimator in (xpnn.estimator.MLPClassifier(), xpnn.estimator.MLPRegressor()):
        with warnings.catch_warnings(action="ignore"):
            results = check_estimator(estimator, on_fail=None)
        for number, result in enumerate(results, 1):
            reason = "" if result["status"] == "passed" else repr(result["exception"])
            failures[f"{estimator!r}: {number} {result['check_name']}"] = "" if NOTHING_TO_CHECK in reason else reason
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the lists")
    arguments = parser.parse_args()
    checks, tests = run_checks(), run_tests()
    unexpected = {name: reason for name, reason in {**checks, **tests}.items() if reason and name not in DIFFERENT}
    unexpected |= {name: "passes, though it is in DIFFERENT" for name in DIFFERENT if not tests.get(name, "not there")}
    if arguments.json:
        record = {"scikit-learn": sklearn.__version__, "checks": checks, "tests": tests, "unexpected": unexpected}
        print(json.dumps(record, indent=1))
    else:
        for what, failures in (("checks of check_estimator", checks), ("tests of scikit-learn's MLP", tests)):
            passed = sum(not reason for reason in failures.values())
            print(f"{passed} of {len(failures)} {what} pass (scikit-learn {sklearn.__version__})")
        for name in DIFFERENT.keys() & tests.keys():
            print(f"known: {name}: {DIFFERENT[name]} ({tests[name]})")
        for name, reason in unexpected.items():
            print(f"unexpected: {name}: {reason}")
    return bool(unexpected or not tests)


if __name__ == "__main__":
    sys.exit(main())
