"""The page 'Moving from scikit-learn': its code runs, and its table is what the benchmark expects."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "from-scikit-learn.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_blocks_run_in_order() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/from-scikit-learn.md", "exec"), names)  # noqa: S102  # the page is the test


def test_the_benchmark_trains_both_alike_and_reports_ratios_of_their_times() -> None:
    script = ROOT / "benchmarks" / "estimators.py"
    command = [sys.executable, str(script), "--quick", "--json", "--set", "2 classes, 300", "--set", "1 number"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sets = json.loads(done.stdout)["sets"]
    assert [record["set"] for record in sets] == ["2 classes, 300 x 10", "1 number, 750 x 10"]
    for record in sets:
        theirs, ours = record["runs"]["theirs"], record["runs"]["ours"]
        ratios = [other["fit"] / own["fit"] for own, other in zip(ours, theirs, strict=True)]
        assert record["fit"]["median"] == pytest.approx(sum(ratios) / 2)  # of two seeds
        assert [run["epochs"] for run in theirs] == [run["epochs"] for run in ours] == [3, 3]


def test_the_table_names_the_tests_that_the_benchmark_expects_to_fail() -> None:
    source = (ROOT / "benchmarks" / "scikit_learn_tests.py").read_text(encoding="utf-8")
    (expected,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIFFERENT"
    )
    assert dict(re.findall(r"^\| `(test_\w+)` \| (.*) \|$", PAGE, re.MULTILINE)) == expected
