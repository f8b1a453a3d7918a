"""xpnn on one NVIDIA GPU beside PyTorch and JAX at their best, in less than eight minutes.

    python benchmarks/gpu.py --json results.json           all, in the order of what matters most
    python benchmarks/gpu.py --part facts                  what the device costs: graph nodes, launches, products
    python benchmarks/gpu.py --case "784-200-10 b128 sgd"  one case; several may be named
    python benchmarks/gpu.py --device cpu --quick          tries the script where there is no GPU

Every framework has one process, started once. All learn from the same rows in the same order, with the same weights at
the start, from data that lie on the GPU. Before any number, each contestant's weights after 50 steps (as many as its
longest graph has, if these are more) must agree with float64 NumPy to 1e-4 of their norm, or to 1e-2 with TF32, and to
a tenth of the way that they have gone, else it is reported as wrong and not timed. Then each is warmed up for five
epochs or a second, and all are timed in turn, in rounds whose order rotates; a round gives the ratio of each one's time
to xpnn's. A time is wall time until the device has finished.

After --minutes no case begins; what has been left out is named. Tables go to stdout, the rest to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from suite import gpu_report as report
from suite.cases import Case, gpu_cases, parse_case
from suite.contestants import CONTESTANTS, FACTS, why_not_here
from suite.data import write_rows
from suite.frameworks import DEFAULT_THREADS, Framework, PeerError, Process, Processes
from suite.gpu_rounds import Course, run_gpu_case
from suite.gpu_starts import run_accuracies, run_starts
from suite.machine import card, commit, machine, say
from suite.rounds import Settings
from time_to_accuracy import GOAL

PARTS = ("facts", "cases", "starts", "accuracy")
USUAL_PARTS = PARTS[:3]
QUICK = 50, 0.1  # steps of a pass and seconds of warm-up, with --quick


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; accuracy isn't usual")
    parser.add_argument(
        "--contestant", action="append", choices=[one.name for one in CONTESTANTS], help="only this one"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="three cases, 3 short rounds")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing new begins; default 8")
    parser.add_argument("--rounds", type=int, help="at most; default 15")
    parser.add_argument("--seconds", type=float, help="that a contestant is timed in a round; default 0.1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument(
        "--sabotage", default="", metavar="CONTESTANT", help="make its rate 1 %% larger: see it refused"
    )
    arguments = parser.parse_args()
    usual = (3, 0.03) if arguments.quick else (15, 0.1)
    arguments.rounds, arguments.seconds = arguments.rounds or usual[0], arguments.seconds or usual[1]
    arguments.part = arguments.part or (["cases"] if arguments.case else USUAL_PARTS)
    try:
        arguments.cases = list(map(gpu_case, arguments.case)) or gpu_cases(arguments.quick)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def gpu_case(text: str) -> Case:
    """Raises ValueError for what is none, or none of a GPU."""
    case = parse_case(text)
    if case.is_query or case.optimizer == "seed" or case.sizes[0] != 784:
        raise ValueError(f"a case here is a step of sgd, momentum or adam on MNIST's 784 inputs, not {text!r}")
    return case


def run_cases(cases: list[Case], chosen: list[Framework], course: Course, results: dict[str, Any]) -> None:
    """Add the records, each when it is done, and the cases that there was no time for."""
    for number, case in enumerate(cases):
        left = course.deadline - time.monotonic()
        if left <= 0:
            results["left_out"] += map(str, cases[number:])
            say(f"the time is over; left out: {', '.join(map(str, cases[number:]))}")
            return
        say(f"{number + 1} of {len(cases)}: {case}; {left:.0f} s left")
        results["cases"].append(run_gpu_case(case, chosen, course, left / (len(cases) - number)))
        for entry in results["cases"][-1]["entries"]:
            if entry["problem"]:
                say(f"  {entry['framework']}: {entry['problem']}")
        results["versions"] |= course.processes.versions()


def run_facts(folder: Path, device: str) -> dict[str, Any]:
    """What CuPy measures on the device, each part with its own problem if it has one."""
    why = "left out: they need a GPU" if device == "cpu" else why_not_here(FACTS, device)
    if why:
        return {"facts": {"problem": why}}
    facts: dict[str, Any] = {}
    for name, what, tf32 in (("graphs", "graphs", "0"), ("float32", "products", "0"), ("tf32", "products", "1")):
        try:
            process = Process(FACTS, DEFAULT_THREADS, folder, device, patience=60, CUPY_TF32=tf32)
        except PeerError as error:
            facts[name] = {"problem": str(error)}
            continue
        try:
            facts[name] = process.ask("call", name=what)
        except PeerError as error:
            facts[name] = {"problem": str(error)}
        finally:
            process.close()
    return facts


def measure(arguments: argparse.Namespace, folder: Path, deadline: float, results: dict[str, Any]) -> None:
    """Add all parts to the results, each when it is done."""
    device, chosen = arguments.device, []
    for one in CONTESTANTS:
        if arguments.contestant and one.name not in arguments.contestant:
            continue
        why = why_not_here(one, device)
        if why:
            results["not_here"][one.name] = why
            say(f"{one.name}: {why}")
        else:
            chosen.append(one)
    results["data"] = write_rows(folder, 784)
    if "facts" in arguments.part:
        say("facts")
        results["facts"] = run_facts(folder, device)
    processes = Processes(folder, device)
    try:
        if "cases" in arguments.part:
            settings = Settings(arguments.rounds, arguments.seconds, arguments.sabotage)
            later = [part for part in ("starts", "accuracy") if part in arguments.part]
            reserved = min(60 * len(later), (deadline - time.monotonic()) / 4)
            course = Course(processes, settings, deadline - max(0.0, reserved))
            if arguments.quick:
                course.part_steps, course.warm_seconds = QUICK
            run_cases(arguments.cases, chosen, course, results)
    finally:
        processes.close()
    for part, run in (("starts", run_starts), ("accuracy", run_accuracies)):
        if part in arguments.part:
            run(chosen, folder, device, deadline, results)


def print_results(results: dict[str, Any]) -> None:
    for part in ("machine", "versions"):
        print(", ".join(f"{name}: {value}" for name, value in results[part].items()))
    print(f"rows: {results['data']}")
    records = results["cases"]
    if records:
        print(f"\n## Beside the targets\n\n{report.targets_table(records)}")
        print(f"\n## A step of training\n\nMedians and quartiles of rounds.\n\n{report.steps_table(records)}")
    if "starts" in results:
        print(f"\n## Cold start\n\n{report.starts_table(results['starts'])}")
    if "accuracy" in results:
        print(f"\n## Time to {GOAL:.0%}\n\n{report.accuracy_table(results['accuracy'], GOAL)}")
    if "facts" in results:
        print(f"\n## The device\n\n{report.facts_tables(results['facts'])}")
    problems = report.problems_list(records, results["not_here"], results["left_out"])
    if problems:
        print(f"\n## Left out\n\n{problems}")


def main() -> None:
    started = time.monotonic()
    arguments = parse_arguments()
    if "XPNN_DATA_DIR" in os.environ:  # absolute, since the processes run in another folder
        os.environ["XPNN_DATA_DIR"] = str(Path(os.environ["XPNN_DATA_DIR"]).absolute())
    results: dict[str, Any] = {"machine": machine() | card() | {"commit": commit()}, "versions": {}, "data": ""}
    results |= {"device": arguments.device, "not_here": {}, "left_out": [], "cases": []}
    try:
        with tempfile.TemporaryDirectory(prefix="xpnn-bench-") as folder:
            measure(arguments, Path(folder), started + 60 * arguments.minutes, results)
    finally:  # a run that is broken off shows what it has measured
        results["seconds"] = time.monotonic() - started
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
        print_results(results)


if __name__ == "__main__":
    main()
