"""xpnn on the CPU beside other frameworks: a step of training, an answer, memory, and the textbooks' five epochs.

    python benchmarks/cpu.py --quick                    a few cases, in less than two minutes
    python benchmarks/cpu.py --json results.json        all, for half an hour or more on an idle machine
    python benchmarks/cpu.py --case "784-200-10 b32 adam" --case "784-200-10 one-row"

Every framework runs in a process of its own, one at its default number of threads and one at a single thread; the
quicker one is used in each case. First its weights after 50 steps, from the same weights and rows, must agree with
float64 NumPy to 1e-4, else it is reported as wrong and not timed. Then all are timed in turn, for some rounds; a round
gives the ratio of each framework's time to xpnn's in that round. Tables go to stdout, the rest to stderr.

"gemms" is no framework but a bound: the step's matrix products alone. `benchmarks/suite/__init__.py` names the files.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from suite import report
from suite.cases import PRECISIONS, Case, all_cases, parse_case, quick_cases
from suite.data import write_rows
from suite.frameworks import FRAMEWORKS, Framework, PeerError, Processes, why_missing
from suite.machine import machine, say
from suite.memory import measure_memory
from suite.rounds import Settings, run_case
from suite.textbook import run_textbook

KERNEL_VARIABLES = {
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
}
PARTS = ("cases", "memory", "textbook")


def case_argument(text: str) -> Case:
    try:
        case = parse_case(text)
        if case.precision != PRECISIONS[0]:
            raise ValueError(f"{case.precision} is of a GPU; see benchmarks/gpu.py")
        return case
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", type=case_argument, action="append", default=[], help="only this one; may be repeated"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--framework", action="append", choices=[one.name for one in FRAMEWORKS], help="only this one")
    parser.add_argument("--quick", action="store_true", help="a few cases, 3 short rounds")
    parser.add_argument("--rounds", type=int, help="default 7")
    parser.add_argument("--seconds", type=float, help="that a framework is timed in a round; default 0.5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--sabotage", default="", metavar="FRAMEWORK", help="make its rate 1 %% larger: see it refused")
    arguments = parser.parse_args()
    usual = (3, 0.1) if arguments.quick else (7, 0.5)
    arguments.rounds, arguments.seconds = arguments.rounds or usual[0], arguments.seconds or usual[1]
    arguments.part = arguments.part or (["cases"] if arguments.case else PARTS)
    arguments.case = arguments.case or (quick_cases() if arguments.quick else all_cases())
    return arguments


def chosen_frameworks(names: list[str] | None) -> list[Framework]:
    chosen = []
    for framework in FRAMEWORKS:
        if names and framework.name not in names:
            continue
        problem = why_missing(framework)
        if problem:
            say(problem)
        else:
            chosen.append(framework)
    return chosen


def run_cases(
    cases: list[Case], frameworks: list[Framework], folder: Path, settings: Settings, results: dict[str, Any]
) -> None:
    """Add the records of the cases to the results, and the frameworks' versions."""
    records: list[dict[str, Any]] = []
    results |= {"cases": records, "versions": {}}
    processes, started = Processes(folder), time.monotonic()
    try:
        for number, case in enumerate(cases):
            left = f", {(time.monotonic() - started) / number * (len(cases) - number):.0f} s left" if number else ""
            say(f"{number + 1} of {len(cases)}: {case}{left}")
            records.append(run_case(case, frameworks, processes, settings))
            for entry in records[-1]["entries"]:
                if entry["problem"]:
                    say(f"  {entry['problem']}")
            results["versions"] |= processes.versions()
    finally:
        processes.close()


def kernels() -> dict[str, str]:
    """The variables that fetter one library's kernels and no other's: they make the comparison unfair."""
    return {name: os.environ[name] for name in sorted(KERNEL_VARIABLES & os.environ.keys())}


def warn_of_kernels() -> None:
    for name, value in kernels().items():
        say(f"warning: {name}={value} binds one library alone; without it: env -u {name} python ...")


def measure(arguments: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Add all parts to the results, each when it is done."""
    warn_of_kernels()
    frameworks = chosen_frameworks(arguments.framework)
    widths = {case.sizes[0] for case in arguments.case} if "cases" in arguments.part else set()
    if {"memory", "textbook"} & set(arguments.part):
        widths.add(784)
    results["data"] = {width: write_rows(folder, width) for width in sorted(widths)}
    if "cases" in arguments.part:
        settings = Settings(arguments.rounds, arguments.seconds, arguments.sabotage)
        run_cases(arguments.case, frameworks, folder, settings, results)
    if "memory" in arguments.part:
        say("memory")
        results["memory"] = measure_memory(frameworks, folder)
    if "textbook" in arguments.part:
        say("the textbook's five epochs")
        try:
            results["textbook"] = run_textbook(folder, arguments.quick)
        except PeerError as error:
            say(f"  {error}")


def print_results(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    print(", ".join(f"{name}: {value}" for name, value in results["machine"].items()))
    print(", ".join(f"{width} inputs: {said}" for width, said in results["data"].items()))
    if "cases" in results:
        print(", ".join(f"{name}: {version}" for name, version in results["versions"].items()))
        print(f"{arguments.rounds} rounds of {arguments.seconds:g} s; medians and quartiles.")
        records = results["cases"]
        if any(not record["is_query"] for record in records):
            print(f"\n## A step of training\n\n{report.training_table(records)}")
        if any(record["is_query"] for record in records):
            print(f"\n## Answers\n\n{report.query_table(records)}")
    if "memory" in results:
        print(f"\n## Memory\n\nAn epoch of {results['memory']['case']}.\n\n{report.memory_table(results['memory'])}")
    if "textbook" in results:
        record = results["textbook"]
        print(f"\n## The textbook's five epochs\n\n{report.textbook_table(record)}\n\n{report.textbook_note(record)}")


def main() -> None:
    arguments = parse_arguments()
    results: dict[str, Any] = {"machine": machine() | kernels(), "data": {}}
    try:
        with tempfile.TemporaryDirectory(prefix="xpnn-bench-") as folder:
            measure(arguments, Path(folder), results)
    finally:  # a run that is broken off shows what it has measured
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
        print_results(results, arguments)


if __name__ == "__main__":
    main()
