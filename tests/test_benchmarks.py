"""The benchmark suite: it runs with no peer installed, and it times nothing that computes something else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "cpu.py"
SHORT = ("--quick", "--rounds", "2", "--seconds", "0.01")


def run(path: Path, *arguments: str) -> tuple[dict[str, dict[str, Any]], str, str]:
    """{case: {framework: entry}}, stdout and stderr."""
    command = [sys.executable, str(SCRIPT), *SHORT, "--json", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cases = json.loads(path.read_text())["cases"]
    by_name = {case["case"]: {entry["framework"]: entry for entry in case["entries"]} for case in cases}
    return by_name, done.stdout, done.stderr


def test_quick_run_on_the_digits_times_xpnn_and_the_textbooks_loop_in_the_same_rounds(tmp_path: Path) -> None:
    frameworks = ("xpnn", "textbook", "textbook-parsing")
    options = [option for name in frameworks for option in ("--framework", name)]
    cases, said, _ = run(tmp_path / "figures.json", *options, "--case", "64-32-10 b1 seed")

    entries = cases["64-32-10 b1 seed"]
    assert list(entries) == list(frameworks)
    assert entries["xpnn"]["error"] < 1e-5
    assert entries["textbook"]["error"] < 1e-12  # it is in float64 too
    assert entries["xpnn"]["ratio"]["median"] == 1
    for entry in entries.values():
        ratios = [a / b for a, b in zip(entry["seconds"], entries["xpnn"]["seconds"], strict=True)]
        assert entry["ratio"]["median"] == pytest.approx(sum(ratios) / 2)  # of two rounds
        assert entry["epoch_seconds"] == pytest.approx(60_000 * entry["median"])
        assert f"| 64-32-10 b1 seed | {entry['framework']} ({entry['path']}) |" in said


@pytest.mark.parametrize("learning", ["b1 seed", "b32 sgd", "b128 momentum", "b32 adam"])
def test_a_rate_off_by_one_percent_is_called_wrong_and_not_timed(tmp_path: Path, learning: str) -> None:
    path, case = tmp_path / "figures.json", f"64-32-10 {learning}"
    cases, said, complaints = run(path, "--framework", "xpnn", "--sabotage", "xpnn", "--case", case)

    assert "xpnn at its default threads is wrong: its error relative to float64 is " in cases[case]["xpnn"]["problem"]
    assert "seconds" not in cases[case]["xpnn"]
    assert cases[case]["xpnn"]["problem"] in said
    assert cases[case]["xpnn"]["problem"] in complaints


def test_answers_are_checked_and_timed_a_question(tmp_path: Path) -> None:
    case = "64-32-10 one-row"
    cases, said, _ = run(tmp_path / "figures.json", "--framework", "xpnn", "--case", case)

    assert cases[case]["xpnn"]["error"] < 1e-6
    assert f"| {case} | xpnn (query) |" in said


@pytest.mark.mnist
def test_reading_is_timed_of_what_reads_mnists_rows_alone() -> None:
    script = SCRIPT.with_name("reading.py")
    command = [sys.executable, str(script), "--rounds", "1", "--rows", "1200", "--json"]  # 2.2 MB
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for rows in json.loads(done.stdout).values():
        assert {"xpnn, first", "xpnn, second", "np.loadtxt", "the textbook's loop"} <= rows.keys()
        assert rows["the textbook's loop"]["times_as_quick_as_the_loop"] == 1
        assert rows["the textbook's loop"]["peak_tables"] > 8  # it has float64


@pytest.mark.parametrize(
    "case", ["64-32-10", "64-32-10 b32 lion", "64-32-10 b0 sgd", "30-10 b32 sgd", "64-32-10 b2 seed"]
)
def test_what_is_no_case_is_refused(case: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--case", case], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"or a net and one-row or bulk; not {case!r}" in done.stderr
