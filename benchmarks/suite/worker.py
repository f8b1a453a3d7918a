"""The process that one framework runs in: `python -m suite.worker PEER FOLDER THREADS`.

It reads lines of JSON and answers each with one:

    {"do": "prepare", "case": NAME, "rate_factor": 1.0, "draw": 1, "device": "cpu"}
                                            the case that the next lines are about
    {"do": "check", "path": FILE, "plan": [N, P]}  P passes of N steps, or one answer, into an .npz file
    {"do": "time", "units": N}              -> {"seconds", "units", "path", "cores"}; units are steps, or questions
    {"do": "go_on", "passes": N, "steps": N}  the same for passes in the rows' order, after those before; with
                                            "steps", the steps of a pass, from the initial weights
    {"do": "release"}                       forget the case and its arrays
    {"do": "memory"}                        -> {"start", "peak"} of resident memory, bytes
    {"do": "call", "name": F, ...}          -> what the peer's function F(folder, ...) answers

Those about a case take "variant" too, one of the peer's ways to do it: several can be prepared side by side.

A peer is a module of `suite.peers`. `trainer(task)` gives an object with

    start(steps, shuffle)   back to the initial weights, ready for passes of `steps` batches; not timed
    run()                   one pass, in the rows' order, or shuffled anew
    result()                the weights, as `suite.data.initial_weights` lists them
    path                    what it calls the way that it went

and `predictor(task)` the same for questions: run() is one, result() its answer.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from suite.cases import Case, parse_case
from suite.data import initial_weights, read_rows
from suite.reference import CHECK_STEPS


@dataclass
class Task:
    """What a peer is given."""

    case: Case
    rate: float
    inputs: NDArray[np.uint8]  # (60000, n_in)
    labels: NDArray[np.int64]  # (60000,)
    weights: list[NDArray[np.float32]]
    threads: int  # 0: as many as the framework takes by itself
    variant: str
    device: str  # "cpu" or "cuda"


class Worker:
    def __init__(self, peer: Any, folder: Path, threads: int) -> None:
        self.peer, self.folder, self.threads = peer, folder, threads
        self.start_memory = current_memory()
        self.runners: dict[str, tuple[Case, Any]] = {}  # of each variant
        self.a_pass: dict[str, int] = {}  # its steps, of each variant that goes on

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        what = order.pop("do")
        if what not in ("prepare", "check", "time", "go_on", "release", "memory", "call"):
            raise ValueError(f"unknown order: {what}")
        done: dict[str, Any] = getattr(self, what)(**order)
        return done

    def prepare(
        self, case: str, rate_factor: float = 1.0, draw: int = 1, variant: str = "", device: str = "cpu"
    ) -> dict[str, Any]:
        self.release(variant)
        chosen = parse_case(case)
        inputs, labels = read_rows(self.folder, chosen.sizes[0])
        rate = chosen.rate * rate_factor
        weights = initial_weights(chosen, draw)
        task = Task(chosen, rate, inputs, labels, weights, self.threads, variant, device)
        self.runners[variant] = chosen, (self.peer.predictor if chosen.is_query else self.peer.trainer)(task)
        return {}

    def check(self, path: str, plan: tuple[int, int] = (CHECK_STEPS, 1), variant: str = "") -> dict[str, Any]:
        _, runner = self.runners[variant]
        steps, passes = plan
        runner.start(steps, False)
        for _ in range(passes):
            runner.run()
        np.savez(path, *runner.result())
        return {}

    def time(self, units: int, variant: str = "") -> dict[str, Any]:
        case, runner = self.runners[variant]
        a_pass = 1 if case.is_query else min(units, case.epoch_steps)
        passes = -(-units // a_pass)
        runner.start(a_pass, True)
        return timed(runner, passes) | {"units": passes * a_pass}

    def go_on(self, passes: int, steps: int = 0, variant: str = "") -> dict[str, Any]:
        _, runner = self.runners[variant]
        if steps:
            self.a_pass[variant] = steps
            runner.start(steps, False)
        return timed(runner, passes) | {"units": passes * self.a_pass[variant]}

    def release(self, variant: str = "") -> dict[str, Any]:
        self.runners.pop(variant, None)
        gc.collect()  # or its arrays would wait for a collection on a device that others want
        return {}

    def memory(self) -> dict[str, Any]:
        return {"start": self.start_memory, "peak": peak_memory()}

    def call(self, name: str, **options: Any) -> dict[str, Any]:
        done: dict[str, Any] = getattr(self.peer, name)(self.folder, **options)
        return done


def timed(runner: Any, passes: int) -> dict[str, Any]:
    """Wall time; a pass ends when the device has done its work."""
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(passes):
        runner.run()
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    return {"seconds": seconds, "path": runner.path, "cores": busy / seconds}


def current_memory() -> int:
    """Resident bytes of this process; where /proc is missing, the most so far."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return peak_memory()


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def private_stdout() -> TextIO:
    """What was stdout; whatever else the process prints goes to stderr from here on."""
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return private


def main() -> None:
    name, folder, threads = sys.argv[1:]
    answers = private_stdout()
    peer = importlib.import_module(f"suite.peers.{name}")
    worker = Worker(peer, Path(folder), int(threads))
    print(json.dumps({"version": peer.version()}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            done = worker.answer(json.loads(line))
        except Exception as error:  # the suite reports it and goes on
            done = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(done), file=answers, flush=True)


if __name__ == "__main__":
    main()
