"""The GPU's benchmark, tried on the CPU without a timing: what it lets pass, what it compares, when it stops."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CASE = "784-200-10 b128 sgd"


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> Any:
    return importlib.import_module(f"suite.{name}")


def case_of(name: str) -> Any:
    return module("cases").parse_case(name)


def contestant(name: str) -> Any:
    (found,) = [one for one in module("contestants").CONTESTANTS if one.name == name]
    return found


def run(path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The results and stdout."""
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--device",
        "cpu",
        "--quick",
        "--json",
        str(path),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout


def made_record(case: str, **times: list[float]) -> Any:
    """The record of contestants with these seconds a step in each round."""
    rounds = module("rounds")
    entries = {
        name.replace("_", "-"): rounds.Entry(name.replace("_", "-"), path="way", error=1e-7, times=values, cores=[1.0])
        for name, values in times.items()
    }
    return rounds.record(case_of(case), entries, list(entries))


def test_a_rate_off_by_one_percent_is_called_wrong_and_not_timed(tmp_path: Path) -> None:
    results, said = run(tmp_path / "figures.json", "--contestant", "xpnn", "--sabotage", "xpnn", "--case", CASE)
    (entry,) = results["cases"][0]["entries"]
    assert "is wrong: its error relative to float64 is " in entry["problem"]
    assert "above 0.0001" in entry["problem"]
    assert "seconds" not in entry
    assert entry["problem"] in said
    assert "| 784-200-10 b128 sgd | PyTorch eager |  | 5x | not measured |  |  |" in said


def test_when_the_time_is_over_every_case_is_named_and_none_begins(tmp_path: Path) -> None:
    results, said = run(tmp_path / "figures.json", "--minutes", "0", "--part", "cases")
    assert results["cases"] == []
    assert results["left_out"] == list(map(str, module("cases").gpu_cases(quick=True)))
    assert f"- {CASE}: left out, the time was over" in said


def test_cuda_graphs_are_left_out_by_name_on_the_cpu(tmp_path: Path) -> None:
    results, said = run(tmp_path / "figures.json", "--minutes", "0", "--part", "facts")
    for name in ("pytorch-graph-1", "pytorch-graph-16", "pytorch-graph-epoch"):
        assert results["not_here"][name].startswith("left out: ")
        assert f"- {name}: left out: " in said
    assert "facts: left out: they need a GPU" in said


def test_ratios_are_of_the_same_round_and_of_the_quickest_of_those_that_a_target_names() -> None:
    record = made_record(
        CASE,
        xpnn=[1.0, 2.0, 4.0],
        pytorch_eager=[6.0, 10.0, 16.0],  # 6, 5 and 4 times
        pytorch_graph_16=[3.0, 3.0, 5.0],  # 3, 1.5 and 1.25 times
        pytorch_compile=[2.0, 4.0, 8.0],  # twice, and the slower of the two by its median
        jax_scan_1=[1.2, 2.4, 4.8],
    )
    rows = module("gpu_report").targets_table([record]).splitlines()[2:]
    assert rows[0] == f"| {CASE} | PyTorch eager | pytorch-eager (way) | 5x | 5x | 4.5 to 5.5 | yes |"
    best = "best PyTorch graph or compile | pytorch-graph-16 (way)"
    assert rows[1] == f"| {CASE} | {best} | 1.5x | 1.5x | 1.38 to 2.25 | yes |"
    assert rows[2] == f"| {CASE} | best JAX scan | jax-scan-1 (way) | 1.3x | **1.2x** | 1.2 to 1.2 | no |"


def test_targets_depend_on_the_batch_and_the_net() -> None:
    targets = module("contestants").targets
    large = "784-2500-2000-1500-1000-500-10"
    assert [one.least for one in targets(case_of("784-200-10 b1 sgd"))] == [300]
    assert [one.least for one in targets(case_of("784-200-10 b1024 adam tf32"))] == [5, 1.5, 1.3]
    assert [one.least for one in targets(case_of("784-200-10 b8192 sgd"))] == [1]
    assert [one.least for one in targets(case_of(f"{large} b128 sgd"))] == [1]


def test_steps_table_tells_microseconds_and_the_whole_epoch() -> None:
    record = made_record(CASE, xpnn=[2e-6, 2e-6], jax_scan_4=[4e-6, 4e-6])
    row = module("gpu_report").steps_table([record]).splitlines()[-1]
    assert row == f"| {CASE} | jax-scan-4 (way) | 4 | 4 to 4 | 1.88 | 2 | 2 to 2 | 1e-07 |"


