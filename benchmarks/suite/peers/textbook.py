"""The loop as the textbooks type it in: one row at a time, column vectors, new float64 arrays for every product.

Written anew from the description in Rashid, Make Your Own Neural Network, 2016. The variant "parsing" splits the row's
line of CSV inside the loop, as the text does; the other one has the numbers ready.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from suite.cases import parse_case
from suite.data import SEED_HIGH, SEED_LOW, SEED_OFFSET, SEED_SCALE, initial_weights
from suite.peers.blas import numpy_version


def version() -> str:
    return f"{numpy_version()}, float64"


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


class Network:
    def __init__(self, weights: Any, rate: float) -> None:
        self.wih, self.who = (part.astype(np.float64) for part in weights)
        self.rate = rate

    def train(self, inputs_list: Any, targets_list: Any) -> None:
        inputs = np.array(inputs_list, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden_outputs = sigmoid(np.dot(self.wih, inputs))
        final_outputs = sigmoid(np.dot(self.who, hidden_outputs))
        output_errors = targets - final_outputs
        hidden_errors = np.dot(self.who.T, output_errors)
        output_deltas = output_errors * final_outputs * (1.0 - final_outputs)
        hidden_deltas = hidden_errors * hidden_outputs * (1.0 - hidden_outputs)
        self.who += self.rate * np.dot(output_deltas, np.transpose(hidden_outputs))
        self.wih += self.rate * np.dot(hidden_deltas, np.transpose(inputs))

    def train_line(self, line: str) -> None:
        values = line.split(",")
        inputs = np.asarray(values[1:], dtype=float) * SEED_SCALE + SEED_OFFSET
        targets = np.zeros(len(self.who)) + SEED_LOW
        targets[int(values[0])] = SEED_HIGH
        self.train(inputs, targets)


class Trainer:
    def __init__(self, task: Any) -> None:
        self.task, self.path = task, task.variant
        self.lines: list[str] = []

    def start(self, steps: int, shuffle: bool) -> None:
        task = self.task
        self.net = Network(task.weights, task.rate)
        if task.variant == "parsing":
            rows = range(len(self.lines), steps)
            self.lines += [f"{task.labels[k]},{','.join(map(str, task.inputs[k]))}\n" for k in rows]
            self.now = self.lines[:steps]
            return
        self.inputs = task.inputs[:steps] * SEED_SCALE + SEED_OFFSET
        self.targets = np.full((steps, task.case.sizes[-1]), SEED_LOW)
        self.targets[np.arange(steps), task.labels[:steps]] = SEED_HIGH

    def run(self) -> None:
        if self.task.variant == "parsing":
            for line in self.now:
                self.net.train_line(line)
        else:
            for x, t in zip(self.inputs, self.targets, strict=True):
                self.net.train(x, t)

    def result(self) -> list[Any]:
        return [self.net.wih, self.net.who]


trainer = Trainer
OPEN: dict[str, Any] = {}  # between calls of `read_lines` and `learn_lines`


def read_lines(folder: Path, path: str) -> dict[str, Any]:
    started = time.perf_counter()
    with open(path, encoding="ascii") as file:
        lines = file.readlines()
    seconds = time.perf_counter() - started
    case = parse_case(f"{lines[0].count(',')}-200-10 b1 seed")
    OPEN.update(lines=lines, net=Network(initial_weights(case), case.rate), row=0)
    return {"seconds": seconds, "rows": len(lines)}


def learn_lines(folder: Path, count: int) -> dict[str, Any]:
    """Go on through the file by `count` lines, from its start again where it ends."""
    lines, net = OPEN["lines"], OPEN["net"]
    started = time.perf_counter()
    for k in range(OPEN["row"], OPEN["row"] + count):
        net.train_line(lines[k % len(lines)])
    OPEN["row"] += count
    return {"seconds": time.perf_counter() - started}
