"""A case of `benchmarks/gpu.py`: who is right, then warm-up, then rounds of all in turn; all within a time limit."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from suite.cases import Case
from suite.contestants import least_steps, why_not_in
from suite.data import read_rows
from suite.frameworks import DEFAULT_THREADS, ONE_THREAD, Framework, PeerError, Processes
from suite.reference import expected
from suite.rounds import Entry, Settings, checked, record, take_rounds

PART_STEPS = 1872  # of a pass where an epoch takes too long: a multiple of 16 and of 468, which graphs are as long as
LONGEST_PASS = 0.5  # seconds that an epoch of more steps may take
WARM_EPOCHS, WARM_SECONDS = 5, 1.0  # whichever comes first
PATIENCE = 100.0  # seconds for one answer; compiling is the longest
STICKY = ("illegal", "misaligned", "launch fail", "device-side assert", "hardware")  # CUDA does nothing more after it
MOST_FAILURES = 2  # cases, after which a contestant is left out


@dataclass
class Course:
    """What lasts from case to case.

    deadline:     a moment of `time.monotonic`.
    part_steps:   of a pass where an epoch takes too long.
    warm_seconds: of warm-up at most.
    failures:     of each contestant.
    answers:      float64's, which both precisions are checked with.
    """

    processes: Processes
    settings: Settings
    deadline: float
    part_steps: int = PART_STEPS
    warm_seconds: float = WARM_SECONDS
    failures: Counter[str] = field(default_factory=Counter)
    answers: dict[Any, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """One where the CPU stands for the GPU, to try the script: processes that share few cores hinder each other."""
        return ONE_THREAD if self.processes.device == "cpu" else DEFAULT_THREADS

    def wanted(self, case: Case) -> Callable[[bool, int, tuple[int, int], float], Any]:
        """What `suite.rounds.checked` asks for."""

        def weights(uncorrected_epsilon: bool, draw: int, plan: tuple[int, int], rate_factor: float) -> Any:
            key = case.sizes, case.batch, case.optimizer, uncorrected_epsilon, draw, plan, rate_factor
            if key not in self.answers:
                rows = read_rows(self.processes.folder, case.sizes[0], mmap=True)
                self.answers[key] = expected(case, *rows, uncorrected_epsilon, draw, plan, rate_factor)
            return self.answers[key]

        return weights


def run_gpu_case(case: Case, contestants: Iterable[Framework], course: Course, seconds: float) -> dict[str, Any]:
    """The record of a case that should take about so many seconds."""
    until, everyone = time.monotonic() + seconds, list(contestants)
    course.processes.patience = min(PATIENCE, max(10.0, course.deadline + 10 - time.monotonic()))
    entries = [prepared(case, one, course) for one in everyone]
    running = [entry for entry in entries if not entry.problem]
    take_rounds(running, course.settings.rounds, rest=0.0, until=min(until, course.deadline))
    for entry, contestant in zip(entries, everyone, strict=True):
        finish(entry, contestant.process, course)
    return record(case, {entry.framework: entry for entry in entries}, [one.name for one in everyone])


def prepared(case: Case, contestant: Framework, course: Course) -> Entry:
    """Checked and warm, or with its problem."""
    entry = Entry(contestant.name, problem=why_not_in(contestant, case))
    if course.failures[contestant.name] >= MOST_FAILURES:
        entry.problem = f"left out: it failed in {MOST_FAILURES} cases before"
    elif time.monotonic() > course.deadline:
        entry.problem = "left out: the time was over"
    if entry.problem:
        return entry
    try:
        entry.process = course.processes.get(contestant, course.threads)
        least = least_steps(contestant, case)
        entry.error = checked(case, contestant, entry.process, course.settings, course.wanted(case), least)
        warm_up(entry, case, course)
    except PeerError as error:
        entry.problem = str(error)
        course.failures[contestant.name] += 1
        if is_sticky(entry.problem):
            course.processes.drop(contestant.process)
    return entry


def warm_up(entry: Entry, case: Case, course: Course) -> None:
    """WARM_EPOCHS or the seconds; then sets how many passes a round has. Raises PeerError."""
    assert entry.process is not None
    steps = min(case.epoch_steps, course.part_steps)
    a_pass = seconds_of_a_pass(entry, steps)
    if steps < case.epoch_steps and a_pass * case.epoch_steps / steps < LONGEST_PASS:
        steps = case.epoch_steps
        a_pass = seconds_of_a_pass(entry, steps)
    warm = min(WARM_EPOCHS * case.epoch_steps / steps, course.warm_seconds / a_pass)
    done = entry.process.ask("go_on", passes=max(1, math.ceil(warm)))
    a_pass = done["seconds"] * steps / done["units"]
    entry.passes = max(1, round(course.settings.seconds / a_pass))
    entry.units, entry.trial, entry.path = entry.passes * steps, a_pass / steps, done["path"]


def seconds_of_a_pass(entry: Entry, steps: int) -> float:
    """Of the second one: the first of a length may compile, capture or allocate."""
    assert entry.process is not None
    entry.process.ask("go_on", passes=1, steps=steps)
    return max(1e-6, entry.process.ask("go_on", passes=1)["seconds"])


def is_sticky(problem: str) -> bool:
    return any(word in problem.lower() for word in STICKY)


def finish(entry: Entry, name: str, course: Course) -> None:
    """Forget the case, in the process of that name; end it if it can't be trusted with the next case."""
    if entry.problem and is_sticky(entry.problem):
        course.processes.drop(name)
    elif entry.process is not None:
        with contextlib.suppress(PeerError):  # ended by another of its contestants
            entry.process.ask("release")