def test_every_case_is_named_as_it_is_read_and_one_has_its_own_precision() -> None:
    cases = module("cases").gpu_cases()
    assert [case_of(str(case)) for case in cases] == cases
    assert len(cases) == len(set(cases)) == 21
    assert case_of(f"{CASE} tf32").precision == "tf32"
    assert case_of(CASE).precision == "float32"
    assert module("reference").MOST_ERROR == {"float32": 1e-4, "tf32": 1e-2}


@pytest.mark.parametrize(
    ("case", "length"),
    [(CASE, 468), ("784-200-10 b32 sgd", 468), ("784-200-10 b8192 sgd", 7), ("784-200-10 b1 sgd", 468)],
)
def test_the_longest_graph_is_an_equal_part_of_an_epoch_and_played_in_its_check(case: str, length: int) -> None:
    contestants, graph = module("contestants"), contestant("pytorch-graph-epoch")
    assert contestants.graph_length(case_of(case), 469) == length
    assert contestants.least_steps(graph, case_of(case)) == max(50, length)
    assert contestants.graph_length(case_of(case), 16) == 16


def test_what_is_longer_than_an_epoch_is_left_out() -> None:
    why = module("contestants").why_not_in
    case = case_of("784-200-10 b8192 adam")
    for name in ("pytorch-graph-16", "jax-scan-16"):
        assert why(contestant(name), case) == "left out: an epoch has 7 steps"
    for name in ("pytorch-graph-epoch", "pytorch-graph-1", "jax-scan-4", "xpnn", "pytorch-compile"):
        assert why(contestant(name), case) == ""


def test_a_check_goes_over_the_rows_again_where_they_are_too_few_and_is_shorter_where_it_would_take_minutes() -> None:
    plan = module("reference").check_plan
    assert plan(case_of(CASE)) == (50, 1)
    assert plan(case_of("784-200-10 b8192 sgd")) == (7, 8)
    assert plan(case_of("784-2500-2000-1500-1000-500-10 b8192 sgd")) == (7, 1)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_a_net_that_has_learnt_nothing_never_passes(precision: str) -> None:
    reference, case = module("reference"), case_of(f"784-200-10 b1 sgd {precision}")
    start = module("data").initial_weights(case)
    for share in (0.5, 0.001):  # of an error of 1, so that the weights have gone far, or next to nowhere
        wanted = [part + share * np.abs(part).mean() for part in start]
        assert reference.relative_error(start, wanted) > reference.allowed_error(case, wanted, 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_passes_of_the_reference_are_the_same_rows_again(optimizer: str) -> None:
    expected, case = module("reference").expected, case_of(f"64-32-10 b8 {optimizer}")
    generator = np.random.default_rng(0)
    inputs, labels = generator.integers(0, 256, (16, 64), dtype=np.uint8), generator.integers(0, 10, 16)
    again = expected(case, inputs, labels, False, 1, (2, 3), 0.5)
    longer = expected(case, np.tile(inputs, (3, 1)), np.tile(labels, 3), False, 1, (6, 1), 0.5)
    for a, b in zip(again, longer, strict=True):
        np.testing.assert_array_equal(a, b)


def test_who_failed_twice_and_who_comes_too_late_is_not_asked_again() -> None:
    rounds, settings = module("gpu_rounds"), module("rounds").Settings()
    course = rounds.Course(None, settings, time.monotonic() + 60, failures=Counter({"xpnn": 2}))
    entry = rounds.prepared(case_of(CASE), contestant("xpnn"), course)
    assert entry.problem == "left out: it failed in 2 cases before"
    late = rounds.Course(None, settings, time.monotonic() - 1)
    assert rounds.prepared(case_of(CASE), contestant("xpnn"), late).problem == "left out: the time was over"


def test_late_rounds_end_after_the_fewest_and_one_that_fails_drops_out() -> None:
    rounds, frameworks = module("rounds"), module("frameworks")

    class Seat:
        def __init__(self, answers: int) -> None:
            self.orders: list[dict[str, Any]] = []
            self.answers = answers

        def ask(self, what: str, **details: Any) -> dict[str, Any]:
            self.orders.append({"what": what, **details})
            if len(self.orders) > self.answers:
                raise frameworks.PeerError("no more")
            return {"seconds": 1.0, "units": 4, "path": "way", "cores": 1.0}

    entries = [rounds.Entry(name, process=Seat(answers), passes=2) for name, answers in (("a", 9), ("b", 1))]
    rounds.take_rounds(entries, 15, rest=0.0, until=time.monotonic() - 1)
    assert entries[0].times == [0.25] * rounds.FEWEST
    assert entries[0].process.orders[0] == {"what": "go_on", "passes": 2}
    assert (entries[1].problem, entries[1].times) == ("no more", [])
