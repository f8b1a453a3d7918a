"""How long from the start of a process to 98 % test accuracy on MNIST: xpnn, PyTorch, JAX and scikit-learn.

    python benchmarks/time_to_accuracy.py [--json FILE]       an hour or more; --quick tries two settings and one seed

All learn 784-200-10 (ReLU, softmax, Adam) from $XPNN_DATA_DIR/mnist. Each framework's settings come from the same
search: every batch size with every rate and every schedule, at the default threads and at one, once; then the quickest
few with more seeds. The one of the least median is run with five new seeds, the frameworks in turn.

Every run is a process of its own. Its clock starts before the process does and stops when the first test accuracy of
98 % is printed: imports, reading, compiling and testing after each epoch count. A run that ends below 98 % has failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from suite.accuracy import Settings
from suite.frameworks import DEFAULT_THREADS, FRAMEWORKS, ONE_THREAD, ROOT, Framework, environment, why_missing

GOAL = 0.98
BATCHES = (32, 64, 128, 256)
RATES = (0.001, 0.002, 0.004, 0.008)
SCHEDULES = (("constant", 8), ("linear", 2), ("linear", 3), ("linear", 4))  # and for how many epochs
FINALISTS = 5
SEARCH_SEEDS = (1, 2)  # beside 0
SEEDS = (10, 11, 12, 13, 14)
NAMES = ("xpnn", "pytorch", "jax", "scikit-learn")


@dataclass
class Run:
    """seconds: None where it failed; accuracies: after each epoch until then."""

    settings: Settings
    threads: int
    seconds: float | None
    accuracies: list[float]


def run(framework: Framework, settings: Settings, threads: int, limit: float) -> Run:
    """A process from its start to the goal; one that takes longer than `limit` seconds is as good as failed."""
    command = [sys.executable, "-m", "suite.accuracy", framework.peer, json.dumps(asdict(settings))]
    started, accuracies, seconds = time.perf_counter(), [], None
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(threads, settings.device), stdout=-1, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            passed = time.perf_counter() - started
            accuracies.append(float(line))
            if accuracies[-1] >= GOAL:
                seconds = passed
            if seconds is not None or passed > limit:
                process.kill()
                break
    if not accuracies:
        raise SystemExit(f"Error: {framework.name} printed no accuracy; try {' '.join(command)} in {ROOT}")
    return Run(settings, threads, seconds, accuracies)


def search(framework: Framework, settings: list[Settings]) -> list[list[Run]]:
    """Each of the settings at each number of threads, the quickest few with more seeds; the best first."""
    tried: list[list[Run]] = []
    tasks = list(itertools.product(settings, (DEFAULT_THREADS, ONE_THREAD)))
    for number, (one, threads) in enumerate(tasks, 1):
        tried.append([run(framework, one, threads, limit_after(tried))])
        say(f"{framework.name} {number} of {len(tasks)}: {described(tried[-1][0])}")
    finalists = sorted(tried, key=order)[:FINALISTS]
    for runs in finalists:
        for seed in SEARCH_SEEDS:
            runs.append(run(framework, replace(runs[0].settings, seed=seed), runs[0].threads, limit_after(tried)))
            say(f"{framework.name}, seed {seed}: {described(runs[-1])}")
    return sorted(finalists, key=order) + [runs for runs in tried if runs not in finalists]


def limit_after(tried: list[list[Run]]) -> float:
    """Twice the best so far, and a minute at first."""
    return 2 * min((run.seconds for runs in tried for run in runs if run.seconds is not None), default=30.0)


def order(runs: list[Run]) -> tuple[float, float]:
    """By the median of the seconds, a failure being the longest; where that says nothing, by the accuracy."""
    seconds = statistics.median(float("inf") if run.seconds is None else run.seconds for run in runs)
    return seconds, -max(runs[0].accuracies)


def described(run: Run) -> str:
    result = f"{max(run.accuracies):.2%} at most" if run.seconds is None else f"{run.seconds:.2f} s"
    return f"{named(run.settings)}, threads {run.threads or 'default'}: {result}"


def named(settings: Settings) -> str:
    return f"batches of {settings.batch}, rate {settings.rate:g}, {settings.schedule} over {settings.epochs} epochs"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def final(best: dict[str, Run], frameworks: list[Framework], seeds: tuple[int, ...]) -> dict[str, list[Run]]:
    """Each at its best with every seed, in turn, the first another one each time."""
    runs: dict[str, list[Run]] = {framework.name: [] for framework in frameworks}
    for number, seed in enumerate(seeds):
        first = number % len(frameworks)
        for framework in frameworks[first:] + frameworks[:first]:
            chosen = best[framework.name]
            settings = replace(chosen.settings, seed=seed)
            runs[framework.name].append(run(framework, settings, chosen.threads, limit=600))
            say(f"{framework.name}, seed {seed}: {described(runs[framework.name][-1])}")
    return runs


def results_table(best: dict[str, Run], runs: dict[str, list[Run]]) -> str:
    lines = ["| framework | its best settings | threads | seconds, median | least to most | reached | epochs |"]
    lines.append("|---" * 7 + "|")
    for name, done in runs.items():
        times = [run.seconds for run in done if run.seconds is not None]
        median, spread = "", ""
        if times:
            median, spread = f"{statistics.median(times):.2f}", f"{min(times):.2f} to {max(times):.2f}"
        epochs = f"{statistics.mean(len(run.accuracies) for run in done):.1f}"
        chosen = best[name]
        cells = (name, named(chosen.settings), str(chosen.threads or "default"), median, spread)
        lines.append("| " + " | ".join((*cells, f"{len(times)} of {len(done)}", epochs)) + " |")
    return "\n".join(lines)


def searched_list(settings: list[Settings]) -> str:
    batches, rates, schedules = (
        ", ".join(dict.fromkeys(map(str, values)))
        for values in zip(*((s.batch, s.rate, f"{s.schedule} over {s.epochs}") for s in settings), strict=True)
    )
    return f"The search, the same for each: {len(settings)} settings of batches {batches}; rates {rates}; {schedules}."


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", action="append", choices=NAMES, help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="two settings and one seed: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs there too")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if not Path(os.environ.get("XPNN_DATA_DIR", ""), "mnist").is_dir() or "XPNN_DATA_DIR" not in os.environ:
        raise SystemExit("Error: set XPNN_DATA_DIR to the folder that holds mnist/")
    os.environ["XPNN_DATA_DIR"] = str(Path(os.environ["XPNN_DATA_DIR"]).absolute())  # runs are in another folder
    frameworks = [one for one in FRAMEWORKS if one.name in (arguments.framework or NAMES)]
    for problem in filter(None, map(why_missing, frameworks)):
        say(problem)
    frameworks = [one for one in frameworks if not why_missing(one)]
    choices = itertools.product(BATCHES, RATES, SCHEDULES)
    settings = [Settings(batch, rate, *schedule) for batch, rate, schedule in choices]
    if arguments.quick:
        settings = [Settings(128, 0.004, "linear", 3), Settings(64, 0.004, "linear", 3)]
    found = {framework.name: search(framework, settings) for framework in frameworks}
    best = {name: tried[0][0] for name, tried in found.items()}
    runs = final(best, frameworks, SEEDS[:1] if arguments.quick else SEEDS)
    if arguments.json:
        every: dict[str, Any] = {"search": found, "final": runs}
        arguments.json.write_text(json.dumps(every, default=asdict, indent=1))
    print(f"{searched_list(settings)}\n\n{results_table(best, runs)}")


if __name__ == "__main__":
    main()
